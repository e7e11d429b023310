"""Run folders as `bier train` and `bier evaluate` leave them, with plausible figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from origins import provenance
from PIL import Image

from bier.records.bits import packed
from bier.report import write_report

Pictures = Sequence[tuple[Path, str]]
WriteRun = Callable[..., Path]
SIZES = (85, 171, 256)
QUERIES = 2953


EMPTY = {"meta", "link", "img", "br", "line", "rect", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Tags with their attributes, the text of the page, and the text of each table cell."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row[0] == name)


@pytest.fixture
def report(tmp_path):
    """Writes a report of run folders and reads it back."""
    return lambda *runs: Page(write_report(runs, tmp_path / "out" / "report.html"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[tuple[Path, str]]:
    """Twelve small pictures of three classes."""
    generator = np.random.default_rng(0)
    found = []
    for i in range(12):
        path = tmp_path / "pictures" / f"class_{i % 3}" / f"{i:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
        found.append((path, f"class_{i % 3}"))
    return found


@pytest.fixture
def write_run(tmp_path: Path, pictures: Pictures) -> WriteRun:
    """Writes a run folder: `write_run(name, **changes to the metrics)`."""

    def write(name: str = "bier", *, of: Pictures = pictures, queries: int = 4, seed: int = 0, **changes: Any) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        record = metrics(name, of, queries, seed) | changes
        (folder / "metrics.json").write_text(json.dumps(record))
        lines = [json.dumps(epoch(number, seed)) for number in range(1, 11)]
        (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "config.yaml").write_text(yaml.safe_dump(config(seed), sort_keys=False))
        provenance(seed=seed).save(folder)
        return folder

    return write


def metrics(name: str, pictures: Pictures, queries: int, seed: int) -> dict[str, Any]:
    rows = [row("pretrained features", "pretrained", [], 1280, 0.7011)]
    rows += [row("whitening, untrained", "untrained", [0, 1, 2], 512, 0.7725)]
    rows += [row("trained embedding", "ensemble", [0, 1, 2], 512, 0.8123 - 0.01 * seed)]
    rows += [row(f"learner {m + 1}", "learner", [m], d, 0.745 + 0.02 * m) for m, d in enumerate(SIZES)]
    for m in range(1, 4):
        prefix = "first learner" if m == 1 else f"first {m} learners"
        rows.append(row(prefix, "prefix", list(range(m)), sum(SIZES[:m]), (0.745, 0.781, 0.8123 - 0.01 * seed)[m - 1]))
    rows.append(row("trained features", "features", [], 1280, 0.7684))
    return {
        "format": "bier-metrics-2", "name": name, "source": "cub100", "split": "test", "protocol": "self",
        "created": "2026-11-26T14:03:21Z", "seed": seed, "queries": QUERIES, "gallery": QUERIES, "classes": 50,
        "classes_seen": 0,
        "draws": 1, "queries_without_positive": 0, "unreadable": [], "rows": rows,
        "conventions": ["a positive that ties with a negative ranks after it", "a query's own row is left out"],
        "correlation": {
            "learners": [[1.0, 0.61, 0.52], [0.61, 1.0, 0.57], [0.52, 0.57, 1.0]], "features_mean_abs": 0.12,
            "between_learners_mean_abs": 0.08, "within_learners_mean_abs": 0.1,
        },
        "neighbours": [neighbours(pictures, i, queries, seed) for i in range(queries)],
        "by_class": [class_figures(number, share) for number, share in enumerate((0.9, 0.55, 0.7))],
    }  # fmt: skip


def class_figures(number: int, share: float) -> dict[str, Any]:
    row = {"label": f"class_{number}", "queries": 20, "recall_at_1": share, "map_at_r": share / 2, "seen": False}
    return row | {"confused_with": f"class_{(number + 1) % 3}", "confused": round(20 * (1 - share))}


@pytest.fixture
def confusion(pictures: Pictures) -> dict[str, Any]:
    """Of the first two classes."""
    two = [{"image": str(path), "label": label} for path, label in pictures[:2]]
    return {"counts": [4, 1], "queries": [20, 20], "pictures": two, "score": 0.71}


def row(name: str, kind: str, learners: list[int], dimensions: int, first: float) -> dict[str, Any]:
    recall = {str(k): 1 - (1 - first) * 0.62**i for i, k in enumerate((1, 2, 4, 8))}
    figures = {"recall": recall, "map_at_r": first * 0.52, "r_precision": first * 0.61}
    figures["first_right"] = packed(np.arange(QUERIES) < first * QUERIES)
    return {"name": name, "kind": kind, "learners": learners, "dimensions": dimensions, **figures}


def neighbours(pictures: Pictures, index: int, queries: int, seed: int) -> dict[str, Any]:
    """Worst queries first: the share of right neighbours rises with the index."""
    generator = np.random.default_rng((seed, index))
    path, label = pictures[index * 7 % len(pictures)]
    share = index / max(queries - 1, 1)
    hits = []
    for place in range(8):
        right = bool(generator.random() < share)
        choices = [entry for entry in pictures if (entry[1] == label) == right and entry[0] != path]
        other, name = choices[generator.integers(len(choices))]
        hits.append({"image": str(other), "label": name, "score": 0.93 - 0.03 * place, "correct": right})
    rank = next((place for place, hit in enumerate(hits, 1) if hit["correct"]), 17)
    group = "worst" if share < 0.66 else "typical" if share < 0.85 else "best"
    query = {"image": str(path), "label": label}
    return {"query": query, "recall_rank": rank, "average_precision": share, "hits": hits, "group": group}


def epoch(number: int, seed: int) -> dict[str, Any]:
    recall = 0.78 - 0.2 * 0.6**number - 0.004 * max(0, number - 7) - 0.01 * seed
    edges = np.linspace(0, 2, 21)
    centres = (edges[1:] + edges[:-1]) / 2

    def bump(centre: float, width: float, total: int) -> list[int]:
        density = np.exp(-(((centres - centre) / width) ** 2))
        return [int(total * value) for value in density / density.sum()]

    def ones(total: int) -> list[int]:
        return [total if low == 1 else 0 for low in edges[:-1]]

    return {
        "epoch": number, "step": 140 * number, "loss": 0.3 + 0.5 * 0.7**number + 0.02 * seed,
        "learner_losses": [0.35 + 0.5 * 0.7**number, 0.22 + 0.4 * 0.7**number, 0.17 + 0.35 * 0.7**number],
        "diversity": -0.01 * number, "validation": {"recall@1": recall, "map_at_r": recall * 0.5},
        "images_per_second": 61.0, "seconds": 50.1, "learning_rate": 1e-4,
        "weights": {
            "edges": edges.tolist(),
            "positive": [ones(8000), bump(0.4, 0.08, 8000), bump(0.36, 0.12, 8000)],
            "negative": [ones(120000), bump(0.75, 0.2, 120000), bump(0.55, 0.3, 120000)],
        },
    }  # fmt: skip


def config(seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "data": {"classes_per_batch": 16, "images_per_class": 4},
        "image": {"size": 128},
        "model": {"backbone": "efficientnet_lite0", "dimensions": 512, "learners": 3},
        "loss": {"name": "binomial_deviance", "options": {}, "schedule": "additive", "shrinkage": None},
        "diversity": {"loss": "adversarial", "during_training": True, "initialize": False},
    }
