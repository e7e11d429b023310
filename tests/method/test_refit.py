"""Heads averaged with a whitening of their features."""

from __future__ import annotations

import pytest
import torch

from bier import EmbeddingEnsemble
from bier.errors import ConfigError
from bier.method.refit import average, refit
from bier.method.whitening import whiten

LABELS = torch.arange(40).repeat_interleave(8)


def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(40, 30, generator=generator)
    return centres[LABELS] + torch.randn(320, 30, generator=generator) * torch.linspace(2, 0.2, 30) + 1


def head(sizes: tuple[int, ...] = (4, 8)) -> EmbeddingEnsemble:
    torch.manual_seed(0)
    return EmbeddingEnsemble(30, sizes)


def outputs(one: EmbeddingEnsemble) -> torch.Tensor:
    return one.linear(features()).detach()


def test_a_share_of_0_is_the_head_itself() -> None:
    trained = head()
    whiten(trained, features(), LABELS)
    same = average(trained, head(), 0)
    assert torch.equal(same.linear.weight, trained.linear.weight)
    assert torch.equal(same.linear.bias, trained.linear.bias)


def test_an_average_is_the_average_of_the_outputs() -> None:
    trained = head()
    fitted = refit(trained, features(), LABELS)
    mean = average(trained, fitted, 0.3)
    torch.testing.assert_close(outputs(mean), 0.7 * outputs(trained) + 0.3 * outputs(fitted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [12, 40], ids=["fewer outputs than features", "more"])
def test_of_one_learner_it_keeps_its_cosines_and_takes_the_heads_length(size: int) -> None:
    trained, whitening = head((size,)), head((size,))
    fitted = refit(trained, features(), LABELS, power=1.0)
    whiten(whitening, features(), LABELS, power=1.0)
    one, other = (torch.nn.functional.normalize(outputs(each)) for each in (fitted, whitening))
    torch.testing.assert_close(one @ one.T, other @ other.T, rtol=0, atol=1e-4)
    assert outputs(fitted).norm(dim=1).mean() == pytest.approx(float(outputs(trained).norm(dim=1).mean()), rel=1e-4)


def test_the_last_learner_keeps_its_place() -> None:
    """Of a head that is a whitening already, whatever its rotation."""
    trained = head()
    whiten(trained, features(), LABELS, seed=3)
    fitted = refit(trained, features(), LABELS, seed=0)
    torch.testing.assert_close(outputs(fitted)[:, 4:], outputs(trained)[:, 4:], rtol=1e-3, atol=1e-4)


def test_the_learners_before_it_are_the_best_whitening_of_their_size() -> None:
    fitted, smaller = refit(head((4, 4, 8)), features(), LABELS), head((8,))
    whiten(smaller, features(), LABELS)
    one, other = outputs(fitted)[:, :8], outputs(smaller)
    one, other = (torch.nn.functional.normalize(each) for each in (one, other))
    torch.testing.assert_close(one @ one.T, other @ other.T, rtol=0, atol=1e-4)


def test_the_head_and_the_features_are_left_alone() -> None:
    trained, given = head(), features()
    before = trained.linear.weight.clone()
    fitted = refit(trained, given, LABELS)
    assert torch.equal(trained.linear.weight, before)
    assert torch.equal(given, features())
    assert (fitted.sizes, fitted.weighting, fitted.linear.weight.dtype) == ((4, 8), "boosting", torch.float32)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_no_share(share: float) -> None:
    with pytest.raises(ConfigError, match="is no share"):
        average(head(), head(), share)
