"""Head accessories. Each has its place in the layer order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import skia

from .ball import on_ball
from .canvas import FloatArray, clamp, curve, fill, stroke
from .face import LINE
from .faces import eye_spot
from .hair import HairLayer, strand
from .identity import Identity
from .palette import cloth_shades, hair_shades, mix, skin_shades
from .pose import Pose

BowPoint = tuple[float, float, float]  # across, down, how far the sway moves it


class AccessoryLayer:
    """Draws the accessories of one character in one pose."""

    def __init__(self, canvas: Any, who: Identity, pose: Pose, hair: HairLayer) -> None:
        self.canvas, self.who, self.pose, self.hair = canvas, who, pose, hair
        self.u = pose.head.unit
        self.ink = cloth_shades(who.accent)

    def behind(self) -> None:
        """After the back of the hair, before body and face."""
        if "catEars" in self.who.accessories:
            self._cat_ears()
        if "headphones" in self.who.accessories:
            self._cups(front=False)

    def on_face(self) -> None:
        """After the eyes, under the fringe."""
        if "glasses" in self.who.accessories:
            self._glasses()

    def on_hair(self) -> None:
        """On top of everything."""
        if "headphones" in self.who.accessories:
            self._band()
            self._cups(front=True)
        if "hairPin" in self.who.accessories:
            self._pin()
        if "ribbon" in self.who.accessories:
            self._ribbon()

    def _cat_ears(self) -> None:
        hair, inner = hair_shades(self.who.hair), mix(skin_shades(self.who.skin).shadow, self.who.blush, 0.45)
        for m in (-1, 1):
            outer = np.array(
                [
                    (m * 0.2, -1.05, -0.05, 0, 0),
                    (m * 0.5, -1.42, -0.05, 0.1, 0),
                    (m * 0.84, -1.62, -0.05, 0.3, 0),
                    (m * 0.99, -1.2, -0.05, 0.1, 0),
                    (m * 0.98, -0.6, -0.05, 0, 0),
                ]
            )
            path = curve(self.hair.strand(outer), closed=True, sharp=(0, 2, 4))
            self.canvas.drawPath(path, fill(hair.base))
            self.canvas.drawPath(path, stroke(hair.line, LINE * self.u))
            core = np.array(
                [
                    (m * 0.48, -1.08, 0.0, 0, 0),
                    (m * 0.64, -1.34, 0.0, 0.1, 0),
                    (m * 0.81, -1.46, 0.0, 0.25, 0),
                    (m * 0.89, -1.16, 0.0, 0.1, 0),
                    (m * 0.86, -0.8, 0.0, 0, 0),
                ]
            )
            self.canvas.drawPath(curve(self.hair.strand(core), closed=True, sharp=(0, 2, 4)), fill(inner))

    def _cups(self, *, front: bool) -> None:
        for m in (-1, 1):
            # Seen from the far side a cup sinks behind the hair; it fades so that it never pops.
            facing = -m * float(self.pose.head.turn[0, 2])
            alpha = clamp(1 + (facing + 0.02) * 3.2) if front else 1.0
            if alpha <= 0.0:
                continue
            x, y = self.pose.head.at([(m * 1.1, 0.12, 0.02)])[0]
            wide, tall = (0.17 + 0.26 * clamp(facing)) * self.u, 0.34 * self.u
            self.canvas.save()
            self.canvas.translate(x, y)
            self.canvas.rotate(float(np.degrees(self.hair.ball.roll)))
            for grow, colour in ((1.0, self.ink.base), (0.62, self.ink.shadow)):
                box = skia.Rect(-wide * grow, -tall * grow, wide * grow, tall * grow)
                self.canvas.drawRoundRect(box, wide * grow, tall * grow * 0.7, fill(colour, alpha))
                self.canvas.drawRoundRect(
                    box, wide * grow, tall * grow * 0.7, stroke(self.ink.line, 0.025 * self.u, alpha)
                )
            self.canvas.restore()

    def _band(self) -> None:
        arc = self.hair.ball.ring([(-172 + 164 * i / 10, 1.035, 0.0) for i in range(11)])
        path = curve(arc)
        self.canvas.drawPath(path, stroke(self.ink.line, 0.15 * self.u))
        self.canvas.drawPath(path, stroke(self.ink.base, 0.1 * self.u))
        self.canvas.drawPath(
            curve(self.hair.ball.ring([(-150 + 70 * i / 6, 1.05, 0.0) for i in range(7)])),
            stroke(self.ink.light, 0.032 * self.u),
        )

    def _glasses(self) -> None:
        frame, colour = self.pose.head, mix(self.who.accent, "#2a2433", 0.62)
        canvas = self.canvas
        for m in (-1, 1):
            canvas.save()
            spot, across, down = eye_spot(self.who, m)
            canvas.concat(frame.sheet((spot[0] * 1.01, spot[1] + 0.035, spot[2] + 0.06), across, down))
            box = skia.Rect(-0.335, -0.27, 0.335, 0.29)
            canvas.drawRoundRect(box, 0.22, 0.21, fill("#eef6ff", 0.14))
            canvas.drawRoundRect(box, 0.22, 0.21, stroke(colour, 0.032))
            canvas.restore()
            self._bar([(m * 0.745, 0.3, 0.62), (m * 0.9, 0.22, 0.2)], colour)
        self._bar([(-0.09, 0.33, 0.75), (0, 0.3, 0.78), (0.09, 0.33, 0.75)], colour)

    def _bar(self, spots: list[tuple[float, float, float]], colour: str) -> None:
        self.canvas.drawPath(curve(self.pose.head.at(spots)), stroke(colour, 0.032 * self.u))

    def _pin(self) -> None:
        s = -self.who.hair_side
        at = on_ball(44 * s, -0.3, 0.02)
        self.canvas.save()
        self.canvas.concat(self.pose.head.sheet(at, (0.74, 0, -0.62 * s), (-0.1 * s, 0.97, 0.2)))
        star = [
            (0.165 * q * float(np.sin(i * np.pi / 5)), -0.165 * q * float(np.cos(i * np.pi / 5)))
            for i in range(10)
            for q in ((1.0 if i % 2 == 0 else 0.56),)
        ]
        path = curve(star, closed=True, round_=0.16)
        self.canvas.drawPath(path, fill(self.ink.light))
        self.canvas.drawPath(path, stroke(self.ink.line, 0.026))
        self.canvas.drawCircle(-0.035, -0.045, 0.03, fill("#ffffff", 0.85))
        self.canvas.restore()

    def _ribbon(self) -> None:
        ink, canvas = self.ink, self.canvas

        def part(points: list[BowPoint]) -> list[list[float]]:
            return self.hair.strand(_bow(self.who, points))

        for tail in (
            [(0.0, 0.0, 0), (0.26, 0.3, 0.3), (0.34, 0.56, 0.7), (0.2, 0.5, 0.6), (0.12, 0.58, 0.7), (0.06, 0.3, 0.3)],
            [
                (0.0, 0.0, 0),
                (-0.06, 0.3, 0.3),
                (-0.14, 0.52, 0.7),
                (-0.24, 0.44, 0.6),
                (-0.34, 0.46, 0.7),
                (-0.2, 0.22, 0.3),
            ],
        ):
            path = curve(part(tail), closed=True, sharp=(0, 2, 3, 4))
            canvas.drawPath(path, fill(ink.shadow))
            canvas.drawPath(path, stroke(ink.line, LINE * self.u))
        for m in (-1, 1):
            loop = curve(
                part(
                    [
                        (0.02 * m, -0.06, 0),
                        (m * 0.26, -0.27, 0.06),
                        (m * 0.46, -0.22, 0.1),
                        (m * 0.47, 0.08, 0.14),
                        (m * 0.28, 0.16, 0.08),
                        (0.02 * m, 0.06, 0),
                    ]
                ),
                closed=True,
                sharp=(0, 5),
            )
            canvas.drawPath(loop, fill(ink.base))
            fold = curve(
                part([(0.04 * m, 0.0, 0), (m * 0.2, -0.04, 0.05), (m * 0.32, -0.02, 0.08), (m * 0.2, 0.05, 0.05)]),
                closed=True,
                sharp=(0, 2),
            )
            canvas.drawPath(fold, fill(ink.deep))
            canvas.drawPath(loop, stroke(ink.line, LINE * self.u))
        knot = curve(part([(-0.09, -0.08, 0), (0.09, -0.08, 0), (0.1, 0.09, 0), (-0.1, 0.09, 0)]), closed=True)
        canvas.drawPath(knot, fill(ink.light))
        canvas.drawPath(knot, stroke(ink.line, LINE * self.u))


def ribbon_points(who: Identity, pose: Pose) -> tuple[FloatArray, bool]:
    """Trackable points of a ribbon.

    Args:
        who: the character.
        pose: the pose.

    Returns:
        Pixels [n, 2], the same number for every character, and whether there is a ribbon.
    """
    return strand(pose, _bow(who, _FOLLOWED)), "ribbon" in who.accessories


def under_ribbon(who: Identity, spots: FloatArray) -> npt.NDArray[np.bool_]:
    """Which points of the head, [n, 3], a ribbon hides."""
    away = np.linalg.norm(spots - _knot_of(who), axis=1)
    return np.asarray((away < _HIDES) & ("ribbon" in who.accessories))


def _knot_of(who: Identity) -> FloatArray:
    return np.array([-who.hair_side * 0.66, -0.88, 0.42])


def _bow(who: Identity, points: Sequence[BowPoint]) -> FloatArray:
    """Points of a bow as free hair, [n, 5]: it is drawn leaning outward with the roundness of the head."""
    s, (cx, cy, cz) = -who.hair_side, _knot_of(who).tolist()
    rows = [(cx + s * x * 0.82 - s * y * 0.36, cy + y * 0.86 + x * 0.42, cz - 0.25 * x, w, 0.0) for x, y, w in points]
    return np.array(rows)


_HIDES: Final = 0.55
_FOLLOWED: Final[tuple[BowPoint, ...]] = (
    (0.0, 0.0, 0.0),
    *(
        (m * x, y, sway)
        for m in (-1, 1)
        for x, y, sway in ((0.26, -0.27, 0.06), (0.46, -0.22, 0.1), (0.47, 0.08, 0.14))
    ),
    *((m * 0.28, 0.16, 0.08) for m in (-1, 1)),
    *((0.34, 0.56, 0.7), (0.2, 0.5, 0.6), (-0.14, 0.52, 0.7), (-0.34, 0.46, 0.7)),
)
