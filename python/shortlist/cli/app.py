"""The commands under one name, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer

from .build import build
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .info import info
from .on_disk import verify
from .plot import plot
from .search import search
from .tune import tune

app = typer.Typer(
    name="shortlist",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Build, search and measure nearest-neighbour indexes.",
    epilog="Exit codes: 0 done; 1 a file or its data is at fault; 2 wrong usage; 130 interrupted.",
)
app.command()(build)
app.command()(search)
app.command("eval")(evaluate)
app.command()(tune)
app.command()(plot)
app.command()(info)
app.command()(verify)
app.command()(doctor)
app.command()(demo)


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Build, search and measure nearest-neighbour indexes."""
    context.find_root().meta["debug"] = debug


def run(arguments: list[str]) -> int:
    """Errors become one line on stderr; a traceback is shown only after --debug."""
    debug = "--debug" in arguments[:1]
    try:
        code = int(
            typer.main.get_command(app).main(
                arguments, prog_name="shortlist", standalone_mode=False
            )
            or 0
        )
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:  # the reader of a pipe has left; nothing more can be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, MemoryError, RuntimeError, ImportError) as error:
        if debug:
            traceback.print_exc()
        print(f"shortlist: error: {_one_line(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if (text := _usage(error)) is None:
            raise
        print(text, file=sys.stderr)
        return 2
    if code == 130:  # Typer turns Ctrl-C into this code or into Abort, by version
        print("shortlist: interrupted", file=sys.stderr)
    return code


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _usage(error: Any) -> str | None:
    """Typer's usage errors; by shape, because Typer brings its own copy of their classes."""
    if not hasattr(error, "format_message"):
        return None
    message = str(error.format_message())
    context = getattr(error, "ctx", None)
    if context is None:
        return f"shortlist: error: {' '.join(message.split())}"
    command = context.command_path
    if message in ("", context.get_help()):  # a command without any argument
        return str(context.get_help())
    return f"{command}: error: {' '.join(message.split())} See {command} --help."
