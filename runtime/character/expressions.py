"""Named expressions that fade in and out on top of the other drivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from engine_bridge.errors import ControlError

from .controls import Control, Values, check_controls, derive

MAX_FADE_S: Final = 10.0
MAX_OFFSET: Final = 10_000.0  # far beyond every control's range, and finite


class Expression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression of a character.

    Attributes:
        name: for people and clients.
        controls: offsets added to the pose, in natural units.
        hotkey: the key that a window offers for it; empty for none.
        fade_s: duration of the fade.
    """

    name: str
    controls: dict[str, float]
    hotkey: str = ""
    fade_s: float = 0.25

    def check(self) -> None:
        """Reject unknown controls and impossible numbers.

        Raises:
            ControlError: names the problem.
        """
        check_controls(self.controls)
        for name, value in self.controls.items():
            if not -MAX_OFFSET <= value <= MAX_OFFSET:
                raise ControlError(f'"{self.name[:40]}" adds {value} to {name}; the limit is {MAX_OFFSET:g}.')
        if not 0.0 <= self.fade_s <= MAX_FADE_S:
            raise ControlError(
                f'fade_s of "{self.name[:40]}" is {self.fade_s}; it must lie in 0..{MAX_FADE_S:g} seconds.'
            )


def default_expressions(controls: Sequence[Control]) -> tuple[Expression, ...]:
    """The moods that a character's generator takes, on keys 1 to 5."""
    moods = [control.name for control in controls if control.group == "moods"]
    return tuple(Expression(mood, {mood: 1.0}, hotkey=str(key)) for key, mood in enumerate(moods, start=1))


class ExpressionFade:
    """Offsets of the current expression, fading to those of the latest one chosen."""

    def __init__(self, expressions: Sequence[Expression], controls: Sequence[Control]) -> None:
        size = len(controls)
        row = {control.name: index for index, control in enumerate(controls)}
        self._targets: dict[str, tuple[Values, float]] = {"": (np.zeros(size, np.float32), 0.25)}
        for expression in expressions:
            target = np.zeros(size, np.float32)
            for name, value in derive(expression.controls, controls).items():
                target[row[name]] = value - controls[row[name]].rest
            self._targets[expression.name] = (target, expression.fade_s)
        self._from = np.zeros(size, np.float32)
        self._now = np.zeros(size, np.float32)
        self._to = self._targets[""][0]
        self._start_ns = 0
        self._fade_ns = 1
        self._done = True
        self.name = ""

    @property
    def active(self) -> bool:
        """Whether any offset is or may become non-zero."""
        return self.name != "" or not self._done

    def go_to(self, name: str, now_ns: int) -> None:
        """Fade to an expression; the empty name fades to none.

        Raises:
            ControlError: the character has no such expression.
        """
        if name == self.name:
            return
        if name not in self._targets:
            there = ", ".join(filter(None, self._targets)) or "none"
            raise ControlError(f'This character has no expression "{name[:80]}". Available: {there}.')
        np.copyto(self._from, self.value(now_ns))
        leaving_s = self._targets[self.name][1]
        self._to, fade_s = self._targets[name]
        # Fading out takes as long as fading in did.
        self._fade_ns = max(1, int((fade_s if name else leaving_s) * 1e9))
        self._start_ns = now_ns
        self._done = False
        self.name = name

    def value(self, now_ns: int) -> Values:
        """Offsets float32 [c]; owned here and overwritten on the next call."""
        if not self._done:
            x = min(1.0, max(0.0, (now_ns - self._start_ns) / self._fade_ns))
            np.subtract(self._to, self._from, out=self._now)
            self._now *= np.float32(x * x * (3.0 - 2.0 * x))
            self._now += self._from
            self._done = x >= 1.0
        return self._now
