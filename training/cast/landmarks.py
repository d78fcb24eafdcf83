"""Points of brows, eyes, lips and hair, in references and pictures: supervision for where paint moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .accessories import ribbon_points, under_ribbon
from .canvas import FloatArray
from .eyes import iris_place, lids
from .faces import eye_scale, eye_spot, mouth_spot
from .features import brow_spine, brow_spot, lips
from .fringe import cap_points
from .hair import lock_points
from .identity import Identity
from .pose import Controls, solve

Listed = dict[str, list[list[float] | None]]
Mask = npt.NDArray[np.bool_]

NEARLY_SHUT, HARDLY_OPEN = 0.15, 0.08  # a mouth in between counts as either
LID_UP, LID_DOWN = 0.3, 0.35  # of an eye, likewise
RIM = np.array(
    [(0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)]
)  # middle of an iris and its rim, in radii
UNDER_THE_LID = 0.015  # closer to it an iris is in its shade


def landmarks_of_references(identity: Identity, opened: Controls, size_px: int) -> Listed:
    """Points in the references of a character, in pixels, by reference; None where a reference does not show a point.

    Args:
        identity: the character.
        opened: controls of the reference `open`.
        size_px: of the references.
    """
    rest, wide = (landmarks_of_picture(identity, controls, size_px) for controls in ({}, opened))
    return {**rest, "open": wide["open"]}


def landmarks_of_picture(identity: Identity, controls: Controls, size_px: int) -> Listed:
    """Positions of those points in a picture, by the reference that shows them best.

    Args:
        identity: the character.
        controls: as for `render`.
        size_px: of the picture.

    Returns:
        Points in pixels, as many for every reference: both brows, both eyes, the lips, hair in front, a ribbon. None
        where a reference does not show them. Brows that show through the hair in front are not included: hair would
        move with them.
    """
    pose = solve(controls, size_px)
    points: list[FloatArray] = []
    shown: dict[str, list[Mask]] = {"inner": [], "head": [], "front": [], "open": []}

    def add(more: FloatArray, **of: bool | Mask) -> None:
        points.append(more)
        for name, masks in shown.items():
            masks.append(np.broadcast_to(of.get(name, False), len(more)))

    for m, side in ((-1, pose.right), (1, pose.left)):
        add(
            pose.head.on_sheet(brow_spot(identity, m), np.array(brow_spine(identity, side)) * (m, 1)),
            head=True,
        )
    for m, side in ((-1, pose.right), (1, pose.left)):
        scale = np.array(eye_scale(identity)) * (m, 1)
        _, upper, lower = lids(identity, side)
        middle, radii = iris_place(identity, pose, m, side)
        iris = np.array(middle) + RIM * radii
        up = side.lid > LID_UP
        for part, shut in ((upper, side.lid < LID_DOWN), (lower[1:], False)):
            add(pose.head.on_sheet(eye_spot(identity, m), part * scale), head=up, open=shut)
        add(pose.head.on_sheet(eye_spot(identity, m), iris * scale), inner=up & _between(iris, upper, lower))
    for lip in lips(identity, pose):
        add(
            pose.head.on_sheet(mouth_spot(identity), lip),
            head=pose.mouth.open < NEARLY_SHUT,
            open=pose.mouth.open > HARDLY_OPEN,
        )
    cap, spots, facing = cap_points(identity, pose)
    add(cap, front=facing & ~under_ribbon(identity, spots))
    for more, there in (lock_points(identity, pose), ribbon_points(identity, pose)):
        add(more, front=there)
    listed = [[round(float(x), 2), round(float(y), 2)] for x, y in np.concatenate(points)]
    return {
        name: [point if seen else None for point, seen in zip(listed, np.concatenate(masks), strict=True)]
        for name, masks in shown.items()
    }


def _between(points: FloatArray, upper: FloatArray, lower: FloatArray) -> Mask:
    """Which points lie in the opening of an eye."""
    x, y = points.T
    above, below = (np.interp(x, lid[:, 0], lid[:, 1]) for lid in (upper, lower))
    return np.asarray((y > above + UNDER_THE_LID) & (y < below - UNDER_THE_LID))
