"""From picture to vector with an exported file, as `bier.vectors.encoder.Encoder` does with the model itself."""

from __future__ import annotations

import io
import math
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bier.confidence.calibration import Calibration
from bier.data import TestTransform, read_image
from bier.data.box import checked_box
from bier.errors import ConfigError, ModelError
from bier.export import description as descriptions
from bier.system.extras import need
from bier.vectors.encoder import Encoder

PROGRAM_SUFFIX = ".pt2"
LARGEST = 1 << 31
"""Bytes of an ONNX file: the format allows no more in one."""


@dataclass(frozen=True, eq=False)
class ExportedEncoder(ABC):
    """What every exported file can tell and do."""

    description: Mapping[str, Any]
    """The JSON inside the file."""

    @property
    def transform(self) -> TestTransform:
        return TestTransform.of(self.description["image"])

    @property
    def fingerprint(self) -> str:
        """The model's own where vectors agree with it; an int8 file has one of its own."""
        return str(self.description["fingerprint"])

    @property
    def calibration(self) -> Calibration | None:
        """How sure its answers are, as its model learned it."""
        learned = self.description.get("calibration")
        return None if learned is None else Calibration.from_json(learned)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.description["sizes"])

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(self.description["scales"])

    @property
    def dimensions(self) -> int:
        return sum(self.sizes)

    def prepare(self, picture: Path | bytes, name: str = "", box: Sequence[float] | None = None) -> Tensor:
        """uint8 (3, size, size), of a part of the picture alone if a box is given as `checked_box` takes it.

        Raises:
            ImageError: as `read_image`, or the box is none.
        """
        return self.transform(read_image(picture, checked_box(box, name or None), name, view=self.transform))

    def encode(self, images: Tensor | Sequence[Tensor], learners: int | None = None) -> Tensor:
        """Retrieval vectors (b, D) float32 on the CPU, of prepared pictures uint8 (b, 3, size, size).

        With ``learners``, those of the first so many alone, a smaller embedding.
        """
        vectors = self._run(images if isinstance(images, Tensor) else torch.stack(list(images)))
        return vectors if learners is None else self._prefix(vectors, learners)

    def prefix_scales(self, learners: int) -> tuple[float, ...]:
        """``s_m`` of the first so many learners in an ensemble of their own."""
        if not 1 <= learners <= len(self.sizes):
            raise ConfigError(f"no prefix of {learners} learners", remedy=f"choose 1 to {len(self.sizes)}")
        return tuple(self.description["prefix_scales"][learners - 1])

    def _prefix(self, vectors: Tensor, learners: int) -> Tensor:
        wanted, sizes = torch.tensor(self.prefix_scales(learners)), self.sizes[:learners]
        factors = wanted / torch.tensor(self.scales[:learners])
        return vectors[:, : sum(sizes)] * factors.repeat_interleave(torch.tensor(sizes))

    @abstractmethod
    def _run(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class OnnxEncoder(ExportedEncoder):
    """An ONNX file, run by onnxruntime on as many threads as torch uses; no network is built."""

    session: Any
    content: bytes = field(repr=False)
    """The file, from which it is made again in another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxEncoder.of, (self.content, "the ONNX file")

    @classmethod
    def load(cls, path: Path | str) -> OnnxEncoder:
        """Of a file of ``bier export --to onnx``.

        Raises:
            ModelError: no such file, a damaged one, or one of another kind.
            ConfigError: onnxruntime is not installed.
        """
        return cls.of(_read(path, LARGEST), path)

    @classmethod
    def of(cls, content: bytes, where: Path | str) -> OnnxEncoder:
        """The same, of the file's bytes; messages call it ``where``."""
        refuse_other_files(content, where)
        runtime = need("onnxruntime", "export")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors; they are raised as well
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            text = session.get_modelmeta().custom_metadata_map.get(descriptions.KEY)
        except Exception as error:  # onnxruntime has a class of its own for each kind of damage
            raise _unusable(where, "ONNX", error) from error
        description = descriptions.from_json(text, where)
        descriptions.check_seal(content, description, where)
        _compare(session, description, where)
        return cls(description, session, content)

    def _run(self, images: Tensor) -> Tensor:
        [vectors] = self.session.run([descriptions.OUTPUT], {descriptions.INPUT: images.cpu().numpy()})
        return torch.from_numpy(vectors)


@dataclass(frozen=True, eq=False)
class ProgramEncoder(ExportedEncoder):
    """A torch program (.pt2): torch runs it, nothing of bier is inside.

    It is code. Load only what you have made yourself: torch evaluates expressions in it, and may unpickle parts.
    """

    program: Any
    content: bytes = field(repr=False)
    """The file, from which it is made again in another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return ProgramEncoder.of, (self.content, "the torch program")

    @classmethod
    def load(cls, path: Path | str) -> ProgramEncoder:
        """Of a file of ``bier export --to torch``; raises as `OnnxEncoder.load`."""
        return cls.of(_read(path), path)

    @classmethod
    def of(cls, content: bytes, where: Path | str) -> ProgramEncoder:
        """The same, of the file's bytes; messages call it ``where``."""
        texts = {descriptions.FILE: ""}
        try:
            _check_archive(content)
            program = torch.export.load(io.BytesIO(content), extra_files=texts)
        except Exception as error:  # a damaged archive ends in many kinds of error
            raise _unusable(where, "torch program", error) from error
        return cls(descriptions.from_json(texts[descriptions.FILE], where), program.module(), content)

    def _run(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            vectors: Tensor = self.program(images.cpu())
        return vectors


def load_encoder(
    path: Path | str,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    *,
    trust_code: bool = False,
) -> Encoder | OnnxEncoder | ProgramEncoder:
    """What turns pictures into vectors, of a run's folder, a model file or an exported one.

    Args:
        path: of it.
        device: where it computes; exported files compute on the CPU.
        precision: of the backbone; exported files have their own.
        trust_code: load a torch program (.pt2) as well. It is code: torch may run any command in it while loading.

    Raises:
        ModelError: no such file, a damaged one, one of another kind, or code that is not trusted.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return OnnxEncoder.load(path)
    if suffix != PROGRAM_SUFFIX:
        return Encoder.load(path, device, precision)
    if not trust_code:
        raise ModelError(
            "is a torch program, and loading it may run any command that is hidden in it",
            where=path,
            remedy="use an ONNX file or the run itself; or, if you made the file yourself, add --trust-code",
        )
    return ProgramEncoder.load(path)


def refuse_other_files(content: bytes, where: Path | str) -> None:
    """Raise ModelError where an ONNX file keeps weights in other files, which may lie anywhere on this machine.

    Whatever it does so with, it has an entry with the key ``location``: a string in its first field.
    """
    place = content.find(b"location")
    while place >= 0:
        if _KEY.search(content, max(0, place - 24), place):
            raise ModelError(
                "keeps weights in other files, and these are not read",
                where=where,
                remedy="export the model again with `bier export --to onnx`, which writes one file",
            )
        place = content.find(b"location", place + 1)


_KEY = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)\Z")
"""What stands before it: the number of the field and a length of 8, each of which may be written longer."""


def _compare(session: Any, description: Mapping[str, Any], where: Path | str) -> None:
    """The graph's input and output with what the description says of them."""
    size, dimensions = description["image"]["size"], description["dimensions"]
    [*inputs], [*outputs] = session.get_inputs(), session.get_outputs()
    found = [(each.name, each.type, each.shape[1:]) for each in (*inputs, *outputs)]
    expected = [
        (descriptions.INPUT, "tensor(uint8)", [3, size, size]),
        (descriptions.OUTPUT, "tensor(float)", [dimensions]),
    ]
    if found != expected:
        raise ModelError(
            f"does not fit its own description: it has {found!r:.300}, not {expected}",
            where=where,
            remedy="export the model again",
        )


def _check_archive(content: bytes) -> None:
    """Compare a zip archive with its checksums, which torch does not look at."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def _read(path: Path | str, largest: float = math.inf) -> bytes:
    remedy = "give a file that `bier export` wrote"
    try:
        if not Path(path).is_file():
            raise ModelError("no such file", where=path, remedy=remedy)
        if (size := Path(path).stat().st_size) > largest:
            raise ModelError(f"has {size / 1e9:.1f} GB, too much for one ONNX file", where=path, remedy=remedy)
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}", where=path, remedy="check the file's permissions"
        ) from error


def _unusable(where: Path | str, kind: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"cannot be loaded as {kind} ({reason})", where=where, remedy="export the model again")
