"""Where a run of the tests comes from."""

from __future__ import annotations

from typing import Any

from bier.records.provenance import Provenance


def provenance(**changes: Any) -> Provenance:
    """Of a run that is complete, with ``changes`` to its fields."""
    content = {
        "format": "bier-run-1",
        "command": "bier train data/cub100 --set seed=0",
        "started": "2026-11-26T13:10:00Z",
        "seed": 0,
        "device": "cpu",
        "threads": 4,
        "processes": 1,
        "platform": "Linux x86_64, Python 3.11.9",
        "cores": 8,
        "versions": {"bier-dml": "0.1.0", "torch": "2.15.0", "torchcodec": None},
        "parameters": 5304284,
        "data": {
            "path": "/pictures/cub100",
            "source": "cub100",
            "protocol": "self",
            "fingerprint": "9f8a6c21d0",
            "images": {"test": 2953, "train": 2949},
            "classes": 100,
        },
        "backbone": {"name": "efficientnet_lite0", "mean": [0.5] * 3, "std": [0.5] * 3, "pooling": "gem"},
        "seconds": 3120.5,
        "best_epoch": 7,
        "unreadable": [],
        "finished": "2026-11-26T14:02:00Z",
    }
    return Provenance.of(content | changes)
