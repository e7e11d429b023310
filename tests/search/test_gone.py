"""Whose pictures have gone from a source: those that came from it, and no others."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from ensembles import numbered

from bier.data.references import parquet_uri, short_name, tar_uri
from bier.search import Index, IndexInfo, Rows, create_index
from bier.search.fill import fill

INFO = IndexInfo("model", (2, 4), (0.5, 0.8), engine="exact")


@pytest.fixture
def index(tmp_path: Path):
    with create_index(tmp_path / "index", INFO) as opened:
        yield opened


def rows(root: Path, names: list[str], make: bool = True) -> list[Rows]:
    for name in names if make else []:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [Rows(names, numbered(1, len(names), INFO), [{"image": f"{root}/{name}", "label": None} for name in names])]


def ids(index: Index) -> list[str]:
    return sorted(name for part in index.scan() for name in part.ids)


def test_files_that_were_deleted_have_gone_and_those_of_other_sources_have_not(index, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    fill(index, rows(one, ["a/1.jpg", "a/2.jpg", "b/3.jpg"]))
    fill(index, rows(two, ["a/1.jpg", "x.jpg"]), prefix="two/")
    (one / "a/1.jpg").unlink()
    (two / "a/1.jpg").unlink()
    filled = fill(index, rows(one, ["a/2.jpg", "b/3.jpg"]))
    assert filled.gone == ["a/1.jpg"]
    assert len(ids(index)) == 5  # told, and not removed
    assert fill(index, rows(one, ["a/2.jpg", "b/3.jpg"]), prune=True).gone == ["a/1.jpg"]
    assert ids(index) == ["a/2.jpg", "b/3.jpg", "two/a/1.jpg", "two/x.jpg"]
    assert fill(index, rows(two, ["x.jpg"]), prefix="two/", prune=True).gone == ["two/a/1.jpg"]


def test_a_picture_whose_file_is_there_has_not_gone(index, tmp_path):
    # It may be of another table of the same folder, or one that cannot be read today.
    fill(index, rows(tmp_path, ["1.jpg", "2.jpg", "3.jpg"]))
    (tmp_path / "3.jpg").unlink()
    assert fill(index, rows(tmp_path, ["1.jpg"]), prune=True, unread=[f"{tmp_path}/3.jpg"]).gone == []
    assert fill(index, rows(tmp_path, ["1.jpg"]), prune=True).gone == ["3.jpg"]


def test_what_has_moved_has_gone_from_where_it_was(index, tmp_path):
    fill(index, rows(tmp_path / "old", ["1.jpg", "2.jpg"], make=False))
    filled = fill(index, rows(tmp_path / "new", ["1.jpg"]), moved=True, prune=True)
    assert (filled.replaced, filled.gone, ids(index)) == (1, ["2.jpg"], ["1.jpg"])


def test_a_path_that_its_id_does_not_end_is_nobodys(index, tmp_path):
    index.add(["other", "1.jpg"], numbered(1, 2, INFO), [{"image": f"{tmp_path}/gone.jpg"}, {}])
    assert fill(index, rows(tmp_path, ["2.jpg"]), prune=True).gone == []


def in_tar(file: Path, members: list[str]) -> Rows:
    names = [f"{file.name}:{member}" for member in members]
    metadata = [{"image": tar_uri(file, member, 512, 1), "label": None} for member in members]
    return Rows(names, numbered(1, len(names), INFO), metadata)


def test_members_have_gone_from_tar_files_that_were_read_whole(index, tmp_path):
    first, second = tmp_path / "part 1.tar", tmp_path / "part 2.tar"
    for file in (first, second):
        tarfile.open(file, "w").close()
    fill(index, [in_tar(first, ["a#1.jpg", "b.jpg"]), in_tar(second, ["c.jpg", "d.jpg"])])
    assert fill(index, [in_tar(first, ["b.jpg"])], unread=[str(first)]).gone == []  # damaged in the middle
    assert fill(index, [in_tar(first, ["b.jpg"])]).gone == ["part 1.tar:a#1.jpg"]  # the other tar was not asked for
    second.unlink()
    assert len(fill(index, [in_tar(first, ["b.jpg"])], prune=True).gone) == 3
    assert ids(index) == ["part 1.tar:b.jpg"]


def test_rows_have_gone_from_parquet_files(index, tmp_path):
    file = tmp_path / "train.parquet"
    file.touch()

    def cells(numbers: list[int]) -> list[Rows]:
        images = [parquet_uri(file, "image.bytes", number, f"{number}.jpg") for number in numbers]
        names = [short_name(image) for image in images]
        return [Rows(names, numbered(1, len(names), INFO), [{"image": image, "label": None} for image in images])]

    fill(index, cells([1, 2, 3]))
    assert fill(index, cells([1, 3])).gone == ["train.parquet:2:2.jpg"]
    file.unlink()
    assert fill(index, cells([3]), prune=True).gone == ["train.parquet:1:1.jpg", "train.parquet:2:2.jpg"]
