"""What holds for every base loss. One that is registered by name is found."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import CircleLoss, NormalizedSoftmaxLoss
from reference import UNBALANCED, nu, raw_outputs
from torch import Tensor

import bier.losses
from bier import OnlineBoosting
from bier.errors import ConfigError, LossError
from bier.method.boosting import SHRINKAGE

CLASSES = 4
SIZES = (3, 4, 5)
LABELS = torch.tensor(UNBALANCED)
OPEN = {"LOSSES", "Boosted", "Loss", "PairLoss", "ProxyLoss", "TermLoss"}
"""Names of bier.losses that one writes a loss with."""


class Exponential(bier.losses.PairLoss):
    """A pair loss from outside the package."""

    def terms(self, similarity: Tensor, positive: Tensor) -> Tensor:
        return torch.exp(torch.where(positive, -similarity, 2 * similarity))


class Quadruplet(bier.losses.TermLoss):
    """A loss of terms from outside the package: every positive pair above every negative one."""

    def margins(self, scores: Tensor, labels: Tensor) -> Tensor:
        first, second = torch.triu_indices(len(labels), len(labels), 1)
        s, positive = scores[first, second], labels[first] == labels[second]
        return s[positive][:, None] - s[~positive] - 0.2

    def penalty(self, margins: Tensor) -> Tensor:
        return torch.relu(-margins)


def neighbours(similarity: Tensor, labels: Tensor) -> Tensor:
    """A function from outside the package."""
    logits = (similarity / 0.1).masked_fill(torch.eye(len(labels), dtype=torch.bool), -torch.inf)
    return -(logits.softmax(dim=1) * (labels[:, None] == labels)).sum(dim=1).clamp_min(1e-8).log().mean()


def registered(name: str, sizes: Sequence[int]) -> bier.losses.Loss:
    """A loss by its name, as a run builds it."""
    kind = bier.losses.LOSSES[name]
    known = {"classes": CLASSES, "sizes": sizes}
    return kind(**{key: value for key, value in known.items() if key in inspect.signature(kind).parameters})


MEMBERS: dict[str, Callable[[Sequence[int]], Any]] = {
    **{name: partial(registered, name) for name in bier.losses.LOSSES},
    "EmbeddingLoss": lambda sizes: bier.losses.EmbeddingLoss(lambda d: NormalizedSoftmaxLoss(CLASSES, d), sizes),
    "FunctionLoss": lambda sizes: bier.losses.FunctionLoss(neighbours),
    "PytorchMetricLearning": lambda sizes: bier.losses.PytorchMetricLearning(CircleLoss()),
    "a pair loss of one's own": lambda sizes: Exponential(),
    "a loss of terms of one's own": lambda sizes: Quadruplet(),
}
BOOSTED = [(name, schedule) for name, make in MEMBERS.items() for schedule in make(SIZES).schedules]
everywhere = pytest.mark.parametrize(("name", "schedule"), BOOSTED)


def build(name: str, schedule: Any, sizes: Sequence[int] = SIZES) -> OnlineBoosting:
    torch.manual_seed(0)
    return OnlineBoosting(MEMBERS[name](sizes), schedule).double()


def gradients(boosted: bier.losses.Boosted, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(boosted.loss, inputs, retain_graph=True)


def test_every_loss_of_the_package_is_a_member() -> None:
    assert set(bier.losses.__all__) - OPEN <= {type(make(SIZES)).__name__ for make in MEMBERS.values()}


@pytest.mark.parametrize("name", MEMBERS)
def test_schedules_that_are_not_declared_are_refused(name: str) -> None:
    loss = MEMBERS[name](SIZES)
    assert OnlineBoosting(loss).schedule in loss.schedules
    for schedule in {"additive", "convex", "stagewise", "independent", "backwards"} - set(loss.schedules):
        with pytest.raises(ConfigError) as caught:
            OnlineBoosting(loss, schedule)  # type: ignore[arg-type]
        assert caught.value.where == "schedule"
        assert "stagewise" in str(caught.value.remedy)


@everywhere
def test_the_loss_is_the_mean_over_learners_and_reaches_all_of_them(name: str, schedule: str) -> None:
    boost, outputs = build(name, schedule), raw_outputs(3)
    boosted = boost.boost(outputs, LABELS)
    assert (boosted.losses.shape, boosted.weights, boosted.scores) == ((3,), (), ())
    assert not boosted.losses.requires_grad
    torch.testing.assert_close(boosted.loss.detach(), boosted.losses.mean())
    found = gradients(boosted, [*outputs, *boost.parameters()])
    assert all(g.isfinite().all() and g.any() for g in found)
    assert torch.equal(boost(outputs, LABELS), boosted.loss)
    assert torch.equal(boost.last.losses, boosted.losses)
    assert not boost.last.loss.requires_grad


@everywhere
def test_learners_take_earlier_ones_as_constants_and_know_no_later_ones(name: str, schedule: str) -> None:
    outputs = raw_outputs(3)
    whole = build(name, schedule).boost(outputs, LABELS)
    for m in (1, 2):
        first = build(name, schedule).boost(outputs[:m], LABELS)
        torch.testing.assert_close(first.losses, whole.losses[:m])
        for one, other in zip(gradients(first, outputs[:m]), gradients(whole, outputs[:m]), strict=True):
            torch.testing.assert_close(m * one, 3 * other)


@everywhere
def test_one_learner_alone_has_the_loss_itself_whatever_the_schedule(name: str, schedule: str) -> None:
    outputs = raw_outputs(1)
    expected = build(name, None).boost(outputs, LABELS)
    found = build(name, schedule).boost(outputs, LABELS)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(gradients(found, outputs), gradients(expected, outputs))


@everywhere
def test_a_trace_changes_nothing_and_holds_what_it_should(name: str, schedule: str) -> None:
    boost, outputs = build(name, schedule), raw_outputs(3)
    plain, traced = boost.boost(outputs, LABELS), boost.boost(outputs, LABELS, trace=True)
    assert torch.equal(plain.loss, traced.loss)
    assert torch.equal(plain.losses, traced.losses)
    for one, other in zip(gradients(plain, outputs), gradients(traced, outputs), strict=True):
        assert torch.equal(one, other)
    assert len(traced.scores) == 3
    expected = None
    for m in range(3):
        z = torch.nn.functional.normalize(outputs[m].detach())
        s = boost.loss.scores(z, m).detach()
        expected = s if expected is None else (1 - nu(m + 1)) * expected + nu(m + 1) * s
        torch.testing.assert_close(traced.scores[m], expected)
    reweighted = schedule in SHRINKAGE
    assert len(traced.weights) in ((3,) if reweighted else (0, 3))
    for weight in traced.weights:
        assert weight.shape == traced.weights[0].shape
        assert weight.isfinite().all() and (weight >= 0).all() and not weight.requires_grad
    if reweighted:
        assert set(traced.weights[0].unique().tolist()) <= {0.0, 1.0}, "the first learner takes all terms as they come"


@everywhere
def test_the_order_of_the_images_does_not_matter(name: str, schedule: str) -> None:
    boost, outputs = build(name, schedule), raw_outputs(3)
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(3))
    one, other = boost.boost(outputs, LABELS), boost.boost([f[order] for f in outputs], LABELS[order])
    torch.testing.assert_close(one.losses, other.losses)
    torch.testing.assert_close(gradients(one, outputs), gradients(other, outputs))


@everywhere
def test_a_batch_of_one_class_is_an_error_or_has_finite_gradients(name: str, schedule: str) -> None:
    boost, outputs = build(name, schedule), raw_outputs(3, n=4)
    with contextlib.suppress(LossError):  # those that need a negative pair
        boosted = boost.boost(outputs, torch.ones(4, dtype=torch.long))
        assert boosted.loss.isfinite()
        assert all(g.isfinite().all() for g in gradients(boosted, outputs))


@everywhere
def test_autocast_and_half_precision_leave_the_loss_in_float32(name: str, schedule: str) -> None:
    boost = build(name, schedule).float()
    outputs = [f.detach().bfloat16().requires_grad_() for f in raw_outputs(3)]
    plain = boost.boost([f.float() for f in outputs], LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        boosted = boost.boost(outputs, LABELS)
    assert boosted.loss.dtype == torch.float32
    assert torch.equal(boosted.loss, plain.loss)
    for one, other in zip(gradients(boosted, outputs), gradients(plain, outputs), strict=True):
        assert one.dtype == torch.bfloat16
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", [torch.int8, torch.int32, torch.uint8], ids=str)
@everywhere
def test_labels_of_any_type_of_whole_numbers(name: str, schedule: str, kind: torch.dtype) -> None:
    boost, outputs = build(name, schedule), raw_outputs(3)
    one, other = boost.boost(outputs, LABELS), boost.boost(outputs, LABELS.to(kind))
    assert torch.equal(one.loss, other.loss)
    for mine, theirs in zip(gradients(one, outputs), gradients(other, outputs), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("module", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("learners", [torch.float64, torch.float16], ids=str)
@everywhere
def test_modules_and_learners_of_any_precision(
    name: str, schedule: str, module: torch.dtype, learners: torch.dtype
) -> None:
    expected = build(name, schedule).boost(raw_outputs(3), LABELS).loss
    outputs = [f.detach().to(learners).requires_grad_() for f in raw_outputs(3)]
    boosted = build(name, schedule).to(module).boost(outputs, LABELS)
    assert boosted.loss.dtype in (torch.float32, torch.float64)
    torch.testing.assert_close(boosted.loss.double(), expected, rtol=0.1, atol=0.05)
    assert all(g.isfinite().all() for g in gradients(boosted, outputs))


@pytest.mark.parametrize("label", [-1, CLASSES], ids=["negative", "too large"])
@everywhere
def test_a_label_is_any_number_or_is_named(name: str, schedule: str, label: int) -> None:
    """Losses with proxies need one for each class; the others compare labels only."""
    boost, outputs, labels = build(name, schedule), raw_outputs(3), LABELS.clone()
    labels[2] = label
    if [*boost.parameters()]:
        with pytest.raises(LossError, match=rf"labels? .*{label}\b"):
            boost.boost(outputs, labels)
    else:
        assert boost.boost(outputs, labels).loss.isfinite()


@pytest.mark.parametrize("count", [0, 1])
@everywhere
def test_the_smallest_batches_have_a_number_or_an_error(name: str, schedule: str, count: int) -> None:
    if name == "FunctionLoss" and count:
        pytest.skip("the function of this test has no value without a neighbour")
    boost, outputs = build(name, schedule), [f[:count] for f in raw_outputs(3)]
    with contextlib.suppress(LossError):
        boosted = boost.boost(outputs, LABELS[:count])
        assert boosted.loss.isfinite()
        assert all(g.isfinite().all() for g in gradients(boosted, outputs))


@everywhere
def test_labels_that_are_no_whole_numbers_are_refused(name: str, schedule: str) -> None:
    for labels in (LABELS.float(), LABELS.to(torch.complex64), LABELS.tolist(), LABELS[:, None], LABELS[:-1]):
        with pytest.raises(LossError, match="labels of"):
            build(name, schedule).boost(raw_outputs(3), labels)
