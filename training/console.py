"""The trainer's progress output on stderr, printed literally."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from runtime.terminal import escaped


class PlainConsole(Console):
    """A console on stderr that interprets no markup or `:smile:` and colours no numbers.

    It does not wrap lines either: a path stays whole for copying, and the terminal wraps it.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make the text printable; see `runtime.terminal.escaped`."""
        return super().render_str(escaped(text), **options)
