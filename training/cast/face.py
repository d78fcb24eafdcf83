"""Face, ears, eyes, brows, nose and mouth. Features are drawn flat and laid on the surface of the face."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import skia

from .canvas import FloatArray, argb, blend, clamp, curve, fill, glow, lerp, stroke
from .identity import Identity
from .palette import hair_shades, mix, skin_shades, tinted
from .pose import Frame, Pose, Side

LINE: Final = 0.026  # main line width in model units: about 1.5 px in a 256 px picture
# Lids from the inner to the outer corner, x outward, y down, in model units.
_LIDS: Final[dict[str, tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]]] = {
    "round": (
        ((-0.215, 0.055), (-0.155, -0.115), (0.0, -0.205), (0.165, -0.14), (0.25, 0.05)),
        ((-0.185, 0.135), (-0.105, 0.212), (0.02, 0.238), (0.14, 0.2), (0.232, 0.1)),
    ),
    "almond": (
        ((-0.235, 0.085), (-0.15, -0.07), (0.01, -0.168), (0.17, -0.125), (0.265, 0.03)),
        ((-0.2, 0.135), (-0.11, 0.197), (0.02, 0.215), (0.145, 0.175), (0.24, 0.075)),
    ),
    "tareme": (
        ((-0.22, 0.035), (-0.145, -0.125), (0.0, -0.195), (0.165, -0.12), (0.258, 0.105)),
        ((-0.195, 0.11), (-0.115, 0.197), (0.02, 0.235), (0.145, 0.222), (0.238, 0.15)),
    ),
    "tsurime": (
        ((-0.23, 0.125), (-0.15, -0.04), (0.01, -0.165), (0.17, -0.155), (0.272, -0.035)),
        ((-0.195, 0.165), (-0.105, 0.208), (0.02, 0.216), (0.15, 0.17), (0.245, 0.035)),
    ),
}


def eye_spot(m: int) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
    """Origin and axes of the flat sheet on which an eye is drawn; m is 1 for the left eye (+x), -1 for the right."""
    return (m * 0.415, 0.335, 0.63), (0.97, 0.0, -m * 0.2), (0.0, 1.0, -0.04)


def mouth_spot() -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
    """Origin and axes of the sheet of the mouth."""
    return (0.0, 0.785, 0.72), (1.0, 0.0, 0.0), (0.0, 1.0, -0.12)


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
    half[:, 0] *= w
    right = half * np.array([-1.0, 1.0, 1.0])
    tip = np.array([(0.0, 1.06 + jaw + 0.02 * who.chin, 0.54)])
    return np.concatenate([right, tip, half[::-1]])


class FaceLayer:
    """Draws one face in one pose.

    The order of the calls is the order of the paint: `skin`, then whatever shades the forehead, then `features`,
    then the hair, then `brows` once more through the fringe.
    """

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.head: Frame = pose.head
        self.u = pose.head.unit
        self.ink = skin_shades(who.skin)
        points = self.head.at(outline(who, 0.085 * pose.mouth.open))
        self.contour = curve(points, closed=True)
        self.jaw_line = curve(points[1:12])

    def ears(self) -> None:
        """Ears, half behind the face."""
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
            self.canvas.drawPath(shape, stroke(self.ink.line, LINE * self.u))
            inner = curve(self.head.at([(m * 0.87, 0.06, 0.12), (m * 0.935, 0.12, 0.07), (m * 0.88, 0.3, 0.12)]))
            self.canvas.drawPath(inner, stroke(self.ink.deep, LINE * self.u))

    def skin(self) -> None:
        """The face, its cel shade, blush and marks."""
        canvas, ink, u = self.canvas, self.ink, self.u
        canvas.drawPath(self.contour, fill(ink.base))
        canvas.save()
        canvas.clipPath(self.contour, True)
        # A crescent of shade along the side away from the light (light comes from the viewer's upper left).
        rim = curve(
            self.head.at(
                [
                    (0.95, -0.3, 0.3),
                    (0.79, 0.2, 0.42),
                    (0.69, 0.56, 0.46),
                    (0.42, 0.87, 0.55),
                    (0.1, 1.04, 0.58),
                    (0.2, 1.3, 0.5),
                    (0.9, 1.0, 0.3),
                    (1.2, 0.2, 0.2),
                ]
            ),
            closed=True,
        )
        canvas.drawPath(rim, fill(ink.shadow, 0.55))
        self._blush()
        canvas.restore()
        canvas.drawPath(self.jaw_line, stroke(ink.line, LINE * u))

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
            if amount > 0.5:  # the little strokes of a proper blush fade in
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

    def features(self) -> None:
        """Nose, mouth and eyes."""
        self._nose()
        self._mouth()
        for m, side, iris in ((-1, self.pose.right, self.who.iris_right), (1, self.pose.left, self.who.iris_left)):
            self._eye(m, side, iris)

    def _nose(self) -> None:
        size, u = 0.75 + 0.5 * self.who.nose, self.u
        tip, under, side = self.head.at([(0.0, 0.575, 0.86), (0.0, 0.615, 0.79), (0.062 * size, 0.6, 0.72)])
        shade = curve([(tip[0], tip[1] - 0.01 * u), side, (under[0], under[1] + 0.022 * u)], closed=True, sharp=(0, 1))
        self.canvas.drawPath(shade, fill(self.ink.deep, 0.75))
        self.canvas.drawCircle(tip[0] - 0.02 * u, tip[1] - 0.035 * u, 0.02 * u, fill(self.ink.glow, 0.8))
        if self.who.nose > 0.55:  # a bridge for stronger noses, fading in with its size
            a, b = self.head.at([(0.045, 0.36, 0.74), (0.035, 0.5, 0.81)])
            self.canvas.drawPath(curve([a, b]), stroke(self.ink.deep, LINE * u, clamp((self.who.nose - 0.55) * 2.2)))

    # ------------------------------------------------------------------------------------------------ mouth

    def _mouth(self) -> None:
        canvas, pose, who = self.canvas, self.pose, self.who
        shape = pose.mouth
        canvas.save()
        canvas.concat(self.head.sheet(*mouth_spot()))
        w = (0.152 + 0.055 * who.mouth_width) * (1 + (0.42 if shape.wide > 0 else 0.5) * shape.wide)
        w *= 1 + 0.1 * clamp(pose.left.smile + pose.right.smile, 0, 2) - 0.12 * shape.open * shape.round
        gape = 0.275 * shape.open
        roundness = clamp(shape.round + 0.1)
        upper: list[tuple[float, float]] = []
        lower: list[tuple[float, float]] = []
        for s in (-1.0, -0.88, -0.52, 0.0, 0.52, 0.88, 1.0):
            smile = pose.left.smile if s > 0 else pose.right.smile
            centre = 0.5 * (pose.left.smile + pose.right.smile)
            rise = 0.072 * smile * (1 - 0.45 * shape.round) * (1 - 0.25 * shape.open)
            y = -rise * abs(s) ** 1.9 + 0.024 * centre
            bow = max(0.0, 1 - s * s)
            lift = gape * (0.08 + 0.42 * roundness) * bow**0.5
            drop = gape * (0.92 - 0.42 * roundness) * bow ** lerp(0.75, 0.5, roundness)
            upper.append((s * w, y - lift))
            lower.append((s * w, y + drop))
        line = mix(self.ink.line, "#8c1f33", 0.35)
        corners = NO_CORNERS if shape.round > 0.6 else (0, 6)
        if gape > 0.004:
            path = curve(upper + lower[-2:0:-1], closed=True, sharp=corners, round_=0.34)
            inside, tongue = "#8e2a3c", "#ef7f86"
            canvas.drawPath(path, fill(inside))
            canvas.save()
            canvas.clipPath(path, True)
            deep = max(y for _, y in lower)
            canvas.drawOval(skia.Rect(-w * 0.72, deep - gape * 0.48, w * 0.72, deep + gape * 0.5), fill(tongue))
            strength = clamp(shape.teeth * 1.6) * (1 - 0.8 * roundness)
            if strength > 0.01:
                bite = lerp(0.24, 0.62, clamp(shape.teeth - shape.open * 1.1 + 0.2)) * gape + 0.012
                row = upper + [(x, y + bite * (0.75 + 0.25 * (1 - (x / w) ** 2))) for x, y in reversed(upper)]
                canvas.drawPath(curve(row, closed=True, sharp=(0, 6, 7, 13)), fill("#fffaf6", strength))
            canvas.restore()
            canvas.drawPath(path, stroke(line, 0.024))
        else:
            canvas.drawPath(curve(upper, round_=0.34), stroke(line, 0.027))
        # Small dark commas in the corners, as inkers do; they shrink as the mouth rounds.
        dot = 0.017 * (1 - shape.round)
        for x, y in (upper[0], upper[-1]):
            canvas.drawCircle(x, y, max(dot, 0.004), fill(line))
        under = lower[3][1] + 0.075
        canvas.drawPath(
            curve([(-w * 0.3, under), (0, under + 0.01), (w * 0.3, under)]), stroke(self.ink.deep, 0.026, 0.6)
        )
        canvas.restore()

    # ------------------------------------------------------------------------------------------------- eyes

    def _eye(self, m: int, side: Side, iris: str) -> None:
        canvas, who = self.canvas, self.who
        canvas.save()
        canvas.concat(self.head.sheet(*eye_spot(m)))
        canvas.scale(m * (0.94 + 0.2 * who.eye_size), 0.78 + 0.42 * who.eye_size)  # from here on +x is outward
        up0, low0, shut0, arch0 = _lid_curves(who.eye_shape)
        shut = shut0 + (arch0 - shut0) * side.arch
        fold = np.array([0.075, 0.05, 0.005, -0.03, -0.05]) * side.slant
        fold = np.where(fold > 0, fold, fold * 0.9)
        opened = up0 + np.stack([np.zeros(5), fold + 0.035 * np.abs(side.slant)], axis=1)
        up = shut + (opened - shut) * side.lid
        low_open = low0 - np.array([0.0, 0.085]) * side.squint * np.array([[0.35], [0.9], [1.0], [0.9], [0.35]])
        low = shut + (low_open - shut) * clamp(side.lid * 1.15)
        upper, lower = up.tolist(), low.tolist()
        self._crease(opened, up)
        if side.lid > 0.03:
            self._eyeball(m, upper, lower, iris, side)
        self._lashes(upper, lower, side)
        canvas.restore()

    def _eyeball(self, m: int, upper: list[list[float]], lower: list[list[float]], iris: str, side: Side) -> None:
        canvas = self.canvas
        ball = curve(upper + lower[::-1], closed=True, sharp=(0, 4, 5, 9))
        canvas.save()
        canvas.clipPath(ball, True)
        canvas.drawPaint(fill("#fffdfc" if self.who.skin > "#b" else "#faf3ec"))
        gx, gy = self.pose.gaze
        tall = 1.0 / (0.78 + 0.42 * self.who.eye_size)  # keeps highlights round however the eye is scaled
        x, y = 0.012 + m * gx * 0.088, 0.022 + gy * 0.082
        rx, ry = 0.158 * side.iris, 0.2 * side.iris
        canvas.save()
        canvas.translate(x, y)
        disc = skia.Rect(-rx, -ry, rx, ry)
        rim = tinted(iris, (0.34, 0.3, 0.42))
        dark, light = tinted(iris, (0.5, 0.46, 0.6)), mix(iris, "#ffffff", 0.5)
        canvas.drawOval(disc, fill(rim))
        inner = skia.Rect(-rx + 0.02, -ry + 0.02, rx - 0.02, ry - 0.02)
        canvas.drawOval(
            inner, blend((0, -ry), (0, ry), (argb(rim), argb(dark), argb(iris), argb(light)), (0.05, 0.32, 0.62, 0.98))
        )
        # Light that has passed the lens gathers opposite to the window.
        canvas.drawOval(
            skia.Rect(-rx * 0.68, ry * 0.22, rx * 0.68, ry * 0.9),
            glow((0, ry * 0.66), ry * 0.55, (argb(mix(iris, "#ffffff", 0.75), 0.95), argb(light, 0.0))),
        )
        canvas.drawOval(skia.Rect(-rx * 0.4, -ry * 0.42, rx * 0.4, ry * 0.36), fill(tinted(iris, (0.2, 0.17, 0.28))))
        canvas.restore()
        # The shade of the upper lid lies on the ball, under the highlights.
        shade = [[px, py + 0.062] for px, py in upper] + [[px, py - 0.05] for px, py in reversed(upper)]
        canvas.drawPath(curve(shade, closed=True), fill("#57406f", 0.36))
        canvas.translate(x, y)
        glint = 0.062 * (0.75 + 0.25 * side.iris)
        canvas.drawOval(
            skia.Rect(-m * 0.062 - glint, -0.105 - glint * tall, -m * 0.062 + glint, -0.105 + glint * tall),
            fill("#ffffff"),
        )
        canvas.drawOval(
            skia.Rect(m * 0.075 - 0.03, 0.085 - 0.03 * tall, m * 0.075 + 0.03, 0.085 + 0.03 * tall),
            fill("#ffffff", 0.92),
        )
        canvas.restore()

    def _crease(self, opened: FloatArray, up: FloatArray) -> None:
        """The fold of the upper lid stays near the brow while the lid comes down."""
        line = (0.75 * opened + 0.25 * up)[1:] + np.array(
            [(-0.03, -0.07), (0.0, -0.07), (0.02, -0.065), (0.015, -0.055)]
        )
        self.canvas.drawPath(curve(line.tolist()), stroke(mix(self.ink.line, self.ink.deep, 0.5), 0.022, 0.75))

    def _lashes(self, upper: list[list[float]], lower: list[list[float]], side: Side) -> None:
        canvas, who = self.canvas, self.who
        ink = mix(tinted(who.hair, (0.3, 0.24, 0.34)), "#2a1a2c", 0.62)
        weight = 0.042 + 0.03 * who.lash
        ends = (0.3, 0.8, 1.0, 1.08, 0.75)
        flick = 0.03 + 0.05 * who.lash
        outer = upper[4]
        top = [[x + 0.012 * i * 0.5, y - weight * e] for i, ((x, y), e) in enumerate(zip(upper, ends, strict=True))]
        wing = [outer[0] + flick, outer[1] - 0.012 - 0.35 * flick * clamp(side.lid) + 0.01]
        under = [[x, y + 0.014] for x, y in reversed(upper)]
        lash = [*top, wing, *under]
        canvas.drawPath(curve(lash, closed=True, sharp=(0, 5, 10)), fill(ink))
        if who.lash > 0.3:  # two separate lashes at the outer corner
            reach = (who.lash - 0.3) * 0.14
            x, y = upper[3]
            mid = [(x + outer[0]) / 2 + 0.012, (y + outer[1]) / 2 - weight * 0.7]
            spike = [
                [mid[0] - 0.03, mid[1] - 0.015],
                [mid[0] + reach, mid[1] - reach * 0.75],
                [mid[0] + 0.03, mid[1] + 0.04],
            ]
            canvas.drawPath(curve(spike, closed=True, sharp=(0, 1, 2)), fill(ink))
        # The lower lid shows only outside; it fades as the eye closes onto it.
        seen = clamp(side.lid * 3.0)
        if seen > 0.01:
            canvas.drawPath(curve(lower[2:]), stroke(ink, 0.024, 0.85 * seen))
            canvas.drawPath(curve(lower[:3]), stroke(mix(self.ink.line, self.ink.deep, 0.4), 0.02, 0.5 * seen))

    # ------------------------------------------------------------------------------------------------ brows

    def brows(self, alpha: float = 1.0) -> None:
        """Brows; drawn a second time over the fringe with a low alpha, they read through the hair."""
        canvas, who = self.canvas, self.who
        ink = mix(hair_shades(who.hair).line, hair_shades(who.hair).deep, 0.25)
        for m, side in ((-1, self.pose.right), (1, self.pose.left)):
            canvas.save()
            canvas.concat(
                self.head.sheet((m * 0.42, -0.01 + 0.03 * (1 - who.eye_size), 0.7), (0.96, 0, -m * 0.24), (0, 1, -0.02))
            )
            canvas.scale(m, 1)
            lift, tilt = -0.115 * side.brow_raise, clamp(side.brow_tilt + 0.25 * who.brow_tilt, -1.2, 1.2)
            thick = 0.016 + 0.026 * who.brow_thickness
            spine = [
                (-0.19 - 0.02 * tilt, -0.012 + 0.115 * tilt + lift * 0.8),
                (-0.05 - 0.01 * tilt, -0.042 + 0.045 * tilt + lift),
                (0.12, -0.038 - 0.035 * tilt + lift * 1.05),
                (0.265, 0.03 - 0.075 * tilt + lift * 0.9),
            ]
            body = ((0.75, 1.0), (1.0, 1.0), (0.9, 0.9), (0.15, 0.15))
            shape = [(x, y - thick * t) for (x, y), (t, _) in zip(spine, body, strict=True)]
            shape += [(x, y + thick * b) for (x, y), (_, b) in reversed(list(zip(spine, body, strict=True)))]
            canvas.drawPath(curve(shape, closed=True, sharp=(3, 4)), fill(ink, alpha))
            canvas.restore()


NO_CORNERS: Final[tuple[int, ...]] = ()


@lru_cache(maxsize=8)
def _lid_curves(shape: str) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Upper and lower lid when open, the closed line, and the happy arch; each [5, 2]."""
    up, low = (np.array(points) for points in _LIDS[shape])
    x = up[:, 0]
    hang = 1.0 - (x / 0.26) ** 2
    corner = 0.5 * (up[:, 1] + low[:, 1])
    # Straight between the corners, plus a belly: a calm line whatever the shape of the open eye.
    chord = np.interp(x, (x[0], x[-1]), (0.35 * corner[0] + 0.085, 0.5 * corner[-1] + 0.06))
    shut = np.stack([x * 1.02, chord + 0.075 * np.clip(hang, 0, 1)], axis=1)
    arch = np.stack([x * 1.02, chord + 0.05 - 0.15 * np.clip(hang, 0, 1)], axis=1)
    return up, low, shut, arch
