"""Face, ears, brows, nose and mouth. Features are drawn flat and projected onto the surface of the face."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final

import numpy as np
import skia

from .canvas import FloatArray, argb, clamp, curve, fill, glow, lerp, open_up, seen_through, stroke
from .eyes import TUCKED, EyeLayer
from .faces import face_of, mouth_spot
from .features import brow_spine, brow_spot, lips, mouth_gape, mouth_roundness
from .identity import Identity
from .palette import hair_shades, mix, skin_shades
from .pose import Frame, Pose

LINE: Final = 0.026  # main line width in model units: about 1.5 px in a 256 px picture
OUTER: Final = 1.4  # outlines against the background or another layer, in main lines


def outline(who: Identity, jaw: float) -> FloatArray:
    """Control points [13, 3] of the contour of the face, from the right temple over the chin to the left."""
    w = 0.94 + 0.12 * who.face_width
    c, b = who.cheek - 0.5, who.chin - 0.4
    half = np.array(
        [
            (0.6, -0.72, 0.4),
            (0.865, -0.18, 0.3),
            (0.855, 0.2, 0.31),
            (0.755 + 0.05 * c + 0.03 * b, 0.56, 0.36),
            (0.5 + 0.07 * c + 0.12 * b, 0.84 + 0.02 * b + 0.55 * jaw, 0.44),
            (0.19 + 0.1 * b, 1.015 + 0.02 * b + jaw, 0.52),
        ]
    )
    face = face_of(who)
    half[:, 0] *= w * face.width
    half[:, 1] += np.clip(half[:, 1] - 0.2, 0, None) * (face.jaw - 1)
    half[3:6, 0] += np.array([0.03, 0.09, 0.08]) * face.square
    half[4, 1] -= 0.05 * face.square
    right = half * np.array([-1.0, 1.0, 1.0])
    tip = np.array([(0.0, 0.2 + 0.86 * face.jaw + jaw + 0.02 * who.chin - 0.015 * face.square, 0.54)])
    return np.concatenate([right, tip, half[::-1]])


class FaceLayer:
    """Draws one face in one pose.

    Call order is paint order: `skin`, then anything that shades the forehead, then `features`,
    then the hair, then `brow_holes` in the fringe.
    """

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.head: Frame = pose.head
        self.u = pose.head.unit
        self.ink = skin_shades(who.skin)
        self.face = face_of(who)
        self.eyes = EyeLayer(canvas, who, pose)
        points = self.head.at(outline(who, 0.085 * pose.mouth.open))
        self.contour = curve(points, closed=True)
        self.jaw_line = curve(points[1:12])

    def ears(self) -> None:
        """Ears, half hidden by the face."""
        for m in (-1, 1):
            shape = curve(
                self.head.at(
                    [
                        (m * 0.8, 0.02, 0.12),
                        (m * 0.94, -0.02, 0.04),
                        (m * 0.985, 0.14, 0.02),
                        (m * 0.93, 0.36, 0.08),
                        (m * 0.8, 0.47, 0.16),
                    ]
                ),
                closed=True,
            )
            self.canvas.drawPath(shape, fill(self.ink.base))
            self.canvas.drawPath(shape, stroke(self.ink.line, OUTER * LINE * self.u))
            inner = curve(self.head.at([(m * 0.87, 0.06, 0.12), (m * 0.935, 0.12, 0.07), (m * 0.88, 0.3, 0.12)]))
            self.canvas.drawPath(inner, stroke(self.ink.deep, LINE * self.u))

    def skin(self) -> None:
        """The face, its cel shade, blush and marks."""
        canvas, ink, u = self.canvas, self.ink, self.u
        canvas.drawPath(self.contour, fill(ink.base))
        canvas.save()
        canvas.clipPath(self.contour, True)
        self._shade()
        self._blush()
        canvas.restore()
        canvas.drawPath(self.jaw_line, stroke(ink.line, OUTER * LINE * u))

    def _shade(self) -> None:
        """Cel shade: the plane facing away from the light, a harder rim in it, and a glow along the lit jaw."""
        s, low = self.who.light, 0.5 + 0.5 * self.face.jaw
        square = 0.06 * self.face.square
        plane = (
            (0.9, -0.25, 0.32),
            (0.71, 0.1, 0.56),
            (0.7 + square, 0.46, 0.53),
            (0.53 + square, 0.75 * low, 0.56),
            (0.3, 0.99 * low, 0.56),
            (0.3, 1.4, 0.5),
            (1.1, 1.1, 0.3),
            (1.2, 0.2, 0.2),
        )
        rim = (
            (0.97, -0.1, 0.28),
            (0.815, 0.2, 0.4),
            (0.72 + square, 0.56 * low, 0.45),
            (0.44 + square, 0.88 * low, 0.53),
            (0.14, 1.045 * low, 0.57),
            (0.2, 1.4, 0.5),
            (0.9, 1.1, 0.3),
            (1.2, 0.2, 0.2),
        )
        lit = (
            (-0.9, 0.1, 0.3),
            (-0.815, 0.4, 0.38),
            (-0.59 - square, 0.78 * low, 0.46),
            (-0.63 - square, 0.7 * low, 0.48),
            (-0.79, 0.36, 0.4),
        )
        for shape, colour, alpha in (
            (plane, self.ink.shadow, 0.55),
            (rim, self.ink.shadow, 0.8),
            (lit, self.ink.light, 0.9),
        ):
            points = self.head.at([(s * x, y, z) for x, y, z in shape])
            self.canvas.drawPath(curve(points, closed=True), fill(colour, alpha))

    def _blush(self) -> None:
        who, canvas = self.who, self.canvas
        amount = clamp(who.blush_amount * 0.75 + self.pose.blush)
        for m in (-1, 1):
            canvas.save()
            canvas.concat(self.head.sheet((m * 0.53, 0.62, 0.58), (0.93, 0, -m * 0.36), (0, 1, -0.1)))
            canvas.scale(1.0, 0.55)
            tint = who.blush
            paint = glow(
                (0, 0), 0.27, (argb(tint, 0.62 * amount), argb(tint, 0.4 * amount), argb(tint, 0.0)), (0, 0.5, 1)
            )
            canvas.drawCircle(0, 0, 0.27, paint)
            canvas.scale(1.0, 1 / 0.55)
            if amount > 0.5:  # the small strokes of a full blush fade in
                fade = (amount - 0.5) * 1.3
                for i in (-1, 0, 1):
                    canvas.drawLine(
                        0.075 * i - 0.02,
                        0.035,
                        0.075 * i + 0.02,
                        -0.035,
                        stroke(mix(tint, "#d8404a", 0.4), 0.022, fade),
                    )
            if who.freckles:
                for dx, dy in ((-0.14, -0.02), (-0.06, 0.035), (-0.04, -0.045), (0.05, 0.0), (0.12, 0.045)):
                    canvas.drawCircle(dx - m * 0.05, dy - 0.03, 0.018, fill(self.ink.deep, 0.75 * who.freckles))
            canvas.restore()
        if who.mole:
            (x, y) = self.head.at([(who.mole * 0.5, 0.66, 0.62)])[0]
            canvas.drawCircle(x, y, 0.024 * self.u, fill(self.ink.line, 0.9))

    def inner(self, *, whole: bool) -> None:
        """What shows through openings of the head: eyeballs, the inside of the mouth.

        Args:
            whole: also where lids and lips hide it; otherwise it extends behind them by a line's width.
        """
        self.eyes.balls(whole=whole)
        self._inside_of_mouth(whole=whole)

    def features(self) -> None:
        """Nose, mouth and lids, with openings in what was painted before."""
        getattr(self, f"_nose_{self.face.nose}")(0.75 + 0.5 * self.who.nose, 0.5 + 0.5 * self.face.jaw)
        self._mouth()
        self.eyes.lids()

    def _nose_dot(self, size: float, low: float) -> None:  # noqa: ARG002
        x, y = self.head.at([(0.0, 0.6, 0.82)])[0]
        self.canvas.drawCircle(x, y, 0.02 * self.u, fill(self.ink.deep, 0.95))

    def _nose_wedge(self, size: float, low: float) -> None:
        u, s = self.u, self.who.light
        tip, under, side = self.head.at(
            [(0.0, 0.575 * low, 0.86), (0.0, 0.615 * low, 0.79), (s * 0.062 * size, 0.6 * low, 0.72)]
        )
        shade = curve([(tip[0], tip[1] - 0.01 * u), side, (under[0], under[1] + 0.022 * u)], closed=True, sharp=(0, 1))
        self.canvas.drawPath(shade, fill(self.ink.deep, 0.75))
        self.canvas.drawCircle(tip[0] - s * 0.02 * u, tip[1] - 0.035 * u, 0.02 * u, fill(self.ink.glow, 0.8))
        if self.who.nose > 0.55:  # a bridge for stronger noses, fading in with its size
            a, b = self.head.at([(s * 0.045, 0.36, 0.74), (s * 0.035, 0.5, 0.81)])
            self.canvas.drawPath(curve([a, b]), stroke(self.ink.deep, LINE * u, clamp((self.who.nose - 0.55) * 2.2)))

    def _nose_bridge(self, size: float, low: float) -> None:
        """A shadow beside the bridge and a short line under the tip."""
        s = self.who.light
        self._nose_shadow(size, low)
        under = [(-s * 0.06, 0.655 * low, 0.76), (0.0, 0.672 * low, 0.8), (s * 0.075 * size, 0.645 * low, 0.74)]
        self.canvas.drawPath(curve(self.head.at(under)), stroke(self.ink.line, 0.85 * LINE * self.u))

    def _nose_profile(self, size: float, low: float) -> None:
        """The line of the bridge down to the tip, as comics draw it."""
        s = self.who.light
        self._nose_shadow(size, low)
        line = [
            (s * 0.035, 0.4, 0.75),
            (s * 0.062, 0.53 * low, 0.83),
            (s * 0.05, 0.615 * low, 0.87),
            (-s * 0.035, 0.652 * low, 0.8),
        ]
        self.canvas.drawPath(curve(self.head.at(line)), stroke(self.ink.line, 0.85 * LINE * self.u))

    def _nose_shadow(self, size: float, low: float) -> None:
        s, head = self.who.light, self.head
        cast = [
            (s * 0.03, 0.34, 0.74),
            (s * 0.06, 0.52 * low, 0.84),
            (s * 0.02, 0.63 * low, 0.86),
            (s * 0.12 * size, 0.66 * low, 0.7),
            (s * 0.1, 0.5 * low, 0.66),
        ]
        self.canvas.drawPath(curve(head.at(cast), closed=True, sharp=(0, 2, 3)), fill(self.ink.shadow, 0.9))
        ridge = head.at([(-s * 0.015, 0.42, 0.78), (-s * 0.012, 0.56 * low, 0.88)])
        self.canvas.drawPath(curve(ridge), stroke(self.ink.glow, 1.2 * LINE * self.u, 0.7))

    # ------------------------------------------------------------------------------------------------ mouth

    def _mouth(self) -> None:
        canvas, pose, who = self.canvas, self.pose, self.who
        shape = pose.mouth
        canvas.save()
        canvas.concat(self.head.sheet(*mouth_spot(who)))
        upper, lower = lips(who, pose)
        w = upper[-1][0]
        line = mix(self.ink.line, "#7a1a2c", 0.3)
        if self.face.lips > 0:
            self._lips(upper, lower)
        if mouth_gape(pose) > SHUT:
            path = self._opening(upper, lower)
            open_up(canvas, path)
            canvas.drawPath(path, stroke(line, 0.027))
        else:
            canvas.drawPath(curve(upper, round_=0.34), stroke(line, 0.031))
        # Small dark commas in the corners, as inkers do; they shrink as the mouth rounds.
        dot = 0.018 * (1 - shape.round)
        for x, y in (upper[0], upper[-1]):
            canvas.drawCircle(x, y, max(dot, 0.004), fill(line))
        under = lower[3][1] + 0.075
        canvas.drawPath(
            curve([(-w * 0.3, under), (0, under + 0.01), (w * 0.3, under)]), stroke(self.ink.deep, 0.026, 0.6)
        )
        canvas.restore()

    def _opening(self, upper: list[tuple[float, float]], lower: list[tuple[float, float]]) -> Any:
        corners = NO_CORNERS if self.pose.mouth.round > 0.6 else (0, 6)
        return curve(upper + lower[-2:0:-1], closed=True, sharp=corners, round_=0.34)

    def _inside_of_mouth(self, *, whole: bool) -> None:
        """What shows between the lips; see `inner`."""
        if mouth_gape(self.pose) <= SHUT:
            return
        canvas = self.canvas
        canvas.save()
        canvas.concat(self.head.sheet(*mouth_spot(self.who)))
        upper, lower = lips(self.who, self.pose)
        path = self._opening(upper, lower)
        with nullcontext() if whole else seen_through(canvas, path, beyond=TUCKED):
            canvas.drawPath(path, stroke(INSIDE, 2 * MARGIN))
            canvas.drawPath(path, fill(INSIDE))
            self._tongue_and_teeth(upper, lower, bared=whole)
        canvas.restore()

    def _tongue_and_teeth(
        self, upper: list[tuple[float, float]], lower: list[tuple[float, float]], *, bared: bool
    ) -> None:
        """Tongue and teeth: an upper row, and where a mouth shows many teeth, a lower one that meets it.

        They extend behind the lips by `MARGIN`.

        Args:
            upper: points of the upper lip.
            lower: points of the lower lip.
            bared: teeth at full white, not in the shade of the lips.
        """
        canvas, shape = self.canvas, self.pose.mouth
        w, gape, roundness = upper[-1][0], mouth_gape(self.pose), mouth_roundness(self.pose)
        deep = max(y for _, y in lower)
        canvas.drawOval(skia.Rect(-w * 0.72, deep - gape * 0.48, w * 0.72, deep + gape * 0.5), fill(TONGUE))
        strength = BARED if bared else clamp(shape.teeth * 1.6) * (1 - 0.8 * roundness)
        if strength <= 0.01:
            return
        shown = clamp(shape.teeth - shape.open * 1.1 + 0.2)
        bite = lerp(0.24, 0.6, shown) * gape + 0.012
        row = [(x, y - MARGIN) for x, y in upper]
        row += [(x, y + bite * (0.75 + 0.25 * (1 - (x / w) ** 2))) for x, y in reversed(upper)]
        canvas.drawPath(curve(row, closed=True, sharp=(0, 6, 7, 13)), fill(TEETH, strength))
        below = clamp((shown - 0.5) * 2.5)
        if below > 0.01:
            reach = lerp(0.0, 0.36, below) * gape
            row = [(x, y - reach) for x, y in lower] + [(x, y + MARGIN) for x, y in reversed(lower)]
            canvas.drawPath(curve(row, closed=True, sharp=(0, 6, 7, 13)), fill(TEETH, strength))

    def _lips(self, upper: list[tuple[float, float]], lower: list[tuple[float, float]]) -> None:
        """A tint around the mouth."""
        tint = mix(self.who.blush, "#b03045", 0.4)
        w = upper[-1][0]
        under = [(x * 0.95, y + 0.002) for x, y in lower[1:-1]]
        full = [(x * 0.86, y + 0.05 + 0.02 * (1 - abs(x) / w)) for x, y in reversed(lower[1:-1])]
        path = curve(under + full, closed=True, sharp=(0, len(under) - 1))
        self.canvas.drawPath(path, fill(tint, 0.5 * self.face.lips))
        over = [(x * 0.95, y) for x, y in upper[1:-1]]
        bow = [(x * 0.84, y - 0.036) for x, y in reversed(upper[1:-1])]
        path = curve(over + bow, closed=True, sharp=(0, len(over) - 1))
        self.canvas.drawPath(path, fill(mix(tint, "#6a1530", 0.3), 0.5 * self.face.lips))

    # ------------------------------------------------------------------------------------------------ brows

    def brows(self) -> None:
        """Brows."""
        hair = hair_shades(self.who.hair)
        self._brows(fill(mix(hair.line, hair.deep, 0.25)))

    def brow_holes(self, alpha: float) -> None:
        """Make the paint over the brows more transparent by this much: they show through the hair."""
        self._brows(skia.Paint(Color4f=skia.Color4f(0, 0, 0, alpha), AntiAlias=True, BlendMode=skia.BlendMode.kDstOut))

    def _brows(self, paint: Any) -> None:
        canvas, who = self.canvas, self.who
        for m, side in ((-1, self.pose.right), (1, self.pose.left)):
            canvas.save()
            canvas.concat(self.head.sheet(*brow_spot(who, m)))
            canvas.scale(m, 1)
            spine = brow_spine(who, side)
            thick = (0.017 + 0.027 * who.brow_thickness) * self.face.brow
            body = ((0.75, 1.0), (1.0, 1.0), (0.9, 0.9), (0.15, 0.15))
            shape = [(x, y - thick * t) for (x, y), (t, _) in zip(spine, body, strict=True)]
            shape += [(x, y + thick * b) for (x, y), (_, b) in reversed(list(zip(spine, body, strict=True)))]
            canvas.drawPath(curve(shape, closed=True, sharp=(3, 4)), paint)
            canvas.restore()


SHUT: Final = 0.004  # up to here lips show nothing of the inside
MARGIN: Final = 0.18  # of the inside of a mouth beyond lips that are open
NO_CORNERS: Final[tuple[int, ...]] = ()
INSIDE: Final = "#7d2036"
TONGUE: Final = "#ee7c86"
TEETH: Final = "#fffaf6"
BARED: Final = 0.92  # how much of the inside the teeth cover at most
