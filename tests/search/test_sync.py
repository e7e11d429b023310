"""An index in step with its source: only what is new or has changed is embedded."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from colours import Colours, name_of, painted, rows_of

from bier.search import IndexInfo, create_index, open_index, rebuild_index
from bier.search.fill import fill
from bier.search.seen_files import SeenFiles, Watched
from bier.search.sync import sync
from bier.vectors.catalogue import embedded
from bier.vectors.sources import open_catalogue

ENCODER = Colours(1)


@pytest.fixture(params=["exact", "lancedb"])
def index(request, tmp_path):
    """Of twenty pictures, made as `bier index` makes it."""
    painted(tmp_path / "photos")
    info = IndexInfo(ENCODER.fingerprint, ENCODER.sizes, ENCODER.scales)
    with create_index(tmp_path / "index", info, request.param) as made:
        source = Watched(open_catalogue(tmp_path / "photos"))
        pictures = embedded(ENCODER, source, pytest.fail)
        fill(made, pictures, stored=lambda rows: source.stored(SeenFiles(made.folder), rows))
        yield made


@pytest.mark.parametrize("engine", [pytest.param("lancedb", marks=pytest.mark.slow), "exact"])
def test_rounded_vectors_are_no_change_and_a_rebuild_keeps_their_precision(engine, tmp_path):
    painted(tmp_path / "photos")
    info = IndexInfo(ENCODER.fingerprint, ENCODER.sizes, ENCODER.scales, storage="float16")
    with create_index(tmp_path / "index", info, engine) as made:
        assert synced(made, tmp_path / "photos") == ((20, 0, 0, 0, 0), 20)
        assert synced(made, tmp_path / "photos") == ((0, 0, 0, 0, 20), 0)
    rebuild_index(tmp_path / "index", Colours(2))
    with open_index(tmp_path / "index") as rebuilt:
        assert (rebuilt.info.storage, rebuilt.count()) == ("float16", 20)


@pytest.fixture
def photos(tmp_path, index):
    return sorted((tmp_path / "photos").rglob("*.png"))


def synced(index, folder, **options):
    """What was added, replaced, described, removed and left; and how many pictures were embedded."""
    before = ENCODER.seen
    found = sync(index, ENCODER, open_catalogue(folder), **options)
    done = (found.added, found.replaced, found.described, len(found.gone), found.unchanged)
    return done, ENCODER.seen - before


def test_nothing_is_embedded_where_nothing_has_changed(index, photos, tmp_path):
    before = rows_of(index)
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 0)
    assert rows_of(index) == before


def test_added_changed_described_and_vanished_pictures_in_one_go(index, photos, tmp_path):
    photos[0].unlink()
    shutil.copy(photos[2], photos[1])
    shutil.copy(photos[3], photos[3].with_name("new.png"))
    assert synced(index, tmp_path / "photos") == ((1, 1, 0, 1, 18), 2)
    with create_index(tmp_path / "afresh", index.info) as afresh:
        fill(afresh, embedded(ENCODER, open_catalogue(tmp_path / "photos"), pytest.fail))
        assert rows_of(index) == rows_of(afresh)
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 0)


def test_other_labels_need_no_other_vectors(index, photos, tmp_path):
    names = [photo.relative_to(tmp_path / "photos").as_posix() for photo in photos]
    rows = [f"{name},{'red' if row < 3 else photos[row].parent.name}" for row, name in enumerate(names)]
    (tmp_path / "photos" / "labels.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    before = rows_of(index)
    done, count = synced(index, tmp_path / "photos")
    assert count == 0 and done[:2] == (0, 0) and done[2] + done[4] == 20 and done[2] >= 2
    assert [index.get([name])[0].metadata["label"] for name in names[:3]] == ["red"] * 3
    assert all(rows_of(index)[name][1] == before[name][1] for name in names)


def test_a_vector_that_another_wrote_is_not_believed(index, photos, tmp_path):
    [row] = index.get([name_of(photos[0])])
    index.add([row.id], -row.vector[None], [row.metadata])
    done, count = synced(index, tmp_path / "photos")
    assert (done, count) == ((0, 1, 0, 0, 19), 1)
    np.testing.assert_array_equal(index.get([row.id])[0].vector, row.vector)


def test_a_file_that_keeps_its_size_is_known_by_its_time(index, photos, tmp_path):
    photo = photos[0]
    os.utime(photo, ns=(0, 0))
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 1)


def test_without_notes_all_are_embedded_once(index, photos, tmp_path):
    SeenFiles(index.folder).file.unlink()
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 20)
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 0)


def test_an_unreadable_picture_is_told_and_stays(index, photos, tmp_path):
    photo = photos[0]
    photo.write_bytes(b"no picture")
    told = []
    done, _ = synced(index, tmp_path / "photos", failed=lambda image, what: told.append(image))
    assert told == [str(photo)] and done[3] == 0 and index.count() == 20


def test_pictures_of_another_source_stay(index, photos, tmp_path):
    painted(tmp_path / "others")
    assert synced(index, tmp_path / "others", prefix="b/") == ((20, 0, 0, 0, 0), 20)
    shutil.rmtree(sorted((tmp_path / "others").iterdir())[0])
    done, count = synced(index, tmp_path / "others", prefix="b/")
    assert count == 0 and done[3] > 0 and done[3] + done[4] == 20
    assert synced(index, tmp_path / "photos") == ((0, 0, 0, 0, 20), 0)


def test_after_a_rebuild_nothing_is_embedded_again(index, tmp_path):
    new = Colours(2)
    index.close()
    assert rebuild_index(index.folder, new) is not None
    with open_index(index.folder) as rebuilt:
        before = new.seen
        assert sync(rebuilt, new, open_catalogue(tmp_path / "photos")).unchanged == 20
    assert new.seen == before
