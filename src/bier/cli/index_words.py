"""What commands say of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bier.search import Index


def searches(opened: Index) -> str:
    """How an index is searched, and what that finds."""
    from bier.search.approximate import ApproximateIndex
    from bier.search.measured import in_words

    known = opened.approximation if isinstance(opened, ApproximateIndex) else None
    if known is None or known.wanted == 1:
        return "exact"
    if known.setting is None:
        best = f"; the best setting reached {known.best:.4f}" if known.best is not None else ""
        return f"exact: recall@10 of {known.wanted:g} was asked for and not reached{best}"
    if known.recall is None:
        return "approximate, recall not measured: the approximate index was being built; run `bier index tune`"
    return (
        f"approximate, recall@10 {known.recall:.4f} ({known.wanted:g} asked for; {known.queries:,} queries "
        f"at {known.pictures:,} pictures; {in_words(known.setting)})"
    )


def within_filters(opened: Index) -> dict[str, str]:
    """The same of searches with filters, a line of `bier index info`; nothing where all are exact."""
    from bier.search.approximate import FEW, ApproximateIndex

    known = opened.approximation if isinstance(opened, ApproximateIndex) else None
    if known is None or known.setting is None or opened.count() <= FEW:
        return {}
    found = [f"{FEW:,} pictures or fewer exact"]
    for one in reversed(known.within):
        part = f"{100 * one.share:.0f} % of the pictures"
        best = f" (the best setting reached {one.best:.4f})" if one.best is not None else ""
        found.append(f"{part} exact{best}" if one.recall is None else f"{part} recall@10 {one.recall:.4f}")
    if not known.within:
        found.append("more: recall not measured; run `bier index tune`")
    return {"filters": "; ".join(found)}


def in_stages(opened: Index) -> dict[str, str]:
    """The same of searches in stages, a line of `bier index info`; nothing before the first one."""
    from bier.search.shortlist import in_words, known

    measured = known(opened.folder)
    return {} if measured is None else {"stages": in_words(measured)}


def recall_of_stages(recall: float | None, staged: bool) -> float:
    """What ``--recall`` asks for beside ``--staged``.

    Raises:
        ConfigError: it stands without ``--staged``.
        SearchError: it is out of range.
    """
    from bier.errors import ConfigError
    from bier.search.approximate import USUAL_RECALL
    from bier.search.shortlist import check_recall

    if recall is None:
        return USUAL_RECALL
    if not staged:
        remedy = "add --staged; the recall of other searches is chosen by `bier index tune INDEX --recall`"
        raise ConfigError("is of searches in stages", where="--recall", remedy=remedy)
    check_recall(recall)
    return recall
