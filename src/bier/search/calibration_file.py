"""``calibration.json`` in an index's folder: how sure its answers are, learned from the catalogue itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bier.confidence.calibration import Calibration, check_calibration
from bier.search.base import Index, IndexInfo
from bier.search.sealed import Sealed
from bier.search.writers import index_error
from bier.system.files import WhileUnchanged
from bier.system.json_values import number, object_of, whole
from bier.vectors.encoder import PictureEncoder

FILE = "calibration.json"


@dataclass(frozen=True)
class IndexCalibration:
    """What was learned from labelled pictures and the index, and how good it is."""

    calibration: Calibration
    pictures: int
    """Labelled pictures that it was learned from."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """By name, from pictures that it was not learned from."""


def write_calibration(folder: Path, info: IndexInfo, learned: IndexCalibration) -> None:
    """Put it into the folder of an index, whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = {
        "pictures": learned.pictures,
        "figures": dict(learned.figures),
        "calibration": learned.calibration.to_json(),
    }
    _SEALED.write(folder, info.model, content)


def read_calibration(folder: Path, info: IndexInfo) -> IndexCalibration | None:
    """The one in the folder of an index; None if there is none.

    Raises:
        SearchError: it is damaged, or of another model.
        StorageError: it cannot be read.
    """
    content = _SEALED.read(folder, info.model)
    if content is None:
        return None
    try:
        learned = Calibration.from_json(content["calibration"])
    except ValueError as error:
        raise _SEALED.refused(folder, f"cannot be used ({error})") from error
    if learned.sizes != info.sizes:
        raise _SEALED.refused(folder, "is of another model than the index")
    return IndexCalibration(learned, content["pictures"], content["figures"])


def remove_calibration(folder: Path) -> bool:
    """Take it away; False if there was none.

    Raises:
        StorageError: the folder cannot be written.
    """
    file = folder / FILE
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise index_error(file, error) from error
    return True


class CurrentCalibration:
    """The calibration that answers of an index are judged by: its own, or else the model's.

    One that `bier calibrate` writes meanwhile is taken up.

    Args:
        index: open.
        encoder: the index's model. What it has learned counts where the index stores all its learners.
    """

    def __init__(self, index: Index, encoder: PictureEncoder) -> None:
        models = encoder.calibration
        self._models = models if models is not None and models.sizes == index.info.sizes else None
        self._own = WhileUnchanged(index.folder / FILE, lambda: read_calibration(index.folder, index.info))

    def __call__(self) -> Calibration | None:
        """The calibration; None if there is none.

        Raises:
            SearchError: the index's own is damaged.
        """
        own = self._own()
        return self._models if own is None else own.calibration


_SEALED = Sealed(
    "calibration",
    FILE,
    "bier-index-calibration-1",
    {"pictures": whole(0, 10**12), "figures": object_of(number(-1e6, 1e6)), "calibration": check_calibration},
    remedy="repeat `bier calibrate`, or take the calibration away: bier calibrate INDEX --remove",
)
