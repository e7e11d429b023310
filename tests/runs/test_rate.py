"""The rate follows from what features find without training, once a run, and where it was left out."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console
from tiny_runs import TINY, At, interrupt

from bier import runs
from bier.data import open_source
from bier.runs import build, rate
from bier.runs.rate import FEW, HIGHER, choose_rate
from bier.runs.splits import held_out
from bier.runs.trainer import build_job
from bier.settings.reading import from_table, load
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.training.stopping import Interrupted

PRETRAINED = {
    **TINY,
    "model.backbone": "efficientnet_lite0",
    "model.weights": "default",
    "image": {"size": 64},
    "data.test_classes": 0.2,
    "data.validation_classes": 0.2,
}
USUAL = 1e-4


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=14, images=4)


def said(source: Path, folder: Path, found: float | None = None, **changes: object) -> tuple[float | None, str]:
    """The rate, and what was said of it, where the usual one was filled in."""
    config, text = from_table({**PRETRAINED, "optimizer.learning_rate": USUAL, **changes}), StringIO()
    manifest = held_out(open_source(source, config.data), config, plain_console(quiet=True))
    job = build_job(manifest, config, folder, build.hardware(config))
    return choose_rate(job, config, Console(file=text, width=300), found).optimizer.learning_rate, text.getvalue()


def rate_of(folder: Path) -> float | None:
    config: Config = load(folder / "config.yaml")
    return config.optimizer.learning_rate


@pytest.mark.parametrize(
    ("found", "factor", "words"),
    [
        (FEW - 0.001, HIGHER, "twice the usual one, since features find few pictures of new classes: 39.9 % MAP@R"),
        (FEW, 1, "the usual one, since features find many pictures of new classes: 40.0 % MAP@R"),
    ],
)
def test_where_features_find_few_the_rate_is_higher(
    found: float, factor: float, words: str, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "score", lambda *arguments: found)
    taken, text = said(birds, tmp_path)
    assert taken == factor * USUAL
    assert text.startswith(f"optimizer.learning_rate: {factor * USUAL:g}, {words}")
    assert "without training on 4 training classes, " in text


def test_what_another_choice_has_found_is_not_measured_again(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "judged", lambda *arguments: pytest.fail("pictures were embedded once more"))
    assert said(birds, tmp_path, FEW - 0.01)[0] == HIGHER * USUAL
    assert said(birds, tmp_path, FEW)[0] == USUAL


def test_the_ways_to_a_square_and_the_rate_share_a_figure(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "judged", lambda *arguments: pytest.fail("pictures were embedded once more"))
    cars, text = tmp_path / "cars", StringIO()
    for folder in sorted((photographs / "cars196" / "images").iterdir())[:14]:
        (cars / folder.name).mkdir(parents=True)
        for picture in sorted(folder.iterdir())[:4]:
            shutil.copy(picture, cars / folder.name)
    console, stop = Console(file=text, width=300), [At(1, interrupt)]
    with pytest.raises(Interrupted):
        runs.train(str(cars), from_table(PRETRAINED), tmp_path / "run", console, callbacks=stop)
    fit, chosen = re.findall(r"([\d.]+) % MAP@R", text.getvalue())[:2]
    assert fit == chosen


def test_the_choice_is_made_once_and_kept(birds: Path, tmp_path: Path) -> None:
    text, folder = StringIO(), tmp_path / "run"
    console = Console(file=text, width=300)
    with pytest.raises(Interrupted):
        runs.train(str(birds), from_table(PRETRAINED), folder, console, callbacks=[At(1, interrupt)])
    [line] = [line for line in text.getvalue().splitlines() if line.startswith("optimizer.learning_rate: ")]
    chosen = rate_of(folder)
    assert chosen in (USUAL, HIGHER * USUAL)
    assert line.startswith(f"optimizer.learning_rate: {chosen:g}, ")
    runs.resume(folder, console)
    assert text.getvalue().count("optimizer.learning_rate: ") == 1
    assert rate_of(folder) == chosen


def test_a_rate_that_is_given_counts(birds: Path, tmp_path: Path) -> None:
    text, given = StringIO(), from_table({**PRETRAINED, "optimizer": {"epochs": 1, "learning_rate": 3e-5}})
    runs.train(str(birds), given, tmp_path / "run", Console(file=text, width=300), evaluate_after=False)
    assert "optimizer.learning_rate" not in text.getvalue()
    assert rate_of(tmp_path / "run") == 3e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.weights": "none"}, ""),
        ({"optimizer.epochs": 0}, ""),
        ({"data.test_classes": 0.6, "data.validation_classes": 0.4}, "too few training classes"),
    ],
)
def test_the_usual_rate_stays(changes: dict[str, object], words: str, birds: Path, tmp_path: Path) -> None:
    taken, text = said(birds, tmp_path, **changes)
    assert taken == USUAL
    assert words in text
    assert bool(text) == bool(words)
