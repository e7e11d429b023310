"""A process that has imported everything, and forks a child for each call.

So a command starts at once, and is a real process all the same: it can be killed, its disk can fill up (see disk.c),
and its memory is its own. Ten kills cost ten trainings, and not ten times the import of torch.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]

IMPORTS = (
    "bier.cli bier.runs.tries bier.report.page bier.report.charts bier.export bier.search bier.vectors.catalogue "
    "bier.serve bier.training.callbacks.tensorboard pyarrow.parquet timm torchvision torchcodec pandas lance_namespace"
)
"""What commands import late. What starts threads (lancedb, onnxruntime) is not here: threads do not outlive a fork."""


@dataclass(frozen=True)
class Ended:
    """What is left of a child."""

    code: int
    """Its exit status; of a killed one, minus the signal."""
    out: str
    err: str
    seconds: float
    steps: int
    """How often it changed something below the folder that was named (see disk.c); 0 if it was killed."""
    peak: int
    """Most memory that it had, in bytes, beyond what was there when it began; 0 if it was killed."""

    @property
    def refused(self) -> bool:
        """Whether it ended as a user's mistake does: one message, exit code 2."""
        return self.code == 2 and "Traceback" not in self.err + self.out and "error: " in self.err

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Child:
    """A call that goes on."""

    def __init__(self, pid: int, folder: Path, answer: Callable[[], dict[str, int]]) -> None:
        self.pid, self._folder, self._answer, self._began = pid, folder, answer, time.monotonic()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """It and its workers."""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self.pid, number)

    def out(self) -> str:
        """What it has printed so far."""
        return (self._folder / "out").read_text(errors="replace")

    def wait(self) -> Ended:
        answer = self._answer()
        file = self._folder / "figures"
        figures = [int(figure) for figure in file.read_text().split()] if file.exists() else [0, 0]
        texts = [(self._folder / name).read_text(errors="replace") for name in ("out", "err")]
        seconds = time.monotonic() - self._began
        return Ended(answer["code"], *texts, seconds, *figures)


class Warm:
    """Runs one child at a time. ``with Warm(...) as warm: warm.command("train", photos)``."""

    def __init__(self, disk: Path | None = None) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in ("BIER_TOKEN", "FORCE_COLOR")}
        self._folder = tempfile.TemporaryDirectory(prefix="bier-faults-")
        self._children = 0
        self._child: Child | None = None
        path = os.pathsep.join([str(ROOT / "tests"), *sys.path])
        environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
        if disk is not None:
            environment["LD_PRELOAD"] = str(disk)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            bufsize=1,
        )

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._child is not None:  # a test has failed, and left it
            self._child.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)
        self._folder.cleanup()

    def start(
        self, call: str, *arguments: object, cwd: Path | None = None, env: Mapping[str, object] | None = None
    ) -> Child:
        """Call ``module:function`` with arguments that JSON can carry, in a child."""
        self._children += 1
        folder = Path(self._folder.name, str(self._children))
        folder.mkdir()
        for name in ("out", "err"):
            (folder / name).touch()
        request = {"call": call, "arguments": arguments, "cwd": cwd, "env": dict(env or {}), "folder": folder}
        if self._child is not None:  # a test has failed, and left it
            self._child.kill()
            self._child.wait()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._child = Child(self._read()["pid"], folder, self._ended)
        return self._child

    def run(self, call: str, *arguments: object, **options: Any) -> Ended:
        return self.start(call, *arguments, **options).wait()

    def command(self, *words: object, **options: Any) -> Ended:
        """``bier`` with these words."""
        return self.run("bier.cli:main", [str(word) for word in words], **options)

    def start_command(self, *words: object, **options: Any) -> Child:
        return self.start("bier.cli:main", [str(word) for word in words], **options)

    def _ended(self) -> dict[str, int]:
        self._child = None
        return self._read()

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the warm process has ended"
        found: dict[str, int] = json.loads(line)
        return found


def failing(under: Path, at: int, how: str) -> dict[str, object]:
    """The environment of a child whose disk fills up (``full``), or that dies (``kill``), at a step (see disk.c)."""
    return {"BIER_FAULTS_UNDER": under, "BIER_FAULTS_AT": at, "BIER_FAULTS_DO": how}


def counting(under: Path) -> dict[str, object]:
    """The environment of a child whose steps are counted."""
    return {"BIER_FAULTS_UNDER": under}


def _serve() -> None:
    for name in IMPORTS.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    answers, requests = os.dup(1), sys.stdin
    os.dup2(2, 1)
    for line in requests:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.close(answers)
            _call(**request)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        os.write(answers, f'{{"pid": {pid}}}\n'.encode())
        _, status = os.waitpid(pid, 0)
        os.write(answers, f'{{"code": {os.waitstatus_to_exitcode(status)}}}\n'.encode())
    os._exit(0)  # nothing of its own is left to be put away


def memory(what: str, pid: int | str = "self") -> int:
    """Bytes that a process has (``VmRSS``), or had at most (``VmHWM``)."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return 1024 * int(line.split()[1])


def _call(call: str, arguments: list[Any], cwd: str | None, env: dict[str, Any], folder: str) -> None:
    """In the child."""
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd or folder)
    os.environ.update({key: str(value) for key, value in env.items()})
    before = memory("VmRSS")
    code = _status(call, arguments)
    steps = ctypes.CDLL(None).faults_steps() if "BIER_FAULTS_UNDER" in env else 0
    Path(folder, "figures").write_text(f"{steps} {max(0, memory('VmHWM') - before)}")
    # As Python ends, but without taking apart what the warm process had imported: that takes a second.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _status(call: str, arguments: list[Any]) -> int:
    """What a process that made this call would end with."""
    module, _, function = call.partition(":")
    try:
        getattr(importlib.import_module(module), function)(*arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve()
