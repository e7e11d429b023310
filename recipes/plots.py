"""The plots of docs/results.md, from what the other two recipes have left.

python recipes/plots.py [--results runs/results] [--heads runs/heads] [--to docs]
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import heads
import matplotlib
import results
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import NAMES, mean_and_deviation

APART = {"random", "initialized", *results.GROUPS[results.FROM_NOTHING], *results.GROUPS[results.ON_GPU]}
"""Contenders of the tables that lie so far from all others that a plot of them would show little else."""
COLORS = ("#0b7a5f", "#b8450b", "#5b4bb7", "#7a7a7a", "#1f77b4", "#8c564b", "#a8871a", "#c2417c")


def contenders(folder: Path, to: Path) -> None:
    """Every contender of the fine-tuning tables, in the colour of its table."""
    shown = [
        (key, f"{one.title}\n{group}", color)
        for (group, members), color in zip(results.GROUPS.items(), COLORS, strict=False)
        for key, one in members.items()
        if key not in APART
    ]
    _dots(folder, shown, to / "results-contenders.svg")


def large(folder: Path, to: Path) -> None:
    """Every contender at 224 px; BIER in another colour than the others."""
    shown = [
        (key, textwrap.fill(one.title, 45), COLORS[0] if "BIER" in one.title else COLORS[1])
        for key, one in results.GROUPS[results.ON_GPU].items()
    ]
    _dots(folder, shown, to / "results-large.svg")


def _dots(folder: Path, shown: Sequence[tuple[str, str, str]], path: Path) -> None:
    """Mean Recall@1 with its standard deviation, a line for each contender (key, title, colour) that has run."""
    shown = [one for one in shown if any(results.results(folder, dataset, one[0]) for dataset in NAMES)]
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.4 * len(shown) + 1), sharey=True, layout="constrained")
    for axis, (dataset, name) in zip(axes, NAMES.items(), strict=True):
        for place, (key, _, color) in enumerate(shown):
            values = [results.row(m, "ensemble")["recall"]["1"] for m in results.results(folder, dataset, key)]
            if values:
                mean, deviation = mean_and_deviation(values)
                axis.errorbar(mean, place, xerr=deviation, fmt="o", color=color, capsize=3, markersize=4)
        axis.set_yticks(range(len(shown)), [title for _, title, _ in shown], fontsize=6.5)
        axis.set_xlabel("Recall@1, percent")
        axis.set_title(name, fontsize=10)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    _save(figure, path)


def curves(folder: Path, to: Path) -> None:
    """MAP@R on validation classes by epoch at 224 px, mean over the seeds of those that have run all of them.

    Each seed has validation classes of its own, easy or hard, so a mean over fewer would lie elsewhere.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    labelled = {}
    for axis, (dataset, name) in zip(axes, NAMES.items(), strict=True):
        every = [results.validation(folder, dataset, key) for key in results.GROUPS[results.ON_GPU]]
        for place, (one, seeds) in enumerate(zip(results.GROUPS[results.ON_GPU].values(), every, strict=True)):
            if seeds and len(seeds) == max(map(len, every)) and len(seeds[0]) > 1:
                means = [mean_and_deviation(values)[0] for values in zip(*seeds, strict=True)]
                second, color = divmod(place, len(COLORS))
                (labelled[one.title],) = axis.plot(
                    range(1, len(means) + 1), means, "--" if second else "-", color=COLORS[color], linewidth=1.3
                )
        _finish(axis, name, "epoch", range(0, 21, 5), "MAP@R on validation classes, percent")
    labels = [textwrap.fill(title, 50) for title in labelled]
    figure.legend(labelled.values(), labels, loc="outside lower center", ncol=2, fontsize=7)
    _save(figure, to / "results-curves.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})  # the same figures give the same file
    print(path)


def sizes(folder: Path, to: Path) -> None:
    """Recall@1 by dimensions: prefixes of BIER, prefixes of Matryoshka, and embeddings trained at that size."""
    lines = {
        "trained at that size": [(85, "small-85"), (256, "small-256"), (512, "single")],
        "prefixes of BIER": [(85, "stagewise"), (256, "stagewise"), (512, "stagewise")],
        "prefixes of Matryoshka": [(85, "matryoshka"), (256, "matryoshka"), (512, "matryoshka")],
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (dataset, name) in zip(axes, NAMES.items(), strict=True):
        for (label, places), color in zip(lines.items(), COLORS, strict=False):
            found = [(d, [_of(seed, d) for seed in heads.seeds_of(folder, dataset, key)]) for d, key in places]
            _line(axis, [(d, values) for d, values in found if values], label, color)
        _finish(axis, name, "dimensions", [85, 256, 512])
    _save(figure, to / "results-sizes.svg")


def _of(seed: dict[str, Any], dimensions: int) -> float:
    rows = [row for row in seed["rows"] if row["dimensions"] == dimensions and row["kind"] != "learner"]
    value: float = (rows or seed["rows"])[0]["recall"]["1"]
    return value


def noise(folder: Path, to: Path) -> None:
    """Recall@1 by the share of wrong labels in training."""
    lines = {"one embedding": "single", "BIER, additive": "additive", "BIER, stagewise": "stagewise"}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (dataset, name) in zip(axes, NAMES.items(), strict=True):
        for (label, key), color in zip(lines.items(), COLORS, strict=False):
            found = [
                (share, [heads.whole(seed["rows"])["recall"]["1"] for seed in heads.seeds_of(folder, dataset, one)])
                for share, one in ((0, key), (20, f"{key}-noise-20"), (40, f"{key}-noise-40"))
            ]
            _line(axis, [(share, values) for share, values in found if values], label, color)
        _finish(axis, name, "percent of training labels that are wrong", [0, 20, 40])
    _save(figure, to / "results-noise.svg")


def _line(axis: Axes, points: Sequence[tuple[int, Sequence[float]]], label: str, color: str) -> None:
    if not points:
        return
    means, deviations = zip(*(mean_and_deviation(values) for _, values in points), strict=True)
    axis.errorbar(
        [x for x, _ in points], means, yerr=deviations, marker="o", color=color, capsize=3, markersize=4, label=label
    )


def _finish(axis: Axes, title: str, label: str, ticks: Sequence[int], value: str = "Recall@1, percent") -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(label)
    axis.set_ylabel(value)
    axis.set_xticks(ticks)
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/results"))
    parser.add_argument("--heads", type=Path, default=Path("runs/heads"))
    parser.add_argument("--to", type=Path, default=Path("docs"))
    given = parser.parse_args()
    matplotlib.use("svg")
    plt.rcParams.update({"svg.hashsalt": "bier", "font.size": 8, "svg.fonttype": "none"})
    for draw, folder in (
        (contenders, given.results),
        (large, given.results),
        (curves, given.results),
        (sizes, given.heads),
        (noise, given.heads),
    ):
        if any(folder.glob("*/*.json")):
            draw(folder, given.to)
        else:
            print(f"no plot of {draw.__name__}: nothing has run in {folder}")


if __name__ == "__main__":
    main()
