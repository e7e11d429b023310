"""The command line's frame: one message and an exit code for every mistake, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from rich.console import Console

from bier import __version__
from bier.cli.launched import is_rank_0
from bier.cli.launching import print_error
from bier.errors import BierError
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.training.stopping import Interrupted

app = App(
    name="bier",
    version=__version__,
    help="Train image-retrieval embeddings by Boosting Independent Embeddings Robustly, and measure them honestly.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # which would end a command without a word
)


def output(help: str, *, url: bool = False) -> Parameter:
    """``--out``, or ``-o``: where a command's result goes; ``url`` where it may be a bucket."""
    return Parameter(name=["--out", "-o"], help=help, validator=None if url else _refuse_url)


def _refuse_url(type_: Any, value: Any) -> None:
    from bier.errors import ConfigError
    from bier.system.places import is_url, spelled

    if value is not None and is_url(value):
        raise ConfigError(
            f"{spelled(str(value))} is not a folder of this machine",
            where="--out",
            remedy="give a folder; `bier embed` writes into a bucket, and `bier index --uri` keeps its table in one",
        )


ClassDepth = Annotated[
    int | None,
    Parameter(help="How many folders deep the classes of a folder lie. [default: 1]", validator=Number(gte=1)),
]
"""For commands that read labels of a catalogue."""
LabelSeparator = Annotated[
    str | None,
    Parameter(help="What stands between the labels of a picture: they become the field labels. [default: one label]"),
]
Objects = Annotated[bool, Parameter(help="One row for each box of a table, and not for each picture.", negative="")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Parameter(help="Numbers of the network; auto takes bfloat16 where the processor or GPU computes in it itself."),
]
TrustCode = Annotated[
    bool, Parameter(help="Load a torch program (.pt2) as --model. It is code: only your own.", negative="")
]


def left_out(console: Console) -> Callable[[str, str], None]:
    """Tells of each picture that cannot be read, and why."""
    return lambda picture, why: console.print(f"left out: {picture}: {why}", soft_wrap=True)


def terminal() -> Console:
    return plain_console()


def run(arguments: list[str]) -> NoReturn:
    """Run a command line and exit; a mistake is told."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be valid text
    try:
        result: Any = app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        if is_rank_0():  # all have the same command line
            print_error(str(error))
        sys.exit(2)
    except BierError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except Interrupted:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)
