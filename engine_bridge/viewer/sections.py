"""The panel's sections: headings that open and close, one below the other. Knows widgets, not what a section holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pygame
from pygame_gui.core import ObjectID, UIContainer
from pygame_gui.elements import UIPanel, UIScrollingContainer

from .layout import EDGE, FOOTER, HEADER, HEADING, SCROLL_BAR
from .widgets import Widgets


@dataclass(slots=True)
class Section:
    """One heading, and a body that is built when it is first opened.

    Attributes:
        title: of the heading.
        build: adds widgets to the body and returns its height in pixels.
        open: whether the body is in sight.
        names: of the controls in it.
    """

    title: str
    build: Callable[[UIContainer], int]
    open: bool
    names: frozenset[str] = frozenset()
    held: bool = False
    arrow: Any = None
    heading: Any = None
    body: Any = None
    height: int = 0


class Sections:
    """Sections between the panel's header and footer; they scroll."""

    def __init__(
        self,
        widgets: Widgets,
        frame: UIPanel,
        height: int,
        sections: Sequence[Section],
        *,
        opened: Callable[[], None],
    ) -> None:
        """Add the headings, and what is open under them.

        Args:
            widgets: makes the widgets.
            frame: the panel.
            height: of the panel, pixels.
            sections: from top to bottom.
            opened: called when the user has opened one.
        """
        self._widgets = widgets
        self._layout = widgets.layout
        self._sections = sections
        self._opened = opened
        header, footer = self._layout.px(HEADER), self._layout.px(FOOTER)
        self._scroll = UIScrollingContainer(
            pygame.Rect(0, header, self._layout.width, height - header - footer),
            manager=widgets.manager,
            container=frame,
            allow_scroll_x=False,
            anchors={"left": "left", "right": "left", "top": "top", "bottom": "bottom"},
        )
        for section in sections:
            self._add(section)
        self._arrange()

    @property
    def area(self) -> pygame.Rect:
        """The part of the window in which they are seen."""
        area: pygame.Rect = self._scroll.rect
        return area

    def show_held(self, held: Collection[str]) -> None:
        """Colour the headings under which something is held, also while they are closed.

        Args:
            held: names of controls.
        """
        for section in self._sections:
            holds = not section.names.isdisjoint(held)
            if holds != section.held:
                section.held = holds
                section.heading.change_object_id(ObjectID(None, "@heading_held" if holds else "@heading"))

    def _add(self, section: Section) -> None:
        px = self._layout.px
        left, height, arrow = px(EDGE) - px(4), px(HEADING), px(16)
        toggle = partial(self._toggle, section)
        rect = pygame.Rect(left, 0, arrow, height)
        section.arrow = self._widgets.button(rect, "", self._scroll, toggle, kind="@arrow")
        rect = pygame.Rect(left + arrow, 0, self._layout.inner - arrow, height)
        section.heading = self._widgets.button(rect, section.title, self._scroll, toggle, kind="@heading")
        if section.open:
            self._build(section)

    def _build(self, section: Section) -> None:
        rect = pygame.Rect(self._layout.px(EDGE), 0, self._layout.inner, self._layout.px(10))
        section.body = UIContainer(rect, manager=self._widgets.manager, container=self._scroll)
        section.height = section.build(section.body)
        section.body.set_dimensions((self._layout.inner, section.height))

    def _toggle(self, section: Section) -> None:
        section.open = not section.open
        if section.body is None:
            self._build(section)
        elif section.open:
            section.body.show()
        else:
            section.body.hide()
        if section.open:
            self._opened()
        self._arrange()

    def _arrange(self) -> None:
        """Put them one below the other."""
        px = self._layout.px
        top = px(4)
        for section in self._sections:
            section.arrow.set_text("▼" if section.open else "►")
            for part in (section.arrow, section.heading):
                part.set_relative_position((part.relative_rect.x, top))
            top += px(HEADING)
            if section.open:
                section.body.set_relative_position((px(EDGE), top))
                top += section.height + px(8)
        self._scroll.set_scrollable_area_dimensions((self._layout.width - SCROLL_BAR, top + px(8)))
