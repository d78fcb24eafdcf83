"""How large the parts of the panel are, at a scale. Knows numbers, no widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WIDTH: Final = 336  # at scale 1, as all numbers here but the scroll bar's
HEADER: Final = 62
FOOTER: Final = 50
EDGE: Final = 14
ROW: Final = 26
BUTTON: Final = 28
HEADING: Final = 30
GAP: Final = 6
SCROLL_BAR: Final = 20  # the widget library's own, whatever the scale
_LEAST_SCROLL: Final = 80


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels.

    Attributes:
        scale: of fonts and widgets.
    """

    scale: float

    def px(self, size: float) -> int:
        """A size given at scale 1, in pixels."""
        return max(1, round(size * self.scale))

    @property
    def width(self) -> int:
        """Of the panel, from the left edge of the window."""
        return self.px(WIDTH)

    @property
    def height(self) -> int:
        """Of the lowest panel that can be used."""
        return self.px(HEADER + FOOTER + _LEAST_SCROLL)

    @property
    def inner(self) -> int:
        """Width of what a section holds."""
        return self.width - self.px(EDGE) - SCROLL_BAR - self.px(2)

    def roomy(self, size: tuple[int, int]) -> tuple[int, int]:
        """The window's size, but never too small: the library's scroll bar would compute without end."""
        return (max(size[0], self.width), max(size[1], self.height))
