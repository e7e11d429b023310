"""What training has brought, in a sentence: from what to what."""

from __future__ import annotations

from bier.records.difference import first_k, gain
from bier.records.metrics import Metrics, Row

UNTRAINED = ", untrained"
"""How the name of the embedding before training ends."""
REMEDY = "Try a lower optimizer.learning_rate, fewer optimizer.epochs, or more classes."


def verdict(metrics: Metrics) -> str:
    """From what to what, and whether it is more than chance."""
    return " ".join(filter(None, (change(metrics), judgement(metrics), REMEDY if made_worse(metrics) else "")))


def change(metrics: Metrics) -> str:
    """From the first row of the table to the trained embedding; the embedding alone where nothing earlier is known."""
    before, after = metrics.pretrained, metrics.ensemble
    k = first_k(after) if before is None else first_k(before, after)
    if before is None or k is None:
        return f"Recall@{min(after.recall)} {percent(after.recall[min(after.recall)])} %{_map_at_r(after)}."
    start, untrained = f"{percent(before.recall[k])} % ({before.name})", ""
    if metrics.untrained is not None and k in metrics.untrained.recall:
        untrained = f"; {_alone(metrics.untrained)}: {percent(metrics.untrained.recall[k])} %"
    return f"From {start} to {percent(after.recall[k])} % Recall@{k}{_map_at_r(before, after)}{untrained}."


def judgement(metrics: Metrics) -> str:
    """What the difference means, where it is not plainly a gain; else empty."""
    if worse := made_worse(metrics):
        return f"Training made it worse than {_listed(worse)}."
    if same := [row for row, gained in _gains(metrics) if gained == 0]:
        k = first_k(*same, metrics.ensemble)
        return f"Recall@{k} against {_listed(same)}: no difference that these {metrics.counted:,} pictures could show."
    return ""


def made_worse(metrics: Metrics) -> list[Row]:
    """The rows from before training that find more than the trained embedding does."""
    return [row for row, gained in _gains(metrics) if gained < 0]


def percent(share: float) -> str:
    """A share as a percentage with one decimal, without the sign."""
    return f"{100 * share:.1f}"


def _gains(metrics: Metrics) -> list[tuple[Row, int]]:
    before, after = (metrics.pretrained, metrics.untrained), metrics.ensemble
    known = [row for row in before if row is not None and first_k(row, after) is not None]
    return [(row, gain(row, after, metrics.counted)) for row in known]


def _alone(row: Row) -> str:
    return f"{row.name.removesuffix(UNTRAINED)} alone" if row.kind == "untrained" else row.name


def _listed(rows: list[Row]) -> str:
    return " and ".join(map(_alone, rows))


def _map_at_r(*rows: Row) -> str:
    values = [row.map_at_r for row in rows if row.map_at_r is not None]
    return f", MAP@R {' to '.join(map(percent, values))}" if len(values) == len(rows) else ""
