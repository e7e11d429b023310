"""``bier train``, ``evaluate``, ``report``, ``demo``, ``settings``, ``data check``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from bier.cli.app import app, output, terminal
from bier.cli.launched import STOPPED, is_launched
from bier.cli.launching import joined, launch

if TYPE_CHECKING:
    from bier.data import Manifest
    from bier.data.check import Fault
    from bier.settings.schema import Config
    from bier.system.waiting import Waiting
    from bier.training.callbacks import Callback

data = App(name="data", help="Look at a source of pictures before training on it.")
app.command(data)

Set = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        help="A setting as key=value, for example optimizer.epochs=20. Repeat as needed.",
        negative="",
        show_default=False,
    ),
]


@app.command
def train(
    source: Annotated[
        str | None, Parameter(help="A folder of class folders, a CSV or Parquet table, or a benchmark's directory.")
    ] = None,
    *,
    config: Annotated[Path | None, Parameter(help="YAML file of settings (see `bier settings`).")] = None,
    set_: Set = (),
    try_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--try",
            help="Several values of a setting, for example optimizer.learning_rate=3e-5,1e-4. Each is tried, and "
            "held-out training classes choose the best. Repeat for combinations.",
            negative="",
            show_default=False,
        ),
    ] = (),
    out: Annotated[Path | None, output("The run's folder. [default: runs/SOURCE-TIME]")] = None,
    resume: Annotated[Path | None, Parameter(help="Go on with this interrupted run.")] = None,
    processes: Annotated[
        int,
        Parameter(
            help="Processes that share the work, one for each GPU. The result is that of one. On several machines, use "
            "torchrun ... --no-python bier train ...",
            validator=Number(gte=1),
        ),
    ] = 1,
    marks: Annotated[
        Path | None,
        Parameter(help="Pairs that people marked on the search page, beside labels: what `/api/marks.csv` gives."),
    ] = None,
    uploads: Annotated[
        Path | None,
        Parameter(help="The folder of `bier serve --keep-uploads`. [default: uploads, beside the file of marks]"),
    ] = None,
    marks_win: Annotated[
        bool, Parameter(help="Where labels contradict a mark, the mark counts; else it is an error.", negative="")
    ] = False,
    prepared: Annotated[
        Path | None,
        Parameter(help="Folder of resized copies of large photographs. They are made once, for this run and others."),
    ] = None,
    track: Annotated[
        tuple[Literal["mlflow", "wandb"], ...],
        Parameter(help="Also send settings and curves there (extra 'tracking').", negative="", show_default=False),
    ] = (),
) -> int | None:
    """Train a model on pictures with labels. No settings are needed.

    It ends with a table of test figures and a report, if the source has test classes.
    """
    from bier import runs
    from bier.errors import quoted
    from bier.records.folder import RunFolder, new_folder
    from bier.report import write_report
    from bier.runs import tries
    from bier.runs.marks import GivenMarks
    from bier.system.console import plain_console
    from bier.training.stopping import Interrupted

    own = any(given is not None for given in (config, out, marks, uploads, prepared)) or bool(set_ or try_ or marks_win)
    if processes > 1 and not is_launched():
        _refuse_contradictions(source, resume, own)
        return launch(processes, sys.argv[1:])
    with joined() as everyone:
        _refuse_contradictions(source, resume, own)
        folder = everyone.gather_objects(resume or out or new_folder(str(source)))[0]
        console = plain_console(quiet=not everyone.first)
        options: dict[str, Any] = {"processes": everyone, "callbacks": _callbacks(track) if everyone.first else ()}
        given = GivenMarks.named(marks, uploads, win=marks_win)
        try:
            if resume is not None:
                metrics = (tries if tries.is_unfinished(resume) else runs).resume(resume, console, **options)
            elif try_:
                metrics = tries.train(
                    str(source), _settings(config, set_, prepared), try_, folder, console, marks=given, **options
                )
            else:
                metrics = runs.train(
                    str(source), _settings(config, set_, prepared), folder, console, marks=given, **options
                )
        except (Interrupted, KeyboardInterrupt):
            console.print(_how_to_go_on(folder, processes), soft_wrap=True)
            sys.exit(STOPPED)
    if not everyone.first:
        return None
    if metrics is None:
        console.print(f"model: {RunFolder(folder).model}", soft_wrap=True)
        return None
    report_file = write_report([folder], RunFolder(folder).report)
    console.print(
        f"report: {report_file}\nnext: bier index PICTURES -o INDEX --model {quoted(folder)}, then bier serve INDEX",
        soft_wrap=True,
    )
    return None


def _settings(file: Path | None, overrides: Sequence[str], prepared: Path | None) -> Config:
    from bier.settings.reading import load

    config = load(file, overrides)
    return config if prepared is None else config.replace(data__prepared=str(prepared))


def _how_to_go_on(folder: Path, processes: int) -> str:
    """What a training that was stopped has left.

    Raises:
        KeyboardInterrupt: nothing; the command itself can be repeated.
    """
    from bier.errors import quoted
    from bier.records.folder import RunFolder
    from bier.records.provenance import is_finished
    from bier.runs import tries

    run = quoted(folder)
    if is_finished(folder):
        return f"stopped; the model is complete. Go on with:\n  bier evaluate {run}\n  bier report {run}"
    if not (RunFolder(folder).can_go_on or tries.is_unfinished(folder)):
        raise KeyboardInterrupt
    together = f" --processes {processes}" if processes > 1 else ""
    return f"stopped; everything is saved. Go on with:\n  bier train --resume {run}{together}"


def _refuse_contradictions(source: str | None, resume: Path | None, own_settings: bool) -> None:
    from bier.errors import ConfigError, quoted

    if (source is None) == (resume is None):
        raise ConfigError("give either a SOURCE or --resume RUN", remedy="bier train photos/")
    if resume is not None and own_settings:
        raise ConfigError("--resume takes the run's own settings", remedy=f"bier train --resume {quoted(resume)}")


def _callbacks(services: Sequence[str]) -> list[Callback]:
    from bier.training.callbacks.mlflow import MLflow
    from bier.training.callbacks.wandb import WeightsAndBiases

    kinds: dict[str, type[Callback]] = {"mlflow": MLflow, "wandb": WeightsAndBiases}
    return [kinds[service]() for service in services]


@app.command
def evaluate(
    model: Annotated[Path, Parameter(help="A run's folder, or a model file.")],
    source: Annotated[str | None, Parameter(help="Pictures. [default: those of the run]")] = None,
    *,
    split: Annotated[str, Parameter(help="test, val or train.")] = "test",
    recall_at: Annotated[
        tuple[int, ...],
        Parameter(help="Every K of Recall@K.", consume_multiple=True, negative="", validator=Number(gte=1)),
    ] = (1, 2, 4, 8),
    also: Annotated[
        tuple[str, ...],
        Parameter(
            help="More figures. map: mean average precision over the whole ranking. nmi, ami: normalised and adjusted "
            "mutual information of clusters (extra 'cluster'). verification, open_set: whether a score tells a match, "
            "for every row and not the whole embedding alone. Or a metric that another package adds.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = (),
    missing: Annotated[
        Literal["exclude", "miss"],
        Parameter(help="Queries with nothing to find: leave them out, or count them as misses."),
    ] = "exclude",
    rerank: Annotated[
        tuple[str, ...],
        Parameter(
            help="Rank the first hits again, in a row of its own: k-reciprocal, alpha-qe or dba, with options as in "
            "k-reciprocal,k1=10. Repeat for several.",
            negative="",
            show_default=False,
        ),
    ] = (),
    draw_map: Annotated[
        bool, Parameter(name="--map", help="Draw a map of the run's test pictures for its report.", negative="")
    ] = False,
    set_: Set = (),
    out: Annotated[Path | None, output("File of the metrics. [default: in the run's folder]")] = None,
) -> None:
    """Measure a model: Recall@K, MAP@R and R-precision, and whether its scores tell a match.

    The whole embedding, each learner and each prefix of learners get a row.
    """
    from bier import runs

    runs.evaluate(
        model,
        source,
        terminal(),
        split=split,
        overrides=set_,
        output=out,
        recall_at=sorted(set(recall_at)),
        also=also,
        missing=missing,
        rerank=rerank,
        draw_map=draw_map,
    )


@app.command
def report(
    *run: Annotated[Path, Parameter(help="Folders of runs; several are compared.")],
    out: Annotated[Path | None, output("The HTML file. [default: report.html in RUN]")] = None,
) -> None:
    """Write one HTML page about one or several runs: figures, curves, weights and pictures."""
    from bier.errors import ConfigError
    from bier.records.folder import REPORT
    from bier.report import write_report

    if not run:
        raise ConfigError("no run given", where="bier report", remedy="write: bier report runs/NAME [runs/OTHER ...]")
    target = out or (run[0] / REPORT if len(run) == 1 else Path(REPORT))
    terminal().print(f"report: {write_report(list(run), target)}", soft_wrap=True)


@app.command
def demo(
    *,
    data: Annotated[str | None, Parameter(help="Your own source of pictures instead of OpenMoji.")] = None,
    out: Annotated[Path, output("Folder of the demo's runs.")] = Path("runs/demo"),
    epochs: Annotated[int, Parameter(help="Epochs of each of the two trainings.", validator=Number(gte=1))] = 3,
    serve: Annotated[bool, Parameter(help="Open the search page on a demo that has run.", negative="")] = False,
    port: Annotated[int, Parameter(help="Of the search page.", validator=Number(gte=0, lte=65535))] = 8000,
) -> None:
    """Train a plain embedding and BIER with the same budget, and compare them. It takes minutes and no download."""
    from bier.cli.demo import demo as run_demo
    from bier.cli.demo import serve_demo

    if serve:
        serve_demo(data, out, terminal(), host="127.0.0.1", port=port)
    else:
        run_demo(data, out, terminal(), epochs=epochs)


@app.command
def settings(
    word: Annotated[
        str | None, Parameter(help="A section such as optimizer, or part of a name such as rate. [default: all]")
    ] = None,
) -> None:
    """Print settings with their defaults, meanings and ranges, as a YAML file for --config."""
    from bier.settings.printing import as_yaml, find

    sys.stdout.write(as_yaml(find(word)))


def _pictures(waiting: Waiting) -> Callable[[int, int], None]:
    """Tells of pictures read, once the files are known."""

    def tell(done: int, of: int) -> None:
        if waiting.total is None:
            waiting.turn("pictures", of)
        waiting.show(done)

    return tell


@data.command
def check(
    source: Annotated[
        str, Parameter(help="A folder of class folders, a CSV or Parquet table, or a benchmark's directory.")
    ],
    *,
    near: Annotated[
        bool,
        Parameter(help="Find near-copies as well: encoded again, scaled, cropped or mirrored.", negative=""),
    ] = False,
    html: Annotated[Path | None, Parameter(help="With --near: write a page with the pairs here.")] = None,
    ids: Annotated[Path | None, Parameter(help="With --near: write the copies' paths here, one a line.")] = None,
    set_: Set = (),
) -> None:
    """List all faults of a source at once, with row numbers or paths. The exit code is 2 if there are any."""
    from bier.data.check import check_source, describe_faults
    from bier.data.datasets.walk import counted
    from bier.errors import ConfigError
    from bier.settings.reading import load
    from bier.system.waiting import Waiting

    if not near and (html or ids):
        raise ConfigError("--html and --ids are of near-copies", remedy="add --near")
    console = terminal()
    with Waiting(console, f"reading {source}", unit="files") as waiting, counted(waiting.advance):
        manifest, faults = check_source(source, load(None, set_).data, _pictures(waiting))
    counts = {split or "undecided": int((manifest.split == split).sum()) for split in sorted(set(manifest.split))}
    console.print(
        f"{manifest.source}: {len(manifest):,} images of {len(manifest.classes()):,} classes; "
        + ", ".join(f"{count:,} {split}" for split, count in counts.items()),
    )
    if near and len(manifest) > 1:
        faults = [*faults, *_near(manifest, set_, html, ids)]
    for line in (*manifest.remarks(), *describe_faults(faults)):
        console.print(line, soft_wrap=True)
    if any(not fault.note for fault in faults):
        sys.exit(2)


def _near(manifest: Manifest, set_: tuple[str, ...], html: Path | None, ids: Path | None) -> list[Fault]:
    from bier.records.pictures import Picture
    from bier.report.copies import ShownCopy, write_copies
    from bier.runs.near import near_copies
    from bier.settings.reading import load
    from bier.system.files import write_text

    def shown(row: int) -> Picture:
        return Picture(image=manifest.reference(row), label=f"{manifest.image[row]} ({manifest.split[row]})")

    console = terminal()
    found = near_copies(manifest, load(None, set_), console)
    if html is not None:
        copies = [ShownCopy(shown(copy.keep), shown(copy.other), copy.similarity) for copy in found.removable]
        write_copies(copies, html, source=manifest.source)
        console.print(f"page: {html}", soft_wrap=True)
    if ids is not None:
        write_text(ids, "".join(f"{manifest.image[copy.other]}\n" for copy in found.removable))
        console.print(f"copies: {ids}", soft_wrap=True)
    return found.faults
