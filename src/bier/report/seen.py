"""What a report may say of classes that training saw."""

from __future__ import annotations

from bier.records.metrics import Metrics


def classes_seen(metrics: Metrics) -> str:
    """The end of a sentence about classes: whether training saw them; empty where that is not known."""
    if metrics.split == "train":
        return " it was trained on"
    seen, all_of_them = metrics.classes_seen, metrics.classes
    if seen is None:
        return ""
    if not seen:
        return " held out to choose the epoch" if metrics.split == "val" else " it never saw"
    if seen >= all_of_them:
        return " it saw in training" if all_of_them == 1 else ", all of which it saw in training"
    return f", {seen:,} of which it saw in training"


def about_seen(metrics: Metrics) -> str:
    """A line for the page where the figures are not, or may not be, of new classes; else empty."""
    if metrics.split == "train":
        return "These are training pictures. The figures say little about other pictures."
    if metrics.classes_seen is None:
        return "Whether training saw these classes is not recorded. `bier evaluate` with the run finds out."
    if not metrics.classes_seen:
        return ""
    return (
        f"{_which(metrics)} among the training classes. So the figures tell how well known classes are found in new "
        "pictures. For new classes, keep the test classes out of training."
    )


def _which(metrics: Metrics) -> str:
    seen, all_of_them = metrics.classes_seen, metrics.classes
    if seen == all_of_them:
        return "The class is" if seen == 1 else f"All {all_of_them:,} classes are"
    return f"{seen:,} of the {all_of_them:,} classes {'is' if seen == 1 else 'are'}"
