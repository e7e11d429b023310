"""An index of pictures' vectors: one protocol, several engines.

    index = create_index("shop-index", IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales))
    index.add(ids, vectors, [{"image": path, "label": label}, ...])
    index.search(queries, top=10, where={"label": ["boots", "shoes"]})

What needs torch is imported when it is first asked for, so that opening an index stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bier.search.base import Hit, Index, IndexInfo, Record, Rows
from bier.search.folder import create_index, open_index, read_info
from bier.system.extras import importing_later

if TYPE_CHECKING:
    from bier.search.calibrating import calibrate_index
    from bier.search.calibration_file import CurrentCalibration, write_calibration
    from bier.search.confident import Answer, ConfidentSearch
    from bier.search.queries import (
        Learners,
        check_model,
        choose_learners,
        load_encoder,
        parse_learners,
        query_vectors,
    )
    from bier.search.rebuild import go_back, rebuild_index
    from bier.search.staged import StagedSearch

__all__ = [
    "Answer",
    "ConfidentSearch",
    "CurrentCalibration",
    "Hit",
    "Index",
    "IndexInfo",
    "Learners",
    "Record",
    "Rows",
    "StagedSearch",
    "calibrate_index",
    "check_model",
    "choose_learners",
    "create_index",
    "go_back",
    "load_encoder",
    "open_index",
    "parse_learners",
    "query_vectors",
    "read_info",
    "rebuild_index",
    "write_calibration",
]

_LATER = {
    "Answer": "confident",
    "ConfidentSearch": "confident",
    "CurrentCalibration": "calibration_file",
    "calibrate_index": "calibrating",
    "Learners": "queries",
    "StagedSearch": "staged",
    "check_model": "queries",
    "choose_learners": "queries",
    "go_back": "rebuild",
    "load_encoder": "queries",
    "parse_learners": "queries",
    "query_vectors": "queries",
    "rebuild_index": "rebuild",
    "write_calibration": "calibration_file",
}

__getattr__ = importing_later(__name__, _LATER)
