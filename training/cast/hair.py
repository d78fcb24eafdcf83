"""Hair: back, sides and fringe, with strands, shine and the shadow it throws on the forehead.

The head of hair is an ellipsoid. Its outline in the picture is exact for every turn of the head, and hair that turns
to the back slides along that outline instead of folding over; this is what keeps every layer free of jumps.
Free hair is given as points with five columns: x, y, z, how far the sway moves it, how much it hangs (0 turns with the
head, 1 follows gravity).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import skia

from .canvas import FloatArray, argb, blend, curve, fill, glow, lerp, stroke
from .face import LINE
from .identity import Identity
from .palette import hair_shades, luma, mix, skin_shades
from .pose import Frame, Pose

# The lower edge of the fringe: azimuth in degrees (0 front, positive to the character's left), height y, and whether
# the node is a valley (v) or a tip (t). The first and last node end near the ears.
_Node = tuple[float, float, str]
_FRINGES: Final[dict[str, tuple[_Node, ...]]] = {
    "full": (
        (-46, 0.17, "t"), (-35, -0.13, "v"), (-27, 0.08, "t"), (-15, -0.2, "v"), (-3, 0.1, "t"), (8, -0.16, "v"),
        (19, 0.08, "t"), (29, -0.18, "v"), (46, 0.16, "t"),
    ),
    "swept": (
        (-50, 0.16, "t"), (-45, -0.08, "v"), (-33, 0.06, "t"), (-31, -0.2, "v"), (-6, 0.1, "t"), (-9, -0.24, "v"),
        (24, 0.12, "t"), (17, -0.2, "v"), (50, 0.24, "t"),
    ),
    "curtain": (
        (-56, 0.4, "t"), (-40, -0.06, "v"), (-34, 0.04, "t"), (-8, -0.62, "v"), (4, -0.34, "t"), (5, -0.64, "v"),
        (35, 0.05, "t"), (42, -0.05, "v"), (56, 0.4, "t"),
    ),
    "choppy": (
        (-48, 0.2, "t"), (-37, -0.24, "v"), (-24, 0.02, "t"), (-17, -0.3, "v"), (1, 0.2, "t"), (13, -0.3, "v"),
        (24, 0.03, "t"), (35, -0.22, "v"), (49, 0.21, "t"),
    ),
    "side": (
        (-54, 0.26, "t"), (-42, -0.2, "v"), (-38, -0.02, "t"), (-24, -0.6, "v"), (6, -0.04, "t"), (4, -0.26, "v"),
        (31, 0.14, "t"), (28, -0.14, "v"), (55, 0.34, "t"),
    ),
    "hime": (
        (-44, 0.04, "t"), (-33, -0.04, "v"), (-21, 0.05, "t"), (-12, -0.05, "v"), (0, 0.055, "t"), (12, -0.05, "v"),
        (22, 0.05, "t"), (33, -0.04, "v"), (44, 0.04, "t"),
    ),
}  # fmt: skip
# Spikes about the outline: where one starts, where its tip is (degrees), how far out, where it ends.
_SPIKES: Final = (
    (52, 44, 1.12, 30),
    (30, 26, 1.24, 8),
    (8, 2, 1.2, -12),
    (-12, -14, 1.31, -38),
    (-38, -42, 1.24, -58),
    (-58, -52, 1.38, -82),
    (-82, -88, 1.24, -100),
    (-100, -116, 1.34, -128),
    (-128, -146, 1.3, -152),
    (-152, -171, 1.29, -177),
    (-177, -190, 1.22, -198),
    (-198, -211, 1.22, -220),
    (-220, -228, 1.1, -234),
)
_MANES: Final = frozenset({"spiky", "curly"})
_EAR_SHOWN: Final = frozenset({"short", "spiky", "bun", "ponytail"})


class HairLayer:
    """Draws one head of hair in one pose; the calls go between those of `FaceLayer`."""

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.u = pose.head.unit
        self.ink = hair_shades(who.hair)
        self.tips = hair_shades(who.hair_tips)
        self.ball = Ball(pose.head, 0.97 + 0.08 * who.hair_volume)
        # One round gradient carries light, base and shade of the whole head: large gradients are the dearest paint.
        ink = self.ink
        self.tone = glow(
            self.ball.ring([(-128, 0.42, 0.0)])[0],
            1.75 * self.u,
            (
                argb(ink.light),
                argb(mix(ink.base, ink.light, 0.35)),
                argb(ink.base),
                argb(mix(ink.base, ink.deep, 0.85)),
            ),
            (0.0, 0.3, 0.55, 1.0),
        )
        self._curls: Any = None
        nodes, sharp, valleys = _fringe(who)
        self.edge = self.ball.onto(pose.head.place(nodes))
        self.edge_sharp = sharp
        self.valleys = valleys

    # ------------------------------------------------------------------------------------------------- back

    def back(self) -> None:
        """Everything behind face and body."""
        getattr(self, f"_back_{self.who.hair_style}")()
        self._skull()

    def _skull(self) -> None:
        """The head of hair behind the face; a mane covers it."""
        ink = self.ink
        if self.who.hair_style in _MANES:
            if self._curls is not None:
                self.canvas.drawPath(self._curls, stroke(ink.line, 0.024 * self.u, 0.7))
            return
        path = curve(self.ball.around(), closed=True)
        self.canvas.drawPath(path, fill(mix(ink.base, ink.shadow, 0.6)))
        for start, alpha in ((-2, 0.55), (22, 0.6)):
            rows = [(start + (180 - 2 * start) * i / 6, 1.0, 0.0) for i in range(7)]
            self.canvas.drawPath(curve(self.ball.ring(rows), closed=True, sharp=(0, 6)), fill(ink.deep, alpha))
        self.canvas.drawPath(path, stroke(ink.line, LINE * self.u))

    def _mass(self, points: FloatArray, sharp: tuple[int, ...], *, front: bool = False) -> None:
        """A closed piece of free hair with the two-tone gradient of its ends."""
        flat = self.strand(points)
        path = curve(flat, closed=True, sharp=sharp)
        ink, ends = self.ink, self.tips
        if front and ends == ink:
            self.canvas.drawPath(path, fill(ink.base))
        else:
            if front:
                colours = (argb(ink.base), argb(ink.base), argb(mix(ends.base, ends.light, 0.5)))
            else:
                colours = (
                    argb(ink.shadow),
                    argb(mix(ink.shadow, ink.deep, 0.75)),
                    argb(mix(ends.shadow, ends.base, 0.25)),
                )
            low, high = max(p[1] for p in flat), min(p[1] for p in flat)
            self.canvas.drawPath(path, blend((flat[0][0], high), (flat[0][0], low), colours, (0.0, 0.45, 1.0)))
        self.canvas.drawPath(path, stroke(ink.line, LINE * self.u))

    def _strokes(self, *lines: list[tuple[float, ...]]) -> None:
        for line in lines:
            self.canvas.drawPath(curve(self.strand(np.array(line))), stroke(self.ink.line, 0.024 * self.u, 0.6))

    def _back_long(self) -> None:
        end = 1.75 + 0.55 * self.who.hair_length
        w = 1.0 + 0.1 * self.who.hair_volume
        half = [
            (0.55, -0.95, -0.25, 0, 0),
            (1.04, -0.35, -0.25, 0, 0),
            (1.12 * w, 0.4, -0.3, 0.1, 0.25),
            (1.13 * w, 1.1, -0.32, 0.4, 0.6),
            (1.24 * w, 0.55 * end + 0.6, -0.32, 0.75, 0.85),
            (1.08 * w, end, -0.32, 1, 0.95),
            (0.86, end - 0.22, -0.34, 0.9, 0.9),
            (0.66, end + 0.05, -0.34, 1, 0.95),
            (0.44, end - 0.2, -0.36, 0.9, 0.9),
            (0.2, end + 0.03, -0.36, 1, 0.95),
        ]
        self._mass(_mirrored(half), (5, 6, 7, 8, 9, 10, 11, 12, 13, 14))
        for m in (-1, 1):
            self._strokes(
                [(m * 1.0, 0.5, -0.3, 0.1, 0.25), (m * 1.0, 1.1, -0.3, 0.4, 0.6), (m * 0.98, end - 0.4, -0.3, 0.8, 0.9)]
            )

    def _back_bob(self) -> None:
        end = 0.86 + 0.34 * self.who.hair_length
        w = 1.0 + 0.09 * self.who.hair_volume
        half = [
            (0.55, -0.95, -0.2, 0, 0),
            (1.05, -0.35, -0.2, 0, 0),
            (1.14 * w, 0.2, -0.2, 0.1, 0.05),
            (1.15 * w, 0.62, -0.16, 0.3, 0.15),
            (0.94, end + 0.05, -0.1, 0.7, 0.25),
            (0.78, end - 0.16, -0.2, 0.6, 0.25),
            (0.55, end + 0.02, -0.25, 0.7, 0.25),
            (0.3, end - 0.14, -0.3, 0.6, 0.25),
        ]
        self._mass(_mirrored(half), (4, 5, 6, 7, 8, 9, 10, 11))

    def _nape(self, reach: float) -> None:
        half = [
            (0.7, 0.1, -0.3, 0, 0),
            (0.9, 0.5, -0.3, 0.05, 0.05),
            (0.84, 0.8 + reach, -0.3, 0.3, 0.1),
            (0.66, 0.78, -0.3, 0.15, 0.1),
            (0.5, 0.98 + reach, -0.35, 0.3, 0.1),
            (0.3, 0.85, -0.35, 0.2, 0.1),
        ]
        self._mass(_mirrored(half), (2, 3, 4, 5, 6, 7, 8, 9))

    def _back_ponytail(self) -> None:
        s, end = -self.who.hair_side, 1.15 + 0.6 * self.who.hair_length
        tail = np.array(
            [
                (s * 0.3, -0.92, -0.6, 0, 0),
                (s * 0.78, -1.2, -0.55, 0.08, 0),
                (s * 1.24, -0.82, -0.5, 0.2, 0.15),
                (s * 1.44, -0.1, -0.45, 0.4, 0.35),
                (s * 1.42, 0.7, -0.42, 0.7, 0.55),
                (s * 1.3, end, -0.42, 1, 0.7),
                (s * 1.2, end - 0.32, -0.42, 0.9, 0.65),
                (s * 1.04, end - 0.06, -0.42, 1, 0.7),
                (s * 0.96, 0.6, -0.45, 0.7, 0.5),
                (s * 0.98, -0.05, -0.5, 0.4, 0.3),
                (s * 0.85, -0.5, -0.55, 0.15, 0.1),
                (s * 0.4, -0.6, -0.6, 0, 0),
            ]
        )
        self._mass(tail, (5, 6, 7))
        self._strokes(
            [
                (s * 0.7, -0.95, -0.55, 0.05, 0),
                (s * 1.12, -0.5, -0.5, 0.2, 0.2),
                (s * 1.24, 0.3, -0.45, 0.55, 0.45),
                (s * 1.22, end - 0.45, -0.42, 0.9, 0.65),
            ],
        )
        self._tie((s * 0.6, -0.98, -0.55))
        self._nape(0.0)

    def _back_twinTails(self) -> None:  # noqa: N802 - the name of the style
        end = 1.3 + 0.6 * self.who.hair_length
        for s in (-1, 1):
            tail = np.array(
                [
                    (s * 0.85, -0.62, -0.25, 0, 0),
                    (s * 1.18, -0.8, -0.25, 0.05, 0),
                    (s * 1.45, -0.42, -0.25, 0.2, 0.15),
                    (s * 1.55, 0.3, -0.25, 0.45, 0.35),
                    (s * 1.5, 0.95, -0.25, 0.75, 0.55),
                    (s * 1.36, end, -0.25, 1, 0.7),
                    (s * 1.28, end - 0.3, -0.25, 0.9, 0.65),
                    (s * 1.13, end - 0.04, -0.25, 1, 0.7),
                    (s * 1.08, 0.8, -0.25, 0.7, 0.5),
                    (s * 1.1, 0.2, -0.25, 0.4, 0.3),
                    (s * 1.04, -0.2, -0.25, 0.1, 0.1),
                    (s * 0.85, -0.3, -0.25, 0, 0),
                ]
            )
            self._mass(tail, (5, 6, 7))
            self._strokes(
                [
                    (s * 1.15, -0.55, -0.25, 0.05, 0),
                    (s * 1.32, -0.1, -0.25, 0.25, 0.2),
                    (s * 1.33, 0.5, -0.25, 0.6, 0.45),
                    (s * 1.27, end - 0.45, -0.25, 0.9, 0.65),
                ]
            )
            self._tie((s * 1.06, -0.56, -0.2))
        self._nape(-0.05)

    def _tie(self, spot: tuple[float, float, float]) -> None:
        """The band that holds a tail."""
        x, y = self.pose.head.at([spot])[0]
        self.canvas.drawCircle(x, y, 0.15 * self.u, fill(self.who.accent))
        self.canvas.drawCircle(x, y, 0.15 * self.u, stroke(hair_shades(self.who.accent).line, 0.024 * self.u))

    def _back_short(self) -> None:
        self._nape(-0.04 + 0.14 * self.who.hair_length)

    def _back_spiky(self) -> None:
        self._nape(0.06)
        big = 0.8 + 0.3 * self.who.hair_volume
        nodes: list[tuple[float, float, float]] = []
        side = self.who.hair_side
        for start, tip, reach, end in _SPIKES:
            r = 1 + (reach - 1) * big
            nodes.append((start, 1.02, 0.0))
            nodes.append((lerp(start, tip, 0.5), lerp(1.0, r, 0.62), 0.2))
            nodes.append((tip, r, 0.5))
            nodes.append((lerp(end, tip, 0.55), lerp(1.0, r, 0.36), 0.2))
        nodes.append((_SPIKES[-1][3], 1.02, 0.0))
        if side < 0:
            nodes = [(-180 - angle, r, sway) for angle, r, sway in reversed(nodes)]
        self._mane(nodes, tuple(range(0, len(nodes), 2)))

    def _back_curly(self) -> None:
        puff = 0.03 + 0.07 * self.who.hair_volume
        low = 62 + 10 * self.who.hair_length
        count = 10
        step = (-180 - 2 * low) / count
        nodes: list[tuple[float, float, float]] = []
        for i in range(count):
            a = low + step * i
            size = (0.0, 0.05, -0.02, 0.04, 0.0, -0.02, 0.04, 0.01, 0.05, -0.01)[i]
            droop = 0.12 * max(0.0, math.sin(math.radians(a + 0.5 * step)))
            nodes.append((a, 1.03 + puff + droop, 0.2))
            nodes.append((a + 0.28 * step, 1.16 + puff + droop * 1.4 + size, 0.5))
            nodes.append((a + 0.72 * step, 1.15 + puff + droop * 1.4 + size, 0.5))
        nodes.append((-180 - low, 1.05 + puff, 0.2))
        self._mane(nodes, tuple(range(0, len(nodes), 3)))
        curls = skia.Path()
        for a, r, sway in nodes[3:-3:3]:
            bend = 9 if a > -90 else -9
            curls.addPath(
                curve(
                    self.ball.ring(
                        [(a, r, sway), (a - bend, r - 0.1, sway * 0.7), (a - 1.2 * bend, r - 0.24, 0.0)],
                        lag=self.pose.sway,
                    )
                )
            )
        self._curls = curls

    def _mane(self, nodes: list[tuple[float, float, float]], sharp: tuple[int, ...]) -> None:
        """Hair that stands off all around: an outline that belongs to the view, its ends lagging behind the turn."""
        flat = self.ball.ring(nodes, lag=self.pose.sway)
        path = curve(flat, closed=True, sharp=sharp)
        self.canvas.drawPath(path, self.tone)
        low = self.pose.head.at([(0, 0.1, 0), (0, 1.0, 0)])
        self.canvas.drawPath(path, blend(low[0], low[1], (argb(self.ink.deep, 0.0), argb(self.ink.deep, 0.9))))
        self.canvas.drawPath(path, stroke(self.ink.line, LINE * self.u))

    def _back_bun(self) -> None:
        self._nape(-0.1)
        if self.who.hair_length > 0.45:
            spots = [(-0.74, -1.0, -0.2, 0.38), (0.74, -1.0, -0.2, 0.38)]
        else:
            spots = [(0.0, -1.26, -0.35, 0.45)]
        for x, y, z, size in spots:
            cx, cy = self.pose.head.at([(x, y, z)])[0]
            r = size * self.u
            ink = self.ink
            self.canvas.drawCircle(
                cx,
                cy,
                r,
                blend(
                    (cx - r * 0.5, cy - r),
                    (cx + r * 0.4, cy + r),
                    (argb(ink.light), argb(ink.base), argb(ink.shadow)),
                    (0, 0.45, 1),
                ),
            )
            self.canvas.drawCircle(cx, cy, r, stroke(ink.line, LINE * self.u))
            swirl = [
                (cx + r * q * math.cos(t), cy + r * q * math.sin(t))
                for q, t in ((0.95, 2.4), (0.7, 3.4), (0.6, 4.5), (0.52, 5.6), (0.4, 6.8), (0.2, 8.0))
            ]
            self.canvas.drawPath(curve(swirl), stroke(ink.line, 0.024 * self.u, 0.6))

    # ------------------------------------------------------------------------------------------------ front

    def shadow(self, face: Any) -> None:
        """The soft shadow of the fringe on the face, inside the contour `face`."""
        canvas = self.canvas
        skin = skin_shades(self.who.skin)
        canvas.save()
        canvas.clipPath(face, True)
        (ox, oy), (dx, dy) = self.pose.head.at([(0, 0, 0.8), (0.02, 0.1, 0.8)])
        for reach, alpha in ((1.25, 0.4), (0.8, 0.6)):
            path = self._cap(((dx - ox) * reach, (dy - oy) * reach))
            canvas.drawPath(path, fill(skin.shadow, alpha))
        canvas.restore()

    def _cap(self, offset: tuple[float, float] = (0.0, 0.0)) -> Any:
        """The fringe as a closed shape: its lower edge, then back over the top of the head."""
        ox, oy = offset
        flat = self.pose.head.flat(self.edge)
        over = self.ball.over(flat[-1], flat[0])
        points = [[x + ox, y + oy] for x, y in flat.tolist()] + over
        return curve(points, closed=True, sharp=self.edge_sharp)

    def front(self) -> None:
        """Side locks, fringe, strands, shine."""
        canvas, ink, u, who = self.canvas, self.ink, self.u, self.who
        self._side_locks()
        cap = self._cap()
        canvas.drawPath(cap, self.tone)
        canvas.save()
        canvas.clipPath(cap, True)
        self._strands()
        self._clumps()
        self._shine()
        canvas.restore()
        flat = self.pose.head.flat(self.edge)
        count = len(flat)
        canvas.drawPath(
            curve(flat.tolist(), sharp=[i for i in self.edge_sharp if i < count]), stroke(ink.line, LINE * u)
        )
        if who.hair_style not in _MANES:
            canvas.drawPath(curve(self.ball.over(flat[-1], flat[0])), stroke(ink.line, LINE * u))
        if who.ahoge:
            self._ahoge()

    def _side_locks(self) -> None:
        amount = self.who.side_locks
        if amount < 0.12:
            return
        end = 0.45 + 1.2 * amount
        mid = 0.5 * (0.3 + end)
        for m in (-1, 1):
            shape = np.array(
                [
                    (m * 0.78, -0.5, 0.5, 0, 0),
                    (m * 0.99, -0.12, 0.34, 0, 0),
                    (m * 1.02, 0.28, 0.34, 0.05, 0),
                    (m * 1.01, mid, 0.34, 0.35, 0.25 * amount),
                    (m * 0.87, end, 0.36, 0.9, 0.55 * amount),
                    (m * 0.82, mid + 0.08, 0.42, 0.4, 0.25 * amount),
                    (m * 0.775, 0.28, 0.45, 0.05, 0),
                    (m * 0.76, -0.05, 0.5, 0, 0),
                ]
            )
            self._mass(shape, (4,), front=True)
            self._strokes(
                [
                    (m * 0.9, 0.0, 0.42, 0, 0),
                    (m * 0.92, 0.3, 0.4, 0.05, 0),
                    (m * 0.91, mid + 0.05, 0.4, 0.4, 0.25 * amount),
                ]
            )

    def _strands(self) -> None:
        """A few lines from the crown show how the hair is combed."""
        path = skia.Path()
        for line in _combed(self.who.hair_side):
            path.addPath(curve(self.pose.head.flat(self.ball.onto(self.pose.head.place(line))).tolist()))
        self.canvas.drawPath(path, stroke(mix(self.ink.deep, self.ink.line, 0.3), 0.024 * self.u, 0.55))

    def _clumps(self) -> None:
        """A dark wedge above each valley parts the fringe into locks."""
        paint = fill(self.ink.shadow, 0.9)
        frame, ball = self.pose.head, self.ball
        for wedge in self.valleys:
            flat = frame.flat(ball.onto(frame.place(wedge))).tolist()
            self.canvas.drawPath(curve(flat, closed=True, sharp=(0, 3)), paint)

    def _shine(self) -> None:
        frame, ball, shine = self.pose.head, self.ball, self.ink.glow
        strength = min(1.0, 0.5 + 1.2 * luma(self.ink.base))
        for band, alpha in zip(_shine_bands(self.who.hair_side), (0.35, 0.8), strict=True):
            flat = frame.flat(ball.onto(frame.place(band))).tolist()
            self.canvas.drawPath(curve(flat, closed=True, sharp=tuple(range(len(flat)))), fill(shine, alpha * strength))

    def _ahoge(self) -> None:
        s, h = self.who.hair_side, self.who.ahoge
        shape = np.array(
            [
                (-0.07 * s, -1.12, 0.1, 0, 0),
                (-0.02 * s, -1.2 - 0.16 * h, 0.1, 0.25, 0),
                (0.2 * s, -1.2 - 0.26 * h, 0.1, 0.7, 0),
                (0.42 * s, -1.2 - 0.1 * h, 0.12, 1.0, 0),
                (0.22 * s, -1.2 - 0.12 * h, 0.1, 0.6, 0),
                (0.09 * s, -1.12, 0.1, 0, 0),
            ]
        )
        flat = self.strand(shape)
        path = curve(flat, sharp=(3,))
        self.canvas.drawPath(path, fill(self.ink.base))
        self.canvas.drawPath(path, stroke(self.ink.line, LINE * self.u))

    def strand(self, points: FloatArray) -> list[list[float]]:
        """Free hair, [n, 5], to pixels."""
        spots, sway, hang = points[:, :3], points[:, 3:4], points[:, 4:5]
        placed = self.pose.head.place(spots)
        if hang.any():
            placed = placed + (self.pose.hang.place(spots) - placed) * hang
        push = np.array([0.2 * self.pose.sway, -0.035 * abs(self.pose.sway), 0.0])
        out: list[list[float]] = self.pose.head.flat(placed + sway * push).tolist()
        return out


class Ball:
    """The ellipsoid of the hair as seen in the picture."""

    def __init__(self, frame: Frame, volume: float) -> None:
        self.frame = frame
        radii = RADII * volume
        self.centre = frame.place(CENTRE[None])[0]
        turn = frame.turn * radii
        # The outline of an ellipsoid under parallel projection is the ellipse with this matrix.
        self.shape = (turn @ turn.T)[:2, :2]
        values, vectors = np.linalg.eigh(self.shape)
        self.root = (vectors * np.sqrt(values)) @ vectors.T
        self.unroot = (vectors / np.sqrt(values)) @ vectors.T
        self.roll = math.atan2(-frame.turn[0, 1], frame.turn[1, 1])

    def onto(self, placed: FloatArray) -> FloatArray:
        """Turned points [n, 3]; those on the far side are moved out to the outline."""
        away = placed - self.centre
        n = away[:, :2] @ self.unroot.T
        reach = np.sqrt((n * n).sum(axis=1)) + 1e-9
        behind = np.clip(0.5 - away[:, 2] / 0.3, 0.0, 1.0)
        behind = behind * behind * (3 - 2 * behind)
        grown = reach + (np.maximum(reach, 1.0) - reach) * behind
        out: FloatArray = placed.copy()
        out[:, :2] = self.centre[:2] + (n * (grown / reach)[:, None]) @ self.root.T
        out[:, 2] = np.maximum(placed[:, 2], self.centre[2])
        return out

    def ring(self, nodes: list[tuple[float, float, float]], lag: float = 0.0) -> list[list[float]]:
        """Points about the outline: (degrees, radius in outlines, share of the sway); 0 is right, 90 down, -90 up."""
        data = np.array(nodes)
        angle = np.radians(data[:, 0]) + self.roll
        unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        spots = np.zeros((len(data), 3))
        spots[:, :2] = self.centre[:2] + (unit * data[:, 1:2]) @ self.root.T
        turn = self.frame.turn[0, 2]
        spots[:, 0] += data[:, 2] * (0.16 * lag - 0.16 * turn)
        spots[:, 2] = self.centre[2]
        out: list[list[float]] = self.frame.flat(spots).tolist()
        return out

    def around(self) -> list[list[float]]:
        """The whole outline, closed."""
        return self.ring([(30.0 * i, 1.0, 0.0) for i in range(12)])

    def over(self, right_end: FloatArray, left_end: FloatArray) -> list[list[float]]:
        """The outline from beside one pixel position over the top of the head to beside another."""
        a, b = self._angle(right_end), self._angle(left_end)
        a = (a + 270) % 360 - 270 if a > 90 else a
        b = b - 360 if b > 0 else b
        return self.ring([(lerp(a, b, i / 9), 1.0, 0.0) for i in range(10)])

    def _angle(self, pixel: FloatArray) -> float:
        grow = self.frame.unit / (1.0 - self.centre[2] * 0.06)
        away = (pixel - self.frame.centre) / grow - self.centre[:2]
        n = self.unroot @ away
        angle = math.degrees(math.atan2(n[1], n[0]) - self.roll)
        return (angle + 180) % 360 - 180


CENTRE: Final = np.array([0.0, -0.12, -0.06])
RADII: Final = np.array([1.08, 1.09, 0.96])


def on_ball(azimuth: float, y: float, lift: float = 0.0) -> tuple[float, float, float]:
    """A point of the hair's surface; below its equator hair hangs straight down."""
    up = (y - CENTRE[1]) / RADII[1]
    r = math.sqrt(max(0.0, 1.0 - up * up)) if up < 0 else 1.0
    a = math.radians(azimuth)
    return ((RADII[0] + lift) * r * math.sin(a), y, CENTRE[2] + (RADII[2] + lift) * r * math.cos(a))


def _mirrored(half: Sequence[Sequence[float]]) -> FloatArray:
    points = np.array(half, dtype=float)
    return np.concatenate([points, (points * np.array([-1.0, 1, 1, 1, 1]))[::-1]])


@lru_cache(maxsize=256)
def _fringe_geometry(
    style: str, side: int, ear: bool, curly: bool
) -> tuple[FloatArray, tuple[int, ...], tuple[FloatArray, ...]]:
    nodes: list[_Node] = [(a * side, y, kind) for a, y, kind in _FRINGES[style]]
    if side < 0:
        nodes.reverse()
    temple = ((-60, -0.1, "v"), (-68, 0.3, "t"), (-80, -0.06 if ear else 0.15, "v"), (-104, 0.12, "e"))
    left = [(-a, y, k) for a, y, k in temple]
    nodes = [*reversed(temple), *nodes, *left]
    points: list[tuple[float, float, float]] = []
    sharp: list[int] = []
    wedges: list[FloatArray] = []
    for i, (a, y, kind) in enumerate(nodes):
        if i:
            a0, y0, kind0 = nodes[i - 1]
            if kind0 != "e" and kind != "e":
                tip_a, other_a = (a, a0) if kind == "t" else (a0, a)
                # Locks are leaves: each edge bows away from the middle of its lock.
                bow = 0.16 * (other_a - tip_a)
                tip_y, other_y = (y, y0) if kind == "t" else (y0, y)
                points.append(on_ball(0.5 * (a + a0) + bow, lerp(other_y, tip_y, 0.52)))
        if not (curly and kind == "t"):
            sharp.append(len(points))
        points.append(on_ball(a, y))
        if kind == "v" and abs(a) < 70:
            root = a * 0.45 + (6 if side > 0 else -6)
            top = lerp(y, -1.0, 0.62)
            centre = lerp(a, root, 0.35)
            mid = lerp(y, top, 0.4)
            wedges.append(
                np.array(
                    [
                        on_ball(a, y + 0.03),
                        on_ball(centre - 2.6, mid),
                        on_ball(lerp(a, root, 0.7) - 1.0, lerp(mid, top, 0.6)),
                        on_ball(root, top),
                        on_ball(lerp(a, root, 0.7) + 1.0, lerp(mid, top, 0.6)),
                        on_ball(centre + 2.6, mid),
                    ]
                )
            )
    sharp = [i for i in sharp if 0 < i < len(points) - 1]
    return np.array(points), (0, *sharp, len(points) - 1), tuple(wedges)


def _fringe(who: Identity) -> tuple[FloatArray, tuple[int, ...], tuple[FloatArray, ...]]:
    return _fringe_geometry(who.fringe, who.hair_side, who.hair_style in _EAR_SHOWN, who.hair_style == "curly")


@lru_cache(maxsize=2)
def _combed(side: int) -> tuple[FloatArray, ...]:
    lines = []
    for a, top, low in (
        (-50, -0.86, -0.3),
        (-24, -1.0, -0.68),
        (-6, -1.06, -0.8),
        (15, -1.05, -0.74),
        (34, -0.97, -0.5),
        (58, -0.8, -0.2),
    ):
        lines.append(
            np.array(
                [
                    on_ball(side * (8 + 0.55 * (a - 8)), top),
                    on_ball(side * lerp(8 + 0.55 * (a - 8), a, 0.75), lerp(top, low, 0.5)),
                    on_ball(side * a, low),
                ]
            )
        )
    return tuple(lines)


@lru_cache(maxsize=2)
def _shine_bands(side: int) -> tuple[FloatArray, FloatArray]:
    def band(height: float, grow: float) -> FloatArray:
        upper, lower = [], []
        for i, a in enumerate(range(-64, 65, 8)):
            thin = max(0.0, 1.0 - (a / 66) ** 2) ** 0.6  # the band runs out to points at both sides
            bend = 0.045 * math.cos(math.radians(a * 1.4))
            upper.append(on_ball(a, height - bend - thin * (grow + 0.02 + (0.0 if i % 2 else 0.03))))
            lower.append(on_ball(a + 1.5 * side, height - bend + thin * (grow + 0.05 + (0.085 if i % 2 else -0.01))))
        return np.array(upper + lower[::-1])

    return band(-0.56, 0.05), band(-0.56, 0.0)
