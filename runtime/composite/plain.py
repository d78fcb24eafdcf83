"""The compositor in NumPy: for machines without a kernel, and as readable reference. Some hundred times slower."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .base import CLEAR, SOLID, Composite, Floats
from .references import LAYERS, REFERENCES, Pixels, References

HEAD = LAYERS.index("head")
OPEN = REFERENCES.index("open")


class PlainComposite(Composite):
    """Array by array, following the definition."""

    name = "numpy"

    def _draw(self, references: References, flow: Floats, planes: Floats, out: Pixels) -> None:
        size = references.size
        paint = [_moved(references.pixels[index], flow[index]) for index in range(len(REFERENCES))]
        keep, rest = planes[: len(LAYERS)], planes[len(LAYERS) :]
        opened, drawn, *colours = (_grown(plane, size) for plane in rest)
        drawing = np.stack(colours, -1)
        paint[HEAD] += (paint[OPEN] - paint[HEAD]) * opened[..., None]
        picture = np.zeros((size, size, 4), np.float32)
        for index in range(len(LAYERS)):
            layer = paint[index] * _grown(keep[index], size)[..., None]
            if index == HEAD:
                layer += (drawing - layer) * drawn[..., None]
            picture = layer + picture * (1 - layer[..., 3:])
        out[...] = _as_bytes(picture)
        _bleed(out)


def _as_bytes(premultiplied: Floats) -> Pixels:
    """Convert to straight RGBA with stretched alpha."""
    alpha = premultiplied[..., 3:]
    straight = np.where(alpha > 1 / 255, premultiplied / np.maximum(alpha, 1 / 255), 0)
    straight[..., 3:] = (alpha - CLEAR) / (SOLID - CLEAR)
    return np.asarray(straight.clip(0, 1) * 255 + 0.5, np.uint8)


def _bleed(out: Pixels) -> None:
    """Give clear pixels beside the figure its colour."""
    clear = out[..., 3] == 0
    edged = np.pad(out, ((1, 1), (1, 1), (0, 0)))
    bare = clear.copy()
    for beside in (edged[1:-1, :-2], edged[1:-1, 2:], edged[:-2, 1:-1], edged[2:, 1:-1]):
        takes = bare & (beside[..., 3] > 0)
        out[takes, :3] = beside[takes, :3]
        bare &= ~takes


def _moved(reference: Pixels, flow: Floats) -> Floats:
    """Fetch paint from its origin, 0..1: [S, S, 4] by [2, GRID, GRID]; edges are extended."""
    size = reference.shape[0]
    own = np.arange(size, dtype=np.float32)
    x = np.nan_to_num(_grown(flow[0], size) * (size / 2) + own).clip(-2, size + 1)
    y = np.nan_to_num(_grown(flow[1], size) * (size / 2) + own[:, None]).clip(-2, size + 1)
    left, top = (np.floor(place).astype(np.int64, order="C") for place in (x, y))
    along, down = _cubic(x - left), _cubic(y - top)
    moved: Floats = np.zeros((size, size, 4), np.float32)
    whole = reference.reshape(-1).view(np.uint32)  # pixel by pixel, in half the time
    columns = [(left + column - 1).clip(0, size - 1) for column in range(4)]
    for row in range(4):
        first = (top + row - 1).clip(0, size - 1) * size
        for column in range(4):
            share = along[column] * down[row] / 255
            moved += share[..., None] * whole[first + columns[column]].view(np.uint8).reshape(size, size, 4)
    return moved.clip(0, 1)


def _cubic(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights of the four pixels around a position, `t` past the second: Keys 1981, doi:10.1109/TASSP.1981.1163711."""
    a, back = -0.75, 1 - t
    inner = [((a + 2) * s - (a + 3)) * s * s + 1 for s in (t, back)]
    return a * t * back * back, inner[0], inner[1], a * back * t * t


def _grown(plane: Floats, size: int) -> Floats:
    """Resize [P, P] -> [size, size] smoothly; edges are extended."""
    if plane.shape[0] == size:
        return plane
    places = (np.arange(size, dtype=np.float32) + 0.5) * (plane.shape[0] / size) - 0.5
    first, share = _between(places, plane.shape[0])
    rows = plane[first] + (plane[first + 1] - plane[first]) * share[:, None]
    grown: Floats = rows[:, first] + (rows[:, first + 1] - rows[:, first]) * share
    return grown


def _between(places: Floats, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """The sample before each position, and the fraction to the next one."""
    inside = places.clip(0, count - 1)
    first = np.minimum(inside.astype(np.int64), count - 2)
    return first, np.asarray(inside - first, np.float32)
