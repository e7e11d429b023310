"""An index of objects: in step with its table, rebuilt, checked, and looked through for copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from colours import Colours, rows_of
from objects import BOXES, IDS, ROWS, listed, street

from bier.data.images import read_image
from bier.data.thumbnails import Thumbnails
from bier.search import Hit, Index, IndexInfo, Rows, create_index, open_index, rebuild_index
from bier.search.check import check_index
from bier.search.duplicates import duplicates
from bier.search.fill import fill
from bier.search.page import write_page
from bier.search.seen_files import SeenFiles, Watched
from bier.search.sync import Synced, sync
from bier.vectors.catalogue import embedded
from bier.vectors.sources import open_catalogue

ENCODER = Colours(1)
KINDS = {"price": "whole", "bbox": "box"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return street(tmp_path / "photos")


@pytest.fixture(params=["exact", pytest.param("lancedb", marks=pytest.mark.slow)])
def index(request: pytest.FixtureRequest, tmp_path: Path, table: Path) -> Iterator[Index]:
    """Made as `bier index --objects` makes it."""
    info = IndexInfo(ENCODER.fingerprint, ENCODER.sizes, ENCODER.scales, fields=("image", "label", *KINDS), types=KINDS)
    with create_index(tmp_path / "index", info, request.param) as made:
        source = Watched(open_catalogue(table, objects=True))
        pictures = embedded(ENCODER, source, pytest.fail)
        fill(made, pictures, stored=lambda rows: source.stored(SeenFiles(made.folder), rows))
        yield made


def synced(index: Index, table: Path, **options: Any) -> tuple[tuple[int, ...], list[str], int]:
    """What was added, replaced, described and left; what has gone; and how many were embedded."""
    before = ENCODER.seen
    found: Synced = sync(index, ENCODER, open_catalogue(table, objects=True), **options)
    return (found.added, found.replaced, found.described, found.unchanged), sorted(found.gone), ENCODER.seen - before


def expected(model: Colours, table: Path, names: list[str] = IDS) -> dict[str, bytes]:
    boxes = dict(zip(IDS, BOXES, strict=True))
    parts = [model.prepare(table.parent / name.partition("#")[0], box=boxes[name]) for name in names]
    return {name: vector.tobytes() for name, vector in zip(names, model.encode(parts).numpy(), strict=True)}


def vectors(index: Index) -> dict[str, bytes]:
    return {name: vector for name, (_, vector) in rows_of(index).items()}


def test_sync_embeds_what_is_new_and_removes_boxes_that_have_gone(index: Index, table: Path) -> None:
    assert vectors(index) == expected(ENCODER, table)
    assert synced(index, table) == ((0, 0, 0, 4), [], 0)
    listed(table.parent, [row.replace(",6", ",60") for row in ROWS[::-1]])
    assert synced(index, table) == ((0, 0, 1, 3), [], 0)

    listed(table.parent, [ROWS[0], ROWS[1].replace("20 0", "19 0"), *ROWS[2:]])
    assert synced(index, table) == ((1, 0, 0, 3), [IDS[1]], 1)
    listed(table.parent, [ROWS[0], ROWS[2].replace(",,", ",0 0 9 9,"), ROWS[3]])
    assert synced(index, table)[:2] == ((1, 0, 0, 2), ["street.png#19,0,20,16", "yard/yard.png"])

    street(table.parent)
    os.utime(table.parent / "street.png", ns=(0, 0))
    assert synced(index, table)[1] == ["yard/yard.png#0,0,9,9"]
    assert vectors(index) == expected(ENCODER, table)
    (table.parent / "yard" / "yard.png").unlink()
    listed(table.parent, [row for row in ROWS if "yard" not in row])
    assert synced(index, table) == ((0, 0, 0, 3), ["yard/yard.png"], 0)


def test_a_changed_file_changes_all_its_objects(index: Index, table: Path) -> None:
    os.utime(table.parent / "street.png", ns=(0, 0))
    assert synced(index, table)[::2] == ((0, 0, 0, 4), 3)  # embedded again, and found to be the same


def test_what_cannot_be_read_stays_and_hides_nothing_that_has_gone(index: Index, table: Path) -> None:
    listed(table.parent, [ROWS[0], ROWS[2], ROWS[3], "street.png,ghost,900 0 9 9,1"])
    told: list[str] = []
    assert synced(index, table, failed=lambda image, what: told.append(image)) == ((0, 0, 0, 3), [IDS[1]], 0)
    assert told == [f"{table.parent}/street.png#900,0,9,9"]
    (table.parent / "street.png").write_bytes(b"no picture")
    assert synced(index, table, failed=lambda image, what: None) == ((0, 0, 0, 1), [], 0)
    assert sorted(vectors(index)) == sorted([IDS[0], IDS[2], IDS[3]])


def test_whole_pictures_of_another_source_leave_objects_alone(index: Index, table: Path) -> None:
    found = sync(index, ENCODER, open_catalogue(table.parent / "yard"), prefix="whole/")
    assert (found.added, found.gone) == (1, [])
    assert synced(index, table) == ((0, 0, 0, 4), [], 0)
    picture = table.parent / "street.png"
    whole = Rows(["street.png"], ENCODER.encode([ENCODER.prepare(picture)]).numpy(), [{"image": str(picture)}])
    assert fill(index, [whole]).gone == []


def test_a_rebuilt_index_holds_the_same_objects(index: Index, table: Path) -> None:
    before, new = rows_of(index), Colours(2)
    index.close()
    rebuilt = rebuild_index(index.folder, new)
    assert rebuilt is not None and (rebuilt.pictures, rebuilt.unread) == (4, [])
    with open_index(index.folder) as after:
        assert vectors(after) == expected(new, table)
        assert {name: row[0] for name, row in rows_of(after).items()} == {n: row[0] for n, row in before.items()}
        assert sync(after, new, open_catalogue(table, objects=True)).unchanged == 4
        assert check_index(after).pictures == 4


def test_objects_of_one_picture_are_no_copies_of_one_another(index: Index, table: Path) -> None:
    assert duplicates(index, 0.01, look=True).groups() == []
    [row] = index.get([IDS[0]])
    index.add(["copy"], row.vector[None], [row.metadata])
    index.add(["larger"], row.vector[None], [{**row.metadata, "bbox": "0,0,21,17"}])
    found = duplicates(index, 0.98, look=True)
    assert found.groups() == [["copy", "larger", IDS[0]]]
    assert {pair.keep.id for pair in found.to_remove()} == {"larger"}


def test_filters_and_pages_know_boxes(index: Index, table: Path, tmp_path: Path) -> None:
    assert index.count({"bbox": "20,0,20,16"}) == 1 and index.count({"bbox": None}) == 1
    [row] = index.get([IDS[1]])
    out = tmp_path / "page.html"
    write_page(table.parent / "street.png", [Hit(row.id, 1.0, row.metadata)], out, count=4, kinds=index.info.kinds)
    shown, whole = Thumbnails(240)(row.metadata["image"], BOXES[1]), Thumbnails(240)(row.metadata["image"])
    page = out.read_text(encoding="utf-8").replace("&#43;", "+").replace("&#61;", "=")
    assert shown is not None and whole is not None
    assert page.count(shown) == 1 and page.count(whole) == 1
    assert read_image(table.parent / "street.png", BOXES[1]).shape == (3, 16, 20)
