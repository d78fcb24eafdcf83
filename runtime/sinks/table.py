"""All sinks for the newest picture, by their names for `--to`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine_bridge.errors import SinkError

from .base import Show
from .camera import open_camera
from .spout import open_spout
from .worker import NewestWorker

SINKS: Final[dict[str, Callable[[str, Show], NewestWorker]]] = {"camera": open_camera, "spout": open_spout}
FILM: Final = "film"  # a recording skips nothing, so it has its own file: `recorder`


def open_sink(asked: str, show: Show) -> NewestWorker:
    """Open a sink with its own thread.

    Args:
        asked: NAME:ARGUMENT, for example `camera:auto`.
        show: the pictures to come.

    Raises:
        SinkError: there is no such sink, or it cannot be opened.
    """
    name, _, argument = asked.partition(":")
    if name not in SINKS:
        raise SinkError(f'There is no sink "{name[:80]}". Use one of: {", ".join([FILM, *SINKS])}.')
    return SINKS[name](argument, show)
