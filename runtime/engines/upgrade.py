"""Prepares a faster engine while another one plays.

A TensorRT plan takes minutes to build. It is built by a separate process at low priority: a crash there affects
nothing here, and the live loop keeps its interpreter. The finished engine is loaded and warmed up in a thread, and
taken over between two frames.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from engine_bridge.errors import BunrakuError, EngineBuildError
from runtime.character.file import Character

from .base import Engine
from .choice import load_engine
from .factory import Candidate, EngineSettings
from .table import backend_of

logger = logging.getLogger(__name__)

_END_S: Final = 5.0  # for a build to end when it is no longer wanted
_LOOK_S: Final = 0.2  # interval for checking whether it still is


class EngineUpgrade:
    """The search for a faster engine, in its own thread. Use it as a context manager.

    Attributes:
        note: what it is doing, or how it ended, for people; replaced as a whole.
    """

    def __init__(
        self,
        character: Path,
        candidates: Sequence[Candidate],
        settings: EngineSettings,
        *,
        begin: threading.Event | None = None,
    ) -> None:
        """Store the settings; `__enter__` starts.

        Args:
            character: the file that plays.
            candidates: engines to try, fastest first; the first that works is offered.
            settings: how to create it.
            begin: event to wait for before starting; None starts at once.
        """
        self.note = ""
        self._character = character
        self._candidates = tuple(candidates)
        self._settings = settings
        self._begin = begin
        self._ready: Engine | None = None
        self._retired: list[Engine] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._search, name="bunraku-upgrade", daemon=True)

    def __enter__(self) -> EngineUpgrade:
        if self._candidates:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        engine = self.take()
        for each in (*self._retired, *((engine,) if engine else ())):
            each.deactivate()

    @property
    def searching(self) -> bool:
        """Whether an engine may still come."""
        return self._thread.is_alive() or self._ready is not None

    def take(self) -> Engine | None:
        """Return the faster engine, active, once it is ready; at most once. Never waits; the caller deactivates it."""
        if self._ready is None:
            return None
        with self._lock:
            engine, self._ready = self._ready, None
            return engine

    def retire(self, engine: Engine) -> None:
        """Hand over an engine that no longer draws, to be deactivated at the end, where it delays nothing."""
        self._retired.append(engine)

    def _search(self) -> None:
        while self._begin is not None and not self._begin.wait(_LOOK_S):
            if self._stop.is_set():
                return
        for candidate in self._candidates:
            try:
                if backend_of(candidate.backend).built_ahead:
                    build_in_process(self._character, candidate, self._tell, self._stop)
                if self._stop.is_set():
                    return
                self._tell(f"loading {candidate}")
                with Character.open(self._character) as character:
                    engine = load_engine(candidate, character, self._settings)
            except BunrakuError as error:  # the show goes on with the current engine
                self.note = f"{candidate} failed"
                logger.warning("%s cannot be used, going on with what plays: %s", candidate, error)
                continue
            with self._lock:
                self._ready = engine
            self.note = ""
            return

    def _tell(self, note: str) -> None:
        self.note = note


def build_in_process(character: Path, candidate: Candidate, tell: Callable[[str], None], stop: threading.Event) -> None:
    """Run `bunraku build` at low priority, so that its result is cached.

    Args:
        character: the file to build for.
        candidate: what to build.
        tell: called with its progress.
        stop: ends it when set.

    Raises:
        EngineBuildError: it failed; the message holds its last lines.
    """
    command = [sys.executable, "-m", "runtime.cli", "build", str(character), "--engine", candidate.backend]
    command += ["--precision", candidate.precision, "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        with contextlib.suppress(psutil.Error):
            # A priority class on Windows, a niceness elsewhere.
            psutil.Process(process.pid).nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 10))
        threading.Thread(target=_end_when, args=(stop, process), name="bunraku-build", daemon=True).start()
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            progress = _progress_in(line)
            if progress:
                tell(f"building {candidate}: {progress}")
            else:
                lines = [*lines[-7:], line.strip()]
        code = process.wait()
    if code != 0 and not stop.is_set():
        raise EngineBuildError(f"building {candidate} failed: {' '.join(lines)[-600:]}")


def _end_when(stop: threading.Event, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if stop.wait(_LOOK_S):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()
            return


def _progress_in(line: str) -> str:
    """The progress in a line of `bunraku build --json`, empty if none."""
    try:
        told = json.loads(line)
        return f"{told['phase']} {100 * told['done'] // max(told['of'], 1)} %"
    except (ValueError, KeyError, TypeError):
        return ""
