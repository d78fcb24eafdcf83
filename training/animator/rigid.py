"""Where a head, its eyes, what hangs from it, and a body come from when they turn: from the controls, not learnt.

A generic head and the hair in front are balls; long hair and the body are planes. That is wrong for everybody by a few
pixels, and a network that only has to find those few pixels learns in minutes what it does not find in hours from
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.animator.recipe import FINE

GRID = FINE  # cells per side
SCALE = 0.232  # picture sides per model unit: the head's radius in the framing of a portrait
CENTRE_Y = 0.482  # where the middle of the head sits, from the top
NECK = (0.0, 0.85, -0.12)  # the head turns about it; model units, x right, y down, z to the viewer
WAIST = (0.0, 2.9, 0.0)  # the body leans about it
HANG_DEPTH = -0.2  # of the plane of long hair
BODY_DEPTH = 0.1
RADIUS = 1.06  # of the ball; with these it matches the cast best (a search over heads and poses)
HEAD_DEPTH = 0.8  # of the ball, towards the viewer, in radii: a face is flatter than the hair in front of it
HAIR_DEPTH = 0.9
LOOKS = (0.088 / 30, -0.085 / 20)  # model units that an iris goes to the side and down, per degree of gaze
MOUTH_Y, BETWEEN_Y = 0.68, 0.12  # model units: eyes are above the one, by more than the other
PARTS = ("head", "hair", "hang", "body", "gaze")

Vector = list[Tensor]
Matrix = list[list[Tensor]]


class RigidMotion(nn.Module):
    """Controls -> where each part was at rest."""

    x: Tensor
    y: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        """Know the controls by name.

        Args:
            names: of all controls, in input order; those that turn nothing, or are not there, count as at rest.
        """
        super().__init__()
        self._index = {name: index for index, name in enumerate(names)}
        centre = (torch.arange(GRID, dtype=torch.float32) + 0.5) / GRID
        self.register_buffer("x", ((centre - 0.5) / SCALE).view(1, 1, GRID), persistent=False)
        self.register_buffer("y", ((centre - CENTRE_Y) / SCALE).view(1, GRID, 1), persistent=False)

    def forward(self, controls: Tensor) -> Tensor:
        """Displacements from every place of the picture to where its paint was at rest.

        Args:
            controls: float [N, c], natural units (degrees).

        Returns:
            float [N, len(PARTS), 2, GRID, GRID], x and y, in half pictures (1 is half of the picture's side).
        """
        yaw, pitch, roll = (self._control(controls, f"body{axis}") for axis in ("Yaw", "Pitch", "Roll"))
        breath = self._control(controls, "breath") * -0.03
        body = _rotation(yaw * 0.9, pitch * 0.55, roll * 0.45)
        # A body that turns also carries the chest a little to that side.
        body_shift = _about(WAIST, body, (0.003 * yaw, breath + 0.004 * pitch, 0.0 * yaw))
        neck = [a + b for a, b in zip(_times(body, NECK), body_shift, strict=True)]
        neck[1] = neck[1] - 0.25 * breath
        head_yaw, head_pitch, head_roll = (self._control(controls, f"head{axis}") for axis in ("Yaw", "Pitch", "Roll"))
        head_yaw = head_yaw * 0.92 + yaw * 0.15
        head_pitch = head_pitch * 0.95 + pitch * 0.1
        head_roll = head_roll * 0.95 + roll * 0.2
        head = _rotation(head_yaw, head_pitch, head_roll)
        hang = _rotation(head_yaw * 0.55 + yaw * 0.2, head_pitch * 0.25, head_roll * 0.35 + roll * 0.2)
        head_shift, hang_shift = (
            [a - b for a, b in zip(neck, _times(turn, NECK), strict=True)] for turn in (head, hang)
        )
        face = self._ball(head, head_shift, HEAD_DEPTH)
        upper = ((MOUTH_Y - self.y - face[1]) / BETWEEN_Y).clamp(0, 1)  # a mouth does not look about
        looks = [
            _column(self._control(controls, f"gaze{axis}") * factor) * upper
            for axis, factor in zip(("Yaw", "Pitch"), LOOKS, strict=True)
        ]
        flows = [
            face,
            self._ball(head, head_shift, HAIR_DEPTH),
            self._plane(hang, hang_shift, HANG_DEPTH),
            self._plane(body, body_shift, BODY_DEPTH),
            [along - look for along, look in zip(face, looks, strict=True)],
        ]
        return torch.stack([torch.stack(flow, 1) for flow in flows], 1) * (2 * SCALE)

    def _control(self, controls: Tensor, name: str) -> Tensor:
        index = self._index.get(name)
        return torch.zeros_like(controls[:, 0]) if index is None else controls[:, index]

    def _ball(self, turn: Matrix, shift: Vector, depth: float) -> Vector:
        """Every place lies on the front of a ball; outside of it, on a plane through its middle."""
        dx, dy = self.x - _column(shift[0]), self.y - _column(shift[1])
        z = depth * torch.sqrt((RADIUS**2 - dx * dx - dy * dy).clamp_min(0.0) + 1e-4)
        at = (dx, dy, z)
        before = [sum((_column(turn[i][axis]) * at[i] for i in range(3)), torch.zeros_like(z)) for axis in (0, 1)]
        return [before[0] - self.x, before[1] - self.y]

    def _plane(self, turn: Matrix, shift: Vector, depth: float) -> Vector:
        """Every place lies on a plane that faced the viewer at rest."""
        determinant = turn[0][0] * turn[1][1] - turn[0][1] * turn[1][0]
        px = self.x - _column(shift[0] + turn[0][2] * depth)
        py = self.y - _column(shift[1] + turn[1][2] * depth)
        a, b = _column(turn[1][1] / determinant), _column(turn[0][1] / determinant)
        c, d = _column(turn[0][0] / determinant), _column(turn[1][0] / determinant)
        return [a * px - b * py - self.x, c * py - d * px - self.y]


def _rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Matrix:
    """First yaw, then pitch, then roll, in degrees: rows of numbers [N]."""
    y, p, r = (angle * (math.pi / 180) for angle in (yaw, pitch, roll))
    cy, sy, cp, sp, cr, sr = torch.cos(y), torch.sin(y), torch.cos(p), torch.sin(p), torch.cos(r), torch.sin(r)
    return [
        [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
        [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
        [-cp * sy, sp, cp * cy],
    ]


def _times(matrix: Matrix, vector: tuple[float, float, float]) -> Vector:
    return [sum((matrix[i][j] * vector[j] for j in range(3)), torch.zeros_like(matrix[i][0])) for i in range(3)]


def _about(point: tuple[float, float, float], turn: Matrix, moved: tuple[Tensor, Tensor, Tensor]) -> Vector:
    """The shift that turns about a point and then moves it."""
    turned = _times(turn, point)
    return [point[i] - turned[i] + moved[i] for i in range(3)]


def _column(value: Tensor) -> Tensor:
    return value.view(-1, 1, 1)
