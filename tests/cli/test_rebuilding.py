"""``bier index rebuild`` as a person meets it."""

from __future__ import annotations

import pytest
from colours import painted
from commands import run
from tiny_models import tiny_model


@pytest.mark.slow
def test_from_one_model_to_another_and_back(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    photos, index = painted(tmp_path / "photos"), tmp_path / "index"
    first, second = tiny_model(tmp_path / "first", 0), tiny_model(tmp_path / "second", 1)
    run(capsys, "index", tmp_path / "photos", "-o", index, "--model", first, "--engine", "exact")
    assert "generation" not in run(capsys, "index", "info", index)[1]
    photos[2].write_text("no picture")

    code, out, error = run(capsys, "index", "rebuild", index, "--model", second)
    assert (code, error) == (0, "")
    assert f"left out: {photos[2]}: " in out
    assert "Recall@1: " in out
    assert "(19 labelled pictures)" in out
    assert f"{index} holds 19 pictures of {second}; 1 could not be read" in out
    assert f"to return to the model before: bier index rebuild {index} --back" in out
    assert run(capsys, "search", index, photos[0])[0] == 0
    assert (
        f"nothing to do: {index} is of this model already"
        in run(capsys, "index", "rebuild", index, "--model", second)[1]
    )
    _, out, _ = run(capsys, "index", "info", index)
    assert f"bier calibrate {index} LABELLED" in out, "the index, and not the generation in it"
    assert "generation:  2; generation 1 is kept and takes 0.0 MB; return to it: bier index rebuild" in out

    code, out, _ = run(capsys, "index", "rebuild", index, "--back")
    assert (code, f"{index} holds 20 pictures of {first} again" in out) == (0, True)


def test_mistakes_are_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    painted(tmp_path / "photos")
    first, index = tiny_model(tmp_path / "first", 0), tmp_path / "index"
    run(capsys, "index", tmp_path / "photos", "-o", index, "--model", first, "--engine", "exact")
    for arguments, message in [
        ([index], "give a model, or --back"),
        ([index, "--model", first, "--back"], "give a model, or --back"),
        ([index, "--back"], "has no generation before"),
        ([tmp_path, "--back"], "is no index"),
        ([tmp_path, "--model", first], "is no index"),
        ([index, "--model", tmp_path / "none"], "none"),
    ]:
        code, out, error = run(capsys, "index", "rebuild", *arguments)
        assert (code, out) == (2, "")
        assert message in error
    assert not (tmp_path / "rebuild.lock").exists()
