"""``bier index``, ``bier search`` and ``bier duplicates`` as a person meets them, on real photographs."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from commands import run
from folders import some_birds
from PIL import Image

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.catalogue import embed_catalogue
from bier.vectors.encoder import Encoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the default backbone with a head that was never trained."""
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0")
    folder = tmp_path_factory.mktemp("model")
    save_model(
        folder / "model.safetensors",
        RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (16, 32, 48))),
        {"size": 64, "fit": "crop"},
    )
    return folder


@pytest.fixture
def photos(photographs: Path, tmp_path: Path) -> Path:
    """Four classes of three photographs of birds in class folders, one of them twice."""
    root = tmp_path / "birds"
    some_birds(photographs, root, classes=4, images=3)
    first = sorted(root.rglob("*.jpg"))[0]
    shutil.copy(first, first.with_name("copy.jpg"))
    return root


def test_an_index_of_half_the_size(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index = tmp_path / "index"
    made = ["index", photos, "-o", index, "--model", model, "--engine", "exact"]
    assert run(capsys, *made, "--type", "float16")[0] == 0
    assert "float16, 192 bytes each" in run(capsys, "index", "info", index)[1]
    assert "0 replaced, 13 unchanged" in run(capsys, *made)[1]
    code, _, error = run(capsys, *made, "--type", "float32")
    assert (code, "stores float16" in error) == (2, True)


@pytest.mark.parametrize("engine", ["lancedb", pytest.param("exact", marks=pytest.mark.slow)])
def test_from_photographs_to_answers(photos, model, tmp_path, capsys, monkeypatch, engine):
    monkeypatch.setenv("COLUMNS", "200")
    index = tmp_path / "index"
    code, out, _ = run(capsys, "index", photos, "-o", index, "--model", model, "--engine", engine)
    assert (code, "13 added, 0 replaced, 0 unchanged" in out) == (0, True)

    query = sorted(photos.rglob("*.jpg"))[0]
    for options in ([], ["--staged"], ["--learners", "1-2"], ["--learners", "2"]):
        code, out, _ = run(capsys, "search", index, query, "--top", 3, *options)
        lines = out.splitlines()
        assert (code, len(lines)) == (0, 4 + ("--staged" in options))
        assert lines[1].split()[0] == "1.0000"
        assert query.parent.name in lines[1]
        assert {Path(line.split()[-1]) for line in lines[1:3]} == {query, query.with_name("copy.jpg")}

    part = photos.parent / "part.png"
    with Image.open(query) as picture:
        picture.crop((30, 20, 90, 100)).save(part)
    answers = [run(capsys, "search", index, part), run(capsys, "search", index, query, "--box", 30, 20, 60, 80)]
    assert answers[0] == answers[1]

    code, out, _ = run(capsys, "search", index, query, "--top", 3, "--rerank", "k-reciprocal,k1=3,k2=2")
    assert (code, out.splitlines()[0].split()[:2]) == (0, ["re-ranked", "score"])
    assert out.splitlines()[1].split()[1] == "1.0000"
    code, _, error = run(capsys, "search", index, query, "--rerank", "dba", "--learners", "1")
    assert (code, "--rerank ranks by all learners" in error) == (2, True)
    code, _, error = run(capsys, "search", index, query, "--rerank", "k-reciprocal")
    assert (code, "takes 20 neighbours, and there are 13 pictures" in error) == (2, True)

    other = sorted(photos.iterdir())[1].name
    page = tmp_path / "page.html"
    _, out, _ = run(capsys, "search", index, query, "--where", f"label={other}", "--html", page)
    assert len(re.findall(other, out)) >= 3
    check_page(page.read_text(), pictures=4)

    _, out, _ = run(capsys, "duplicates", index)
    assert f"{query.parent.name}/{query.name}" in out
    assert "1 groups, 1 pictures more than needed" in out

    # One picture changes, one is new, one goes.
    shutil.copy(sorted(photos.rglob("*.jpg"))[-1], query)
    shutil.copy(sorted(photos.rglob("*.jpg"))[-2], query.with_name("new.jpg"))
    _, out, _ = run(capsys, "index", photos, "-o", index, "--model", model)
    assert "1 added, 1 replaced, 12 unchanged" in out
    _, out, _ = run(capsys, "index", "remove", index, f"{query.parent.name}/new.jpg", "never there")
    assert "1 removed, 13 left" in out
    _, out, _ = run(capsys, "index", "info", index)
    assert "96 = 16 + 32 + 48" in out
    assert engine in out


def check_page(html: str, pictures: int) -> None:
    """Self-contained, with thumbnails that decode."""
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert len(images) == pictures
    for image in images:
        assert 100 < max(Image.open(io.BytesIO(base64.b64decode(image))).size) <= 240
    assert not re.search(r"(src|href)=\"(?!data:)|https?://|@import|url\(", html)


def test_mistakes_are_one_message(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index = tmp_path / "index"
    run(capsys, "index", photos, "-o", index, "--model", model, "--engine", "exact")
    query = sorted(photos.rglob("*.jpg"))[0]
    other = tmp_path / "other"
    other.mkdir()
    torch.manual_seed(1)
    backbone = create_backbone("efficientnet_lite0")
    head = EmbeddingEnsemble(backbone.features, (16, 32, 48))
    save_model(other / "model.safetensors", RetrievalModel(backbone, head), {"size": 64, "fit": "crop"})
    web = tmp_path / "web.jpg"
    web.write_text("<html>")
    for arguments, message in [
        (["search", tmp_path, query], "is no index"),
        (["search", index, tmp_path / "none.jpg"], "none.jpg"),
        (["search", index, web], "not a picture"),
        (["search", index, query, "--learners", "2-3"], "no learners '2-3'"),
        (["search", index, query, "--learners", "4"], "write one of 1 to 3"),
        (["search", index, query, "--learners", "1", "--staged"], "--staged searches with all learners"),
        (["search", index, query, "--recall", "0.9"], "is of searches in stages"),
        (["search", index, query, "--staged", "--recall", "1"], "out of range for a search in stages"),
        (["search", index, query, "--box", 5000, 0, 10, 10], "outside the picture"),
        (["search", index, query, "--box", -9, -9, 20, 0], "--box: a box of width 20 and height 0"),
        (["search", index, query, "--box", 1, 2, 3], "--box"),
        (["search", index, query, "--box", 1, 2, 3, "wide"], "--box"),
        (["search", index, query, "--box", 1, 2, 3, "nan"], "is no box"),
        (["search", index, query, "--where", "lable=x"], "did you mean 'label'"),
        (["search", index, query, "--where", "label"], "not field=value"),
        (["search", index, query, "--model", other], "not of this one"),
        (["search", index, query, "--model", tmp_path / "gone"], "--model"),
        (["index", photos, "-o", index, "--model", other], "give the model that filled it"),
        (["index", photos, "-o", index, "--model", model, "--engine", "lancedb"], "is an index of the engine exact"),
        (["index", photos, "-o", tmp_path / "new", "--model", model, "--engine", "faiss"], "unknown engine"),
        (["index", photos, "-o", tmp_path / "new", "--model", model, "--engine", "milvus"], "needs a server"),
        (["index", photos, "-o", tmp_path / "new"], "pictures need a model"),
        (["duplicates", index, "--threshold", 98], "not a similarity"),
    ]:
        code, _, error = run(capsys, *arguments)
        assert (code, message in error, "Traceback" in error) == (2, True, False), (arguments, error)
    _, out, _ = run(capsys, "index", "info", index)
    assert "13" in out


def test_vectors_that_were_embedded_before_are_indexed_alike(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    encoder = Encoder.load(model)
    embed_catalogue(encoder, photos, tmp_path / "vectors")
    index = tmp_path / "index"
    code, out, _ = run(capsys, "index", tmp_path / "vectors", "-o", index, "--model", model, "--engine", "exact")
    assert (code, "13 added" in out) == (0, True)
    query = sorted(photos.rglob("*.jpg"))[0]
    _, out, _ = run(capsys, "search", index, query, "--top", 1)
    assert out.splitlines()[1].split()[:2] == ["1.0000", query.parent.name]


@pytest.mark.slow
def test_two_sources_in_one_index_do_not_take_each_others_ids(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index, other = tmp_path / "index", tmp_path / "other"
    one, two = sorted(photos.iterdir())[:2]
    other.mkdir()
    name = sorted(one.glob("*.jpg"))[0].name
    shutil.copy(sorted(two.glob("*.jpg"))[0], other / name)  # a flat folder with another picture of the same name
    run(capsys, "index", one, "-o", index, "--model", model)
    code, _, error = run(capsys, "index", other, "-o", index, "--model", model)
    assert (code, f"the id '{name}' stands for" in error, "--prefix" in error) == (2, True, True)
    _, out, _ = run(capsys, "index", other, "-o", index, "--model", model, "--prefix", "other/")
    assert "1 added, 0 replaced" in out
    moved = one.rename(tmp_path / "moved")
    _, out, _ = run(capsys, "index", moved, "-o", index, "--model", model, "--moved")
    assert f"0 added, {len(list(moved.glob('*.jpg')))} replaced" in out


@pytest.mark.slow
def test_pictures_that_have_gone_are_told_and_removed_when_asked(photos, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    index = tmp_path / "index"
    one, two = sorted(photos.iterdir())[:2]
    command = ["index", photos, "-o", index, "--model", model, "--engine", "exact"]
    run(capsys, *command)
    run(capsys, "index", two, "-o", index, "--model", model, "--prefix", "again/")
    deleted, renamed = sorted(one.glob("*.jpg"))[:2]
    deleted.unlink()
    renamed.rename(renamed.with_name("renamed.jpg"))
    sorted(two.glob("*.jpg"))[0].write_bytes(b"no longer a picture")  # it has not gone
    code, out, _ = run(capsys, *command)
    assert (code, "1 added, 0 replaced" in out, "left out: " in out) == (0, True, True)
    assert f"2 of the index are no longer in {photos}, such as {one.name}/{deleted.name}" in out
    assert "repeat the command with --prune" in out
    _, out, _ = run(capsys, *command, "--prune")
    assert f"2 removed: {photos} no longer has them" in out
    assert "holds 15 pictures" in out  # 12 of photos, and the three of the other source
    _, out, _ = run(capsys, *command, "--prune")
    assert "no longer" not in out
    _, out, _ = run(capsys, "index", "check", index)
    assert re.search(r"sound: 15 pictures were read, \d+ files", out)
    log = index / "rows.log"
    log.write_bytes(log.read_bytes()[:-1])
    code, _, error = run(capsys, "index", "check", index)
    assert (code, "bytes were acknowledged" in error) == (2, True)


def test_tar_files_are_indexed_and_their_pictures_shown(photos, model, tmp_path, capsys):
    file = tmp_path / "birds.tar"
    with tarfile.open(file, "w") as tar:
        tar.add(photos, "birds")
    index, page = tmp_path / "index", tmp_path / "page.html"
    code, out, _ = run(capsys, "index", file, "-o", index, "--model", model)
    assert (code, "13 added" in out) == (0, True)
    run(capsys, "search", index, sorted(photos.rglob("*.jpg"))[0], "--top", 5, "--html", page)
    check_page(page.read_text(), pictures=6)


def test_half_a_folder_of_vectors_is_not_taken_for_the_whole(photos, model, tmp_path, capsys):
    embed_catalogue(Encoder.load(model), photos, tmp_path / "vectors")
    info = tmp_path / "vectors" / "vectors.json"
    info.write_text(info.read_text().replace('"complete": true', '"complete": false'))
    code, _, error = run(capsys, "index", tmp_path / "vectors", "-o", tmp_path / "index")
    assert (code, "not yet all" in error) == (2, True)
    assert not (tmp_path / "index").exists()
