"""Names with brackets, colons, spaces and bytes that are no text: printed as they are, and quoted in commands."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from folders import some_birds
from tiny_runs import TINY

import bier
from bier.cli import main

NAMES = ["[old] boots", "x [/x]", "it's a:dog:b"]
"""Markup that swallows, markup that crashes, a quote and an emoji."""


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos") / "[red] p [/p]", classes=10, images=3)


@pytest.fixture(scope="module")
def trained(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bier.train(birds, TINY, tmp_path_factory.mktemp("runs") / "run", quiet=True).folder


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    assert (stopped.value.code or 0) == code, error
    assert "Traceback" not in error
    return out + error


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_command_prints_paths_as_they_are(
    name: str, birds: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, vectors, index = (tmp_path / kind / name for kind in ("runs", "vectors", "indexes"))
    shutil.copytree(trained, run)
    photo = tmp_path / f"{name}.jpg"
    photo.parent.mkdir(exist_ok=True)
    shutil.copy(next(birds.rglob("*.jpg")), photo)

    assert f"written to {run / 'metrics.json'}\n" in printed(["evaluate", str(run)], capsys)
    assert f"report: {run / 'report.html'}\n" in printed(["report", str(run)], capsys)
    said = printed(["train", "--resume", str(run)], capsys, code=2)
    assert f"{run}: this run is complete" in said
    assert f"bier report {shlex.quote(str(run))}\n" in said
    said = printed(["train", str(birds), "--out", str(run)], capsys, code=2)
    assert f"go on with: bier train --resume {shlex.quote(str(run))}; or" in said
    said = printed(["embed", str(run), "-o", str(vectors)], capsys, code=2)
    assert f"bier embed {shlex.quote(str(run))} photos/ -o {shlex.quote(str(vectors))}\n" in said
    said = printed(["embed", str(run), str(birds), "-o", str(vectors), "--workers", "0"], capsys)
    assert f" in {vectors}, " in said

    said = printed(["index", str(birds), "-o", str(index), "--model", str(run), "--engine", "exact"], capsys)
    assert f"{index} holds 30 pictures\nnext: bier search {shlex.quote(str(index))} QUERY.jpg\n" in said
    page = tmp_path / f"{name}.html"
    said = printed(["search", str(index), str(photo), "--html", str(page)], capsys)
    assert f"page: {page}\n" in said
    assert page.is_file()
    assert f"{run}\n" in printed(["index", "info", str(index)], capsys)
    gone = tmp_path / f"gone {name}"
    for command in (["data", "check"], ["evaluate"], ["report"], ["index", "info"]):
        assert str(gone) in printed([*command, str(gone)], capsys, code=2)


def test_a_name_that_is_no_text_is_printed_nevertheless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["data", "check"], ["evaluate"], ["report"], ["index", "info"]):
        assert "b\\udcffd" in printed([*command, str(tmp_path / "b\udcffd")], capsys, code=2)


def test_the_source_of_a_training_and_what_to_do_next(
    birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "[old] boots"
    settings = [f"--set={key}={value}" for key, value in _flat(TINY).items()]
    said = printed(["train", str(birds), "--out", str(run), *settings], capsys)
    assert "\np]: 9 training images" in f"\n{said}"
    assert f"report: {run / 'report.html'}\nnext: bier index PICTURES -o INDEX --model {shlex.quote(str(run))}," in said
    assert "p]: 30 images" in printed(["data", "check", str(birds)], capsys)


def _flat(settings: dict[str, object]) -> dict[str, object]:
    inner = {
        f"{key}.{name}": value
        for key, part in settings.items()
        if isinstance(part, dict)
        for name, value in part.items()
    }
    return {key: value for key, value in settings.items() if not isinstance(value, dict)} | inner
