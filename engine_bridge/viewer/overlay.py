"""Text over the picture: statistics, state, messages, help."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pygame

from engine_bridge.avf.messages import LinkState, LiveStats

from . import theme

Colour = tuple[int, int, int]

_STATE_COLOURS: Final[dict[LinkState, Colour]] = {
    LinkState.LIVE: theme.GOOD,
    LinkState.STALE: theme.WARN,
    LinkState.LOST: theme.BAD,
    LinkState.ERROR: theme.BAD,
    LinkState.INCOMPATIBLE: theme.BAD,
}
_OPACITY: Final = 216


_NOTE_WIDTH: Final = 38  # characters
_NOTE_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the statistics."""

    label: str
    value: str
    colour: Colour = theme.TEXT


def figures(
    stats: LiveStats | None, link: LinkState, *, shown_fps: float, provider: str, silent_s: float | None
) -> list[Figure]:
    """Summarise the stream's state in a few lines.

    Args:
        stats: of the live loop, None while unknown.
        link: state of the link to the producer.
        shown_fps: frames per second shown by this window.
        provider: the engine that drew the newest frame, if the statistics do not say it.
        silent_s: since the last frame, None before the first.
    """
    state = link.value if silent_s is None or link is LinkState.LIVE else f"{link.value} for {silent_s:.0f} s"
    lines = [Figure("stream", state, _STATE_COLOURS[link])]
    provider = stats.provider if stats is not None and stats.provider else provider
    if provider:
        lines.append(Figure("engine", provider))
    if stats is not None and stats.engine_note:
        note = textwrap.wrap(stats.engine_note, _NOTE_WIDTH, max_lines=_NOTE_LINES, placeholder=" …")
        lines += [Figure("", line, theme.DIM) for line in note]
    if stats is None:
        return [*lines, Figure("shown", f"{shown_fps:.0f} fps")]
    late = stats.target_fps > 0 and stats.fps < 0.9 * stats.target_fps
    lines += [
        Figure("inference", f"{stats.engine_ms_p50:.1f} ms  p99 {stats.engine_ms_p99:.1f}"),
        Figure("made", f"{stats.fps:.0f} of {stats.target_fps:.0f} fps", theme.WARN if late else theme.TEXT),
        Figure("shown", f"{shown_fps:.0f} fps"),
        Figure("dropped", str(stats.dropped)),
    ]
    measured = (("motion to photon", stats.motion_to_photon_ms), ("frame age", stats.frame_age_ms_p50))
    lines += [Figure(label, f"{value:.1f} ms") for label, value in measured if value is not None]
    if stats.driver:
        lines.append(Figure("driver", stats.driver))
    return lines


def short_figures(
    stats: LiveStats | None, link: LinkState, *, shown_fps: float, silent_s: float | None
) -> list[Figure]:
    """The same in one line, which keeps the head visible: state, frames per second, inference time.

    Args: see `figures`.
    """
    state, *_ = figures(None, link, shown_fps=shown_fps, provider="", silent_s=silent_s)
    if stats is None:
        return [Figure(state.value, f"{shown_fps:.0f} fps", state.colour)]
    return [Figure(state.value, f"{stats.fps:.0f} fps  {stats.engine_ms_p50:.1f} ms", state.colour)]


class Overlay:
    """Draws boxes of text over an area of the screen; each is rendered once and kept until its text changes.

    Args:
        scale: of all sizes.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._label = theme.font(self._px(11.5))
        self._value = theme.font(self._px(11.5), mono=True)
        self._text = theme.font(self._px(14))
        self._title = theme.font(self._px(18), bold=True)
        self._key = theme.font(self._px(12), bold=True)
        self._kept: dict[str, tuple[object, pygame.Surface]] = {}

    def draw_figures(self, screen: pygame.Surface, area: pygame.Rect, lines: Sequence[Figure]) -> None:
        """Draw the statistics in the upper left corner."""
        key = (tuple(lines), area.size)
        box = self._keep("figures", key, lambda: self._shrunk(self._figures(lines), area))
        self._blit(screen, area, box, (area.left + self._px(8), area.top + self._px(8)))

    def draw_toast(self, screen: pygame.Surface, area: pygame.Rect, text: str) -> None:
        """Draw a passing message at the bottom."""
        box = self._keep("toast", (text, area.width), lambda: self._message(text, area.width, theme.TEXT))
        self._blit(
            screen, area, box, (area.centerx - box.get_width() // 2, area.bottom - box.get_height() - self._px(20))
        )

    def draw_notice(self, screen: pygame.Surface, area: pygame.Rect, text: str, *, over_picture: bool) -> None:
        """Draw what is wrong: low while the last picture is still shown, otherwise in the middle."""
        box = self._keep("notice", (text, area.width), lambda: self._message(text, area.width, theme.WARN))
        at = box.get_rect(center=area.center)
        if over_picture:
            at.bottom = area.bottom - self._px(64)
        self._blit(screen, area, box, at.topleft)

    def draw_recording(self, screen: pygame.Surface, area: pygame.Rect, text: str) -> None:
        """Draw the recording indicator in the lower right corner."""
        box = self._keep("recording", text, lambda: self._recording(text))
        self._blit(
            screen, area, box, box.get_rect(bottomright=(area.right - self._px(8), area.bottom - self._px(8))).topleft
        )

    def draw_help(
        self, screen: pygame.Surface, area: pygame.Rect, title: str, lines: Iterable[tuple[str, str]]
    ) -> None:
        """Draw the table of keys in the middle, over a darkened picture."""
        table = tuple(lines)
        box = self._keep("help", (title, table, area.size), lambda: self._help(title, table, area))
        veil = self._keep("veil", area.size, lambda: _veil(area.size))
        screen.blit(veil, area)
        self._blit(screen, area, box, box.get_rect(center=area.center).topleft)

    def _px(self, size: float) -> int:
        return max(1, round(size * self._scale))

    def _keep(self, slot: str, key: object, make: Callable[[], pygame.Surface]) -> pygame.Surface:
        kept = self._kept.get(slot)
        if kept is None or kept[0] != key:
            kept = self._kept[slot] = (key, make())
        return kept[1]

    @staticmethod
    def _blit(screen: pygame.Surface, area: pygame.Rect, box: pygame.Surface, at: tuple[int, int]) -> None:
        clip = screen.get_clip()
        screen.set_clip(area)
        screen.blit(box, at)
        screen.set_clip(clip)

    def _figures(self, lines: Sequence[Figure]) -> pygame.Surface:
        pad, gap = self._px(10), self._px(14)
        labels = [self._label.render(line.label, True, theme.DIM) for line in lines]
        values = [self._value.render(line.value, True, line.colour) for line in lines]
        column = max(label.get_width() for label in labels) + gap
        # Whole steps, so that the box does not jitter with every digit.
        step = self._px(24)
        width = -(-(column + max(value.get_width() for value in values)) // step) * step
        height = self._px(17)
        box = theme.rounded((width + 2 * pad, height * len(lines) + 2 * pad), self._px(8), theme.BASE, _OPACITY)
        for row, (label, value) in enumerate(zip(labels, values, strict=True)):
            middle = pad + row * height + height // 2
            box.blit(label, (pad, middle - label.get_height() // 2))
            box.blit(value, (pad + column, middle - value.get_height() // 2))
        return box

    def _message(self, text: str, available: int, colour: Colour) -> pygame.Surface:
        pad = self._px(14)
        lines = self._wrapped(text, max(self._px(60), available - self._px(40) - 2 * pad))
        rendered = [self._text.render(line, True, colour) for line in lines]
        height = self._px(21)
        width = max(line.get_width() for line in rendered)
        size = (width + 2 * pad, height * len(lines) + pad)
        box = theme.rounded(size, self._px(9), theme.BASE, 236)
        for row, line in enumerate(rendered):
            at = (size[0] // 2 - line.get_width() // 2, pad // 2 + row * height + (height - line.get_height()) // 2)
            box.blit(line, at)
        return box

    def _wrapped(self, text: str, width: int) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._text.size(longer)[0] > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def _recording(self, text: str) -> pygame.Surface:
        pad = self._px(10)
        label = self._value.render(text, True, theme.TEXT)
        dot = self._px(10)
        size = (label.get_width() + dot + 3 * pad, label.get_height() + pad)
        box = theme.rounded(size, size[1] // 2, theme.BASE, _OPACITY)
        box.blit(theme.rounded((dot, dot), dot // 2, theme.BAD, 255), (pad, (size[1] - dot) // 2))
        box.blit(label, (2 * pad + dot, pad // 2))
        return box

    def _help(self, title: str, lines: Sequence[tuple[str, str]], area: pygame.Rect) -> pygame.Surface:
        pad, height, gap = self._px(24), self._px(25), self._px(16)
        heading = self._title.render(title, True, theme.TEXT)
        keys = [self._key.render(key, True, theme.TEXT) for key, _ in lines]
        texts = [self._text.render(text, True, theme.DIM) for _, text in lines]
        column = max(key.get_width() for key in keys) + self._px(14)
        top = pad + heading.get_height() + self._px(10)
        size = (
            2 * pad + column + gap + max(text.get_width() for text in texts),
            top + height * len(lines) + pad - self._px(6),
        )
        box = theme.rounded(size, self._px(12), theme.PANEL, 255)
        box.blit(heading, (pad, pad - self._px(4)))
        for row, (key, text) in enumerate(zip(keys, texts, strict=True)):
            middle = top + row * height + height // 2
            chip = theme.rounded((key.get_width() + self._px(14), self._px(20)), self._px(5), theme.HOVERED, 255)
            at = chip.get_rect(midright=(pad + column, middle))
            box.blit(chip, at)
            box.blit(key, key.get_rect(center=at.center))
            box.blit(text, (pad + column + gap, middle - text.get_height() // 2))
        return self._shrunk(box, area)

    def _shrunk(self, box: pygame.Surface, area: pygame.Rect) -> pygame.Surface:
        """Shrink a box if the area has no room for it."""
        width, height = box.get_size()
        room = min((area.width - self._px(16)) / width, (area.height - self._px(16)) / height)
        if room >= 1.0:
            return box
        return pygame.transform.smoothscale(box, (max(1, round(width * room)), max(1, round(height * room))))


def _veil(size: tuple[int, int]) -> pygame.Surface:
    veil = pygame.Surface(size, pygame.SRCALPHA)
    veil.fill((*theme.BASE, 150))
    return veil
