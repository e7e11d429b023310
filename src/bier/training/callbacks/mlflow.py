"""A run on MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bier.system.extras import need
from bier.training.callbacks import Callback, Running, Step, figures


class MLflow(Callback):
    """Settings, curves and the outcome of a run, under its folder's name. Needs the extra ``tracking``.

    Args:
        tracking_uri: a server, or a folder or database of files; none given: what ``MLFLOW_TRACKING_URI`` says.
        experiment: what the runs are grouped under.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str = "bier") -> None:
        self.module = need("mlflow", "tracking")
        self.client = self.module.MlflowClient(tracking_uri=tracking_uri)
        self.experiment = experiment

    def on_start(self, run: Running) -> None:
        remembered = run.folder / "mlflow-run.txt"
        if run.step and remembered.is_file():
            self.identity = remembered.read_text(encoding="utf-8").strip()
            self.client.update_run(self.identity, status="RUNNING")
            return
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.experiment)
        self.identity = self.client.create_run(experiment, run_name=run.folder.name).info.run_id
        run.folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(self.identity, encoding="utf-8")
        for name, value in figures.flat(run.settings).items():
            self.client.log_param(self.identity, name, value)

    def on_step(self, run: Running, step: Step) -> None:
        self._log(figures.of_step(step), step.number)

    def on_epoch(self, run: Running, record: Mapping[str, Any]) -> None:
        self._log(figures.of_epoch(record), record["step"])

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.client.set_terminated(self.identity, status="FINISHED" if error is None else "FAILED")

    def _log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.client.log_metric(self.identity, name.replace("@", "_at_"), value, step=step)
