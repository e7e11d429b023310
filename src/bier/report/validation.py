"""By which figures an epoch was chosen."""

from __future__ import annotations

import math

from bier.records.history import Epoch
from bier.records.run import RunRecords
from bier.report.charts import chosen_epoch
from bier.report.wording import percent, with_sign


def choice(run: RunRecords) -> str:
    """Which epoch was kept, by what, and what the refit of its head brought; empty where nothing was validated."""
    kept = chosen_epoch(run.history)
    if kept is None:
        return ""
    if not kept.epoch:
        return f"Nothing was trained. On the validation classes {_figures(kept)}."
    sentences = [
        f"Epoch {kept.epoch} of {len(run.history)} was kept (dotted line).",
        "It is the last one that is not clearly worse than the best.",
        f"{_judges(run)} decide that, by MAP@R.",
        f"After this epoch {_figures(kept)} on them.",
        _refit(run),
        "Test pictures had no say.",
    ]
    return " ".join(filter(None, sentences))


def _judges(run: RunRecords) -> str:
    seen = run.provenance.data.classes_seen if run.provenance else None
    if not seen or "val" not in seen:
        return "Validation classes"
    return "Validation classes, of which training sees some," if seen["val"] else "Classes held out of training"


def _figures(epoch: Epoch) -> str:
    recall = f"Recall@1 is {with_sign(epoch.validation_recall)}"
    if math.isnan(epoch.validation_map_at_r):
        return recall
    return f"MAP@R is {with_sign(epoch.validation_map_at_r)} and {recall}"


def _refit(run: RunRecords) -> str:
    refit = run.provenance.refit if run.provenance else None
    if refit is None or not (done := refit.in_words()):
        return ""
    return f"Then the head was {done}: MAP@R {percent(refit.before)} to {with_sign(refit.after)} on these classes."
