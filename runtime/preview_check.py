"""One picture drawn by an engine against the one that travels with the character. Knows pictures, not libraries.

Drivers and libraries of GPUs have been seen to draw garbage without an error. A character's preview is its first
identity at rest, so an engine can be asked for the very same.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import EngineMismatch
from runtime.character import Character
from runtime.engine import Engine

# Half precision and another order of sums stay above 45 dB, a wrong layer far below this.
LEAST_PSNR_DB: Final = 32.0


def check_against_preview(engine: Engine, character: Character) -> float | None:
    """Draw the preview again.

    Args:
        engine: active.
        character: the open character that it plays.

    Returns:
        Peak signal-to-noise ratio of premultiplied RGBA in dB, or None if the character brings no preview of its
        frame size.

    Raises:
        EngineMismatch: the picture is another one.
    """
    if "preview.webp" not in character:
        return None
    from PIL import Image

    about = engine.description
    with Image.open(io.BytesIO(character.read("preview.webp"))) as image:
        wanted = np.asarray(image.convert("RGBA"))
    if wanted.shape != (about.height, about.width, 4):
        return None
    row = next(iter(character.manifest.identities.values()))
    w = np.ascontiguousarray(character.latents_file[0][row : row + 1])
    controls = np.array([[control.rest for control in character.controls]], np.float32)
    drawn = np.empty((1, about.height, about.width, 4), np.uint8)
    engine.infer(w, controls, drawn)
    error = float(np.square(_premultiplied(drawn[0]) - _premultiplied(wanted)).mean())
    psnr_db = -10.0 * float(np.log10(max(error, 1e-10)))
    if psnr_db < LEAST_PSNR_DB:
        raise EngineMismatch(
            f"{about.label} draws another picture than the character's preview ({psnr_db:.1f} dB, needs "
            f"{LEAST_PSNR_DB:.0f}). Update the driver or the library, or choose another engine."
        )
    return psnr_db


def _premultiplied(straight: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    picture: npt.NDArray[np.float32] = straight.astype(np.float32) / np.float32(255)
    picture[..., :3] *= picture[..., 3:]
    return picture
