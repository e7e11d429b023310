"""Everything that an index holds is read, and what cannot be right is named."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import fitted, numbered

from bier.errors import SearchError
from bier.search import IndexInfo, Rows, create_index
from bier.search.check import check_index
from bier.search.engines.exact import ExactIndex

INFO = IndexInfo("model", (2, 4), (0.5, 0.8))


@pytest.fixture
def index(tmp_path):
    with create_index(tmp_path / "index", INFO, "exact") as opened:
        opened.add(
            [str(row) for row in range(300)], fitted(np.random.default_rng(0).random((300, 6)), INFO), [{}] * 300
        )
        yield opened


def test_what_is_sound_is_counted(make):
    index = make()
    index.add(["a", "b"], numbered(1, 2, INFO), [{"label": "x"}, {}])
    read = []
    found = check_index(index, read.append)
    assert (found.pictures, sum(read)) == (2, 2)
    assert (found.files > 0) == (index.info.engine != "milvus")


@pytest.mark.parametrize(
    ("ids", "vectors", "label", "what"),
    [
        (["a"], np.full((1, 6), 3e35), None, "its learner 1 has the length"),
        (["a"], np.full((1, 6), np.nan), None, "its learner 1 has the length nan"),
        (["", "b"], numbered(1, 2, INFO), None, "cannot be an id"),
        (["a", "a"], numbered(1, 2, INFO), None, "the id 'a' is there twice"),
        (["a"], numbered(1, 1, INFO), "x\0", "cannot be a value of the field 'label'"),
    ],
)
def test_what_an_engine_can_hold_and_no_index_may_is_named(index, monkeypatch, ids, vectors, label, what):
    metadata = [{"image": None, "label": label}] * len(ids)
    monkeypatch.setattr(ExactIndex, "scan", lambda self: iter([Rows(ids, vectors.astype(np.float32), metadata)]))
    with pytest.raises(SearchError, match=what) as raised:
        check_index(index)
    assert "backup" in str(raised.value)


def test_pictures_that_cannot_be_read_are_missed(index, monkeypatch):
    monkeypatch.setattr(ExactIndex, "_count", lambda self, filters: 301)
    with pytest.raises(SearchError, match="300 pictures can be read, and 301 should be there"):
        check_index(index)
