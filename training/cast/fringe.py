"""The hair in front: locks from the whorl to every tip of the fringe, with strands, shine and ink.

All of it lies on the ball of the hair and turns with the head; towards the back it ends without ink, over the same
tone behind it, so that a turning head uncovers nothing new.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .ball import CENTRE, RADII, Ball, on_ball
from .canvas import FloatArray, argb, blend, clamp, curve, fill, lerp, stroke, tapered
from .face import LINE
from .identity import Fringe, HairStyle, Identity
from .palette import Shades, luma, mix, skin_shades
from .pose import Pose

# The lower edge of the fringe: azimuth in degrees (0 front, positive to the character's left), height y, and whether
# the node is a valley (v) or a tip (t). The first and last node end near the ears.
_Node = tuple[float, float, str]
_FRINGES: Final[dict[Fringe, tuple[_Node, ...]]] = {
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
_EAR_SHOWN: Final[frozenset[HairStyle]] = frozenset({"short", "spiky", "bun", "ponytail"})
# How much lighter each lock is than the base, and the offset of its inner strand: no two neighbours alike.
_TINTS: Final = (0.16, 0.02, 0.22, 0.08, 0.0, 0.18, 0.05, 0.13)
_ACROSS: Final = (0.42, 0.58, 0.36, 0.5, 0.62, 0.4, 0.55, 0.46)
_RISES: Final = (0.03, -0.05, 0.0, 0.05, -0.03, 0.04, -0.02, 0.01)
_DRIPS: Final = (0.02, 0.035, 0.115, 0.03, 0.085, 0.025, 0.01)  # how far the shine runs down, across a lock
_PLAIN_FROM: Final = 70  # degrees: at rest a strand there would smear along the outline
_INSIDE: Final = 0.984  # the hair behind shows its outline around the one in front

# Trackable points: azimuths, and how far down from the top to the edge.
_FOLLOWED: Final = tuple(range(-84, 85, 14))
_ALONG: Final = (0.1, 0.35, 0.6, 0.8, 1.0)
_TOP: Final = -0.98
_FROM_THE_EDGE: Final = 0.06
_FACING: Final = 0.06  # nearer to the viewer than the middle of the ball by more than this

Row = tuple[float, float]  # azimuth, height


class FringeLayer:
    """Draws the front of one head of hair in one pose.

    Args:
        canvas: to draw on.
        who: the character.
        pose: the moment.
        volume: of the ball of the hair.
        ink: colours of the hair.
        ends: colours of its tips.
        tone: the paint of the whole head of hair.
        depth: a transparent paint that darkens the side away from the light.
    """

    def __init__(
        self,
        canvas: Any,
        who: Identity,
        pose: Pose,
        *,
        volume: float,
        ink: Shades,
        ends: Shades,
        tone: Any,
        depth: Any,
    ) -> None:
        self.canvas, self.who, self.pose, self.ink, self.ends = canvas, who, pose, ink, ends
        self.u = pose.head.unit
        self.tone, self.depth = tone, depth
        self.ball = Ball(pose.head, volume * _INSIDE)
        self.nodes, points, self.sharp, self.inked = _edge_of(who)
        self.edge = self.ball.onto(pose.head.place(points))

    def shadow(self, face: Any) -> None:
        """The hard shadow of the fringe on the face, inside the contour `face`."""
        canvas, skin = self.canvas, skin_shades(self.who.skin)
        canvas.save()
        canvas.clipPath(face, True)
        (ox, oy), (dx, dy) = self.pose.head.at([(0, 0, 0.8), (0.045 * self.who.light, 0.1, 0.8)])
        for reach, alpha in ((1.5, 0.62), (0.8, 0.5)):
            canvas.drawPath(self._cap(((dx - ox) * reach, (dy - oy) * reach)), fill(skin.shadow, alpha))
        canvas.restore()

    def draw(self) -> None:
        """The whole front."""
        canvas, ink = self.canvas, self.ink
        cap = self._cap()
        canvas.drawPath(cap, self.tone)
        canvas.save()
        canvas.clipPath(cap, True)
        self._sides()
        self._locks()
        canvas.drawPath(cap, self.depth)
        self._shine()
        canvas.restore()
        flat = self.pose.head.flat(self.edge)
        first, last = self.inked
        inner = flat[first : last + 1].tolist()
        sharp = [i - first for i in self.sharp if first <= i <= last]
        canvas.drawPath(curve(inner, sharp=sharp), stroke(ink.line, 1.15 * LINE * self.u))
        for run in (flat[1 : first + 1], flat[-2 : last - 1 : -1]):
            self._ink(run.tolist(), 0.5 * LINE, ink.line, closing=True)

    def _cap(self, offset: tuple[float, float] = (0.0, 0.0)) -> Any:
        """The front as a closed shape: its lower edge, then back over the top of the head."""
        ox, oy = offset
        flat = self.pose.head.flat(self.edge)
        over = self.ball.over(flat[-1], flat[0])
        points = [[x + ox, y + oy] for x, y in flat.tolist()] + over
        return curve(points, closed=True, sharp=self.sharp)

    def _on(self, rows: list[Row]) -> list[list[float]]:
        """Points of the ball, azimuth and height, to pixels."""
        points = np.array([on_ball(a, y) for a, y in rows])
        flat: list[list[float]] = self.pose.head.flat(self.ball.onto(self.pose.head.place(points))).tolist()
        return flat

    def _ink(
        self, rows: list[list[float]], width: float, colour: str, alpha: float = 1.0, *, closing: bool = False
    ) -> None:
        self.canvas.drawPath(tapered(rows, width * self.u, closing=closing), fill(colour, alpha))

    @property
    def _whorl(self) -> Row:
        return 10.0 * self.who.hair_side, -1.06

    def _sides(self) -> None:
        """Locks of the crown and the sides, behind the fringe."""
        ink, (wa, wy) = self.ink, self._whorl
        for number, a in enumerate((-98, -80, -63, 63, 80, 98)):
            body = [
                (lerp(a, wa, 0.8), wy + 0.02),
                (a - 10, -0.55),
                (a - 12, 0.3),
                (a, 0.55),
                (a + 12, 0.3),
                (a + 8, -0.55),
            ]
            shaded = (a > 0) == (self.who.light > 0)
            colour = mix(ink.base, ink.shadow if shaded else ink.light, 0.2 + 0.9 * _TINTS[number])
            self.canvas.drawPath(curve(self._on(body), closed=True, sharp=(0, 3)), fill(colour, 0.8))
            if abs(a) < _PLAIN_FROM:
                strand = [(lerp(a, wa, 0.6), -0.93), (lerp(a, wa, 0.15) - 8, -0.5), (a - 10, 0.2)]
                self._ink(self._on(strand), 0.011, ink.deep, 0.9)
        for a, top, low in ((-34, -1.0, -0.72), (-12, -1.06, -0.86), (9, -1.07, -0.84), (30, -1.02, -0.7)):
            rows = [(lerp(a, wa, 0.75), top), (lerp(a, wa, 0.3), 0.5 * (top + low)), (a, low)]
            self._ink(self._on(rows), 0.011, ink.deep, 0.8)

    def _locks(self) -> None:
        """A leaf from the whorl to every tip: light on one flank, a blade of shade on the other."""
        canvas, ink, ends = self.canvas, self.ink, self.ends
        wa, wy = self._whorl
        tips = [index for index, node in enumerate(self.nodes) if node[2] == "t"]
        for index in sorted(tips, key=lambda i: -abs(self.nodes[i][0])):
            a, y, _ = self.nodes[index]
            number = tips.index(index) % len(_TINTS)
            left = self.nodes[index - 1] if index else (a - 13, y - 0.2, "v")
            right = self.nodes[index + 1] if index + 1 < len(self.nodes) else (a + 13, y - 0.2, "v")
            la, ra = left[0] - 1.5, right[0] + 1.5

            def combed(azimuth: float, part: float) -> float:
                return lerp(azimuth, wa * 0.6, part)

            body = self._on(
                [
                    (combed(a, 0.82), wy + 0.1),
                    (combed(la, 0.5), lerp(left[1], wy, 0.62)),
                    (la, left[1]),
                    (lerp(la, a, 0.5), lerp(left[1], y, 0.55)),
                    (a, y),
                    (lerp(ra, a, 0.5), lerp(right[1], y, 0.55)),
                    (ra, right[1]),
                    (combed(ra, 0.5), lerp(right[1], wy, 0.62)),
                ]
            )
            tint = _TINTS[number]
            tones = (
                argb(ink.base, 0.0),
                argb(mix(ink.base, ink.light, tint)),
                argb(mix(ink.base, ink.light, 0.35 + tint)),
                argb(mix(ink.base, ink.light, 0.1)),
                argb(mix(ink.base, ends.base, 0.65)),
            )
            path = curve(body, closed=True, sharp=(0, 4))
            canvas.drawPath(path, blend(body[0], body[4], tones, (0.12, 0.4, 0.54, 0.76, 1.0)))
            sa, valley = (ra, right) if self.who.light > 0 else (la, left)
            blade = [
                (combed(sa, 0.5), lerp(valley[1], wy, 0.5)),
                (lerp(sa, a, 0.36), lerp(valley[1], y, 0.05) - 0.14),
                (a, y - 0.01),
                (lerp(sa, a, 0.45), lerp(valley[1], y, 0.58)),
                (sa, valley[1]),
            ]
            canvas.drawPath(
                curve(self._on(blade), closed=True, sharp=(0, 2)), fill(mix(ink.shadow, ink.deep, 0.25), 0.8)
            )
            across = lerp(la, ra, _ACROSS[number])
            strand = [
                (combed(across, 0.55), lerp(y, wy, 0.74)),
                (combed(across, 0.22), lerp(y, wy, 0.44)),
                (lerp(across, a, 0.3), lerp(left[1], y, 0.45) + _RISES[number]),
            ]
            self._ink(self._on(strand), 0.0095, ink.deep, 0.85)
            for edge, node in ((la + 1.5, left), (ra - 1.5, right)):
                between = [
                    (combed(edge, 0.6), lerp(node[1], wy, 0.62)),
                    (combed(edge, 0.3), lerp(node[1], wy, 0.34)),
                    (edge, node[1] + 0.02),
                ]
                self._ink(self._on(between), 0.0145, ink.line, 0.92)

    def _shine(self) -> None:
        """A band of light, broken by the locks: a zigzag patch on each, higher in the middle of the head."""
        strength = min(1.0, 0.5 + 1.1 * luma(self.ink.base))
        wa = self._whorl[0]
        tips = [node for node in self.nodes if node[2] == "t" and abs(node[0]) < 62]
        for number, (a, _, _) in enumerate(tips):
            before = tips[number - 1][0] if number else a - 20
            after = tips[number + 1][0] if number + 1 < len(tips) else a + 20
            left, right = (lerp(0.5 * (a + other), wa * 0.6, 0.42) for other in (before, after))
            left, right = lerp(left, right, -0.02), lerp(left, right, 1.0)
            height = -0.6 + 0.1 * (a / 50) ** 2 + 0.5 * _RISES[number % len(_RISES)]
            azimuths = [lerp(left, right, step / (len(_DRIPS) - 1)) for step in range(len(_DRIPS))]
            arch = [0.035 + 0.02 * (1 - (2 * step / (len(_DRIPS) - 1) - 1) ** 2) for step in range(len(_DRIPS))]
            upper = [(azimuth, height - rise) for azimuth, rise in zip(azimuths, arch, strict=True)]
            drips = _DRIPS if number % 2 else _DRIPS[::-1]
            lower = [(azimuth, height + drip) for azimuth, drip in zip(azimuths, drips, strict=True)]
            band = self._on(upper + lower[::-1])
            path = curve(band, closed=True, sharp=range(len(upper) - 1, len(band)))
            self.canvas.drawPath(path, fill(self.ink.glow, 0.82 * strength * clamp(1.25 - abs(a) / 60)))


def cap_points(who: Identity, pose: Pose) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Trackable points all over the hair in front.

    Args:
        who: the character.
        pose: the pose.

    Returns:
        Pixels [n, 2], the same number for every character, their positions on the head, [n, 3], and which are visible.
    """
    edge = _edge_of(who)[1]
    azimuth = np.degrees(np.arctan2(edge[:, 0] / RADII[0], (edge[:, 2] - CENTRE[2]) / RADII[2]))
    order = np.argsort(azimuth)
    ends = np.interp(_FOLLOWED, azimuth[order], edge[order, 1]) - _FROM_THE_EDGE
    spots = np.array(
        [on_ball(a, lerp(_TOP, end, part)) for a, end in zip(_FOLLOWED, ends, strict=True) for part in _ALONG]
    )
    placed = pose.head.place(spots)
    depth = placed[:, 2] - pose.head.place(CENTRE[None])[0, 2]
    return pose.head.flat(placed), spots, depth > _FACING


@lru_cache(maxsize=256)
def _edge_geometry(
    style: Fringe, side: int, ear: bool, curly: bool
) -> tuple[tuple[_Node, ...], FloatArray, tuple[int, ...], tuple[int, int]]:
    """Nodes of the fringe, the points of the whole edge, which of them are corners, and which gaps have ink."""
    nodes: list[_Node] = [(a * side, y, kind) for a, y, kind in _FRINGES[style]]
    if side < 0:
        nodes.reverse()
    temple: tuple[_Node, ...] = (
        (-60, -0.1, "v"),
        (-66, 0.3, "t"),
        (-75, -0.06 if ear else 0.15, "v"),
        (-97, 0.12, "e"),
    )
    mirrored: list[_Node] = [(-a, y, kind) for a, y, kind in temple]
    whole = [*reversed(temple), *nodes, *mirrored]
    points: list[tuple[float, float, float]] = []
    places: list[int] = []
    for i, (a, y, kind) in enumerate(whole):
        if i:
            a0, y0, kind0 = whole[i - 1]
            if kind0 != "e" and kind != "e":
                tip_a, other_a = (a, a0) if kind == "t" else (a0, a)
                # Locks are leaves: each edge bows away from the middle of its lock.
                bow = 0.16 * (other_a - tip_a)
                tip_y, other_y = (y, y0) if kind == "t" else (y0, y)
                points.append(on_ball(0.5 * (a + a0) + bow, lerp(other_y, tip_y, 0.52)))
        places.append(len(points))
        points.append(on_ball(a, y))
    sharp = [place for place, (_, _, kind) in zip(places, whole, strict=True) if not (curly and kind == "t")]
    corners = (0, *(i for i in sharp if 0 < i < len(points) - 1), len(points) - 1)
    return tuple(nodes), np.array(points), corners, (places[2], places[-3])


def _edge_of(who: Identity) -> tuple[tuple[_Node, ...], FloatArray, tuple[int, ...], tuple[int, int]]:
    return _edge_geometry(who.fringe, who.hair_side, who.hair_style in _EAR_SHOWN, who.hair_style == "curly")
