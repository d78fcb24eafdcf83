"""Hair: what is behind the head in every style, the locks beside the face, and the fringe of `fringe` over them.

Free hair is given as points with five columns: x, y, z, how far the sway moves it, how much it hangs (0 turns with the
head, 1 follows gravity).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import skia

from .ball import Ball
from .canvas import FloatArray, argb, blend, curve, fill, glow, lerp, stroke, tapered
from .face import LINE, OUTER
from .fringe import FringeLayer
from .identity import HairStyle, Identity
from .palette import hair_shades, mix
from .pose import Pose

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
SIDE_LOCKS_FROM: Final = 0.12  # below this there is none
_MANES: Final[frozenset[HairStyle]] = frozenset({"spiky", "curly"})
# Tufts that break the outline of the head: where one leaves it, where its tip is (degrees), how far out.
_TUFTS: Final = (
    (-20, 12, 0.075),
    (-56, -32, 0.06),
    (-108, -128, 0.045),
    (-140, -168, 0.075),
    (-182, -206, 0.06),
)
_BETWEEN: Final = {-56: (-76, -92)}  # the crown stays round
_TUFTED: Final[dict[HairStyle, float]] = {
    "long": 0.55,
    "bob": 0.85,
    "ponytail": 0.7,
    "twinTails": 0.6,
    "short": 1.35,
    "bun": 0.6,
}


class HairLayer:
    """Draws one head of hair in one pose; calls interleave with those of `FaceLayer`."""

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.u = pose.head.unit
        self.ink = hair_shades(who.hair)
        self.tips = hair_shades(who.hair_tips)
        # A mane stands off the head by itself.
        volume = 0.97 + 0.08 * who.hair_volume if who.hair_style in _MANES else 1.0 + 0.09 * who.hair_volume
        self.ball = Ball(pose.head, volume)
        # One round gradient carries light, base and shade of the whole head: large gradients are the costliest paint.
        ink = self.ink
        lit = self.ball.ring([(-90 - 38 * who.light, 0.42, 0.0)])[0]
        tones = (
            argb(ink.light),
            argb(mix(ink.base, ink.light, 0.35)),
            argb(ink.base),
            argb(mix(ink.base, ink.deep, 0.85)),
        )
        self.tone = glow(lit, 1.75 * self.u, tones, (0.0, 0.3, 0.55, 1.0))
        self.depth = glow(lit, 1.75 * self.u, (argb(ink.deep, 0.0), argb(ink.deep, 0.75)), (0.5, 1.0))
        self.fringe = FringeLayer(
            canvas, who, pose, volume=volume, ink=ink, ends=self.tips, tone=self.tone, depth=self.depth
        )
        self._curls: Any = None

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
        nodes, sharp = self._outline()
        path = curve(self.ball.ring(nodes, lag=self.pose.sway), closed=True, sharp=sharp)
        self.canvas.drawPath(path, self.tone)
        self._darken(path)
        self.canvas.drawPath(path, stroke(ink.line, OUTER * LINE * self.u))

    def _outline(self) -> tuple[list[tuple[float, float, float]], list[int]]:
        """The head with its tufts, for `Ball.ring`, and the corners."""
        who = self.who
        amount = (0.35 + 0.9 * who.hair_volume) * _TUFTED[who.hair_style] * (0.45 if who.fringe == "hime" else 1.0)
        nodes: list[tuple[float, float, float]] = [(66, 1.0, 0.0), (40, 1.0, 0.0)]
        sharp: list[int] = []
        for start, tip, reach in _TUFTS:
            out = reach * amount
            down = 1 if tip > start else -1  # hair falls to both sides
            tuft = [
                (tip - 3 * down, 1.0, 0.0),
                (tip, 1.0 + out, 0.35),
                (lerp(start, tip, 0.55), 1.0 + 0.55 * out, 0.12),
                (start, 1.0, 0.0),
            ]
            at = len(nodes)
            sharp += [at, at + 1] if down > 0 else [at + 2, at + 3]
            nodes += tuft if down > 0 else tuft[::-1]
            nodes += [(angle, 1.0, 0.0) for angle in _BETWEEN.get(start, ())]
        nodes += [(-220, 1.0, 0.0), (-246, 1.0, 0.0), (-270, 1.0, 0.0)]
        if who.hair_side < 0:
            last = len(nodes) - 1
            nodes = [(-180 - angle, reach, sway) for angle, reach, sway in reversed(nodes)]
            sharp = [last - place for place in sharp]
        return nodes, sharp

    def _darken(self, path: Any) -> None:
        """Darken towards the nape."""
        low = self.pose.head.at([(0, 0.2, 0), (0, 0.9, 0)])
        deep = mix(self.ink.deep, self.ink.line, 0.25)
        self.canvas.drawPath(path, blend(low[0], low[1], (argb(deep, 0.0), argb(deep, 0.9))))

    def _mass(
        self,
        points: FloatArray,
        sharp: tuple[int, ...],
        *,
        front: bool = False,
        root: tuple[float, float] = (0.0, -0.4),
        spread: float = 0.75,
    ) -> None:
        """A closed piece of free hair with the two-tone gradient of its ends, and a lock to each of its tips.

        Args:
            points: as for `strand`.
            sharp: which of them are corners.
            front: beside the face, not behind it.
            root: origin of the locks, x and y.
            spread: distance between their roots, relative to that of the tips.
        """
        canvas, ink, ends = self.canvas, self.ink, self.tips
        flat = self.strand(points)
        path = curve(flat, closed=True, sharp=sharp)
        if front:
            colours = (argb(mix(ink.base, ink.light, 0.15)), argb(ink.base), argb(mix(ends.base, ends.light, 0.5)))
        else:
            colours = (
                argb(ink.shadow),
                argb(mix(ink.shadow, ink.deep, 0.6)),
                argb(mix(ends.shadow, ends.base, 0.35)),
            )
        low, high = max(p[1] for p in flat), min(p[1] for p in flat)
        canvas.drawPath(path, blend((flat[0][0], high), (flat[0][0], low), colours, (0.0, 0.45, 1.0)))
        canvas.save()
        canvas.clipPath(path, True)
        tips = [i for i in sharp if points[i, 1] >= max(points[i - 1, 1], points[(i + 1) % len(points), 1])]
        for number, i in enumerate(tips):
            self._lock(points[i], root, spread, number, front=front)
        canvas.restore()
        canvas.drawPath(path, stroke(ink.line, (1.15 if front else OUTER) * LINE * self.u))

    def _lock(self, tip: FloatArray, root: tuple[float, float], spread: float, number: int, *, front: bool) -> None:
        """One lock within a mass: a leaf to the tip, lighter or darker than its neighbours, and a strand beside it."""
        x, y, z, sway, hang = tip.tolist()
        top_x, top_y = root[0] + spread * (x - root[0]), root[1]
        wide = 0.1 if front else 0.13
        middle = lerp(top_y, y, 0.6)

        def across(dx: float) -> tuple[float, ...]:
            return lerp(top_x, x, 0.75) + dx, middle, z, 0.45 * sway, 0.55 * hang

        leaf = np.array([(top_x, top_y, z, 0, 0), across(-wide), (x, y + 0.04, z, sway, hang), across(wide)])
        ink = self.ink
        colour = mix(ink.base, self.tips.base, 0.4) if number % 2 else ink.deep
        self.canvas.drawPath(curve(self.strand(leaf), closed=True, sharp=(0, 2)), fill(colour, 0.38))
        line = np.array(
            [
                (top_x + 0.03, lerp(top_y, y, 0.25), z, 0.1 * sway, 0.2 * hang),
                across(wide * 0.9),
                (x + 0.04, lerp(middle, y, 0.75), z, 0.8 * sway, 0.85 * hang),
            ]
        )
        self.canvas.drawPath(tapered(self.strand(line), 0.013 * self.u), fill(ink.line, 0.8))

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
        self._mass(tail, (5, 6, 7), root=(s * 0.9, -0.85), spread=0.6)
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
            self._mass(tail, (5, 6, 7), root=(s * 1.1, -0.6), spread=0.5)
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
        """Hair that stands off all around: a view-dependent outline, its ends lagging behind the turn."""
        flat = self.ball.ring(nodes, lag=self.pose.sway)
        path = curve(flat, closed=True, sharp=sharp)
        self.canvas.drawPath(path, self.tone)
        self._darken(path)
        self.canvas.drawPath(path, stroke(self.ink.line, OUTER * LINE * self.u))

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
            self.canvas.drawCircle(cx, cy, r, stroke(ink.line, OUTER * LINE * self.u))
            swirl = [
                (cx + r * q * math.cos(t), cy + r * q * math.sin(t))
                for q, t in ((0.95, 2.4), (0.7, 3.4), (0.6, 4.5), (0.52, 5.6), (0.4, 6.8), (0.2, 8.0))
            ]
            self.canvas.drawPath(curve(swirl), stroke(ink.line, 0.024 * self.u, 0.6))

    # ------------------------------------------------------------------------------------------------ front

    def shadow(self, face: Any) -> None:
        """The shadow of the fringe on the face, inside the contour `face`."""
        self.fringe.shadow(face)

    def front(self) -> None:
        """Side locks, fringe, and the ahoge."""
        self._side_locks()
        self.fringe.draw()
        if self.who.ahoge:
            self._ahoge()

    def _side_locks(self) -> None:
        if self.who.side_locks < SIDE_LOCKS_FROM:
            return
        for m in (-1, 1):
            shape, line = _side_lock(self.who, m)
            self._mass(shape, (4,), front=True, root=(m * 0.9, -0.3), spread=0.3)
            self.canvas.drawPath(curve(self.strand(line)), stroke(self.ink.line, 0.024 * self.u, 0.6))

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
        """Project free hair, [n, 5], to pixels."""
        out: list[list[float]] = strand(self.pose, points).tolist()
        return out


def lock_points(who: Identity, pose: Pose) -> tuple[FloatArray, bool]:
    """Trackable points along the locks beside the face, below the fringe.

    Args:
        who: the character.
        pose: the pose.

    Returns:
        Pixels [n, 2], the same number for every character, and whether there are such locks.
    """
    followed = []
    for m in (-1, 1):
        shape, line = _side_lock(who, m)
        followed += [shape[3:6], line[2:]]
    return strand(pose, np.concatenate(followed)), who.side_locks >= SIDE_LOCKS_FROM


def _side_lock(who: Identity, m: int) -> tuple[FloatArray, FloatArray]:
    """Outline and inner line of the lock on side `m`: free hair, [8, 5] and [3, 5]."""
    amount = who.side_locks
    end = 0.45 + 1.2 * amount
    mid = 0.5 * (0.3 + end)
    shape = [
        (m * 0.78, -0.5, 0.5, 0, 0),
        (m * 0.99, -0.12, 0.34, 0, 0),
        (m * 1.02, 0.28, 0.34, 0.05, 0),
        (m * 1.01, mid, 0.34, 0.35, 0.25 * amount),
        (m * 0.87, end, 0.36, 0.9, 0.55 * amount),
        (m * 0.82, mid + 0.08, 0.42, 0.4, 0.25 * amount),
        (m * 0.775, 0.28, 0.45, 0.05, 0),
        (m * 0.76, -0.05, 0.5, 0, 0),
    ]
    line = [
        (m * 0.9, 0.0, 0.42, 0, 0),
        (m * 0.92, 0.3, 0.4, 0.05, 0),
        (m * 0.91, mid + 0.05, 0.4, 0.4, 0.25 * amount),
    ]
    return np.array(shape), np.array(line)


def strand(pose: Pose, points: FloatArray) -> FloatArray:
    """Project free hair, [n, 5] as above, to pixels [n, 2]."""
    spots, sway, hang = points[:, :3], points[:, 3:4], points[:, 4:5]
    placed = pose.head.place(spots)
    if hang.any():
        placed = placed + (pose.hang.place(spots) - placed) * hang
    push = np.array([0.2 * pose.sway, -0.035 * abs(pose.sway), 0.0])
    return pose.head.flat(placed + sway * push)


def _mirrored(half: Sequence[Sequence[float]]) -> FloatArray:
    points = np.array(half, dtype=float)
    return np.concatenate([points, (points * np.array([-1.0, 1, 1, 1, 1]))[::-1]])
