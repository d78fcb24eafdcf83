"""What a user would see: a window in a real X server without a screen, captured from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

# The window in its own program, as a user starts it; it photographs what the X server shows before it ends.
PROGRAM = """
import sys
import numpy as np
import pygame
from engine_bridge.frame import Frame
from engine_bridge.avf.messages import ControlSpec, LiveStats, StreamInfo
from engine_bridge.viewer.window import Window

class Source:
    info = StreamInfo(session=1, stream="s", character="Aki", width=64, height=64, fps=60.0,
                      controls=[ControlSpec("headYaw", -30.0, 30.0, 0.0, "head")])
    stats = LiveStats(provider="synthetic", fps=60.0, target_fps=60.0)
    sent = []
    frame = Frame(np.full((64, 64, 4), (200, 100, 50, 128), np.uint8), 1, 1, "s", 0, 0, 0, 0, 0, "synthetic")
    def latest(self):
        frame, self.frame = self.frame, None
        return frame
    def send(self, state): self.sent.append(state)
    def close(self): pass

with Window(Source(), title="bunraku test", size=(900, 500), background="green", scale=1.0) as window:
    print(pygame.display.get_driver(), flush=True)
    for _ in range(20):
        window.step()
        window.rest()
    sys.stdout.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(5):
        window.step()
        window.rest()
    print(len(Source.sent), flush=True)
"""


@pytest.fixture
def x_display():
    """The name of a fresh X server without a screen."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed: apt-get install xvfb")
    reading, writing = os.pipe()
    command = [server, "-displayfd", str(writing), "-screen", "0", "1024x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        if not number:
            process.kill()
            pytest.skip("Xvfb does not start here")
        yield f":{number}"
        process.terminate()


def test_character_and_panel_are_on_the_screen(x_display, tmp_path):
    photograph = shutil.which("import")
    if photograph is None:
        pytest.skip("ImageMagick is not installed: apt-get install imagemagick")
    environment = {**os.environ, "SDL_VIDEODRIVER": "x11", "DISPLAY": x_display}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert "x11\n" in lines
        assert "ready\n" in lines
        picture = tmp_path / "screen.png"
        subprocess.run([photograph, "-display", x_display, "-window", "root", str(picture)], check=True, timeout=60)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    with Image.open(picture) as image:
        shown = np.asarray(image.convert("RGB")).astype(np.int16)
    alpha = 128 / 255
    expected = [200 * alpha, 100 * alpha + 255 * (1 - alpha), 50 * alpha]
    # X puts the window where it likes: look for the picture's colour and the panel's.
    assert (np.abs(shown - expected).max(axis=2) <= 2).sum() > 400 * 400
    assert (shown == (24, 27, 33)).all(axis=2).sum() > 200 * 300
