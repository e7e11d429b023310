"""``bier calibrate``, and what `bier search` then says, on real photographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import run
from PIL import Image

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import calibrating

CLASSES, SHOWN, ASKED = 8, 6, 7


@pytest.fixture(autouse=True)
def few_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a small network, and quick."""
    monkeypatch.setattr(calibrating, "STRANGERS", 120)
    monkeypatch.setattr(calibrating, "MEASURED", 40)


@pytest.fixture(scope="module")
def shop(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was never trained, photographs for an index, and others of the same classes to search by."""
    root = tmp_path_factory.mktemp("shop")
    for folder in sorted((photographs / "cub100" / "images").iterdir())[:CLASSES]:
        pictures = sorted(folder.glob("*.jpg"))
        for place, some in {"shown": pictures[:SHOWN], "asked": pictures[SHOWN : SHOWN + ASKED]}.items():
            (root / place / folder.name).mkdir(parents=True)
            for picture in some:
                shutil.copy(picture, root / place / folder.name)
    torch.manual_seed(0)
    backbone = create_backbone("test_resnet", weights="none")
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (16, 32, 48)))
    save_model(root / "model.safetensors", model, {"size": 64, "fit": "crop"})
    return root


def test_a_catalogue_learns_how_sure_its_answers_are(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index, query = tmp_path / "index", sorted((shop / "asked").rglob("*.jpg"))[3]
    run(capsys, "index", shop / "shown", "-o", index, "--model", shop / "model.safetensors", "--engine", "exact")
    code, _, error = run(capsys, "search", index, query, "--min-confidence", 0.5)
    assert (code, "has no calibration" in error, "bier calibrate" in error) == (2, True, True)
    _, before, _ = run(capsys, "search", index, query)
    assert "confidence" not in before

    code, out, _ = run(capsys, "calibrate", index, shop / "asked")
    assert (code, f"learned from {CLASSES * ASKED} labelled pictures" in out, "confidence AUC" in out) == (
        0,
        True,
        True,
    )
    _, out, _ = run(capsys, "index", "info", index)
    assert f"learned from {CLASSES * ASKED} labelled pictures" in out
    _, out, _ = run(capsys, "search", index, query)
    assert out.startswith(before)
    assert out.splitlines()[-1].startswith("confidence 0.")
    _, out, _ = run(capsys, "search", index, query, "--json", "--top", 3, "--min-confidence", 0)
    answer = json.loads(out)
    assert (len(answer["hits"]), answer["absent"], 0 < answer["confidence"] < 1) == (3, False, True)
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "search", index, query, "--min-confidence", 1, "--html", page)
    assert (code, "no answer with a confidence of 1 or more" in out, query.parent.name in out) == (1, True, False)
    assert "confidence 0." in page.read_text()
    white = tmp_path / "white.png"
    Image.new("RGB", (80, 60), "white").save(white)
    _, out, _ = run(capsys, "search", index, white)
    assert "probably not in this catalogue: confidence 0." in out
    _, out, _ = run(capsys, "search", index, query, "--learners", "2")
    assert "confidence" not in out

    code, out, _ = run(capsys, "calibrate", index, "--remove")
    assert (code, "is removed" in out) == (0, True)
    assert run(capsys, "search", index, query)[1] == before
    _, out, _ = run(capsys, "calibrate", index, "--remove")
    assert "has no calibration of its own" in out


@pytest.mark.slow
def test_pictures_of_the_index_itself_search_the_others(shop, tmp_path, capsys):
    index = tmp_path / "index"
    run(capsys, "index", shop / "shown", "-o", index, "--model", shop / "model.safetensors", "--engine", "exact")
    copied = tmp_path / "copied"
    shutil.copytree(shop / "shown", copied)
    tables = []
    for source in (shop / "shown", copied):
        code, out, error = run(capsys, "calibrate", index, source)
        assert code == 0, error
        tables.append(out)
    assert tables[0] == tables[1]
    right = next(line.split()[-1] for line in tables[0].splitlines() if line.startswith("first hit right"))
    assert 0 < float(right) < 1, "each has found itself"


@pytest.mark.slow
def test_what_nothing_can_be_learned_from_is_one_message(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index, unlabelled, single = (tmp_path / name for name in ("index", "unlabelled", "single"))
    model = shop / "model.safetensors"
    run(capsys, "index", shop / "shown", "-o", index, "--model", model, "--engine", "exact")
    flat, other, alone = (tmp_path / name for name in ("flat", "other", "alone"))
    for folder in (flat, alone):
        folder.mkdir()
    for number, picture in enumerate(sorted((shop / "asked").rglob("*.jpg"))[::7]):
        shutil.copy(picture, flat)
        (alone / f"c{number}").mkdir()
        shutil.copy(picture, alone / f"c{number}")
        (other / f"other-{number}").mkdir(parents=True)
        shutil.copy(picture, other / f"other-{number}")
    run(capsys, "index", flat, "-o", unlabelled, "--model", model, "--engine", "exact")
    run(capsys, "index", alone, "-o", single, "--model", model, "--engine", "exact")
    one = sorted((shop / "asked").iterdir())[0]
    (tmp_path / "one").mkdir()
    shutil.copytree(one, tmp_path / "one" / one.name)
    for arguments, message in [
        ([unlabelled, shop / "asked"], "has no labels, so nothing tells"),
        ([index, flat], "has no labelled pictures"),
        ([index, tmp_path / "one"], f"has pictures of 1 class ({one.name}), and 8 are needed"),
        ([index, other], "has no label that the index has: 'other-0' here"),
        ([single, alone], "0 of its pictures, of 0 classes, have another picture of their label"),
        ([index, tmp_path / "gone"], "gone"),
        ([index], "give labelled pictures, or --remove"),
        ([index, shop / "asked", "--remove"], "give labelled pictures, or --remove"),
        ([tmp_path, shop / "asked"], "is no index"),
    ]:
        code, _, error = run(capsys, "calibrate", *arguments)
        assert (code, message in error, "→" in error, "Traceback" in error) == (2, True, True, False), (
            arguments,
            error,
        )
    assert not (index / "calibration.json").exists()
