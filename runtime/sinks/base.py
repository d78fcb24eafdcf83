"""What every picture sink is told in advance."""

from __future__ import annotations

from dataclasses import dataclass

from .films import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """The pictures to come, and how to handle alpha in RGB output.

    Attributes:
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        fps: reported to devices that ask; pictures are sent as they come.
        background: a colour, for the layout `flat`.
        layout: how alpha is represented where only RGB is taken.
    """

    width: int
    height: int
    fps: float = 60.0
    background: str = "#202428"
    layout: Layout = "flat"
