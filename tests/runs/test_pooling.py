"""Poolings are tried on training images alone, once a run, and where there is a choice."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console
from tiny_runs import TINY, At, interrupt

from bier import runs
from bier.data import open_source
from bier.records.provenance import Provenance
from bier.runs import build
from bier.runs.pooling import choose_pooling
from bier.runs.splits import held_out
from bier.runs.trainer import build_job
from bier.settings.reading import from_table, load
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.training.job import Job
from bier.training.stopping import Interrupted

FEW_HELD_OUT = {"data.test_classes": 0.2, "data.validation_classes": 0.2}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=14, images=4)


def settings(backbone: str, **changes: object) -> Config:
    return from_table({**TINY, "model.backbone": backbone, **changes})


def job_of(source: Path, config: Config, folder: Path) -> Job:
    manifest = held_out(open_source(source, config.data), config, plain_console(quiet=True))
    return build_job(manifest, config, folder, build.hardware(config))


def said(job: Job, config: Config) -> tuple[Config, str]:
    text = StringIO()
    return choose_pooling(job, config, Console(file=text, width=200))[0], text.getvalue()


def test_the_choice_is_made_once_and_kept(birds: Path, tmp_path: Path) -> None:
    config, text = settings("test_vit", **FEW_HELD_OUT), StringIO()
    console = Console(file=text, width=200)
    with pytest.raises(Interrupted):
        runs.train(str(birds), config, tmp_path / "run", console, callbacks=[At(1, interrupt)])
    [line] = [line for line in text.getvalue().splitlines() if line.startswith("pooling: ")]
    chosen = load(tmp_path / "run" / "config.yaml").model.pooling
    assert chosen in ("class", "patches", "patches-gem", "class+patches", "class+patches-gem"), "all differ from auto"
    assert line.startswith(f"pooling: {chosen}, ")
    assert "% MAP@R on 4 training classes (" in line
    assert line.count(", ") == 2 + 3, "five were compared: the network's own is its class token"
    assert Provenance.load(tmp_path / "run").backbone.pooling == chosen
    runs.resume(tmp_path / "run", console)
    assert text.getvalue().count("pooling: ") == 1


@pytest.mark.parametrize(
    ("backbone", "changes", "pooling", "words"),
    [
        ("efficientnet_lite0", FEW_HELD_OUT, "auto", ""),  # one map, never negative: gem without a trial
        ("test_mambaout", FEW_HELD_OUT, "auto", ""),  # nothing to choose from
        ("test_vit", {"model.pooling": "patches", **FEW_HELD_OUT}, "patches", ""),
        ("test_vit", {}, "average", "too few training classes"),  # three of them
    ],
)
def test_where_nothing_is_tried(
    backbone: str, changes: dict[str, object], pooling: str, words: str, birds: Path, tmp_path: Path
) -> None:
    if not changes:
        changes = {"data.test_classes": 0.6, "data.validation_classes": 0.4}
    config = settings(backbone, **changes)
    found, text = said(job_of(birds, config, tmp_path), config)
    assert found.model.pooling == pooling
    assert words in text
    assert bool(text) == bool(words)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["cub100", "cars196"])
def test_it_finds_what_suits_real_weights(source: str, photographs: Path, tmp_path: Path) -> None:
    """The generalised mean of lite0's map is better than its average, as after training (docs/experiments.md)."""
    config = load(None, ["data.workers=1", "model.pooling=average", "image.size=128"])
    found, text = said(job_of(photographs / source, config, tmp_path), config.replace(model__pooling="auto"))
    assert found.model.pooling == "gem"
    assert "average" in text
