"""Pictures that were uploaded and marked, kept for training: one file each, up to so many bytes in all."""

from __future__ import annotations

import threading
from pathlib import Path

from bier.errors import StorageError
from bier.system.files import storage_errors, tidy, write_atomically

SUFFIX = ".jpg"


class KeptUploads:
    """A folder of JPEGs, each named by the SHA-256 of the upload that it was made from.

    Args:
        folder: is made if it is not there.
        most_bytes: of all files in it.

    Raises:
        StorageError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most = folder, most_bytes
        self._lock = threading.Lock()
        with storage_errors(folder, "uploads cannot be kept there"):
            folder.mkdir(parents=True, exist_ok=True)
            tidy(folder)
            self._bytes = self._counted()

    def has(self, sha256: str) -> bool:
        return self._file(sha256).is_file()

    def keep(self, sha256: str, jpeg: bytes) -> None:
        """Write a picture, once.

        Raises:
            StorageError: the limit is reached, or the disk is full. Nothing is written then.
        """
        with self._lock:
            if self.has(sha256):
                return
            if self._bytes + len(jpeg) > self._most:  # unless somebody has moved pictures away
                with storage_errors(self._folder, "kept pictures cannot be counted"):
                    self._bytes = self._counted()
            if self._bytes + len(jpeg) > self._most:
                remedy = "whoever runs the server can raise --keep-uploads-limit, or move kept pictures away"
                raise self._not_kept(f"those that are kept may take {self._most / 1e6:g} MB in all", remedy)
            try:
                write_atomically(self._file(sha256), lambda file: file.write_bytes(jpeg))
            except StorageError as error:
                remedy = "whoever runs the server can free some space, or check the folder of kept pictures"
                raise self._not_kept(error.what, remedy) from error
            self._bytes += len(jpeg)

    def remove(self, sha256: str) -> None:
        """Forget a picture, if it is there; raises StorageError where it cannot be removed."""
        file = self._file(sha256)
        with self._lock, storage_errors(file, "cannot be removed"):
            if file.is_file():
                size = file.stat().st_size
                file.unlink()
                self._bytes -= size

    def _counted(self) -> int:
        """Bytes of all files in the folder."""
        return sum(file.stat().st_size for file in self._folder.glob(f"*{SUFFIX}"))

    def _not_kept(self, why: str, remedy: str) -> StorageError:
        return StorageError(f"the mark is saved, but its picture is not kept: {why}", where=self._folder, remedy=remedy)

    def _file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{SUFFIX}"
