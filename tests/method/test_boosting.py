"""Boosting as a user calls it; the numbers are checked in losses/ and test_golden.py beside it."""

from __future__ import annotations

import pytest
import torch
from reference import Largest
from torch import Tensor

from bier import EmbeddingEnsemble, OnlineBoosting
from bier.errors import ConfigError, LossError
from bier.losses import BinomialDeviance, Contrastive, Loss, MultiSimilarity, NormalizedSoftmax, PairLoss, Triplet
from bier.method.losses.pairwise import boost_pairs

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])


def outputs(sizes: tuple[int, ...] = (3, 4, 5), n: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, d, generator=generator, dtype=torch.float64).requires_grad_() for d in sizes]


def test_defaults() -> None:
    assert OnlineBoosting(BinomialDeviance()).schedule == "additive"
    assert OnlineBoosting(BinomialDeviance()).shrinkage == 0.06
    assert OnlineBoosting(BinomialDeviance(), schedule="convex").shrinkage == 1
    assert OnlineBoosting(MultiSimilarity()).schedule == "stagewise"


@pytest.mark.parametrize("schedule", ["additive", "convex", "stagewise", "independent"])
@pytest.mark.parametrize("tile", [1, 3, 7, 8])
def test_tiles_change_nothing(schedule: str, tile: int) -> None:
    results = []
    for size in (tile, 512):
        f = outputs()
        shrinkage = 0.5 if schedule == "convex" else 0.06
        boosted = boost_pairs(
            BinomialDeviance(),
            f,
            LABELS,
            schedule=schedule,  # type: ignore[arg-type]
            shrinkage=shrinkage,
            trace=True,
            tile=size,
        )
        gradients = torch.autograd.grad(boosted.loss, f)
        results.append((boosted.loss, boosted.losses, boosted.weights, boosted.scores, gradients))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("schedule", ["stagewise", "independent"])
def test_gradients_are_those_of_finite_differences_where_nothing_is_constant(schedule: str) -> None:
    boost = OnlineBoosting(BinomialDeviance(cost=3), schedule=schedule)  # type: ignore[arg-type]
    (f,) = outputs((4,))
    assert torch.autograd.gradcheck(lambda x: boost([x], LABELS), (f,))


def test_two_classes_of_equal_size() -> None:
    """Positives and negatives then weigh the same, which must not be mistaken for anything else."""
    f = [x[:4] for x in outputs()]
    value = OnlineBoosting(Contrastive())([x.detach().requires_grad_() for x in f], torch.tensor([0, 0, 1, 1]))
    assert value > 0


def test_one_pass_gives_losses_weights_and_scores() -> None:
    boost = OnlineBoosting(BinomialDeviance())
    loss = boost(outputs(), LABELS, trace=True)
    assert loss.item() == pytest.approx(boost.last.losses.mean().item())
    assert [len(boost.last.weights), len(boost.last.scores)] == [3, 3]
    first = boost.last.weights[0]
    assert torch.equal(first, 1 - torch.eye(8, dtype=first.dtype)), "the first learner takes all pairs as they come"
    boost(outputs(), LABELS)
    assert len(boost.last.weights) == 0, "not kept unless asked for"


def test_stagewise_weights_are_those_that_reach_the_learners() -> None:
    """The gradient in the last learner's similarity of a pair is nu_M w_ij (-dl/da) da/ds, by finite differences."""
    loss, f = BinomialDeviance(), [x.detach() for x in outputs((3, 4))]
    boost = OnlineBoosting(loss, schedule="stagewise")
    boost(f, LABELS, trace=True)
    score, step = boost.last.scores[1], 1e-6
    for i, j, slope in ((0, 1, 2.0), (0, 5, -50.0)):
        same = torch.tensor([float(slope > 0)], dtype=torch.float64)
        terms = [loss.value_and_weight((score[i, j] + d - 0.5).view(1) * slope, same)[0].item() for d in (-step, step)]
        derivative = (terms[1] - terms[0]) / (2 * step)
        assert boost.last.weights[1][i, j].item() == pytest.approx(-derivative / slope, rel=1e-5)
    assert boost.last.weights[0].diagonal().tolist() == [0.0] * 8


def test_a_hard_pair_weighs_more_for_the_next_learner() -> None:
    f = torch.tensor([[1.0, 0.0], [0.9, 0.1], [1.0, 0.05], [-1.0, 0.2]]).requires_grad_()
    boost = OnlineBoosting(BinomialDeviance(), schedule="convex")
    boost([f, torch.randn(4, 3)], torch.tensor([0, 0, 1, 1]), trace=True)
    weight = boost.last.weights[1]
    assert weight[0, 2] > 0.99, "a negative at 1"
    assert weight[0, 3] < 1e-6, "a negative at -1"
    assert weight[2, 3] > weight[0, 1], "a positive at -1 against one at 1"


def test_any_function_of_similarities_can_be_boosted() -> None:
    def loss(similarity: Tensor, labels: Tensor) -> Tensor:
        positive = labels[:, None] == labels
        return similarity[~positive].exp().mean() - similarity[positive].mean()

    f = outputs()
    OnlineBoosting(loss)(f, LABELS).backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in f)


def test_a_pair_loss_of_ones_own_needs_its_terms_only() -> None:
    class Exponential(PairLoss):
        def terms(self, similarity: Tensor, positive: Tensor) -> Tensor:
            return torch.where(positive, -similarity, similarity).exp()

    for schedule in ("convex", "stagewise", "independent"):
        f = outputs()
        OnlineBoosting(Exponential(), schedule=schedule)(f, LABELS).backward()  # type: ignore[arg-type]
        assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in f)


def test_any_loss_of_similarities_says_which_pairs_still_count() -> None:
    """A pair loss as a plain function of similarities weighs pairs of one kind the same, up to a factor."""
    f = [x.detach().float() for x in outputs()]
    pairs = OnlineBoosting(BinomialDeviance(), schedule="stagewise")
    plain = OnlineBoosting(lambda s, y: BinomialDeviance()(s, y), schedule="stagewise")
    pairs(f, LABELS, trace=True)
    plain([x.requires_grad_() for x in f], LABELS, trace=True)
    same = (LABELS[:, None] == LABELS).fill_diagonal_(False)
    assert len(plain.last.weights) == len(f)
    for expected, found in zip(pairs.last.weights, plain.last.weights, strict=True):
        assert found.diagonal().eq(0).all()
        for kind in (same, LABELS[:, None] != LABELS):
            ratio = found[kind] / expected[kind]
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=0)


def test_multi_similarity_weighs_pairs_between_0_and_1() -> None:
    boost = OnlineBoosting(MultiSimilarity())
    boost([x.detach().float().requires_grad_() for x in outputs()], LABELS, trace=True)
    for weights in boost.last.weights:
        assert 0 < weights.max() <= 1
        assert weights.min() == 0


def test_half_precision_outputs_are_boosted_in_float32() -> None:
    f = [x.detach().bfloat16().requires_grad_() for x in outputs()]
    loss = OnlineBoosting(BinomialDeviance())(f, LABELS)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in f)


@pytest.mark.parametrize("loss", [BinomialDeviance(), Triplet(), MultiSimilarity()], ids=lambda x: type(x).__name__)
def test_autocast_changes_nothing(loss: Loss) -> None:
    f = [x.detach().float().requires_grad_() for x in outputs()]
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = OnlineBoosting(loss)(f, LABELS)
        results.append((value, *torch.autograd.grad(value, f)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_outputs_of_length_zero_and_next_to_it() -> None:
    """z = f / max(||f||, 1e-5), written in autograd: below 1e-5 the length is no part of the gradient."""
    f = outputs((3, 4))
    for x in f:
        with torch.no_grad():
            x[1] = 0
            x[4] *= 1e-6
    boost = OnlineBoosting(BinomialDeviance(), schedule="independent")
    z = [x / x.norm(dim=1, keepdim=True).clamp(min=1e-5) for x in f]
    expected = torch.stack([boost.loss(z_m @ z_m.T, LABELS) for z_m in z]).mean()
    torch.testing.assert_close(torch.autograd.grad(boost(f, LABELS), f), torch.autograd.grad(expected, f))


def test_labels_may_be_any_whole_numbers() -> None:
    """Neighbours beyond 2^24 are the same number in float32."""
    f = [x.detach().float() for x in outputs()]
    boost = OnlineBoosting(BinomialDeviance())
    for first in (2**24, 2**40, -(2**24) - 3):
        assert boost(f, LABELS + first) == boost(f, LABELS)


def test_memory_grows_with_the_tile_not_with_the_batch() -> None:
    n, tile = 64, 16
    f = [torch.randn(n, d, requires_grad=True) for d in (2, 3, 4)]
    with Largest() as largest:
        boosted = boost_pairs(
            BinomialDeviance(), f, torch.arange(n) % 9, schedule="additive", shrinkage=0.06, tile=tile
        )
        boosted.loss.backward()
    assert 3 * tile**2 <= largest.elements < n * n


@pytest.mark.parametrize("loss", [BinomialDeviance(), Triplet()], ids=lambda x: type(x).__name__)
def test_a_second_derivative_is_refused_and_a_second_backward_is_not(loss: Loss) -> None:
    f = outputs()
    value = OnlineBoosting(loss)(f, LABELS)
    with pytest.raises(LossError, match="no second derivative"):
        torch.autograd.grad(value, f, create_graph=True)
    once = torch.autograd.grad(value, f, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(3 * value, f), tuple(3 * g for g in once))


@pytest.mark.parametrize(
    ("arguments", "complaint", "remedy"),
    [
        ({"loss": BinomialDeviance(), "schedule": "convx"}, "unknown schedule", "convex"),
        ({"loss": MultiSimilarity(), "schedule": "convex"}, "does not split into terms", "stagewise"),
        ({"loss": BinomialDeviance(), "schedule": "convex", "shrinkage": 0.06}, "hardest negative", "leave shrinkage"),
        ({"loss": BinomialDeviance(), "schedule": "additive", "shrinkage": 0.0}, "not positive", "above 0"),
        ({"loss": Contrastive(), "schedule": "additive", "shrinkage": -1.0}, "not positive", "above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments: dict[str, object], complaint: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        OnlineBoosting(**arguments)  # type: ignore[arg-type]
    assert remedy in str(caught.value.remedy)


@pytest.mark.parametrize("loss", [BinomialDeviance(), Triplet(), MultiSimilarity()], ids=lambda x: type(x).__name__)
def test_a_batch_of_one_class_is_an_error(loss: object) -> None:
    with pytest.raises(LossError, match="single class"):
        OnlineBoosting(loss)(outputs(), torch.zeros(8, dtype=torch.long))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda s, labels: s, "not a scalar"),
        (lambda s, labels: s.sum(dim=0), "not a scalar"),
        (lambda s, labels: s.mean().item(), "returned float, not a tensor"),
        (lambda s, labels: s.detach().mean(), "without a gradient"),
    ],
)
def test_a_loss_that_breaks_its_contract_is_named(function: object, complaint: str) -> None:
    with pytest.raises(LossError, match=complaint):
        OnlineBoosting(function)(outputs(), LABELS)  # type: ignore[arg-type]


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(LossError, match="labels of shape"):
        OnlineBoosting(BinomialDeviance())(outputs(), LABELS[:5])
    with pytest.raises(LossError, match="label 2 for 2 proxies"):
        OnlineBoosting(NormalizedSoftmax(2, (3, 4, 5)).double())(outputs(), LABELS)
    with pytest.raises(LossError, match="no learners"):
        OnlineBoosting(BinomialDeviance())([], LABELS)


def test_what_is_no_learners_and_no_labels_is_said() -> None:
    head, labels = EmbeddingEnsemble(6, (2, 4)), torch.arange(4).repeat(2)
    boost, features = OnlineBoosting(BinomialDeviance()), torch.randn(8, 6)
    learners = head.learners(features)
    for given, wrong, message in (
        (head(features), labels, "one tensor instead of one for each learner"),
        (learners, labels.tolist(), "labels of type list"),
        (learners, labels.float(), "torch.float32"),
        ((learners[0], learners[1][:5]), labels, "for 5 embeddings"),
    ):
        with pytest.raises(LossError, match=message):
            boost(given, wrong)


def test_a_loss_of_embeddings_is_not_taken_for_one_of_similarities() -> None:
    from pytorch_metric_learning.losses import CircleLoss

    with pytest.raises(ConfigError, match=r"takes embeddings[\s\S]*PytorchMetricLearning\(loss\)"):
        OnlineBoosting(CircleLoss())
