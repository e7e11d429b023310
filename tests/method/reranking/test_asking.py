"""How a re-ranking is asked for, and what a wrong one is told."""

from __future__ import annotations

import pytest

from bier.errors import ConfigError
from bier.method.reranking import METHODS, parse
from bier.method.reranking.k_reciprocal import KReciprocal


def test_every_method_is_asked_for_by_what_it_says() -> None:
    for text in METHODS:
        assert str(parse(text)) == text
    assert parse("k-reciprocal, k1=10 ,lambda=0.25") == KReciprocal(k1=10, lambda_=0.25)
    assert str(parse("k-reciprocal,k1=10,k2=6")).startswith("k-reciprocal,k1=10")
    assert parse(str(parse("dba,n=3,alpha=0.25,first=50"))) == parse("dba,n=3,alpha=0.25,first=50")


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("k-recipocal", "unknown re-ranking 'k-recipocal'", "did you mean 'k-reciprocal'?"),
        ("", "unknown re-ranking ''", "choose one of"),
        ("alpha-qe,k1=3", "alpha-qe has no option 'k1'", "choose one of: first, n, alpha"),
        ("alpha-qe,n=2.5", "'2.5' is not a whole number", "write a whole number"),
        ("dba,n", "'' is not a whole number", "write a whole number"),
        ("alpha-qe,n=0", "n of alpha-qe is 0", "choose 1 to 1000"),
        ("alpha-qe,alpha=-1", "alpha of alpha-qe is -1", "choose 0 to 100"),
        ("dba,alpha=nan", "alpha of dba is nan", "choose 0 to 100"),
        ("k-reciprocal,lambda=1.5", "lambda of k-reciprocal is 1.5", "choose 0 to 1"),
        ("k-reciprocal,k1=5,k2=6", "k2 of k-reciprocal is 6", "choose 1 to 5"),
        ("k-reciprocal,k1=300", "takes 300 neighbours", "raise first"),
        ("k-reciprocal,first=5000", "first of k-reciprocal is 5000", "choose 2 to 1000"),
    ],
)
def test_what_cannot_be_is_one_message(text: str, what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, "--rerank")
    assert what in refused.value.what
    assert remedy in (refused.value.remedy or "")
    assert refused.value.where is not None


@pytest.mark.parametrize("text", list(METHODS))
def test_too_few_pictures_are_refused_with_what_can_be_asked_for(text: str) -> None:
    reranking = parse(text)
    reranking.check_pool(reranking.neighbours)
    with pytest.raises(ConfigError, match="there are 3 pictures to search among") as refused:
        reranking.check_pool(3)
    assert refused.value.remedy is not None
    parse(refused.value.remedy.rpartition(" ")[2]).check_pool(3)
