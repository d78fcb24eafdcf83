"""The lines of brows and mouth, flat, before projection onto the face."""

from __future__ import annotations

from .canvas import clamp, lerp
from .faces import Spot, face_of
from .identity import Identity
from .pose import Pose, Side

ACROSS = (-1.0, -0.88, -0.52, 0.0, 0.52, 0.88, 1.0)  # where a lip has points, in half mouths


def brow_spot(who: Identity, m: int) -> Spot:
    """The sheet of a brow; `m` is -1 for the character's right one and 1 for the left one."""
    face = face_of(who)
    height = face.eye_y - 0.345 + 0.03 * (1 - who.eye_size) + 0.15 * (1 - face.eye_tall) + face.brow_drop
    return (m * face.eye_x * 1.01, height, 0.7), (0.96, 0, -m * 0.24), (0, 1, -0.02)


def brow_spine(who: Identity, side: Side) -> list[tuple[float, float]]:
    """The middle line of a brow [4], from the nose outward: x outward, y down."""
    lift, tilt = -0.125 * side.brow_raise, clamp(1.15 * side.brow_tilt + 0.22 * who.brow_tilt, -1.3, 1.3)
    return [
        (-0.19 - 0.02 * tilt, -0.012 + 0.15 * tilt + lift * 0.8),
        (-0.05 - 0.01 * tilt, -0.042 + 0.055 * tilt + lift),
        (0.12, -0.038 - 0.05 * tilt + lift * 1.05),
        (0.265, 0.03 - 0.095 * tilt + lift * 0.9),
    ]


def lips(who: Identity, pose: Pose) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Edges of the upper and lower lip, one point for each of `ACROSS`; equal where the mouth is shut."""
    shape = pose.mouth
    w = (0.16 + 0.055 * who.mouth_width) * face_of(who).mouth * (1 + (0.44 if shape.wide > 0 else 0.5) * shape.wide)
    w *= 1 + 0.1 * clamp(pose.left.smile + pose.right.smile, 0, 2) - 0.12 * shape.open * shape.round
    gape, roundness = mouth_gape(pose), mouth_roundness(pose)
    centre = 0.5 * (pose.left.smile + pose.right.smile)
    upper: list[tuple[float, float]] = []
    lower: list[tuple[float, float]] = []
    for s in ACROSS:
        smile = pose.left.smile if s > 0 else pose.right.smile
        rise = (0.078 if smile > 0 else 0.12) * smile * (1 - 0.45 * shape.round) * (1 - 0.25 * shape.open)
        y = -rise * abs(s) ** 1.9 + 0.026 * centre
        bow = max(0.0, 1 - s * s)
        lift = gape * (0.08 + 0.42 * roundness) * bow**0.5
        drop = gape * (0.92 - 0.42 * roundness) * bow ** lerp(0.75, 0.5, roundness)
        upper.append((s * w, y - lift))
        lower.append((s * w, y + drop))
    return upper, lower


def mouth_gape(pose: Pose) -> float:
    """Distance between the lips in the middle."""
    return 0.29 * pose.mouth.open


def mouth_roundness(pose: Pose) -> float:
    """0..1."""
    return clamp(pose.mouth.round + 0.1)
