"""A model folder as hubs want it: the weights, a description, a model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from torch import Tensor

from bier.errors import ConfigError
from bier.export import description as descriptions
from bier.export import parity
from bier.export.card import model_card
from bier.export.parity import Parity
from bier.network.hub import FILES
from bier.system.files import is_free, write_atomically, write_json, write_text
from bier.vectors.encoder import Encoder

WEIGHTS, DESCRIPTION, CARD = FILES


def write_folder(encoder: Encoder, model: Path, out: Path, images: Tensor, name: str | None = None) -> Parity:
    """Fill ``out``; a folder that ``bier export`` filled before is filled anew.

    Args:
        encoder: of ``model``.
        model: a run's folder (its settings and figures go into the card) or a model file.
        out: the folder.
        images: uint8 (n, 3, size, size), for parity.
        name: OWNER/NAME on the hub, if the card shall say how to load it from there.

    Raises:
        ConfigError: ``out`` holds something else.
        ModelError: the copied weights give other vectors.
    """
    _refuse_foreign(out)
    file = model / WEIGHTS if model.is_dir() else model
    run = model if model.is_dir() else model.parent
    found: list[Parity] = []

    def copy(beside: Path) -> None:
        shutil.copyfile(file, beside)
        found.append(parity.check(encoder, Encoder.load(beside), images, out))

    write_atomically(out / WEIGHTS, copy)
    write_json(out / DESCRIPTION, {"library_name": "bier", **descriptions.describe_encoder(encoder)})
    write_text(out / CARD, model_card(encoder, run, name))
    return found[0]


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and not is_free(out) and not _is_ours(out / DESCRIPTION):
        raise ConfigError("holds other things already", where=out, remedy="give a new or empty folder as --out")


def _is_ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["format"] == descriptions.FORMAT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
