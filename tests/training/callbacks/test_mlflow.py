"""Runs on MLflow, with the real library and a database in a file, read back with its client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import TINY, At, fail, interrupt

import bier
from bier.cli import main
from bier.errors import ConfigError
from bier.settings.reading import from_table, save

pytest.importorskip("mlflow")
pytestmark = [
    pytest.mark.slow,  # the library's import and its database take twenty seconds
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def client(uri: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=uri)


def runs(uri: str, experiment: str) -> list[Any]:
    found = client(uri).get_experiment_by_name(experiment)
    assert found is not None
    return list(client(uri).search_runs([found.experiment_id]))


def curve(uri: str, run: Any, name: str) -> dict[int, float]:
    """Steps and values, as a chart shows them: the last value of each step."""
    values = sorted(client(uri).get_metric_history(run.info.run_id, name), key=lambda m: m.timestamp)
    return {metric.step: metric.value for metric in values}


def test_settings_and_curves_are_there(database: str, birds: Path, tmp_path: Path) -> None:
    run = bier.train(birds, TINY, tmp_path / "my-run", [bier.MLflow(database, "plain")], quiet=True)
    (found,) = runs(database, "plain")
    assert found.info.run_name == "my-run"
    assert found.info.status == "FINISHED"
    assert found.data.params["image.size"] == "32"
    assert found.data.params["loss.name"] == "binomial_deviance"
    assert sorted(curve(database, found, "train/loss")) == [1, 2, 3, 4]
    expected = {record.step: record.validation["recall@1"] for record in run.history}
    assert curve(database, found, "validation/recall_at_1") == pytest.approx(expected)
    learner = {record.step: record.learner_losses[1] for record in run.history}
    assert curve(database, found, "train/loss_learner_2") == pytest.approx(learner)


@pytest.mark.parametrize(("end", "status"), [(interrupt, "KILLED"), (fail, "FAILED")])
def test_a_run_that_goes_on_is_the_same_run(end: Any, status: str, database: str, birds: Path, tmp_path: Path) -> None:
    watch = bier.MLflow(database, f"then {status}")
    with pytest.raises((bier.Interrupted, ZeroDivisionError)):
        bier.train(birds, TINY, tmp_path / "run", [watch, At(3, end)], quiet=True)
    (found,) = runs(database, f"then {status}")
    assert found.info.status == status
    run = bier.open_run(tmp_path / "run").resume([bier.MLflow(database, f"then {status}")], quiet=True)
    assert run.metrics is not None
    (found,) = runs(database, f"then {status}")
    assert found.info.status == "FINISHED"
    assert sorted(curve(database, found, "train/loss")) == [1, 2, 3, 4]


def test_the_command_line_tracks_too(
    database: str, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    save(from_table({**TINY, "optimizer.epochs": 1}), tmp_path / "tiny.yaml")
    options = ["--config", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "run"), "--track", "mlflow"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["train", str(birds), *options])
    (found,) = runs(database, "bier")
    assert found.info.status == "FINISHED"
    assert found.data.params["optimizer.epochs"] == "1"


def test_what_mlflow_refuses_is_told(birds: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MLflow: (.|\n)*set MLFLOW_TRACKING_URI"):
        bier.MLflow("nonsense://nowhere")
    watch = bier.MLflow(f"sqlite:///{tmp_path}/other.db")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mlflow-run.txt").write_text("0" * 32)
    with pytest.raises(ConfigError, match=r"MLflow: Run with id=0+ not found"):
        bier.train(birds, TINY, tmp_path / "run", [watch], quiet=True)
    assert bier.open_run(tmp_path / "run").resume(quiet=True).metrics is not None
