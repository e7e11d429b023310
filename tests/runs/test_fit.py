"""How long pictures become square is tried on training images alone, once a run, and where pictures are long."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from folders import some_birds
from PIL import Image
from rich.console import Console
from tiny_runs import TINY, At, interrupt

from bier import runs
from bier.data import Manifest, open_source
from bier.network.model_file import load_model
from bier.runs import build
from bier.runs.fit import are_long, choose_fit
from bier.runs.splits import held_out
from bier.runs.trainer import build_job
from bier.settings.reading import from_table, load
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.training.stopping import Interrupted

FEW_HELD_OUT = {"data.test_classes": 0.2, "data.validation_classes": 0.2}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=14, images=4)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that tell their class at their ends alone: a colour at both, and noise in the square between."""
    root, random = tmp_path_factory.mktemp("ends"), np.random.default_rng(0)
    for label in range(14):
        folder = root / f"class {label:02}"
        folder.mkdir()
        colour = random.integers(0, 256, 3)
        for number in range(4):
            pixels = random.integers(0, 256, (60, 180, 3), dtype=np.uint8)
            pixels[:, :60], pixels[:, 120:] = colour, colour
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def said(source: Path, folder: Path, **changes: object) -> tuple[Config, str]:
    config, text = from_table({**TINY, **FEW_HELD_OUT, **changes}), StringIO()
    manifest = held_out(open_source(source, config.data), config, plain_console(quiet=True))
    job = build_job(manifest, config, folder, build.hardware(config))
    return choose_fit(job, config, Console(file=text, width=300))[0], text.getvalue()


def test_the_choice_is_made_once_and_kept(ends: Path, tmp_path: Path) -> None:
    config, text = from_table({**TINY, **FEW_HELD_OUT, "image.filter": "bicubic"}), StringIO()
    console = Console(file=text, width=300)
    with pytest.raises(Interrupted):
        runs.train(str(ends), config, tmp_path / "run", console, callbacks=[At(1, interrupt)])
    [line] = [line for line in text.getvalue().splitlines() if line.startswith("image.fit: ")]
    assert line.startswith("image.fit: stretch, ")
    assert "% MAP@R on 4 training classes (crop " in line
    assert load(tmp_path / "run" / "config.yaml").image.fit == "stretch"
    runs.resume(tmp_path / "run", console)
    assert text.getvalue().count("image.fit: ") == 1
    assert load_model(tmp_path / "run" / "model.safetensors")[1].image == {
        "size": 32,
        "fit": "stretch",
        "filter": "bicubic",
    }


def test_square_pictures_are_not_tried(birds: Path, tmp_path: Path) -> None:
    config, text = said(birds, tmp_path)
    assert (config.image.fit, text) == ("crop", "")


def test_what_the_user_says_is_not_tried(ends: Path, tmp_path: Path) -> None:
    for fit in ("crop", "pad"):
        config, text = said(ends, tmp_path, **{"image.fit": fit})
        assert (config.image.fit, text) == (fit, "")


def test_too_few_classes_are_said(ends: Path, tmp_path: Path) -> None:
    config, text = said(ends, tmp_path, **{"data.test_classes": 0.6, "data.validation_classes": 0.4})
    assert config.image.fit == "crop"
    assert "too few training classes" in text
    assert "image.fit=stretch keeps them" in text


def test_boxes_count_where_pictures_are_cut_to_them(birds: Path) -> None:
    images = open_source(birds)
    boxes = np.tile(np.array([0, 0, 100, 40]), (len(images), 1))
    fields = {"image": images.image, "label": images.label}
    assert not are_long(images)
    assert are_long(Manifest.of(images.root, "boxes", **fields, bbox=boxes))
    assert not are_long(Manifest.of(images.root, "none", **fields, bbox=np.full((len(images), 4), np.nan)))
    gone = Manifest.of(images.root, "gone", image=["nowhere.jpg"], label=["a"])
    assert not are_long(gone), "the loader will name it"


@pytest.mark.slow
def test_it_finds_what_suits_real_cars(photographs: Path, tmp_path: Path) -> None:
    changes = {"model.backbone": "efficientnet_lite0", "model.weights": "default", "image.size": 128}
    config, text = said(photographs / "cars196", tmp_path, **changes)
    assert config.image.fit == "stretch", text
