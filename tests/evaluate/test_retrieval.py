"""Retrieval figures against an explicit double loop, and the conventions one by one."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bier.errors import ConfigError, DataError
from bier.evaluate import RetrievalResult, evaluate_retrieval
from bier.evaluate.engine.sweep import TILE
from bier.evaluate.retrieval import USUAL

KS = (1, 2, 3, 5, 1000)


def slow_retrieval(
    queries: Sequence[Sequence[float]],
    labels: Sequence[Any],
    gallery: Sequence[Sequence[float]] | None = None,
    gallery_labels: Sequence[Any] | None = None,
    ids: Sequence[Any] | None = None,
    gallery_ids: Sequence[Any] | None = None,
    similarity: str = "cosine",
    missing: str = "exclude",
) -> dict[str, float]:
    """The definitions, word by word: sort each query's hits (wrong before right in a tie) and count."""
    others = queries if gallery is None else gallery
    other_labels = labels if gallery_labels is None else gallery_labels
    if ids is None:
        ids = range(len(queries))
        gallery_ids = ids if gallery is None else ["another"] * len(others)
    elif gallery is None:
        gallery_ids = ids
    assert gallery_ids is not None
    sums = {f"recall@{k}": 0.0 for k in KS} | {"map_at_r": 0.0, "r_precision": 0.0, "map": 0.0}
    counted, first_hits = 0, []
    for i, query in enumerate(queries):
        hits = []
        for j, other in enumerate(others):
            if ids[i] == gallery_ids[j]:
                continue
            product = math.fsum(a * b for a, b in zip(query, other, strict=True))
            if similarity == "cosine":
                product /= math.hypot(*query) * math.hypot(*other)
            step = round(product * 2**24) if similarity == "cosine" else product
            hits.append((-step, labels[i] == other_labels[j]))
        right = [correct for _, correct in sorted(hits)]
        total = sum(right)
        counted += bool(total) or missing == "miss"
        if total:
            first_hits.append(right.index(True) + 1)
            for k in KS:
                sums[f"recall@{k}"] += any(right[:k])
            sums["r_precision"] += sum(right[:total]) / total
            precision = [sum(right[: i + 1]) / (i + 1) * right[i] for i in range(len(right))]
            sums["map_at_r"] += sum(precision[:total]) / total
            sums["map"] += sum(precision) / total
    if not first_hits:
        return {}
    return {name: value / counted for name, value in sums.items()} | {"mean_rank": sum(first_hits) / len(first_hits)}


def named(result: RetrievalResult) -> dict[str, float | None]:
    figures = {f"recall@{k}": value for k, value in result.recall.items()}
    others = {name: getattr(result, name) for name in ("map_at_r", "r_precision", "map", "mean_rank")}
    return figures | {name: value for name, value in others.items() if value is not None}


def random_case(seed: int) -> dict[str, Any]:
    """Small, and full of ties: few distinct values, exact duplicates, classes of one, sometimes one class only,
    distractors in the gallery, images that stand on both sides."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(2, 25, size=2)
    classes = int(draw.integers(1, 9))
    dimensions = int(draw.integers(1, 5))
    similarity = "dot" if draw.random() < 0.3 else "cosine"

    def side(count: int) -> tuple[np.ndarray, np.ndarray]:
        if draw.random() < 0.7:
            vectors = draw.integers(-2, 3, size=(count, dimensions)).astype(np.float32)
        else:
            vectors = draw.normal(size=(count, dimensions)).astype(np.float32)
        if similarity == "dot":  # products that float32 holds exactly
            vectors = np.round(vectors * 4)
        vectors[~vectors.any(1)] = 1
        copies = draw.integers(0, count, size=count // 3)
        vectors[: len(copies)] = vectors[copies]
        return vectors, draw.integers(0, classes, size=count)

    vectors, labels = side(sizes[0])
    case: dict[str, Any] = {"embeddings": vectors, "labels": labels, "similarity": similarity}
    case["missing"] = "miss" if draw.random() < 0.3 else "exclude"
    if draw.random() < 0.5:
        case["gallery"], case["gallery_labels"] = side(sizes[1])
        case["gallery_labels"][draw.random(sizes[1]) < 0.2] = 99
        if draw.random() < 0.5:  # the queries stand in the gallery, too
            case["gallery"] = np.concatenate([case["gallery"], vectors])
            case["gallery_labels"] = np.concatenate([case["gallery_labels"], labels])
            case["ids"] = [f"image {row}" for row in range(sizes[0])]
            case["gallery_ids"] = [f"other {row}" for row in range(sizes[1])] + case["ids"]
    return case


def expected_of(case: dict[str, Any]) -> dict[str, float]:
    arguments = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    return slow_retrieval(arguments.pop("embeddings"), **arguments)


@pytest.mark.parametrize("block", range(6))
def test_random_cases_equal_the_double_loop(block: int) -> None:
    with_positives = 0
    for seed in range(block * 200, (block + 1) * 200):
        case = random_case(seed)
        expected = expected_of(case)
        if not expected:
            with pytest.raises(DataError, match="has a positive"):
                evaluate_retrieval(**case)
            continue
        with_positives += 1
        for metrics in (USUAL, (*USUAL, "map")):  # by screens, and in float64
            figures = named(evaluate_retrieval(**case, recall_at=KS, metrics=metrics))
            assert figures == pytest.approx({name: expected[name] for name in figures}, abs=1e-12), f"seed {seed}"
    assert with_positives > 130


@pytest.mark.parametrize("seed", range(30))
def test_a_users_relevance(seed: int) -> None:
    # Several labels an image: right is what shares one. And equal labels, written as a function, change nothing.
    draw = np.random.default_rng(seed)
    vectors = draw.integers(-2, 3, size=(20, 3)).astype(float)
    vectors[~vectors.any(1)] = 1
    labels = draw.integers(0, 4, size=20)
    metrics = (*USUAL, "map")
    by_label = evaluate_retrieval(vectors, labels, metrics=metrics)
    by_function = evaluate_retrieval(vectors, relevance=lambda q, g: labels[q, None] == labels[g], metrics=metrics)
    assert named(by_function) == named(by_label)
    tags = draw.random((20, 3)) < 0.4
    result = evaluate_retrieval(vectors, relevance=lambda q, g: (tags[q, None] & tags[g]).any(2), metrics=metrics)
    assert (result.per_query["positives"] == (tags[:, None] & tags).any(2).sum(1) - tags.any(1)).all()
    with pytest.raises(DataError, match="no labels"):
        result.per_class()


def test_example_by_hand() -> None:
    # One dimension more than needed, so that the angle from the x axis orders the hits.
    def at(degrees: float) -> list[float]:
        return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]

    result = evaluate_retrieval(
        [at(0)], ["a"], gallery=[at(d) for d in (10, 20, 30, 40, 50)], gallery_labels=["a", "b", "a", "a", "c"]
    )
    # Hits: right, wrong, right, right, wrong. R = 3.
    assert result.recall == {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}
    assert result.r_precision == pytest.approx(2 / 3)
    assert result.map_at_r == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert (result.queries, result.gallery, result.queries_without_positive) == (1, 5, 0)
    assert result.per_query["first_hit_rank"].tolist() == [1]
    assert result.per_query["average_precision_at_r"].tolist() == pytest.approx([5 / 9])


def test_tied_positive_ranks_after_negative() -> None:
    result = evaluate_retrieval([[1.0, 0.0]], ["a"], gallery=[[0.0, 1.0]] * 3, gallery_labels=["a", "b", "b"])
    assert result.per_query["first_hit_rank"].tolist() == [3]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_what_float32_cannot_tell_apart_is_a_tie(similarity: Any) -> None:
    gallery = np.array([[1.0, 0.0], [1.0, 3e-5]])  # scores 1 and 1 - 5e-10, or 1 and 1 + 3e-10
    for labels in (["a", "b"], ["b", "a"]):
        result = evaluate_retrieval([[1.0, 1e-5]], ["a"], gallery=gallery, gallery_labels=labels, similarity=similarity)
        assert result.per_query["first_hit_rank"].tolist() == [2]


def test_collapsed_embedding_finds_nothing() -> None:
    labels = np.arange(400) % 20
    collapsed = np.full((400, 64), 0.3, dtype=np.float32)
    result = evaluate_retrieval(collapsed, labels)
    assert result.recall[1] == result.map_at_r == result.r_precision == 0


def test_self_is_removed_by_identity_and_duplicates_stay() -> None:
    vectors = np.float32([[1, 0], [1, 0], [0, 1], [0.1, 1]])
    right = evaluate_retrieval(vectors, ["a", "a", "b", "b"])
    assert right.recall[1] == 1.0
    # The duplicate of the first row is a wrong hit above all others, and the first row is no hit of itself.
    wrong = evaluate_retrieval(vectors, ["a", "b", "a", "b"])
    assert wrong.per_query["first_hit_rank"].tolist() == [3, 2, 3, 3]


@pytest.mark.parametrize(("missing", "expected"), [("exclude", 1.0), ("miss", 0.5)])
def test_queries_without_a_positive_are_counted(missing: Any, expected: float) -> None:
    vectors = np.eye(4, dtype=np.float32) + 0.1
    vectors[1] = vectors[0]
    result = evaluate_retrieval(vectors, ["a", "a", "b", "c"], missing=missing)
    assert result.recall[1] == result.map_at_r == result.r_precision == expected
    assert (result.queries, result.queries_without_positive) == (4, 2)
    assert result.per_query["first_hit_rank"].tolist() == [1, 1, 0, 0]
    assert np.isnan(result.per_query["average_precision_at_r"][2:]).all()


def test_order_and_way_change_no_digit() -> None:
    draw = np.random.default_rng(0)
    count = 2 * TILE + 300
    labels = np.concatenate([np.zeros(700, dtype=int), draw.integers(1, 300, size=count - 700)])  # one huge class
    vectors = draw.normal(size=(count, 16)).astype(np.float32)
    vectors[50:100] = vectors[2000:2050]
    whole = evaluate_retrieval(vectors, labels)
    order = draw.permutation(count)
    for other, rows in (
        (evaluate_retrieval(vectors, labels, metrics=(*USUAL, "map")), slice(None)),
        (evaluate_retrieval(torch.from_numpy(vectors[order]), labels[order].astype(str)), order),
    ):
        assert named(whole).items() <= named(other).items()
        for name, values in whole.per_query.items():
            np.testing.assert_array_equal(other.per_query[name], values[rows])


def test_large_classes_alone() -> None:
    draw = np.random.default_rng(4)
    labels = np.arange(320) % 2  # more positives for every query than are ranked by screens
    vectors = draw.normal(size=(320, 8)) + labels[:, None]
    by_screens = evaluate_retrieval(vectors, labels)
    assert by_screens.map_at_r == evaluate_retrieval(vectors, labels, metrics=(*USUAL, "map")).map_at_r > 0.5


def test_recall_alone_is_the_same_and_needs_nothing_else() -> None:
    draw = np.random.default_rng(1)
    vectors, labels = draw.normal(size=(50, 4)), draw.integers(0, 5, size=50)
    alone = evaluate_retrieval(vectors, labels, metrics=("recall",))
    assert alone.recall == evaluate_retrieval(vectors, labels).recall
    assert alone.map_at_r is None and alone.r_precision is None and alone.mean_rank is None
    assert set(alone.per_query) == {"positives", "first_hit_rank"}


def test_precision_at_1_and_cmc_are_recall() -> None:
    draw = np.random.default_rng(2)
    labels = np.concatenate([np.arange(25) % 5, [77]])
    result = evaluate_retrieval(draw.normal(size=(26, 2)), labels, recall_at=(1, 3, 10))
    assert result.precision_at_1 == result.recall[1]
    curve = result.cmc(10)
    assert [curve[k - 1] for k in (1, 3, 10)] == list(result.recall.values())
    assert (np.diff(curve) >= 0).all()


def test_figures_of_each_class() -> None:
    draw = np.random.default_rng(3)
    labels = [*"abc" * 10, "alone"]
    vectors = draw.normal(size=(31, 3))
    result = evaluate_retrieval(vectors, labels, metrics=(*USUAL, "map"))
    by_class = result.per_class()
    assert list(by_class) == ["a", "b", "c"]
    rows = [row for row, label in enumerate(labels) if label == "b"]
    assert by_class["b"]["queries"] == 10
    assert by_class["b"]["recall@1"] == np.mean(result.per_query["first_hit_rank"][rows] == 1)
    assert by_class["b"]["map"] == pytest.approx(np.mean(result.per_query["average_precision"][rows]))
    assert np.mean([figures["map_at_r"] for figures in by_class.values()]) == pytest.approx(result.map_at_r)
    missed = evaluate_retrieval(vectors, labels, missing="miss").per_class()
    assert missed["alone"] == {"queries": 1, "recall@1": 0, "recall@2": 0, "recall@4": 0, "recall@8": 0} | {
        "map_at_r": 0,
        "r_precision": 0,
    }


def test_equal_vectors_of_two_classes_are_flagged() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(40, 6)).astype(np.float32)
    labels = np.arange(40) % 4
    assert evaluate_retrieval(vectors, labels).equal_across_classes.tolist() == []
    vectors[4] = vectors[0]  # one class: an ordinary duplicate
    vectors[7] = 2 * vectors[21]  # classes 3 and 1, and the same direction
    assert evaluate_retrieval(vectors, labels).equal_across_classes.tolist() == [7, 21]
    sides = {"gallery": vectors[20:], "gallery_labels": labels[20:]}
    assert evaluate_retrieval(vectors[:20], labels[:20], **sides).equal_across_classes.tolist() == [7]
    collapsed = evaluate_retrieval(np.full((40, 64), 0.3), labels)
    assert collapsed.equal_across_classes.tolist() == list(range(40))


def test_clusters_agree_with_classes_that_stand_apart() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(120) % 6
    vectors = np.eye(6)[labels] + 0.02 * draw.normal(size=(120, 6))
    clear = evaluate_retrieval(vectors, labels, metrics=("nmi", "ami"))
    assert clear.nmi == pytest.approx(1) and clear.ami == pytest.approx(1) and clear.recall == {}
    chance = evaluate_retrieval(draw.normal(size=(120, 6)), np.arange(120) % 40, metrics=("nmi", "ami"))
    assert chance.nmi is not None and chance.ami is not None
    assert abs(chance.ami) < 0.1 < 0.5 < chance.nmi  # NMI rewards many clusters, AMI does not


def test_an_image_with_two_labels_is_named() -> None:
    with pytest.raises(DataError, match="row 1 of the queries and row 0 of the gallery"):
        evaluate_retrieval(
            np.eye(2), ["a", "b"], gallery=np.eye(2), gallery_labels=["a", "a"], ids=[1, 2], gallery_ids=[2, 3]
        )
    with pytest.raises(DataError, match=r"all zero at ids bird\.jpg"):
        evaluate_retrieval(np.zeros((1, 2)), ["a"], ids=["bird.jpg"])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.slow
def test_memory_is_linear() -> None:
    # n x n float32 would be 576 MB here; in a process of its own, whose peak is its own.
    program = """
import torch
from pathlib import Path
from bier.evaluate import evaluate_retrieval

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024

n = 12_000
vectors, labels = torch.randn(n, 8), torch.arange(n) % (n // 4)
evaluate_retrieval(vectors[:100], labels[:100] % 4)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
evaluate_retrieval(vectors, labels)
evaluate_retrieval(vectors, torch.zeros(n), metrics=("recall",))  # one class only
print(status("VmHWM") - before)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 150, "MB above the embeddings"


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize(("value", "what"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "all zero")])
def test_bad_vectors_are_named(similarity: Any, value: float, what: str) -> None:
    vectors = np.ones((20, 3), dtype=np.float32)
    vectors[[4, 17]] = value
    with pytest.raises(DataError, match=rf"{what} at rows 4, 17"):
        evaluate_retrieval(vectors, np.arange(20) % 4, similarity=similarity)
    with pytest.raises(DataError, match=r"gallery: vectors are .* rows 4, 17"):
        evaluate_retrieval(np.ones((2, 3)), [0, 1], gallery=vectors, gallery_labels=np.arange(20) % 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"embeddings": np.ones((3, 2)), "labels": [1, 2]}, DataError, "3 vectors and 2 labels"),
        ({"embeddings": np.ones(3), "labels": [1, 2, 3]}, DataError, r"shape \(3,\)"),
        ({"embeddings": np.ones((0, 2)), "labels": []}, DataError, r"shape \(0, 2\)"),
        ({"embeddings": [["a", "b"]], "labels": [1]}, DataError, "no numbers"),
        ({"embeddings": np.ones((2, 2)), "labels": ["a", None]}, DataError, "labels missing at 1"),
        ({"embeddings": np.ones((2, 2)), "labels": [[1, 2], [3, 4]]}, DataError, "one value a row"),
        ({"embeddings": np.ones((2, 2)), "labels": [1, 2], "gallery": np.ones((2, 2))}, DataError, "belong together"),
        (
            {"embeddings": np.ones((2, 2)), "labels": [1, 2], "gallery": np.ones((2, 3)), "gallery_labels": [1, 2]},
            DataError,
            "2 dimensions and the gallery has 3",
        ),
        (
            {"embeddings": np.ones((1, 2)), "labels": [1], "gallery": np.ones((1, 2)), "gallery_labels": ["1"]},
            DataError,
            "of one kind",
        ),
        ({"embeddings": np.full((2, 2), 1e30), "labels": [1, 1], "similarity": "dot"}, DataError, "range of float32"),
        ({"embeddings": np.ones((2, 2)), "labels": [1, 1], "metrics": ["recal"]}, ConfigError, "'recall'"),
        ({"embeddings": np.ones((2, 2)), "labels": [1, 1], "recall_at": [0]}, ConfigError, "above 0"),
        ({"embeddings": np.ones((2, 2))}, DataError, "neither labels nor"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate_retrieval(**arguments)


def test_any_real_type_in_numpy_or_torch_and_read_only(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).integers(-3, 4, size=(40, 5)).astype(np.float32)
    vectors[~vectors.any(1)] = 1
    labels = np.arange(40) % 8
    expected = named(evaluate_retrieval(vectors, labels))
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    others = [mapped, vectors.astype(np.float16), vectors.astype(np.float64), vectors.astype(np.int8), vectors.tolist()]
    others += [torch.from_numpy(vectors).bfloat16(), torch.from_numpy(vectors).requires_grad_()]
    for other in others:
        assert named(evaluate_retrieval(other, torch.from_numpy(labels))) == expected
    for same in (labels.tolist(), labels.astype(str), list(torch.from_numpy(labels)), (f"class {k}" for k in labels)):
        assert named(evaluate_retrieval(vectors, same)) == expected


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda rows, columns: np.ones(len(rows), bool), "of shape"),
        (lambda rows, columns: [[1] * len(columns)] * len(rows), "int64"),
    ],
    ids=["one for each query", "numbers"],
)
def test_a_relevance_function_that_breaks_its_word(returned, message):
    with pytest.raises(DataError, match=f"relevance: returned .*{message}"):
        evaluate_retrieval(np.eye(4), relevance=returned, metrics=("recall",))


def test_one_id_with_two_labels_in_the_gallery_is_refused():
    vectors = np.eye(4)
    with pytest.raises(DataError, match="rows 0 and 1 have one id and two labels"):
        evaluate_retrieval(
            vectors[:1], ["A"], gallery=vectors, gallery_labels=list("ABAA"), ids=["x"], gallery_ids=list("xxyz")
        )


@pytest.mark.parametrize("option", [{"recall_at": 5}, {"recall_at": ("a",)}, {"metrics": "recall"}, {"metrics": None}])
def test_options_that_are_no_lists(option):
    with pytest.raises(ConfigError, match="is not a"):
        evaluate_retrieval(np.eye(4), [0, 0, 1, 1], **option)


def test_clusters_need_labels():
    with pytest.raises(DataError, match="there are no labels"):
        evaluate_retrieval(np.eye(4), relevance=lambda r, c: np.ones((len(r), len(c)), bool), metrics=("nmi",))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("kind", [">f2", ">f4", ">f8", "<f4", "f2", "g", ">i4", ">u2", "u4", "i8", "i1", "u1"])
def test_numbers_of_every_type_and_order_of_bytes_are_read(kind: str, similarity: Any) -> None:
    """What another machine or another program has written is what its numbers say."""
    values = np.random.default_rng(0).integers(1, 100, size=(12, 5))
    expected = evaluate_retrieval(values.astype(np.float64), np.arange(12) % 3, similarity=similarity)
    for given in (
        values.astype(kind),
        np.asfortranarray(values.astype(kind)),
        np.repeat(values.astype(kind), 2, 1)[:, ::2],
    ):
        given.flags.writeable = False
        found = evaluate_retrieval(given, (np.arange(12) % 3).astype(">i2"), similarity=similarity)
        assert found.map_at_r == expected.map_at_r
        assert found.recall == expected.recall


def test_what_is_no_number_is_refused() -> None:
    values = np.random.default_rng(0).normal(size=(12, 5))
    masked = np.ma.masked_greater(values, 1)
    for given in (values.astype(object), values > 0, values.astype("c8"), np.zeros(12, [("a", "f4")]), masked):
        with pytest.raises(DataError, match=r"no numbers|masked"):
            evaluate_retrieval(given, np.arange(12) % 3)
