"""Ctrl-C before there is anything to clean up. Imports nothing that takes time."""

from __future__ import annotations

import os
import signal
from typing import Final

INTERRUPTED: Final = 130  # what shells say of a program that Ctrl-C ended


def leave_on_interrupt() -> None:
    """Let Ctrl-C end the process at once with exit code 130; for times in which nothing has to be cleaned up."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job, or nohup
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
