"""Runs the live loop to its end: with a window in the main thread, or without, until a signal arrives."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from engine_bridge.errors import BunrakuError
from runtime.signals import ending_signals

from .loop import LiveLoop


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Make termination signals stop the loop after the current round: recordings and byes are complete."""

    def handler(_number: int, _frame: Any) -> None:
        stop()

    before = {number: signal.signal(number, handler) for number in ending_signals()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def play_without_window(loop: LiveLoop) -> None:
    """Run the loop in this thread until its time is over or a signal arrives.

    Raises:
        BunrakuError: what ended the loop.
    """
    with stop_on_signals(loop.stop):
        loop.run()
    _raise(loop)


def play_in_window(loop: LiveLoop, *, title: str, background: str, tell: Callable[[str], None] | None = None) -> None:
    """Run the loop in its own thread and the window in this one, the main thread, until the window is closed.

    Args:
        loop: created for a window.
        title: of the window.
        background: initial background.
        tell: called with messages for the terminal.

    Raises:
        BunrakuError: what ended the loop, or why there is no window.
    """
    from engine_bridge.viewer.window import Window

    assert loop.source is not None
    # The window's Python must not keep the loop waiting for the interpreter longer than this.
    sys.setswitchinterval(0.0005)
    thread = threading.Thread(target=loop.run, name="bunraku-live", daemon=True)
    with stop_on_signals(loop.stop):  # until the thread has ended
        try:
            with Window(loop.source, title=title, background=background, on_record=loop.record, tell=tell) as window:
                thread.start()
                while not window.closed and not loop.ended:
                    window.step()
                    window.rest()
        finally:
            loop.stop()
            loop.source.close()
            if thread.is_alive():
                thread.join(timeout=10.0)
    _raise(loop)


def _raise(loop: LiveLoop) -> None:
    if loop.error is None:
        return
    if isinstance(loop.error, (BunrakuError, KeyboardInterrupt)):
        raise loop.error
    raise RuntimeError(f"the live loop broke: {loop.error!r}") from loop.error
