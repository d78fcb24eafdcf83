"""A sleeping laptop, a debugger at a breakpoint: every end is suspended and resumed, under control traffic."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bunraku_program import ANYWHERE, CARD, playing
from tests.link_peers import PATIENCE_S, LinkPeer, is_live, native_peer, only_long, python_peer
from tests.native_build import native_library
from tests.unity import game as unity

FPS = 60
logger = logging.getLogger(__name__)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="stops processes by signals, and builds the native client"
)


def suspend_in_turn(processes: list[subprocess.Popen[str]], seconds: float) -> None:
    """Suspend the processes one after another for this long each, so that several are suspended at a time."""
    begun = time.monotonic()
    plan = [(index * seconds / 8, number, signal.SIGSTOP) for index, number in enumerate(p.pid for p in processes)]
    plan += [(at + seconds, number, signal.SIGCONT) for at, number, _ in plan]
    for at, number, what in sorted(plan):
        time.sleep(max(0.0, begun + at - time.monotonic()))
        os.kill(number, what)


def check_that_all_is_well(producer: subprocess.Popen[str], peers: list[LinkPeer]) -> None:
    for peer in peers:
        before = peer.told["frame"]
        # Frames and answers again, and a state on the screen from after the pause.
        peer.until(lambda told, before=before: is_live(told) and told["frame"] > before and told["echo_ms"] < 2000)
    assert producer.poll() is None
    # Missed frames are not caught up.
    peer = peers[0]
    peer.until(is_live)
    first, begun = peer.told["frame"], time.monotonic()
    time.sleep(1.0)
    peer.until(is_live)
    assert peer.told["frame"] - first < FPS * (time.monotonic() - begun + 0.5) * 1.1


@contextlib.contextmanager
def stage(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[LinkPeer]]]:
    """A live character, and a client in Python and one in C++ that steer it."""
    with contextlib.ExitStack() as closing:
        arguments = [*CARD, *ANYWHERE, "--stream", "suspended", "--fps", str(FPS)]
        producer, frames, control = closing.enter_context(playing(*arguments, cwd=tmp_path))
        peers = [python_peer(frames, control), native_peer(tmp_path, frames, control)]
        for peer in peers:
            closing.callback(peer.close)
            peer.until(lambda told: is_live(told) and told["frame"] > 0)
        yield producer, peers


def test_every_end_goes_on_after_being_suspended(tmp_path: Path) -> None:
    with stage(tmp_path) as (producer, peers):
        suspend_in_turn([producer, *(peer.process for peer in peers)], 8.0)
        check_that_all_is_well(producer, peers)


@only_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seconds", [8.0, 60.0])
def test_every_end_goes_on_after_being_suspended_ten_times(tmp_path: Path, seconds: float) -> None:
    with stage(tmp_path) as (producer, peers):
        processes = [producer, *(peer.process for peer in peers)]
        for number in range(10):
            # Each end is suspended first once, and once alone.
            suspend_in_turn(processes[number % 3 :] + processes[: number % 3], seconds)
            began = time.monotonic()
            check_that_all_is_well(producer, peers)
            logger.info("round %d: all live within %.1f s", number, time.monotonic() - began)
        for process in processes:
            suspend_in_turn([process], seconds)
            check_that_all_is_well(producer, peers)


@only_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("seconds", "times"), [(8.0, 10), (60.0, 3)])
def test_a_game_in_csharp_goes_on_after_either_end_was_suspended(tmp_path: Path, seconds: float, times: int) -> None:
    unity.need_mono()
    library = native_library()
    arguments = [*CARD, *ANYWHERE, "--stream", "csharp"]
    with (
        playing(*arguments, cwd=tmp_path) as (producer, frames, _),
        unity.running(unity.compile_game(tmp_path), library) as game,
    ):

        def play(until: Callable[[dict[str, str]], bool], patience_s: float) -> bool:
            """Send controls in every frame of the game until its report matches, or patience runs out."""
            deadline = time.monotonic() + patience_s
            while time.monotonic() < deadline:
                game.ask("set", "headYaw", 10 * math.sin(time.monotonic()))
                game.ask("tick", 1, 16)
                if until(game.ask("report")):
                    return True
            return False

        def is_live(report: dict[str, str]) -> bool:
            return report["state"] == report["control_state"] == "Live"

        game.ask("open", f"Endpoint={frames}")
        assert play(is_live, PATIENCE_S)
        for _ in range(times):
            os.kill(producer.pid, signal.SIGSTOP)
            play(lambda _: False, seconds)
            os.kill(producer.pid, signal.SIGCONT)
            assert play(is_live, PATIENCE_S)
            os.kill(game.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(game.pid, signal.SIGCONT)
            assert play(is_live, PATIENCE_S)
            assert producer.poll() is None
