"""``bier export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.text import Text

from bier.cli.app import app, output, terminal

if TYPE_CHECKING:
    from bier.data import Manifest

Format = Literal["onnx", "torch", "safetensors-hub"]


@app.command
def export(
    model: Annotated[str, Parameter(help="A run's folder, a model file, or hub:OWNER/NAME.")],
    *,
    to: Annotated[Format, Parameter(help="An ONNX file, a torch program (.pt2), or a folder for a model hub.")],
    out: Annotated[Path, output("The file; for safetensors-hub the folder.")],
    images: Annotated[
        str | None,
        Parameter(help="Pictures for the check, and with --int8 for calibration. [default: those of the run]"),
    ] = None,
    int8: Annotated[bool, Parameter(help="8 bits for CPUs (ONNX only); its loss of Recall@K is measured.")] = False,
    push: Annotated[str | None, Parameter(help="OWNER/NAME on the model hub (safetensors-hub only).")] = None,
    public: Annotated[bool, Parameter(help="A new repository on the hub is public, not private.")] = False,
) -> None:
    """Write a trained model for other programs, with its preprocessing inside.

    The result is checked against the model on real pictures. It is not kept if it gives other vectors.
    """
    from bier import export as formats
    from bier.network.hub import local_path
    from bier.network.hub import push as push_folder
    from bier.vectors.encoder import Encoder

    _check_options(to, out, int8, push)
    console = terminal()
    path = local_path(model)
    encoder = Encoder.load(path)
    manifest = _pictures(path, images, share_for_testing=0.5 if int8 else 0.0)
    test = manifest.only("test", "query", "gallery")
    test = test if len(test) else manifest
    lines: list[str] = []
    with console.status(Text(f"exporting to {out}, and checking it")):
        sample = formats.sample(test, encoder.transform)
        if to == "torch":
            parity = formats.write_program(encoder, out, sample)
        elif to == "safetensors-hub":
            parity = formats.write_folder(encoder, path, out, sample, push)
        elif not int8:
            parity = formats.write_onnx(encoder, out, sample)
        else:
            train = manifest.only("train")
            calibration = formats.sample(train if len(train) else manifest, encoder.transform, formats.CALIBRATION)
            parity, comparison = formats.write_int8(encoder, out, sample, calibration, test)
            lines = comparison.lines()
    for line in (f"parity{' before int8' if int8 else ''}: {parity}", *lines, f"written to {out}"):
        console.print(line, soft_wrap=True)
    if push is not None:
        with console.status(Text(f"pushing to {push}")):
            address = push_folder(out, push, public=public)
        console.print(f"pushed: {address}", soft_wrap=True)


def _check_options(to: Format, out: Path, int8: bool, push: str | None) -> None:
    from bier.errors import ConfigError, quoted

    if int8 and to != "onnx":
        raise ConfigError("is for ONNX files", where="--int8", remedy="write: --to onnx --int8")
    if push is not None and to != "safetensors-hub":
        raise ConfigError("is for folders", where="--push", remedy="write: --to safetensors-hub --push OWNER/NAME")
    suffix = {"onnx": ".onnx", "torch": ".pt2"}.get(to)
    if suffix is not None and (out.suffix.lower() != suffix or out.is_dir()):
        raise ConfigError(
            f"is no file of kind {suffix}", where=out, remedy=f"write: --out {quoted(out.with_suffix(suffix))}"
        )
    if suffix is None and out.is_file():
        raise ConfigError("is a file", where=out, remedy="give a folder as --out")


def _pictures(model: Path, images: str | None, share_for_testing: float) -> Manifest:
    """Those that a person names, or those that the run was trained and tested on."""
    from bier.data import open_source
    from bier.errors import ConfigError
    from bier.records.folder import RunFolder
    from bier.records.provenance import Provenance
    from bier.settings.reading import load
    from bier.settings.schema import DataConfig

    if images is not None:
        return open_source(images, DataConfig(test_classes=share_for_testing))
    folder = model if model.is_dir() else model.parent
    run = RunFolder(folder)
    remedy = "name pictures to check the export on: --images PHOTOS"
    if not run.provenance.is_file():
        raise ConfigError("says nothing about the pictures it was trained on", where=model, remedy=remedy)
    source = Path(Provenance.load(folder).data.path)
    if not source.exists():
        raise ConfigError(f"the pictures it was trained on are no longer at {source}", where=model, remedy=remedy)
    return open_source(source, load(run.config).data)
