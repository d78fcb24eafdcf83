"""A minimal game in Panda3D: the newest frame on a card over stripes, and a screenshot of it.

    panda3d_peer.py FRAMES_ENDPOINT NUMBER OUT.png

Draws with OpenGL, without a window. Ends when the frame of that number, or a newer one, has been drawn.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from panda3d.core import CardMaker, Filename, Texture, TransparencyAttrib, loadPrcFileData

from engine_bridge import Pixels, Subscriber
from tests.busy_background import stripes

PATIENCE_S = 60.0


def texture_of(pixels: Pixels) -> Texture:
    """A texture that shows its texels unfiltered, one per pixel of the window."""
    height, width = pixels.shape[:2]
    texture = Texture()
    texture.setup2dTexture(width, height, Texture.T_unsigned_byte, Texture.F_rgba)
    texture.setMagfilter(Texture.FT_nearest)
    texture.setMinfilter(Texture.FT_nearest)
    texture.setRamImageAs(pixels.tobytes(), "RGBA")
    return texture


def main(endpoint: str, number: int, out: Path) -> None:
    with Subscriber(endpoint) as subscriber:
        first = subscriber.wait(PATIENCE_S)
        assert first is not None, "no frame came"
        height, width = first.pixels.shape[:2]
        settings = f"""
            load-display pandagl
            window-type offscreen
            win-size {width} {height}
            audio-library-name null
            sync-video false
            textures-power-2 none
            notify-level-display error
        """
        loadPrcFileData("", settings)
        from direct.showbase.ShowBase import ShowBase

        base = ShowBase()
        maker = CardMaker("card")
        maker.setFrame(-1, 1, -1, 1)
        maker.setUvRange((0, 1), (1, 0))  # row 0 is on top: flipped here, never on the processor
        behind = base.render2d.attachNewNode(maker.generate())
        behind.setTexture(texture_of(np.insert(stripes(height, width), 3, 255, axis=2)))
        card = base.render2d.attachNewNode(maker.generate())
        card.setTransparency(TransparencyAttrib.MAlpha)
        frame, shown = first, texture_of(first.pixels)
        card.setTexture(shown)
        deadline = time.monotonic() + PATIENCE_S
        while frame.frame_id < number:
            assert time.monotonic() < deadline, f"frame {number} never came, the last was {frame.frame_id}"
            newer = subscriber.latest()
            if newer is not None:
                frame = newer
                shown.setRamImageAs(frame.pixels.tobytes(), "RGBA")
            base.graphicsEngine.renderFrame()
            time.sleep(0.005)
        base.graphicsEngine.renderFrame()
        base.graphicsEngine.renderFrame()
        assert base.win.saveScreenshot(Filename.fromOsSpecific(str(out)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
