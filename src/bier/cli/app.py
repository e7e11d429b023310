"""The command line's frame: one message and an exit code for every mistake, never a traceback."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from bier import __version__
from bier.cli.launching import is_rank_0, print_error
from bier.errors import BierError
from bier.system.allocator import keep_freed_memory

app = App(
    name="bier",
    version=__version__,
    help="Train image-retrieval embeddings by Boosting Independent Embeddings Robustly, and measure them honestly.",
    help_format="plaintext",
)


def output(help: str) -> Parameter:
    """``--out``, or ``-o``: where a command's result goes."""
    return Parameter(name=["--out", "-o"], help=help)


TrustCode = Annotated[
    bool, Parameter(help="Load a torch program (.pt2) as --model. It is code: only your own.", negative="")
]


def terminal() -> Console:
    return Console(soft_wrap=False)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake is one message and exit code 2, never a traceback."""
    keep_freed_memory()
    try:
        result: Any = app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        if is_rank_0():  # all have the same command line
            print_error(str(error))
        sys.exit(2)
    except BierError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)
