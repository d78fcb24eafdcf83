"""From a line of text to a mouth: the rules of speech in ../README.md."""

from __future__ import annotations

import re

VISEMES = ("aa", "ih", "ou", "ee", "oh")
GLIDE_MS = 40  # each way: a weight is the mean over twice this time
AFTER_MS = 40  # how long the line continues after its last letter

_VOWELS = {"a": "aa", "e": "ee", "i": "ih", "o": "oh", "u": "ou", "y": "ih"}
_MARK_OR_BYTE = re.compile(rb"\[([^\]]*)\]|(.)", re.DOTALL)


class Speech:
    """One spoken line.

    Attributes:
        text: the line.
        duration_ms: its duration.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._sounds: list[tuple[float, float, str, float]] = []  # from and to in ms, viseme, weight
        self._marks: list[tuple[float, str]] = []  # start time, expression
        now_ms = 0.0
        last_vowel = ""
        for mark, byte in _MARK_OR_BYTE.findall(text.encode()):
            if not byte:
                self._marks.append((now_ms, mark.decode()))
                continue
            letter = byte.decode("latin-1").lower()
            last_vowel = _VOWELS.get(letter, last_vowel)
            lasts_ms, viseme, weight = _sound(letter, last_vowel)
            if viseme:
                self._sounds.append((now_ms, now_ms + lasts_ms, viseme, weight))
            now_ms += lasts_ms
        self.duration_ms = now_ms + AFTER_MS

    def mouth(self, t_ms: float) -> dict[str, float]:
        """The weight of every viseme at a time since the line began, 0 to 1."""
        weights = dict.fromkeys(VISEMES, 0.0)
        for begin_ms, end_ms, viseme, weight in self._sounds:
            overlap_ms = min(end_ms, t_ms + GLIDE_MS) - max(begin_ms, t_ms - GLIDE_MS)
            if overlap_ms > 0:
                weights[viseme] += weight * overlap_ms / (2 * GLIDE_MS)
        return weights

    def expression(self, t_ms: float) -> str | None:
        """The expression at that time: its name, empty to fade to none, None to leave it unchanged."""
        if t_ms > self.duration_ms:
            return ""
        reached = [name for since_ms, name in self._marks if since_ms <= t_ms]
        return reached[-1] if reached else None


def _sound(letter: str, last_vowel: str) -> tuple[float, str, float]:
    """Duration of one letter in ms, and its viseme and weight; without a viseme the mouth is closed."""
    if letter in _VOWELS:
        return 90, _VOWELS[letter], 1.0
    if letter in "mbp":
        return 70, "", 0.0
    if "a" <= letter <= "z":
        return 60, last_vowel, 0.4
    if letter in " \t\n":
        return 40, "", 0.0
    if letter in ",;:":
        return 220, "", 0.0
    if letter in ".!?":
        return 380, "", 0.0
    return 0, "", 0.0
