"""Several values of a setting: chosen on validation classes, and as if the best had been trained alone."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console

from bier import runs
from bier.cli import main
from bier.errors import ConfigError
from bier.records.metrics import Metrics
from bier.runs import tries
from bier.settings.reading import load
from bier.settings.schema import Config
from bier.training.callbacks import Callback, Running, Step
from bier.training.stopping import Interrupted

CONFIG = Config().replace(
    image__size=48,
    optimizer__epochs=1,
    optimizer__freeze=6,
    data__classes_per_batch=3,
    data__images_per_class=2,
    data__workers=0,
    data__validation_classes=0.4,
    model__sizes=(8, 16),
    hardware__threads=1,
)
TRIED = ["optimizer.learning_rate=0.1, 1e-4"]
LARGE, SMALL = "optimizer.learning_rate=0.1", "optimizer.learning_rate=1e-4"


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    return some_birds(photographs, tmp_path / "photos", classes=10, images=6)


@pytest.fixture
def console() -> Console:
    return Console(quiet=True)


class InterruptSecond(Callback):
    """In the second run of the two, at a step."""

    def __init__(self, step: int) -> None:
        self.step, self.runs = step, 0

    def on_start(self, run: Running) -> None:
        self.runs += 1

    def on_step(self, run: Running, step: Step) -> None:
        if self.runs == 2 and step.number == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_the_best_is_kept_and_is_a_run_like_any_other(birds: Path, tmp_path: Path, console: Console) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        tries.train(str(birds), CONFIG, TRIED, folder, console, callbacks=[InterruptSecond(2)])
    assert tries.is_unfinished(folder)
    with pytest.raises(ConfigError, match="holds a run already"):
        runs.train(str(birds), CONFIG, folder, console)
    first = (folder / "tries" / LARGE / "model.safetensors").stat().st_mtime_ns
    metrics = tries.resume(folder, console)

    assert (folder / "tries" / LARGE / "model.safetensors").stat().st_mtime_ns == first, "not trained again"
    assert not tries.is_unfinished(folder)
    scores = json.loads((folder / "provenance.json").read_text())["tries"]
    assert set(scores) == {LARGE, SMALL}
    best = float(max(scores, key=scores.__getitem__).partition("=")[2])
    assert load(folder / "config.yaml").optimizer.learning_rate == best
    runs.train(str(birds), CONFIG.replace(optimizer__learning_rate=best), tmp_path / "alone", console)
    alone = tmp_path / "alone"
    assert (folder / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert metrics is not None
    assert metrics.rows == Metrics.load(alone / "metrics.json").rows
    assert not list(folder.glob("tries/*/metrics.json")), "test classes are looked at once"


def test_combinations_and_lists() -> None:
    assert tries._values("model.sizes=[8, 16],[24],bier-512") == [
        "model.sizes=[8, 16]",
        "model.sizes=[24]",
        "model.sizes=bier-512",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--try", "optimizer.learning_rate=1e-4,fast"], "--try: optimizer.learning_rate: 'fast' is not a number"),
        (["--try", "optimizer.learning_rate"], "names no values"),
        (["--try", "optimizer.rate=1,2"], "unknown setting"),
        (["--try", "seed=0,1"], "on which classes tries are compared"),
        (["--try", "optimizer.epochs=1,2", "--set", "data.validation_classes=0"], "no validation classes to choose by"),
    ],
)
def test_mistakes(
    options: list[str], message: str, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", str(birds), "--out", str(tmp_path / "run"), *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
