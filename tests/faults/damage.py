"""Damage to a file, and what a reader makes of it. Runs in a child: a reader that dies takes nothing else along."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bier.errors import BierError

BLOCK = 512
ODD = [None, [], {}, "", -1, 0, 10**9, 1e300, float("inf"), float("nan"), True, "\ud83e\udd8a", [[[]]] * 3]
"""What may stand in JSON where something else is meant."""


def flip(content: bytes, chance: random.Random) -> bytes:
    """One bit of one byte."""
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def flip_early(content: bytes, chance: random.Random) -> bytes:
    """The same near the beginning, where descriptions stand."""
    return flip(content[:2000], chance) + content[2000:]


def cut(content: bytes, chance: random.Random) -> bytes:
    """The beginning alone: often all but a byte, sometimes nothing."""
    return content[: chance.choice([0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(4))])]


def zero(content: bytes, chance: random.Random) -> bytes:
    """A block of zeros, as a file system leaves it where a block was never written."""
    start = chance.randrange(0, len(content), BLOCK)
    return content[:start] + bytes(len(content[start : start + BLOCK])) + content[start + BLOCK :]


def swap(content: bytes, chance: random.Random) -> bytes:
    """Of JSON, or of a line of it, one value replaced by an odd one."""
    lines = content.decode().splitlines() if content.count(b"\n{") else [content.decode()]
    number = chance.randrange(len(lines))
    lines[number] = json.dumps(_swapped(json.loads(lines[number]), chance))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def deep(content: bytes, chance: random.Random) -> bytes:
    """Lists in lists, deeper than a parser can go."""
    return b"[" * 100_000


def _swapped(value: Any, chance: random.Random) -> Any:
    value = copy.deepcopy(value)
    at = value
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return value
        key = chance.choice(keys)
        if not isinstance(at[key], dict | list) or not at[key] or chance.random() < 0.3:
            at[key] = chance.choice(ODD)
            return value
        at = at[key]


DAMAGES = {damage.__name__: damage for damage in (flip, flip_early, cut, zero, swap, deep)}


def trials(kind: str, folder: str, file: str, damages: list[str], seed: str, count: int) -> None:
    """Damage a file of a copy of ``folder`` and read it, ``count`` times; a line for each with what came of it.

    ``equal``: the same answer as without damage; ``noticed``: a BierError; ``changed``: another answer;
    ``crashed``: anything else, with its traceback.
    """
    limit = 12 * 2**30  # of address space: a size of 1e9 ends here, and not the machine
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    expected = _outcome(kind, _copied(folder, "whole"))
    assert expected[0] == "read", expected
    chance = random.Random(seed)
    for number in range(count):
        name = chance.choice(damages)
        place = _copied(folder, str(number))
        changed = DAMAGES[name]((place / file).read_bytes(), chance)
        if changed == (place / file).read_bytes():
            continue
        (place / file).write_bytes(changed)
        what, answer = _outcome(kind, place)
        if what == "read":
            what, answer = ("equal", "") if answer == expected[1] else ("changed", answer)
        shutil.rmtree(place, ignore_errors=True)
        sys.stdout.write(json.dumps([what, name, answer]) + "\n")
        sys.stdout.flush()


def _copied(folder: str, name: str) -> Path:
    return Path(shutil.copytree(folder, Path.cwd() / name))


def _outcome(kind: str, folder: Path) -> tuple[str, str]:
    try:
        return "read", ANSWERS[kind](folder)
    except BierError as error:
        return "noticed", str(error)
    except BaseException:  # Rust's panics are no Exceptions
        return "crashed", traceback.format_exc()[-1500:]


def _digest(*parts: object) -> str:
    text = hashlib.sha256()
    for part in parts:
        text.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return text.hexdigest()


def _vector(folder: Path) -> str:
    """Of one picture, by the model or export in the folder."""
    from bier.export import load_encoder

    [file] = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".onnx", ".pt2")]
    encoder = load_encoder(file, trust_code=True)
    size = encoder.transform.size
    picture = torch.arange(3 * size * size).remainder(251).to(torch.uint8).reshape(1, 3, size, size)
    return _digest(encoder.encode(picture).numpy(), encoder.sizes, encoder.scales)


def _resumed(folder: Path) -> str:
    """The model that a run ends with."""
    from rich.console import Console

    from bier.runs import resume

    resume(folder, Console(quiet=True), evaluate_after=False)
    return _digest((folder / "model.safetensors").read_bytes())


def _run(folder: Path) -> str:
    """What Python and the report say of a run."""
    from bier import open_run

    run = open_run(folder)
    epochs = [replace(epoch, hardest={}) for epoch in run.history]
    figures = run.metrics.as_dict() if run.metrics else None
    run.report(folder / "page.html")
    return _digest(run.settings.as_dict(), epochs, figures)


def _vectors(folder: Path) -> str:
    from bier.vectors.parts import part_files, read_info, read_part, read_vectors

    parts = [read_part(path) for path in part_files(folder)]
    rows = [(batch.ids, batch.metadata) for batch in read_vectors(folder)]
    vectors = np.concatenate([batch.vectors for batch in read_vectors(folder)])
    return _digest([part.count for part in parts], read_info(folder).dimensions, rows, vectors)


def _index(folder: Path) -> str:
    from bier.search import open_index

    with open_index(folder) as index:
        records = sorted((record for rows in index.scan() for record in rows.records()), key=lambda record: record.id)
        vectors = np.stack([record.vector for record in records] or [np.zeros(0, np.float32)])
        query = np.ones(index.info.dimensions, np.float32)
        hits = [(hit.id, hit.score) for hit in index.search(query, top=9)[0]]
        info = (index.info.sizes, index.info.scales, index.info.fields)
        return _digest([(record.id, record.metadata) for record in records], vectors, hits, info, index.count())


def _checked(folder: Path) -> str:
    """As `bier index check` finds it, where opening compares no checksums, as in the old files of a large index."""
    from bier.search import lance_files, open_index
    from bier.search.check import check_index

    lance_files.BYTES_AT_OPENING = 0
    with open_index(folder) as index:
        check_index(index)
    return _index(folder)


def _marks(folder: Path) -> str:
    from bier.serve.marks import MarksFile

    return _digest(MarksFile(folder / "marks.jsonl").pairs())


ANSWERS: dict[str, Callable[[Path], str]] = {
    "model": _vector,
    "checkpoint": _resumed,
    "run": _run,
    "vectors": _vectors,
    "index": _index,
    "checked": _checked,
    "marks": _marks,
}
