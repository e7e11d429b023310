"""Files in buckets and on web servers: they are read as those of a disk, and what fails has a message."""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest
from buckets import SLOW, Bucket, forget, running

from bier.errors import ConfigError, PlaceError
from bier.system import kept, places
from bier.system.files import state_of, write_atomically
from bier.system.places import Place, is_url, listed, opened, path_of


@pytest.fixture
def memory() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    for name in ("boots/1.jpg", "boots/2.jpg", "labels.csv"):
        system.pipe_file(f"/shop/{name}", name.encode() * 100)
    places.source("memory://shop")
    yield "memory://shop"
    system.rm("/shop", recursive=True)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    with running(monkeypatch, tmp_path / "cache") as found:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "1.jpg").write_bytes(bytes(range(256)) * 1000)
        found.put(tmp_path / "photos", "photos")
        yield found


def test_a_url_is_a_path(memory: str) -> None:
    folder = path_of("memory:/shop")
    assert str(folder) == memory
    assert str(folder / "boots" / "1.jpg") == "memory://shop/boots/1.jpg"
    assert str(pickle.loads(pickle.dumps(folder)).absolute()) == memory  # noqa: S301
    assert folder.is_dir() and not folder.is_file()
    assert (folder / "labels.csv").is_file()
    assert not (folder / "boats").exists()
    assert [path.name for path in folder.iterdir()] == ["boots", "labels.csv"]
    assert isinstance(folder, Place) and sorted(listed(folder)) == ["boots/1.jpg", "boots/2.jpg", "labels.csv"]
    assert (folder / "labels.csv").read_bytes() == b"labels.csv" * 100


@pytest.mark.parametrize("path", ["photos", "/s3/photos", "s3", "tar:///a.tar", "c:/photos"])
def test_a_path_is_no_url(path: str) -> None:
    assert not is_url(path)
    assert str(path_of(path)) == os.path.abspath(path)


def test_files_are_looked_up_by_their_folders(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []

    def ask(url: str, do: Callable[[object, str], object]) -> object:
        questions.append(url)
        return real(url, do)

    real = places._ask
    monkeypatch.setattr(places, "_ask", ask)
    urls = [f"{memory}/{name}" for name in ("boots/1.jpg", "boots/2.jpg", "boots/3.jpg", "labels.csv")]
    places.look_up(urls)
    assert sorted(questions) == [f"{memory}/boots", f"{memory}/labels.csv"]
    states = [places.state(url) for url in urls]
    assert len(questions) == 2
    places.source(memory)
    assert states == [places.state(url) for url in urls], "the listing tells what the file itself does"
    assert [state and state[0] for state in states] == [1100, 1100, None, 1000]


def test_parts_of_a_file_are_read(memory: str) -> None:
    file = opened(f"{memory}/labels.csv")
    assert file.seek(-5, io.SEEK_END) == 995
    assert file.read() == b"s.csv"
    assert file.seek(10) == 10
    assert file.read(6) == b"labels"
    assert opened("/photos/1.jpg") == "/photos/1.jpg"


def test_a_write_that_fails_leaves_what_was_there(memory: str) -> None:
    file = path_of(f"{memory}/labels.csv")

    def fail(path: Path) -> None:
        path.write_bytes(b"half of")
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        write_atomically(file, fail)
    assert file.read_bytes() == b"labels.csv" * 100
    before = state_of(file)
    write_atomically(file, lambda path: path.write_bytes(b"image\n"))
    assert file.read_bytes() == b"image\n"
    assert state_of(file) != before


@pytest.mark.parametrize(("name", "what"), [("memory://shop/boats", "no such file"), ("memory://shp", "no such")])
def test_a_place_with_nothing(memory: str, name: str, what: str) -> None:
    with pytest.raises(PlaceError, match=what):
        places.source(name)


def test_a_package_that_is_not_installed() -> None:
    if find_spec("adlfs"):
        pytest.skip("adlfs is installed")
    with pytest.raises(PlaceError, match=r"pip install 'bier-dml\[az\]'"):
        places.source("az://shop/photos")


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("BIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def held(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())


def test_a_kept_file_is_not_fetched_again(memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{memory}/boots/1.jpg"
    first = kept.content(url)
    monkeypatch.setattr(places, "fetch", None)
    assert kept.content(url) == first
    assert held(cache) == len(first)


def test_a_replaced_file_is_fetched_again(memory: str, cache: Path) -> None:
    url = f"{memory}/boots/1.jpg"
    kept.content(url)
    fsspec.filesystem("memory").pipe_file("/shop/boots/1.jpg", b"another")
    places.source(memory)
    assert kept.content(url) == b"another"


def test_a_damaged_copy_is_fetched_again(memory: str, cache: Path) -> None:
    first = kept.content(f"{memory}/boots/1.jpg")
    (copy,) = (path for path in cache.rglob("*") if path.is_file())
    copy.write_bytes(first[:-1])
    assert kept.content(f"{memory}/boots/1.jpg") == first


def test_the_folder_is_bounded_and_the_oldest_goes(memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_PARTS", 1)
    monkeypatch.setenv("BIER_CACHE_GB", str(3500 / 1e9))
    system = fsspec.filesystem("memory")
    for number in range(5):
        system.pipe_file(f"/shop/{number}.jpg", bytes([number]) * 1000)
        kept.content(f"{memory}/{number}.jpg")
        for path in cache.rglob("*"):  # the clock of a file system may be coarse
            if path.is_file() and path.read_bytes()[:1] == bytes([number]):
                os.utime(path, (number, number))
    kinds = sorted(path.read_bytes()[0] for path in cache.rglob("*") if path.is_file())
    assert kinds == [2, 3, 4]


def test_nothing_is_kept_on_request(memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIER_CACHE_GB", "0")
    kept.content(f"{memory}/boots/1.jpg")
    assert not cache.exists()
    monkeypatch.setenv("BIER_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="BIER_CACHE_GB"):
        kept.content(f"{memory}/boots/1.jpg")


# --- a web server -----------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    (tmp_path / "photos" / "boots").mkdir(parents=True)
    (tmp_path / "photos" / "boots" / "1.jpg").write_bytes(b"boot")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_web_server_that_lists_its_folders(web: str, cache: Path) -> None:
    folder = places.source(f"{web}/photos")
    assert isinstance(folder, Place) and folder.is_dir()
    assert listed(folder) == ["boots/1.jpg"]
    assert (folder / "boots" / "1.jpg").read_bytes() == b"boot"
    assert kept.content(f"{web}/photos/boots/1.jpg") == b"boot"
    assert held(cache) == 4, "its listing tells no versions, its files do"
    with pytest.raises(PlaceError, match="no such file or folder"):
        places.source(f"{web}/labels.csv")
    with pytest.raises(PlaceError, match="read only"):
        places.write(f"{web}/photos/boots/2.jpg", b"")


# --- a server of S3 ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["503", "slow", "cut"])
def test_what_passes_is_waited_for(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setattr(places, "TIMEOUT", SLOW / 3)
    bucket.way.troubles = [trouble, trouble]
    assert places.fetch("s3://shop/photos/1.jpg") == bytes(range(256)) * 1000
    assert len(bucket.way.fetched) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "what"), [("503", "the server fails"), ("slow", "no answer within"), ("cut", "was cut off")]
)
def test_what_does_not_pass_has_a_message(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, trouble: str, what: str
) -> None:
    monkeypatch.setattr(places, "TIMEOUT", SLOW / 3)
    monkeypatch.setattr(places, "PAUSES", (0.01,))
    bucket.way.troubles = [trouble] * 100
    with pytest.raises(PlaceError, match=what) as caught:
        places.fetch("s3://shop/photos/1.jpg")
    assert caught.value.where == "s3://shop/photos/1.jpg"
    assert "repeat the command" in str(caught.value)
    assert len(bucket.way.fetched) == 2


@pytest.mark.slow
def test_places_of_s3_that_cannot_be_used(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="no such bucket"):
        places.source("s3://shp/photos")
    with pytest.raises(PlaceError, match="no such bucket"):
        places.write("s3://shp/photos/1.jpg", b"")
    with pytest.raises(PlaceError, match="no such file or folder"):
        places.source("s3://shop/foto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    forget()
    with pytest.raises(PlaceError, match="no credentials"):
        places.source("s3://shop/photos")


@pytest.mark.slow
def test_a_listing_tells_what_a_file_itself_does(bucket: Bucket) -> None:
    url = "s3://shop/photos/1.jpg"
    found = []
    for look in (partial(places.look_up, [url]), partial(places.look_up, [url, f"{url}.gone"])):
        places.source("s3://shop/photos")
        bucket.way.asked.clear()
        look()
        found.append(places.state(url))
        assert len(bucket.way.asked) == 1
    listed(path_of("s3://shop/photos"))
    found.append(places.state(url))
    assert found[0] is not None and found == [found[0]] * 3


@pytest.mark.slow
def test_a_server_that_is_not_there(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PAUSES", ())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget()
    with pytest.raises(PlaceError, match="cannot be reached"):
        places.source("s3://shop/photos")
