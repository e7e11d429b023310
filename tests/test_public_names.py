"""What ``from bier import ...`` gives."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import bier


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    """A module, once imported, becomes an attribute of the package, whatever else had that name."""
    modules = {module.name for module in pkgutil.iter_modules(bier.__path__)}
    assert "evaluate" in modules, "the walk finds no modules"
    assert not modules & set(bier.__all__)


def test_every_public_name_is_there_and_importing_bier_is_quick() -> None:
    code = """
import sys, bier
assert not {"torch", "numpy"} & set(sys.modules), "import bier loads torch"
import bier.runs
from bier import *
assert all(callable(globals()[name]) for name in bier.__all__)
assert set(bier.__all__) <= set(dir(bier))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
