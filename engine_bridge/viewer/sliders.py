"""The panel's sliders, each with its value and a way back. Knows widgets and the mouse, not what a slider sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pygame
from pygame_gui.core import ObjectID, UIContainer
from pygame_gui.elements import UIHorizontalSlider

from .layout import ROW
from .widgets import Widgets, mark

_DOUBLE_CLICK_S: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class SliderSpec:
    """What a slider sets.

    Attributes:
        name: unique among all sliders of a panel.
        label: for people.
        hint: shown when the pointer rests on the label.
        minimum: at the left end.
        maximum: at the right end.
        rest: where it stands while it is free.
        write: the value in words.
        moved: called with a new value.
        released: called when the user lets it free.
    """

    name: str
    label: str
    hint: str
    minimum: float
    maximum: float
    rest: float
    write: Callable[[float], str]
    moved: Callable[[float], None]
    released: Callable[[], None]


@dataclass(slots=True)
class Row:
    """The widgets of one slider, and the value it shows with whether that is held."""

    spec: SliderSpec
    slider: Any
    value: Any
    reset: Any
    shown: tuple[float, bool]


class Sliders:
    """All rows with a slider, by name.

    Attributes:
        rows: in the order in which they were added.
    """

    def __init__(self, widgets: Widgets) -> None:
        self._widgets = widgets
        self._last_press: tuple[float, str] = (-1.0, "")
        self.rows: dict[str, Row] = {}

    def add(self, body: UIContainer, top: int, spec: SliderSpec) -> int:
        """Add a row and return where the next one begins."""
        layout = self._widgets.layout
        height, name, value, reset = layout.px(ROW), layout.px(118), layout.px(50), layout.px(20)
        width, thick = layout.inner - name - value - reset - layout.px(2), layout.px(14)
        label = self._widgets.label(pygame.Rect(0, top, name, height), spec.label, body, "@name")
        label.set_tooltip(spec.hint)
        slider = UIHorizontalSlider(
            pygame.Rect(name, top + (height - thick) // 2, width, thick),
            start_value=float(spec.rest),
            value_range=(float(spec.minimum), float(spec.maximum)),
            manager=self._widgets.manager,
            container=body,
        )
        rect = pygame.Rect(name + width, top, value, height)
        number = self._widgets.label(rect, spec.write(spec.rest), body, "@value")
        rect = pygame.Rect(layout.inner - reset, top, reset, height)
        back = self._widgets.button(rect, "\u00d7", body, spec.released, kind="@quiet")
        back.hide()
        self.rows[spec.name] = Row(spec, slider, number, back, (spec.rest, False))
        return top + height

    def show(self, name: str, value: float, held: bool) -> bool:
        """Bring one row to a value.

        Returns:
            Whether it was not there already.
        """
        row = self.rows[name]
        if row.shown == (value, held):
            return False
        was_held = row.shown[1]
        row.shown = (value, held)
        if not row.slider.sliding_button.held:
            row.slider.set_current_value(value, warn=False)
        if held != was_held:
            row.value.change_object_id(ObjectID(object_id=None, class_id="@held" if held else "@value"))
            mark(row.slider.sliding_button, held)
            if held and row.slider.visible:
                row.reset.show()
            else:
                row.reset.hide()
        row.value.set_text(row.spec.write(value))
        return True

    def move(self, slider: Any, value: float) -> None:
        """Take the value to which the user has moved a slider; those of others, such as a scroll bar, are ignored."""
        for name, row in self.rows.items():
            if row.slider is slider:
                row.spec.moved(value)
                self.show(name, value, True)

    def double_click(self, point: tuple[int, int], now_s: float, *, within: pygame.Rect) -> bool:
        """Take a press of the left button; the second one on a slider within a moment lets it free.

        Args:
            point: where, in pixels of the window.
            now_s: when.
            within: what of the window is in sight.

        Returns:
            Whether it was the second.
        """
        row = self._at(point, within)
        name = row.spec.name if row else ""
        again = name != "" and self._last_press[1] == name and now_s - self._last_press[0] < _DOUBLE_CLICK_S
        self._last_press = (now_s, "" if again else name)
        if row and again:
            row.spec.released()
        return again

    def bring_thumb(self, point: tuple[int, int], *, within: pygame.Rect) -> bool:
        """Let a click beside the thumb take the thumb there; the library would only let it be dragged.

        Args:
            point: where, in pixels of the window.
            within: what of the window is in sight.

        Returns:
            Whether there was a thumb to take there.
        """
        row = self._at(point, within)
        if row is None or row.slider.sliding_button.rect.collidepoint(point):
            return False
        slider, thumb = row.slider, row.slider.sliding_button.rect.width
        share = (point[0] - slider.rect.left - thumb / 2) / max(1, slider.rect.width - thumb)
        low, high = slider.value_range
        self.move(slider, low + max(0.0, min(1.0, share)) * (high - low))
        return True

    def colour_thumbs(self) -> None:
        """Colour the thumbs of what is held again: the library lets go of a button uncoloured."""
        for row in self.rows.values():
            if row.shown[1]:
                row.slider.sliding_button.select()

    def hide_idle_resets(self) -> None:
        """Hide the ways back of what is free: the library shows them with the section that they are in."""
        for row in self.rows.values():
            if not row.shown[1]:
                row.reset.hide()

    def _at(self, point: tuple[int, int], within: pygame.Rect) -> Row | None:
        """The row whose slider is under the pointer and in sight."""
        for row in self.rows.values():
            if row.slider.visible and row.slider.hover_point(*point) and within.collidepoint(point):
                return row
        return None
