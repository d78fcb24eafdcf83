"""Eyes: lids, lashes, and the iris in its styles. Drawn flat on a sheet of `faces.eye_spot`, from the nose outward."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final

import numpy as np
import skia

from .canvas import FloatArray, argb, blend, clamp, curve, fill, glow, open_up, seen_through, stroke
from .faces import eye_scale, eye_spot, face_of
from .identity import EyeShape, Identity
from .palette import mix, skin_shades, tinted
from .pose import Pose, Side

_Lid = tuple[tuple[float, float], ...]
# Upper and lower lid from the inner to the outer corner, x outward, y down, in model units.
_LIDS: Final[dict[EyeShape, tuple[_Lid, _Lid]]] = {
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
    "doll": (
        ((-0.205, 0.045), (-0.16, -0.155), (-0.005, -0.235), (0.16, -0.175), (0.24, 0.03)),
        ((-0.19, 0.14), (-0.12, 0.228), (0.01, 0.25), (0.135, 0.218), (0.228, 0.1)),
    ),
    "sleepy": (
        ((-0.23, 0.06), (-0.145, -0.06), (0.01, -0.105), (0.175, -0.075), (0.262, 0.07)),
        ((-0.2, 0.13), (-0.11, 0.2), (0.02, 0.225), (0.145, 0.2), (0.242, 0.12)),
    ),
    "sharp": (
        ((-0.245, 0.12), (-0.16, -0.015), (0.0, -0.12), (0.175, -0.135), (0.285, -0.01)),
        ((-0.205, 0.155), (-0.105, 0.192), (0.03, 0.198), (0.16, 0.155), (0.258, 0.045)),
    ),
    "flat": (
        ((-0.225, 0.03), (-0.16, -0.105), (0.0, -0.14), (0.17, -0.125), (0.255, 0.0)),
        ((-0.195, 0.125), (-0.105, 0.205), (0.02, 0.226), (0.145, 0.19), (0.24, 0.085)),
    ),
}
_ROUND: Final = 1.25  # height of the iris of a classic eye, in widths
SHUT: Final = 0.03  # up to here a lid shows nothing of the ball
# White beyond the opening at rest: enough for sideways looks and wide eyes.
MARGIN: Final = 0.15
TUCKED: Final = 0.03  # how far the ball extends under lids that hide it


def lids(who: Identity, side: Side) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Upper lid fully raised, then upper and lower lid as they are: each [5, 2], from the nose outward."""
    up0, low0, shut0, arch0 = _lid_curves(who.eye_shape)
    shut = shut0 + (arch0 - shut0) * side.arch
    fold = np.array([0.105, 0.066, 0.005, -0.036, -0.062]) * side.slant
    fold = np.where(fold > 0, fold, fold * 0.9)
    opened = up0 + np.stack([np.zeros(5), fold + 0.04 * np.abs(side.slant)], axis=1)
    low_open = low0 - np.array([0.0, 0.085]) * side.squint * np.array([[0.35], [0.9], [1.0], [0.9], [0.35]])
    return opened, shut + (opened - shut) * side.lid, shut + (low_open - shut) * clamp(side.lid * 1.15)


def iris_place(who: Identity, pose: Pose, m: int, side: Side) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and radii of the iris of the eye on side `m`, on its sheet."""
    wide, tall = eye_scale(who)
    gx, gy = pose.gaze
    rx = 0.158 * side.iris * face_of(who).iris
    return (0.012 + m * gx * 0.088, 0.022 + gy * 0.082), (rx, rx * _ROUND * (wide / tall) ** 0.6)


class EyeLayer:
    """Draws the eyes of one face in one pose."""

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.ink = skin_shades(who.skin)
        self.face = face_of(who)
        wide, tall = eye_scale(who)
        self.scale = (wide, tall)
        self.white = "#fffdfc" if who.skin > "#b" else "#faf3ec"
        self.even = wide / tall  # this high and 1 wide on the sheet is round in the picture

    def balls(self, *, whole: bool) -> None:
        """The contents of the openings: white, iris and highlights.

        Args:
            whole: also where lids hide it; otherwise it extends under the lids by a line's width.
        """
        for m, side, iris in self._both():
            if side.lid <= SHUT:
                continue
            canvas = self.canvas
            self._lay(m)
            upper, lower = (points.tolist() for points in lids(self.who, side)[1:])
            opening = _opening(upper, lower)
            with nullcontext() if whole else seen_through(canvas, opening, beyond=TUCKED):
                self._ball(m, opening, iris, side)
            canvas.restore()

    def _ball(self, m: int, opening: Any, iris: str, side: Side) -> None:
        self.canvas.drawPath(opening, stroke(self.white, 2 * MARGIN))
        self.canvas.drawPath(opening, fill(self.white))
        (x, y), (rx, ry) = iris_place(self.who, self.pose, m, side)
        self.canvas.save()
        self.canvas.translate(x, y)
        self._iris(rx, ry, iris)
        self._glints(m, rx, ry, side)
        self.canvas.restore()

    def lids(self) -> None:
        """Lids and lashes, and an opening in what was painted before, through which the balls show."""
        for m, side, _ in self._both():
            canvas = self.canvas
            self._lay(m)
            opened, up, low = lids(self.who, side)
            upper, lower = up.tolist(), low.tolist()
            self._crease(opened, up)
            if side.lid > SHUT:
                canvas.save()
                opening = _opening(upper, lower)
                open_up(canvas, opening)
                canvas.clipPath(opening, True)
                # The shade of the upper lid lies on the ball. It follows the lid: a slit of an eye would be all
                # shade.
                shade = [[px, py + 0.07] for px, py in upper] + [[px, py - 0.05] for px, py in reversed(upper)]
                canvas.drawPath(curve(shade, closed=True), fill("#4a3a68", 0.4 * clamp(1.6 * side.lid - 0.1)))
                canvas.restore()
            self._lashes(upper, lower, side)
            canvas.restore()

    def _both(self) -> tuple[tuple[int, Side, str], ...]:
        return (-1, self.pose.right, self.who.iris_right), (1, self.pose.left, self.who.iris_left)

    def _lay(self, m: int) -> None:
        """Draw on the sheet of one eye until the canvas is restored."""
        self.canvas.save()
        self.canvas.concat(self.pose.head.sheet(*eye_spot(self.who, m)))
        self.canvas.scale(m * self.scale[0], self.scale[1])  # from here on +x is outward

    def _glints(self, m: int, rx: float, ry: float, side: Side) -> None:
        """Highlights, on the lit side."""
        flat = self.who.iris_style == "flat"
        light = -self.who.light * m
        large = (0.42 if flat else 0.39) * rx * (0.75 + 0.25 * side.iris)
        for gx, gy, r, alpha in ((light * 0.4, -0.5, large, 1.0), (-light * 0.5, 0.42, 0.17 * rx, 0.92)):
            box = skia.Rect(gx * rx - r, gy * ry - r * self.even, gx * rx + r, gy * ry + r * self.even)
            self.canvas.drawOval(box, fill("#ffffff", alpha))

    def _iris(self, rx: float, ry: float, iris: str) -> None:
        canvas = self.canvas
        rim = tinted(iris, (0.3, 0.26, 0.38))
        dark, light = tinted(iris, (0.52, 0.47, 0.6)), mix(iris, "#ffffff", 0.5)
        bright = mix(iris, "#ffffff", 0.75)

        def oval(part: float, paint: Any, *, dy: float = 0.0) -> None:
            canvas.drawOval(skia.Rect(-rx * part, (dy - part) * ry, rx * part, (dy + part) * ry), paint)

        oval(1.0, fill(rim))
        getattr(self, f"_iris_{self.who.iris_style}")(rx, ry, oval, (rim, dark, iris, light, bright))

    def _iris_gradient(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:
        """Dark under the lid, light below: light through the lens gathers opposite the window."""
        rim, dark, iris, light, bright = tones
        stops = (argb(rim), argb(dark), argb(iris), argb(light))
        oval(0.87, blend((0, -ry), (0, ry), stops, (0.05, 0.32, 0.62, 0.98)))
        pool = skia.Rect(-rx * 0.68, ry * 0.22, rx * 0.68, ry * 0.9)
        self.canvas.drawOval(pool, glow((0, ry * 0.66), ry * 0.55, (argb(bright, 0.95), argb(light, 0.0))))
        oval(0.4, fill(rim), dy=-0.03)

    def _iris_ring(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:  # noqa: ARG002
        """A bright ring around a dark centre."""
        rim, dark, iris, light, bright = tones
        oval(0.87, blend((0, -ry), (0, ry), (argb(dark), argb(iris), argb(light)), (0.1, 0.55, 1.0)))
        oval(0.66, fill(bright, 0.85))
        oval(0.55, blend((0, -ry), (0, ry), (argb(rim), argb(dark)), (0.2, 0.8)))
        oval(0.3, fill(mix(rim, "#0c0714", 0.5)))

    def _iris_star(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:
        """A star in place of the pupil."""
        rim, dark, iris, light, bright = tones
        oval(0.87, blend((0, -ry), (0, ry), (argb(rim), argb(dark), argb(iris), argb(light)), (0.0, 0.3, 0.7, 1.0)))
        points = [
            [r * rx * math.sin(i * math.pi / 5), -r * ry * math.cos(i * math.pi / 5) + 0.02]
            for i, r in enumerate((0.6, 0.27) * 5)
        ]
        self.canvas.drawPath(curve(points, closed=True, sharp=range(10), round_=0.1), fill(mix(rim, dark, 0.15)))
        pool = skia.Rect(-rx * 0.55, ry * 0.45, rx * 0.55, ry * 0.85)
        self.canvas.drawOval(pool, fill(bright, 0.6))

    def _iris_flat(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:
        """Two flat tones, as in newspaper comics."""
        rim, dark, iris, _, _ = tones
        oval(0.87, fill(iris))
        self.canvas.save()
        clip = skia.Path()
        clip.addOval(skia.Rect(-rx * 0.87, -ry * 0.87, rx * 0.87, ry * 0.87))
        self.canvas.clipPath(clip, True)
        self.canvas.drawOval(skia.Rect(-rx * 1.1, -ry * 1.4, rx * 1.1, -ry * 0.05), fill(dark))
        self.canvas.restore()
        oval(0.46, fill(mix(rim, "#0c0714", 0.35)))

    def _iris_slit(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:
        """The pupil of a cat."""
        rim, dark, iris, light, bright = tones
        oval(0.87, blend((0, -ry), (0, ry), (argb(dark), argb(iris), argb(light)), (0.05, 0.45, 0.95)))
        self.canvas.drawOval(
            skia.Rect(-rx * 0.55, ry * 0.3, rx * 0.55, ry * 0.86),
            glow((0, ry * 0.6), ry * 0.5, (argb(bright, 0.9), argb(light, 0.0))),
        )
        slit = [[0.0, -0.72 * ry], [0.2 * rx, 0.0], [0.0, 0.72 * ry], [-0.2 * rx, 0.0]]
        self.canvas.drawPath(curve(slit, closed=True, sharp=(0, 2)), fill(mix(rim, "#0c0714", 0.6)))

    def _iris_jewel(self, rx: float, ry: float, oval: Any, tones: tuple[str, ...]) -> None:
        """Facets converging on the centre."""
        rim, dark, iris, light, bright = tones
        oval(0.87, blend((0, -ry), (0, ry), (argb(dark), argb(iris), argb(light)), (0.1, 0.5, 1.0)))
        for middle, colour, alpha in ((-60, light, 0.55), (0, bright, 0.75), (60, light, 0.55), (125, iris, 0.5)):
            a, b = (math.radians(90 - middle + turn) for turn in (-17, 17))
            facet = [
                [0.0, 0.0],
                [0.8 * rx * math.cos(a), 0.8 * ry * math.sin(a)],
                [0.8 * rx * math.cos(b), 0.8 * ry * math.sin(b)],
            ]
            self.canvas.drawPath(curve(facet, closed=True, sharp=(0, 1, 2), round_=0.0), fill(colour, alpha))
        oval(0.36, fill(rim))

    def _crease(self, opened: FloatArray, up: FloatArray) -> None:
        """The fold of the upper lid stays near the brow while the lid comes down."""
        line = (0.75 * opened + 0.25 * up)[1:] + np.array(
            [(-0.03, -0.07), (0.0, -0.07), (0.02, -0.065), (0.015, -0.055)]
        )
        self.canvas.drawPath(curve(line.tolist()), stroke(mix(self.ink.line, self.ink.deep, 0.5), 0.022, 0.75))

    def _lashes(self, upper: list[list[float]], lower: list[list[float]], side: Side) -> None:
        canvas, who = self.canvas, self.who
        ink = mix(tinted(who.hair, (0.3, 0.24, 0.34)), "#2a1a2c", 0.62)
        weight = (0.042 + 0.03 * who.lash) * self.face.lash / self.face.eye_tall**0.5
        ends = (0.3, 0.8, 1.0, 1.08, 0.75)
        flick = 0.03 + 0.05 * who.lash * self.face.lash
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
            canvas.drawPath(curve(lower[2:]), stroke(ink, 0.026, 0.9 * seen))
            canvas.drawPath(curve(lower[:3]), stroke(mix(self.ink.line, self.ink.deep, 0.4), 0.02, 0.5 * seen))


def _opening(upper: list[list[float]], lower: list[list[float]]) -> Any:
    return curve(upper + lower[::-1], closed=True, sharp=(0, 4, 5, 9))


@lru_cache(maxsize=16)
def _lid_curves(shape: EyeShape) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
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
