"""What ``bier index rebuild`` does, and what ``bier index info`` says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bier.cli.app import left_out, terminal
from bier.cli.index_words import searches

if TYPE_CHECKING:
    from bier.search.rebuild import Rebuilt


def switch_model(folder: Path, model: Path, device: Literal["auto", "cpu", "cuda", "mps"], trust_code: bool) -> None:
    """Embed the index's pictures with another model, and let the result take its place."""
    from bier.errors import quoted
    from bier.export import load_encoder
    from bier.network.hub import absolute
    from bier.search import open_index
    from bier.search.rebuild import rebuild_index
    from bier.system.hardware import Hardware, extraction_precision
    from bier.system.waiting import Waiting

    with open_index(folder) as opened:  # before the model is loaded, which takes seconds
        count = opened.count()
    hardware = Hardware.resolve(device, where="--device")
    precision = extraction_precision("auto", hardware.device)
    encoder = load_encoder(model, hardware.device, precision, trust_code=trust_code)
    console = terminal()

    with Waiting(console, "embedding", count) as waiting:
        rebuilt = rebuild_index(
            folder,
            encoder,
            absolute(model),
            failed=left_out(console),
            progress=waiting.advance,
            tell=console.print,
            show=waiting.stage,
            workers=hardware.workers,
        )
    if rebuilt is None:
        console.print(f"nothing to do: {folder} is of this model already", soft_wrap=True)
        return
    with open_index(folder) as opened:
        lines = [*_found(rebuilt), f"searches: {searches(opened)}"]
    lines += [
        f"{folder} holds {rebuilt.pictures:,} pictures of {model}; {len(rebuilt.unread):,} could not be read",
        f"to return to the model before: bier index rebuild {quoted(folder)} --back",
    ]
    console.print("\n".join(lines), soft_wrap=True)


def _found(rebuilt: Rebuilt) -> list[str]:
    first = rebuilt.first_hits
    if first is None:
        return ["Recall@1: no label occurs twice, so it is not known"]
    worse = "; the new model finds less" if first.new < first.old else ""
    return [
        f"Recall@1: {100 * first.old:.1f} % before, {100 * first.new:.1f} % now "
        f"({first.queries:,} labelled pictures){worse}"
    ]


def return_to_model_before(folder: Path) -> None:
    """Let the generation before count again."""
    from bier.search.rebuild import go_back

    with go_back(folder) as opened:
        count, model = opened.count(), opened.info.model_path or opened.info.model[:12]
    terminal().print(
        f"{folder} holds {count:,} pictures of {model} again\n"
        "what was added or removed since its rebuild: repeat `bier index` with the pictures",
        soft_wrap=True,
    )


def about_generations(folder: Path) -> dict[str, str]:
    """Lines of `bier index info`; none for an index that was never rebuilt."""
    from bier.errors import quoted
    from bier.search.generations import number, read_generations
    from bier.search.leftovers import size

    root = folder.resolve()
    found = read_generations(root)
    lines = {}
    if found.before is not None:
        megabytes = size(root, found, found.before) / 1e6
        lines["generation"] = (
            f"{number(found.current)}; generation {number(found.before)} is kept and takes {megabytes:,.1f} MB; "
            f"return to it: bier index rebuild {quoted(folder)} --back"
        )
    if (root / found.next).is_dir():
        megabytes = size(root, found, found.next) / 1e6
        lines["rebuilding"] = (
            f"to generation {number(found.next)}, which is not complete and takes {megabytes:,.1f} MB; "
            "if nobody is at it, repeat the command: it goes on"
        )
    return lines
