"""What a search gives after re-ranking: the same pictures and scores, the first ones in another order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bier.errors import ConfigError
from bier.method.reranking import parse
from bier.search import ConfidentSearch, Index, IndexInfo, StagedSearch
from bier.search.reranked import RankAgain

INFO = IndexInfo("model", sizes=(2, 4), scales=(0.6, 0.8), fields=("image", "label"))


def vectors(count: int, seed: int) -> np.ndarray:
    parts = np.split(np.random.default_rng(seed).normal(size=(count, 6)), [2], axis=1)
    scaled = [
        s * part / np.linalg.norm(part, axis=1, keepdims=True) for s, part in zip(INFO.scales, parts, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32)


@pytest.fixture
def filled(make: Callable[..., Index]) -> Index:
    index = make(info=INFO)
    index.add([f"{row:02}" for row in range(40)], vectors(40, 0), [{"label": "abcd"[row % 4]} for row in range(40)])
    return index


@pytest.mark.parametrize("text", ["k-reciprocal,k1=5,k2=2,first=12", "alpha-qe,n=3,first=12", "dba,n=3,first=12"])
def test_the_first_hits_are_in_their_new_order_and_keep_their_scores(filled: Index, text: str) -> None:
    [query] = vectors(1, 1)
    [plain] = filled.search(query, 40)
    [again] = ConfidentSearch(filled, None, RankAgain.asked(text)).search(query, 20)
    stored = {record.id: record.vector for record in filled.get([hit.id for hit in plain]) if record is not None}
    pool = plain[:12]
    scores = parse(text).scores(query, np.stack([stored[hit.id] for hit in pool]))
    order = sorted(range(12), key=lambda row: -scores[row])
    assert order != list(range(12))
    assert [hit.id for hit in again.hits] == [pool[row].id for row in order] + [hit.id for hit in plain[12:20]]
    assert [hit.reranked for hit in again.hits[:12]] == pytest.approx(sorted(scores, reverse=True))
    assert {hit.reranked for hit in again.hits[12:]} == {None}
    assert {hit.id: hit.score for hit in again.hits} == {hit.id: hit.score for hit in plain[:20]}
    [few] = ConfidentSearch(filled, None, RankAgain.asked(text)).search(query, 2)
    assert few.hits == again.hits[:2], "the best of the first twelve, whatever was asked for"


def test_what_is_left_out_and_filtered_takes_no_part(filled: Index) -> None:
    [query] = vectors(1, 1)
    search = ConfidentSearch(filled, None, RankAgain.asked("alpha-qe,n=1"))
    [best] = filled.search(query, 1, {"label": "a"})
    [answer] = search.search(query, 40, {"label": "a"}, without={best[0].id})
    assert len(answer.hits) == 9
    [nearest] = filled.get([filled.search(query, 2, {"label": "a"})[0][1].id])
    assert nearest is not None
    expected = parse("alpha-qe,n=1").scores(query, np.stack([nearest.vector]))
    assert answer.hits[0].reranked == pytest.approx(expected[0])


def test_stages_can_be_ranked_again(filled: Index) -> None:
    queries, again = vectors(3, 1), RankAgain.asked("k-reciprocal,k1=5,k2=2")
    staged, plain = (ConfidentSearch(searched, None, again) for searched in (StagedSearch(filled), filled))
    assert [answer.hits for answer in staged.search(queries)] == [answer.hits for answer in plain.search(queries)]


def test_too_few_pictures_are_an_error_or_stay_as_they_are(filled: Index) -> None:
    [query] = vectors(1, 1)
    filled.delete([f"{row:02}" for row in range(0, 28, 4)])  # three of the label a are left
    with pytest.raises(ConfigError, match="k-reciprocal takes 20 neighbours, and there are 3 pictures") as refused:
        ConfidentSearch(filled, None, RankAgain.asked("k-reciprocal")).search(query, 10, {"label": "a"})
    assert "search without re-ranking, or write k-reciprocal,k1=1,k2=1" in str(refused.value)
    usual = ConfidentSearch(filled, None, RankAgain.asked("k-reciprocal", always=False))
    assert usual.search(query, 10, {"label": "a"})[0].hits == filled.search(query, 10, {"label": "a"})[0]
    nothing = ConfidentSearch(filled, None, RankAgain.asked("k-reciprocal"))
    assert nothing.search(query, 10, {"label": "none"})[0].hits == []
