"""Signals that ask for the end: the first waits for a safe point, the second does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from training.stopping import ASKING, Stopped, StopRequest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")


@pytest.mark.parametrize("number", ASKING, ids=lambda number: number.name)
def test_a_signal_ends_with_the_code_that_shells_give_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, StopRequest():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_a_deferred_signal_waits_for_the_end_of_the_block() -> None:
    reached: list[signal.Signals | None] = []

    def work() -> None:
        with StopRequest() as stop, stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append(stop.signal)

    with pytest.raises(Stopped):
        work()
    assert reached == [signal.SIGTERM]


def test_what_the_parent_chose_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\nfrom training.stopping import StopRequest\n"
        "with StopRequest() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print('second', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "first\n")
