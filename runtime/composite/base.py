"""Interface of all compositors: from motion to a picture.

`training.animator.composite` is the definition, in tensors; implementations match it within two 255ths.
"""

from __future__ import annotations

import abc
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import EngineError

from .references import GRID, REFERENCES, Pixels, References

Floats = npt.NDArray[np.float32]

KEEP: Final = ("keepBack", "keepBody", "keepInner", "keepHead", "keepFront")  # in the order of `LAYERS`
PLANES: Final = (*KEEP, "open", "drawn", "red", "green", "blue", "alpha")
PLANES_PX: Final = (64, 128, 256, 512)
CLEAR: Final = 10 / 255  # alpha up to here is 0, and from SOLID on 1, so that no haze covers what is behind the figure
SOLID: Final = 240 / 255


class Composite(abc.ABC):
    """Moves layers and composites them. Used by one thread at a time."""

    name: str

    def draw(self, references: References, flow: Floats, planes: Floats, out: Pixels) -> None:
        """Draw one picture.

        Args:
            references: the person.
            flow: float32 [len(REFERENCES), 2, GRID, GRID]: from every place to where the paint of each reference was,
                x and y in half pictures.
            planes: float32 [len(PLANES), P, P], P one of `PLANES_PX` and no more than the picture's side: how much of
                each layer is kept, how much of the head comes from the open reference, how much of it is drawn instead
                of moved, 0..1; then that drawing, premultiplied.
            out: uint8 [S, S, 4], straight RGBA, of the references' size, the caller's. Clear pixels beside the figure
                have its colour.

        Raises:
            EngineError: a shape or type is wrong.
        """
        side, wide = references.size, planes.shape[-1] if planes.ndim else 0
        good = (
            flow.shape == (len(REFERENCES), 2, GRID, GRID)
            and planes.shape == (len(PLANES), wide, wide)
            and wide in PLANES_PX
            and wide <= side
            and out.shape == (side, side, 4)
            and flow.dtype == planes.dtype == np.float32
            and out.dtype == np.uint8
            and flow.flags.c_contiguous
            and planes.flags.c_contiguous
            and out.flags.c_contiguous
            and out.flags.writeable
        )
        if not good:
            raise EngineError(
                f"The composite takes contiguous flow float32 [{len(REFERENCES)}, 2, {GRID}, {GRID}], planes float32 "
                f"[{len(PLANES)}, P, P] with P of {', '.join(map(str, PLANES_PX))} and at most {side}, and out uint8 "
                f"[{side}, {side}, 4], but got flow {flow.dtype} {list(flow.shape)}, planes {planes.dtype} "
                f"{list(planes.shape)} and out {out.dtype} {list(out.shape)}."
            )
        self._draw(references, flow, planes, out)

    def close(self) -> None:  # noqa: B027  most have nothing to release
        """Release threads. Safe to call twice."""

    @abc.abstractmethod
    def _draw(self, references: References, flow: Floats, planes: Floats, out: Pixels) -> None:
        """Draw; the arguments have been checked."""
