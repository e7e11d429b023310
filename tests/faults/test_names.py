"""Names and labels that are markup, formulas, paths or hard to read are shown as they are, and never obeyed."""

from __future__ import annotations

import csv
import io
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Made, ended_well
from faults.test_serving import serving
from faults.warm import Warm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LABELS = [
    "<script>document.title='obeyed'</script>",
    "<img src=x onerror=\"document.title='obeyed'\">",
    "[/x]",
    "[bold red]loud[/]",
    '=HYPERLINK("http://example.invalid";"x")',
    "+1-2",
    "two\nlines",
    "..",
    "../../etc/passwd",
    "a'b\"c`d",
    "{{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd",
    "NAN",  # a table's "nan" is a missing label
    "tab\there",
    "x" * 2000,
    unicodedata.normalize("NFC", "Müller"),
    "'; DROP TABLE pictures; --",
    "%s %d \\0 \\n",
    "&lt;b&gt;",
]
FILES = [
    "<b>bold</b>.jpg",
    "a [/x] [bold].jpg",
    "=1+1.jpg",
    "quo'te\".jpg",
    "; rm -rf x.jpg",
    "--help.jpg",
    "\u202egpj.jpg",
    "100%25.jpg",
    "a#b?c=d.jpg",
    "L" * 200 + ".jpg",
    "spa ce .jpg",
    unicodedata.normalize("NFD", "Müller.jpg"),
]
"""One of each has a picture of its own. A table takes no path with a line break."""
Tried = Callable[[str], None]


@pytest.fixture(scope="module")
def hostile(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four pictures of each label, under names as hostile."""
    root = tmp_path_factory.mktemp("hostile") / "photos [/x] <b>"
    root.mkdir(parents=True)
    pictures = sorted(made.photos.rglob("*.jpg"))
    rows = []
    for number, label in enumerate(LABELS):
        for copy in range(4):
            place = 4 * number + copy
            name = FILES[place % len(FILES)] if place < len(FILES) else f"{place}-{FILES[place % len(FILES)]}"
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(pictures[place % len(pictures)], root / name)
            rows.append((name, label))
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label"), *rows])
    return root / "labels.csv"


@pytest.fixture(scope="module")
def run(warm: Warm, made: Made, hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on them, in a folder whose name is markup, too."""
    out = tmp_path_factory.mktemp("runs") / "run [/y] <i> $(x)"
    ended = ended_well(warm.command("train", hostile, "--config", made.settings, "--out", out))
    assert str(out) in ended.out.replace("\n", ""), "its own place is not shown as it is"
    return out


@pytest.fixture(scope="module")
def index(warm: Warm, hostile: Path, run: Path) -> Path:
    folder = run.parent / "index [/z] 'q'"
    ended_well(warm.command("index", hostile, "--out", folder, "--model", run))
    return folder


def test_commands_say_them_as_they_are(
    warm: Warm, hostile: Path, run: Path, index: Path, tmp_path: Path, tried: Tried
) -> None:
    for name in [" [/x] p.html", "--page [bold].html", "q'uote.html"]:
        for words in (
            ["report", run, "--out", tmp_path / name],
            ["search", index, first(hostile), "--html", tmp_path / name],
        ):
            ended = ended_well(warm.command(*words, env={"COLUMNS": 4000}))
            assert str(tmp_path / name) in ended.out
            assert (tmp_path / name).stat().st_size > 1000
    checked = warm.command("data", "check", hostile, env={"COLUMNS": 4000})
    assert checked.code in (0, 2) and "Traceback" not in checked.err, checked
    shown = ended_well(warm.command("search", index, first(hostile), "--top", 80, env={"COLUMNS": 9000})).out
    for label in LABELS:
        for line in label.splitlines():  # other columns stand between two of them
            assert squeezed(line) in squeezed(shown), f"{label!r} is not shown as it is"
    removed = ended_well(warm.command("index", "remove", index, "no [/such] id"))
    assert removed.out.startswith("0 removed")
    tried(f"hostile: {len(LABELS)} labels on {len(FILES)} kinds of file names through 6 commands")


def first(hostile: Path) -> Path:
    return min(hostile.parent.glob("*.jpg"))


def test_pages_show_them_and_obey_nothing(
    warm: Warm, hostile: Path, run: Path, index: Path, browser: Any, tmp_path: Path, tried: Tried
) -> None:
    ended_well(warm.command("search", index, first(hostile), "--top", 80, "--html", tmp_path / "found.html"))
    pages = {"report": run / "report.html", "found": tmp_path / "found.html"}
    for name, path in pages.items():
        with opened(browser, path.as_uri()) as page:
            text = page.inner_text("body")
            assert page.title() != "obeyed" and page.locator("script[src], [onerror], [src=x]").count() == 0, name
            assert name != "found" or all(squeezed(label) in squeezed(text) for label in LABELS if len(label) < 100)
    with serving(warm, index) as served, opened(browser, served.address) as page:
        page.set_viewport_size({"width": 1200, "height": 20_000})  # tiles exist only where the window shows them
        page.locator("#pictures .hit").nth(4 * len(LABELS) - 1).wait_for()
        shown = squeezed(" ".join(page.locator("#pictures .label").all_inner_texts()))
        assert page.title() != "obeyed"
        assert not [label for label in LABELS if len(label) < 100 and squeezed(label) not in shown]
    tried(f"hostile: {len(LABELS)} labels on 3 pages in a browser, none obeyed")


def squeezed(text: str) -> str:
    return "".join(text.split())


@contextmanager
def opened(browser: Any, address: str) -> Iterator[Any]:
    """A page that may ask its own server for more, and nobody else."""
    page, others = browser.new_page(), []
    page.on(
        "request", lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else others.append(asked.url)
    )
    page.on("dialog", lambda dialog: others.append(dialog.message))
    page.goto(address)
    yield page
    page.close()
    assert others == [], "it asked elsewhere"


def test_the_api_gives_them_back_letter_for_letter(
    warm: Warm, hostile: Path, index: Path, tmp_path: Path, tried: Tried
) -> None:
    with serving(warm, index) as served, served.client() as client:
        listed = client.get("/api/pictures", params={"limit": 100}).json()["pictures"]
        assert {picture["label"] for picture in listed} == set(LABELS)
        for label in LABELS:
            asked = {"ids": [listed[0]["id"]], "top": 10, "where": {"label": label}}
            hits = client.post("/api/search", json=asked).json()["hits"]
            assert hits and {hit["label"] for hit in hits} == {label}
        marks = [{"query": listed[0]["id"], "result": picture["id"], "verdict": "good"} for picture in listed[1:]]
        assert client.post("/api/marks", json={"marks": marks}).status_code == 200
        cells = [cell for row in csv.reader(io.StringIO(client.get("/api/marks.csv").text)) for cell in row]
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in cells), "a spreadsheet would compute it"
        for picture in listed:
            answer = client.get("/api/thumbnail", params={"id": picture["id"]})
            assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg", picture["id"]
        for name in ("../../../etc/passwd", "/etc/passwd", "..", "\x00"):
            assert client.get("/api/thumbnail", params={"id": name}).status_code in (404, 422)
    tried(f"hostile: {len(listed)} pictures and {len(LABELS)} labels through the API, each as it was")
