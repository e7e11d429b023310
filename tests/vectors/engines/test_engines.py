"""Engines of bulk embedding: what a person may ask of them, and what is refused before anything is written."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from commands import run
from folders import drawn
from tiny_models import tiny_model

from bier.errors import ConfigError, DataError
from bier.vectors.engines import ENGINES, Wanted, ray_data
from bier.vectors.sources import open_catalogue


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path)


@pytest.fixture
def command(model: Path, tmp_path: Path) -> list[object]:
    drawn(tmp_path / "photos", 3)
    return ["embed", model, tmp_path / "photos", "-o", tmp_path / "vectors"]


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of something that is no Ray."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        line, _ = server.accept()
        with line:
            line.recv(100)
            line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    yield server.getsockname()[1]
    thread.join()
    server.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rai"], "--engine: unknown engine of embedding 'rai'\n  → did you mean 'ray'?"),
        (["--address", "auto"], "--address: means a cluster"),
        (["--actors", "2"], "--actors: means a cluster"),
        (["--engine", "ray", "--actors", "0"], "--actors: 0 actors"),
        (["--engine", "ray", "--device", "mps"], "--device: actors have no mps device"),
        (["--engine", "ray", "--address", "nonsense"], "--address: 'nonsense' is no address of a Ray cluster"),
        (["--engine", "ray", "--address", "ray://head:10001"], "is no address of a Ray cluster"),
    ],
)
def test_what_means_nothing_is_refused(
    command: list[object], options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, *command, *options)
    assert code == 2
    assert message in error
    assert not (tmp_path / "vectors").exists()


def test_nobody_at_the_address(command: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, _, error = run(capsys, *command, "--engine", "ray", "--address", address)
    assert code == 2
    assert f"there is no Ray at {address} ([Errno" in error
    assert "ray status" in error
    assert not (tmp_path / "vectors").exists()


def test_somebody_else_at_the_address(
    command: list[object], web_server: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, *command, "--engine", "ray", "--address", f"127.0.0.1:{web_server}")
    assert code == 2
    assert "something else answers" in error
    assert not (tmp_path / "vectors").exists()


def test_ray_that_is_not_installed(
    command: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = run(capsys, *command, "--engine", "ray")
    assert code == 2
    assert "pip install 'bier-dml[ray]'" in error
    assert not (tmp_path / "vectors").exists()


GPUS = {"CPU": 16.0, "GPU": 2.0}


def test_an_actor_takes_a_core_for_itself_and_each_of_its_workers() -> None:
    some: list[Mapping[str, float]] = [{"CPU": 4.0}, {"CPU": 3.0}, {"memory": 1.0}]
    assert ray_data._room(some, Wanted()) == ray_data.Room(1, 0, 7)
    assert ray_data._room(some, Wanted(workers=1)) == ray_data.Room(2, 0, 3)
    with pytest.raises(ConfigError, match="no machine of the cluster has 5 CPUs"):
        ray_data._room(some, Wanted(workers=4))
    with pytest.raises(ConfigError, match="no machine of the cluster has a GPU"):
        ray_data._room(some, Wanted("cuda"))


def test_with_gpus_each_actor_takes_one_and_its_share_of_the_cores() -> None:
    some = [GPUS, GPUS, {"CPU": 8.0}]
    assert ray_data._room(some, Wanted()) == ray_data.Room(8, 1, 4)
    assert ray_data._room(some, Wanted("cpu")) == ray_data.Room(1, 0, 40)
    with pytest.raises(ConfigError, match="17 CPUs and a GPU"):
        ray_data._room(some, Wanted("cuda", workers=16))


def test_pictures_that_this_machine_alone_does_not_have_are_no_broken_pictures(tmp_path: Path) -> None:
    files = drawn(tmp_path / "photos", 3)
    pictures = list(open_catalogue(tmp_path / "photos").pictures((0, 0)))
    files[0].unlink()
    ray_data._refuse_absent(pictures)
    for file in files[1:]:
        file.unlink()
    ray_data._refuse_absent([replace(picture, state=None) for picture in pictures])  # nor were they there before
    with pytest.raises(DataError, match="is not there on the machine") as told:
        ray_data._refuse_absent(pictures)
    assert "mount the folder" in str(told.value)


def test_every_engine_is_found_by_its_name() -> None:
    assert set(ENGINES) == {"local", "ray"}
