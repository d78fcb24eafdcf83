"""From controls to geometry: where head, hair and body are, and what the face does.

Model space: the origin lies between the ears, x to the viewer's right, y down, z to the viewer; the head is about one
unit in radius. The character's left is +x. Angles follow `runtime.character.controls`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import skia

from runtime.character.controls import PORTRAIT_CONTROLS

from .canvas import FloatArray, clamp

NAMES: Final[tuple[str, ...]] = tuple(control.name for control in PORTRAIT_CONTROLS)
REST: Final[tuple[float, ...]] = tuple(control.rest for control in PORTRAIT_CONTROLS)
SCALE: Final = 0.232  # picture sides per model unit
CENTRE_Y: Final = 0.482  # where the origin sits in the picture, from the top
PERSPECTIVE: Final = 0.06
NECK: Final = np.array([0.0, 0.85, -0.12])  # the head turns about this point
WAIST: Final = np.array([0.0, 2.9, 0.0])  # the body leans about this point
RAISED: Final = np.array([0.0, -0.09, 0.0])  # how far the shoulders sit above their drawing
Controls = Mapping[str, float] | npt.NDArray[np.floating[Any]]


def rotation(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Rotation matrix [3, 3] from degrees: first yaw, then pitch, then roll."""
    y, p, r = math.radians(yaw), math.radians(pitch), math.radians(roll)
    cy, sy, cp, sp, cr, sr = math.cos(y), math.sin(y), math.cos(p), math.sin(p), math.cos(r), math.sin(r)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


@dataclass(frozen=True, slots=True)
class Frame:
    """A rigid placement of model space in the picture.

    Attributes:
        turn: rotation, [3, 3].
        shift: translation in model units, [3].
        unit: pixels per model unit.
        centre: pixel of the model origin.
    """

    turn: FloatArray
    shift: FloatArray
    unit: float
    centre: tuple[float, float]

    def place(self, points: Any) -> FloatArray:
        """Model points [n, 3] to turned points [n, 3], still in model units."""
        return np.asarray(np.asarray(points, dtype=np.float64) @ self.turn.T + self.shift)

    def flat(self, placed: FloatArray) -> FloatArray:
        """Turned points [n, 3] to pixels [n, 2]."""
        grow = self.unit / (1.0 - placed[:, 2:3] * PERSPECTIVE)
        return np.asarray(placed[:, :2] * grow + self.centre)

    def at(self, points: Any) -> list[list[float]]:
        """Model points [n, 3] to pixels."""
        out: list[list[float]] = self.flat(self.place(points)).tolist()
        return out

    def sheet(self, origin: Any, across: Any, down: Any) -> Any:
        """A Skia matrix that projects a flat drawing (model units) onto the surface at `origin`."""
        (ax, dx, ox), (ay, dy, oy) = self._laid(origin, across, down).tolist()
        matrix = skia.Matrix()
        matrix.setAll(ax, dx, ox, ay, dy, oy, 0, 0, 1)
        return matrix

    def on_sheet(self, spot: tuple[Any, Any, Any], points: Any) -> FloatArray:
        """Project points [n, 2] of such a drawing to pixels [n, 2]."""
        laid = self._laid(*spot)
        return np.asarray(np.asarray(points, dtype=np.float64) @ laid[:, :2].T + laid[:, 2])

    def _laid(self, origin: Any, across: Any, down: Any) -> FloatArray:
        """The affine map [2, 3] of `sheet`."""
        o, a, d = np.asarray(origin, float), np.asarray(across, float), np.asarray(down, float)
        p = np.array(self.at(np.stack([o, o + a * 0.01, o + d * 0.01])))
        return np.stack([(p[1] - p[0]) * 100, (p[2] - p[0]) * 100, p[0]], 1)


@dataclass(frozen=True, slots=True)
class Side:
    """State of one half of the face; -1..1 or 0..1 unless noted."""

    lid: float  # 0 closed .. 1 open .. 1.25 wide
    squint: float
    arch: float  # 0 a closed eye hangs down, 1 it arches up in joy
    slant: float  # -1 sad .. 1 angry upper lid
    iris: float  # size factor
    brow_raise: float
    brow_tilt: float  # -1 sad .. 1 angry
    smile: float  # -1 frown .. 1 smile


@dataclass(frozen=True, slots=True)
class Mouth:
    """Mouth shape; 0..1 unless noted."""

    open: float
    wide: float  # -1 narrow .. 1 wide
    round: float
    teeth: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Everything needed to draw one pose."""

    head: Frame
    hang: Frame  # long hair: turns less than the head, because it hangs
    body: Frame
    left: Side
    right: Side
    mouth: Mouth
    gaze: tuple[float, float]  # -1..1, picture directions
    sway: float
    blush: float  # added by moods


def read(controls: Controls) -> dict[str, float]:
    """Controls by name, missing ones at rest, all clamped to their ranges.

    Args:
        controls: a mapping by name, or numbers [c] in the order of `PORTRAIT_CONTROLS`.

    Raises:
        KeyError: a name that is not a portrait control.
        ValueError: an array of another length.
    """
    if isinstance(controls, Mapping):
        unknown = set(controls) - set(NAMES)
        if unknown:
            raise KeyError(f"not portrait controls: {', '.join(sorted(unknown))}")
        given = [float(controls.get(name, rest)) for name, rest in zip(NAMES, REST, strict=True)]
    else:
        given = np.asarray(controls, dtype=np.float64).reshape(-1).tolist()
        if len(given) != len(NAMES):
            raise ValueError(f"expected {len(NAMES)} controls, got {len(given)}")
    return {c.name: clamp(v, c.minimum, c.maximum) for c, v in zip(PORTRAIT_CONTROLS, given, strict=True)}


def solve(controls: Controls, size_px: float) -> Pose:
    """Controls to a pose for a picture of `size_px` (float, so that supersampled sizes work too)."""
    c = read(controls)
    unit, centre = SCALE * size_px, (0.5 * size_px, CENTRE_Y * size_px)
    body_turn = rotation(c["bodyYaw"] * 0.9, c["bodyPitch"] * 0.55, c["bodyRoll"] * 0.45)
    breath = np.array([0.0, -0.03 * c["breath"], 0.0])
    # Turning the body also shifts the chest a little to that side: a pure rotation would hardly show from the front.
    drift = np.array([0.003 * c["bodyYaw"], 0.004 * c["bodyPitch"], 0.0])
    body_shift = WAIST - body_turn @ WAIST + breath + drift + RAISED
    yaw = c["headYaw"] * 0.92 + c["bodyYaw"] * 0.15
    pitch = c["headPitch"] * 0.95 + c["bodyPitch"] * 0.1
    roll = c["headRoll"] * 0.95 + c["bodyRoll"] * 0.2
    pivot = body_turn @ NECK + body_shift - RAISED - 0.25 * breath
    turn = rotation(yaw, pitch, roll)
    hang_turn = rotation(yaw * 0.55 + c["bodyYaw"] * 0.2, pitch * 0.25, roll * 0.35 + c["bodyRoll"] * 0.2)
    left, right = (_side(c, name) for name in ("Left", "Right"))
    return Pose(
        head=Frame(turn, pivot - turn @ NECK, unit, centre),
        hang=Frame(hang_turn, pivot - hang_turn @ NECK, unit, centre),
        body=Frame(body_turn, body_shift, unit, centre),
        left=left,
        right=right,
        mouth=_mouth(c),
        gaze=(c["gazeYaw"] / 30.0, -c["gazePitch"] / 20.0),
        sway=c["hairSway"],
        blush=clamp(0.45 * c["happy"] + 0.15 * c["sad"] + 0.2 * c["angry"] + 0.1 * c["relaxed"]),
    )


def _side(c: dict[str, float], s: str) -> Side:
    wide = clamp(c["eyeWide" + s] + 0.95 * c["surprised"])
    squint = clamp(c["eyeSquint" + s] + 0.75 * c["happy"] + 0.3 * c["relaxed"] + 0.2 * c["angry"])
    droop = clamp(0.42 * c["relaxed"] + 0.24 * c["sad"] + 0.14 * c["happy"] + 0.1 * c["angry"], 0.0, 0.6)
    lid = (1.0 - c["eyeBlink" + s]) * (1.0 - droop) * (1.0 - 0.12 * squint) * (1.0 + 0.17 * wide)
    smile = 0.9 * c["mouthSmile" + s] + 0.95 * c["happy"] + 0.5 * c["relaxed"]
    frown = 0.9 * c["mouthFrown" + s] + 0.85 * c["sad"] + 0.75 * c["angry"]
    down, sad = clamp(c["browDown" + s] + c["angry"]), clamp(c["browSad" + s] + c["sad"])
    rise = c["browOuterUp" + s] + 0.95 * c["surprised"] + 0.35 * c["happy"] + 0.15 * c["relaxed"]
    return Side(
        lid=lid,
        squint=squint,
        arch=clamp(0.9 * c["eyeSquint" + s] + c["happy"]),
        slant=clamp(0.9 * down - 0.9 * sad, -1.0, 1.0),
        iris=1.0 - 0.2 * wide,
        brow_raise=clamp(rise - 0.75 * down + 0.25 * sad, -1.0, 1.2),
        brow_tilt=clamp(down - sad, -1.0, 1.0),
        smile=clamp(0.38 + smile - 1.38 * frown, -1.0, 1.1),  # a resting mouth smiles a little
    )


# Effect of each viseme and mouth control on the mouth: open, wide, round, teeth.
_SHAPES: Final[tuple[tuple[str, float, float, float, float], ...]] = (
    ("aa", 1.0, 0.22, 0.15, 0.55),
    ("ih", 0.34, 0.5, 0.0, 0.9),
    ("ou", 0.3, -0.85, 1.0, 0.0),
    ("ee", 0.42, 1.0, 0.0, 1.0),
    ("oh", 0.72, -0.42, 1.0, 0.1),
)


def _mouth(c: dict[str, float]) -> Mouth:
    total = max(1.0, sum(c[name] for name, *_ in _SHAPES))
    opened = wide = rounded = teeth = 0.0
    for name, o, w, r, t in _SHAPES:
        weight = c[name] / total
        opened, wide, rounded, teeth = opened + o * weight, wide + w * weight, rounded + r * weight, teeth + t * weight
    opened += 0.85 * c["jawOpen"] + 0.42 * c["happy"] + 0.5 * c["surprised"] + 0.12 * c["angry"]
    wide += 0.3 * c["happy"] - 0.4 * c["surprised"] + 0.12 * c["angry"] - 0.1 * c["sad"] - 0.75 * c["mouthPucker"]
    rounded += 0.85 * c["surprised"] + 0.8 * c["mouthPucker"]
    teeth += 0.3 * c["jawOpen"] + 0.5 * c["happy"] + 0.9 * c["angry"]
    # A pucker closes what is not opened on purpose.
    opened = clamp(opened) * (1.0 - 0.35 * c["mouthPucker"]) + 0.06 * c["mouthPucker"]
    return Mouth(clamp(opened), clamp(wide, -0.95, 1.0), clamp(rounded), clamp(teeth))
