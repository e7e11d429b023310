"""What ``bier index`` fills an index with, and which index that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bier.cli.app import left_out, terminal

if TYPE_CHECKING:
    from bier.data.fields import Kinds
    from bier.search import Index, IndexInfo, Rows
    from bier.search.base import Storage
    from bier.system.hardware import DeviceName, Hardware, PrecisionName
    from bier.vectors.parts import VectorBatch


@dataclass(frozen=True, eq=False)
class Given:
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


def about_precision(opened: Index, given: Given) -> Iterator[str]:
    there, here = opened.info.precision, given.info.precision
    if there != here:
        yield f"the index holds vectors computed in {there}, these are in {here}: scores differ in the third decimal"


def computing_on(out: Path, device: DeviceName, precision: PrecisionName) -> Hardware:
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


def opened_source(
    source: str,
    model: Path | None,
    hardware: Hardware,
    trust_code: bool,
    class_depth: int | None,
    label_separator: str | None,
    objects: bool,
    prefix: str,
    unread: list[str],
) -> Given:
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

    return Given(info, catalogue.total, told(), read_as, stored)


def _vectors(folder: Path, model: Path | None, trust_code: bool) -> Given:
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
    return Given(_with_fields(info, stored.fields), stored.count, read_vectors(folder), lambda _: stored.fields)


def _with_fields(info: IndexInfo, kinds: Kinds) -> IndexInfo:
    types = {name: kind for name, kind in kinds.items() if kind != "text"}
    return replace(info, fields=(*info.fields, *kinds), types=types)


def about_fields(opened: Index, given: Given, source: str) -> list[str]:
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


def opened_or_new(out: Path, given: Given, engine: str | None, uri: str | None, type: Storage | None) -> Index:
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
