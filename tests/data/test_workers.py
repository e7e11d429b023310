"""Processes that make batches: whatever becomes of one, there is a message, soon, and no process is left."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils.data import Dataset

from bier.data.workers import from_workers
from bier.errors import BierError, DataError, ProcessError

SECONDS = 12
"""For an error to be told; torch looks after its workers every 5."""


class Unlike(Exception):
    """It cannot be sent to another process, nor made of a text."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(first, lambda: second)


class Picky(BierError):
    """Nor can this one."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")


class Faulty(Dataset[NDArray[np.int64]]):
    """Numbers; asked for 3, it does something else."""

    def __init__(self, fault: Callable[[], object], size: int = 1) -> None:
        self.fault, self.size = fault, size

    def __getitem__(self, number: int) -> NDArray[np.int64]:
        if number == 3:
            self.fault()
        return np.full(self.size, number)


def throw(error: BaseException) -> Callable[[], object]:
    def fault() -> None:
        error.add_note("3.jpg")
        raise error

    return fault


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    "error",
    [
        OSError(36, "File name too long"),
        MemoryError(),
        Unlike(1, 2),
        Picky("odd"),
        UnicodeDecodeError("a", b"", 0, 1, ""),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.usefixtures("in_time")
def test_any_exception_of_a_worker_is_told(error: Exception) -> None:
    with pytest.raises(ProcessError, match=type(error).__name__) as caught:
        list(from_workers(Faulty(throw(error)), range(20), workers=2))
    assert caught.value.where == "3.jpg"
    assert "in __getitem__" in str(caught.value.__cause__), "the place in the program is not lost"


@pytest.mark.usefixtures("in_time")
def test_an_error_of_ours_comes_as_it_is() -> None:
    with pytest.raises(DataError) as caught:
        list(from_workers(Faulty(throw(DataError("bad", where="3.jpg", remedy="mend it"))), range(20), workers=2))
    assert str(caught.value) == "3.jpg: bad\n  → mend it"


@pytest.mark.parametrize("fault", [kill_oneself, throw(SystemExit(3)), throw(KeyboardInterrupt())])
@pytest.mark.usefixtures("in_time")
def test_a_worker_that_ends_is_told(fault: Callable[[], object]) -> None:
    with pytest.raises(DataError, match=r"was killed[\s\S]*data\.workers"):
        list(from_workers(Faulty(fault), range(20), workers=2))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.usefixtures("in_time")
def test_a_worker_that_is_killed_in_the_midst_of_a_message(number: int) -> None:
    """One of the two is sending, and the other waits for its turn: nobody would ever write the rest."""
    contents = from_workers(Faulty(lambda: None, size=4_000_000), range(20), workers=2)
    next(contents)
    time.sleep(1)  # both have more to send than the pipe takes
    os.kill(sorted(worker.pid or 0 for worker in multiprocessing.active_children())[number], signal.SIGKILL)
    with pytest.raises(DataError, match="was killed"):
        list(contents)


@pytest.mark.usefixtures("in_time")
def test_an_error_in_what_is_asked_for_comes_as_it_is() -> None:
    def batches() -> Iterator[int]:
        yield from range(5)
        raise OSError("the table is gone")

    with pytest.raises(OSError, match="the table is gone"):
        list(from_workers(Faulty(lambda: None), batches(), workers=2))


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # torch's iterator, of which there is half
@pytest.mark.usefixtures("in_time")
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, started = os.fork, itertools.count()

    def limited() -> int:
        if next(started) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", limited)
    with pytest.raises(DataError, match="Resource temporarily unavailable"):
        list(from_workers(Faulty(lambda: None), range(20), workers=2))
    for process in multiprocessing.active_children():
        process.join(5)


STUCK = """
import sys, time
import numpy as np
from torch.utils.data import Dataset
try:
    from bier.data.workers import from_workers
except ImportError:
    from bier.data.loader import from_workers

class Stuck(Dataset):
    def __getitem__(self, number):
        if number > 1:
            time.sleep(1000)
        return np.array([number])

contents = from_workers(Stuck(), range(20), workers=2)
next(contents)
print("going", flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["1 / 0", pytest.param("list(contents)", marks=pytest.mark.slow)])
def test_a_worker_that_hangs_keeps_no_command(end: str) -> None:
    """Whether the command fails by itself or is stopped."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(end=end)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    time.sleep(0.5)
    if end == "list(contents)":
        process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) != 0  # the worker would hang for longer
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_workers_end_with_their_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(end="time.sleep(1000)")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 2
    while any(map(_lives, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(process: str) -> bool:
    """Not ended, and not merely waiting for somebody to note that it has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
