"""A run's folder belongs to one command at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bier.errors import ConfigError
from bier.records.lock import held

HOLDER = """
import os, sys, time
from pathlib import Path
from bier.records.lock import held

with held(Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(100)  # as a process that decodes pictures lives on a little
    print("held", flush=True)
    time.sleep(100)
"""


def test_another_process_is_kept_out_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"in use by process {holder.pid} on {socket.gethostname()}"), held(folder):
        pass
    holder.kill()
    holder.wait()
    with held(folder):  # the killed one's child still lives
        pass
    os.killpg(holder.pid, signal.SIGKILL)
    holder.stdout.close()


def test_a_thread_may_hold_it_twice_and_another_may_not(tmp_path: Path) -> None:
    refused: list[str] = []

    def try_it() -> None:
        try:
            with held(tmp_path):
                pass
        except ConfigError as error:
            refused.append(error.what)

    with held(tmp_path):
        with held(tmp_path / "." / ""), held(tmp_path):
            pass
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert refused == [f"is in use by process {os.getpid()} on {socket.gethostname()}"]
    try_it()
    assert len(refused) == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_folders_that_nothing_was_written_to_go_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "runs" / "one"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with held(tmp_path / "runs" / "one"):
        (tmp_path / "runs" / "one" / "config.yaml").touch()
    assert [path.name for path in (tmp_path / "runs" / "one").iterdir()] == ["config.yaml"]


def test_many_at_once_hold_it_one_after_the_other(tmp_path: Path) -> None:
    """Also while the last one removes its lock file."""
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(2000):
            try:
                with held(tmp_path / "run"):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
                    done += 1
            except ConfigError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done > 1
