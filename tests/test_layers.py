"""The layers of the package: an import points downwards or sideways, never up, and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# From the top. A package stands for all its modules; `bier` alone is the front door, __init__.py.
LAYERS = [
    {"cli", "__main__"},
    {"runs", "tries", "demo"},
    {"build"},
    {"serve"},
    {"train", "monitor", "training", "export", "search", "catalogue"},
    {"bier"},
    {
        "vectors",
        "records",
        "network",
        "best_epoch",
        "hard_pairs",
        "embed",
        "evaluate",
        "report",
        "checkpoint",
        "inference",
        "encoder",
    },
    {
        "ensemble",
        "boosting",
        "pairwise",
        "losses",
        "diversity",
        "initialization",
        "whitening",
        "backbones",
        "cuda_graphs",
        "pooling",
        "model",
        "inference",
        "data",
        "method",
    },
    {"system", "settings", "allocator", "config", "distributed", "errors", "extras", "files", "hub"},
]
DEPTH = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}


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


def part(module: str) -> str:
    """`bier.data.images` → `data`, and `bier` for the front door."""
    return module.split(".")[1] if "." in module else module


def faults(graph: dict[str, set[str]]) -> list[str]:
    """All that is wrong with the imports."""
    homeless = [f"{module} belongs to no layer: name it in LAYERS" for module in graph if part(module) not in DEPTH]
    upward = [
        f"{module} imports {other}, which stands above it"
        for module, others in graph.items()
        for other in others
        if DEPTH.get(part(other), 0) < DEPTH.get(part(module), 0)
    ]
    return sorted(homeless + upward)


def test_no_import_points_upwards():
    graph = imports(SOURCE)
    assert "bier.errors" in graph["bier.settings.reading"], "the walk finds no imports"
    assert faults(graph) == []


def test_no_import_goes_in_a_circle():
    try:
        TopologicalSorter(imports(SOURCE)).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_the_walk_sees_lazy_relative_and_homeless_imports(tmp_path):
    package = tmp_path / "bier" / "data"
    package.mkdir(parents=True)
    (tmp_path / "bier/__init__.py").write_text("")
    (package / "__init__.py").write_text("from . import images\nfrom ..errors import DataError\n")
    (package / "images.py").write_text("def read():\n    from bier import train\n")
    (tmp_path / "bier/train.py").write_text("import bier.errors, numpy\n")
    (tmp_path / "bier/errors.py").write_text("")
    (tmp_path / "bier/utils.py").write_text("")
    graph = imports(tmp_path)
    assert graph["bier.data"] == {"bier.data.images", "bier.errors"}
    assert graph["bier.train"] == {"bier.errors"}
    assert faults(graph) == [
        "bier.data.images imports bier.train, which stands above it",
        "bier.utils belongs to no layer: name it in LAYERS",
    ]
