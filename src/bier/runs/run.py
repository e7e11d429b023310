"""Training and its results from Python, as the command line has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bier.data import Manifest, open_source
from bier.data.datasets import memory, open_table
from bier.errors import ConfigError
from bier.evaluate import RECALL_AT, Metric, Missing
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model
from bier.records.folder import RunFolder, new_folder, refuse_to_overwrite
from bier.records.history import Epoch, read_history
from bier.records.lock import held
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance, is_finished
from bier.report import write_report
from bier.runs import evaluation, trainer
from bier.runs.marks import GivenMarks
from bier.settings.reading import from_table, load
from bier.settings.schema import Config
from bier.system.console import plain_console
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
    marks: str | Path | None = None,
    uploads: str | Path | None = None,
    marks_win: bool = False,
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
        marks: pairs that people marked on the search page, beside labels: the file that ``/api/marks.csv`` gives.
        uploads: the folder of kept uploads; by default ``uploads`` beside the marks.
        marks_win: where labels contradict a mark, the mark counts; else it is an error.
        quiet: print nothing.

    Returns:
        the run, complete.

    Raises:
        BierError: what `errors` lists: settings, data or a loss that cannot be used, a full disk.
        Interrupted: after Ctrl-C or SIGTERM; everything is saved, and ``open_run(out).resume()`` goes on.
    """
    processes = Processes.joined()
    config, watching = _config(settings), _callbacks(callbacks)
    in_memory = not isinstance(source, str | Path)
    folder = processes.gather_objects(Path(out) if out else new_folder(memory.NAME if in_memory else str(source)))[0]
    files = (None if path is None else Path(path) for path in (marks, uploads))
    given = GivenMarks.named(*files, win=marks_win)
    options: dict[str, Any] = {"processes": processes, "callbacks": watching, "marks": given}
    if in_memory:
        open_table(source, config.data)  # a mistake in it is told before anything is written
        with held(folder, processes), _saved(source, folder, processes) as file:
            trainer.train(str(file), config, folder, plain_console(quiet=quiet), **options)
    else:
        trainer.train(str(source), config, folder, plain_console(quiet=quiet), **options)
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
        """Whether training has ended, early or not. A run that is not finished can be resumed."""
        return is_finished(self.folder)

    @property
    def settings(self) -> Config:
        """All of them, with what was found out about the machine filled in."""
        return load(RunFolder(self.folder).config)

    @property
    def history(self) -> tuple[Epoch, ...]:
        """A record for each epoch that is complete: losses, validation, boosting weights."""
        return read_history(self.folder)

    @property
    def metrics(self) -> Metrics | None:
        """The figures on the test split of its own source, as `evaluate` returns them; None before there are any."""
        file = RunFolder(self.folder).metrics
        return Metrics.load(file) if file.is_file() else None

    @cached_property
    def model(self) -> RetrievalModel:
        """The network with the weights of the epoch that was kept, in evaluation mode, on the CPU."""
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
            also: metrics beside the usual ones: ``map``, ``nmi``, ``ami``; ``verification`` and ``open_set`` of
                every row, and not of the whole embedding alone.
            missing: what queries with nothing to find count as: ``exclude`` leaves them out, ``miss`` counts them.
            quiet: print nothing.

        Raises:
            BierError: the source cannot be used, or has no such split.
        """
        in_memory = source is not None and not isinstance(source, str | Path)
        return evaluation.evaluate(
            self.folder,
            None if source is None or in_memory else str(source),
            plain_console(quiet=quiet),
            manifest=self._other_table(source) if in_memory else None,
            split=split,
            recall_at=sorted(set(recall_at)),
            also=also,
            missing=missing,
            processes=Processes.joined(),
        )

    def _other_table(self, source: Any) -> Manifest | None:
        """A table's manifest; none for the table that the run was trained on."""
        manifest, own = open_table(source), RunFolder(self.folder).table
        if own.is_file():
            data = self.settings.data
            if open_table(source, data).fingerprint() == open_source(own, data).fingerprint():
                return None
        return manifest

    def report(self, output: str | Path | None = None) -> Path:
        """Write one HTML page about the run, by default ``report.html`` in its folder, and return its path."""
        return write_report([self.folder], Path(output) if output else RunFolder(self.folder).report)

    def resume(self, callbacks: Sequence[Callback] = (), *, quiet: bool = False) -> Run:
        """Go on from the last checkpoint, bit for bit.

        Raises:
            ConfigError: the run is complete.
            ModelError: there is no checkpoint.
        """
        watching = _callbacks(callbacks)
        trainer.resume(self.folder, plain_console(quiet=quiet), processes=Processes.joined(), callbacks=watching)
        return Run(self.folder)


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


def _callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    if isinstance(callbacks, Sequence) and all(isinstance(callback, Callback) for callback in callbacks):
        return tuple(callbacks)
    raise ConfigError(
        f"{callbacks!r:.80} is no list of callbacks",
        where="callbacks",
        remedy="give a list of objects whose classes derive from bier.Callback",
    )


@contextmanager
def _saved(source: Any, folder: Path, processes: Processes) -> Iterator[Path]:
    """The file of a table that was in memory. It goes again if no run has begun that could need it."""
    refuse_to_overwrite(folder)
    file = RunFolder(folder).table
    if processes.first:
        memory.save(source, file)
    processes.wait()
    try:
        yield file
    except BaseException:
        if processes.first and not RunFolder(folder).provenance.exists():
            file.unlink(missing_ok=True)
        raise
