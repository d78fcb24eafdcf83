"""The signals that ask a program to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


def ending_signals() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM and a closed terminal; the last is ignored under `nohup`."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@contextlib.contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Make all of them end the block like Ctrl-C, by KeyboardInterrupt, so that it can clean up."""

    def handler(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handler) for number in ending_signals()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def not_ended_twice() -> Iterator[None]:
    """Let only Ctrl-C interrupt the block, which finishes what was begun.

    A closed terminal sends its signal twice, once through the shell.
    """
    others = [number for number in ending_signals() if number is not signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        others = []
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in others}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
