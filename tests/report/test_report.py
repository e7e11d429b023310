"""The page as a browser and its reader meet it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bier.errors import BierError, DataError, StorageError
from bier.records.bits import packed
from bier.records.run import RunRecords
from bier.report import write_report
from bier.report.charts import validation_chart, validation_map_chart


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_headline_says_what_was_reached_on_what(write_run, report):
    page = report(write_run())
    assert (
        "From 70.1\u00a0% (pretrained features) to 81.2\u00a0% Recall@1, MAP@R 36.5 to 42.2; whitening alone: "
        "77.2\u00a0%.\nBIER finds a right match first for 81.2\u00a0% of 2,953 pictures of 50 classes it never saw.\n"
    ) in page.text


def test_a_run_that_became_worse_says_so_first(write_run, report):
    run = write_run()
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    change(run / "metrics.json", rows=[rows[0], rows[2] | {"kind": "untrained"}, rows[1] | {"kind": "ensemble"}])
    text = report(run).text
    assert "Training made it worse than trained embedding alone. From 70.1" in text
    assert "Try a lower optimizer.learning_rate, fewer optimizer.epochs, or more classes." in text


def test_a_run_whose_start_is_not_known_says_what_it_finds(write_run, report):
    """As `bier evaluate` wrote them before there were rows from before training."""
    run = write_run(format="bier-metrics-1")
    rows = json.loads((run / "metrics.json").read_text())["rows"][2:]
    change(run / "metrics.json", rows=[{key: row[key] for key in row if key != "first_right"} for row in rows])
    page = report(run)
    assert "BIER finds a right match first for 81.2\u00a0% of 2,953 pictures of 50 classes it never saw.\n" in page.text
    assert "From" not in page.text[: page.text.index("What it finds")]
    assert page.text.count("finds a right match first") == 1
    new = write_run("new", seed=3)
    assert "“bier” is the best of 2 runs. Recall@1: 81.2\u00a0%. The other: 78.2\u00a0%." in report(run, new).text


@pytest.mark.parametrize(
    ("split", "words"), [("train", "50 classes it was trained on"), ("val", "50 classes held out to choose the epoch")]
)
def test_headline_claims_unseen_classes_only_of_the_test_split(write_run, report, split, words):
    page = report(write_run(split=split))
    assert words in page.text
    assert "never saw" not in page.text


def test_every_figure_of_the_metrics_stands_in_the_table(write_run, report):
    run = write_run()
    page = report(run)
    for row in json.loads((run / "metrics.json").read_text())["rows"]:
        values = [*row["recall"].values(), row["map_at_r"], row["r_precision"]]
        cells = [cell.removesuffix(" (best)") for cell in page.row(row["name"])[1:]]
        assert cells == [str(row["dimensions"]), *(f"{100 * value:.1f}" for value in values)]
    assert page.row("trained embedding")[2] == "81.2 (best)"
    assert page.row("first 3 learners")[2] == "81.2 (best)", "equal as shown, both are best"
    assert page.row("trained features")[2] == "76.8"


def test_draws_show_their_spread(write_run, report):
    run = write_run(draws=10)
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    change(run / "metrics.json", rows=[rows[2] | {"recall_std": {"1": 0.0042}, "map_at_r_std": None}])
    page = report(run)
    assert page.row("trained embedding")[2] == "81.2 ±0.4 (best)"
    assert "mean of 10 draws" in page.text


def test_training_weights_correlation_and_origin_are_told(write_run, report):
    page = report(write_run())
    assert "Epoch 7 of 10 was kept" in page.text
    charts = [attributes["aria-label"] for attributes in page.all("svg") if attributes.get("role") == "img"]
    for told in (
        "highest 77.4\u00a0% in epoch 7",
        "learners 1 and 2: 0.61; 1 and 3: 0.52",
        "81.2 at 1",
        "74.5 with 85",
    ):
        assert any(told in chart for chart in charts), told
    assert sum("Boosting weights of learner" in chart for chart in charts) == 3
    assert "All weigh about the same." in page.text
    assert "On average 0.40 for positive pairs, 0.75 for negative pairs." in page.text
    for told in ("512 dimensions = 85 + 171 + 256", "9f8a6c21d0", "52 min", "torch", "schedule: additive"):
        assert told in page.text


def test_the_hardest_pairs_of_the_last_epoch_are_shown(write_run, report, pictures):
    run = write_run()
    assert "hardest for the last learner" not in report(run).text
    (one, label), (other, another) = pictures[0], pictures[1]
    pair = [{"image": str(one), "label": label}, {"image": str(other), "label": another}]
    lines = (run / "history.jsonl").read_text().splitlines()
    last = json.loads(lines[-1]) | {"hardest": {"positive": [], "negative": [{"weight": 0.987, "pictures": pair}]}}
    (run / "history.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]))
    page = report(run)
    assert "class 0 · class 1" in page.text
    assert "0.99" in page.text
    assert "Of two classes, but seen as alike" in page.text
    assert "Of one class, but seen as different" not in page.text
    shown = [attributes["alt"] for attributes in page.all("img")]
    assert {"class 0", "class 1"} <= set(shown)


def test_the_page_needs_nothing_beside_itself(write_run, report):
    page = report(write_run(), write_run("other", seed=1))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), (tag, name)
    assert {"script", "iframe", "object", "base"}.isdisjoint(tag for tag, _ in page.tags)
    assert "@import" not in page.html
    assert "url(" not in page.html
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"][1:] for link in page.all("a")} <= anchors


def test_pictures_have_words_and_marks_beside_colours(write_run, report):
    page = report(write_run(queries=6))
    images = page.all("img")
    assert len(images) == 6 * 9
    alts = [image["alt"] for image in images]
    assert alts[0] == "Query: class 1", "the typical one"
    right, wrong = (sum(word in alt for alt in alts) for word in (", right: ", ", wrong: "))
    assert right + wrong == 6 * 8
    marks = [attributes["class"] for attributes in page.all("span") if "tick" in (attributes.get("class") or "")]
    # One of each in the legend.
    assert (marks.count("tick"), marks.count("tick wrong")) == (right + 1, wrong + 1)


def test_typical_cases_come_first_and_the_worst_last(write_run, report):
    run = write_run(queries=6)
    entries = json.loads((run / "metrics.json").read_text())["neighbours"]
    change(run / "metrics.json", neighbours=entries[::-1])
    text = report(run).text
    assert 0 < text.index("Typical cases") < text.index("Best cases") < text.index("Worst cases")


def test_a_comparison_begins_with_a_typical_query(write_run, report, pictures):
    one, two = write_run("one", queries=6), write_run("two", queries=6)
    typical = next(entry for entry in RunRecords.load(one).metrics.neighbours if entry.group == "typical")
    first = report(one, two).all("img")[0]
    assert first["title"] == f"{typical.query.path.parent.name}/{typical.query.path.name}"


def test_thumbnails_are_small_and_carry_no_metadata(write_run, report, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x8825] = "SecretCamera", {1: "N", 2: (48.0, 12.0, 0.0)}
    exif[0x0112] = 6
    path = tmp_path / "with_exif.jpg"
    Image.new("RGB", (600, 300), "teal").save(path, exif=exif, comment=b"SecretComment")
    page = report(write_run(neighbours=[{"query": {"image": str(path), "label": "x"}, "hits": [], "group": "best"}]))
    (picture,) = page.all("img")
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size, len(image.getexif())) == ("JPEG", (56, 112), 0), "upright and without EXIF"
    assert b"Secret" not in data


def test_boxes_are_cut_only_where_the_model_saw_them_cut(write_run, report, pictures):
    query = {"image": str(pictures[0][0]), "label": "x", "bbox": [0, 0, 20, 40]}
    run = write_run(neighbours=[{"query": query, "hits": [], "group": "best"}])

    def size() -> tuple[int, int]:
        data = report(run).all("img")[0]["src"].partition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(data))).size

    assert size() == (60, 40)
    (run / "config.yaml").write_text("data: {crop_to_bbox: true}\n")
    assert size() == (20, 40)


def test_other_peoples_text_never_becomes_markup(write_run, report, tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    hits = [{"image": f"/nowhere/{evil}.jpg", "label": evil, "score": 1.0, "correct": False}]
    entry = {"query": {"image": str(tmp_path / evil), "label": evil, "name": evil}, "hits": hits, "group": evil}
    run = write_run(name="evil", source=evil, protocol=evil, unreadable=[evil], conventions=[evil], neighbours=[entry])
    change(run / "metrics.json", name=evil, created=evil)
    change(run / "provenance.json", command=evil, device=evil, versions={evil: evil})
    (run / "config.yaml").write_text(json.dumps({"model": {"backbone": evil}, "loss": {"name": evil}, evil: evil}))
    page = report(run, write_run("other"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text


def test_several_runs_are_compared_first_and_then_shown_each(write_run, report):
    page = report(write_run("plain", seed=3), write_run("boosted"), write_run("other", seed=1))
    assert (
        "“boosted” is the best of 3 runs. From 70.1\u00a0% (pretrained features) to 81.2\u00a0% Recall@1. "
        "The others: 80.2\u00a0% and 78.2\u00a0%.\n"
    ) in page.text
    for name, first in (("pretrained features", "70.1"), ("trained features", "76.8")):
        assert page.row(f"all: {name}")[2] == first, "said once where it is the same, and best of nothing"
    assert page.row("A · plain")[2] == "78.2"
    assert page.row("B · boosted")[2] == "81.2 (best)"
    assert page.row("seed") == ["seed", "3", "0", "1"]
    order = [
        page.text.index(words) for words in ("The runs side by side", "The same queries, answered", "What it finds")
    ]
    assert order == sorted(order)
    assert page.text.count("What it finds") == 3
    charts = [attributes["aria-label"] for attributes in page.all("svg") if attributes.get("role") == "img"]
    assert any("A ends at" in chart and "C ends at" in chart for chart in charts)


def test_a_setting_that_nobody_gave_is_called_default(write_run, report):
    one, other = write_run("one"), write_run("other")
    config = one / "config.yaml"
    config.write_text(config.read_text().replace("learners: 3", "learners: null"))
    assert report(one, other).row("model.learners") == ["model.learners", "default", "3"]


def test_one_picture_makes_no_first_place(write_run, report):
    one, two = write_run("one"), write_run("two")
    rows = json.loads((two / "metrics.json").read_text())["rows"]
    [whole] = (row for row in rows if row["kind"] == "ensemble")
    whole["first_right"] = packed(np.arange(2953) < 0.8123 * 2953 - 1)
    whole["recall"]["1"] -= 1 / 2953
    change(two / "metrics.json", rows=rows)
    told = "From 70.1\u00a0% (pretrained features) to 81.2\u00a0% (“one”) and 81.2\u00a0% (“two”) Recall@1. "
    nothing = "no difference that these 2,953 pictures could show."
    assert f"{told}Between them: {nothing}\n" in report(one, two).text
    text = report(one, two, write_run("three", seed=1)).text
    assert f"{told}Between these 2 of 3 runs: {nothing} The other: 80.2\u00a0%.\n" in text


def test_runs_on_other_pictures_are_not_ranked(write_run, report):
    page = report(write_run("one"), write_run("two", source="cars196", queries=5, classes=98))
    assert "2 runs, measured on different pictures" in page.text
    assert page.row("A · one")[2] == "81.2", "nothing is best"
    assert "(best)" in page.text, "but in each run's own table"


def test_shared_queries_show_each_runs_answer(write_run, report, pictures):
    page = report(write_run("one", queries=2), write_run("two", queries=4, seed=1))
    between = page.text[page.text.index("The same queries") : page.text.index("What it finds")]
    assert between.count("A · one: first right match") == 2
    assert between.count("B · two: first right match") == 2


def test_a_run_with_metrics_alone_and_missing_pictures_is_still_shown(write_run, report, pictures):
    run = write_run(correlation=None)
    for name in ("history.jsonl", "config.yaml", "provenance.json"):
        (run / name).unlink()
    for path, _ in pictures:
        path.unlink()
    page = report(run)
    assert "81.2 (best)" in page.row("trained embedding")
    assert page.all("img") == []
    assert pictures[0][0].name in page.text
    assert "no training curves" in page.text


def test_one_learner_is_no_ensemble(write_run, report):
    run = write_run()
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    change(run / "metrics.json", rows=[rows[2], rows[3], rows[-1]], correlation={"learners": [[1.0]]})
    page = report(run)
    assert "One plain embedding finds" in page.text
    assert "nothing is shared" in page.text
    assert [row[0] for row in page.rows if len(row) == 8][1:] == ["trained embedding", "trained features"]


def test_an_unboosted_ensemble_is_not_called_bier(write_run, report):
    run = write_run()
    (run / "config.yaml").write_text("loss: {name: contrastive, schedule: independent}\n")
    page = report(run)
    assert "An ensemble without boosting finds" in page.text
    assert "nothing was boosted" in page.text


def test_a_resumed_epoch_counts_once_and_gaps_are_allowed(write_run, report):
    run = write_run()
    with (run / "history.jsonl").open("a") as file:
        file.write('{"epoch": 10, "loss": NaN, "learner_losses": [], "validation": {"recall@1": 0.9}}\n\n')
    history = RunRecords.load(run).history
    assert [epoch.epoch for epoch in history] == list(range(1, 11))
    assert "Epoch 10 of 10 was kept" in report(run).text


def broken(name: str, text: str):
    return lambda run: (run / name).write_text(text)


METRICS = '{"format": "bier-metrics-2", "queries": 2, "gallery": 2, "classes": 1,\n "rows": '


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: (run / "metrics.json").unlink(), "bier evaluate"),
        (broken("metrics.json", '{\n "format": oops\n}'), "metrics.json:2: broken JSON"),
        (broken("metrics.json", ""), "metrics.json:1: broken JSON"),
        (broken("metrics.json", "[]"), "expected an object"),
        (broken("metrics.json", '{"format": "bier-metrics-9"}'), "format is 'bier-metrics-9', not 'bier-metrics-2'"),
        (broken("metrics.json", METRICS + "[]}"), "must hold the ensemble"),
        (broken("metrics.json", METRICS + '[{"name": "x"}]}'), "the field 'rows[0].kind' is missing"),
        (broken("metrics.json", METRICS + "7}"), "'rows' does not fit: expected a list, found 7"),
        (broken("history.jsonl", '{"epoch": 1}\n{"epoch": 2'), "history.jsonl:2: broken JSON"),
        (broken("history.jsonl", '{"epoch": 1}\n{"step": 2}'), "history.jsonl:2: the field 'epoch' is missing"),
        (broken("config.yaml", "a: 1\nb: [\n"), "config.yaml:3: broken YAML"),
        (broken("provenance.json", "{"), "provenance.json:1: broken JSON"),
        (lambda run: (run / "metrics.json").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line_and_a_remedy(write_run, report, harm, words):
    run = write_run()
    harm(run)
    with pytest.raises(DataError) as caught:
        report(run)
    assert words in str(caught.value)
    assert caught.value.remedy


def test_a_folder_that_is_not_there_and_no_folder(tmp_path, report):
    with pytest.raises(DataError, match="no such run folder"):
        report(tmp_path / "nothing")
    with pytest.raises(DataError, match="no run"):
        report()


def test_an_old_report_survives_a_failed_one(write_run, tmp_path, monkeypatch):
    output = tmp_path / "report.html"
    write_report([write_run()], output)
    before = output.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_report([write_run("other")], output)
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*report*")) == ["report.html"], "no draft is left"


def test_places_that_cannot_be_written(write_run, tmp_path):
    run = write_run()
    (tmp_path / "file").write_text("")
    for output in (tmp_path, tmp_path / "file" / "report.html"):
        with pytest.raises(BierError, match="cannot be written"):
            write_report([run], output)


def test_real_photographs_stay_below_six_megabytes(photographs, write_run, report):
    folder = photographs / "cub100" / "images"
    found = [(path, path.parent.name) for path in sorted(folder.glob("*/*.jpg"))[::3]]
    page = report(write_run(of=found, queries=48))
    assert len(page.all("img")) == 48 * 9
    assert 1_000_000 < len(page.html) < 6_000_000
    assert os.fspath(folder) not in page.html, "only the last folder of a path is told"


def test_of_equal_epochs_the_first_was_kept(write_run, report):
    run = write_run()
    record = {"loss": 1.0, "learner_losses": [1.0]}
    recalls = [0.5, 0.7, 0.7, 0.6]
    lines = [json.dumps({"epoch": i, "validation": {"recall@1": r}} | record) for i, r in enumerate(recalls, 1)]
    (run / "history.jsonl").write_text("\n".join(lines))
    assert "Epoch 2 of 4 was kept" in report(run).text


def test_the_line_of_validation_goes_on_over_epochs_that_were_not_validated(write_run):
    run = write_run()
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    few = [{**line, "validation": line["validation"] if line["epoch"] % 3 == 0 else None} for line in lines]
    (run / "history.jsonl").write_text("\n".join(map(json.dumps, few)) + "\n")
    charts = [validation_chart(RunRecords.load(run)), validation_map_chart(RunRecords.load(run))]
    for chart in charts:
        [points] = re.findall(r'<polyline points="([^"]*)"', chart)
        assert len(points.split()) == sum(line["epoch"] % 3 == 0 for line in lines)
