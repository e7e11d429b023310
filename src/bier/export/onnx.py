"""ONNX: one file with the graph from uint8 pixels to the vector, for any batch size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bier.data import Manifest
from bier.errors import ModelError
from bier.export import description as descriptions
from bier.export import parity, quantization
from bier.export.encoders import OnnxEncoder
from bier.export.parity import Parity
from bier.export.quantization import Comparison
from bier.system.extras import need
from bier.system.files import write_atomically
from bier.vectors.encoder import Encoder

PRODUCER = "bier"


def write_onnx(encoder: Encoder, out: Path, images: Tensor) -> Parity:
    """A float32 file, kept only if it agrees with the model on ``images``, uint8 (n, 3, size, size).

    Raises:
        ModelError: torch cannot export this backbone, or the file gives other vectors; nothing is left behind.
    """
    graph = trace(encoder)
    content = finish(graph, _describe(encoder, graph))
    found = parity.check(encoder, OnnxEncoder.of(content, out), images, out)
    write_atomically(out, lambda file: file.write_bytes(content))
    return found


def write_int8(
    encoder: Encoder, out: Path, images: Tensor, calibration: Tensor, evaluation: Manifest
) -> tuple[Parity, Comparison]:
    """An int8 file for CPUs.

    Args:
        encoder: the model.
        out: the file.
        images: on which the float32 graph, before it is quantised, must agree with the model.
        calibration: uint8 (n, 3, size, size), from which the range of every tensor is read.
        evaluation: labelled pictures for what it costs in Recall@K.

    Returns:
        the parity of the float32 graph, and float32 against int8. int8 vectors are not those of the model: they have
        a fingerprint of their own and need an index of their own.

    Raises:
        ModelError: as `write_onnx`.
    """
    graph = trace(encoder)
    described = _describe(encoder, graph)
    exact = OnnxEncoder.of(finish(graph, described, keep_scopes=True), out)
    found = parity.check(encoder, exact, images, out)
    small = quantization.quantize(graph, calibration)
    described |= {"fingerprint": quantization.fingerprint(small, encoder.fingerprint)}
    comparison = quantization.compare(exact, OnnxEncoder.of(finish(small, described), out), evaluation)
    described |= {"quantization": quantization.summary(len(calibration), comparison)}
    content = finish(small, described)
    write_atomically(out, lambda file: file.write_bytes(content))
    return found, comparison


def trace(encoder: Encoder) -> Any:
    """The graph as an ``onnx.ModelProto``, whose nodes still say which module they come from.

    The model is moved to the CPU.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):  # before the work, not after it
        need(package, "export")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # inside torch's own exporter
        warnings.simplefilter("ignore", FutureWarning)
        try:
            program = torch.onnx.export(
                encoder.model.cpu().eval(),
                (example(encoder),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                input_names=[descriptions.INPUT],
                output_names=[descriptions.OUTPUT],
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise cannot_export(encoder, error) from error
    assert program is not None
    return program.model_proto


def example(encoder: Encoder) -> Tensor:
    """Two pictures: a batch of one would be taken for a constant."""
    size = encoder.transform.size
    return torch.zeros(2, 3, size, size, dtype=torch.uint8)


def finish(graph: Any, described: Mapping[str, Any], *, keep_scopes: bool = False) -> bytes:
    """The file's content, with the description and without what the exporter noted on nodes: paths of this machine."""
    if not keep_scopes:
        for part in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.value_info):
            del part.metadata_props[:]
    graph.producer_name = PRODUCER
    del graph.metadata_props[:]
    described = {**described, "checksum": descriptions.NO_CHECKSUM}
    graph.metadata_props.add(key=descriptions.KEY, value=descriptions.to_json(described))
    return descriptions.seal(graph.SerializeToString(deterministic=True))


def cannot_export(encoder: Encoder, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"torch cannot export this backbone ({reason})",
        where=encoder.model.backbone.name,
        remedy="use --to safetensors-hub, which needs no export, or train with another backbone",
    )


def _describe(encoder: Encoder, graph: Any) -> dict[str, Any]:
    opset = next(item.version for item in graph.opset_import if item.domain == "")
    return descriptions.describe_encoder(encoder) | {"opset": opset}
