"""int8 for CPUs: the ranges of all tensors are read from real pictures, and what it costs is measured on real ones.

Static quantisation. Dynamic, which finds the ranges anew for every picture, is slower than float32 on convolutions.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bier.data import Manifest, image_loader
from bier.errors import DataError
from bier.evaluate import evaluate_retrieval
from bier.export import description as descriptions
from bier.export.encoders import OnnxEncoder
from bier.system.extras import need
from bier.system.files import storage_errors

CALIBRATION = 128
"""Pictures from which ranges are read."""

EVALUATION = 2000
"""Largest number of pictures on which Recall@K is measured, in whole classes."""

BATCH = 16
"""Pictures at once when speed is measured."""

INSIDE = "'backbone.network"
"""Where a node's scopes name it or a part of it, the node is quantised: normalisation and head stay exact."""


@dataclass(frozen=True)
class Comparison:
    """float32 against int8 on the same pictures."""

    pictures: int
    classes: int
    exact: Mapping[int, float]
    """Recall@K by K, 0 to 1, of float32."""
    int8: Mapping[int, float]
    speed: float
    """Pictures a second of int8 through those of float32, on this machine."""
    threads: int

    def lines(self) -> list[str]:
        recalls = (
            f"Recall@{k} {100 * value:.1f} → {100 * self.int8[k]:.1f} % ({100 * (self.int8[k] - value):+.1f})"
            for k, value in self.exact.items()
        )
        return [
            f"int8 on {self.pictures:,} pictures of {self.classes:,} classes: {', '.join(recalls)}",
            f"int8 is {self.speed:.1f}x as fast as float32, both in onnxruntime, {self.threads} threads, "
            f"batches of {BATCH}",
        ]


def quantize(graph: Any, calibration: Tensor) -> Any:
    """The graph with int8 weights, per channel, and uint8 activations in the backbone, as a new ``ModelProto``.

    Args:
        graph: of `bier.export.onnx.trace`.
        calibration: uint8 (n, 3, size, size).
    """
    onnx = need("onnx", "export")
    tools = need("onnxruntime.quantization", "export")
    # Shapes are inferred and batch norm is folded already; else the quantiser logs advice to do so.
    onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        tools.quantize_static(
            graph,
            str(out),
            _reader(tools, calibration),
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            nodes_to_exclude=[node.name for node in graph.graph.node if not _is_inside(node)],
        )
        return onnx.load(str(out))


def fingerprint(graph: Any, model: str) -> str:
    """sha256 of the model's own fingerprint and the quantised graph."""
    return hashlib.sha256(model.encode() + graph.graph.SerializeToString(deterministic=True)).hexdigest()


def compare(exact: OnnxEncoder, small: OnnxEncoder, manifest: Manifest) -> Comparison:
    """Recall@K and speed of both, each batch by the one and then by the other.

    Raises:
        DataError: nothing can be measured on these pictures.
    """
    manifest = whole_classes(manifest, EVALUATION)
    encoders = (exact, small)
    vectors: tuple[list[Tensor], list[Tensor]] = ([], [])
    seconds = [0.0, 0.0]
    labels: list[Tensor] = []
    for batch in image_loader(manifest, exact.transform, BATCH):
        if not len(batch):  # none can be read
            continue
        if not labels:  # the first call of a session is slow
            _ = [encoder.encode(batch.images) for encoder in encoders]
        labels.append(batch.labels)
        for number, encoder in enumerate(encoders):
            began = time.perf_counter()
            vectors[number].append(encoder.encode(batch.images))
            seconds[number] += time.perf_counter() - began
    if not labels:
        raise DataError(
            f"none of the {len(manifest):,} pictures for measuring int8 can be read",
            where=manifest.source,
            remedy="look at them with 'bier data check', or name others with --images",
        )
    truth = torch.cat(labels)
    recalls = [evaluate_retrieval(torch.cat(part), truth, metrics=["recall"]).recall for part in vectors]
    return Comparison(
        pictures=len(truth),
        classes=len(truth.unique()),
        exact=recalls[0],
        int8=recalls[1],
        speed=seconds[0] / seconds[1],
        threads=torch.get_num_threads(),
    )


def whole_classes(manifest: Manifest, limit: int) -> Manifest:
    """The first classes, two at least, that have no more than ``limit`` pictures together."""
    codes = manifest.codes()
    count = int((np.bincount(codes).cumsum() <= limit).sum())
    return manifest.take(codes < max(2, count))


def summary(calibration: int, comparison: Comparison) -> dict[str, Any]:
    """For the description inside the file."""
    return {
        "weights": "int8, symmetric, per output channel",
        "activations": "uint8, per tensor, ranges from calibration pictures",
        "float32": "normalisation and head",
        "calibration_pictures": calibration,
        "evaluation_pictures": comparison.pictures,
        "recall_float32": {str(k): value for k, value in comparison.exact.items()},
        "recall_int8": {str(k): value for k, value in comparison.int8.items()},
    }


def _is_inside(node: Any) -> bool:
    return any(INSIDE in item.value for item in node.metadata_props if item.key == "pkg.torch.onnx.name_scopes")


def _reader(tools: Any, images: Tensor) -> Any:
    batches: Iterator[Tensor] = iter(images.split(8))

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            batch = next(batches, None)
            return None if batch is None else {descriptions.INPUT: batch.numpy()}

    return Reader()
