"""Members by name: our own, those of other packages, and those of a script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bier.errors import ConfigError
from bier.system.registry import Registry


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[int]:
    """A package of ours with a member, and another's package that offers two."""
    own, foreign = tmp_path / "shapes_of_ours", tmp_path / "foreign-1.0.dist-info"
    own.mkdir()
    (own / "__init__.py").write_text("")
    (own / "square.py").write_text("MEMBERS = {'square': 4}\n")
    (own / "helper.py").write_text("HALF = 2\n")
    foreign.mkdir()
    (foreign / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (foreign / "entry_points.txt").write_text("[test.shapes]\ntriangle = foreign:SIDES\nbroken = foreign:MISSING\n")
    (tmp_path / "foreign.py").write_text("SIDES = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("shapes_of_ours", "foreign"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return Registry("shape", "shapes_of_ours", "test.shapes")


def test_own_members_come_first_then_those_of_others(shapes: Registry[int]) -> None:
    assert list(shapes) == ["square", "triangle", "broken"]
    assert (shapes["square"], shapes["triangle"]) == (4, 3)
    assert "helper" not in shapes


def test_a_script_adds_one_for_itself(shapes: Registry[int]) -> None:
    shapes.add("circle", 0)
    assert shapes.find("circle", "here") == 0
    assert len(shapes) == 4
    with pytest.raises(ConfigError, match="no name of a shape"):
        shapes.add(" circle", 0)


def test_an_unknown_name_gets_the_nearest_one(shapes: Registry[int]) -> None:
    with pytest.raises(ConfigError, match=r"model.shape: unknown shape 'squre'[\s\S]*did you mean 'square'"):
        shapes.find("squre", "model.shape")


def test_a_package_that_cannot_be_imported_is_named(shapes: Registry[int]) -> None:
    with pytest.raises(ConfigError, match=r"'broken' cannot be imported: AttributeError[\s\S]*the package foreign"):
        shapes.find("broken", "here")
    assert shapes["triangle"] == 3, "the others are still there"
