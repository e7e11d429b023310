"""Models on a model hub: ``hub:OWNER/NAME`` is fetched, a model folder is pushed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bier.errors import ConfigError, ModelError
from bier.system.extras import need
from bier.system.tensors import MODEL_FILE

PREFIX = "hub:"
FILES = (MODEL_FILE, "config.json", "README.md")
"""What a model folder on a hub consists of; nothing else is pushed or fetched."""

_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def local_path(model: Path | str) -> Path:
    """Where a model lies: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION`` in the hub client's cache, fetched if it
    is not there or no longer the newest; anything else as it is.

    Raises:
        ModelError: no such model, no permission, or the hub cannot be reached and the model was never fetched.
        ConfigError: not a name of this form.
    """
    text = str(model)
    if not text.startswith(PREFIX):
        return Path(model)
    name, _, revision = text.removeprefix(PREFIX).partition("@")
    client = need("huggingface_hub", "export")
    _check_name(name, text)
    try:
        return Path(client.snapshot_download(name, revision=revision or None, allow_patterns=list(FILES)))
    except Exception as error:  # the hub's client has a tree of errors, and its transport another
        raise ModelError(
            f"cannot be fetched ({_reason(error)})",
            where=text,
            remedy="check the name, the network, and for a private model your token (hf auth login, or HF_TOKEN)",
        ) from error


def absolute(model: Path | str) -> str:
    """A model's place as it can be written down: a hub's name as it is, a path from the root."""
    return str(model) if str(model).startswith(PREFIX) else str(Path(model).resolve())


def push(folder: Path, name: str, *, public: bool = False, files: Sequence[str] = FILES) -> str:
    """Upload a model folder as one commit, making the repository (private unless ``public``) if there is none.

    Returns:
        the commit's address.

    Raises:
        ModelError: no permission, or the hub cannot be reached.
        ConfigError: not a name of the form OWNER/NAME.
    """
    client = need("huggingface_hub", "export")
    _check_name(name, "--push")
    hub = client.HfApi()
    try:
        hub.create_repo(name, private=not public, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=list(files), commit_message="Upload a BIER model"
        )
    except Exception as error:  # as above
        raise ModelError(
            f"cannot be pushed ({_reason(error)})",
            where=name,
            remedy=f"check the network and your token (hf auth login, or HF_TOKEN), and repeat; {folder} is complete",
        ) from error
    return str(commit.commit_url)


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a model's name on a hub", where=where, remedy="write OWNER/NAME")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
