"""What a wait says while it lasts."""

from __future__ import annotations

import io

import pytest

from bier.system import waiting
from bier.system.console import plain_console
from bier.system.waiting import Waiting, in_words


def test_without_a_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Waiting(plain_console(file=out), "embedding", 1000, done=100) as told:
        for _ in range(7):
            now[0] += 10
            told.advance(100)
    assert out.getvalue() == "embedding: 500 of 1,000 images, 10 images/s, 50 s left\n"


def test_what_is_counted_may_change() -> None:
    out = io.StringIO()
    console = plain_console(file=out, force_terminal=True, width=200)
    with Waiting(console, "reading photos", unit="files") as told:
        told.share(2)(3)
        assert told.text().startswith("6 files, ")
        told.turn("pictures", 8)
        told.show(2)
        assert told.text().startswith("2 of 8 pictures, ")
    assert "reading photos" in out.getvalue()


def test_stages_of_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Waiting(plain_console(file=out), "indexing", 1000) as told:
        told.advance(1000)
        for what, done, total in [("finding the parts", 0, None), ("sorting", 100, 400), ("sorting", 200, 400)]:
            now[0] += 20
            told.stage(what, done, total)
            now[0] += 20
            told.stage(what, done, total)
    assert out.getvalue() == "finding the parts: 20 s\nsorting: 100 of 400 pictures, 5 pictures/s, 60 s left\n" + (
        "sorting: 200 of 400 pictures, 3 pictures/s, 60 s left\n"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3540, "59 min"), (11_100, "3 h 05 min")]
)
def test_spans_of_time(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
