"""Ids that may be there: never one too few, whoever has changed the table."""

from pathlib import Path

import pytest
from ensembles import numbered

from bier.search import IndexInfo, create_index, open_index
from bier.search.engines import lance
from bier.search.known_ids import KnownIds

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))


def test_all_ids_are_read_again_only_after_a_change_that_was_not_told() -> None:
    known, reads = KnownIds(), []

    def read() -> list[list[str]]:
        reads.append(1)
        return [["a"], ["b"]]

    assert known.among(["a", "b", "c"], 1, read) == ["a", "b"]
    known.changed(1, 2, ["c"])
    assert known.among(["a", "c", "d"], 2, read) == ["a", "c"]
    assert len(reads) == 1
    known.changed(7, 8, ["d"])  # somebody else came between
    assert known.among(["a", "d"], 8, read) == ["a"]
    assert len(reads) == 2


@pytest.mark.parametrize("worth", [0, 1000])
def test_what_another_process_has_added_is_replaced_and_not_there_twice(
    worth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "_WORTH_KNOWING", worth)
    with create_index(tmp_path / "index", INFO) as one, open_index(tmp_path / "index") as other:
        one.add(["a"], numbered(1, 1, INFO), [{"label": "one"}])
        other.add(["b"], numbered(2, 1, INFO), [{"label": "other"}])
        one.add(["b", "c"], numbered(3, 2, INFO), [{"label": "one"}] * 2)
        other.delete(["a"])
        other.add(["a"], numbered(4, 1, INFO), [{"label": "again"}])
        one.add(["a"], numbered(5, 1, INFO), [{"label": "last"}])
        rows = {record.id: record.metadata["label"] for part in one.scan() for record in part.records()}
        assert rows == {"a": "last", "b": "one", "c": "one"}
        assert one.count() == 3
