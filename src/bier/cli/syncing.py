"""What ``bier index sync`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bier.cli.app import left_out, terminal


def synchronise(
    source: str,
    folder: Path,
    prefix: str,
    class_depth: int | None,
    label_separator: str | None,
    objects: bool,
    model: Path | None,
    device: Literal["auto", "cpu", "cuda", "mps"],
    trust_code: bool,
) -> None:
    """Bring an index in step with a source of pictures."""
    from bier.errors import ConfigError
    from bier.search import load_encoder, open_index
    from bier.search.sync import sync
    from bier.system.hardware import Hardware
    from bier.system.places import as_path
    from bier.system.waiting import Waiting
    from bier.vectors.sources import LABEL_SEPARATOR, LABELS, open_catalogue

    if (as_path(source) / "vectors.json").exists():
        raise ConfigError(
            "holds vectors, and no pictures", where=source, remedy="use `bier index` with --prune for vectors"
        )
    catalogue = open_catalogue(source, class_depth, label_separator, objects=objects)
    hardware = Hardware.resolve(device, where="--device")
    console = terminal()

    with open_index(folder) as opened:
        if LABELS in opened.info.fields and LABELS not in catalogue.kinds:
            raise ConfigError(
                f"the index has a field {LABELS!r}, and the source none, so it would be emptied",
                where=LABEL_SEPARATOR,
                remedy="say what separates labels, as when the index was made",
            )
        catalogue.read_as(opened.info.kinds)
        encoder = load_encoder(opened, hardware.device, model, trust_code=trust_code)
        with Waiting(console, "comparing", catalogue.total) as waiting:
            synced = sync(
                opened,
                encoder,
                catalogue,
                prefix=prefix,
                failed=left_out(console),
                progress=waiting.advance,
                tell=console.print,
                show=waiting.stage,
                workers=hardware.workers,
            )
        total = opened.count()
    for line in catalogue.remarks():
        console.print(line, soft_wrap=True)
    console.print(
        f"{synced.added:,} added, {synced.replaced:,} replaced, {synced.described:,} described anew, "
        f"{len(synced.gone):,} removed, {synced.unchanged:,} unchanged; {folder} holds {total:,} pictures",
        soft_wrap=True,
    )
