"""A matrix of relations in the place of labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bier.errors import LossError
from bier.losses import BinomialDeviance, Contrastive, Loss, MultiSimilarity, ProxyAnchor, Triplet
from bier.method.boosting import OnlineBoosting
from bier.method.losses.relations import DIFFERENT, SAME, UNKNOWN

SIZES = (3, 5, 8)
LABELS = torch.randint(0, 60, (300,), generator=torch.Generator().manual_seed(3))  # more than one tile
LOSSES = {
    "deviance": BinomialDeviance(),
    "contrastive": Contrastive(),
    "multi-similarity": MultiSimilarity(alpha=3, beta=20, base=0.3),
    "multi-similarity without mining": MultiSimilarity(epsilon=None),
    "triplet": Triplet(),
    "semi-hard triplet": Triplet(mining="semihard"),
}
CASES = [(name, schedule) for name, loss in LOSSES.items() for schedule in loss.schedules]


def batch() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(60, sum(SIZES), generator=generator)
    points = 0.7 * centres[LABELS] + torch.randn(len(LABELS), sum(SIZES), generator=generator)
    return [x.double().requires_grad_() for x in points.split(SIZES, dim=1)]


def as_relations(labels: Tensor) -> Tensor:
    return (labels[:, None] == labels).to(torch.int8)


def with_unknown_pairs() -> Tensor:
    """Of four pictures next to nothing is known, and of one not even what it is unlike."""
    relations = as_relations(LABELS)
    relations[:5] = relations[:, :5] = UNKNOWN
    relations[0, 299] = relations[299, 0] = SAME
    relations[1, 299] = relations[299, 1] = DIFFERENT
    relations[2, 3] = relations[3, 2] = DIFFERENT
    return relations.fill_diagonal_(SAME)


def value_and_gradients(loss: Loss, labels: Tensor, schedule: str) -> list[Tensor]:
    outputs = batch()
    boosted = OnlineBoosting(loss, schedule).boost(outputs, labels, trace=True)
    return [boosted.loss, *torch.autograd.grad(boosted.loss, outputs)]


@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_labels_and_the_matrix_they_stand_for_are_alike(name, schedule):
    by_labels = value_and_gradients(LOSSES[name], LABELS, schedule)
    by_relations = value_and_gradients(LOSSES[name], as_relations(LABELS), schedule)
    torch.testing.assert_close(by_relations, by_labels)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_unknown_counts_for_nothing(name):
    loss, relations = LOSSES[name], with_unknown_pairs()
    outputs = batch()
    whole = Loss.boost(loss, outputs, relations, schedule="independent", shrinkage=1, trace=False).loss
    expected = [whole, *torch.autograd.grad(whole, outputs)]
    torch.testing.assert_close(value_and_gradients(loss, relations, "independent"), expected)
    assert all(gradient[4].abs().sum() == 0 for gradient in expected[1:])  # a picture without any known pair
    assert all(gradient[:4].abs().sum() > 0 for gradient in expected[1:])


@pytest.mark.parametrize("name", ["deviance", "multi-similarity"])
def test_pairs_of_which_nothing_is_known_do_not_move(name):
    scores = torch.rand(300, 300, dtype=torch.float64).requires_grad_()
    relations = with_unknown_pairs()
    (gradient,) = torch.autograd.grad(LOSSES[name](scores, relations), scores)
    assert not gradient[relations == UNKNOWN].any()
    assert gradient[relations == DIFFERENT].any()


def test_weights_of_unknown_pairs_are_zero():
    boosted = OnlineBoosting(BinomialDeviance(), "stagewise").boost(batch(), with_unknown_pairs(), trace=True)
    assert not boosted.weights[-1][with_unknown_pairs() == UNKNOWN].any()


@pytest.mark.parametrize(
    "loss", [ProxyAnchor(classes=60, sizes=SIZES), lambda similarity, labels: similarity.mean()], ids=["proxies", "own"]
)
def test_a_loss_of_one_label_a_picture_refuses_them(loss):
    with pytest.raises(LossError, match="takes one label a picture"):
        OnlineBoosting(loss).boost(batch(), as_relations(LABELS))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(300, 300, dtype=torch.int8),
        as_relations(LABELS) * 2,
        as_relations(LABELS).triu(),
    ],
    ids=["nothing is like itself", "a number without a meaning", "not symmetric"],
)
def test_a_wrong_matrix(wrong):
    with pytest.raises(LossError, match="give a symmetric one of 1 \\(same\\), 0 and -1 \\(unknown\\)"):
        OnlineBoosting(MultiSimilarity()).boost(batch(), wrong)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_a_pair_that_differs(name):
    alike = as_relations(LABELS)
    alike[alike == DIFFERENT] = UNKNOWN
    with pytest.raises(LossError, match="no negative pair"):
        OnlineBoosting(LOSSES[name]).boost(batch(), alike)
