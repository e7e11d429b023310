"""The files around the package agree with it: versions, hooks, forms, citation."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import bier

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def read(path: str | Path) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(content, dict), path
    return content


def versions() -> list[str]:
    """Of Python, as the classifiers name them."""
    return re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.M)


def test_the_workflow_tests_each_python_that_is_promised() -> None:
    [job] = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == versions()
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert "PYTHON ?=" in (ROOT / "Makefile").read_text(encoding="utf-8"), "the Makefile does not take PYTHON"


def test_the_workflow_runs_what_a_change_must_pass() -> None:
    [job] = read(".github/workflows/ci.yml")["jobs"].values()
    [command] = [step["run"] for step in job["steps"] if "run" in step]
    assert command.split()[0] == "bash"
    assert (ROOT / command.split()[1]).is_file()


def test_the_promised_pythons_are_those_that_can_install_it() -> None:
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = [int(version.removeprefix("3.")) for version in versions()]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert all(f"3.{minor}.0" in allowed for minor in minors)
    assert f"3.{minors[0] - 1}.99" not in allowed


def test_one_version_everywhere() -> None:
    assert bier.__version__ == PROJECT["version"] == str(read("CITATION.cff")["version"])
    headings = re.findall(r"^## \[?([\w.]+)\]?", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "preferred-citation"} <= citation.keys()
    assert citation["license"] == PROJECT["license"]
    papers = [citation["preferred-citation"], *citation["references"]]
    assert [paper["type"] for paper in papers] == ["conference-paper", "article"]
    for paper in papers:
        assert "Boosting Independent Embeddings Robustly" in paper["title"]
        assert [person["family-names"] for person in paper["authors"]] == ["Opitz", "Waltner", "Possegger", "Bischof"]


def test_pre_commit_accepts_its_hooks() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hooks_are_programs_of_the_environment() -> None:
    [local] = read(".pre-commit-config.yaml")["repos"]
    for hook in local["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin")
        assert (Path(sys.executable).parent / program.name).is_file(), f"{hook['id']} calls {program}"


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_forms_have_what_github_asks_for(form: Path) -> None:
    content = read(form)
    assert {"name", "description", "body"} <= content.keys()
    fields = [item for item in content["body"] if item["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_there_is_a_form_for_each_purpose() -> None:
    assert {form.stem for form in FORMS} == {"bug", "feature", "question"}
    assert read(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}
