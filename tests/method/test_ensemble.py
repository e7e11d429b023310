"""The ensemble: learners, weights, prefixes, and the one vector whose dot product is the boosted score."""

from __future__ import annotations

import math

import pytest
import torch

from bier import EmbeddingEnsemble, learner_sizes
from bier.errors import ConfigError
from bier.method.ensemble import PUBLISHED_SIZES, boosting_rate, boosting_weights


def test_weights_are_those_of_the_recursion() -> None:
    """alpha_m = nu_m prod_{k>m} (1 - nu_k), computed step by step."""
    for learners in range(1, 9):
        expected = [
            boosting_rate(m) * math.prod(1 - boosting_rate(k) for k in range(m + 1, learners + 1))
            for m in range(1, learners + 1)
        ]
        assert boosting_weights(learners).tolist() == pytest.approx(expected)
        assert sum(expected) == pytest.approx(1)
    assert boosting_weights(3).tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 2])


@pytest.mark.parametrize(
    ("dimensions", "learners", "expected"),
    [(512, 3, (85, 171, 256)), (1024, 3, (171, 341, 512)), (512, 1, (512,)), (6, 3, (1, 2, 3)), (64, 2, (21, 43))],
)
def test_sizes_in_proportion(dimensions: int, learners: int, expected: tuple[int, ...]) -> None:
    assert learner_sizes(dimensions, learners) == expected


def test_sizes_always_sum_up() -> None:
    for learners in range(1, 9):
        for dimensions in range(learners * (learners + 1) // 2, 300, 7):
            sizes = learner_sizes(dimensions, learners)
            assert sum(sizes) == dimensions
            assert list(sizes) == sorted(sizes)
            assert min(sizes) >= 1


@pytest.mark.parametrize("weighting", ["boosting", "size", "equal"])
def test_the_dot_product_is_the_weighted_score(weighting: str) -> None:
    torch.manual_seed(0)
    head = EmbeddingEnsemble(20, (3, 5, 8), weighting=weighting).double()  # type: ignore[arg-type]
    features = torch.randn(7, 20, dtype=torch.float64)
    alpha = {"boosting": [1 / 6, 1 / 3, 1 / 2], "size": [(d / 16) ** 2 for d in (3, 5, 8)], "equal": [1 / 3] * 3}
    score = torch.zeros(7, 7, dtype=torch.float64)
    for weight, f in zip(alpha[weighting], head.learners(features), strict=True):
        z = f / f.norm(dim=1, keepdim=True)
        score += weight * z @ z.T
    vectors = head(features)
    assert vectors.shape == (7, 16)
    assert torch.allclose(vectors @ vectors.T, score)
    if weighting != "size":
        assert torch.allclose(vectors.norm(dim=1), torch.ones(7, dtype=torch.float64))


def test_learners_may_have_shares_of_their_own() -> None:
    head, features = EmbeddingEnsemble(20, (3, 5, 8), weighting=(6, 3, 1)), torch.randn(7, 20)
    torch.testing.assert_close(head.scales().square(), torch.tensor([0.6, 0.3, 0.1]))
    torch.testing.assert_close(head.scales(2).square(), torch.tensor([2 / 3, 1 / 3]))
    assert head.prefix(2).weighting == (6, 3)
    with torch.no_grad():
        assert torch.equal(head.prefix(2)(features), head(features, 2))
        torch.testing.assert_close(head(features).norm(dim=1), torch.ones(7))


def test_a_prefix_is_a_smaller_embedding_of_its_own() -> None:
    torch.manual_seed(0)
    head = EmbeddingEnsemble(20, (3, 5, 8))
    features = torch.randn(4, 20)
    for learners, dimensions in ((1, 3), (2, 8), (3, 16)):
        small = head(features, learners=learners)
        assert small.shape == (4, dimensions)
        assert torch.allclose(small.norm(dim=1), torch.ones(4))
        assert torch.allclose(head.prefix(learners)(features), small, atol=1e-6)
    with pytest.raises(ConfigError, match="no prefix of 4"):
        head(features, learners=4)


def test_no_parameters_beyond_the_linear_layer() -> None:
    assert sum(p.numel() for p in EmbeddingEnsemble(1280, "bier-512").parameters()) == 1280 * 512 + 512


def test_a_zero_output_does_not_divide_by_zero() -> None:
    head = EmbeddingEnsemble(4, (2, 3))
    features = torch.zeros(2, 4, requires_grad=True)
    head(features).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_published_cuts_by_name() -> None:
    assert EmbeddingEnsemble(8, "bier-512").sizes == (96, 160, 256)
    assert {name: sum(sizes) for name, sizes in PUBLISHED_SIZES.items()} == {"bier-512": 512, "bier-1024": 1024}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"sizes": (96, 160), "dimensions": 512}, "sum to 256"),
        ({"sizes": (96, 160), "learners": 3}, "2 sizes for 3 learners"),
        ({"sizes": "bier-513"}, "unknown cut 'bier-513'"),
        ({"sizes": (0, 4)}, "not positive whole numbers"),
        ({"sizes": ()}, "not positive whole numbers"),
        ({"dimensions": 5, "learners": 3}, "cannot cut 5 dimensions into 3 learners"),
        ({"weighting": "boost"}, "unknown weighting"),
        ({"sizes": (4, 8), "weighting": (1.0,)}, "not a positive number for each of 2 learners"),
        ({"sizes": (4, 8), "weighting": (1.0, 0.0)}, "not a positive number for each"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        EmbeddingEnsemble(8, **arguments)  # type: ignore[arg-type]
    assert caught.value.remedy
