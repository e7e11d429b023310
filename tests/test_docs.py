"""What the documents say is true: their Python runs, their commands parse, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bier.cli.commands import app

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return [block for language, block in found if language in languages]


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")  # Lightning's own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documents_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # for what they write
    names: dict[str, object] = {}
    for block in blocks(page, "python"):  # a page reads from top to bottom
        exec(compile(block, page.name, "exec"), names)


def test_the_example_of_a_loss_gives_a_gradient() -> None:
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / "losses.md", "python"):
        exec(compile(block, "losses.md", "exec"), names)
    assert names["head"].linear.weight.grad.abs().sum() > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_parse(page: Path) -> None:
    for block in blocks(page, "", "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True) if line.startswith(("bier ", "make ", "python ")) else []
            if words[:1] == ["bier"]:
                app.parse_args(words[1:], exit_on_error=False, print_error=False)
            elif words[:1] == ["make"]:
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.M), line
            elif words[:1] == ["python"]:
                assert (ROOT / words[1]).is_file(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
