"""Signals that ask a run to stop: Ctrl-C, and what Slurm, docker and a closed terminal send. Knows no runs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Those that this system has: Ctrl-C, docker stop and scancel, a closed terminal, Slurm's warning (--signal=USR1@60).
ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))


class Stopped(BaseException):
    """Somebody asked for the end. Not an `Exception`, and not a `KeyboardInterrupt`, which typer takes for itself.

    Attributes:
        signal: what was sent.
        exit_code: what the program should end with: 128 and the signal's number, as shells count (Ctrl-C 130).
    """

    def __init__(self, asked: signal.Signals) -> None:
        super().__init__(asked.name)
        self.signal = asked
        self.exit_code = 128 + asked


class StopRequest:
    """Whether a signal of `ASKING` has come; a context manager that listens between entry and exit.

    The first signal raises `Stopped` where it finds the program, or, inside `deferred`, only sets `signal`, for the
    program to finish what must not be left half done. The second one ends the process at once. A signal that whoever
    started us chose to ignore (nohup) stays ignored. Only the main thread can listen; elsewhere nothing is heard.

    Attributes:
        signal: the first one that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._deferred = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in ASKING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *about: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the first signal wait until the block looks at `signal`; what is still unseen at its end is raised."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.signal is not None:
            raise Stopped(self.signal)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        asked = signal.Signals(number)
        if self.signal is not None:
            signal.signal(asked, signal.SIG_DFL)
            os.kill(os.getpid(), asked)
            return
        self.signal = asked
        if not self._deferred:
            raise Stopped(asked)


def forget_signals() -> None:
    """In a worker process: let the parent alone hear Ctrl-C, and let every other signal end the worker."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
