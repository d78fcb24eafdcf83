"""What the panel offers for a stream, section by section, and how that shows what the desk holds. Knows no event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import pygame
from pygame_gui.core import UIContainer

from engine_bridge.avf.messages import ControlSpec, StreamInfo
from engine_bridge.labels import control_label

from . import background as backgrounds
from .desk import Desk
from .layout import BUTTON
from .picker import Picker
from .sections import Section
from .sliders import Sliders, SliderSpec
from .widgets import Widgets, mark

# Sliders that are not controls of the character; no control's name has a space.
_AMOUNT: Final = "mix amount"
_TRUNCATION: Final = "truncation psi"
_TRUNCATION_HINT: Final = "How far people differ from the average face: 0 is the average. Known as truncation psi."


class Contents:
    """Expressions, people, a mixture, controls and backgrounds: whatever of these the stream takes."""

    def __init__(
        self,
        widgets: Widgets,
        sliders: Sliders,
        *,
        desk: Desk,
        info: StreamInfo | None,
        changed: Callable[[], None],
        choose_background: Callable[[str], None],
        background: str,
    ) -> None:
        """Build nothing yet; `sections` says what there is to build.

        Args:
            widgets: makes the widgets.
            sliders: makes the rows with sliders.
            desk: takes what the user sets.
            info: what the stream takes; None for nothing.
            changed: called when a choice has changed the desk.
            choose_background: called with a background's name.
            background: the one that is shown.
        """
        self._widgets = widgets
        self._sliders = sliders
        self._desk = desk
        self._info = info
        self._changed = changed
        self._choose_background = choose_background
        self._background = background
        self._backgrounds: dict[str, Any] = {}
        self._expressions: dict[str, Any] = {}
        self._identity: Picker | None = None
        self._mix: Picker | None = None

    def sections(self) -> list[Section]:
        """The sections that this stream needs, from top to bottom."""
        last = Section("Background", self._build_background, False)
        info = self._info
        if info is None:
            return [last]
        sections: list[Section] = []
        if info.expressions:
            sections.append(Section("Expressions", partial(self._build_expressions, info), True))
        if info.identities or info.has_mapping:
            sections.append(Section("Person", partial(self._build_identity, info), True))
            sections.append(Section("Mix with another person", partial(self._build_mix, info), False))
        groups: dict[str, list[ControlSpec]] = {}
        for spec in info.controls:
            groups.setdefault(spec.group or "controls", []).append(spec)
        for place, (group, specs) in enumerate(groups.items()):
            movable = [spec for spec in specs if spec.maximum > spec.minimum]
            names = frozenset(spec.name for spec in movable)
            build = partial(self._build_controls, movable)
            sections.append(Section(group.capitalize(), build, place == 0, names))
        return [*sections, last]

    def show_desk(self) -> None:
        """Bring the widgets to what the desk holds."""
        controls = {**self._desk.held, **self._desk.look}
        for name, row in self._sliders.rows.items():
            if " " not in name:
                self._sliders.show(name, controls.get(name, row.spec.rest), name in controls)
        if _AMOUNT in self._sliders.rows:
            self._sliders.show(_AMOUNT, self._desk.mix_amount, self._desk.mix_identity is not None)
        if _TRUNCATION in self._sliders.rows:
            psi = self._desk.truncation_psi
            self._sliders.show(_TRUNCATION, 1.0 if psi is None else psi, psi is not None)
        for name, button in self._expressions.items():
            mark(button, name == self._desk.expression)
        if self._identity is not None:
            self._identity.show(self._desk.identity)
        if self._mix is not None:
            self._mix.show(self._desk.mix_identity)

    def show_look(self) -> bool:
        """Let the sliders follow the pointer; returns whether one moved."""
        moved = False
        for name, value in self._desk.look.items():
            if name in self._sliders.rows:
                moved |= self._sliders.show(name, value, True)
        return moved

    def show_background(self, name: str) -> None:
        """Show which background is chosen."""
        self._background = name
        for choice, button in self._backgrounds.items():
            mark(button, choice == name)

    def _choose(self, change: Callable[..., None], *chosen: str | int | None) -> None:
        """Change the desk, then bring all widgets to what it holds: one choice may undo another."""
        change(*chosen)
        self._changed()

    def _build_expressions(self, info: StreamInfo, body: UIContainer) -> int:
        texts = [f"{spec.hotkey}  {spec.name}" if spec.hotkey else spec.name for spec in info.expressions]
        presses = [partial(self._choose, self._desk.toggle_expression, spec.name) for spec in info.expressions]
        buttons, height = self._widgets.grid(body, texts, presses, columns=3)
        self._expressions = {spec.name: button for spec, button in zip(info.expressions, buttons, strict=True)}
        return height

    def _build_identity(self, info: StreamInfo, body: UIContainer) -> int:
        self._identity = Picker(self._widgets, body, info, partial(self._choose, self._desk.choose_identity))
        if not info.has_mapping:  # nobody is drawn, so nobody can differ less
            return self._identity.height
        variety = SliderSpec(
            name=_TRUNCATION,
            label="variety",
            hint=_TRUNCATION_HINT,
            minimum=0.0,
            maximum=1.0,
            rest=1.0,
            write="{:.2f}".format,
            moved=self._desk.set_truncation,
            released=partial(self._choose, partial(self._desk.set_truncation, 1.0)),
        )
        return self._sliders.add(body, self._identity.height, variety)

    def _build_mix(self, info: StreamInfo, body: UIContainer) -> int:
        def choose(identity: str | int) -> None:
            self._choose(self._desk.choose_mix, None if identity == self._desk.mix_identity else identity)

        self._mix = Picker(self._widgets, body, info, choose)
        amount = SliderSpec(
            name=_AMOUNT,
            label="amount",
            hint=_AMOUNT,
            minimum=0.0,
            maximum=1.0,
            rest=0.5,
            write="{:.0%}".format,
            moved=self._desk.set_mix_amount,
            released=partial(self._choose, self._desk.choose_mix, None),
        )
        return self._sliders.add(body, self._mix.height, amount)

    def _build_controls(self, specs: Sequence[ControlSpec], body: UIContainer) -> int:
        top = 0
        for spec in specs:
            in_degrees = max(abs(spec.minimum), abs(spec.maximum)) > 2.0
            control = SliderSpec(
                name=spec.name,
                label=control_label(spec.name),
                hint=spec.name,
                minimum=spec.minimum,
                maximum=spec.maximum,
                rest=spec.rest,
                write=_degrees if in_degrees else "{:.2f}".format,
                moved=partial(self._desk.hold, spec.name),
                released=partial(self._choose, self._desk.release, spec.name),
            )
            top = self._sliders.add(body, top, control)
        return top

    def _build_background(self, body: UIContainer) -> int:
        presses = [partial(self._choose_background, name) for name in backgrounds.CHOICES]
        texts = ["checker", *backgrounds.CHOICES[1:]]
        buttons, top = self._widgets.grid(body, texts, presses, columns=4)
        self._backgrounds = dict(zip(backgrounds.CHOICES, buttons, strict=True))
        layout = self._widgets.layout
        width, height = layout.px(86), layout.px(BUTTON)
        self._widgets.label(pygame.Rect(0, top, width, height), "any colour", body, "@name")
        rect = pygame.Rect(width, top, layout.inner - width, height)
        self._widgets.entry(rect, body, self._choose_background)
        self.show_background(self._background)
        return top + height


def _degrees(value: float) -> str:
    return f"{value:+.1f}°" if abs(value) >= 0.05 else "0°"
