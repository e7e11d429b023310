"""``bier index``, ``bier search``, ``bier duplicates``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from bier.cli.app import ClassDepth, LabelSeparator, Objects, Precision, TrustCode, app, left_out, output, terminal
from bier.cli.index_words import in_stages, searches

if TYPE_CHECKING:
    from bier.data.fields import Kinds
    from bier.search import Answer, Index, IndexInfo, Rows
    from bier.search.base import Storage
    from bier.search.duplicates import Duplicates, Stored
    from bier.system.hardware import Hardware
    from bier.vectors.parts import VectorBatch

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
    computing = _computing(out, device, precision)
    given = _source(source, model, computing, trust_code, class_depth, label_separator, objects, prefix, unread)
    with _opened_or_new(out, given, engine, uri, type) as opened, Waiting(console, "indexing", given.count) as waiting:
        for line in (*_about_precision(opened, given), *_about_fields(opened, given, source)):
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

    console = terminal()
    with open_index(folder) as opened:
        check_recall(opened, recall)
        if isinstance(opened, ApproximateIndex):
            with console.status("this takes minutes at a million pictures"):
                opened.tune(recall, console.print)
        console.print(searches(opened), soft_wrap=True)


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


@app.command
def search(
    folder: Annotated[str, Parameter(name="INDEX", help="The index's folder, or the address of a running server.")],
    query: Annotated[Path, Parameter(name="QUERY", help="A picture.")],
    *,
    top: Annotated[int, Parameter(help="How many pictures.", validator=Number(gte=1))] = 10,
    where: Annotated[
        tuple[str, ...],
        Parameter(help="Only these, as label=shoes, sold!=yes or 'price<20'; repeat for several.", negative=""),
    ] = (),
    learners: Annotated[str | None, Parameter(help="A prefix such as 1-2, or one learner such as 2.")] = None,
    staged: Annotated[bool, Parameter(help="In stages: a shortlist by the first learner.", negative="")] = False,
    recall: Annotated[
        float | None, Parameter(help="With --staged: share of the ten nearest that is found. [default: 0.98]")
    ] = None,
    exact: Annotated[bool, Parameter(help="Look at all pictures, whatever it takes.", negative="")] = False,
    box: Annotated[
        tuple[float, float, float, float] | None,
        Parameter(help="Search for a part alone: LEFT TOP WIDTH HEIGHT in pixels of the upright picture."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        Parameter(help="Give no answer that is less likely right, 0 to 1.", validator=Number(gte=0, lte=1)),
    ] = None,
    rerank: Annotated[
        str | None,
        Parameter(help="Rank the first hits again: k-reciprocal, alpha-qe or dba, as in k-reciprocal,k1=10."),
    ] = None,
    json: Annotated[bool, Parameter(help="Print the answer as JSON.", negative="")] = False,
    html: Annotated[Path | None, Parameter(help="Write a page with the pictures.")] = None,
    model: ModelPath = None,
    trust_code: TrustCode = False,
) -> int:
    """Find the pictures of an index that are most like one picture.

    A running `bier serve` answers sooner: its model is in memory. Its token is read from BIER_TOKEN.

    Ends with 0, with 1 if --min-confidence withholds the answer, and with 2 after a mistake.
    """
    from bier.cli.answers import in_words, withhold
    from bier.cli.asking import ask, is_server
    from bier.cli.index_words import recall_of_stages
    from bier.data.box import checked_box
    from bier.errors import ConfigError, SearchError, quoted

    if min_confidence is not None and learners is not None:
        raise ConfigError("no confidence is known of --learners", remedy="leave out --min-confidence or --learners")
    part = checked_box(box, "--box")
    if is_server(folder):
        given_here = (("--staged", staged), ("--recall", recall), ("--html", html), ("--model", model))
        for option, value in given_here:
            if value:
                raise ConfigError("is decided by the server", where=option, remedy="leave it out")
        answer = ask(
            folder,
            query,
            top=top,
            where=where,
            learners=learners,
            rerank=rerank,
            exact=exact,
            box=part,
            judged=min_confidence is not None,
        )
        return _printed(withhold(answer, min_confidence), min_confidence, json)
    from bier.search import (
        ConfidentSearch,
        CurrentCalibration,
        StagedSearch,
        load_encoder,
        open_index,
        parse_learners,
        query_vectors,
    )
    from bier.search.approximate import Exactly
    from bier.search.filters import parse_filters
    from bier.search.page import write_page
    from bier.search.reranked import RankAgain
    from bier.system.console import plain_console
    from bier.system.late import waiting

    again = None if rerank is None else RankAgain.asked(rerank, "--rerank")
    if again is not None and learners is not None:
        raise ConfigError("--rerank ranks by all learners", remedy="leave out --rerank or --learners")
    if staged and learners is not None:
        raise ConfigError("--staged searches with all learners", remedy="leave out --staged or --learners")
    if staged and exact:
        raise ConfigError("--staged may miss pictures, and --exact may not", remedy="leave out one of them")
    wanted = recall_of_stages(recall, staged)
    with waiting():
        opening = open_index(folder)
    with opening as opened:
        filters = parse_filters(where, opened.info.kinds)
        opened.checked_filters(filters)  # before the model is loaded, which takes seconds
        chosen = None if learners is None else parse_learners(learners, len(opened.info.sizes))
        with waiting():
            encoder = load_encoder(opened, path=model, trust_code=trust_code)
        vectors = query_vectors(opened.info, encoder, encoder.encode([encoder.prepare(query, box=part)]), chosen)
        calibration = CurrentCalibration(opened, encoder)()
        if calibration is None and min_confidence is not None:
            remedy = f"bier calibrate {quoted(folder)} LABELLED, with labelled pictures"
            raise SearchError("has no calibration, so no confidence is known", where=folder, remedy=remedy)
        tell = plain_console(stderr=True, soft_wrap=True).print
        searcher = StagedSearch(opened, recall=wanted, tell=tell) if staged else Exactly(opened) if exact else opened
        [answer] = ConfidentSearch(searcher, calibration, again).search(vectors, top, filters)
        count, kinds = opened.count(), opened.info.kinds
    given = withhold(answer, min_confidence)
    status = _printed(given, min_confidence, json)
    if html is not None:
        how = ["in stages"] if staged else []
        how += [] if part is None else ["a part"]
        how += [] if learners is None else [f"learners {learners}"]
        how += [] if again is None else [f"first hits ranked again by {again.reranking}"]
        how += [text for text in [in_words(answer)] if text]
        write_page(
            query, given.hits, html, box=part, count=count, how="".join(f" · {part}" for part in how), kinds=kinds
        )
        if not json:
            terminal().print(f"page: {html}", soft_wrap=True)
    return status


def _printed(given: Answer, least: float | None, json: bool) -> int:
    """Print an answer; the exit status that goes with it."""
    from bier.cli.answers import print_answer, print_json

    if json:
        print_json(given)
    else:
        print_answer(given, least)
    return 1 if least is not None and not given.hits else 0


@app.command
def duplicates(
    folder: IndexFolder,
    *,
    threshold: Annotated[
        float | None, Parameter(help="Cosine similarity that counts. [default: 0.98; with --look 0.5]")
    ] = None,
    look: Annotated[
        bool, Parameter(help="Compare pixels as well: finds copies that are cropped or mirrored.", negative="")
    ] = False,
    html: Annotated[Path | None, Parameter(help="Also write a page with the pairs here.")] = None,
    ids: Annotated[Path | None, Parameter(help="Also write the ids of copies here, for `bier index remove`.")] = None,
) -> None:
    """Groups of pictures of an index that are nearly the same, one group a paragraph.

    Of each group, the picture with the most pixels is the one to keep.
    """
    from bier.search import open_index
    from bier.search.duplicates import duplicates as find
    from bier.system.waiting import Waiting

    console = terminal()
    with open_index(folder) as opened, Waiting(console, "looking at pairs") as waiting:
        found = find(opened, threshold, look=look, progress=lambda done, of: waiting.show(done))
    groups = found.groups()
    for group in groups:
        console.print("\n".join(group) + "\n", soft_wrap=True)
    console.print(f"{len(groups):,} groups, {sum(map(len, groups)) - len(groups):,} pictures more than needed")
    if html is not None or ids is not None:
        _write_copies(found, folder, html, ids)


def _write_copies(found: Duplicates, folder: Path, html: Path | None, ids: Path | None) -> None:
    from bier.errors import quoted
    from bier.records.pictures import Picture
    from bier.report.copies import ShownCopy, write_copies
    from bier.system.files import write_text

    def picture(stored: Stored) -> Picture:
        return Picture(image=stored.image, label=stored.id, bbox=stored.box)

    console, copies = terminal(), found.to_remove()
    if html is not None:
        shown = [ShownCopy(picture(copy.keep), picture(copy.other), copy.similarity) for copy in copies]
        write_copies(shown, html, source=folder.name, cropped=True)
        console.print(f"page: {html}", soft_wrap=True)
    if ids is not None:
        write_text(ids, "".join(f"{copy.other.id}\n" for copy in copies))
        console.print(f"to remove them: bier index remove {quoted(folder)} --ids {quoted(ids)}", soft_wrap=True)


@dataclass(frozen=True, eq=False)
class _Given:
    """What is indexed."""

    info: IndexInfo
    """Of a new index for it, with all fields of the source."""
    count: int | None
    """Pictures, if that is known."""
    batches: Iterator[VectorBatch]
    read_as: Callable[[Kinds], Kinds]
    """Reads the source's fields as an index has them, where it can; gives what they are then."""
    stored: Callable[[Path, Rows], object] = lambda folder, rows: None
    """Called with the index's folder and rows that are in it now."""


def _about_precision(opened: Index, given: _Given) -> Iterator[str]:
    there, here = opened.info.precision, given.info.precision
    if there != here:
        yield f"the index holds vectors computed in {there}, these are in {here}: scores differ in the third decimal"


def _computing(
    out: Path, device: Literal["auto", "cpu", "cuda", "mps"], precision: Literal["auto", "float32", "bfloat16"]
) -> Hardware:
    """What the model computes on: as for the vectors that the index has, where there is one."""
    from bier.errors import SearchError
    from bier.search.folder import read_info
    from bier.system.hardware import Hardware, extraction_precision

    hardware = Hardware.resolve(device, precision, where="--device")
    hardware.refuse_slow("--precision")
    if (out / "index.json").exists():
        there = read_info(out.resolve()).precision
        if precision not in ("auto", there):
            raise SearchError(f"holds vectors computed in {there}", where=out, remedy="leave out --precision")
        precision = there
    return replace(hardware, precision=extraction_precision(precision, hardware.device))


def _source(
    source: str,
    model: Path | None,
    hardware: Hardware,
    trust_code: bool,
    class_depth: int | None,
    label_separator: str | None,
    objects: bool,
    prefix: str,
    unread: list[str],
) -> _Given:
    """What is indexed. Paths of what cannot be read go to ``unread``, once the batches are at their end."""
    from bier.errors import ConfigError
    from bier.export import load_encoder
    from bier.network.hub import absolute
    from bier.search import IndexInfo
    from bier.search.queries import precision_of
    from bier.search.seen_files import SeenFiles, Watched
    from bier.system.places import as_path
    from bier.vectors.catalogue import embedded
    from bier.vectors.sources import open_catalogue

    folder = as_path(source)
    if (folder / "vectors.json").exists():
        for option, value in (("--class-depth", class_depth), ("--label-separator", label_separator)):
            if value is not None:
                raise ConfigError("vectors have their labels already", where=option, remedy="give it to `bier embed`")
        if objects:
            raise ConfigError("vectors are of objects or not", where="--objects", remedy="give it to `bier embed`")
        return _vectors(folder, model, trust_code)
    if model is None:
        raise ConfigError("pictures need a model", where="--model", remedy="--model RUN, the folder of a training")
    encoder = load_encoder(model, hardware.device, hardware.precision, trust_code=trust_code)
    catalogue = Watched(open_catalogue(source, class_depth, label_separator, objects=objects), prefix)
    place, computed = absolute(model), precision_of(encoder)
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=place, precision=computed)
    info = _with_fields(info, catalogue.kinds)
    console = terminal()
    tell = left_out(console)

    def failed(image: str, what: str) -> None:
        unread.append(image)
        tell(image, what)

    def told() -> Iterator[VectorBatch]:
        yield from embedded(encoder, catalogue, failed, workers=hardware.workers)
        for line in catalogue.remarks():
            console.print(line, soft_wrap=True)

    def read_as(kinds: Kinds) -> Kinds:
        catalogue.read_as(kinds)
        return catalogue.kinds

    def stored(folder: Path, rows: Rows) -> None:
        catalogue.stored(SeenFiles(folder), rows)

    return _Given(info, catalogue.total, told(), read_as, stored)


def _vectors(folder: Path, model: Path | None, trust_code: bool) -> _Given:
    from bier.errors import SearchError
    from bier.export import load_encoder
    from bier.network.hub import absolute
    from bier.search import IndexInfo
    from bier.vectors.parts import read_info, read_vectors

    stored = read_info(folder)
    if not stored.complete:
        raise SearchError(
            f"holds the first {stored.count:,} vectors of {stored.source} or some more, and not yet all",
            where=folder,
            remedy="repeat the `bier embed` that was interrupted: it goes on",
        )
    if model is not None and load_encoder(model, trust_code=trust_code).fingerprint != stored.model:
        raise SearchError(f"are not vectors of {model}", where=folder, remedy="give the model that made them")
    place = None if model is None else absolute(model)
    computed: Literal["float32", "bfloat16"] = "bfloat16" if stored.precision == "bfloat16" else "float32"
    info = IndexInfo(stored.model, tuple(stored.sizes), tuple(stored.scales), model_path=place, precision=computed)
    return _Given(_with_fields(info, stored.fields), stored.count, read_vectors(folder), lambda _: stored.fields)


def _with_fields(info: IndexInfo, kinds: Kinds) -> IndexInfo:
    types = {name: kind for name, kind in kinds.items() if kind != "text"}
    return replace(info, fields=(*info.fields, *kinds), types=types)


def _about_fields(opened: Index, given: _Given, source: str) -> list[str]:
    """What becomes of the source's fields, a line for each thing to say.

    Raises:
        DataError, SearchError: the index has another kind of values for a field.
    """
    from bier.data.fields import in_words
    from bier.errors import SearchError

    there = opened.info.kinds
    kinds = given.read_as(there)
    for name, kind in kinds.items():
        wanted = there.get(name, kind)
        if kind == "box" and name not in there:
            raise SearchError(
                f"are of objects, and the index {opened.folder} is of whole pictures",
                where=source,
                remedy="make a new index of objects",
            )
        if kind != wanted and (kind, wanted) != ("whole", "decimal"):
            raise SearchError(
                f"the column {name!r} is {kind}, and the index {opened.folder} has {wanted} for it",
                where=source,
                remedy="rename the column, give it the other type, or make a new index of all tables",
            )
    lost = [name for name in kinds if name not in there]
    lines = (
        [f"fields: {in_words({name: there[name] for name in kinds if name in there})}"]
        if len(lost) < len(kinds)
        else []
    )
    if lost:
        lines.append(f"left out: {', '.join(lost)}: the index has no such fields; a new index has them")
    return lines


def _opened_or_new(out: Path, given: _Given, engine: str | None, uri: str | None, type: Storage | None) -> Index:
    from bier.errors import SearchError
    from bier.search import create_index, open_index

    info = replace(given.info, storage=type or "float32")
    if not (out / "index.json").exists():
        return create_index(out, info, engine, uri=uri)
    opened = open_index(out)
    there = opened.info
    if (there.model, there.sizes) != (info.model, info.sizes):
        opened.close()
        raise SearchError(
            f"holds vectors of the model {there.model[:12]}, {there.dimensions} dimensions; "
            f"these are of {info.model[:12]}, {info.dimensions} dimensions",
            where=out,
            remedy="give the model that filled it, or another folder for a new index",
        )
    if engine not in (None, there.engine):
        opened.close()
        raise SearchError(f"is an index of the engine {there.engine}", where=out, remedy="leave out --engine")
    if type not in (None, there.storage):
        opened.close()
        raise SearchError(f"stores {there.storage}", where=out, remedy="leave out --type, or make a new index")
    if uri is not None and uri.rstrip("/") != (there.uri or "").rstrip("/"):
        opened.close()
        raise SearchError(f"its vectors lie at {there.uri or 'the folder itself'}", where=out, remedy="leave out --uri")
    return opened
