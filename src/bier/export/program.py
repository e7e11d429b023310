"""A torch program (.pt2): the graph as torch.export sees it, for Python and C++ without bier."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from bier.export import description as descriptions
from bier.export import parity
from bier.export.encoders import ProgramEncoder
from bier.export.onnx import cannot_export, example
from bier.export.parity import Parity
from bier.system.files import write_atomically
from bier.vectors.encoder import Encoder


def write_program(encoder: Encoder, out: Path, images: Tensor) -> Parity:
    """A file that is kept only if it agrees with the model on ``images``, uint8 (n, 3, size, size).

    Raises:
        ModelError: torch cannot export this backbone, or the file gives other vectors; nothing is left behind.
    """
    try:
        program = torch.export.export(
            encoder.model.cpu().eval(), (example(encoder),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
    except Exception as error:  # from the depths of the tracer
        raise cannot_export(encoder, error) from error
    program.example_inputs = None  # they would be pickled
    texts = {descriptions.FILE: descriptions.to_json(descriptions.describe_encoder(encoder))}
    content = io.BytesIO()  # a full disk would end torch's own writing in C++, where nobody can tell of it
    torch.export.save(program, content, extra_files=texts)
    found = parity.check(encoder, ProgramEncoder.of(content.getvalue(), out), images, out)
    write_atomically(out, lambda file: file.write_bytes(content.getbuffer()))
    return found
