"""An index is a folder: index.json says what is in it, beside it lies what the engine needs."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from bier.errors import SearchError, nearest
from bier.search.base import Index, IndexInfo
from bier.search.generations import FILE, FIRST, Generations, checksum, read_generations, unreadable
from bier.system.files import is_free, write_json
from bier.system.registry import Registry

FORMAT = "bier-index-1"
ENGINES: Registry[type[Index]] = Registry("engine", "bier.search.engines", "bier.engines")
"""A file there, or an entry point ``bier.engines`` of another package, adds one."""


def create_index(path: Path | str, info: IndexInfo, engine: str | None = None, *, uri: str | None = None) -> Index:
    """An empty index in a new folder.

    Args:
        path: the folder; there is none yet, or an empty one.
        info: what the index is for.
        engine: ``lancedb``, ``exact`` or ``milvus``; by default the info's.
        uri: the server of engines that have one.

    Raises:
        SearchError: there is an index already, the engine is unknown, or its server cannot be reached.
        StorageError: the folder cannot be written.
    """
    folder = Path(path).resolve()
    if (folder / FILE).exists():
        raise SearchError("there is an index already", where=path, remedy="choose another folder, or open that one")
    if not is_free(folder):
        raise SearchError("is not an empty folder", where=path, remedy="choose a new folder for the index")
    info = replace(info, engine=engine or info.engine, uri=uri or info.uri)
    kind = _engine(info.engine, folder)
    info = kind.create(folder, info)
    # Last: a folder without this file is no index, whatever else was interrupted.
    content = asdict(info)
    usual = {
        "types": {},
        "precision": "float32",
        "storage": "float32",
    }  # without which an earlier version reads it, too
    content = {name: value for name, value in content.items() if name not in usual or value != usual[name]}
    write_json(folder / FILE, {"format": FORMAT, **content, "checksum": checksum(content)})
    return kind(folder, info)


def open_index(path: Path | str) -> Index:
    """The index of a folder.

    Raises:
        SearchError: there is none, it is damaged, or its server cannot be reached.
        StorageError: the system refuses to open its files.
    """
    folder = Path(path).resolve()
    generations = read_generations(folder)
    return open_generation(folder, generations, generations.current)


def open_generation(folder: Path, generations: Generations, name: str) -> Index:
    """One generation of the index of a folder; raises as `open_index`."""
    info = _info(folder, generations, name)
    return _engine(info.engine, folder)(folder / name, info)


def read_info(folder: Path) -> IndexInfo:
    """What index.json says; raises as `open_index`."""
    generations = read_generations(folder)
    return _info(folder, generations, generations.current)


def _info(folder: Path, generations: Generations, name: str) -> IndexInfo:
    content = dict(generations.first if name == FIRST else read_generations(folder / name).first)
    file = folder / name / FILE
    if content.pop("format", None) != FORMAT:
        raise SearchError("is an index of another version", where=file, remedy=f"this program reads {FORMAT}")
    expected = content.pop("checksum", None)
    known = {field.name for field in fields(IndexInfo)}
    if not known >= set(content) >= {"model", "sizes", "scales", "fields"}:
        raise unreadable(file, "names are missing, or too many")
    values: dict[str, Any] = {name: tuple(value) if type(value) is list else value for name, value in content.items()}
    try:
        info = IndexInfo(**values)
    except SearchError as error:
        raise unreadable(file, error.what) from error
    if expected not in (None, checksum(content)):
        remedy = "restore the file from a backup; if you have changed it yourself, remove 'checksum' from it"
        raise SearchError("is damaged: its checksum is another", where=file, remedy=remedy)
    return info


def _engine(name: str, where: Path) -> type[Index]:
    if name not in ENGINES:
        raise SearchError(f"unknown engine {name!r}", where=where, remedy=nearest(name, ENGINES))
    return ENGINES[name]
