"""The recipes behind docs/results.md: every contender builds and trains, and the tables say what the runs measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from folders import some_birds
from origins import provenance

from bier.data import Manifest, open_source
from bier.method.reranking import parse
from bier.records.history import Epoch, write_history
from bier.records.provenance import Provenance
from bier.runs import build
from bier.settings.reading import load
from bier.system.console import plain_console
from bier.system.files import write_json

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a recipe as running it would."""
    monkeypatch.syspath_prepend(RECIPES)
    return import_module


@pytest.mark.slow
def test_every_contender_of_the_results_builds(recipe: Callable[[str], ModuleType]) -> None:
    results = recipe("results")
    assert len(results.CONTENDERS) == sum(len(group) for group in results.GROUPS.values()), "two contenders of one name"
    for name, contender in results.CONTENDERS.items():
        config = results.BUDGET.replace(**{**contender.settings, "model__weights": "none"})
        model = build.model(config)
        assert sum(model.head.sizes) == (1024 if name.startswith("wide") else 512), name
        build.boosting(config, model.head.sizes, 10)
        build.diversity(config, model.head.sizes)


@pytest.mark.slow
def test_every_head_trains(recipe: Callable[[str], ModuleType]) -> None:
    heads = recipe("heads")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20).repeat_interleave(4)
    features = torch.randn(2, 80, 200, generator=generator) + 2 * torch.randn(20, 200, generator=generator)[labels]
    assert len(heads.CONTENDERS) == sum(len(group) for group in heads.GROUPS.values()), "two contenders of one name"
    for key, whole in heads.CONTENDERS.items():
        contender = replace(whole, steps=3, batch=(16, 4))
        head = heads.train(contender, features, labels, 1e-3, 0)
        found = heads.evaluate(contender, head, features[0], labels)
        assert heads.whole(found["rows"])["recall"]["1"] > 0.5, key


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [False, True])
def test_labels_are_asked_for_in_rounds(
    recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, uneven: bool
) -> None:
    asked = recipe("next")
    monkeypatch.setattr(asked, "HEAD", replace(asked.HEAD, steps=2, sizes=(8, 16)))
    generator = torch.Generator().manual_seed(0)
    codes = np.repeat(np.arange(20), 30)
    features = torch.randn(600, 40, generator=generator) + 2 * torch.randn(20, 40, generator=generator)[codes]
    given, given_codes, held, held_codes = asked.validation(asked.principal(features, 32), codes, 0)
    assert set(given_codes) | set(held_codes) == set(range(20)) and len(set(held_codes)) == 8
    for name, method in asked.METHODS.items():
        judge = asked.judge_on(held, held_codes)
        found = asked.simulated(given, given_codes, method, (20, 30, 40), uneven, 0, judge)
        assert len(found) == 3 and min(found) > 0.2, name
    assert len(asked.thinned(codes, np.random.default_rng(0))) < 300


def measured(recall: float, *, sizes: tuple[int, ...] = (512,)) -> dict[str, Any]:
    """A ``metrics.json`` as far as tables and plots read it."""

    def row(kind: str, learners: list[int], dimensions: int) -> dict[str, Any]:
        values = {"recall": dict.fromkeys("1248", recall), "map_at_r": recall / 2}
        return {"kind": kind, "learners": learners, "dimensions": dimensions, **values}

    every = list(range(len(sizes)))
    rows = [row("ensemble", every, sum(sizes))]
    rows += [row("learner", [m], size) for m, size in enumerate(sizes)]
    rows += [row("prefix", every[: m + 1], sum(sizes[: m + 1])) for m in every]
    return {
        "rows": [*rows, row("features", [], 1280)],
        "correlation": {"features_mean_abs": 0.2, "between_learners_mean_abs": 0.1},
    }


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Two contenders, of which one's name begins with the other's, one of eight learners, and one at 224 px."""
    for dataset in ("cub100", "cars196"):
        write_json(tmp_path / dataset / "pretrained.json", measured(0.4)["rows"][0])
        for name, values, sizes in (
            ("long-ms", (0.5, 0.7), (512,)),
            ("long-ms-bier", (0.8, 0.8), (85, 171, 256)),
            ("eight", (0.25,), (64,) * 8),
            ("large-ms", (0.6, 0.6), (512,)),
        ):
            for seed, value in enumerate(values):
                folder = tmp_path / dataset / f"{name}-{seed}"
                write_json(folder / "metrics.json", measured(value, sizes=sizes))
                provenance(device="a GPU" if name == "large-ms" else "cpu").save(folder)
                write_history(folder, [Epoch(epoch=i, validation={"map_at_r": value * i / 2}) for i in (1, 2)])
        write_json(tmp_path / dataset / "long-ms-rates.json", {"3e-05": 0.1, "0.0001": 0.3, "0.0003": 0.2})
    return tmp_path


def test_tables_keep_contenders_apart(
    recipe: Callable[[str], ModuleType], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe("results").print_tables(finished)
    lines = capsys.readouterr().out.splitlines()
    alone = next(line for line in lines if line.startswith("| multi-similarity, one embedding | 60"))
    assert alone.startswith("| multi-similarity, one embedding | 60.0 ± 14.1 | 60.0, 60.0, 60.0 | 30.0 ± 7.1 |")
    assert alone.endswith("| 2 |")
    assert "| multi-similarity, one embedding | 10.0 | 30.0 | 20.0 |" in lines  # the trials
    assert sum(line.startswith("| BIER, 8 learners |") for line in lines) == 2  # not in the tables of learners 1 to 3
    assert lines.count("Trained on: a GPU.") == 2


def test_validations_are_compared_by_how_they_order_candidates(
    recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, validation = recipe("heads"), recipe("validation")
    by_hand = validation.Judged(
        test=[(0.1, 0.5), (0.2, 0.6), (0.3, 0.9)],
        validation={0: [(0.9, 0.1), (0.8, 0.2), (0.7, 0.3)], 4: [(0.1, 0.0), (0.2, 0.2), (0.3, 0.1)]},
    )
    assert by_hand.agreement(0, 0) == pytest.approx((-1, -1, 40))  # MAP@R takes the worst
    assert by_hand.agreement(4, 0) == pytest.approx((1, 1, 0))
    assert by_hand.agreement(4, 1) == pytest.approx((0.5, 0.5, 30))
    for name in validation.CANDIDATES:
        monkeypatch.setitem(heads.CONTENDERS, name, replace(heads.CONTENDERS[name], steps=2))
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40).repeat_interleave(4)
    features = torch.randn(2, 160, 100, generator=generator) + 0.2 * torch.randn(40, 100, generator=generator)[labels]
    manifest = Manifest.of(
        Path(),
        "made",
        image=[f"{n}.jpg" for n in range(160)],
        label=[str(int(label)) for label in labels],
        split=["train"] * 160,
    )
    judged = validation.judge(heads.Features(features, labels, features[0], labels), manifest, 0)
    alone, among = ([map_at_r for map_at_r, _ in judged.validation[count]] for count in (0, 4))
    assert all(a > b for a, b in zip(alone, among, strict=True)), "more to search among, and none is found wrongly"
    assert len(list(validation.lines([judged]))) == 8


def test_plots_are_drawn_again_byte_for_byte(
    recipe: Callable[[str], ModuleType], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plots = recipe("plots")
    assert len(plots.COLORS) >= len(recipe("results").GROUPS)
    with matplotlib.rc_context():
        drawn = []
        for turn in ("first", "second"):
            to = tmp_path / turn
            to.mkdir()
            arguments = ["plots.py", "--results", str(finished), "--heads", str(tmp_path / "none"), "--to", str(to)]
            monkeypatch.setattr(sys, "argv", arguments)
            plots.main()
            drawn.append({file.name: file.read_text(encoding="utf-8") for file in sorted(to.iterdir())})
    assert drawn[0] == drawn[1]
    for name in ("results-contenders.svg", "results-large.svg", "results-curves.svg"):
        assert "multi-similarity, one embedding" in drawn[0][name]


def test_wrong_labels_are_planted_in_the_training_classes_only(
    recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    rows = [f"{label}-{i}.jpg,{label},{'train' if label in 'abc' else 'test'}" for label in "abcde" for i in range(20)]
    source = tmp_path / "labels.csv"
    source.write_text("image,label,split\n" + "\n".join(rows), encoding="utf-8")
    before = open_source(str(source))
    wrong = recipe("wrong_labels").plant(before, 0.1, 0, tmp_path / "planted.csv")
    after = open_source(str(tmp_path / "planted.csv"))
    changed = before.label != after.label
    assert {str(before.path(int(row)).absolute()) for row in changed.nonzero()[0]} == wrong
    assert changed.sum() == 6
    assert set(before.split[changed]) == {"train"}
    assert set(after.label[changed]) <= set("abc")


def test_the_trial_reports_the_epoch_that_is_kept(recipe: Callable[[str], ModuleType], tmp_path: Path) -> None:
    results = recipe("results")
    history = [
        Epoch(epoch=1, kept=True, validation={"recall@1": 0.9, "map_at_r": 0.5}),
        Epoch(epoch=2, kept=False, validation={"recall@1": 0.8, "map_at_r": 0.6}),
    ]
    write_history(tmp_path, history)
    provenance().save(tmp_path)
    assert results.trial("no source is opened", results.BUDGET, 1e-4, tmp_path, None) == 0.5


@pytest.mark.slow
def test_a_trial_of_all_epochs_is_the_first_seed(
    recipe: Callable[[str], ModuleType], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_birds(photographs, tmp_path / "data" / "cub100", classes=10, images=5)
    results = recipe("results")
    settings = {"image__size": 48, "data__classes_per_batch": 3, "data__images_per_class": 2, "optimizer__epochs": 1}
    tried = results.Contender("tried", {**results.ONE, **settings}, (1e-4, 1e-3), trials_in_full=True)
    monkeypatch.setattr(results, "CONTENDERS", {"tried": tried})
    results.train_all(tmp_path / "data", tmp_path / "out", [0, 1], 0, 2, ["tried"])
    out = tmp_path / "out" / "cub100"
    scores = json.loads((out / "tried-rates.json").read_text(encoding="utf-8"))
    best = max(scores, key=lambda rate: scores[rate])
    assert Provenance.load(out / "tried-0") == Provenance.load(out / f"tried@{float(best):g}"), "trained twice"
    assert [metrics["seed"] for metrics in results.results(tmp_path / "out", "cub100", "tried")] == [0, 1]
    rates = {float(load(out / f"tried-{seed}" / "config.yaml").optimizer.learning_rate) for seed in (0, 1)}
    assert rates == {float(best)}


def test_reranking_is_chosen_on_validation_and_measured_on_test(
    recipe: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rerank = recipe("rerank")
    for name in rerank.GRIDS:
        for text in rerank.choices(name):
            parse(text)
    monkeypatch.setattr(rerank, "GRIDS", {"alpha-qe": {"n": (2,)}, "dba": {"n": (2, 3)}, "k-reciprocal": {"k1": (8,)}})
    monkeypatch.setattr(rerank, "MOST_QUERIES", {"val": 20, "test": 15})
    labels = np.arange(120) % 12
    random = np.random.default_rng(0)
    outputs = random.standard_normal((12, 24))[labels] + 0.8 * random.standard_normal((120, 24))
    split = np.select([labels < 4, labels < 6], ["train", "val"], "test")
    stored = {"outputs": outputs.astype(np.float32), "sizes": [8, 16], "labels": labels, "split": split}
    np.savez(tmp_path / "run.npz", validation=split != "test", **stored)
    rerank.measure(tmp_path / "run", tmp_path, plain_console(quiet=True))
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert set(content["validation"]) == {"plain", "alpha-qe,n=2", "dba,n=2", "dba,n=3", "k-reciprocal,k1=8"}
    best = max(("dba,n=2", "dba,n=3"), key=lambda text: content["validation"][text]["MAP@R"])
    assert content["chosen"]["dba"] == best
    rerank.print_table(tmp_path)
    assert f"| run | {best} (chosen) | {100 * content['test'][best]['R@1']:.1f} |" in capsys.readouterr().out
    rerank.print_cost([300])
    assert capsys.readouterr().out.count("| 300 | 10 / 200 |") == 2


def made_world(marks: ModuleType) -> Any:
    """Features of twenty classes of six pictures that do not exist."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20).repeat_interleave(6)
    features = torch.randn(120, 40, generator=generator) + 2 * torch.randn(20, 40, generator=generator)[labels]
    names = [f"bird_{label}_kind{label % 5}" for label in labels.tolist()]
    manifest = Manifest.of(Path(), "made", image=[f"{n}.jpg" for n in range(120)], label=names, split=["train"] * 120)
    return marks.World(manifest, features, features, labels.numpy())


@pytest.mark.slow
def test_shared_labels_are_compared_with_whole_cells(
    recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, several = recipe("marks"), recipe("several_labels")
    monkeypatch.setattr(marks, "STEPS", 3)
    world = several.few(made_world(marks), 4, 0)
    assert len(world.train) == len(world.features) == 80
    cells = several.cells_of(made_world(marks).train)
    assert cells[0] == "bird_0_kind0|kind0"
    for head in (several.whole_cells(world, 0), several.shared_labels(world, 0)):
        figures = several.figures(world, head, cells)
        assert figures["the same species, Recall@1"] <= figures["a shared label, Recall@1"] <= 1


@pytest.mark.slow
def test_marks_are_simulated_through_the_code_that_trains(
    recipe: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = recipe("marks")
    monkeypatch.setattr(marks, "STEPS", 3)
    monkeypatch.setattr(marks, "COUNTS", (10, 1000))
    world = made_world(marks)
    manifest, names = world.train, world.train.label.tolist()
    figures = dict(marks.simulate(world, 0, ["pairs", "places"], tmp_path))
    assert len(figures) == 2 + 2 * 4
    assert all(0 < figure <= 1 for figure in figures.values())
    assert figures["uploads with a class, of all, by 10"] < figures["uploads with a class, of all, by 1,000"]
    found = marks.marks(world, marks.catalogue(manifest.label, 0), lambda given: given, 1000, 0)
    assert all((names[int(mark.sha256, 16)] == names[int(mark.result[:-4])]) == mark.same for mark in found)
