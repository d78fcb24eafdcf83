"""The controls beside the picture: their place, their events and when they are drawn. Knows no socket and no picture.

What they are comes from what the stream says it takes (`contents.py`); what they are set to goes to the desk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pygame
import pygame_gui
from pygame_gui.core import ObjectID
from pygame_gui.elements import UILabel, UIPanel

from engine_bridge.avf.messages import StreamInfo

from . import theme
from .contents import Contents
from .desk import Desk
from .input_map import Action
from .layout import BUTTON, EDGE, FOOTER, GAP, HEADER, Layout
from .sections import Sections
from .sliders import Sliders
from .widgets import Widgets, fitted, mark

_UPDATE_S: Final = 1.0 / 30.0
_FOLLOW_S: Final = 1.0 / 12.0
_AWAKE_S: Final = 0.5  # how long widgets are kept moving after the last event, for hover and scroll to settle


class Panel:
    """Sliders, identities, expressions and backgrounds; what they are set to goes to the desk.

    The widgets are moved and drawn at most 30 times a second, and only while somebody uses them: the picture next to
    them costs nothing here.

    Args:
        size: of the whole window, pixels.
        scale: of fonts and layout.
        desk: takes what the user sets.
        info: what the stream takes; None builds an empty panel.
        act: called for the buttons that are keys as well.
        choose_background: called with a background's name.
        name: of the background shown at the start.
        can_record: whether to offer recording.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        scale: float,
        desk: Desk,
        info: StreamInfo | None,
        act: Callable[[Action], None],
        choose_background: Callable[[str], None],
        name: str,
        can_record: bool,
    ) -> None:
        self._desk = desk
        self._info = info
        self._awake_until = 0.0
        self._updated_at = 0.0
        self._followed_at = 0.0
        self._dirty = True
        self._updated = False
        self._said = ""
        self._layout = Layout(scale)
        self._widgets = Widgets(size, self._layout)
        self._manager = self._widgets.manager
        height = self._layout.roomy(size)[1]
        self._frame = UIPanel(
            pygame.Rect(0, 0, self.width, height),
            manager=self._manager,
            margins={"left": 0, "right": 0, "top": 0, "bottom": 0},
            anchors={"left": "left", "right": "left", "top": "top", "bottom": "bottom"},
        )
        self._subtitle = self._header(info.character if info is not None else "Waiting for the stream")
        self._record = self._footer(act, can_record)
        self._sliders = Sliders(self._widgets)
        self._contents = Contents(
            self._widgets,
            self._sliders,
            desk=desk,
            info=info,
            changed=self.show_desk,
            choose_background=choose_background,
            background=name,
        )
        self._sections = Sections(
            self._widgets, self._frame, height, self._contents.sections(), opened=self._section_opened
        )

    @property
    def width(self) -> int:
        """Pixels that the panel takes from the left edge of the window."""
        return self._layout.width

    @property
    def height(self) -> int:
        """Pixels below which the panel cannot be used."""
        return self._layout.height

    @property
    def info(self) -> StreamInfo | None:
        """What the panel was built from."""
        return self._info

    @property
    def typing(self) -> bool:
        """Whether keys belong to a text box."""
        return self._widgets.typing

    def stop_typing(self) -> None:
        """Give the keys back to the window."""
        self._widgets.stop_typing()
        self._wake(self._updated_at)

    def resize(self, size: tuple[int, int]) -> None:
        """Follow the window's size."""
        self._manager.set_window_resolution(self._layout.roomy(size))
        self._dirty = True

    def set_subtitle(self, text: str) -> None:
        """Show what moves the character now, under its name."""
        if self._said != text:
            self._subtitle.set_text(self._widgets.fit(text, self.width - 2 * self._layout.px(EDGE)))
            self._said = text
            self._dirty = True

    def set_background(self, name: str) -> None:
        """Show which background is chosen."""
        self._contents.show_background(name)
        self._dirty = True

    def set_recording(self, recording: bool) -> None:
        """Show whether a recording runs."""
        if self._record is not None:
            mark(self._record, recording)
            self._dirty = True

    def show_desk(self) -> None:
        """Bring the widgets to what the desk holds, after a key or the pointer changed it."""
        self._contents.show_desk()
        self._sections.show_held(self._desk.held)
        self._dirty = True

    def show_look(self, now_s: float) -> None:
        """Let the sliders follow the pointer, now and then."""
        if now_s >= self._followed_at + _FOLLOW_S:
            self._followed_at = now_s
            self._dirty |= self._contents.show_look()

    def handle(self, event: pygame.event.Event, now_s: float) -> bool:
        """Give an event to the widgets.

        Args:
            event: any pygame event.
            now_s: for double clicks and for how long the widgets stay awake.

        Returns:
            Whether the event was the panel's and nobody else should use it.
        """
        if event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION):
            return self._pointer(event, now_s)
        if event.type == pygame.MOUSEWHEEL:
            inside = pygame.mouse.get_pos()[0] < self.width
            if inside:
                self._wake(now_s)
                self._manager.process_events(event)
            return inside
        if event.type in (pygame.KEYDOWN, pygame.KEYUP, pygame.TEXTINPUT):
            return self._key(event, now_s)
        return self._answer(event, now_s)

    def update(self, now_s: float) -> None:
        """Move the widgets on, if somebody uses them and it is time."""
        if now_s < self._updated_at + _UPDATE_S or not (now_s < self._awake_until or self.typing):
            return
        elapsed = min(0.1, now_s - self._updated_at)
        self._updated_at = now_s
        self._manager.update(elapsed)
        self._dirty = self._updated = True

    def draw(self, screen: pygame.Surface, *, again: bool) -> pygame.Rect | None:
        """Draw the panel if it changed.

        Args:
            screen: the whole window.
            again: draw even if nothing changed, because the screen was painted over.

        Returns:
            The part of the screen that was drawn, or None.
        """
        if not (self._dirty or again):
            return None
        area = pygame.Rect(0, 0, self.width, screen.get_height())
        clip = screen.get_clip()
        screen.set_clip(area)
        screen.fill(theme.PANEL, area)
        if self._dirty and not self._updated:
            # Only its update lets the library see what was changed from outside: states, texts, what is visible.
            self._manager.update(0.0)
        self._updated = False
        self._manager.draw_ui(screen)
        screen.fill(theme.LINE, (area.right - 1, 0, 1, area.height))
        for y in (self._layout.px(HEADER) - 1, area.height - self._layout.px(FOOTER)):
            screen.fill(theme.LINE, (0, y, area.width, 1))
        screen.set_clip(clip)
        self._dirty = False
        return area

    def close(self) -> None:
        """Take the widgets away."""
        self._manager.clear_and_reset()

    def _header(self, name: str) -> UILabel:
        """Add the character's name, and return the line under it."""
        px = self._layout.px
        left, width = px(EDGE), self.width - 2 * px(EDGE)
        UILabel(
            pygame.Rect(left, px(9), width, px(27)), fitted(theme.font(px(18), bold=True), name, width),
            manager=self._manager, container=self._frame, object_id=ObjectID("#title", "@title"),
        )  # fmt: skip
        return UILabel(
            pygame.Rect(left, px(34), width, px(20)), "",
            manager=self._manager, container=self._frame, object_id=ObjectID("#subtitle", "@name"),
        )  # fmt: skip

    def _footer(self, act: Callable[[Action], None], can_record: bool) -> Any:
        """Add the buttons that are keys as well, and return the one that records, if there is one."""
        labels = [("Reset all", Action.RESET), ("Calibrate", Action.CALIBRATE), ("Snapshot", Action.SCREENSHOT)]
        if can_record:
            labels.append(("Record", Action.RECORD))
        px = self._layout.px
        gap, left = px(GAP), px(EDGE)
        width = (self.width - 2 * left - gap * (len(labels) - 1)) // len(labels)
        buttons: dict[Action, Any] = {}
        for place, (text, action) in enumerate(labels):
            # From the bottom, so that the row follows the window's height.
            rect = pygame.Rect(left + place * (width + gap), -px(FOOTER - 11), width, px(BUTTON))
            anchors = {"left": "left", "right": "left", "top": "bottom", "bottom": "bottom"}
            buttons[action] = self._widgets.button(rect, text, self._frame, partial(act, action), anchors=anchors)
        return buttons.get(Action.RECORD)

    def _pointer(self, event: pygame.event.Event, now_s: float) -> bool:
        inside = bool(event.pos[0] < self.width)
        if inside or self._awake_until > now_s:
            self._wake(now_s)
        if inside and event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            if self._sliders.double_click(event.pos, now_s, within=self._sections.area):
                return True
            if self._sliders.bring_thumb(event.pos, within=self._sections.area):
                self._sections.show_held(self._desk.held)
        self._manager.process_events(event)
        if event.type == pygame.MOUSEBUTTONUP:
            self._sliders.colour_thumbs()
        return inside

    def _key(self, event: pygame.event.Event, now_s: float) -> bool:
        if not self.typing:
            return False
        self._wake(now_s)
        if event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE:
            self.stop_typing()
        else:
            self._manager.process_events(event)
        return True

    def _answer(self, event: pygame.event.Event, now_s: float) -> bool:
        """Answer what a widget says. The library says it through pygame's queue, one turn later."""
        if getattr(event, "ui_element", None) is None:
            return False
        self._wake(now_s)
        self._manager.process_events(event)
        if event.type == pygame_gui.UI_HORIZONTAL_SLIDER_MOVED:
            self._sliders.move(event.ui_element, float(event.value))
            self._sections.show_held(self._desk.held)
        else:
            self._widgets.answer(event)
        return True

    def _section_opened(self) -> None:
        self._sliders.hide_idle_resets()
        self.show_desk()

    def _wake(self, now_s: float) -> None:
        self._awake_until = now_s + _AWAKE_S
        self._dirty = True
