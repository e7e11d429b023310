"""Numbers and runs in words: the headline, the facts of a run, where it came from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bier.data.references import is_reference, short_name
from bier.records.difference import gain
from bier.records.metrics import Metrics, Row
from bier.records.run import RunRecords
from bier.records.verdict import REMEDY, change, judgement, made_worse
from bier.report.seen import classes_seen
from bier.system.waiting import in_words

PROTOCOLS = {
    "self": "every picture searches all others",
    "query-gallery": "queries search a separate gallery",
    "vehicleid-draws": "one picture of each class makes the gallery",
    "vehicleid-leave-one-out": "every picture searches all others",
}


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal, without the sign."""
    return f"{100 * value:.1f}" if math.isfinite(value) else "–"


def with_sign(value: float) -> str:
    return f"{percent(value)}\u00a0%"


def number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def words(label: str) -> str:
    """A class name as a person writes it."""
    return label.replace("_", " ").strip()


def folder_and_name(image: str) -> str:
    """A picture's file and the folder it is in; for one inside another file, that file and where in it."""
    return short_name(image) if is_reference(image) else "/".join(Path(image).parts[-2:])


def letter(index: int) -> str:
    """The short name of a run in charts: A, B, C ..."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def shown(value: Any) -> str:
    """A setting as a person writes it."""
    if value is None or value == {} or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(shown(entry) for entry in value) if isinstance(value, list) else str(value)


def flatten(record: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings as (dotted name, value)."""
    for key, value in record.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def headline(run: RunRecords) -> str:
    """From what to what, and plainly where that is no gain; what it finds, where its start is not known."""
    if run.metrics.pretrained is None:
        return _meaning(run)
    worse = f"{judgement(run.metrics)} " if made_worse(run.metrics) else ""
    return _unbroken(worse + change(run.metrics))


def lead(run: RunRecords) -> str:
    """What the headline's figure means, and what to do where training brought nothing; empty with nothing to add."""
    if run.metrics.pretrained is None:
        return ""
    return f"{_meaning(run)} {REMEDY if made_worse(run.metrics) else judgement(run.metrics)}".strip()


def _meaning(run: RunRecords) -> str:
    metrics, k = run.metrics, min(run.metrics.ensemble.recall)
    return f"{_method(run)} finds {_found(k)} for {_recall(metrics.ensemble, k)} of {_asked(metrics)}."


def compared(runs: Sequence[RunRecords]) -> str:
    """What several runs achieved beside each other, with a first place only where the pictures show one."""
    if not comparable(runs):
        return f"{len(runs)} runs, measured on different pictures. Compare each with its own start only."
    best = max(runs, key=first_recall)
    rows, counted = {id(run): run.metrics.ensemble for run in runs}, best.metrics.counted
    leaders = [run for run in runs if gain(rows[id(run)], rows[id(best)], counted) == 0]
    others = sorted((first_recall(run) for run in runs if run not in leaders), reverse=True)
    k = min(best.metrics.ensemble.recall)
    start = _start_of(runs)
    achieved = f"From {start} to {_achieved(leaders)} Recall@{k}." if start else f"Recall@{k}: {_achieved(leaders)}."
    if len(leaders) == 1:
        return f"“{best.name}” is the best of {len(runs)} runs. {achieved}{_rest(others)}"
    between = "Between them" if not others else f"Between these {len(leaders)} of {len(runs)} runs"
    return f"{achieved} {between}: no difference that these {counted:,} pictures could show.{_rest(others)}"


def _start_of(runs: Sequence[RunRecords]) -> str:
    """Where all of them began, as far as that is known."""
    before = [run.metrics.pretrained for run in runs]
    rows = [row for row in before if row is not None and row.recall]
    if len(rows) < len(runs):
        return ""
    return f"{_range([row.recall[min(row.recall)] for row in rows])} ({rows[0].name})"


def _achieved(leaders: Sequence[RunRecords]) -> str:
    if len(leaders) == 1:
        return with_sign(first_recall(leaders[0]))
    if len(leaders) > 3:
        return _range([first_recall(run) for run in leaders])
    return listed([f"{with_sign(first_recall(run))} (“{run.name}”)" for run in leaders])


def _range(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), with_sign(max(shares))
    return high if percent(max(shares)) == low else f"{low}–{high}"


def _unbroken(text: str) -> str:
    """Without a line break between a number and its sign."""
    return text.replace(" %", "\u00a0%")


def _found(k: int) -> str:
    return "a right match first" if k == 1 else f"a right match among the first {k}"


def _rest(others: Sequence[float]) -> str:
    if not others:
        return ""
    if len(others) > 3:
        return f" The others: {percent(others[-1])} to {with_sign(others[0])}."
    return f" The {'other' if len(others) == 1 else 'others'}: {listed([with_sign(value) for value in others])}."


def comparable(runs: Sequence[RunRecords]) -> bool:
    """Whether all runs answered the same queries with the same K."""
    asked = {
        (m.source, m.split, m.protocol, m.queries, m.gallery, m.classes, min(m.ensemble.recall))
        for m in (run.metrics for run in runs)
    }
    known = {run.metrics.data for run in runs} - {""}  # older files lack it
    return len(asked) == 1 and len(known) <= 1


def first_recall(run: RunRecords) -> float:
    """Recall of the ensemble at its smallest K."""
    return next(iter(run.metrics.ensemble.recall.values()))


def _method(run: RunRecords) -> str:
    if not run.config:
        return "The model"
    if len(run.metrics.learners) == 1:
        return "One plain embedding"
    return "An ensemble without boosting" if run.setting("loss.schedule") == "independent" else "BIER"


def _asked(metrics: Metrics) -> str:
    asked = f"{count(metrics.queries, 'picture')} of {count(metrics.classes, 'class', 'classes')}"
    return f"{asked}{classes_seen(metrics)}"


def _recall(row: Row, k: int) -> str:
    return with_sign(row.recall.get(k, math.nan))


def facts(run: RunRecords) -> list[tuple[str, str]]:
    """What was run, as a few terms and plain words."""
    found = [
        ("Data", _data(run.metrics)),
        ("Embedding", _embedding(run)),
        ("Loss", _loss(run)),
        ("Learners kept apart by", _diversity(run)),
        ("Training", _training(run)),
        ("Seed", shown(run.provenance.seed if run.provenance else run.metrics.seed)),
    ]
    return [(term, text) for term, text in found if text]


def _data(metrics: Metrics) -> str:
    gallery = "" if metrics.gallery == metrics.queries else f" against a gallery of {metrics.gallery:,}"
    draws = "" if metrics.draws == 1 else f", mean of {metrics.draws} draws"
    asked = f"{count(metrics.queries, 'query', 'queries')}{gallery}, {count(metrics.classes, 'class', 'classes')}"
    how = PROTOCOLS.get(metrics.protocol, metrics.protocol)
    return f"{metrics.source}, {metrics.split} split: {asked}; {how}{draws}"


def _embedding(run: RunRecords) -> str:
    sizes = [row.dimensions for row in run.metrics.learners]
    text = count(run.metrics.ensemble.dimensions, "dimension")
    if len(sizes) > 1:
        boosted = "" if run.setting("loss.schedule") == "independent" else " in the order of boosting"
        order = " in the order of strength" if turned(run) else boosted
        text += f" = {' + '.join(map(str, sizes))}, {len(sizes)} learners{order}"
    backbone = run.setting("model.backbone")
    starts = {"whitening": "; the head started from learned whitening", "random": "; the head started at random"}
    return f"{text}, on {backbone}{starts.get(str(run.setting('model.start')), '')}" if backbone else text


def _loss(run: RunRecords) -> str:
    name, schedule = run.setting("loss.name"), run.setting("loss.schedule")
    if not name or len(run.metrics.learners) < 2:
        return words(str(name or ""))
    if schedule == "independent":
        return f"{words(str(name))}, each learner on its own, without boosting"
    shrinkage = run.setting("loss.shrinkage")
    details = [f"schedule {schedule}"] if schedule else []
    details += [] if shrinkage is None else [f"shrinkage {shown(shrinkage)}"]
    return ", ".join([f"{words(str(name))}, boosted", *details])


def _diversity(run: RunRecords) -> str:
    kind = run.setting("diversity.loss")
    if not kind or len(run.metrics.learners) < 2:
        return ""
    before = ["as initialisation"] if run.setting("diversity.initialize") else []
    during = ["during training"] if run.setting("diversity.during_training") else []
    if kind == "none" or not before + during:
        return "boosting alone" if run.setting("loss.schedule") != "independent" else "nothing"
    return f"the {'activation and the adversarial' if kind == 'both' else kind} loss, {listed(before + during)}"


def _training(run: RunRecords) -> str:
    epochs = sum(epoch.epoch > 0 for epoch in run.history)
    parts = [count(epochs, "epoch") if epochs else "no training"] if run.history else []
    classes, images = run.setting("data.classes_per_batch"), run.setting("data.images_per_class")
    if classes and images:
        parts.append(f"batches of {classes} classes × {images} pictures")
    if run.setting("image.size"):
        parts.append(f"{run.setting('image.size')} px")
    if run.provenance:
        parts += [] if run.provenance.seconds is None else [in_words(run.provenance.seconds)]
        parts.append(f"on {run.provenance.device}")
    return ", ".join(parts)


def turned(run: RunRecords) -> bool:
    """Whether its head was turned after training, so that its learners are no longer those that were trained."""
    refit = run.provenance.refit if run.provenance else None
    return refit is not None and refit.rotated


def sharing(run: RunRecords) -> str:
    """How the learners were trained beside each other, and what they hold now."""
    after = " After training, the head was turned: the first learner holds the strongest directions of all of them."
    return _trained_beside(run) + (after if turned(run) else "")


def _trained_beside(run: RunRecords) -> str:
    schedule = run.setting("loss.schedule")
    if schedule == "independent":
        return "The learners were trained side by side, each on its own: nothing was boosted."
    if schedule is None:
        return "How the learners were trained is not recorded. They pay if they make different mistakes."
    if schedule == "stagewise":
        goal = "Each learns what those before it, together, still lack."
    else:
        goal = "Each gives most weight to the pairs that those before it, together, handle badly."
    return (
        f"The learners are trained one after the other inside every batch. {goal} "
        "That pays if they make different mistakes. Then their similarities correlate little."
    )


def dimension_correlation(metrics: Metrics) -> list[tuple[str, str]]:
    """Mean absolute correlation of output dimensions, as terms and numbers."""
    names = {
        "between_learners_mean_abs": "in different learners",
        "within_learners_mean_abs": "in the same learner",
        "features_mean_abs": "any two",
    }
    means = [(name, getattr(metrics.correlation, key, None)) for key, name in names.items()]
    return [(name, f"{mean:.3f}") for name, mean in means if mean is not None and math.isfinite(mean)]


def origin(run: RunRecords) -> list[tuple[str, list[tuple[str, str]]]]:
    """Provenance as titled lists of (name, value)."""
    record = run.provenance.as_dict() if run.provenance else {}
    plain = [(key, shown(value)) for key, value in record.items() if not isinstance(value, dict)]
    groups = [("run", [("evaluated", run.metrics.created), *plain])]
    groups += [
        (key, [(name, shown(entry)) for name, entry in flatten(value)])
        for key, value in record.items()
        if isinstance(value, dict)
    ]
    return [(title.capitalize(), [row for row in rows if row[1]]) for title, rows in groups if rows]
