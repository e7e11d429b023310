"""A real run, with all its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console

from bier.runs import tries
from bier.settings.schema import Config


@pytest.fixture(scope="session")
def real_run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best of two small runs on photographs of birds: it has every file that a run can have."""
    work = tmp_path_factory.mktemp("records")
    some_birds(photographs, work / "photos", classes=8, images=5)
    config = Config().replace(
        image__size=48,
        optimizer__epochs=2,
        optimizer__freeze=8,
        data__classes_per_batch=2,
        data__images_per_class=2,
        data__workers=0,
        data__validation_classes=0.5,
        model__sizes=(8, 16),
        hardware__threads=1,
    )
    quiet = Console(quiet=True)
    tries.train(str(work / "photos"), config, ["optimizer.learning_rate=1e-5,1e-4"], work / "run", quiet)
    return work / "run"
