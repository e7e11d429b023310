"""The name of a run's file, and of a format, stands once in the package: with the record that owns it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from bier.records import metrics, provenance
from bier.records.folder import RunFolder
from bier.system import tensors

SOURCE = Path(__file__).parents[2] / "src" / "bier"
FOLDER = RunFolder(Path())
FORMATS = {metrics.FORMAT, provenance.FORMAT, tensors.MODEL_FORMAT, tensors.STATE_FORMAT}
FILES = {path.name for name in vars(RunFolder) if isinstance(path := getattr(FOLDER, name), Path)}
NAMES = sorted(FILES | FORMATS)
OF_OTHERS = {"network/families/timm_models.py": "model.safetensors"}
"""What timm's own weights are called on a hub."""


def literals(path: Path) -> list[str]:
    """The strings of a module that are not documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    ]


@pytest.fixture(scope="module")
def named() -> dict[str, Counter[str]]:
    """How often each module names each file or format; its path alone counts, not words around it."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        module = path.relative_to(SOURCE).as_posix()
        last = (text.rpartition("/")[2] for text in literals(path))
        found[module] = Counter(text for text in last if text in NAMES and text != OF_OTHERS.get(module))
    return found


def test_the_folder_knows_all_files_of_a_run(real_run: Path) -> None:
    there = {path.name for path in real_run.iterdir()} - {"tries"}
    assert there <= FILES
    asked_for = {path.name for path in (FOLDER.table, FOLDER.report, FOLDER.marks, FOLDER.map)}
    gone = {*(path.name for path in (FOLDER.checkpoint, FOLDER.previous_checkpoint, FOLDER.lock, FOLDER.features))}
    assert FILES - there == gone | asked_for, "checkpoints, lock and features go when a run has ended"


@pytest.mark.parametrize("name", NAMES)
def test_each_name_stands_once(name: str, named: dict[str, Counter[str]]) -> None:
    places = {module: count[name] for module, count in named.items() if count[name]}
    assert sum(places.values()) == 1, places
    assert next(iter(places)).startswith(("records/", "system/tensors"))


def test_the_search_for_names_sees_paths_but_not_documentation(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""Of metrics.json."""\nFILE = folder / "metrics.json"\n"""metrics.json"""\n')
    assert literals(file) == ["metrics.json"]
