"""Several processes on this machine, as ``torchrun`` starts them, without its traceback when one of them fails.

They end when the one that started them does, even if it was killed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bier.cli.launched import LAUNCHER
from bier.errors import BierError, ProcessError
from bier.system.console import plain_console

if TYPE_CHECKING:
    from bier.system.processes import Processes


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that this one was started with; a mistake that all of them make is told once.

    Raises:
        SystemExit: after a mistake, with its exit code.
    """
    from bier.system.processes import started_by_torchrun

    with started_by_torchrun() as processes:
        try:
            yield processes
        except BierError as error:
            if processes.world == 1:
                raise
            text = str(error)
            processes.say_once(text, lambda: print_error(text))
            raise SystemExit(error.exit_code) from error


def print_error(text: str) -> None:
    """One message for a mistake, on standard error."""
    errors = plain_console(stderr=True, soft_wrap=True)
    errors.print("error: ", style="bold red", end="")
    errors.print(text)


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``bier`` with these arguments so many times at once.

    Returns:
        0, or the exit code of the first that failed. One that a signal ended counts before all others: it cannot speak
        for itself, so that is said here.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what failed says so itself
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"bier-{os.getpid()}",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "bier.cli", *arguments)
    except ChildFailedError as error:
        killed = next((one for one in error.failures.values() if one.exitcode < 0), None)
        if killed is None:
            return int(error.get_first_failure()[1].exitcode)
        print_error(str(_killed(killed.local_rank, processes, -killed.exitcode)))
        return 128 - int(killed.exitcode)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def _killed(rank: int, processes: int, number: int) -> ProcessError:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    perhaps = " (out of memory?)" if name == "SIGKILL" else ""
    return ProcessError(
        f"process {rank + 1} of {processes} was ended by {name}{perhaps}",
        remedy="a run goes on with: bier train --resume RUN",
    )
