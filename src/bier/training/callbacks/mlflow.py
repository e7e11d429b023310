"""A run on MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bier.errors import ConfigError
from bier.records.history import Epoch
from bier.system.extras import need
from bier.system.files import write_text
from bier.training.callbacks import Callback, Running, Step, figures
from bier.training.stopping import Interrupted


class MLflow(Callback):
    """Settings and curves of a run, under its folder's name. Needs the extra ``tracking``.

    A run that goes on is the same run there: its identity is kept in ``mlflow-run.txt`` in its folder.

    Args:
        tracking_uri: a server, or a database such as ``sqlite:///mlflow.db``; none given: what
            ``MLFLOW_TRACKING_URI`` says.
        experiment: what the runs are grouped under.

    Raises:
        ConfigError: the package is not installed, or MLflow refuses what it is told.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str = "bier") -> None:
        self.module = need("mlflow", "tracking")
        self.experiment = experiment
        with self._refusals_told():
            self.client = self.module.MlflowClient(tracking_uri=tracking_uri)

    def on_start(self, run: Running) -> None:
        remembered = run.folder / "mlflow-run.txt"
        with self._refusals_told():
            if remembered.is_file():
                self.identity = remembered.read_text(encoding="utf-8").strip()
                self.client.update_run(self.identity, status="RUNNING")
            else:
                self.identity = self._new(run)
                write_text(remembered, self.identity)

    def on_step(self, run: Running, step: Step) -> None:
        self._log(figures.of_step(step), step.number)

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self._log(figures.of_epoch(epoch), epoch.step)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        asked = isinstance(error, Interrupted | KeyboardInterrupt)
        status = "FINISHED" if error is None else "KILLED" if asked else "FAILED"
        with self._refusals_told():
            self.client.set_terminated(self.identity, status=status)

    def _new(self, run: Running) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.experiment)
        identity: str = self.client.create_run(experiment, run_name=run.folder.name).info.run_id
        settings = figures.flat(run.settings).items()
        self.client.log_batch(
            identity, params=[self.module.entities.Param(name, str(value)) for name, value in settings]
        )
        return identity

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        metrics = [  # MLflow allows no @ in names
            self.module.entities.Metric(name.replace("@", "_at_"), value, now, step) for name, value in values.items()
        ]
        with self._refusals_told():
            self.client.log_batch(self.identity, metrics=metrics)

    @contextmanager
    def _refusals_told(self) -> Iterator[None]:
        try:
            yield
        except self.module.exceptions.MlflowException as error:
            raise ConfigError(
                str(error), where="MLflow", remedy="set MLFLOW_TRACKING_URI to a server, or to sqlite:///mlflow.db"
            ) from error
