"""Processes that make batches ahead. Whatever becomes of one, its command goes on or ends with a message."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from bier.data.decoding import load_decoders
from bier.errors import BierError, DataError, ProcessError
from bier.system.parent import end_with

Content = TypeVar("Content")
FEWER = "use fewer workers (data.workers, --workers); 0 decodes in the main process"
_PATIENCE = 5.0
"""Seconds that a killed process may take to end."""


def memory_to_share(batch: int, workers: int) -> bool:
    """Whether batches of so many bytes fit in shared memory as tensors: ten times faster than a pipe, but containers
    often have 64 MB only."""
    folder = "/dev/shm"
    in_flight = 2 * workers + 2
    return not os.path.isdir(folder) or shutil.disk_usage(folder).free > 2 * in_flight * batch


def as_it_is(content: Any) -> Any:
    return content


def from_workers(
    dataset: Dataset[Content],
    batches: Iterable[Any],
    workers: int,
    send: Callable[[Any], Any] = as_it_is,
) -> Iterator[Content]:
    """``dataset[batch]`` for each batch, in order, made ahead by processes; with 0 workers, in this one.

    Args:
        dataset: decodes a batch.
        batches: what it is asked for; read no further ahead than needed.
        workers: processes.
        send: prepares content for the way home.

    Raises:
        DataError: a worker was killed from outside, or none can be started.
        BierError: raised by the dataset.
        ProcessError: the dataset raised something else in a worker.
    """
    load_decoders()  # once here, not in every worker
    if not workers:
        for batch in batches:
            yield send(dataset[batch])
        return
    asked = _Asked(batches)
    contents, crew = _started(_Reporting(dataset, send), asked, workers)
    with _ended(contents, crew):
        while True:
            try:
                content = next(contents)
            except StopIteration:
                return
            except Exception as error:  # what the dataset raises comes as a fault: this is of torch or the system
                if asked.failed:
                    raise
                raise _lost(error) from error
            if isinstance(content, Fault):
                content.tell()
            yield content


@dataclass(frozen=True)
class Fault:
    """An exception, on its way from a worker: as words, since not every exception can be sent."""

    kind: str
    text: str
    notes: tuple[str, ...]
    trace: str
    known: BierError | None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        known = None
        with suppress(Exception):
            pickle.dumps(error)
            known = error if isinstance(error, BierError) else None
        notes = tuple(getattr(error, "__notes__", ()))
        return cls(type(error).__name__, str(error), notes, traceback.format_exc(), known)

    def tell(self) -> NoReturn:
        if self.known is not None:
            raise self.known
        raise ProcessError(
            f"a process that decodes pictures failed: {self.kind}: {self.text}",
            where="; ".join(self.notes) or None,
            remedy="look at this picture; with 0 workers (data.workers, --workers) the place in the program is shown",
        ) from RuntimeError(self.trace)


class _Reporting(Dataset[Any]):
    """Another dataset, whose exceptions come as a `Fault`."""

    def __init__(self, dataset: Dataset[Any], send: Callable[[Any], Any]) -> None:
        self.dataset, self.send = dataset, send

    def __getitem__(self, batch: Any) -> Any:
        try:
            return self.send(self.dataset[batch])
        except Exception as error:
            return Fault.of(error)


class _Asked:
    """The batches that are asked for; it knows whether an exception is theirs."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches, self.failed = batches, False

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.batches
        except Exception:
            self.failed = True
            raise


def _lost(error: Exception) -> DataError:
    if "Too many open files" in str(error):
        return DataError("too many open files for the processes that decode pictures", remedy=FEWER)
    return DataError("a process that decodes pictures was killed, perhaps for lack of memory", remedy=FEWER)


def _started(dataset: Dataset[Any], batches: Iterable[Any], workers: int) -> tuple[Any, list[BaseProcess]]:
    """Contents from workers that are running when this returns, and the workers."""
    others = set(multiprocessing.active_children())
    try:
        # Remarks on more workers than cores, and since Python 3.12 on forking beside other threads, whose locks the
        # workers do not touch.
        with warnings.catch_warnings(action="ignore"), _signals_held_back(), _deaths_found_on_asking():
            contents = iter(
                DataLoader(
                    dataset,
                    batch_size=None,
                    sampler=batches,
                    num_workers=workers,
                    collate_fn=as_it_is,
                    worker_init_fn=partial(_start_worker, os.getpid()),
                    generator=torch.Generator(),  # else it draws from the global one
                    multiprocessing_context="fork" if sys.platform == "linux" else None,
                )
            )
    except OSError as error:
        _kill(process for process in multiprocessing.active_children() if process not in others)
        raise DataError(f"no process can be started that decodes pictures: {error.strerror}", remedy=FEWER) from error
    return contents, contents._workers  # type: ignore[attr-defined]


@contextmanager
def _ended(contents: Any, crew: list[BaseProcess]) -> Iterator[None]:
    """No worker lives on, nor is waited for, whatever happens in this process.

    They take no SIGTERM, so that nothing else would end one that hangs: not torch, and not Python when it exits.
    """
    kill = partial(_kill, crew)
    atexit.register(kill)
    watcher = threading.Thread(target=_watch, args=(contents, crew), name="deaths of workers", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        kill()
        atexit.unregister(kill)
        watcher.join(_PATIENCE)  # of two threads that wait for a process, one alone learns that it has ended
        contents._workers_done_event = threading.Event()  # a worker may have been killed with its lock in hand
        contents._shutdown_workers()


def _watch(contents: Any, crew: list[BaseProcess]) -> None:
    """When one dies, end the others, and the wait for what it was sending: half a message would be waited for."""
    sentinels = {process.sentinel: process for process in crew}
    [first, *_] = connection.wait(list(sentinels))
    sentinels[first].join(_PATIENCE)  # type: ignore[index]
    if sentinels[first].exitcode:  # type: ignore[index]
        _kill(crew)
        contents._worker_result_queue._writer.close()


def _kill(crew: Iterable[BaseProcess]) -> None:
    for process in crew:
        with suppress(ValueError):  # closed
            process.kill()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM reach this process afterwards; processes started inside never see them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deaths_found_on_asking() -> Iterator[None]:
    """A worker's death is an error when its next batch is asked for.

    torch would raise it from a signal handler, in the midst of whatever this process is doing: a training step, or
    the clean-up after the first such error.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _start_worker(parent: int, number: int) -> None:
    # Ctrl-C, and a kill of the whole group, are for the main process: it saves a checkpoint, for which workers must
    # still be there. They end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with(parent)
    torch.set_num_threads(1)
