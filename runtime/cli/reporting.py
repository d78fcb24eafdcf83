"""Error reporting of `bunraku` commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from engine_bridge.errors import BunrakuError
from runtime.terminal import report

Command = TypeVar("Command", bound=Callable[..., None])


def reporting(command: Command) -> Command:
    """Turn our errors into a message and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BunrakuError as error:
            raise typer.Exit(report(error)) from None

    return wrapped  # type: ignore[return-value]
