"""A process that ends when the one that started it has ended."""

from __future__ import annotations

import os
import threading
import time

SECONDS = 0.3
"""Between two looks."""


def end_with(parent: int) -> None:
    """End this process as soon as the one that started it has ended, whatever ended that.

    Windows does not tell, so there it does nothing.

    Args:
        parent: number of the process that started this one; it may have ended already.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
