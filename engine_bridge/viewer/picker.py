"""Named identities as buttons, or as a list when there are many, and a box and dice for seeds. Knows no stream."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pygame
from pygame_gui.core import UIContainer

from engine_bridge.avf.messages import StreamInfo

from .layout import BUTTON, GAP
from .widgets import Widgets, mark

SEEDS: Final = 2**31
_LIST_FROM: Final = 31  # so many identities go into a list instead of a grid of buttons


class Picker:
    """Lets the user choose a name or a seed.

    Attributes:
        height: pixels that it takes at the top of its body.
    """

    def __init__(
        self, widgets: Widgets, body: UIContainer, info: StreamInfo, choose: Callable[[str | int], None]
    ) -> None:
        """Add its widgets.

        Args:
            widgets: makes them.
            body: where they go.
            info: names, and whether there are seeds.
            choose: called with what was chosen.
        """
        self._choose = choose
        self._buttons: dict[str | int, Any] = {}
        self._names = info.identities
        self._entry: Any = None
        self._list: Any = None
        if len(self._names) < _LIST_FROM:
            presses = [partial(choose, name) for name in self._names]
            buttons, self.height = widgets.grid(body, self._names, presses, columns=3)
            self._buttons = dict(zip(self._names, buttons, strict=True))
        else:
            self._list, self.height = widgets.names(body, self._names, choose)
        if info.has_mapping:
            self._add_seed(widgets, body)

    def show(self, chosen: str | int | None) -> None:
        """Mark what is chosen."""
        for name, button in self._buttons.items():
            mark(button, name == chosen)
        if self._list is not None and self._list.get_single_selection() not in (None, chosen):
            self._list.set_item_list(self._names)
        if self._entry is not None and not self._entry.is_focused:
            text = str(chosen) if isinstance(chosen, int) else ""
            if self._entry.get_text() != text:
                self._entry.set_text(text)

    def _add_seed(self, widgets: Widgets, body: UIContainer) -> None:
        """Add a box for a seed, and dice."""
        layout = widgets.layout
        top, name, dice, height = self.height, layout.px(50), layout.px(70), layout.px(BUTTON)
        widgets.label(pygame.Rect(0, top, name, height), "seed", body, "@name")
        rect = pygame.Rect(name, top, layout.inner - name - dice - layout.px(GAP), height)
        self._entry = widgets.entry(rect, body, self._typed)
        self._entry.set_allowed_characters("numbers")
        widgets.button(pygame.Rect(layout.inner - dice, top, dice, height), "Dice", body, self._roll)
        self.height = top + height + layout.px(GAP)

    def _roll(self) -> None:
        """Choose any seed."""
        self._choose(random.randrange(SEEDS))

    def _typed(self, text: str) -> None:
        if text.isdecimal():
            self._choose(int(text))
