"""What takes long to read is read once for all who ask, and again when it may have changed."""

from __future__ import annotations

import pytest

from bier.serve import kept
from bier.serve.kept import Kept


class Reads:
    """Counts them; each gives its number."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> int:
        self.done += 1
        return self.done


def test_it_is_read_again_after_a_change_and_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    contents: Kept[int] = Kept(2)
    read = Reads()
    assert contents.there("a", 5) is None
    assert [contents.get("a", 5, read) for _ in range(3)] == [1, 1, 1]
    assert contents.there("a", 5) == 1
    assert contents.there("a", 6) is None, "the index has grown"
    assert contents.get("a", 6, read) == 2
    monkeypatch.setattr(kept, "FRESH", 0.0)
    assert contents.get("a", 6, read) == 3


def test_the_last_ones_asked_for_are_kept() -> None:
    contents: Kept[int] = Kept(2)
    read = Reads()
    for key in ("a", "b", "a", "c"):
        contents.get(key, 5, read)
    assert [contents.there(key, 5) for key in "abc"] == [1, None, 3]


def test_a_failure_is_told_and_not_kept() -> None:
    contents: Kept[int] = Kept(2)

    def broken() -> int:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        contents.get("a", 5, broken)
    assert contents.there("a", 5) is None
    assert contents.get("a", 5, Reads()) == 1
