"""What every sink for pictures is told of the show."""

from __future__ import annotations

from dataclasses import dataclass

from .films import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What will be sent, and how it is to look where alpha does not go.

    Attributes:
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        fps: told to devices that ask; pictures are sent as they come.
        background: a colour, for the layout `flat`.
        layout: what becomes of alpha where only RGB is taken.
    """

    width: int
    height: int
    fps: float = 60.0
    background: str = "#202428"
    layout: Layout = "flat"
