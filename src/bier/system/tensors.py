"""Tensors and a JSON description as one safetensors file, with checksums of both.

The checksums tell damage: a bad disk, a copy that broke off. They are no signature, and do not tell who wrote a file.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bier.errors import ModelError
from bier.system import json_values
from bier.system.files import write_atomically
from bier.system.json_values import Check

MODEL_FILE = "model.safetensors"
"""The name of a model, in the folder of a run and on a hub."""
MODEL_FORMAT = "bier-model-1"
STATE_FORMAT = "bier-training-state-2"
REMEDIES = {
    MODEL_FORMAT: f"give the {MODEL_FILE} of a run of `bier train`",
    STATE_FORMAT: "another version of bier began this run: go on with that one, or start again in another folder",
}
LONGEST = {MODEL_FORMAT: 8 << 20, STATE_FORMAT: 100 << 20}
"""Most characters of a description. That of a training names every picture that could not be read."""

_SUM = json_values.text(8)
_OLDER = json_values.record({"format": json_values.text(), "content": json_values.anything})
_NEWER = json_values.record(
    {
        "format": json_values.text(),
        "content": json_values.anything,
        "tensors": json_values.object_of(_SUM),
        "check": _SUM,
    }
)


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], format: str, content: Mapping[str, Any], aside: Path | None = None
) -> None:
    """Tensors and a JSON description as one safetensors file: equal content gives equal bytes.

    What stood at ``path`` before is kept at ``aside``, if that is given.
    """
    # A clone for each: safetensors refuses tensors that share memory, and layouts such as channels-last.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    sums = {name: tensor_checksum(plain[name]) for name in sorted(plain)}
    description = {"format": format, "content": content, "tensors": sums}
    # One entry: safetensors writes several in random order, and equal runs shall give equal files.
    metadata = {"bier": json.dumps({**description, "check": _text_checksum(description)})}

    def write(file: Path) -> None:
        save_file(plain, file, metadata=metadata)
        if aside is not None and path.is_file():
            _keep(path, aside)

    write_atomically(path, write)


def _keep(path: Path, aside: Path) -> None:
    """Give a file a second name, so that it never lacks its first; or a new one where a disk knows no second names."""
    aside.unlink(missing_ok=True)
    try:
        os.link(path, aside)
    except OSError:
        path.replace(aside)


def load_tensors(path: Path, format: str, content: Check) -> tuple[dict[str, Tensor], Any]:
    """What :func:`save_tensors` wrote, compared with its checksums; files of older versions have none.

    Args:
        path: of the file.
        format: its kind.
        content: checks the description, before any tensor is read.

    Raises:
        ModelError: no such file, a truncated or damaged one, one of another kind, or a description that does not fit.
    """
    with _opened(path) as file:
        names = list(file.keys())
        description = _description((file.metadata() or {}).get("bier"), format, path, names, content)
        tensors = {name: file.get_tensor(name) for name in names}
    for name, expected in description.get("tensors", {}).items():
        if tensor_checksum(tensors[name]) != expected:
            raise _damaged(path, f"the tensor {name!r} is not what was written")
    return tensors, description["content"]


def tensor_checksum(tensor: Tensor) -> str:
    """CRC-32 of type, shape and content, eight digits: at memory's speed, and no change of up to 32 bits escapes it."""
    kind = zlib.crc32(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy().data
    return f"{zlib.crc32(content, kind):08x}"


def refuse_non_finite(tensors: Iterable[tuple[str, Tensor]], where: Path | str) -> None:
    """Raise ModelError where a tensor holds NaN or infinity, which would spoil every vector."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel() and not _is_finite(tensor):
            count = int((~tensor.isfinite()).sum())
            raise ModelError(
                f"the tensor {name!r} holds NaN or infinity ({count:,} of {tensor.numel():,} entries)",
                where=where,
                remedy="train again, or take the weights from where they came from; if training made them, lower its "
                "learning rate",
            )


def _is_finite(tensor: Tensor) -> bool:
    # NaN and infinity go through to the sum, which takes a thirtieth of the time; it may be infinite of itself, too.
    return math.isfinite(tensor.sum().item()) or bool(tensor.isfinite().all())


def _description(text: str | None, format: str, path: Path, names: list[str], content: Check) -> dict[str, Any]:
    try:
        if text is not None and len(text) > LONGEST[format]:
            raise ValueError(f"it has {len(text):,} characters, more than {LONGEST[format]:,}")
        found = json_values.parse(text or "{}")
        kind = found.get("format") if isinstance(found, dict) else None
        if kind != format:
            raise ModelError(
                f"is of kind {'unknown' if kind is None else kind!r:.60}, not {format!r}",
                where=path,
                remedy=REMEDIES[format],
            )
        description: dict[str, Any] = (_OLDER if found.keys() == {"format", "content"} else _NEWER)(found, "")
        _compare(description, names)
        return {**description, "content": content(description["content"], "")}
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"its description cannot be used: {error}",
            where=path,
            remedy="copy it again from where it came from; another version of bier may have written it",
        ) from error


def _compare(description: dict[str, Any], names: list[str]) -> None:
    """With the checksums that it holds, if it holds any."""
    if "check" not in description:
        return
    rest = {key: value for key, value in description.items() if key != "check"}
    if _text_checksum(rest) != description["check"]:
        raise ValueError("it is damaged, for its checksum is another")
    for name in description["tensors"].keys() ^ set(names):
        raise ValueError(f"the tensor {name!r:.80} is {'unknown' if name in names else 'missing'}")


def _text_checksum(description: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(description).encode()):08x}"


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"is damaged: {what}", where=path, remedy="copy it again from where it came from, or train again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        if not path.is_file():
            raise ModelError("no such file", where=path, remedy=f"give a run's folder or its {MODEL_FILE}")
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"is truncated or not a safetensors file ({error})",
            where=path,
            remedy=f"give the {MODEL_FILE} of a run of `bier train`, or copy it again",
        ) from error
