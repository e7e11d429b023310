"""Heads turned so that their learners hold the principal directions, the strongest first."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from bier import EmbeddingEnsemble
from bier.errors import ConfigError, DataError
from bier.method.rotation import STRENGTH, rotate


def features(n: int = 320) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 30, generator=generator) * torch.linspace(3, 0.1, 30) + 1


def head(sizes: tuple[int, ...] = (3, 4, 8)) -> EmbeddingEnsemble:
    torch.manual_seed(0)
    return EmbeddingEnsemble(30, sizes)


def scored(one: EmbeddingEnsemble) -> torch.Tensor:
    """Outputs (n, D) as long as they count in the score, on average."""
    scales, learners = one.scales(), one.learners(features())
    return torch.cat([s * f / f.norm(dim=1).mean() for s, f in zip(scales, learners, strict=True)], dim=1).detach()


def test_it_is_a_rotation_of_what_counts_in_the_score() -> None:
    """But for the length of each learner, which `EmbeddingEnsemble` divides by anyway."""
    trained = head()
    turned = rotate(trained, features())
    before = scored(trained)
    _, _, directions = torch.linalg.svd(before, full_matrices=False)
    expected = before @ directions.T
    for found, wanted in zip(turned.learners(features()), turned.cut(expected), strict=True):
        found, wanted = normalize(found).detach(), normalize(wanted)
        torch.testing.assert_close(found @ found.T, wanted @ wanted.T, rtol=0, atol=1e-3)


def test_the_first_learners_hold_the_strongest_directions_and_count_most() -> None:
    trained = head()
    turned = rotate(trained, features())
    strength = torch.linalg.svdvals(scored(trained)).square()
    expected = torch.stack([part.sum() for part in turned.cut(strength)]).pow(STRENGTH)
    torch.testing.assert_close(torch.tensor(turned.weighting), expected / expected.sum(), rtol=1e-4, atol=1e-5)
    assert list(turned.weighting) == sorted(turned.weighting, reverse=True)  # type: ignore[type-var]


def test_outputs_are_of_length_1_on_average() -> None:
    for output in rotate(head(), features()).learners(features()):
        assert float(output.detach().square().sum(dim=1).mean()) == pytest.approx(1, rel=1e-4)


def test_it_gathers_what_was_spread_over_the_learners() -> None:
    """One direction tells classes apart, and each learner has a share of it: afterwards the first one has it all."""
    generator, classes = torch.Generator().manual_seed(1), torch.arange(200) % 2
    x = 0.05 * torch.randn(200, 30, generator=generator)
    x[:, 0] += 4 * (2 * classes - 1)
    turned = rotate(head(), x)
    first, last = (normalize(f).detach() for f in (turned.learners(x)[0], turned.learners(x)[-1]))
    alike = classes[:, None] == classes
    assert float((first @ first.T)[alike].min()) > 0.9
    assert float((first @ first.T)[~alike].max()) < -0.9
    assert abs(float((last @ last.T)[alike].mean() - (last @ last.T)[~alike].mean())) < 0.1


def test_one_learner_keeps_its_cosines_and_may_be_cut() -> None:
    trained = head((15,))
    one, other = (normalize(each.learners(features())[0]).detach() for each in (trained, rotate(trained, features())))
    torch.testing.assert_close(one @ one.T, other @ other.T, rtol=0, atol=1e-4)
    cut = rotate(trained, features(), (5, 10))
    assert (cut.sizes, len(cut.weighting)) == ((5, 10), 2)
    with pytest.raises(ConfigError, match="sum to 14, not to the 15"):
        rotate(trained, features(), (5, 9))


def test_the_head_and_the_features_are_left_alone() -> None:
    trained, given = head().half(), features()
    before = trained.linear.weight.clone()
    turned = rotate(trained, given)
    assert torch.equal(trained.linear.weight, before)
    assert trained.weighting == "boosting"
    assert torch.equal(given, features())
    assert (turned.sizes, turned.linear.weight.dtype) == ((3, 4, 8), torch.float16)


def test_more_outputs_than_features_leave_no_learner_without_a_weight() -> None:
    turned = rotate(head((30, 10, 20)), features())
    vectors = turned(features()).detach()
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(320), rtol=0, atol=1e-3)
    assert min(turned.weighting) > 0  # type: ignore[type-var]
    assert turned.weighting[0] > 0.99  # type: ignore[operator]


def test_of_few_images_rounding_does_not_decide() -> None:
    """The same five images in another order; directions without strength could go to the second learner or the last."""
    one, other = rotate(head(), features()[:5]), rotate(head(), features()[:5].flip(0))
    vectors, others = one(features()[5:]).detach(), other(features()[5:]).detach()
    torch.testing.assert_close(vectors @ vectors.T, others @ others.T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("given", [features(1), torch.full((5, 30), float("nan"))], ids=["one picture", "NaN"])
def test_what_cannot_be_turned(given: torch.Tensor) -> None:
    with pytest.raises(DataError, match="a rotation needs features of at least two images"):
        rotate(head(), given)
