"""The controls beside the picture, built from what the stream says it takes. Knows widgets, no socket or picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pygame
import pygame_gui
from pygame_gui.core import ObjectID, UIContainer
from pygame_gui.elements import (
    UIButton,
    UIHorizontalSlider,
    UILabel,
    UIPanel,
    UIScrollingContainer,
    UISelectionList,
    UITextEntryLine,
)

from engine_bridge.avf.messages import ControlSpec, StreamInfo
from engine_bridge.labels import control_label

from . import background, theme
from .desk import Desk
from .input_map import Action

WIDTH: Final = 336  # at scale 1
_HEADER: Final = 62
_FOOTER: Final = 50
_LEAST_SCROLL: Final = 80
_EDGE: Final = 14
_ROW: Final = 26
_BUTTON: Final = 28
_GAP: Final = 6
_SCROLL_BAR: Final = 20  # the widget library's own, whatever the scale
_LIST_FROM: Final = 31  # so many identities go into a list instead of a grid of buttons
_LIST_ROWS: Final = 8
_UPDATE_S: Final = 1.0 / 30.0
_FOLLOW_S: Final = 1.0 / 12.0
_AWAKE_S: Final = 0.5  # how long widgets are kept moving after the last event, for hover and scroll to settle
_DOUBLE_CLICK_S: Final = 0.35
SEEDS: Final = 2**31
# Rows that are not controls of the character; no control's name has a space.
_AMOUNT: Final = "mix amount"
_TRUNCATION: Final = "truncation psi"
_LABELS: Final = {_AMOUNT: "amount", _TRUNCATION: "variety"}
_HINTS: Final = {_TRUNCATION: "How far people differ from the average face: 0 is the average. Known as truncation psi."}


@dataclass(slots=True)
class _Section:
    """One collapsible group: its heading, and a body that is built when it is first opened."""

    title: str
    build: Callable[[UIContainer], int]
    open: bool
    names: frozenset[str] = frozenset()
    held: bool = False
    arrow: Any = None
    heading: Any = None
    body: Any = None
    height: int = 0


@dataclass(slots=True)
class _Row:
    """One slider with its value and its way back."""

    slider: Any
    value: Any
    reset: Any
    rest: float
    write: Callable[[float], str]
    moved: Callable[[float], None]
    released: Callable[[], None]
    shown: tuple[float, bool]


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
        self._scale = scale
        self._font = theme.font(self._px(13))
        self._desk = desk
        self._info = info
        self._act = act
        self._choose_background = choose_background
        self._rows: dict[str, _Row] = {}
        self._presses: dict[Any, Callable[[], None]] = {}
        self._entries: dict[Any, Callable[[str], None]] = {}
        self._lists: dict[Any, Callable[[str], None]] = {}
        self._expressions: dict[str, Any] = {}
        self._identity: _Picker | None = None
        self._mix: _Picker | None = None
        self._backgrounds: dict[str, Any] = {}
        self._background = name
        self._last_press: tuple[float, str] = (-1.0, "")
        self._awake_until = 0.0
        self._updated_at = 0.0
        self._followed_at = 0.0
        self._dirty = True
        self._updated = False
        self._said = ""
        size = self._roomy(size)
        self._manager: Any = pygame_gui.UIManager(size, theme_path=None, enable_live_theme_updates=False)
        self._manager.get_theme().load_theme(theme.widget_theme(scale))
        self._frame = UIPanel(
            pygame.Rect(0, 0, self.width, size[1]),
            manager=self._manager,
            margins={"left": 0, "right": 0, "top": 0, "bottom": 0},
            anchors={"left": "left", "right": "left", "top": "top", "bottom": "bottom"},
        )
        self._header(info)
        self._footer(can_record)
        self._scroll = UIScrollingContainer(
            pygame.Rect(0, self._px(_HEADER), self.width, size[1] - self._px(_HEADER) - self._px(_FOOTER)),
            manager=self._manager,
            container=self._frame,
            allow_scroll_x=False,
            anchors={"left": "left", "right": "left", "top": "top", "bottom": "bottom"},
        )
        self._inner = self.width - self._px(_EDGE) - _SCROLL_BAR - self._px(2)
        self._sections = self._plan(info)
        for section in self._sections:
            self._add_section(section)
        self._arrange()

    @property
    def width(self) -> int:
        """Pixels that the panel takes from the left edge of the window."""
        return self._px(WIDTH)

    @property
    def height(self) -> int:
        """Pixels below which the panel cannot be used."""
        return self._px(_HEADER + _FOOTER + _LEAST_SCROLL)

    @property
    def info(self) -> StreamInfo | None:
        """What the panel was built from."""
        return self._info

    @property
    def typing(self) -> bool:
        """Whether keys belong to a text box."""
        return any(entry.is_focused for entry in self._entries)

    def stop_typing(self) -> None:
        """Give the keys back to the window."""
        self._manager.set_focus_set(None)
        self._wake()

    def resize(self, size: tuple[int, int]) -> None:
        """Follow the window's size."""
        self._manager.set_window_resolution(self._roomy(size))
        self._dirty = True

    def set_subtitle(self, text: str) -> None:
        """Show what moves the character now, under its name."""
        if self._said != text:
            self._subtitle.set_text(self._fit(text, self.width - 2 * self._px(_EDGE)))
            self._said = text
            self._dirty = True

    def set_background(self, name: str) -> None:
        """Show which background is chosen."""
        self._background = name
        for choice, button in self._backgrounds.items():
            _mark(button, choice == name)
        self._dirty = True

    def set_recording(self, recording: bool) -> None:
        """Show whether a recording runs."""
        if self._record is not None:
            _mark(self._record, recording)
            self._dirty = True

    def show_desk(self) -> None:
        """Bring the widgets to what the desk holds, after a key or the pointer changed it."""
        controls = {**self._desk.held, **self._desk.look}
        for name, row in self._rows.items():
            if " " in name:
                continue
            self._show(row, controls.get(name, row.rest), name in controls)
        if _AMOUNT in self._rows:
            self._show(self._rows[_AMOUNT], self._desk.mix_amount, self._desk.mix_identity is not None)
        if _TRUNCATION in self._rows:
            psi = self._desk.truncation_psi
            self._show(self._rows[_TRUNCATION], 1.0 if psi is None else psi, psi is not None)
        for name, button in self._expressions.items():
            _mark(button, name == self._desk.expression)
        if self._identity is not None:
            self._identity.show(self._desk.identity)
        if self._mix is not None:
            self._mix.show(self._desk.mix_identity)
        self._show_sections()
        self._dirty = True

    def _show_sections(self) -> None:
        """Colour the headings under which something is held, also while they are closed."""
        for section in self._sections:
            held = not section.names.isdisjoint(self._desk.held)
            if held != section.held:
                section.held = held
                section.heading.change_object_id(ObjectID(None, "@heading_held" if held else "@heading"))

    def show_look(self, now_s: float) -> None:
        """Let the sliders follow the pointer, now and then."""
        if now_s >= self._followed_at + _FOLLOW_S:
            self._followed_at = now_s
            for name, value in self._desk.look.items():
                if name in self._rows:
                    self._show(self._rows[name], value, True)

    def handle(self, event: pygame.event.Event, now_s: float) -> bool:
        """Give an event to the widgets.

        Args:
            event: any pygame event.
            now_s: for double clicks and for how long the widgets stay awake.

        Returns:
            Whether the event was the panel's and nobody else should use it.
        """
        if event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION):
            inside = bool(event.pos[0] < self.width)
            if inside or self._awake_until > now_s:
                self._wake(now_s)
            if inside and event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
                if self._double_click(event.pos, now_s):
                    return True
                self._bring_thumb(event.pos)
            self._manager.process_events(event)
            if event.type == pygame.MOUSEBUTTONUP:
                self._colour_thumbs()
            return inside
        if event.type == pygame.MOUSEWHEEL:
            inside = pygame.mouse.get_pos()[0] < self.width
            if inside:
                self._wake(now_s)
                self._manager.process_events(event)
            return inside
        if event.type in (pygame.KEYDOWN, pygame.KEYUP, pygame.TEXTINPUT):
            if not self.typing:
                return False
            self._wake(now_s)
            if event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE:
                self.stop_typing()
            else:
                self._manager.process_events(event)
            return True
        return self._widget_event(event, now_s)

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
        for y in (self._px(_HEADER) - 1, area.height - self._px(_FOOTER)):
            screen.fill(theme.LINE, (0, y, area.width, 1))
        screen.set_clip(clip)
        self._dirty = False
        return area

    def close(self) -> None:
        """Take the widgets away."""
        self._manager.clear_and_reset()

    # Building

    def _header(self, info: StreamInfo | None) -> None:
        left, width = self._px(_EDGE), self.width - 2 * self._px(_EDGE)
        title = theme.font(self._px(18), bold=True)
        name = _fitted(title, info.character if info is not None else "Waiting for the stream", width)
        UILabel(
            pygame.Rect(left, self._px(9), width, self._px(27)), name,
            manager=self._manager, container=self._frame, object_id=ObjectID("#title", "@title"),
        )  # fmt: skip
        self._subtitle = UILabel(
            pygame.Rect(left, self._px(34), width, self._px(20)), "",
            manager=self._manager, container=self._frame, object_id=ObjectID("#subtitle", "@name"),
        )  # fmt: skip

    def _footer(self, can_record: bool) -> None:
        labels = [("Reset all", Action.RESET), ("Calibrate", Action.CALIBRATE), ("Snapshot", Action.SCREENSHOT)]
        if can_record:
            labels.append(("Record", Action.RECORD))
        gap, left = self._px(_GAP), self._px(_EDGE)
        width = (self.width - 2 * left - gap * (len(labels) - 1)) // len(labels)
        self._record = None
        for place, (text, action) in enumerate(labels):
            # From the bottom, so that the row follows the window's height.
            rect = pygame.Rect(left + place * (width + gap), -self._px(_FOOTER - 11), width, self._px(_BUTTON))
            button = self._button(
                rect, text, self._frame, partial(self._act, action),
                anchors={"left": "left", "right": "left", "top": "bottom", "bottom": "bottom"},
            )  # fmt: skip
            if action is Action.RECORD:
                self._record = button

    def _plan(self, info: StreamInfo | None) -> list[_Section]:
        sections: list[_Section] = []
        if info is not None:
            if info.expressions:
                sections.append(_Section("Expressions", self._build_expressions, True))
            if info.identities or info.has_mapping:
                sections.append(_Section("Person", self._build_identity, True))
                sections.append(_Section("Mix with another person", self._build_mix, False))
            groups: dict[str, list[ControlSpec]] = {}
            for spec in info.controls:
                groups.setdefault(spec.group or "controls", []).append(spec)
            for place, (group, specs) in enumerate(groups.items()):
                movable = [spec for spec in specs if spec.maximum > spec.minimum]
                names = frozenset(spec.name for spec in movable)
                build = partial(self._build_controls, movable)
                sections.append(_Section(group.capitalize(), build, place == 0, names))
        sections.append(_Section("Background", self._build_background, False))
        return sections

    def _add_section(self, section: _Section) -> None:
        left, height = self._px(_EDGE), self._px(30)
        arrow = self._px(16)
        toggle = partial(self._toggle, section)
        section.arrow = self._button(
            pygame.Rect(left - self._px(4), 0, arrow, height), "", self._scroll, toggle, kind="@arrow"
        )
        section.heading = self._button(
            pygame.Rect(left - self._px(4) + arrow, 0, self._inner - arrow, height),
            section.title, self._scroll, toggle, kind="@heading",
        )  # fmt: skip
        if section.open:
            self._build(section)

    def _build(self, section: _Section) -> None:
        section.body = UIContainer(
            pygame.Rect(self._px(_EDGE), 0, self._inner, self._px(10)), manager=self._manager, container=self._scroll
        )
        section.height = section.build(section.body)
        section.body.set_dimensions((self._inner, section.height))

    def _toggle(self, section: _Section) -> None:
        section.open = not section.open
        if section.body is None:
            self._build(section)
            self.show_desk()
        elif section.open:
            section.body.show()
            self._hide_idle_resets()
        else:
            section.body.hide()
        self._arrange()

    def _arrange(self) -> None:
        top = self._px(4)
        for section in self._sections:
            section.arrow.set_text("▼" if section.open else "►")
            for part in (section.arrow, section.heading):
                part.set_relative_position((part.relative_rect.x, top))
            top += self._px(30)
            if section.open:
                section.body.set_relative_position((self._px(_EDGE), top))
                top += section.height + self._px(8)
        self._scroll.set_scrollable_area_dimensions((self.width - _SCROLL_BAR, top + self._px(8)))
        self._dirty = True

    def _build_expressions(self, body: UIContainer) -> int:
        specs = self._info.expressions if self._info is not None else []
        texts = [f"{spec.hotkey}  {spec.name}" if spec.hotkey else spec.name for spec in specs]
        presses = [partial(self._choose, self._desk.toggle_expression, spec.name) for spec in specs]
        buttons, height = self.add_grid(body, texts, presses, columns=3, top=0)
        self._expressions = {spec.name: button for spec, button in zip(specs, buttons, strict=True)}
        return height

    def _build_identity(self, body: UIContainer) -> int:
        assert self._info is not None
        self._identity = _Picker(self, body, self._info, partial(self._choose, self._desk.choose_identity))
        if not self._info.has_mapping:  # nobody is drawn, so nobody can differ less
            return self._identity.height
        psi = ControlSpec(_TRUNCATION, 0.0, 1.0, 1.0)
        return self._slider(
            body, self._identity.height, psi, write="{:.2f}".format,
            moved=self._desk.set_truncation, released=partial(self._desk.set_truncation, 1.0),
        )  # fmt: skip

    def _build_mix(self, body: UIContainer) -> int:
        assert self._info is not None

        def choose(identity: str | int) -> None:
            self._choose(self._desk.choose_mix, None if identity == self._desk.mix_identity else identity)

        self._mix = _Picker(self, body, self._info, choose)
        return self._slider(
            body, self._mix.height, ControlSpec(_AMOUNT, 0.0, 1.0, 0.5), write="{:.0%}".format,
            moved=self._desk.set_mix_amount, released=partial(self._desk.choose_mix, None),
        )  # fmt: skip

    def _build_controls(self, specs: Sequence[ControlSpec], body: UIContainer) -> int:
        top = 0
        for spec in specs:
            degrees = max(abs(spec.minimum), abs(spec.maximum)) > 2.0
            top = self._slider(
                body, top, spec, write=_degrees if degrees else "{:.2f}".format,
                moved=partial(self._desk.hold, spec.name), released=partial(self._desk.release, spec.name),
            )  # fmt: skip
        return top

    def _build_background(self, body: UIContainer) -> int:
        presses = [partial(self._choose_background, name) for name in background.CHOICES]
        texts = ["checker", *background.CHOICES[1:]]
        buttons, top = self.add_grid(body, texts, presses, columns=4, top=0)
        self._backgrounds = dict(zip(background.CHOICES, buttons, strict=True))
        width, height = self._px(86), self._px(_BUTTON)
        self._label(pygame.Rect(0, top, width, height), "any colour", body, "@name")
        rect = pygame.Rect(width, top, self._inner - width, height)
        self._entry(rect, body, self._choose_background)
        self.set_background(self._background)
        return top + height

    def _slider(
        self,
        body: UIContainer,
        top: int,
        spec: ControlSpec,
        *,
        write: Callable[[float], str],
        moved: Callable[[float], None],
        released: Callable[[], None],
    ) -> int:
        """Add a row with a slider and return where the next one begins."""
        height, name, value, reset = self._px(_ROW), self._px(118), self._px(50), self._px(20)
        width, thick = self._inner - name - value - reset - self._px(2), self._px(14)
        words = _LABELS.get(spec.name) or control_label(spec.name)
        self._label(pygame.Rect(0, top, name, height), words, body, "@name").set_tooltip(
            _HINTS.get(spec.name, spec.name)
        )
        slider = UIHorizontalSlider(
            pygame.Rect(name, top + (height - thick) // 2, width, thick),
            start_value=float(spec.rest),
            value_range=(float(spec.minimum), float(spec.maximum)),
            manager=self._manager,
            container=body,
        )
        number = self._label(pygame.Rect(name + width, top, value, height), write(spec.rest), body, "@value")
        rect = pygame.Rect(self._inner - reset, top, reset, height)
        back = self._button(rect, "\u00d7", body, partial(self._choose, released), kind="@quiet")
        back.hide()
        self._rows[spec.name] = _Row(slider, number, back, spec.rest, write, moved, released, (spec.rest, False))
        return top + height

    def add_grid(
        self, body: UIContainer, texts: Sequence[str], presses: Sequence[Callable[[], None]], *, columns: int, top: int
    ) -> tuple[list[Any], int]:
        """Add rows of buttons; return them and where the next thing begins."""
        gap, height = self._px(_GAP), self._px(_BUTTON)
        width = (self._inner - gap * (columns - 1)) // columns
        buttons = []
        for place, (text, press) in enumerate(zip(texts, presses, strict=True)):
            row, column = divmod(place, columns)
            rect = pygame.Rect(column * (width + gap), top + row * (height + gap), width, height)
            buttons.append(self._button(rect, self._fit(text, width - self._px(10)), body, press))
        return buttons, top + -(-len(texts) // columns) * (height + gap)

    def add_list(self, body: UIContainer, names: Sequence[str], choose: Callable[[str], None]) -> tuple[Any, int]:
        """Add a scrolling list of names; return it and where the next thing begins."""
        rect = pygame.Rect(0, 0, self._inner, _LIST_ROWS * self._px(_ROW) + 2)
        names_list = UISelectionList(rect, list(names), manager=self._manager, container=body)
        self._lists[names_list] = choose
        return names_list, rect.bottom + self._px(_GAP)

    def add_seed(
        self, body: UIContainer, top: int, typed: Callable[[str], None], roll: Callable[[], None]
    ) -> tuple[Any, int]:
        """Add a box for a seed and dice; return the box and where the next thing begins."""
        name, dice, height = self._px(50), self._px(70), self._px(_BUTTON)
        self._label(pygame.Rect(0, top, name, height), "seed", body, "@name")
        width = self._inner - name - dice - self._px(_GAP)
        entry = self._entry(pygame.Rect(name, top, width, height), body, typed)
        entry.set_allowed_characters("numbers")
        self._button(pygame.Rect(self._inner - dice, top, dice, height), "Dice", body, roll)
        return entry, top + height + self._px(_GAP)

    def _button(
        self,
        rect: pygame.Rect,
        text: str,
        container: Any,
        press: Callable[[], None],
        *,
        kind: str = "@plain",
        anchors: dict[str, Any] | None = None,
    ) -> Any:
        button = UIButton(
            rect, text, manager=self._manager, container=container, anchors=anchors,
            object_id=ObjectID(object_id=None, class_id=kind),
        )  # fmt: skip
        self._presses[button] = press
        return button

    def _label(self, rect: pygame.Rect, text: str, container: Any, kind: str) -> Any:
        text = self._fit(text, rect.width - self._px(4))
        return UILabel(
            rect, text, manager=self._manager, container=container, object_id=ObjectID(object_id=None, class_id=kind)
        )

    def _entry(self, rect: pygame.Rect, container: Any, entered: Callable[[str], None]) -> Any:
        entry = UITextEntryLine(rect, manager=self._manager, container=container)
        entry.set_text_length_limit(24)
        self._entries[entry] = entered
        return entry

    # Living

    def _wake(self, now_s: float | None = None) -> None:
        self._awake_until = (self._updated_at if now_s is None else now_s) + _AWAKE_S
        self._dirty = True

    def _choose(self, change: Callable[..., None], *chosen: str | int | None) -> None:
        """Change the desk, then bring all widgets to what it holds: one choice may undo another."""
        change(*chosen)
        self.show_desk()

    def _widget_event(self, event: pygame.event.Event, now_s: float) -> bool:
        """Answer what a widget says. The library says it through pygame's queue, one turn later."""
        element = getattr(event, "ui_element", None)
        if element is None:
            return False
        self._wake(now_s)
        self._manager.process_events(event)
        if event.type == pygame_gui.UI_BUTTON_PRESSED and element in self._presses:
            self._presses[element]()
        elif event.type == pygame_gui.UI_HORIZONTAL_SLIDER_MOVED:
            row = next((row for row in self._rows.values() if row.slider is element), None)
            if row is not None:
                row.moved(float(event.value))
                self._show(row, float(event.value), True)
                self._show_sections()
        elif event.type == pygame_gui.UI_TEXT_ENTRY_FINISHED and element in self._entries:
            self.stop_typing()
            self._entries[element](event.text.strip())
        elif event.type == pygame_gui.UI_SELECTION_LIST_NEW_SELECTION and element in self._lists:
            self._lists[element](event.text)
        return True

    def _row_at(self, point: tuple[int, int]) -> tuple[str, _Row] | None:
        """The row whose slider is under the pointer and in sight."""
        for name, row in self._rows.items():
            if row.slider.visible and row.slider.hover_point(*point) and self._scroll.rect.collidepoint(point):
                return name, row
        return None

    def _double_click(self, point: tuple[int, int], now_s: float) -> bool:
        found = self._row_at(point)
        name = found[0] if found else ""
        again = name != "" and self._last_press[1] == name and now_s - self._last_press[0] < _DOUBLE_CLICK_S
        self._last_press = (now_s, "" if again else name)
        if found and again:
            self._choose(found[1].released)
        return again

    def _bring_thumb(self, point: tuple[int, int]) -> None:
        """Let a click beside the thumb take the thumb there; the library would only let it be dragged."""
        found = self._row_at(point)
        if found is None or found[1].slider.sliding_button.rect.collidepoint(point):
            return
        slider, row = found[1].slider, found[1]
        thumb = slider.sliding_button.rect.width
        share = (point[0] - slider.rect.left - thumb / 2) / max(1, slider.rect.width - thumb)
        low, high = slider.value_range
        value = low + max(0.0, min(1.0, share)) * (high - low)
        row.moved(value)
        self._show(row, value, True)
        self._show_sections()

    def _show(self, row: _Row, value: float, held: bool) -> None:
        """Bring one row to a value, if it is not there."""
        if row.shown == (value, held):
            return
        was_held = row.shown[1]
        row.shown = (value, held)
        if not row.slider.sliding_button.held:
            row.slider.set_current_value(value, warn=False)
        if held != was_held:
            row.value.change_object_id(ObjectID(object_id=None, class_id="@held" if held else "@value"))
            _mark(row.slider.sliding_button, held)
            if held and row.slider.visible:
                row.reset.show()
            else:
                row.reset.hide()
        row.value.set_text(row.write(value))
        self._dirty = True

    def _colour_thumbs(self) -> None:
        """Colour the thumbs of what is held again: the library lets go of a button uncoloured."""
        for row in self._rows.values():
            if row.shown[1]:
                row.slider.sliding_button.select()

    def _hide_idle_resets(self) -> None:
        for row in self._rows.values():
            if not row.shown[1]:
                row.reset.hide()

    def _roomy(self, size: tuple[int, int]) -> tuple[int, int]:
        """The window's size, but never too small: the library's scroll bar would compute without end."""
        return (max(size[0], self.width), max(size[1], self.height))

    def _px(self, size: float) -> int:
        return max(1, round(size * self._scale))

    def _fit(self, text: str, width: int) -> str:
        return _fitted(self._font, text, width)


class _Picker:
    """Named identities as buttons, or as a list when there are many, and a box and dice for seeds."""

    def __init__(self, panel: Panel, body: UIContainer, info: StreamInfo, choose: Callable[[str | int], None]) -> None:
        self._choose = choose
        self._buttons: dict[str | int, Any] = {}
        self._names = info.identities
        self._entry: Any = None
        self._list: Any = None
        self.height = 0
        names = info.identities
        if len(names) < _LIST_FROM:
            presses = [partial(choose, name) for name in names]
            buttons, self.height = panel.add_grid(body, names, presses, columns=3, top=0)
            self._buttons = dict(zip(names, buttons, strict=True))
        else:
            self._list, self.height = panel.add_list(body, names, choose)
        if info.has_mapping:
            self._entry, self.height = panel.add_seed(body, self.height, self._typed, self.roll)

    def show(self, chosen: str | int | None) -> None:
        """Mark what is chosen."""
        for name, button in self._buttons.items():
            _mark(button, name == chosen)
        if self._list is not None and self._list.get_single_selection() not in (None, chosen):
            self._list.set_item_list(self._names)
        if self._entry is not None and not self._entry.is_focused:
            text = str(chosen) if isinstance(chosen, int) else ""
            if self._entry.get_text() != text:
                self._entry.set_text(text)

    def roll(self) -> None:
        """Draw any seed."""
        self._choose(random.randrange(SEEDS))

    def _typed(self, text: str) -> None:
        if text.isdecimal():
            self._choose(int(text))


def _degrees(value: float) -> str:
    return f"{value:+.1f}°" if abs(value) >= 0.05 else "0°"


def _mark(button: Any, selected: bool) -> None:
    """Colour a button as chosen, or not."""
    if selected:
        button.select()
    elif button.is_selected and not selected:
        button.unselect()


def _fitted(font: pygame.font.Font, text: str, width: int) -> str:
    """Shorten a text until it fits: the widget library warns about texts that do not."""
    if font.size(text)[0] <= width:
        return text
    while text and font.size(text + "…")[0] > width:
        text = text[:-1]
    return text + "…"
