"""Which ids a table may hold: hashes in memory, so that adding what is new need not read what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Read = Callable[[], Iterable[Sequence[str]]]


class KnownIds:
    """Hashes of a table's ids at one of its versions; some 60 bytes an id.

    Ids that were deleted may still count as known, and so may an id with the hash of another. Neither does harm: who
    asks looks them up.
    """

    def __init__(self) -> None:
        self._version = 0
        self._hashes: set[int] | None = None

    def among(self, ids: Sequence[str], version: int, read: Read) -> list[str]:
        """Those of the ids that may be in the table.

        Args:
            ids: to look for.
            version: of the table.
            read: gives all ids of the table; called if it has changed since the last time.
        """
        if self._hashes is None or self._version != version:
            self._hashes = {hash(name) for names in read() for name in names}
            self._version = version
        known = self._hashes
        return [name for name in ids if hash(name) in known]

    def changed(self, before: int, after: int, added: Sequence[str] = ()) -> None:
        """The table went from one version to another by nothing but this change."""
        if self._hashes is not None and self._version == before:
            self._hashes.update(map(hash, added))
            self._version = after
