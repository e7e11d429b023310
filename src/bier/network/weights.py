"""Files of weights: read without unpickling, loaded strictly, fetched where there is a network."""

from __future__ import annotations

import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bier.errors import ModelError
from bier.network.backbone import LITE0
from bier.system.tensors import refuse_non_finite


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; nothing in it is executed, and they take no more memory than the file is large.

    Raises:
        ModelError: no such file, a damaged one, or tensors that are not finite.
    """
    if not path.is_file():
        raise ModelError(
            "no such file of weights",
            where=path,
            remedy="give an existing .safetensors or .pth file, 'default' or 'none'",
        )
    _refuse_packed(path)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # damaged files end in errors of the zip, pickle and safetensors readers
        raise ModelError(
            "not a file of weights, or a damaged one",
            where=path,
            remedy="fetch it again, or export it as .safetensors",
        ) from error
    for key in ("state_dict_ema", "state_dict", "model"):
        state = state[key] if isinstance(state, Mapping) and isinstance(state.get(key), Mapping) else state
    if not isinstance(state, Mapping) or not all(map(_is_named_tensor, state.items())):
        raise ModelError(
            "does not hold tensors by name",
            where=path,
            remedy="save model.state_dict() alone",
        )
    refuse_non_finite(state.items(), path)
    return {key.removeprefix("_orig_mod.").removeprefix("module."): tensor for key, tensor in state.items()}


def _refuse_packed(path: Path) -> None:
    """Raise ModelError where a file grows when it is read: torch writes archives that are not compressed."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch says what is wrong with it
    if unpacked > path.stat().st_size:
        raise ModelError(
            f"is a compressed archive, of {unpacked:,} bytes when it is unpacked",
            where=path,
            remedy="save it again with torch.save, or export it as .safetensors",
        )


def _is_named_tensor(item: tuple[object, object]) -> bool:
    """Whether it is a name and a tensor whose entries are all there: not sparse, nor one entry said to be many."""
    name, tensor = item
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        return False
    there = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return there and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def without(state: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.startswith(prefixes)}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise foreign(name, path) from error


def foreign(name: str, path: Path) -> ModelError:
    return ModelError(
        f"not the weights of {name}: names or shapes of tensors differ",
        where=path,
        remedy="name the backbone that the file was made for as model.backbone",
    )


def require(url: str, name: str, *, offline: bool = False) -> None:
    """Fail at once where weights cannot be fetched, not after the minutes of retries that their clients allow."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set")
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return  # an answer, whatever it is
    except OSError as error:
        raise not_fetched(name, url, error) from error


_PATIENCE = 5.0
"""Seconds to wait for the first answer of a server."""


def not_fetched(name: str, source: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"its weights could not be fetched from {source} ({reason})",
        where=name,
        remedy=f"give weights as the path of a local file, or use {LITE0}, whose weights are installed with bier",
    )
