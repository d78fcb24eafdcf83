"""From command-line arguments to an active engine, showing the progress of builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.character.shipped import SHIPPED, find_character
from runtime.terminal import say

from .options import Precision, Profile

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from runtime.engines.choice import Choice
    from runtime.engines.factory import Candidate, EngineSettings


def find(character: str | None, engine: str) -> Path | None:
    """The character's file; None for the test card."""
    from runtime.engines.table import SYNTHETIC

    return None if engine == SYNTHETIC and character is None else find_character(character or SHIPPED)


def settings_of(threads: int | None, profile: Profile, *, patient: bool = False) -> EngineSettings:
    """Engine settings from the command line's options."""
    from runtime.engines.factory import EngineSettings

    return EngineSettings(threads, "exclusive" if profile is Profile.exclusive else "shared", patient=patient)


def open_choice(
    path: Path | None,
    engine: str,
    precision: Precision,
    settings: EngineSettings,
    *,
    quick: bool = False,
    progress: Callable[[str, int, int], bool] | None = None,
) -> Choice:
    """Open the character and an active engine for it; the file is closed again.

    If something must be built, its progress is shown, or passed to `progress`.
    """
    from runtime.character.file import Character
    from runtime.engines.choice import open_engine

    if path is None:
        return open_engine(engine, None)
    with Character.open(path) as opened, _BuildBar() as bar:
        return open_engine(
            engine,
            opened,
            precision=precision.value,
            settings=settings,
            quick=quick,
            progress=progress or bar,
            tell=tell,
        )


class _BuildBar:
    """A progress bar per build phase, on stderr; nothing if nothing is built."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _BuildBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, of: int) -> bool:
        """Show the progress of a phase; called from the building thread."""
        if self._bar is None:
            from rich.console import Console
            from rich.markup import escape
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(escape(phase), total=of)
        self._bar.update(self._tasks[phase], completed=done, total=of)
        return True


def candidates_of(path: Path, engine: str, precision: Precision) -> Sequence[Candidate]:
    """Engines that can draw this character here; the character is tried first if it is new."""
    from runtime.character.file import Character
    from runtime.engines.choice import candidates
    from runtime.engines.first_load import ensure_tried

    with Character.open(path) as opened:
        ensure_tried(opened, tell=tell)
        return candidates(engine, opened, precision.value)[0]


def tell(text: str) -> None:
    """Print a line beside the command's output."""
    from engine_bridge.plain_text import LINE_CHARS, plain

    say(plain(text, LINE_CHARS), err=True)
