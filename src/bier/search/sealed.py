"""JSON files beside an index that belong to its model: with a format, a checksum and the model's fingerprint."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bier.errors import SearchError
from bier.search.writers import index_error
from bier.system.files import write_json
from bier.system.json_files import read_object
from bier.system.json_values import one_of, record, text, whole


@dataclass(frozen=True)
class Sealed:
    """One kind of such files."""

    what: str
    """What it is, for messages."""
    name: str
    """Of the file."""
    format: str
    fields: Mapping[str, Callable[[Any, str], Any]]
    """What else it holds, checked as in `bier.system.json_values`."""
    remedy: str
    """Of a file that cannot be used."""

    def write(self, folder: Path, model: str, content: Mapping[str, Any]) -> None:
        """Put it into the folder of an index, whole or not at all.

        Raises:
            StorageError: the folder cannot be written.
        """
        whole = {"model": model, **content}
        write_json(folder / self.name, {"format": self.format, **whole, "checksum": _checksum(whole)})

    def read(self, folder: Path, model: str) -> dict[str, Any] | None:
        """The fields of the one in the folder of an index of this model; None if there is none.

        Raises:
            SearchError: it is damaged, or of another model.
            StorageError: it cannot be read.
        """
        file = folder / self.name
        sealed = {"format": one_of(self.format), "model": text(), "checksum": whole(0, 2**32)}
        try:
            content: dict[str, Any] = record({**sealed, **self.fields})(read_object(file), "")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self.refused(folder, f"cannot be used ({error})") from error
        except OSError as error:
            raise index_error(file, error) from error
        del content["format"]
        if content.pop("checksum") != _checksum(content):
            raise self.refused(folder, "is damaged: its checksum is another")
        if content.pop("model") != model:
            raise self.refused(folder, "is of another model than the index")
        return content

    def refused(self, folder: Path, what: str) -> SearchError:
        """The error of a file that cannot be used."""
        return SearchError(f"the {self.what} {what}", where=folder / self.name, remedy=self.remedy)


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
