"""``bier index`` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from bier.cli.app import ClassDepth, LabelSeparator, Objects, Precision, TrustCode, app, output, terminal
from bier.cli.filling import about_fields, about_precision, computing_on, opened_or_new, opened_source
from bier.cli.index_words import in_stages, searches, within_filters

if TYPE_CHECKING:
    from bier.search import Index, IndexInfo

index = App(name="index", help="Make an index of pictures or of their vectors, and keep it up to date.")
app.command(index)

IndexFolder = Annotated[Path, Parameter(name="INDEX", help="The index's folder.")]
ModelPath = Annotated[Path | None, Parameter(help="Run or model file. [default: where it lay when indexed]")]


@index.default
def fill_index(
    source: Annotated[str, Parameter(help="Pictures, or a folder of vectors that `bier embed` wrote.")],
    *,
    out: Annotated[Path, output("The index's folder.")],
    model: Annotated[Path | None, Parameter(help="Run or model file; needed for pictures.")] = None,
    engine: Annotated[str | None, Parameter(help="lancedb, exact or milvus. [default: lancedb]")] = None,
    uri: Annotated[
        str | None, Parameter(help="For milvus the server, http://HOST:19530; for lancedb a bucket, s3://BUCKET/NAME.")
    ] = None,
    type: Annotated[
        Literal["float32", "float16"] | None,
        Parameter(help="Type of the numbers of a new index; float16 takes half the disk. [default: float32]"),
    ] = None,
    prefix: Annotated[str, Parameter(help="Put before every id, to tell several sources in one index apart.")] = "",
    moved: Annotated[bool, Parameter(help="Known ids may have moved to other paths.", negative="")] = False,
    prune: Annotated[bool, Parameter(help="Remove what SOURCE no longer has.", negative="")] = False,
    class_depth: ClassDepth = None,
    label_separator: LabelSeparator = None,
    objects: Objects = False,
    recall: Annotated[
        float | None, Parameter(help="Recall@10 wanted of searches among many pictures; 1: exact. [default: 0.98]")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where the model computes.")] = "auto",
    precision: Precision = "auto",
    trust_code: TrustCode = False,
) -> None:
    """Index SOURCE: pictures (a folder, a table, a benchmark, tar files) or a folder of vectors made by `bier embed`.

    Run it again to add what is new and replace what has changed. Ids are the pictures' paths within the source. The
    columns of a table become fields, which searches can filter by.
    """
    from bier.errors import quoted
    from bier.search.fill import fill
    from bier.system.waiting import Waiting

    console = terminal()
    unread: list[str] = []
    computing = computing_on(out, device, precision)
    given = opened_source(source, model, computing, trust_code, class_depth, label_separator, objects, prefix, unread)
    with opened_or_new(out, given, engine, uri, type) as opened, Waiting(console, "indexing", given.count) as waiting:
        for line in (*about_precision(opened, given), *about_fields(opened, given, source)):
            console.print(line, soft_wrap=True)
        filled = fill(
            opened,
            given.batches,
            waiting.advance,
            prefix=prefix,
            moved=moved,
            prune=prune,
            unread=unread,
            recall=recall,
            tell=console.print,
            show=waiting.stage,
            stored=lambda rows: given.stored(opened.folder, rows),
        )
        total = opened.count()
    lines = [
        f"{filled.added:,} added, {filled.replaced:,} replaced, {filled.unchanged:,} unchanged; "
        f"{out} holds {total:,} pictures"
    ]
    if filled.gone and prune:
        lines.append(f"{len(filled.gone):,} removed: {source} no longer has them")
    elif filled.gone:
        lines.append(
            f"{len(filled.gone):,} of the index are no longer in {source}, such as {filled.gone[0]}\n"
            "to remove them, repeat the command with --prune"
        )
    lines.append(f"next: bier search {quoted(out)} QUERY.jpg")
    console.print("\n".join(lines), soft_wrap=True)


@index.command
def remove(
    folder: IndexFolder,
    *names: Annotated[str, Parameter(name="ID")],
    ids: Annotated[Path | None, Parameter(help="File of more ids, one a line.")] = None,
) -> None:
    """Remove pictures by their ids."""
    from bier.errors import ConfigError
    from bier.search import open_index

    listed = [] if ids is None else _listed(ids)
    if not names and ids is None:
        raise ConfigError("no id given", where="bier index remove", remedy="name ids, or a file of them with --ids")
    with open_index(folder) as opened:
        count = opened.delete([*names, *listed])
        terminal().print(f"{count:,} removed, {opened.count():,} left")


def _listed(file: Path) -> list[str]:
    from bier.errors import DataError

    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", where=file, remedy="give a text file with an id a line") from error


@index.command
def sync(
    source: Annotated[str, Parameter(help="All pictures: a folder, a table, a benchmark, or a tar file.")],
    *,
    out: Annotated[Path, output("The index's folder, which is there already.")],
    prefix: Annotated[str, Parameter(help="What the ids of this source begin with.")] = "",
    class_depth: ClassDepth = None,
    label_separator: LabelSeparator = None,
    objects: Objects = False,
    model: ModelPath = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where the model computes.")] = "auto",
    trust_code: TrustCode = False,
) -> None:
    """Bring an index in step with SOURCE: pictures that were added, changed, described anew, or removed.

    Only new and changed files are embedded. A file has changed if its size or its time has.
    """
    from bier.cli.syncing import synchronise

    synchronise(source, out, prefix, class_depth, label_separator, objects, model, device, trust_code)


@index.command
def tune(
    folder: IndexFolder,
    *,
    recall: Annotated[float, Parameter(help="Share of the ten nearest that a search finds; 1: exact.")] = 0.98,
) -> None:
    """Build the approximate index anew, and find the cheapest setting that reaches a recall."""
    from bier.search import open_index
    from bier.search.approximate import ApproximateIndex, check_recall
    from bier.system.waiting import Waiting

    console = terminal()
    with open_index(folder) as opened:
        check_recall(opened, recall)
        if isinstance(opened, ApproximateIndex):
            with Waiting(console, "tuning", unit="pictures") as waiting:
                opened.tune(recall, console.print, waiting.stage)
        for line in (searches(opened), *(f"{name}: {text}" for name, text in within_filters(opened).items())):
            console.print(line, soft_wrap=True)


@index.command(name="map")
def draw_map(
    folder: IndexFolder,
    *,
    seed: Annotated[int, Parameter(help="Of a large index: decides which 10,000 pictures are drawn.")] = 0,
) -> None:
    """Draw a map of an index's pictures for `bier serve`: neighbours lie side by side.

    It is kept in the index. Draw it anew when the pictures have changed.
    """
    from bier.errors import quoted
    from bier.search import open_index
    from bier.search.map_file import write_map
    from bier.search.mapping import map_index
    from bier.search.writers import only_writer
    from bier.system.waiting import Waiting
    from bier.vectors.planar import STEPS

    console = terminal()
    with open_index(folder) as opened:
        with Waiting(console, "drawing the map", STEPS, unit="steps") as waiting:
            drawn = map_index(opened, seed, waiting.advance)
        with only_writer(opened.folder):
            write_map(opened.folder, opened.info, drawn)
    of = f" of {drawn.pictures:,}, drawn at random" if drawn.sampled else ""
    console.print(f"the map holds {len(drawn.ids):,} pictures{of}\nnext: bier serve {quoted(folder)}", soft_wrap=True)


@index.command
def rebuild(
    folder: IndexFolder,
    *,
    model: Annotated[Path | None, Parameter(help="Run or model file that takes the place of the index's.")] = None,
    back: Annotated[bool, Parameter(help="Return to the model before.", negative="")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where the model computes.")] = "auto",
    trust_code: TrustCode = False,
) -> None:
    """Embed an index's pictures with another model, beside it, and switch once all is checked.

    Ids, labels and fields stay. Searches go on meanwhile. After an interruption, the same command goes on.
    """
    from bier.cli.rebuilding import return_to_model_before, switch_model
    from bier.errors import ConfigError

    if back == (model is not None):
        raise ConfigError("give a model, or --back", where="bier index rebuild", remedy="--model RUN, or --back")
    if model is None:
        return_to_model_before(folder)
    else:
        switch_model(folder, model, device, trust_code)


@index.command
def check(folder: IndexFolder) -> None:
    """Read all of an index: are files, ids, metadata and vectors what they were?"""
    from bier.search import open_index
    from bier.search.check import check_index
    from bier.system.waiting import Waiting

    with open_index(folder) as opened, Waiting(terminal(), "checking", opened.count()) as waiting:
        checked = check_index(opened, waiting.advance)
    files = f"{checked.files:,} files have their checksums" if checked.files else "no checksums of files are kept"
    terminal().print(f"sound: {checked.pictures:,} pictures were read, {files}")


@index.command(name="info")
def show_info(folder: IndexFolder) -> None:
    """What an index holds, and of which model."""
    from bier.cli.rebuilding import about_generations
    from bier.data.fields import in_words
    from bier.search import open_index

    with open_index(folder) as opened:
        info = opened.info
        lines = {
            "pictures": f"{opened.count():,}",
            "engine": _engine(info),
            "dimensions": f"{info.dimensions} = {' + '.join(map(str, info.sizes))}",
            "vectors": _stored(info),
            "fields": in_words(info.kinds),
            "confidence": _calibrated(opened, folder),
            "searches": searches(opened),
            **within_filters(opened),
            **in_stages(opened),
            "model": info.model_path or "place unknown",
            "fingerprint": info.model,
            **about_generations(folder),
        }
    for name, text in lines.items():
        terminal().print(f"{name + ':':13}{text}", soft_wrap=True)


def _stored(info: IndexInfo) -> str:
    """What a vector takes, and how the model made it."""
    size = info.dimensions * (2 if info.storage == "float16" else 4)
    return f"{info.storage}, {size:,} bytes each, computed in {info.precision}"


def _engine(info: IndexInfo) -> str:
    if info.uri is None:
        return info.engine
    return f"{info.engine} at {info.uri}" + (f", {info.collection}" if info.collection else "")


def _calibrated(opened: Index, folder: Path) -> str:
    from bier.errors import quoted
    from bier.search.calibration_file import read_calibration

    learned = read_calibration(opened.folder, opened.info)
    if learned is None:
        return f"what the model has learned, if anything; learn it anew: bier calibrate {quoted(folder)} LABELLED"
    return f"learned from {learned.pictures:,} labelled pictures"
