"""Multi-similarity against its own loops and against pytorch-metric-learning."""

import pytest
import torch
from reference import UNBALANCED, nu, raw_outputs, similarity
from torch.nn import functional as F

from bier import OnlineBoosting
from bier.errors import LossError
from bier.losses import MultiSimilarity


def multi_similarity(s, labels, epsilon, alpha=2.0, beta=50.0, base=0.5):
    """Equations 10 to 12 of Wang et al., one anchor after another."""
    n, total = len(labels), 0
    for i in range(n):
        positives = [j for j in range(n) if j != i and labels[j] == labels[i]]
        negatives = [j for j in range(n) if labels[j] != labels[i]]
        if epsilon is not None:
            hardest = max((s[i][j].item() for j in negatives), default=float("-inf"))
            easiest = min((s[i][j].item() for j in positives), default=float("inf"))
            positives = [j for j in positives if s[i][j].item() < hardest + epsilon]
            negatives = [j for j in negatives if s[i][j].item() > easiest - epsilon]
        for sharpness, others in ((-alpha, positives), (beta, negatives)):
            if others:
                terms = sum(torch.exp(sharpness * (s[i][j] - base)) for j in others)
                total = total + torch.log(1 + terms) / abs(sharpness)
    return total / n


@pytest.mark.parametrize("learners", [1, 2, 3, 5])
@pytest.mark.parametrize("schedule", ["stagewise", "independent"])
@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_loss_and_gradients_are_those_of_the_loop(epsilon, schedule, learners):
    outputs, n = raw_outputs(learners), len(UNBALANCED)
    expected, state = 0, [[0.0] * n for _ in range(n)]
    for m, f in enumerate(outputs, start=1):
        s = similarity(f)
        if schedule == "stagewise":
            s = [[(1 - nu(m)) * state[i][j] + nu(m) * s[i][j] for j in range(n)] for i in range(n)]
            state = [[value.item() for value in row] for row in s]
        expected = expected + multi_similarity(s, UNBALANCED, epsilon) / learners
    value = OnlineBoosting(MultiSimilarity(epsilon=epsilon), schedule)(outputs, torch.tensor(UNBALANCED))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, outputs), torch.autograd.grad(expected, outputs))


def test_it_is_the_librarys_loss_with_its_miner():
    pml = pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning.losses import MultiSimilarityLoss
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    assert pml
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    spread = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f = (spread + 2 * F.one_hot(labels)).requires_grad_()
    mined = MultiSimilarityMiner(epsilon=0.1)(f, labels)
    theirs = MultiSimilarityLoss(alpha=2, beta=50, base=0.5)(f, labels, mined)
    z = F.normalize(f)
    ours = MultiSimilarity(epsilon=0.1)(z @ z.T, labels)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, f), torch.autograd.grad(theirs, f))
    everything = MultiSimilarityLoss(alpha=2, beta=50, base=0.5)(f, labels)
    torch.testing.assert_close(MultiSimilarity(epsilon=None)(z @ z.T, labels), everything)
    assert everything.item() != pytest.approx(theirs.item()), "mining changes nothing here: the test is blunt"


def test_large_exponents_do_not_overflow():
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.ones(4, 4, requires_grad=True)
    value = MultiSimilarity(beta=1000.0)(scores, labels)
    value.backward()
    assert value.isfinite() and scores.grad.isfinite().all()


def test_a_batch_of_one_class_is_refused():
    with pytest.raises(LossError, match="single class"):
        OnlineBoosting(MultiSimilarity())(raw_outputs(2, n=4), torch.zeros(4, dtype=torch.long))
