"""The rooms of the package: what each is for, and what it may import. `python tests/test_layers.py` prints the diagram.

A new folder below src/bier needs a line here; so does an import between rooms that was not needed before. The diagram
of docs/architecture.md is printed from this table.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
DIAGRAM = ROOT / "docs" / "architecture.md"


class Room(NamedTuple):
    name: str
    purpose: str
    imports: str = ""
    """Names of other rooms; `errors` is open to all."""


# From the bottom. `bier` is the front door, __init__.py.
ROOMS = [
    Room("errors", "every error that a user can meet: what, where, remedy"),
    Room("system", "files, processes, hardware, memory, optional packages, registries"),
    Room("settings", "the settings of a run: fields, bounds, YAML"),
    Room("method", "BIER: ensemble, boosting, diversity, whitening, the losses; hits ranked again", "system"),
    Room("confidence", "how sure an answer is: cues of its neighbours, learned chances, strangers", "system"),
    Room("losses", "the public face of the losses", "method"),
    Room("records", "what a run's folder holds, written and read", "system"),
    Room("data", "pictures and labels: one table for every source, batches, views", "system settings"),
    Room("network", "backbones, pooling, the model and its file", "system method confidence"),
    Room("evaluate", "exact retrieval figures, the benchmarks' protocols", "system method records data"),
    Room("vectors", "from pictures to vectors: one, a table, a catalogue", "system method confidence data network"),
    Room("report", "run folders to one HTML page", "system data records"),
    Room("training", "steps, epochs, checkpoints, callbacks", "system method records data network evaluate vectors"),
    Room(
        "export",
        "a model for other programs: ONNX, int8, hubs",
        "system settings records confidence data network evaluate vectors",
    ),
    Room("search", "indexes of vectors, an engine a file", "system method confidence data vectors export"),
    Room("serve", "HTTP and the page around an index", "system method confidence data vectors report search bier"),
    Room(
        "runs",
        "the main jobs: train, try, evaluate; settings become objects",
        "system settings method losses records confidence data network evaluate vectors report training",
    ),
    Room(
        "bier",
        "the front door: what `from bier import` gives",
        "method confidence data network evaluate vectors training runs",
    ),
    Room(
        "cli",
        "what a person types",
        "system settings records confidence data network vectors report training export search serve runs bier",
    ),
]
MAY_IMPORT = {room.name: {"errors", room.name, *room.imports.split()} for room in ROOMS}


def imports(source: Path) -> dict[str, set[str]]:
    """Each module of the package and the package's own modules that it imports, also from inside functions."""
    files = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {module: _imported(module, path, set(files)) - {module} for module, path in files.items()}


def _imported(module: str, path: Path, modules: set[str]) -> set[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from bier import losses` names a module, `from bier.losses import Triplet` something in one.
            found |= {full if (full := f"{base}.{alias.name}") in modules else base for alias in node.names}
    return {name for name in found if name == "bier" or name.startswith("bier.")}


def room(module: str) -> str:
    """`bier.data.images` → `data`, and `bier` for the front door."""
    return module.split(".")[1] if "." in module else module


def faults(graph: dict[str, set[str]]) -> list[str]:
    """All that is wrong with the imports."""
    missing = {f"{room(module)} is no room: name it in ROOMS" for module in graph if room(module) not in MAY_IMPORT}
    forbidden = {
        f"{module} imports {other}, which {room(module)} may not"
        for module, others in graph.items()
        for other in others
        if room(other) not in MAY_IMPORT.get(room(module), {room(other)})
    }
    return sorted(missing | forbidden)


def floors() -> dict[str, int]:
    """How high each room stands: one floor above the highest that it may import.

    Raises:
        CycleError: rooms that may import one another in a circle.
    """
    below = {name: others - {name} for name, others in MAY_IMPORT.items()}
    below["errors"] = set()
    found: dict[str, int] = {}
    for name in TopologicalSorter(below).static_order():
        found[name] = 1 + max((found[other] for other in below[name]), default=-1)
    return found


def diagram() -> str:
    """The rooms from the top floor down, as a table."""
    floor = floors()
    rows = ["| floor | room | what lives there | may import, beside `errors` |", "|---|---|---|---|"]
    for name, purpose, others in sorted(ROOMS, key=lambda row: (-floor[row.name], row.name)):
        rows.append(f"| {floor[name]} | `{name}` | {purpose} | {' '.join(others.split())} |")
    return "\n".join(rows)


def test_every_import_is_one_that_the_table_allows():
    graph = imports(SOURCE)
    assert "bier.errors" in graph["bier.settings.reading"], "the walk finds no imports"
    assert faults(graph) == []


def test_no_import_goes_in_a_circle():
    try:
        TopologicalSorter(imports(SOURCE)).prepare()
        floors()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_the_table_has_no_room_that_is_not_there():
    there = {room(module) for module in imports(SOURCE)}
    assert set(MAY_IMPORT) == there
    assert set().union(*MAY_IMPORT.values()) <= there


def test_beside_the_rooms_stand_only_the_front_door_the_errors_and_the_losses():
    assert {path.name for path in (SOURCE / "bier").glob("*.py")} == {"__init__.py", "errors.py", "losses.py"}
    assert len([path for path in (SOURCE / "bier").iterdir() if path.name != "__pycache__"]) <= 20


def test_the_diagram_is_printed_from_the_table():
    assert diagram() in DIAGRAM.read_text(encoding="utf-8"), "print it anew: python tests/test_layers.py"


def test_the_walk_sees_lazy_relative_and_homeless_imports(tmp_path):
    package = tmp_path / "bier" / "data"
    package.mkdir(parents=True)
    (tmp_path / "bier/__init__.py").write_text("")
    (package / "__init__.py").write_text("from . import images\nfrom ..errors import DataError\n")
    (package / "images.py").write_text("def read():\n    from bier import cli\n")
    (tmp_path / "bier/cli.py").write_text("import bier.errors, numpy\n")
    (tmp_path / "bier/errors.py").write_text("")
    (tmp_path / "bier/utils.py").write_text("import bier.cli\n")
    graph = imports(tmp_path)
    assert graph["bier.data"] == {"bier.data.images", "bier.errors"}
    assert graph["bier.cli"] == {"bier.errors"}
    assert faults(graph) == [
        "bier.data.images imports bier.cli, which data may not",
        "utils is no room: name it in ROOMS",
    ]


if __name__ == "__main__":
    print(diagram())
