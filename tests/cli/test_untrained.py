"""``bier model`` as a person meets it."""

from __future__ import annotations

import shlex
import shutil
import tarfile
from pathlib import Path

import pytest
from folders import some_birds

from bier.cli import main
from bier.cli.commands import app
from bier.errors import BierError
from bier.network.model_file import load_model
from bier.records.metrics import Metrics

SETTINGS = ["--set", "model.weights=none", "--set", "image.size=32", "--set", "data.workers=0"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    return int(stopped.value.code or 0), out, error


@pytest.fixture(scope="module")
def photos(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs without labels, and a file that is none."""
    root = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(some_birds(photographs, root / "birds", 3, 4).rglob("*.jpg")):
        shutil.copy(picture, root / f"{number}.jpg")
    shutil.rmtree(root / "birds")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_photographs_become_a_model(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    code, out, _ = run(["model", "test_resnet", str(photos), "-o", str(model), *SETTINGS], capsys)
    assert code == 0
    assert "left out: " in out and "broken.jpg" in out
    assert "looked at 12 of 13 pictures; 1 cannot be read" in out
    assert "test_resnet at 32 px, learners of" in out
    following = f"bier index {photos} -o INDEX --model {model}"
    assert f"next: {following}, then bier serve INDEX" in out
    app.parse_args(shlex.split(following)[1:], exit_on_error=False, print_error=False)


def test_the_other_commands_take_it(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    birds, made = some_birds(photographs, tmp_path / "birds", 4, 3), tmp_path / "made"
    commands = [
        ["model", "test_resnet", str(birds), "-o", f"{made}/model.safetensors", *SETTINGS],
        ["evaluate", f"{made}/model.safetensors", str(birds), "-o", f"{made}/metrics.json", "--set", "data.workers=0"],
        ["embed", f"{made}/model.safetensors", str(birds), "-o", f"{made}/vectors", "--workers", "0"],
        ["index", f"{made}/vectors", "-o", f"{made}/index", "--engine", "exact"],
    ]
    for command in commands:
        code, _, error = run(command, capsys)
        assert code == 0, error
    assert Metrics.load(made / "metrics.json").features is not None


@pytest.mark.slow
def test_it_is_indexed_searched_and_exported(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    birds, made = some_birds(photographs, tmp_path / "birds", 4, 3), tmp_path / "made"
    picture = next(birds.rglob("*.jpg"))
    commands = [
        ["model", "efficientnet_lite0", str(birds), "-o", f"{made}/model.safetensors", "--set", "image.size=64"],
        ["index", str(birds), "-o", f"{made}/index", "--model", f"{made}/model.safetensors"],
        ["search", f"{made}/index", str(picture)],
        ["export", f"{made}/model.safetensors", "--to", "onnx", "-o", f"{made}/model.onnx", "--images", str(birds)],
    ]
    for command in commands:
        code, out, error = run(command, capsys)
        assert code == 0, error
        if command[0] == "search":
            assert picture.name in out


def test_tables_tars_and_fewer_pictures(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(photos.glob("[0-9]*.jpg"))
    table, tar = tmp_path / "photos.csv", tmp_path / "photos.tar"
    table.write_text("image\n" + "".join(f"{name}\n" for name in names))
    with tarfile.open(tar, "w") as file:
        for name in names:
            file.add(name, name.name)
    models = []
    for source in (table, tar):
        models.append(tmp_path / f"{source.name}.safetensors")
        code, out, error = run(
            ["model", "test_resnet", str(source), "-o", str(models[-1]), "--most", "9", *SETTINGS], capsys
        )
        assert code == 0, error
        assert "looked at 9 of 12 pictures\n" in out
    assert models[0].read_bytes() == models[1].read_bytes()


def test_dimensions_are_no_more_than_features(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    command = ["model", "test_resnet", str(photos), "-o", str(model), *SETTINGS]
    run(command, capsys)
    found, info = load_model(model)
    assert sum(info.sizes) == min(512, found.backbone.features)
    run([*command, "--set", "model.sizes=[4, 6]"], capsys)
    assert load_model(model)[1].sizes == (4, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test_resnet"], "out"),
        (["test_resnet", "-o", "OUT"], "no pictures given"),
        (["test_resnet", "nowhere", "-o", "OUT"], "there is no such file or folder"),
        (["test_resnet", "PHOTOS", "-o", "FOLDER"], "is a folder"),
        (["no_such_network", "PHOTOS", "-o", "OUT"], "no_such_network"),
        (["test_resnet", "PHOTOS", "-o", "OUT", "--most", "1"], "most"),
        (["test_resnet", "BROKEN", "-o", "OUT"], "can be read"),
    ],
)
def test_mistakes_are_one_message(
    arguments: list[str], message: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    shutil.copy(photos / "broken.jpg", tmp_path / "broken")
    places = {
        "PHOTOS": photos, "OUT": tmp_path / "model", "FOLDER": tmp_path, "BROKEN": tmp_path / "broken"
    }  # fmt: skip
    code, _, error = run(["model", *(str(places.get(word, word)) for word in arguments), *SETTINGS], capsys)
    assert code == BierError.exit_code
    assert message in " ".join(error.split())
    assert not (tmp_path / "model").exists()
