"""``bier demo``: a plain embedding against BIER with the same budget, on pictures that need no download.

Then a search page on what it has trained.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bier import runs
from bier.cli.app import left_out
from bier.data.openmoji import render_openmoji
from bier.errors import ConfigError, quoted
from bier.records.folder import REPORT, RunFolder
from bier.records.lock import held
from bier.records.metrics import Metrics, Row
from bier.records.run import RunRecords
from bier.report import write_report
from bier.report.wording import compared
from bier.search import IndexInfo, create_index, read_info
from bier.search.fill import fill
from bier.settings.schema import Config
from bier.system.waiting import Waiting
from bier.vectors.catalogue import embedded
from bier.vectors.encoder import Encoder
from bier.vectors.sources import open_catalogue

FOLDER = Path("runs/demo")
EPOCHS = 3
FROZEN_GROUPS = 5


def demo(data: str | None, folder: Path, console: Console, *, epochs: int = EPOCHS) -> Path:
    """Train both, evaluate both on classes that neither has seen, and write a report.

    Args:
        data: a source of the user's own; ``None`` takes OpenMoji, rendered once.
        folder: gets a run's folder for each, and ``report.html``; an earlier demo in it is replaced.
        epochs: of each training.

    Returns:
        the report's path.

    Raises:
        ConfigError: another process works in the folder.
    """
    with held(folder):
        return _demo(data, folder, console, epochs)


def _demo(data: str | None, folder: Path, console: Console, epochs: int) -> Path:
    source = str(_openmoji(folder / "openmoji", console)) if data is None else data
    config = Config().replace(optimizer__epochs=epochs, optimizer__freeze=FROZEN_GROUPS)
    trained: dict[str, Metrics] = {}
    folders = []
    for title, name, settings in (
        ("one plain embedding", "plain", config.replace(model__learners=1, loss__schedule="independent")),
        ("BIER, three boosted learners", "bier", config),
    ):
        console.rule(title)
        target = folder / name
        with held(target):
            _empty(target)
        metrics = runs.train(source, settings, target, console)
        assert metrics is not None
        trained[title] = metrics
        folders.append(target)
    report = write_report(folders[::-1], folder / REPORT)
    unseen = all(metrics.classes_seen == 0 for metrics in trained.values())
    console.rule("result, on classes unseen in training" if unseen else "result")
    console.print(_table(_rows(trained)))
    console.print(compared([RunRecords.load(target) for target in folders]), soft_wrap=True)
    console.print("One seed and few epochs. docs/results.md compares over seeds.")
    console.print(f"report: {report}", soft_wrap=True)
    same = ("" if data is None else f" --data {quoted(data)}") + (
        "" if folder == FOLDER else f" --out {quoted(folder)}"
    )
    bier = quoted(_command())
    next_steps = [f"next, search these pictures in a browser:  {bier} demo --serve{same}"]
    if data is None:
        next_steps.append(f"and on your own pictures:  {bier} train FOLDER_OF_CLASS_FOLDERS")
    else:
        next_steps.append(f"and with more epochs:  {bier} train {quoted(source)} --set optimizer.epochs=20")
    console.print("\n".join(next_steps), soft_wrap=True)
    return report


def serve_demo(data: str | None, folder: Path, console: Console, *, host: str, port: int) -> None:
    """The search page on all pictures of the demo, by its BIER model; runs until it is stopped.

    The index is made when there is none yet, or the model is a newer one.

    Raises:
        ConfigError: the demo has not run in this folder; the port is taken.
    """
    from bier.serve import ServeSettings, serve  # needs packages that training does without

    if not RunFolder(folder / "bier").model.is_file():
        raise ConfigError("no demo has run here yet", where=folder, remedy="first: bier demo")
    encoder = Encoder.load(folder / "bier")
    place = folder / "index"
    if not _is_indexed(place, encoder):
        with held(folder):
            shutil.rmtree(place, ignore_errors=True)
            source = str(_openmoji(folder / "openmoji", console)) if data is None else data
            _index(source, encoder, folder, place, console)
    settings = ServeSettings(title="demo", marks=place / "marks.jsonl")
    serve(
        place,
        settings,
        host=host,
        port=port,
        listening=lambda address: console.print(f"search: {address}", soft_wrap=True),
        waiting=lambda what: console.print(f"{what} ...", soft_wrap=True),
    )


def _is_indexed(place: Path, encoder: Encoder) -> bool:
    return (place / "index.json").is_file() and read_info(place).model == encoder.fingerprint


def _empty(folder: Path) -> None:
    """Throw away what an earlier demo left; the lock of this one stays."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != RunFolder(folder).lock:
            path.unlink()


def _index(source: str, encoder: Encoder, folder: Path, place: Path, console: Console) -> None:
    """Filled beside its place and moved there, so that an interrupted one is not taken for the whole."""
    catalogue = open_catalogue(source)
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=str((folder / "bier").resolve()))
    begun = place.with_name(place.name + ".part")
    shutil.rmtree(begun, ignore_errors=True)

    with Waiting(console, "indexing", catalogue.total) as waiting, create_index(begun, info) as index:
        fill(index, embedded(encoder, catalogue, left_out(console)), waiting.advance)
    begun.rename(place)


def _command() -> str:
    """How to call bier from here: by its name, or where it is in no folder of programs, by its place."""
    if shutil.which("bier") is not None:
        return "bier"
    return os.path.relpath(Path(sys.executable).with_name("bier"))


def _openmoji(folder: Path, console: Console) -> Path:
    with console.status("rendering OpenMoji (once)"):
        return Path(render_openmoji(folder))


def _rows(trained: dict[str, Metrics]) -> list[tuple[str, Row]]:
    """What was there before training, then each embedding under its title."""
    first = next(iter(trained.values()))
    before = [(row.name, row) for row in (first.pretrained, first.untrained) if row is not None]
    return [*before, *((title, metrics.ensemble) for title, metrics in trained.items())]


def _table(rows: list[tuple[str, Row]]) -> Table:
    table = Table()
    table.add_column("embedding")
    for heading in ("dims", "R@1", "R@2", "R@4", "R@8", "MAP@R"):
        table.add_column(heading, justify="right")
    for title, row in rows:
        values = [*row.recall.values(), row.figures["MAP@R"]]
        table.add_row(title, str(row.dimensions), *(f"{100 * value:.1f}" for value in values))
    return table
