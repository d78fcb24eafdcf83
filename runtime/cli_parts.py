"""What the commands of `bunraku` have in common: how they fail, what they print. Knows no command."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from engine_bridge.errors import BunrakuError, DriverError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]

Command = TypeVar("Command", bound=Callable[..., None])


def reporting(command: Command) -> Command:
    """Turn our errors into a line and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except DriverError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from None
        except BunrakuError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(130) from None

    return wrapped  # type: ignore[return-value]


def log_to_stderr() -> None:
    """Show warnings beside what a command prints."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)


def table(headings: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table without lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, show_header=any(headings), pad_edge=False)
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    Console().print(shown)
