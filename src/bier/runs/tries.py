"""Several values of settings, a run with each; the validation classes choose the one that is kept.

The folder of such a run holds those of all tries, in ``tries/``, and when they are done the files of the best one, as
if it had been trained alone. Test classes are looked at once, with the best.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bier.data import open_source
from bier.errors import ConfigError
from bier.records.folder import RunFolder, refuse_to_overwrite
from bier.records.history import validation_score
from bier.records.lock import held
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance, is_finished
from bier.records.tries import Tries
from bier.runs import frozen, trainer
from bier.runs.marks import GivenMarks
from bier.runs.prepared import placed
from bier.runs.splits import held_out, with_held_out
from bier.runs.trainer import evaluate_if_tested
from bier.settings.reading import load, override, save
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.system.files import write_atomically
from bier.system.places import path_of
from bier.system.processes import ALONE, Processes
from bier.training.callbacks import Callback

OPTION = "--try"
JUDGES = ("seed", "data.validation_classes", "data.validation_gallery", "data.held_out", "data.test_classes")
"""Settings on which it depends what the tries are compared on."""
_COMMAS = re.compile(r",(?![^\[]*\])")  # between values, not inside [96, 160, 256]


def train(
    source: str,
    config: Config,
    tries: Sequence[str],
    folder: Path,
    console: Console,
    *,
    processes: Processes = ALONE,
    callbacks: Sequence[Callback] = (),
    marks: GivenMarks | None = None,
) -> Metrics | None:
    """Train with every combination of values, and keep the best.

    Args:
        source: of pictures.
        config: everything that is not tried.
        tries: settings with several values, such as ``optimizer.learning_rate=3e-5,1e-4``.
        folder: of the run.
        console: where to tell of it, on rank 0.
        processes: share the work; each calls this alike.
        callbacks: watch every try.
        marks: pairs that people marked, beside labels.

    Returns:
        the test metrics of the best, where the source has test images.

    Raises:
        BierError: as `bier.runs.train`, and where there are no validation classes to choose by.
    """
    config = with_held_out(placed(config))
    combinations = [list(chosen) for chosen in itertools.product(*map(_values, tries))]
    for chosen in combinations:
        override(config, chosen, OPTION)  # a mistake in the last is told before the first is trained
    if not len(held_out(open_source(source, config.data), config, plain_console(quiet=True)).only("val")):
        raise ConfigError(
            "there are no validation classes to choose by",
            where=OPTION,
            remedy="use more classes, or set data.validation_classes",
        )
    with held(folder, processes):
        refuse_to_overwrite(folder)
        processes.wait()  # nobody writes before all have looked
        if processes.first:
            write_atomically(RunFolder(folder).config, lambda file: save(config, file))
            if marks is not None:
                marks.copy(RunFolder(folder).marks)
            Tries(
                source=str(path_of(source).resolve()),
                combinations=tuple(map(tuple, combinations)),
                uploads=None if marks is None or marks.uploads is None else str(marks.uploads.resolve()),
                marks_win=marks is not None and marks.win,
            ).save(folder)
        processes.wait()
        return resume(folder, console, processes=processes, callbacks=callbacks)


def is_unfinished(folder: Path) -> bool:
    """Whether the folder waits for tries."""
    return RunFolder(folder).tries.exists() and not RunFolder(folder).provenance.exists()


def resume(
    folder: Path, console: Console, *, processes: Processes = ALONE, callbacks: Sequence[Callback] = ()
) -> Metrics | None:
    """Make the tries that are missing, and keep the best; see `train`."""
    with held(folder, processes):
        return _resume(folder, console, processes, callbacks)


def _resume(folder: Path, console: Console, processes: Processes, callbacks: Sequence[Callback]) -> Metrics | None:
    console = console if processes.first else plain_console(quiet=True)
    request = Tries.load(folder)
    config = load(RunFolder(folder).config)
    if config.data.held_out is None:  # tries from before there was this setting
        config = config.replace(data__held_out="sets")
    shared = RunFolder(folder).features
    options = {"processes": processes, "callbacks": callbacks, "evaluate_after": False, "features": shared}
    marks = _marks(folder, request)
    scores: dict[str, float] = {}
    for number, chosen in enumerate(request.combinations, 1):
        name = " ".join(chosen)
        console.rule(f"try {number} of {len(request.combinations)}: {name}", align="left")
        to = RunFolder(folder).one_try(name)
        scores[name] = _score(request.source, override(config, chosen), to, console, options, marks)
    best = max(scores, key=lambda name: scores[name])
    _keep(folder, best, scores, processes)
    console.print(_table(scores, best))
    return evaluate_if_tested(folder, console, processes)


def _values(setting: str) -> list[str]:
    """``key=a,b`` to ``key=a`` and ``key=b``."""
    key, _, text = setting.partition("=")
    values = dict.fromkeys(f"{key.strip()}={value.strip()}" for value in _COMMAS.split(text) if value.strip())
    if not values:
        raise ConfigError(
            f"{setting!r} names no values",
            where=OPTION,
            remedy="write key=value,value, for example optimizer.learning_rate=3e-5,1e-4",
        )
    if key.strip() in JUDGES:
        raise ConfigError(
            f"{key.strip()} decides on which classes tries are compared",
            where=OPTION,
            remedy="choose one value with --set",
        )
    return list(values)


def _marks(folder: Path, request: Tries) -> GivenMarks | None:
    file = RunFolder(folder).marks
    uploads = None if request.uploads is None else Path(request.uploads)
    return GivenMarks(file, uploads, request.marks_win) if file.is_file() else None


def _score(
    source: str, config: Config, folder: Path, console: Console, options: dict[str, Any], marks: GivenMarks | None
) -> float:
    if not is_finished(folder):
        if RunFolder(folder).checkpoints:  # features are in a folder for all
            trainer.resume(folder, console, **options)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            trainer.train(source, config, folder, console, marks=marks, **options)
    return validation_score(folder)


def _keep(folder: Path, best: str, scores: dict[str, float], processes: Processes) -> None:
    if processes.first:
        frozen.remove(RunFolder(folder).features)
        chosen = RunFolder(folder).one_try(best)
        last = RunFolder(chosen).provenance.name
        shutil.copytree(chosen, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(last))
        dataclasses.replace(Provenance.load(chosen), tries=scores).save(folder)  # last: it makes the run complete
    processes.wait()


def _table(scores: dict[str, float], best: str) -> Table:
    view = Table(title="MAP@R on the validation classes, in percent", title_justify="left")
    view.add_column("try")
    view.add_column("MAP@R", justify="right")
    view.add_column("")
    for name, score in scores.items():
        view.add_row(name, f"{100 * score:.1f}", "kept" if name == best else "")
    return view
