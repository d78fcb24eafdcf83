"""What the commands of `bunraku` have in common: an option, and how they fail. Knows no command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from engine_bridge.errors import BunrakuError

from .terminal import report

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]

Command = TypeVar("Command", bound=Callable[..., None])


def reporting(command: Command) -> Command:
    """Turn our errors into a line and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BunrakuError as error:
            raise typer.Exit(report(error)) from None

    return wrapped  # type: ignore[return-value]
