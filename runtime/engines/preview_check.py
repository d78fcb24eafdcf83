"""Compares a picture drawn by an engine with the character's preview.

GPU drivers and libraries have been seen to draw garbage without an error. A character's preview is its first
identity at rest, so an engine can be asked for exactly that.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import CharacterError, EngineMismatch
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.character.archive import EXPORT_AGAIN
from runtime.character.file import Character
from runtime.character.webp import webp_size

from .base import Engine, Pixels

# Half precision and a different order of summation stay above 45 dB, a wrong layer is far below this.
LEAST_PSNR_DB: Final = 32.0


def check_against_preview(engine: Engine, character: Character) -> float | None:
    """Draw the preview again.

    Args:
        engine: active.
        character: the open character that it plays.

    Returns:
        Peak signal-to-noise ratio of premultiplied RGBA in dB, or None if the character has no preview of its
        frame size.

    Raises:
        CharacterError: the preview is damaged.
        EngineMismatch: the picture differs.
    """
    wanted = preview_of(character)
    about = engine.description
    if wanted is None or wanted.shape != (about.sizes.height, about.sizes.width, 4):
        return None
    row = next(iter(character.manifest.identities.values()))
    w = np.ascontiguousarray(character.latents_file[0][row : row + 1])
    controls = np.array([[control.rest for control in character.controls]], np.float32)
    drawn = np.empty((1, about.sizes.height, about.sizes.width, 4), np.uint8)
    engine.infer(w, controls, drawn)
    error = float(np.square(_premultiplied(drawn[0]) - _premultiplied(wanted)).mean())
    psnr_db = -10.0 * float(np.log10(max(error, 1e-10)))
    if psnr_db < LEAST_PSNR_DB:
        raise EngineMismatch(
            f"{about.label} draws a different picture from the character's preview ({psnr_db:.1f} dB, needs "
            f"{LEAST_PSNR_DB:.0f}). Update the driver or the library, or choose another engine."
        )
    return psnr_db


def preview_of(character: Character) -> Pixels | None:
    """The character's preview, decoded.

    Args:
        character: an open character.

    Returns:
        uint8 [H, W, 4], straight alpha; None if there is none, or its size differs from the frames', in which case it
        is not decoded.

    Raises:
        CharacterError: it is damaged.
    """
    if "preview.webp" not in character:
        return None
    from PIL import Image

    where = f"preview.webp in {character.path.name}"
    data = character.read("preview.webp")
    frame = character.manifest.frame
    size = webp_size(data)  # `Character.open` has checked that it is a WebP
    if size != (frame.width, frame.height):
        return None
    try:
        # Only this decoder: some of Pillow's start external programs.
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            if image.size != size:
                raise CharacterError(f"{where} has two sizes. {EXPORT_AGAIN}")
            return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError) as error:
        raise CharacterError(f"{where} cannot be decoded: {plain(str(error), LINE_CHARS)}. {EXPORT_AGAIN}") from error


def _premultiplied(straight: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    picture: npt.NDArray[np.float32] = straight.astype(np.float32) / np.float32(255)
    picture[..., :3] *= picture[..., 3:]
    return picture
