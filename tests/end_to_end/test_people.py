"""`bunraku live --people`: several people of one character from one process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine_bridge import ControlClient, ControlState, Frame, Subscriber
from tests.bunraku_program import ANYWHERE, BUNRAKU, CARD, ENVIRONMENT, last_line, run
from tests.conftest import RunProgram

NAMES = ("teal", "rose", "amber")

pytestmark = pytest.mark.timeout(180)


def frame_that(subscriber: Subscriber, control_id: int = 0) -> Frame:
    """The first frame that shows a state with this number or a later one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        frame = subscriber.wait(5)
        if frame is not None and frame.control_id >= control_id:
            return frame
    pytest.fail("no such frame came")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to end the program cleanly")
def test_people_are_seen_and_moved_one_by_one(tmp_path: Path) -> None:
    people = ",".join(NAMES)
    process = subprocess.Popen(
        [*BUNRAKU, *CARD, *ANYWHERE, "--people", people, "--driver", "idle:off", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        found: dict[str, tuple[str, str]] = {}
        while len(found) < 3 and (line := process.stdout.readline()):
            if told := re.match(r"(\w+): frames (\S+)  controls (\S+)", line):
                found[told[1]] = (told[2], told[3])
        assert tuple(found) == NAMES
        frames_at = found["teal"][0]
        assert {frames for frames, _ in found.values()} == {frames_at}
        assert len({controls for _, controls in found.values()}) == 3
        with Subscriber(frames_at, stream="teal") as teal, Subscriber(frames_at, stream="rose") as rose:
            before = frame_that(teal).pixels
            assert not np.array_equal(before, frame_that(rose).pixels), "two people look the same"
            assert teal.control_endpoint == found["teal"][1]
            assert rose.control_endpoint == found["rose"][1]
            with ControlClient(found["rose"][1]) as client:
                assert client.wait_for_info(60) is not None
                client.send(ControlState(controls={"jawOpen": 1.0}))
                moved = frame_that(rose, control_id=1)
                time.sleep(0.5)
                assert not np.array_equal(moved.pixels, before)
                still = frame_that(teal)
                assert still.control_id == 0
                np.testing.assert_array_equal(still.pixels, before)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    assert process.returncode == 0, err
    streams = {stream["stream"]: stream for stream in last_line(out)["streams"]}
    assert tuple(streams) == NAMES
    assert streams["teal"]["published"] > 0
    assert streams["rose"]["published"] > 0
    # Clients that have received nothing yet listen to everything, so a few frames are drawn at first.
    assert streams["amber"]["frames"] < streams["teal"]["frames"], "somebody was drawn whom nobody watched"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--people", "teal,teal"], 2, "different names"),
        (["--people", "teal,,rose"], 2, "different names"),
        (["--people", "teal", "--identity", "rose"], 2, "leave out --identity"),
        (["--people", "teal", "--stream", "x"], 2, "leave out --identity and --stream"),
        (["--people", "teal,nobody"], 1, "nobody"),
    ],
)
def test_impossible_people_are_explained(run_program: RunProgram, arguments: list[str], code: int, says: str) -> None:
    _, err = run(run_program, *CARD, *ANYWHERE, *arguments, code=code)
    assert says in " ".join(err.replace("│", " ").split())
