"""Cost of retrieval evaluation beside other libraries, as ratios of CPU time on one thread, with peak memory.

    python benchmarks/evaluation.py            # five minutes
    python benchmarks/evaluation.py --full     # also 60,502 images (Stanford Online Products' size) and scaling
    python benchmarks/evaluation.py --pairs    # verification and open-set identification alone, at both sizes
    make peers                                 # fetches open-metric-learning, which asks for a NumPy too old for ours

Contenders run in processes of their own, one after the other in turns, on the same vectors: classes of points around
random centres, D = 512, scattered so that Recall@1 is about as on the benchmark of that size. *plain* is 1024-row
blocks of ``torch.mm`` and ``topk(1000)`` in float32. *bier, float32* may not use bfloat16 products. Memory is the peak
resident set above the one with the vectors loaded. Where conventions coincide figures must agree, or it stops.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch

if TYPE_CHECKING:  # each contender imports what it measures
    from bier.evaluate import Metric

PEERS = Path(__file__).parents[1] / "build" / "peers"
KS = (1, 10, 100, 1000)
SIZES = (85, 171, 256)
Data = dict[str, np.ndarray]
Figures = dict[str, float]


def bier(data: Data, metrics: tuple[Metric, ...] = ("recall",)) -> Figures:
    from bier.evaluate import evaluate_retrieval

    result = evaluate_retrieval(
        data["vectors"],
        data["labels"],
        gallery=data.get("gallery"),
        gallery_labels=data.get("gallery_labels"),
        recall_at=KS,
        metrics=metrics,
    )
    figures = {f"recall@{k}": value for k, value in result.recall.items()}
    others = {"map_at_r": result.map_at_r, "r_precision": result.r_precision}
    return figures | {name: value for name, value in others.items() if value is not None}


def bier_float32(data: Data, metrics: tuple[Metric, ...] = ("recall",)) -> Figures:
    with mock.patch("bier.evaluate.engine.ranks.multiplies_bfloat16", return_value=False):
        return bier(data, metrics)


def bier_at_r(data: Data) -> Figures:
    return bier(data, ("recall", "map_at_r", "r_precision"))


def bier_map(data: Data) -> Figures:
    from bier.evaluate import evaluate_retrieval

    result = evaluate_retrieval(data["vectors"], data["labels"], recall_at=KS, metrics=("recall", "map"))
    return {f"recall@{k}": value for k, value in result.recall.items()} | {"map": result.map or 0.0}


def bier_learners(data: Data) -> Figures:
    from bier.evaluate import evaluate_learners

    parts = [torch.from_numpy(part) for part in np.split(data["vectors"], np.cumsum(SIZES)[:-1], axis=1)]
    rows = evaluate_learners(parts, [1 / 6, 2 / 6, 3 / 6], data["labels"], recall_at=KS, metrics=("recall",))
    return {f"recall@{k}": value for k, value in rows[0]["recall"].items()}


def bier_verification(data: Data) -> Figures:
    from bier.evaluate import evaluate_retrieval

    found = evaluate_retrieval(data["vectors"], data["labels"], recall_at=KS, metrics=("recall", "verification"))
    assert found.verification is not None
    figures = {f"recall@{k}": value for k, value in found.recall.items()}
    rates = {f"tar@{point.far}": point.rate for point in found.verification.tar if point.rate is not None}
    return figures | rates | {"auc": found.verification.auc}


def bier_open_set(data: Data) -> Figures:
    from bier.evaluate import evaluate_retrieval

    found = evaluate_retrieval(data["vectors"], data["labels"], recall_at=KS, metrics=("recall", "open_set"))
    assert found.open_set is not None
    figures = {f"recall@{k}": value for k, value in found.recall.items()}
    return figures | {f"dir@{point.far}": point.rate for point in found.open_set.dir if point.rate is not None}


def scikit_learn(data: Data) -> Figures:
    from bier.system.extras import need

    metrics = need("sklearn.metrics", "cluster")
    pairs = np.triu_indices(len(data["vectors"]), 1)
    scores = (data["vectors"].astype(np.float64) @ data["vectors"].T)[pairs]
    right = (data["labels"][:, None] == data["labels"])[pairs]
    far, tar, _ = metrics.roc_curve(right, scores)
    figures = {f"tar@{rate}": float(tar[far <= rate].max()) for rate in (1e-2, 1e-3, 1e-4)}
    return figures | {"auc": float(metrics.roc_auc_score(right, scores))}


def plain(data: Data) -> Figures:
    vectors, labels = torch.from_numpy(data["vectors"]), torch.from_numpy(data["labels"])
    itself = "gallery" not in data
    gallery = vectors if itself else torch.from_numpy(data["gallery"])
    gallery_labels = labels if itself else torch.from_numpy(data["gallery_labels"])
    hits = torch.zeros(len(KS), dtype=torch.int64)
    for start in range(0, len(vectors), 1024):
        scores = vectors[start : start + 1024] @ gallery.T
        if itself:
            rows = torch.arange(len(scores))
            scores[rows, start + rows] = -2
        found = gallery_labels[scores.topk(min(1000, scores.shape[1])).indices]
        right = found == labels[start : start + 1024, None]
        hits += torch.stack([right[:, :k].any(1).sum() for k in KS])
    count = int((torch.isin(labels, gallery_labels)).sum())  # the others have nothing to find
    return {f"recall@{k}": hit / count for k, hit in zip(KS, hits.tolist(), strict=True)}


def faiss(data: Data) -> Figures:
    import faiss

    faiss.omp_set_num_threads(1)
    itself = "gallery" not in data
    gallery, labels = (data["vectors"], data["labels"]) if itself else (data["gallery"], data["gallery_labels"])
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    _, found = index.search(data["vectors"], 1001 if itself else 1000)
    if itself:  # the row itself is somewhere among its equals
        own = found == np.arange(len(found))[:, None]
        own[~own.any(1), -1] = True
        found = found[~own].reshape(len(found), -1)
    right = (labels[found] == data["labels"][:, None])[np.isin(data["labels"], labels)]
    return {f"recall@{k}": float(right[:, :k].any(1).mean()) for k in KS}


def open_metric_learning(data: Data) -> Figures:
    sys.path.insert(0, str(PEERS))
    from oml.functional.knn import batched_knn
    from oml.functional.metrics import calc_retrieval_metrics

    everyone = torch.arange(len(data["vectors"]))
    _, retrieved, right = batched_knn(
        torch.from_numpy(data["vectors"]), everyone, everyone, 1000, labels_gt=torch.from_numpy(data["labels"])
    )
    metrics = calc_retrieval_metrics(retrieved, right, None, KS, (), (), verbose=False)
    return {f"recall@{k}": float(value) for k, value in metrics["cmc"].items()}


def pytorch_metric_learning(data: Data) -> Figures:
    import faiss
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    faiss.omp_set_num_threads(1)
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu"))
    found = calculator.get_accuracy(data["vectors"], data["labels"])
    return {"recall@1": found[names[0]], "r_precision": found[names[1]], "map_at_r": found[names[2]]}


def torchmetrics(data: Data) -> Figures:
    from torchmetrics.retrieval import RetrievalHitRate

    scores = torch.from_numpy(data["vectors"]) @ torch.from_numpy(data["vectors"]).T
    other = ~torch.eye(len(scores), dtype=torch.bool)
    labels = torch.from_numpy(data["labels"])
    query = torch.arange(len(scores))[:, None].expand_as(scores)[other]
    metric = RetrievalHitRate(top_k=1, empty_target_action="skip")
    return {"recall@1": float(metric(scores[other], (labels[:, None] == labels)[other], indexes=query))}


CONTENDERS: dict[str, Callable[[Data], Figures]] = {
    "plain": plain,
    "bier": bier,
    "bier, float32": bier_float32,
    "bier, with MAP@R": bier_at_r,
    "bier, with mAP": bier_map,
    "bier, 3 learners and prefixes": bier_learners,
    "bier, with verification": bier_verification,
    "bier, with open-set identification": bier_open_set,
    "scikit-learn (verification, all scores at once)": scikit_learn,
    "faiss IndexFlatIP": faiss,
    "open-metric-learning": open_metric_learning,
    "pytorch-metric-learning (R@1, MAP@R)": pytorch_metric_learning,
    "torchmetrics (R@1)": torchmetrics,
}


def points(count: int, classes: int, scatter: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around random centres, two of each class at least."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.concatenate([np.arange(classes).repeat(2), draw.integers(0, classes, count)])[:count])
    centres = draw.standard_normal((classes, 512), dtype=np.float32)
    vectors = centres[labels] + scatter * draw.standard_normal((count, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def run_one(name: str, file: str) -> None:
    """In a process of its own: load, warm up, measure, print."""
    torch.set_num_threads(1)
    data = dict(np.load(file))
    few = {key: values[:600] for key, values in data.items()} | {"labels": data["labels"][:600] % 50}
    if "gallery" in few:
        few["gallery_labels"] = few["gallery_labels"] % 50
    CONTENDERS[name](few)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    began, wall = time.process_time(), time.perf_counter()
    figures = CONTENDERS[name](data)
    print(
        json.dumps(
            {
                "cpu": time.process_time() - began,
                "wall": time.perf_counter() - wall,
                "memory": _memory("VmHWM") - before,
                "figures": figures,
            }
        )
    )


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def compare(title: str, data: Data, names: list[str], rounds: int) -> None:
    """Print a table of ratios to the first contender, and check that figures agree."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/data.npz"
        np.savez(file, allow_pickle=False, **data)
        for _ in range(rounds):
            for name in names:
                command = [sys.executable, "-W", "ignore", __file__, "--one", name, file]
                run = subprocess.run(command, capture_output=True, text=True, env=environment)
                if run.returncode:
                    reason = run.stderr.strip().splitlines()[-1:]
                    print(f"  {name}: not run ({reason})", file=sys.stderr)
                else:
                    found[name].append(json.loads(run.stdout.splitlines()[-1]))
    base = statistics.median(one["cpu"] for one in found[names[0]])
    ours = [runs[0]["figures"] for name, runs in found.items() if name.startswith("bier") and runs]
    reference = {metric: value for figures in reversed(ours) for metric, value in figures.items()}
    recall = found[names[0]][0]["figures"]["recall@1"]
    print(f"\n{title}; Recall@1 {100 * recall:.1f} %\n\n| contender | CPU time / {names[0]} | seconds | peak MB |")
    print("|---|---|---|---|")
    for name, runs in found.items():
        if not runs:
            continue
        cpu = statistics.median(one["cpu"] for one in runs)
        memory = max(one["memory"] for one in runs)
        print(f"| {name} | {cpu / base:.3f} | {cpu:.2f} | {memory:.0f} |", flush=True)
        for one in runs:
            _check(name, one["figures"], reference)


def _check(name: str, figures: Figures, reference: Figures) -> None:
    if "learners" in name:
        return  # a weighted ensemble is another embedding
    for metric in figures.keys() & reference.keys():
        # Others round to float32 and see near ties the other way round: a query in some ten thousand.
        tolerance = 1e-12 if name.startswith("bier") else 2e-4
        if abs(figures[metric] - reference[metric]) > tolerance:
            sys.exit(f"{name} says {metric} is {figures[metric]}, bier says {reference[metric]}")


def share_of_limit(count: int, classes: int, scatter: float) -> None:
    """How much of the time goes into the ``n^2 d`` operations that float32 products cannot do without."""
    torch.set_num_threads(1)
    a = torch.randn(2048, 512)
    times = []
    for _ in range(9):
        began = time.perf_counter()
        a @ a.T
        times.append(time.perf_counter() - began)
    rate = 2 * 2048**2 * 512 / statistics.median(times)
    vectors, labels = points(count, classes, scatter)
    data = {"vectors": vectors, "labels": labels}
    for name in ("bier, float32", "bier"):
        began = time.process_time()
        CONTENDERS[name](data)
        share = count**2 * 512 / rate / (time.process_time() - began)
        print(f"{name}: {100 * share:.0f} % of the limit n^2 d operations / measured sgemm rate, n = {count:,}")


def scaling() -> None:
    """Seconds and memory for three sizes, and what they say of a million."""
    rows = []
    for count in (50_000, 100_000, 200_000):
        vectors, labels = points(count, count // 5, 2.2)
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/data.npz"
            np.savez(file, vectors=vectors, labels=labels)
            command = [sys.executable, "-W", "ignore", __file__, "--one", "bier, with MAP@R", file]
            run = subprocess.run(
                command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        one = json.loads(run.stdout.splitlines()[-1])
        rows.append((count, one["cpu"], one["memory"]))
        print(f"n = {count:,}: {one['cpu']:.1f} s of CPU time, {one['memory']:.0f} MB above the vectors", flush=True)
    counts, seconds, memory = (np.array(column) for column in zip(*rows, strict=True))
    slope, start = np.polyfit(counts, memory, 1)
    quadratic = (seconds / counts**2)[-1]
    print(
        f"a million, extrapolated: {quadratic * 1e12 / 60:.0f} min of CPU time, "
        f"{(start + slope * 1e6) / 1000:.1f} GB above the {512 * 4e6 / 1e9:.1f} GB of vectors"
    )


PAIRS = ["plain", "bier", "bier, with verification", "bier, with open-set identification"]


def all_pairs(rounds: int) -> None:
    """What figures of all pairs cost, and how that grows."""
    for count, classes, scatter in ((10_000, 1_000, 2.5), (60_502, 11_316, 2.2)):
        data = dict(zip(("vectors", "labels"), points(count, classes, scatter), strict=True))
        few = count <= 10_000
        peers = ["scikit-learn (verification, all scores at once)"] if few else []
        title = f"n = {count:,}, {classes:,} classes, {count * (count - 1) // 2:,} pairs"
        compare(title, data, [*PAIRS, *peers], rounds if few else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--pairs", action="store_true", help="verification and open-set identification alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(*arguments.one)
        return
    print(f"torch {torch.__version__}, one thread, 512 dimensions")
    if arguments.pairs:
        all_pairs(arguments.rounds)
        return
    vectors, labels = points(10_000, 1_000, 2.5)
    ours = ["plain", "bier", "bier, float32", "bier, with MAP@R", "bier, with mAP", "bier, 3 learners and prefixes"]
    peers = ["faiss IndexFlatIP", "open-metric-learning", "pytorch-metric-learning (R@1, MAP@R)"]
    data = {"vectors": vectors, "labels": labels}
    compare("n = 10,000, 1,000 classes, each searches the others", data, ours + peers, arguments.rounds)
    few = {"vectors": vectors[:1000], "labels": labels[:1000] % 100}
    compare("n = 1,000", few, ["plain", "bier", "torchmetrics (R@1)"], arguments.rounds)
    hard = dict(zip(("vectors", "labels"), points(10_000, 1_000, 4.0), strict=True))
    compare("n = 10,000, hardly better than chance", hard, ours[:4], arguments.rounds)
    every, codes = points(26_830, 3_985, 2.3)
    split = {
        "vectors": every[:14_218],
        "labels": codes[:14_218],
        "gallery": every[14_218:],
        "gallery_labels": codes[14_218:],
    }
    compare(
        "14,218 queries in a gallery of 12,612 (In-Shop's size)",
        split,
        ["plain", *ours[1:3], peers[0]],
        arguments.rounds,
    )
    if arguments.full:
        vectors, labels = points(60_502, 11_316, 2.2)
        data = {"vectors": vectors, "labels": labels}
        compare("n = 60,502, 11,316 classes (Stanford Online Products' size)", data, [*ours[:4], *peers], 1)
        share_of_limit(60_502, 11_316, 2.2)
        scaling()


if __name__ == "__main__":
    main()
