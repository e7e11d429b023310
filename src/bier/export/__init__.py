"""A trained model for other programs: ONNX, a torch program, a folder for a model hub; and encoders that run them.

What needs torch is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bier.system.extras import importing_later

if TYPE_CHECKING:
    from bier.export.encoders import OnnxEncoder, ProgramEncoder, load_encoder
    from bier.export.folder import write_folder
    from bier.export.onnx import write_int8, write_onnx
    from bier.export.parity import Parity, sample
    from bier.export.program import write_program
    from bier.export.quantization import CALIBRATION, Comparison

__all__ = [
    "CALIBRATION",
    "Comparison",
    "OnnxEncoder",
    "Parity",
    "ProgramEncoder",
    "load_encoder",
    "sample",
    "write_folder",
    "write_int8",
    "write_onnx",
    "write_program",
]

_HOMES = {
    "CALIBRATION": "quantization",
    "Comparison": "quantization",
    "OnnxEncoder": "encoders",
    "Parity": "parity",
    "ProgramEncoder": "encoders",
    "load_encoder": "encoders",
    "sample": "parity",
    "write_folder": "folder",
    "write_int8": "onnx",
    "write_onnx": "onnx",
    "write_program": "program",
}

__getattr__ = importing_later(__name__, _HOMES)
