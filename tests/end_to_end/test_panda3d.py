"""A game engine from PyPI shows a stream: every pixel over a busy background."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine_bridge import Pixels
from engine_bridge.avf.wire import FrameMessage, decode
from tests.busy_background import over, stripes
from tests.conftest import REPOSITORY, RunProgram
from tests.end_to_end.web_peers import Producer, card
from tests.transcript import TranscriptPlayer, read_transcript

PEER = Path(__file__).with_name("panda3d_peer.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("panda3d") is None, reason="no Panda3D here (pip install panda3d)"
)


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """Number of a virtual screen, for GL."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no virtual screen here (Xvfb is not in PATH)")
    readable, writable = os.pipe()
    command = ["Xvfb", "-displayfd", str(writable), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writable], stderr=subprocess.DEVNULL) as process:
        os.close(writable)
        with os.fdopen(readable) as said:
            number = said.readline().strip()
        if not number:
            process.kill()
            pytest.skip("Xvfb does not start here")
        yield f":{number}"
        process.terminate()


def seen_in_panda3d(run_program: RunProgram, screen: str, endpoint: str, number: int, out: Path) -> Pixels:
    """The game's window once it has a frame of that number, uint8 [H, W, 3]."""
    result = run_program(
        [sys.executable, PEER, endpoint, str(number), out],
        environment={"DISPLAY": screen, "LIBGL_ALWAYS_SOFTWARE": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with Image.open(out) as picture:
        return np.asarray(picture.convert("RGB"))


def assert_blended(seen: Pixels, pixels: Pixels) -> None:
    difference = np.abs(seen.astype(int) - over(pixels, stripes(*pixels.shape[:2])))
    assert difference.max() <= 1


def test_a_live_stream_is_blended_over_the_game(run_program: RunProgram, screen: str, tmp_path: Path) -> None:
    with Producer(card()) as producer:
        seen = seen_in_panda3d(run_program, screen, producer.publisher.endpoint, 3, tmp_path / "game.png")
        assert_blended(seen, producer.pixels)


def test_a_recorded_stream_plays_in_the_game(run_program: RunProgram, screen: str, tmp_path: Path) -> None:
    records = read_transcript(REPOSITORY / "assets/conformance/v1/transcripts/test_card.avr")
    last = [message for _, parts in records if isinstance(message := decode(parts), FrameMessage)][-1].frame
    with TranscriptPlayer(records) as player:
        seen = seen_in_panda3d(run_program, screen, player.endpoint, last.frame_id, tmp_path / "game.png")
        assert_blended(seen, last.pixels)
