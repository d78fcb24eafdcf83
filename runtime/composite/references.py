"""One person's reference pictures, prepared for moving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import CharacterError

Pixels = npt.NDArray[np.uint8]

# Hair behind, body and clothes, what shows through openings of the head (eyeballs, the inside of the mouth), head and
# face with these openings, hair in front.
LAYERS: Final = ("back", "body", "inner", "head", "front")
REFERENCES: Final = (*LAYERS, "open")  # the last: the head with closed eyes and an open mouth
GRID: Final = 64  # cells per side of the motion grid
CELL: Final = 8  # pixels per side of the cells of `occupied`
SIDES: Final = (256, 512, 1024, 2048)  # of references and pictures


@dataclass(frozen=True)
class References:
    """One person's references. Created with `prepare`, once per person; immutable.

    Attributes:
        pixels: uint8 [len(REFERENCES), S, S, 4], premultiplied RGBA, C-contiguous, S one of `SIDES`.
        occupied: uint32 [len(REFERENCES), S / CELL + 1, S / CELL + 1]: how many cells above and left of a corner hold
            any paint, so that four numbers decide whether a rectangle does (a summed-area table: Crow 1984,
            doi:10.1145/800031.808600).
    """

    pixels: Pixels
    occupied: npt.NDArray[np.uint32]

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.pixels.shape[1])


def prepare(straight: Pixels) -> References:
    """Prepare a person's pictures.

    Args:
        straight: uint8 [len(REFERENCES), S, S, 4], straight RGBA; not kept.

    Raises:
        CharacterError: they are too few, not square, or of an unsupported size.
    """
    sides = straight.shape[1:3]
    if (
        straight.dtype != np.uint8
        or straight.ndim != 4
        or straight.shape[0] != len(REFERENCES)
        or straight.shape[3] != 4
    ):
        raise CharacterError(
            f"A person needs {len(REFERENCES)} RGBA pictures of one size ({', '.join(REFERENCES)}), "
            f"but these are {straight.dtype} {list(straight.shape)}."
        )
    if sides[0] != sides[1] or sides[0] not in SIDES:
        raise CharacterError(
            f"A person's pictures are {sides[1]}x{sides[0]} pixels. They must be squares of "
            f"{', '.join(map(str, SIDES[:-1]))} or {SIDES[-1]} pixels; make them again in one of these sizes."
        )
    alpha = straight[..., 3:].astype(np.uint16)
    pixels = straight.copy()
    pixels[..., :3] = (straight[..., :3] * alpha + 127) // 255
    cells = sides[0] // CELL
    painted = pixels[..., 3].reshape(len(REFERENCES), cells, CELL, cells, CELL).any((2, 4))
    occupied = np.zeros((len(REFERENCES), cells + 1, cells + 1), np.uint32)
    occupied[:, 1:, 1:] = painted.cumsum(1).cumsum(2)
    return References(pixels, occupied)
