"""``bier index sync`` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from colours import painted
from commands import run
from tiny_models import tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path) / "model.safetensors"


def test_labels_are_taken_over_and_a_forgotten_option_is_told(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    photos, index = tmp_path / "photos", tmp_path / "index"
    names = [photo.relative_to(photos).as_posix() for photo in painted(photos)]
    table = photos / "labels.csv"
    table.write_text("\n".join(["image,label", *(f"{name},red|round" for name in names)]), encoding="utf-8")
    given = ["--engine", "exact", "--label-separator", "|", "--model", model]
    assert run(capsys, "index", photos, "-o", index, *given)[0] == 0

    code, _, error = run(capsys, "index", "sync", photos, "-o", index)
    assert code == 2 and "the index has a field 'labels'" in error

    table.write_text(table.read_text().replace("red|", "blue|", 3), encoding="utf-8")
    code, out, _ = run(capsys, "index", "sync", photos, "-o", index, "--label-separator", "|")
    assert code == 0
    assert f"0 added, 0 replaced, 3 described anew, 0 removed, 17 unchanged; {index} holds 20 pictures" in out
    code, out, _ = run(capsys, "search", index, photos / names[0], "--where", "labels=blue", "--json")
    assert code == 0 and out.count('"blue"') == 3


@pytest.mark.parametrize(
    ("source", "told"), [("nowhere", "there is no such file or folder"), ("vectors", "holds vectors, and no pictures")]
)
def test_mistakes_are_one_message(
    source: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "vectors.json").write_text("{}", encoding="utf-8")
    code, out, error = run(capsys, "index", "sync", tmp_path / source, "-o", tmp_path / "index")
    assert (code, out) == (2, "") and told in error
