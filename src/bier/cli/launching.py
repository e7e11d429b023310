"""Several processes on this machine, as ``torchrun`` starts them, without its traceback when one of them fails."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence


def is_launched() -> bool:
    """Whether this process is one of several that were started together."""
    return "WORLD_SIZE" in os.environ


def let_the_first_speak() -> None:
    """Of several processes that make the same mistake: the others are ended while they wait."""
    if os.environ.get("RANK", "0") != "0":
        time.sleep(3)


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``bier`` with these arguments so many times at once; returns the exit code of the first that fails, or 0."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what failed says so itself
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
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0
