"""``bier embed``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bier.cli.app import ClassDepth, LabelSeparator, Objects, TrustCode, app, output, terminal
from bier.system.waiting import LINE_SECONDS

if TYPE_CHECKING:
    from bier.vectors.parts import VectorsInfo


@app.command
def embed(
    model: Annotated[Path, Parameter(help="A run's folder, or a model file.")],
    *images: Annotated[Path, Parameter(help="A folder, a table, a benchmark's directory, or tar files; also by URL.")],
    out: Annotated[Path, output("Folder of the vectors, also in a bucket; new, or to go on with.", url=True)],
    type: Annotated[Literal["float32", "float16", "int8"], Parameter(help="Type of the stored numbers.")] = "float32",
    learners: Annotated[
        int | None, Parameter(help="How many learners to store, from the first. [default: all]")
    ] = None,
    batch_size: Annotated[int, Parameter(help="Pictures at once.")] = 64,
    workers: Annotated[
        int | None,
        Parameter(
            help="Processes that decode; with --engine ray, threads of each actor. [default: cores - 1, at most 8]",
            validator=Number(gte=0),
        ),
    ] = None,
    class_depth: ClassDepth = None,
    label_separator: LabelSeparator = None,
    objects: Objects = False,
    precision: Annotated[
        Literal["float32", "bfloat16"], Parameter(help="bfloat16 is faster and changes vectors slightly.")
    ] = "float32",
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where to compute.")] = "auto",
    engine: Annotated[str, Parameter(help="local: this machine. ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None, Parameter(help="Of the Ray cluster, such as 10.0.0.1:6379 or auto. [default: this machine alone]")
    ] = None,
    actors: Annotated[
        int | None, Parameter(help="Processes of Ray that compute. [default: as many as have room]")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Turn a catalogue of pictures into vectors, as Parquet files.

    After a stop of any kind, the same command goes on.
    """
    from bier.data.fields import in_words
    from bier.errors import ConfigError, quoted
    from bier.export import load_encoder
    from bier.system.places import as_path
    from bier.vectors.catalogue import embed_catalogue
    from bier.vectors.engines import ENGINES, Wanted

    out = as_path(out)
    if not images:
        raise ConfigError(
            "no pictures given",
            where="bier embed",
            remedy=f"write: bier embed {quoted(model)} photos/ -o {quoted(out)}",
        )
    computing = ENGINES.find(engine, "--engine")(Wanted(device, precision, workers, address, actors))
    hardware = computing.hardware
    encoder = load_encoder(model, hardware.device, hardware.precision, trust_code=trust_code)
    console = terminal()
    with computing, _Progress(console) as progress:
        info = embed_catalogue(
            encoder,
            images,
            out,
            type=type,
            learners=learners,
            batch_size=batch_size,
            engine=computing,
            class_depth=class_depth,
            label_separator=label_separator,
            objects=objects,
            progress=progress.show,
            remark=lambda line: console.print(line, soft_wrap=True),
        )
    speed = f", {progress.speed():.0f} images/s" if progress.done else " (they were there already)"
    console.print(
        f"{info.count:,} vectors of {info.dimensions} dimensions, {info.type}, in {out}{speed}",
        soft_wrap=True,
    )
    if info.fields:
        console.print(f"fields: {in_words(info.fields)}", soft_wrap=True)
    if info.failed:
        console.print(f"left out: {info.failed:,}, see {out / 'failed.csv'}", soft_wrap=True)


class _Progress:
    """A bar on a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("embedding"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=None, text="starting")
        self.done = self.before = 0
        self.began = self.last_line = time.monotonic()

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, info: VectorsInfo, total: int | None, new: int) -> None:
        if not self.done:
            self.before = info.count + info.failed - new
            if self.before:
                self.console.print(f"going on after {self.before:,} pictures")
        self.done += new
        seen = info.count + info.failed
        of = "" if total is None else f" of {total:,}"
        failed = f", {info.failed:,} cannot be read" if info.failed else ""
        text = f"{seen:,}{of} pictures, {self.speed():.0f} images/s{failed}"
        self.bar.update(self.task, total=total, completed=seen, text=text)
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(text)

    def speed(self) -> float:
        """Pictures a second, since this command began."""
        return self.done / max(time.monotonic() - self.began, 1e-9)
