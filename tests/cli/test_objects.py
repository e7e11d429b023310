"""``--objects`` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run
from objects import IDS, ROWS, listed, street
from tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model")) / "model.safetensors"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def test_from_a_table_to_an_answer_and_back_in_step(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, index = street(tmp_path / "photos"), tmp_path / "index"
    code, out, _ = run(capsys, "index", table, "-o", index, "--engine", "exact", "--objects", "--model", model)
    assert code == 0 and "fields: price (whole), bbox (box)" in out and "4 added" in out

    page = tmp_path / "page.html"
    given = ["--box", "20", "0", "20", "16", "--top", "1"]
    code, out, _ = run(capsys, "search", index, table.parent / "street.png", *given, "--json", "--html", page)
    [hit] = json.loads(out)["hits"]
    assert (code, hit["id"], hit["metadata"]["bbox"]) == (0, IDS[1], "20,0,20,16")
    assert hit["score"] == pytest.approx(1, abs=1e-5) and page.exists()

    listed(table.parent, [*ROWS[1:], "street.png,ghost,900 0 9 9,1"])
    code, out, _ = run(capsys, "index", "sync", table, "-o", index, "--objects")
    assert f"left out: {table.parent}/street.png#900,0,9,9: box (x 900, y 0, width 9, height 9) outside" in out
    assert (code, "0 added, 0 replaced, 0 described anew, 1 removed, 3 unchanged" in out) == (0, True)


@pytest.mark.slow
def test_objects_and_whole_pictures_do_not_mix_unnoticed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, index, vectors = street(tmp_path / "photos", ROWS[1:3]), tmp_path / "index", tmp_path / "vectors"
    options = ["--engine", "exact", "--model", model]
    assert run(capsys, "embed", model, table, "-o", vectors, "--objects")[0] == 0
    assert run(capsys, "index", vectors, "-o", index, "--engine", "exact")[0] == 0
    for command in (["index", table, *options], ["index", "sync", table, "--model", model]):
        code, _, error = run(capsys, *command, "-o", index)
        assert code == 2
        assert "the index is of objects, and the boxes of photos/objects.csv are not used" in error
        assert "give --objects" in error

    whole = tmp_path / "whole"
    assert run(capsys, "index", table, "-o", whole, *options)[0] == 0
    for command in (["index", table, *options], ["index", "sync", table, "--model", model]):
        code, _, error = run(capsys, *command, "-o", whole, "--objects")
        assert code == 2 and "the index is of whole pictures" in error
    listed(table.parent, ["street.png,a", "yard/yard.png,b"], "image,label")
    assert run(capsys, "index", table, "-o", tmp_path / "plain", *options)[0] == 0
    code, _, error = run(capsys, "index", vectors, "-o", tmp_path / "plain")
    assert code == 2 and "are of objects, and the index" in error

    code, _, error = run(capsys, "index", vectors, "-o", index, "--objects")
    assert code == 2 and "--objects: vectors are of objects or not" in error
    code, _, error = run(capsys, "index", table, "-o", tmp_path / "new", *options, "--objects")
    assert code == 2 and "photos/objects.csv has no boxes" in error and not (tmp_path / "new").exists()
