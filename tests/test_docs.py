"""What the documents say is true: their Python runs, their commands parse, their recipes build."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from bier import build
from bier.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return [block for language, block in found if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documents_runs(page: Path) -> None:
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


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a recipe as running it would."""
    monkeypatch.syspath_prepend(ROOT / "recipes")
    return _load


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "recipes" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_contender_of_the_results_builds(recipe: Callable[[str], ModuleType]) -> None:
    results = recipe("results")
    for title, changes in results.CONTENDERS.values():
        config = results.BUDGET.replace(**changes, model__weights="none")
        model = build.model(config)
        assert sum(model.head.sizes) == 512, title
        build.boosting(config, model.head.sizes, 10)
        build.diversity(config, model.head.sizes)


def test_every_head_trains(recipe: Callable[[str], ModuleType]) -> None:
    heads = recipe("heads")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20).repeat_interleave(4)
    features = torch.randn(2, 80, 200, generator=generator) + 2 * torch.randn(20, 200, generator=generator)[labels]
    assert len(heads.CONTENDERS) == sum(len(group) for group in heads.GROUPS.values()), "two contenders of one name"
    for key, whole in heads.CONTENDERS.items():
        contender = replace(whole, steps=3, batch=(16, 4))
        head = heads.train(contender, features, labels, 1e-3, 0)
        found = heads.evaluate(contender, head, features[0], labels)
        assert heads.whole(found["rows"])["recall"]["1"] > 0.5, key
