"""The contract: every engine gives the same answers, and the exact ones."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ensembles import fitted

from bier.errors import SearchError
from bier.search import IndexInfo, Rows, StagedSearch, create_index, open_index
from bier.search.fill import fill as filling

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))

ODD_IDS = ["photo 1.jpg", "日本/é.jpg", "o'clock", 'say "hi"', "back\\slash"]
ODD_IDS += ["a') OR ('1'='1", '"] or id != "', "{id}%_", "\n\t", "x" * 4096]


def vectors(count, seed=0):
    return fitted(np.random.default_rng(seed).standard_normal((count, 6)), INFO)


def fill(index, count=60, seed=0, labels="abc"):
    stored = vectors(count, seed)
    ids = [f"id-{row:03}" for row in range(count)]
    index.add(ids, stored, [{"image": f"/{name}.jpg", "label": labels[row % 3]} for row, name in enumerate(ids)])
    return ids, stored


def names(hits):
    return [hit.id for hit in hits]


def test_answers_are_the_exact_ones_and_survive_reopening(index):
    ids, stored = fill(index)
    queries = vectors(5, seed=1)
    scores = queries.astype(np.float64) @ stored.astype(np.float64).T
    for opened in (index, open_index(index.folder)):
        for query, hits in enumerate(opened.search(queries, top=7)):
            best = np.argsort(-scores[query])[:7]
            assert names(hits) == [ids[row] for row in best]
            assert [hit.score for hit in hits] == pytest.approx(scores[query][best], abs=1e-5)
            assert hits[0].metadata == {"image": f"/{hits[0].id}.jpg", "label": "abc"[best[0] % 3]}
        assert opened.count() == 60
        assert opened.info == index.info
        opened.close()


def test_an_id_that_is_there_is_replaced_and_the_last_of_two_counts(index):
    fill(index, 5)
    new = vectors(3, seed=2)
    index.add(["id-001", "new", "new"], new, [{"label": "x"}, {"label": "y"}, {"image": "z"}])
    assert index.count() == 6
    one, missing, two = index.get(["id-001", "id-999", "new"])
    assert missing is None
    assert (one.metadata, two.metadata) == ({"image": None, "label": "x"}, {"image": "z", "label": None})
    assert np.array_equal([one.vector, two.vector], new[[0, 2]])


def test_deleting(index):
    fill(index, 6)
    assert index.delete(["id-002", "id-002", "not there"]) == 1
    assert index.delete([]) == index.delete(["id-002"]) == 0
    assert (index.count(), index.get(["id-002"])) == (5, [None])
    assert "id-002" not in names(index.search(vectors(1), top=10)[0])
    index.flush()
    with open_index(index.folder) as again:
        assert again.count() == 5


def test_filters(index):
    fill(index, 30)
    index.add(["none"], vectors(1), [{"image": "/none.jpg"}])
    assert index.count({"label": "a"}) == 10
    assert index.count({"label": ["a", None]}) == 11
    assert index.count({"label": []}) == 0
    assert index.count({"label": ["b", "c"], "image": "/id-001.jpg"}) == 1
    [hits] = index.search(vectors(1), top=50, where={"label": ["b", None]})
    assert {hit.metadata["label"] for hit in hits} == {"b", None}
    assert len(hits) == 11


def test_no_id_or_value_is_ever_taken_for_a_command(index):
    fill(index, 3)
    index.add(ODD_IDS, vectors(len(ODD_IDS)), [{"label": name} for name in ODD_IDS])
    for name in ODD_IDS:
        assert [record.id for record in index.get([name])] == [name]
        assert index.count({"label": name}) == 1
    assert names(index.search(vectors(1), top=1, where={"label": ODD_IDS[5]})[0]) == [ODD_IDS[5]]
    assert index.delete(ODD_IDS[5:7]) == 2
    assert sorted(name for rows in index.scan() for name in rows.ids if not name.startswith("id-")) == sorted(
        ODD_IDS[:5] + ODD_IDS[7:]
    )


ODD_FIELDS = (
    "select",
    "order",
    "group",
    "from",
    "where",
    "null",
    "true",
    "in",
    "and",
    "not",
    "like",
    "exists",
    "table",
)
ODD_FIELDS += (
    "a b",
    "Shop",
    "ID",
    "it's",
    'say "hi"',
    "`tick`",
    "a.b",
    "größe",
    "1st",
    "X61",
    "_distance",
    "$(x)",
    "x" * 63,
)


def test_the_values_of_a_field_are_read_alone(index):
    fill(index, 7)
    index.add(["id-000", "new"], vectors(2, seed=1), [{"label": None}, {"label": "ä"}])
    index.delete(["id-001"])
    for opened in (index, open_index(index.folder)):
        found = [value for batch in opened.values("label") for value in batch]
        assert Counter(found) == {"a": 2, "b": 1, "c": 2, "ä": 1, None: 1}
        opened.close()
    with pytest.raises(SearchError, match="no field 'lable'"):
        list(index.values("lable"))


def test_a_field_may_be_called_anything(make):
    index = make(info=replace(INFO, fields=ODD_FIELDS))
    rows = [{field: f"{field} of {row}" for field in ODD_FIELDS} for row in range(3)]
    rows[2] |= dict.fromkeys(ODD_FIELDS[::2])
    index.add(["0", "1", "2"], vectors(3), rows)
    for opened in (index, open_index(index.folder)):
        assert [record.metadata for record in opened.get(["0", "1", "2"])] == rows
        assert [record.metadata for batch in opened.scan() for record in batch.records() if record.id == "2"] == rows[
            2:
        ]
        for place, field in enumerate(ODD_FIELDS):
            assert opened.count({field: f"{field} of 1"}) == 1
            assert opened.count({field: None}) == (place % 2 == 0)
            [hits] = opened.search(vectors(1), where={field: [f"{field} of 0", f"{field} of 1"]})
            assert sorted(names(hits)) == ["0", "1"]
    opened.close()


def test_equal_scores_come_in_the_order_of_their_ids(index):
    # More of them than are fetched at first, and not in the order of insertion.
    ids = [f"{row:03}" for row in np.random.default_rng(0).permutation(100)]
    index.add(ids, np.tile(vectors(1, seed=7), (100, 1)), [{}] * 100)
    index.add(["best"], vectors(1), [{}])
    [hits] = index.search(vectors(1)[0], top=4)
    assert names(hits) == ["best", "000", "001", "002"]


@pytest.mark.parametrize("engine", ["lancedb", "exact"])
def test_float16_is_what_is_stored_and_what_scores_are_of(engine, tmp_path):
    info = replace(INFO, storage="float16")
    queries = vectors(5, seed=1)
    with create_index(tmp_path / "index", info, engine) as index:
        ids, given = fill(index)
        stored = given.astype(np.float16).astype(np.float32)
        assert not np.array_equal(stored, given)
    with open_index(tmp_path / "index") as index:
        assert index.info.storage == "float16"
        assert np.array_equal([record.vector for record in index.get(ids)], stored)
        scores = (queries.astype(np.float64)[:, None] * stored.astype(np.float64)).sum(2)
        for answers in (index.search(queries, 7), [index.search(query, 7)[0] for query in queries]):
            for score, hits in zip(scores, answers, strict=True):
                assert names(hits) == [ids[row] for row in np.argsort(-score)[:7]]
                assert [hit.score for hit in hits] == sorted(score, reverse=True)[:7]
        staged = StagedSearch(index, shortlist=60)
        assert staged.search(queries, 7) == index.search(queries, 7)
        assert {block.vectors.dtype for block in staged._now.cascade.blocks} == {np.dtype(np.float16)}
        again = Rows(ids, given, [{**record.metadata} for record in index.get(ids)])
        assert filling(index, [again]).unchanged == len(ids)
    big = replace(info, scales=(5e5, 8e5))
    with create_index(tmp_path / "big", big, engine) as index, pytest.raises(SearchError, match="fit into float16"):
        index.add(["a"], vectors(1) * 1e6, [{}])


def test_an_index_of_float32_says_what_it_said_before(index):
    content = json.loads((index.folder / "index.json").read_text())
    assert "storage" not in content
    assert index.info.storage == "float32"
    with pytest.raises(SearchError, match="storage is int8"):
        replace(INFO, storage="int8")


def test_an_empty_index_and_more_hits_than_pictures(index):
    assert index.search(vectors(2), top=3) == [[], []]
    assert (index.count(), index.get(["a"]), index.delete(["a"]), list(index.scan())) == (0, [None], 0, [])
    index.flush()
    index.add([], np.empty((0, 6)), [])
    fill(index, 3)
    assert len(index.search(vectors(1), top=1000)[0]) == 3


def test_a_scan_gives_every_row_once(index):
    ids, stored = fill(index, 50)
    batches = list(index.scan(batch=20))
    assert max(map(len, batches)) <= 20
    found = {record.id: record.vector for rows in batches for record in rows.records()}
    assert all(np.array_equal(found[name], vector) for name, vector in zip(ids, stored, strict=True))
    assert sum(map(len, batches)) == 50


def test_what_does_not_fit_is_refused_and_nothing_is_stored(index):
    broken = vectors(2)
    broken[1, 3] = np.nan
    good = [{}, {}]
    for ids, given, metadata, message in [
        (["a", "b"], broken, good, "NaN or infinity in row 1"),
        (["a", "b"], np.full((2, 6), 1e39), good, "NaN or infinity in row 0"),
        (["a", "b"], np.ones((2, 5)), good, "6 dimensions"),
        (
            ["a", "b"],
            vectors(2) * [[1], [2]],
            good,
            "row 1 of the vectors does not fit .* learner 1 has the length 1, n",
        ),
        (["a", "b"], np.zeros((2, 6)), good, "learner 1 has the length 0, not 0.5"),
        (["a"], vectors(2), good, "do not match"),
        (["a", ""], vectors(2), good, "cannot be an id"),
        (["a", "b\0"], vectors(2), good, "cannot be an id"),
        (["a", "\udcff"], vectors(2), good, "cannot be an id"),
        (["a", "y" * 4097], vectors(2), good, "cannot be an id"),
        (["a", "b"], vectors(2), [{}, {"lable": "x"}], "did you mean 'label'"),
        (["a", "b"], vectors(2), [{}, {"label": 3}], "cannot be a value"),
    ]:
        with pytest.raises(SearchError, match=message):
            index.add(ids, given, metadata)
    for query, options, message in [
        (np.full(6, np.inf), {}, "NaN or infinity"),
        (np.ones(7), {}, "6 dimensions"),
        (np.zeros(6), {}, "row 0 of the queries is all zeros"),
        ([vectors(1)[0], np.zeros(6)], {}, "row 1 of the queries is all zeros"),
        (np.ones(6), {"where": {"price": "1"}}, "no field 'price'"),
        (np.ones(6), {"where": {"id' OR 1=1 --": "1"}}, "no field"),
        (np.ones(6), {"top": 0}, "out of range"),
    ]:
        with pytest.raises(SearchError, match=message):
            index.search(query, **options)
    assert index.count() == 0


def test_threads_that_search_and_add_at_once(index):
    fill(index, 30)
    errors = []

    def work(number):
        try:
            for step in range(5):
                if number % 2:
                    index.add([f"{number}-{step}"], vectors(1, seed=step), [{}])
                else:
                    assert len(index.search(vectors(1), top=10)[0]) == 10
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert index.count() == 40


def test_another_opening_of_the_index_sees_what_was_added(index):
    other = open_index(index.folder)
    fill(index, 4)
    assert other.count() == 4
    other.delete(["id-000"])
    index.flush()
    assert names(index.search(vectors(1), top=9)[0]) == names(other.search(vectors(1), top=9)[0])
    other.close()


@pytest.mark.parametrize("damage", ["missing", "not json", "another format", "unknown engine", "folder of something"])
def test_a_folder_that_is_no_index_is_named_as_such(tmp_path, damage):
    folder = tmp_path / "index"
    create_index(folder, INFO, "exact").close()
    file = folder / "index.json"
    text = file.read_text()
    changes = {
        "not json": text[:-20],
        "another format": text.replace("bier-index-1", "bier-index-9"),
        "unknown engine": text.replace("exact", "lancdb"),
    }
    if damage in changes:
        file.write_text(changes[damage])
    else:
        file.unlink()
    with pytest.raises(SearchError) as raised:
        open_index(folder if damage != "folder of something" else tmp_path / "nothing")
    assert str(tmp_path) in str(raised.value)
    assert "→" in str(raised.value)


def test_an_index_is_never_made_over_something_else(tmp_path):
    create_index(tmp_path / "index", INFO, "exact").close()
    with pytest.raises(SearchError, match="there is an index already"):
        create_index(tmp_path / "index", INFO, "exact").close()
    with pytest.raises(SearchError, match="not an empty folder"):
        create_index(tmp_path, INFO, "exact")
    with pytest.raises(SearchError, match="did you mean 'lancedb'"):
        create_index(tmp_path / "other", INFO, "lancedbb")
    for fields in (("id",), ("vector",), ("",), ("a\0b",), ("\n",), ("\udcff",), ("x" * 64,), (3,), ("a", "a"), "ab"):
        with pytest.raises(SearchError, match=r"cannot be called|fields are"):
            replace(INFO, fields=fields)
