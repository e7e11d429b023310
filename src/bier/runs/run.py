"""Training and its results from Python, as the command line has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from bier.data.datasets import memory, open_table
from bier.errors import ConfigError
from bier.evaluate import RECALL_AT, Metric, Missing
from bier.network.model import RetrievalModel
from bier.records.folder import RunFolder, new_folder, refuse_to_overwrite
from bier.records.history import Epoch, read_history
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance, is_finished
from bier.report import write_report
from bier.runs import evaluation, trainer
from bier.settings.reading import from_table, load
from bier.settings.schema import Config
from bier.system.hardware import DeviceName, Hardware, PrecisionName
from bier.system.processes import Processes
from bier.training.callbacks import Callback
from bier.vectors.encoder import Encoder

Settings = Config | Mapping[str, object] | str | Path | None


def train(
    source: Any,
    settings: Settings = None,
    out: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    quiet: bool = False,
) -> Run:
    """Train a model and evaluate it, as ``bier train`` does.

    Args:
        source: a path (a folder of class folders, a CSV or Parquet file, a benchmark's directory); or a table in
            memory (pandas, polars, pyarrow) with columns ``image`` and ``label``; or a list of (path, label).
        settings: what differs from the defaults, by dotted names (``{"optimizer.epochs": 20}``) or nested; or the path
            of a YAML file.
        out: the run's folder; by default ``runs/NAME-TIME``.
        callbacks: watch the run, and may stop it early.
        quiet: print nothing.

    Returns:
        the run, complete.

    Raises:
        BierError: what `errors` lists: settings, data or a loss that cannot be used, a full disk.
        Interrupted: after Ctrl-C or SIGTERM; everything is saved, and ``open_run(out).resume()`` goes on.
    """
    processes = Processes.joined()
    config = _config(settings)
    in_memory = not isinstance(source, str | Path)
    folder = processes.gather_objects(Path(out) if out else new_folder(memory.NAME if in_memory else str(source)))[0]
    if in_memory:
        open_table(source, config.data)  # a mistake in it is told before anything is written
        refuse_to_overwrite(folder)
        if processes.first:
            memory.save(source, folder / "source.parquet")
        processes.wait()
        source = folder / "source.parquet"
    console = Console(quiet=quiet)
    trainer.train(str(source), config, folder, console, processes=processes, callbacks=callbacks)
    return Run(folder)


def open_run(folder: str | Path) -> Run:
    """A run that is there, finished or not.

    Raises:
        ModelError: it is not the folder of a run.
    """
    Provenance.load(Path(folder))
    return Run(Path(folder))


class Run:
    """The folder of a run, and what can be done with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}{'' if self.finished else ', unfinished'})"

    @property
    def finished(self) -> bool:
        return is_finished(self.folder)

    @property
    def settings(self) -> Config:
        return load(RunFolder(self.folder).config)

    @property
    def history(self) -> tuple[Epoch, ...]:
        """A record for each epoch: losses, validation, boosting weights."""
        return read_history(self.folder)

    @cached_property
    def model(self) -> RetrievalModel:
        """The network with the weights of the epoch that was kept, in evaluation mode, on the CPU."""
        from bier.network.model_file import load_model

        return load_model(self.folder)[0]

    def encoder(self, device: DeviceName = "auto", precision: PrecisionName = "float32") -> Encoder:
        """From pictures to vectors.

        Raises:
            ConfigError: there is no such device here.
        """
        hardware = Hardware.resolve(device, precision)
        return Encoder.load(self.folder, hardware.device, hardware.precision)

    def evaluate(
        self,
        source: Any = None,
        *,
        split: str = "test",
        recall_at: Sequence[int] = RECALL_AT,
        also: Sequence[Metric] = (),
        missing: Missing = "exclude",
        quiet: bool = False,
    ) -> Metrics:
        """Figures on a source: by default the one that the run was trained on. They are kept in the run's folder.

        Args:
            source: as for `train`.
            split: ``test``, ``val`` or ``train``.
            recall_at: every K of Recall@K.
            also: metrics beside the usual ones: ``map``, ``nmi``, ``ami``.
            missing: what queries with nothing to find count as: ``exclude`` leaves them out, ``miss`` counts them.
            quiet: print nothing.

        Raises:
            BierError: the source cannot be used, or has no such split.
        """
        in_memory = source is not None and not isinstance(source, str | Path)
        return evaluation.evaluate(
            self.folder,
            None if source is None or in_memory else str(source),
            Console(quiet=quiet),
            manifest=open_table(source, self.settings.data) if in_memory else None,
            split=split,
            recall_at=recall_at,
            also=also,
            missing=missing,
            processes=Processes.joined(),
        )

    def report(self, output: str | Path | None = None) -> Path:
        """Write one HTML page about the run, by default ``report.html`` in its folder, and return its path."""
        return write_report([self.folder], Path(output) if output else RunFolder(self.folder).report)

    def resume(self, callbacks: Sequence[Callback] = (), *, quiet: bool = False) -> Run:
        """Go on from the last checkpoint, bit for bit.

        Raises:
            ConfigError: the run is complete.
            ModelError: there is no checkpoint.
        """
        trainer.resume(self.folder, Console(quiet=quiet), processes=Processes.joined(), callbacks=callbacks)
        return self


def _config(settings: Settings) -> Config:
    if settings is None or isinstance(settings, str | Path):
        return load(None if settings is None else Path(settings))
    if isinstance(settings, Config):
        return settings
    if isinstance(settings, Mapping):
        return from_table(settings)
    raise ConfigError(
        f"a {type(settings).__name__} holds no settings",
        where="settings",
        remedy="give a dictionary such as {'optimizer.epochs': 20}, or the path of a YAML file",
    )
