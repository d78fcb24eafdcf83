"""Signals that ask a run to stop: Ctrl-C, and those of Slurm, docker and a closed terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Those available here: Ctrl-C, docker stop and scancel, a closed terminal, Slurm's warning (--signal=USR1@60).
ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))


class Stopped(BaseException):
    """A stop was requested. Not an `Exception`, and not a `KeyboardInterrupt`, which typer handles itself.

    Attributes:
        signal: the signal received.
        exit_code: exit code of the program: 128 plus the signal's number, as in shells (Ctrl-C 130).
    """

    def __init__(self, asked: signal.Signals) -> None:
        super().__init__(asked.name)
        self.signal = asked
        self.exit_code = 128 + asked


class StopRequest:
    """Whether a signal of `ASKING` has arrived; a context manager that listens between entry and exit.

    The first signal raises `Stopped` immediately or, inside `deferred`, only sets `signal`, so that the
    program can finish what must not be interrupted. The second one ends the process at once. A signal ignored by
    the parent (nohup) stays ignored. Only the main thread can listen; elsewhere nothing is heard.

    Attributes:
        signal: the first one that arrived, or None.
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
        """Defer the first signal until the block checks `signal`; if still unseen at its end, it is raised."""
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
    """In a worker process: ignore Ctrl-C, which the parent handles, and let every other signal end the worker."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
