"""Three machines of a Ray cluster, as processes of this one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 1 << 20


class Machines:
    """A head of one core, and two more of two."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.address = cluster, cluster.address
        self.others = [self._added() for _ in range(2)]

    def _added(self) -> Any:
        return self.cluster.add_node(num_cpus=2, object_store_memory=100 * MEGABYTE)

    def actors(self) -> list[int]:
        """The processes that compute, as far as they run."""
        raylets = {_raylet(node) for node in self.cluster.list_all_nodes()}
        return [process for process in _processes() if _computes(process) and _parent(process) in raylets]

    def kill_an_actor(self) -> None:
        os.kill(self.actors()[0], signal.SIGKILL)

    def lose_one(self) -> None:
        """That computes, as when its plug is pulled."""
        deadline = time.monotonic() + 60
        busy = set[int]()
        while not any(_raylet(node) in busy for node in self.others):  # an actor that was killed starts again
            assert time.monotonic() < deadline, "nobody computes there"
            busy = {_parent(process) for process in self.actors()}
        lost = next(node for node in self.others if _raylet(node) in busy)
        self.others.remove(lost)
        self.cluster.remove_node(lost, allow_graceful=False)

    def replace_the_lost(self) -> None:
        self.others.append(self._added())


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """A cluster that starts with the environment of now."""
    pytest.importorskip("ray.data", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = {"num_cpus": 1, "object_store_memory": 100 * MEGABYTE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Machines(cluster)
    finally:
        cluster.shutdown()


def _raylet(node: Any) -> int:
    """The process that is a machine."""
    return int(node.all_processes["raylet"][0].process.pid)


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _computes(process: int) -> bool:
    return _read(process, "cmdline").startswith("ray::MapWorker")


def _parent(process: int) -> int:
    return int((_read(process, "stat").rpartition(")")[2].split() or ["0", "0"])[1])


def _read(process: int, what: str) -> str:
    """Nothing, if it has ended meanwhile."""
    try:
        return Path(f"/proc/{process}/{what}").read_bytes().decode(errors="replace")
    except OSError:
        return ""
