"""What the commands of `bunraku` have in common: how they fail, what they print. Knows no command."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import typer

from engine_bridge.errors import BunrakuError, DriverError
from engine_bridge.plain_text import plain, plain_lines

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]

_FREE_FORM_ROWS: Final = 40
_FREE_FORM_CHARS: Final = 1500  # of one value

Command = TypeVar("Command", bound=Callable[..., None])


def reporting(command: Command) -> Command:
    """Turn our errors into a line and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except DriverError as error:
            typer.echo(f"Error: {plain_lines(str(error))}", err=True)
            raise typer.Exit(2) from None
        except BunrakuError as error:
            typer.echo(f"Error: {plain_lines(str(error))}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(130) from None

    return wrapped  # type: ignore[return-value]


def log_to_stderr() -> None:
    """Show warnings beside what a command prints."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _PlainFormatter(logging.Formatter):
    """Messages quote files, peers and other people's libraries; none of them may write to the terminal as it likes."""

    def format(self, record: logging.LogRecord) -> str:
        """The record in lines that can be printed."""
        return plain_lines(super().format(record))


def free_form_rows(heading: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows for `table` of what anybody may have written at any length, cut to what people can read."""
    shown = list(values.items())[:_FREE_FORM_ROWS]
    rows = [(f"{heading} {plain(key)}", plain(json.dumps(value), _FREE_FORM_CHARS)) for key, value in shown]
    left_out = len(values) - len(shown)
    return [*rows, (heading, f"… and {left_out} more; --json shows all")] if left_out else rows


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
