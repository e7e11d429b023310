"""Ray Data: actors on the machines of a cluster read, decode and compute; this process writes what they give.

This process lists the pictures. Tasks of a few batches go to the actors, as compressed lists of places. Pictures are
read where they are computed, so nothing large travels but vectors. Ray schedules the tasks, repeats those of lost
actors and machines, and holds actors back while results wait to be written.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import torch

from bier.data import TestTransform
from bier.data.decoding import load_decoders
from bier.data.references import file_of
from bier.data.workers import Fault
from bier.errors import BierError, ConfigError, DataError, PlaceError, ProcessError
from bier.system.allocator import keep_freed_memory
from bier.system.extras import need
from bier.system.files import state_of
from bier.system.hardware import Hardware
from bier.vectors.batches import Batch, Decoded, Decoder, Task, cut_up, encoded
from bier.vectors.encoder import Encoder, PictureEncoder
from bier.vectors.engines.engine import Wanted
from bier.vectors.sources import Entry

BATCHES_IN_A_TASK = 8
"""What a lost actor computes again, at most two of them."""
STORE = 256 << 20
"""Bytes of results that may wait, and the memory that a Ray of this machine alone sets aside for them."""
MOST_WORKERS = 8
_ALONE = "local"


class OnRay:
    """A cluster that runs, or one of this machine alone, for as long as this is entered."""

    def __init__(self, wanted: Wanted) -> None:
        if wanted.device == "mps":
            raise ConfigError("actors have no mps device", where="--device", remedy="use 'auto', 'cpu' or 'cuda'")
        if wanted.actors is not None and wanted.actors < 1:
            raise ConfigError(f"{wanted.actors} actors", where="--actors", remedy="give 1 or more")
        self.wanted = wanted
        self.hardware = Hardware(precision=Hardware.resolve("cpu", wanted.precision).precision)
        self._ours = False
        self._running: Iterator[Any] | None = None
        self.machines: list[Mapping[str, float]] = []
        """What each of them has."""

    def __enter__(self) -> OnRay:
        address = self.wanted.address or os.environ.get("RAY_ADDRESS") or _ALONE
        if address not in ("auto", _ALONE):
            _refuse_silent(address)
        ray = need("ray", "ray")
        need("ray.data", "ray")
        self._ours = not ray.is_initialized()
        if self._ours:
            with _signals_kept():
                _connect(ray, address)
        self.machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        try:
            _room(self.machines, self.wanted)
        except ConfigError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end = getattr(self._running, "close", None)
        if end is not None:  # whoever takes the vectors has failed: what still runs must not meet the next cluster
            end()
        if self._ours:
            need("ray", "ray").shutdown()

    def batches(self, encoder: PictureEncoder, pictures: Iterator[Entry], task: Task) -> Iterator[Batch]:
        ray = need("ray", "ray")
        exported = not isinstance(encoder, Encoder)  # which computes on the CPU
        wanted = replace(self.wanted, device="cpu") if exported else self.wanted
        room = _room(self.machines, wanted)
        batches = cut_up(pictures, task.batch_size)
        tables = [_table(zlib.compress(pickle.dumps(some))) for some in cut_up(batches, BATCHES_IN_A_TASK)]
        if not tables:
            return
        most = min(self.wanted.actors or room.actors, len(tables))
        model = ray.put(encoder)
        results = ray.data.from_arrow(tables).map_batches(
            Actor,
            fn_constructor_args=([model], task, room),  # in a list, so that an actor can ask for it again
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=min(most, room.actors)),
            num_cpus=room.cpus,
            num_gpus=room.gpus,
        )
        _set_up(results.context)
        self._running = iter(results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        try:
            for table in self._running:
                yield from _results(table)
        except BierError:
            raise
        except Exception as error:  # Ray has many kinds
            raise _given_up(error) from error


@dataclass(frozen=True)
class Room:
    """What one actor takes, and for how many of them there is room."""

    cpus: int
    gpus: int
    actors: int

    @property
    def workers(self) -> int:
        return self.cpus - 1

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpus else "cpu")


class Actor:
    """Computes tasks, wherever Ray has started it. Its errors travel as a `Fault`: Ray would wrap them in pages."""

    def __init__(self, model: list[Any], task: Task, room: Room) -> None:
        self.task = task
        self.encoder: PictureEncoder | None = None
        self.fault: Fault | None = None
        self.pool = ThreadPoolExecutor(room.workers) if room.workers else None
        torch.set_num_threads(1)  # one core for each actor, and the same bits on every machine
        keep_freed_memory()
        try:
            load_decoders()
            self.encoder = _on(room.device, need("ray", "ray").get(model[0]))
        except Exception as error:
            self.fault = Fault.of(error)

    def __call__(self, table: Any) -> Any:
        try:
            content = self.fault or list(self._computed(pickle.loads(zlib.decompress(_content(table)))))  # noqa: S301
        except Exception as error:
            content = Fault.of(error)
        return _table(pickle.dumps(content))

    def _computed(self, batches: list[list[Entry]]) -> Iterator[Batch]:
        assert self.encoder is not None
        for content in self._decoded(batches, self.encoder.transform):
            batch = encoded(self.encoder, content, self.task)
            if batch.pictures and not batch.kept:
                _refuse_absent(batch.pictures)
            yield batch

    def _decoded(self, batches: list[list[Entry]], transform: TestTransform) -> Iterator[Decoded]:
        decoders = [Decoder(transform, share=False) for _ in batches]  # one each: they remember a picture
        spread = map if self.pool is None else self.pool.map
        return spread(Decoder.__getitem__, decoders, batches)


def _on(device: torch.device, encoder: PictureEncoder) -> PictureEncoder:
    if not isinstance(encoder, Encoder):
        return encoder
    Hardware(device, encoder.precision).refuse_slow("--precision")
    return encoder.on(device)


def _refuse_absent(pictures: list[Entry]) -> None:
    """Raise DataError where files that were there when they were listed are all missing: another machine's folder."""
    seen = [picture for picture in pictures if picture.state is not None and picture.fault is None]
    if seen and not any(state_of(file_of(picture.image)) for picture in seen):
        raise DataError(
            f"is not there on the machine {socket.gethostname()}",
            where=file_of(seen[0].image),
            remedy="mount the folder at the same path on every machine of the cluster, or put it in a bucket",
        )


def _table(content: bytes) -> Any:
    import pyarrow as arrow

    return arrow.table({"content": arrow.array([content], arrow.large_binary())})


def _content(table: Any) -> bytes:
    content: bytes = table["content"][0].as_py()
    return content


def _results(table: Any) -> list[Batch]:
    content = pickle.loads(_content(table))  # noqa: S301 - of our own actors
    if isinstance(content, Fault):
        content.tell()
    batches: list[Batch] = content
    return batches


def _room(machines: list[Mapping[str, float]], wanted: Wanted) -> Room:
    """What an actor takes of these machines.

    Raises:
        ConfigError: none of them has that much.
    """
    with_gpu = [machine for machine in machines if machine.get("GPU", 0) >= 1] if wanted.device != "cpu" else []
    if wanted.device == "cuda" and not with_gpu:
        raise ConfigError("no machine of the cluster has a GPU", where="--device", remedy="use 'auto' or 'cpu'")
    gpus = int(bool(with_gpu))
    workers = wanted.workers
    if workers is None:
        workers = _workers(with_gpu) if gpus else 0
    room = Room(1 + workers, gpus, sum(_actors_on(machine, 1 + workers, gpus) for machine in machines))
    if not room.actors:
        raise ConfigError(
            f"no machine of the cluster has {room.cpus} CPUs" + " and a GPU" * gpus,
            where="--workers",
            remedy="give fewer workers: an actor takes a CPU for each, and one more; see 'ray status'",
        )
    return room


def _workers(machines: list[Mapping[str, float]]) -> int:
    """As many as the CPUs of these machines allow beside each GPU."""
    shares = [int(machine.get("CPU", 0) // machine["GPU"]) for machine in machines]
    return max(0, min(MOST_WORKERS, max(shares) - 1))


def _actors_on(machine: Mapping[str, float], cpus: int, gpus: int) -> int:
    by_cpu = int(machine.get("CPU", 0) // cpus)
    return min(by_cpu, int(machine.get("GPU", 0) // gpus)) if gpus else by_cpu


def _connect(ray: Any, address: str) -> None:
    """Join a cluster, or start one of this machine.

    Raises:
        PlaceError: there is no Ray, or it cannot be joined from this machine.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    own = {"object_store_memory": STORE, "include_dashboard": False} if address == _ALONE else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (Exception, SystemExit) as error:
        ray.shutdown()
        raise _no_ray(address, _first_line(error)) from error


def _refuse_silent(address: str) -> None:
    """Raise ConfigError for what is no address, and PlaceError where no Ray answers: it would be tried for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"{address!r} is no address of a Ray cluster",
            where=_ADDRESS,
            remedy="give the machine and port of its head, such as 10.0.0.1:6379, or auto",
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as line:
            line.sendall(_GREETING)
            if line.recv(9)[3:4] != _SETTINGS:
                raise OSError("something else answers")
    except OSError as error:
        raise _no_ray(address, str(error)) from error


_ADDRESS = "--address"
_SETTINGS = b"\x04"
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0" * 5
"""What a client of gRPC says first: HTTP/2's preface and an empty frame of settings, which is answered by one."""


def _no_ray(address: str, why: str) -> PlaceError:
    return PlaceError(
        f"there is no Ray at {address} ({why})",
        where=_ADDRESS,
        remedy="see 'ray status', and run this on a machine of the cluster; without --address this machine works alone",
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends without a word."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        with suppress(ValueError, TypeError):  # not in the main thread, where Ray takes none
            for number, handler in before.items():
                signal.signal(number, handler)


def _set_up(context: Any) -> None:
    """In order, within bounds, and without words on the terminal but ours."""
    options = context.execution_options
    options.preserve_order = True
    options.resource_limits = options.resource_limits.copy(object_store_memory=STORE)
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # not the one that writes Ray's own file
            handler.setLevel(logging.CRITICAL + 1)


def _given_up(error: Exception) -> ProcessError:
    cause = getattr(error, "cause", None) or error
    return ProcessError(
        f"Ray has given up: {type(cause).__name__}: {_first_line(cause)}",
        remedy="see 'ray status' and the machines' memory; what is written stays, and the same command goes on",
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


MEMBERS = {"ray": OnRay}
