"""The command line as a person meets it: help, mistakes, and a run from photographs to a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bier.cli import main

SMALL = [
    argument
    for setting in (
        "image.size=48",
        "optimizer.epochs=1",
        "optimizer.freeze=8",
        "data.classes_per_batch=3",
        "data.images_per_class=2",
        "data.workers=0",
        "model.sizes=[8, 16]",
        "diversity.hidden=16",
        "hardware.threads=1",
    )
    for argument in ("--set", setting)
]


@pytest.fixture(scope="module")
def photos(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight classes of four photographs of cars, as a CSV with names."""
    root = tmp_path_factory.mktemp("cars")
    lines = ["image,label"]
    for folder in sorted((photographs / "cars196" / "images").iterdir())[:8]:
        for picture in sorted(folder.iterdir())[:4]:
            shutil.copy(picture, root / f"{folder.name}-{picture.name}")
            lines.append(f"{folder.name}-{picture.name},{folder.name}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error, each on one line per sentence as typed in a wide terminal."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    code = stopped.value.code
    return (code if isinstance(code, int) else 0), out, error


def test_from_photographs_to_a_report(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "first"
    code, out, _ = run(["train", str(photos), *SMALL, "--out", str(folder)], capsys)
    assert code == 0
    assert "epoch 1/1" in out
    assert out.index("pretrained features") < out.index("whitening, untrained") < out.index("trained embedding")
    assert "trained features" in out
    assert "From " in out
    assert (folder / "report.html").stat().st_size > 20_000

    code, out, _ = run(["evaluate", str(folder)], capsys)
    assert code == 0
    assert "Recall" in out or "R@1" in out

    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: mps"))  # as if trained on another machine
    before = (folder / "metrics.json").read_bytes()
    more = ["--also", "map", "nmi", "--missing", "miss", "--out", str(tmp_path / "more.json")]
    code, out, _ = run(["evaluate", str(folder), *more], capsys)
    assert code == 0
    assert "mAP" in out
    found = json.loads((tmp_path / "more.json").read_text())
    assert all(0 < row["map"] <= 1 and 0 <= row["nmi"] <= 1 for row in found["rows"])
    assert "queries without a positive are counted as misses" in found["conventions"]
    again = ["--rerank", "k-reciprocal,k1=3,k2=2", "--rerank", "dba,n=2"]
    code, out, _ = run(["evaluate", str(folder), *again, "--out", str(tmp_path / "again.json")], capsys)
    assert code == 0
    assert "re-ranked, dba,n=2" in out
    kinds = [row["kind"] for row in json.loads((tmp_path / "again.json").read_text())["rows"]]
    assert kinds.count("reranked") == 2
    code, _, error = run(["evaluate", str(folder), "--rerank", "k-reciprocal,lambda=-1"], capsys)
    assert (code, "lambda of k-reciprocal is -1" in error) == (2, True)

    code, out, error = run(["evaluate", str(folder), "--split", "val"], capsys)
    assert code == 0, error
    assert (folder / "metrics.json").read_bytes() == before, "another split must not replace the test figures"
    [other] = folder.glob("metrics-*-val.json")
    assert json.loads(other.read_text())["split"] == "val"

    code, out, _ = run(["report", str(folder), str(folder), "-o", str(tmp_path / "both.html")], capsys)
    assert code == 0
    assert (tmp_path / "both.html").exists()


@pytest.mark.slow
def test_the_demo_on_pictures_of_ones_own(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["demo", "--data", str(photos), "--out", str(tmp_path / "demo"), "--epochs", "1"], capsys)
    assert code == 0
    for title in (
        "pretrained features",
        "whitening, untrained",
        "one plain embedding",
        "BIER, three boosted learners",
        "next",
    ):
        assert title in out
    assert (tmp_path / "demo" / "report.html").stat().st_size > 20_000


@pytest.mark.slow
def test_the_demo_as_it_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["demo", "--out", str(tmp_path / "demo"), "--epochs", "1"], capsys)
    assert code == 0
    assert "openmoji" in out


def test_data_check_lists_all_faults_at_once(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(photos, broken)
    pictures = sorted(broken.glob("*.jpg"))
    pictures[1].unlink()
    pictures[2].write_bytes(b"<html>not a picture</html>")
    code, out, _ = run(["data", "check", str(broken)], capsys)
    assert code == 2
    assert pictures[1].name in out
    assert pictures[2].name in out
    code, out, _ = run(["data", "check", str(photos)], capsys)
    assert code == 0


def test_help_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["train", "--help"], ["evaluate", "--help"], ["data", "check", "--help"]):
        main_or_exit(arguments)
        assert "bier" in capsys.readouterr().out
    main_or_exit(["settings"])
    assert "learning_rate" in capsys.readouterr().out
    main_or_exit(["settings", "image"])
    assert capsys.readouterr().out.startswith("# From file to tensor.\nimage:\n")


def main_or_exit(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code in (0, None)


MISTAKES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "missing folder": (["train", "{tmp}/nothing"], ("nothing", "→")),
    "empty folder": (["train", "{tmp}/empty"], ("empty", "→")),
    "one class": (["train", "{tmp}/one"], ("one", "class", "→")),
    "one image a class": (["train", "{tmp}/singles"], ("→",)),
    "labels missing": (["train", "{tmp}/unlabelled.csv"], ("unlabelled.csv", "label", "→")),
    "unknown setting": (["train", "{photos}", "--set", "optimizer.epoch=3"], ("optimizer.epoch", "'optimizer.epochs'")),
    "no such word in settings": (["settings", "epocs"], ("epocs", "'epochs'")),
    "sizes do not sum": (
        ["train", "{photos}", "--set", "model.sizes=[96, 160]", "--set", "model.dimensions=512"],
        ("sum to 256", "512", "→"),
    ),
    "vanishing weights": (
        [
            *("train", "{photos}", "--set", "loss.name=binomial_deviance"),
            *("--set", "loss.schedule=convex", "--set", "loss.shrinkage=0.06"),
        ],
        ("loss.shrinkage", "0.06", "leave shrinkage out"),
    ),
    "loss without terms": (
        ["train", "{photos}", "--set", "loss.name=multi_similarity", "--set", "loss.schedule=convex"],
        ("does not split into terms", "stagewise"),
    ),
    "unknown loss": (["train", "{photos}", "--set", "loss.name=tripplet"], ("tripplet", "'triplet'")),
    "unknown loss option": (["train", "{photos}", "--set", "loss.options.alfa=3"], ("alfa", "'alpha'")),
    "unknown backbone": (["train", "{photos}", "--set", "model.backbone=resnet51"], ("resnet51", "→")),
    "no source": (["train"], ("SOURCE",)),
    "not a run": (["train", "--resume", "{tmp}"], ("not the folder of a run",)),
    "uploads without marks": (["train", "{photos}", "--uploads", "{tmp}"], ("--uploads", "--marks")),
    "not a file of marks": (
        ["train", "{photos}", "--marks", "{tmp}/notes.txt"],
        ("notes.txt", "no column 'query'", "Download marked pairs"),
    ),
    "model of another kind": (["evaluate", "{tmp}/notes.txt", "{photos}"], ("notes.txt", "→")),
    "no model": (["evaluate", "{tmp}/gone", "{photos}"], ("gone", "no such file")),
    "report of nothing": (["report"], ("no run",)),
    "report of no run": (["report", "{tmp}/empty"], ("empty", "bier evaluate")),
    "unknown command": (["trian", "x"], ("trian",)),
    "no such device": (["train", "{photos}", "--set", "hardware.device=mps"], ("mps", "'cpu'")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_and_exit_code_2(
    mistake: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(photos.glob("*.jpg"))
    (tmp_path / "empty").mkdir()
    for n in range(3):
        for folder in (tmp_path / "one" / "only", tmp_path / "singles" / f"class{n}"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / f"{n}.jpg")
    (tmp_path / "unlabelled.csv").write_text("image,label\na.jpg,\nb.jpg,x\n")
    (tmp_path / "notes.txt").write_text("not a model")
    arguments, expected = MISTAKES[mistake]
    if "mps" in " ".join(arguments):
        import torch

        if torch.backends.mps.is_available():
            pytest.skip("this machine has the device")
    before = sorted(tmp_path.rglob("*"))
    filled = [argument.format(tmp=tmp_path, photos=photos) for argument in arguments]
    if "train" in filled and "--resume" not in filled:
        filled += ["--out", str(tmp_path / "run")]
    code, out, error = run(filled, capsys)
    assert code == 2
    assert error.startswith("error: ")
    assert "Traceback" not in error + out
    for part in expected:
        assert part in error
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert left == [], "nothing half-written"
