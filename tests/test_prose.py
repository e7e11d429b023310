"""The documents can be read: their sentences are counted as said, and are short enough."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = """\
# A heading of a good many words is no sentence

One two three four. Five six seven
eight nine: Ten eleven twelve thirteen! Too short.

| a row | of a table | with many words | is left out |

- An item with a [link of four words](other.md) and `a span of code`.
- **A bold sentence of six words.** Numbers like 0.5 do not end one.

![A picture of a boot on a beach](boot.png)
::: bier.EmbeddingEnsemble

```python
print("Code is no sentence either.")
```

`Code` may start a sentence. `It` may follow one, with a link [`x`](x.md).
"""
EXPECTED = [4, 5, 4, 10, 6, 7, 5, 8]


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("sentences")


def words(count: int) -> str:
    return " ".join(["Word", *["word"] * (count - 1)]) + "."


def test_sentences_are_counted_as_by_hand(measure: ModuleType) -> None:
    assert [sentence.words for sentence in measure.sentences(PAGE)] == EXPECTED


def test_the_figures_are_the_median_and_the_90th_percentile(measure: ModuleType) -> None:
    page = "\n\n".join(words(count) for count in range(10, 20))
    assert measure.figures(measure.sentences(page)) == (14.5, 18)


@pytest.mark.parametrize(
    ("lengths", "fine"), [([16] * 9 + [90], True), ([17] * 10, False), ([10] * 8 + [26] * 2, False)]
)
def test_the_status_says_whether_the_aims_are_met(tmp_path: Path, lengths: list[int], fine: bool) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n\n".join(words(count) for count in lengths))
    command = [sys.executable, ROOT / "docs/sentences.py", page]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == (0 if fine else 1), done.stderr
    assert f"{max(lengths)}  {page}: Word" in done.stdout


def test_the_documents_have_short_sentences(measure: ModuleType) -> None:
    pages = measure.pages(ROOT)
    assert {"README.md", "tutorial.md", "results.md"} <= {page.name for page in pages}, "the walk finds no pages"
    found = [s for page in pages for s in measure.sentences(page.read_text(encoding="utf-8"), page.name)]
    longest = sorted(found, key=lambda sentence: -sentence.words)[:5]
    assert measure.meets_aims(found), f"{measure.figures(found)}; longest: {longest}"
