"""A table of LanceDB in a bucket, on a real server of S3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from buckets import Bucket, forget, running
from ensembles import clustered

from bier.errors import PlaceError, SearchError
from bier.search import Index, IndexInfo, create_index, open_index
from bier.search.approximate import ApproximateIndex
from bier.search.engines.lance import SEEN_LATE

INFO = IndexInfo("fingerprint-of-a-model", sizes=(8, 24), scales=(0.5, 0.8))
URI = "s3://shop/indexes/one"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    with running(monkeypatch, tmp_path / "cache") as bucket:
        yield bucket


def filled(index: Index, count: int, first: int = 0) -> None:
    vectors = clustered(count, first, INFO)
    names = [f"p{first + row}" for row in range(count)]
    index.add(names, vectors, [{"label": str(row % 4)} for row in range(count)])


@pytest.mark.slow
def test_it_answers_as_a_table_in_a_folder_does(bucket: Bucket, tmp_path: Path) -> None:
    queries = clustered(10, 99, INFO)
    with create_index(tmp_path / "near", INFO, uri=URI) as far, create_index(tmp_path / "local", INFO) as local:
        for index in (far, local):
            filled(index, 300)
            filled(index, 50, 280)
            assert index.delete(["p1", "p2", "none"]) == 2
            index.flush()
        assert far.search(queries) == local.search(queries)
        assert far.search(queries[0], where={"label": "3"}) == local.search(queries[0], where={"label": "3"})
        assert far.count() == local.count() == 328
        assert far.check_files() == 0
    assert {path.name for path in (tmp_path / "near").iterdir()} == {"index.json", "lock"}
    assert any(key.startswith("pictures.lance/data/") for key in bucket.keys("indexes/one"))


@pytest.mark.slow
def test_a_copy_of_the_folder_sees_what_the_other_adds(bucket: Bucket, tmp_path: Path) -> None:
    with create_index(tmp_path / "here", INFO, uri=URI) as here:
        filled(here, 100)
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "index.json").write_bytes((tmp_path / "here" / "index.json").read_bytes())
        with open_index(tmp_path / "there") as there:
            assert there.count() == 100
            filled(here, 20, 100)
            time.sleep(SEEN_LATE.total_seconds())
            assert there.count() == 120
            filled(there, 5, 118)  # three of them are new
            time.sleep(SEEN_LATE.total_seconds())
            assert here.count() == 123


@pytest.mark.slow
def test_it_has_an_approximate_index(bucket: Bucket, tmp_path: Path) -> None:
    with create_index(tmp_path / "index", INFO, uri=URI) as index:
        assert isinstance(index, ApproximateIndex)
        filled(index, 4000)
        known = index.tune(0.9)
        assert known.recall is not None
        assert known.recall >= 0.9
        queries = clustered(50, 1, INFO)
        found, exact = index.search(queries), index.search(queries, exact=True)
        shares = [len({hit.id for hit in a} & {hit.id for hit in b}) / 10 for a, b in zip(found, exact, strict=True)]
        assert np.mean(shares) > 0.8


def test_answers_that_fail_are_asked_for_again(bucket: Bucket, tmp_path: Path) -> None:
    with create_index(tmp_path / "index", INFO, uri=URI) as index:
        filled(index, 100)
    bucket.way.troubles += ["503", "503"]
    with open_index(tmp_path / "index") as index:
        assert index.count() == 100
        assert len(list(index.scan())) == 1


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://nowhere/index", "there is no such bucket"),
        ("s3://shop", "keeps its table in a folder of a bucket"),
        ("http://127.0.0.1:19530", "keeps its table in a folder of a bucket"),
        ("somewhere", "keeps its table in a folder of a bucket"),
    ],
)
def test_what_is_no_bucket_is_one_message(bucket: Bucket, tmp_path: Path, uri: str, said: str) -> None:
    with pytest.raises((SearchError, PlaceError), match=said):
        create_index(tmp_path / "index", INFO, uri=uri)
    assert not (tmp_path / "index").exists()


def test_a_table_that_is_there_is_not_overwritten_and_one_that_is_gone_is_named(bucket: Bucket, tmp_path: Path) -> None:
    create_index(tmp_path / "index", INFO, uri=URI).close()
    with pytest.raises(SearchError, match="something lies there already"):
        create_index(tmp_path / "second", INFO, uri=URI)
    for key in bucket.keys("indexes/one"):
        bucket.client.delete_object(Bucket="shop", Key=f"indexes/one/{key}")
    with pytest.raises(SearchError, match="there is no index in the bucket"):
        open_index(tmp_path / "index")


def test_without_credentials_nothing_is_tried(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_index(tmp_path / "index", INFO, uri=URI).close()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    forget()
    with pytest.raises(PlaceError, match="credentials"):
        open_index(tmp_path / "index")


def test_credentials_of_a_file_are_used(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = someone\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with create_index(tmp_path / "index", INFO, uri=URI) as index:
        filled(index, 10)
        assert index.count() == 10
