"""The talking NPC in Python, against a real `bunraku live` without a window."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bunraku_program import ANYWHERE, CARD, ENVIRONMENT, playing
from tests.conftest import REPOSITORY, RunProgram

PROGRAM = REPOSITORY / "examples" / "20_talking_npc" / "python" / "talking_npc.py"
LINE = "[happy] Aaaaah, oooooh! [] Eeeeem."  # long vowels: a busy machine draws few frames
VISEMES = ("aa", "ih", "ou", "ee", "oh")

pytestmark = pytest.mark.timeout(180)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to end the recording cleanly")
def test_her_mouth_follows_the_line(run_program: RunProgram, tmp_path: Path) -> None:
    arguments = [*CARD, *ANYWHERE, "--stream", "npc", "--driver", "idle:off", "--record", "take.jsonl"]
    with playing(*arguments, cwd=tmp_path) as (process, frames_at, controls_at):
        done = run_program(
            [sys.executable, PROGRAM, LINE, "--control", controls_at, "--frames", frames_at],
            environment={"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]},
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert done.returncode == 0, done.stderr
    answered = re.search(r"(\d+) frames answered", done.stdout)
    assert answered, done.stdout
    assert int(answered[1]) > 5
    poses = [json.loads(line)["controls"] for line in (tmp_path / "take.jsonl").read_text().splitlines()]
    widest = [max(VISEMES, key=pose.__getitem__) for pose in poses if max(pose[name] for name in VISEMES) > 0.6]
    order = [name for index, name in enumerate(widest) if index == 0 or name != widest[index - 1]]
    assert order == ["aa", "oh", "ee"]
    mouth = np.array([[pose[name] for name in VISEMES] for pose in poses])
    assert mouth.max() > 0.9
    assert mouth[-1].max() == 0, "her mouth stays open"
    gaze = np.array([pose["gazeYaw"] for pose in poses])
    head = np.array([pose["headYaw"] for pose in poses])
    assert gaze.max() > 10
    np.testing.assert_allclose(head, gaze / 3, atol=0.01)


def test_without_a_character_it_says_what_to_start(tcp_endpoint: str) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--control", tcp_endpoint],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1
    assert "bunraku live" in done.stderr
