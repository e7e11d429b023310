"""How long the sentences of the documents are: `make prose`, or `python docs/sentences.py [FILES]`.

A sentence counts if it has four words or more. Code blocks, tables, headings, pictures and directives are left
out; a code span is one word; a link counts as its text. The exit status is 1 where the aims below are missed.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MEDIAN, P90 = 16, 25
"""The aims: most words of the median sentence, and of the 90th percentile."""

SHORTEST = 4
SHOWN = 10

_FENCED = re.compile(r"^([ \t]*)(`{3,}|~{3,}).*?^[ \t]*\2[ \t]*$", re.S | re.M)
_HTML = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.S)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_SPAN = re.compile(r"(`+)[^`].*?\1", re.S)
_LEFT_OUT = re.compile(r"\s*(\||#{1,6}\s|:::\s|!!!\s|\?\?\?|-{3,}\s*$)")  # a table's row, heading, directive, rule
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_END = re.compile(r"""(?<=[.!?:])[*_"')]*\s+(?=[A-Z*(])""")
_WORD = re.compile(r"[A-Za-z0-9][\w'.-]*")


@dataclass(frozen=True)
class Sentence:
    page: str
    text: str

    @property
    def words(self) -> int:
        return len(_WORD.findall(self.text))


def sentences(markdown: str, page: str = "") -> list[Sentence]:
    """The sentences of a page that are long enough to count."""
    found = [Sentence(page, text) for block in _blocks(_prose(markdown)) for text in _END.split(block)]
    return [sentence for sentence in found if sentence.words >= SHORTEST]


def p90(lengths: list[int]) -> int:
    """The smallest length that 90 % of the sentences do not exceed."""
    return sorted(lengths)[math.ceil(0.9 * len(lengths)) - 1]


def figures(found: list[Sentence]) -> tuple[float, int]:
    """Median and 90th percentile of the words a sentence; zeros where there is none."""
    lengths = [sentence.words for sentence in found]
    return (median(lengths), p90(lengths)) if lengths else (0, 0)


def meets_aims(found: list[Sentence]) -> bool:
    middle, high = figures(found)
    return middle <= MEDIAN and high <= P90


def pages(root: Path) -> list[Path]:
    """README.md and all pages below docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _prose(markdown: str) -> str:
    """The page without what is not prose; each span of code has become one word."""
    for pattern, by in ((_FENCED, ""), (_SPAN, "Code"), (_HTML, ""), (_IMAGE, ""), (_LINK, r"\1")):
        markdown = pattern.sub(by, markdown)
    return markdown


def _blocks(prose: str) -> list[str]:
    """Paragraphs and list items, each on one line."""
    blocks: list[list[str]] = [[]]
    for line in prose.splitlines():
        if not line.strip() or _LEFT_OUT.match(line):
            blocks.append([])
        elif item := _ITEM.match(line):
            blocks.append([line[item.end() :]])
        else:
            blocks[-1].append(line)
    return [" ".join(" ".join(block).split()) for block in blocks if block]


def _line(name: str, found: list[Sentence]) -> str:
    middle, high = figures(found)
    return f"{name:<32} {len(found):>9} {middle:>7g} {high:>5}"


def main(names: list[str]) -> int:
    root = Path(__file__).parents[1]
    files = {name: Path(name) for name in names} or {str(page.relative_to(root)): page for page in pages(root)}
    read = {name: sentences(file.read_text(encoding="utf-8"), name) for name, file in files.items()}
    everything = [sentence for found in read.values() for sentence in found]
    print(f"{'page':<32} {'sentences':>9} {'median':>7} {'p90':>5}")
    for name, found in read.items():
        print(_line(name, found))
    print(_line("all", everything))
    print(f"\nThe longest {SHOWN}:")
    for sentence in sorted(everything, key=lambda sentence: -sentence.words)[:SHOWN]:
        print(f"{sentence.words:>4}  {sentence.page}: {sentence.text}")
    if meets_aims(everything):
        return 0
    print(f"\nToo long: the median may be {MEDIAN} words, the 90th percentile {P90}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
