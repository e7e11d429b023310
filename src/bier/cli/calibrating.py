"""``bier calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bier.cli.app import ClassDepth, TrustCode, app, left_out, terminal
from bier.cli.indexing import IndexFolder, ModelPath

if TYPE_CHECKING:
    from bier.search.calibration_file import IndexCalibration


@app.command
def calibrate(
    folder: IndexFolder,
    labelled: Annotated[
        Path | None,
        Parameter(name="LABELLED", help="Pictures with labels, as people search: class folders, or a table."),
    ] = None,
    *,
    remove: Annotated[bool, Parameter(help="Take the index's calibration away.", negative="")] = False,
    class_depth: ClassDepth = None,
    label_separator: Annotated[
        str | None,
        Parameter(help="What stands between the labels of a picture. [default: what it was in training]"),
    ] = None,
    model: ModelPath = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where to compute.")] = "auto",
    trust_code: TrustCode = False,
) -> None:
    """Learn from labelled pictures how sure the answers of an index are.

    What is learned is kept in the index, and counts instead of what the model has learned in training.
    """
    from bier.errors import ConfigError, quoted
    from bier.search import load_encoder, open_index
    from bier.search.calibrating import calibrate_index
    from bier.search.calibration_file import remove_calibration, write_calibration
    from bier.search.writers import only_writer
    from bier.system.hardware import Hardware
    from bier.system.waiting import Waiting

    if remove == (labelled is not None):
        remedy = f"write: bier calibrate {quoted(folder)} LABELLED, or bier calibrate {quoted(folder)} --remove"
        raise ConfigError("give labelled pictures, or --remove", where="bier calibrate", remedy=remedy)
    console = terminal()

    with open_index(folder) as opened:
        if labelled is None:
            with only_writer(opened.folder):
                gone = remove_calibration(opened.folder)
            console.print("the index's calibration is removed" if gone else "the index has no calibration of its own")
            return
        hardware = Hardware.resolve(device, where="--device")
        encoder = load_encoder(opened, hardware.device, model, trust_code=trust_code)
        with Waiting(console, "embedding") as waiting:
            learned = calibrate_index(
                opened,
                encoder,
                labelled,
                failed=left_out(console),
                progress=waiting.advance,
                workers=hardware.workers,
                class_depth=class_depth,
                label_separator=label_separator,
            )
        with only_writer(opened.folder):
            write_calibration(opened.folder, opened.info, learned)
    console.print(f"learned from {learned.pictures:,} labelled pictures")
    _print_figures(learned)


def _print_figures(learned: IndexCalibration) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="on classes that it was not learned from", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in learned.figures.items():
        table.add_row(name, f"{value:.3f}")
    terminal().print(table)
