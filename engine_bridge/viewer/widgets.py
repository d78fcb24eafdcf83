"""The panel's buttons, labels, boxes and lists, and what each of them does. Knows the widget library, no stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pygame
import pygame_gui
from pygame_gui.core import ObjectID, UIContainer
from pygame_gui.elements import UIButton, UILabel, UISelectionList, UITextEntryLine

from . import theme
from .layout import BUTTON, GAP, ROW, Layout

_LIST_ROWS: Final = 8
_ENTRY_CHARS: Final = 24


class Widgets:
    """Makes widgets, and calls what belongs to one when the user works it.

    Attributes:
        layout: sizes of the panel.
        manager: of the widget library.
    """

    def __init__(self, size: tuple[int, int], layout: Layout) -> None:
        """Make none yet.

        Args:
            size: of the whole window, pixels.
            layout: sizes of the panel.
        """
        self.layout = layout
        self.manager: Any = pygame_gui.UIManager(layout.roomy(size), theme_path=None, enable_live_theme_updates=False)
        self.manager.get_theme().load_theme(theme.widget_theme(layout.scale))
        self._font = theme.font(layout.px(13))
        self._presses: dict[Any, Callable[[], None]] = {}
        self._entries: dict[Any, Callable[[str], None]] = {}
        self._lists: dict[Any, Callable[[str], None]] = {}

    @property
    def typing(self) -> bool:
        """Whether keys belong to a text box."""
        return any(entry.is_focused for entry in self._entries)

    def stop_typing(self) -> None:
        """Give the keys back to the window."""
        self.manager.set_focus_set(None)

    def answer(self, event: pygame.event.Event) -> None:
        """Do what belongs to the widget that an event of the library is about, if it is one of these."""
        element = event.ui_element
        if event.type == pygame_gui.UI_BUTTON_PRESSED and element in self._presses:
            self._presses[element]()
        elif event.type == pygame_gui.UI_TEXT_ENTRY_FINISHED and element in self._entries:
            self.stop_typing()
            self._entries[element](event.text.strip())
        elif event.type == pygame_gui.UI_SELECTION_LIST_NEW_SELECTION and element in self._lists:
            self._lists[element](event.text)

    def fit(self, text: str, width: int) -> str:
        """Shorten a text until it fits in so many pixels."""
        return fitted(self._font, text, width)

    def button(
        self,
        rect: pygame.Rect,
        text: str,
        container: Any,
        press: Callable[[], None],
        *,
        kind: str = "@plain",
        anchors: dict[str, Any] | None = None,
    ) -> Any:
        """Add a button; `kind` is its class in the theme."""
        button = UIButton(
            rect, text, manager=self.manager, container=container, anchors=anchors,
            object_id=ObjectID(object_id=None, class_id=kind),
        )  # fmt: skip
        self._presses[button] = press
        return button

    def label(self, rect: pygame.Rect, text: str, container: Any, kind: str) -> Any:
        """Add a text, shortened to its place; `kind` is its class in the theme."""
        text = self.fit(text, rect.width - self.layout.px(4))
        return UILabel(
            rect, text, manager=self.manager, container=container, object_id=ObjectID(object_id=None, class_id=kind)
        )

    def entry(self, rect: pygame.Rect, container: Any, entered: Callable[[str], None]) -> Any:
        """Add a text box; `entered` is called with its text when the user presses the enter key."""
        entry = UITextEntryLine(rect, manager=self.manager, container=container)
        entry.set_text_length_limit(_ENTRY_CHARS)
        self._entries[entry] = entered
        return entry

    def grid(
        self, body: UIContainer, texts: Sequence[str], presses: Sequence[Callable[[], None]], *, columns: int
    ) -> tuple[list[Any], int]:
        """Add rows of buttons at the top of a body; return them and where the next thing begins."""
        px = self.layout.px
        gap, height = px(GAP), px(BUTTON)
        width = (self.layout.inner - gap * (columns - 1)) // columns
        buttons = []
        for place, (text, press) in enumerate(zip(texts, presses, strict=True)):
            row, column = divmod(place, columns)
            rect = pygame.Rect(column * (width + gap), row * (height + gap), width, height)
            buttons.append(self.button(rect, self.fit(text, width - px(10)), body, press))
        return buttons, -(-len(texts) // columns) * (height + gap)

    def names(self, body: UIContainer, names: Sequence[str], choose: Callable[[str], None]) -> tuple[Any, int]:
        """Add a scrolling list at the top of a body; return it and where the next thing begins."""
        rect = pygame.Rect(0, 0, self.layout.inner, _LIST_ROWS * self.layout.px(ROW) + 2)
        names_list = UISelectionList(rect, list(names), manager=self.manager, container=body)
        self._lists[names_list] = choose
        return names_list, rect.bottom + self.layout.px(GAP)


def mark(button: Any, selected: bool) -> None:
    """Colour a button as chosen, or not."""
    if selected:
        button.select()
    elif button.is_selected:
        button.unselect()


def fitted(font: pygame.font.Font, text: str, width: int) -> str:
    """Shorten a text until it fits: the widget library warns about texts that do not."""
    if font.size(text)[0] <= width:
        return text
    while text and font.size(text + "…")[0] > width:
        text = text[:-1]
    return text + "…"
