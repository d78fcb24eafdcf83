"""Neck, shoulders and clothes, in body coordinates that lean with the body."""

from __future__ import annotations

from typing import Any

import numpy as np

from .canvas import curve, fill, stroke
from .face import LINE
from .identity import Identity
from .palette import cloth_shades, luma, mix, skin_shades
from .pose import Pose

Spots = list[tuple[float, float, float]]


class BodyLayer:
    """Draws neck and clothes in one pose, before the head."""

    def __init__(self, canvas: Any, who: Identity, pose: Pose) -> None:
        self.canvas, self.who, self.pose = canvas, who, pose
        self.u = pose.body.unit
        self.skin = skin_shades(who.skin)
        self.main, self.second, self.accent = (cloth_shades(c) for c in (who.cloth, who.cloth_second, who.accent))
        self.neck_width = 0.23 + 0.12 * who.neck
        self.wide = 1.08 + 0.27 * who.shoulders

    def draw(self) -> None:
        """Paint everything."""
        self._neck()
        getattr(self, f"_{self.who.outfit}")()

    # -------------------------------------------------------------------------------------------- body parts

    def _neck(self) -> None:
        n, body, head = self.neck_width, self.pose.body, self.pose.head
        top = head.at([(n, 0.72, -0.02), (-n, 0.72, -0.02)])
        right = body.at(
            [(n * 0.98, 1.15, 0), (n * 1.06, 1.38, 0), (n * 1.7, 1.52, 0), (0.8, 1.66, 0), (0.55, 2.2, 0.1)]
        )
        left = body.at(
            [(-0.55, 2.2, 0.1), (-0.8, 1.66, 0), (-n * 1.7, 1.52, 0), (-n * 1.06, 1.38, 0), (-n * 0.98, 1.15, 0)]
        )
        path = curve([top[0], *right, *left, top[1]], closed=True, sharp=(0, 5, 6, 11))
        canvas, skin = self.canvas, self.skin
        canvas.drawPath(path, fill(skin.base))
        canvas.save()
        canvas.clipPath(path, True)
        jaw = head.at(
            [
                (-0.75, 0.5, 0.3),
                (-0.5, 0.92, 0.4),
                (-0.2, 1.17, 0.45),
                (0.02, 1.25, 0.45),
                (0.24, 1.17, 0.45),
                (0.52, 0.92, 0.4),
                (0.75, 0.5, 0.3),
            ]
        )
        drop = 0.09 * self.u
        canvas.drawPath(curve([[x, y + drop] for x, y in jaw], closed=True), fill(skin.shadow, 0.6))
        canvas.drawPath(curve(jaw, closed=True), fill(skin.deep, 0.85))
        a, b, c, d = body.at([(0.06, 1.56, 0.2), (0.3, 1.5, 0.15), (-0.06, 1.56, 0.2), (-0.3, 1.5, 0.15)])
        for line in ([a, b], [c, d]):
            canvas.drawPath(curve(line), stroke(skin.deep, LINE * self.u))
        canvas.restore()
        canvas.drawPath(curve([top[0], *right[:4]]), stroke(skin.line, LINE * self.u))
        canvas.drawPath(curve([*left[1:], top[1]]), stroke(skin.line, LINE * self.u))

    def _shape(self, spots: Spots, colour: str, line: str, *, sharp: tuple[int, ...] = (), closed: bool = True) -> Any:
        path = curve(self.pose.body.at(spots), closed=closed, sharp=sharp)
        self.canvas.drawPath(path, fill(colour))
        self.canvas.drawPath(path, stroke(line, LINE * self.u))
        return path

    def _line(self, spots: Spots, colour: str, width: float = 0.024, alpha: float = 1.0) -> None:
        self.canvas.drawPath(curve(self.pose.body.at(spots)), stroke(colour, width * self.u, alpha))

    def _pair(self, half: Spots, colour: str, line: str, sharp: tuple[int, ...] = ()) -> None:
        """A shape and its mirror image."""
        for m in (-1, 1):
            self._shape([(m * x, y, z) for x, y, z in half], colour, line, sharp=sharp)

    def _torso(self, shades: Any, neckline: Spots, *, seams: bool = True, bulk: float = 0.0) -> None:
        """Shoulders and chest below `neckline` (right half, from the neck to the middle)."""
        w = self.wide + bulk
        half: Spots = [
            (w * 0.6, 1.5 - 0.5 * bulk, 0),
            (w * 0.88, 1.63 - 0.5 * bulk, 0),
            (w * 1.03, 1.9, 0),
            (w * 1.1, 2.4, 0),
            (w * 1.14, 3.4, 0),
        ]
        points = [*half, *[(-x, y, z) for x, y, z in reversed(half)]]
        edge = [
            *[(-x, y, z) for x, y, z in neckline],
            *[(x, y, z) for x, y, z in reversed(neckline)][1 if neckline[-1][0] == 0 else 0 :],
        ]
        flat = self.pose.body.at([*points, *edge])
        corner = len(points)
        path = curve(flat, closed=True, sharp=(4, 5, corner, len(flat) - 1, corner + len(neckline) - 1))
        canvas = self.canvas
        canvas.drawPath(path, fill(shades.base))
        canvas.save()
        canvas.clipPath(path, True)
        # Cel shade down the side away from the light, and under both arms.
        for m, reach in ((1, 0.78), (-1, 0.9)):
            side = self.pose.body.at(
                [
                    (m * w * reach, 1.75, 0.1),
                    (m * w * (reach - 0.08), 2.2, 0.15),
                    (m * w * (reach - 0.1), 3.4, 0.1),
                    (m * 2, 3.4, 0),
                    (m * w * 1.25, 1.8, 0),
                ]
            )
            canvas.drawPath(curve(side, closed=True), fill(shades.shadow, 0.8))
        canvas.restore()
        canvas.drawPath(path, stroke(shades.line, LINE * self.u))
        if seams:
            for m in (-1, 1):
                self._line(
                    [(m * w * 0.8, 2.0, 0.12), (m * w * 0.76, 2.3, 0.14), (m * w * 0.77, 3.0, 0.1)],
                    shades.line,
                    0.024,
                    0.7,
                )

    # ------------------------------------------------------------------------------------------------ outfits

    def _sailor(self) -> None:
        n = self.neck_width
        self._torso(self.main, [(n * 1.3, 1.42, 0.05), (n * 0.9, 1.8, 0.2), (0, 2.15, 0.26)])
        second, accent = self.second, self.accent
        collar: Spots = [
            (n * 1.25, 1.36, 0.0),
            (0.62, 1.46, 0.02),
            (0.88, 1.74, 0.08),
            (0.55, 1.93, 0.2),
            (0.03, 2.2, 0.28),
            (n * 0.95, 1.76, 0.2),
        ]
        self._pair(collar, second.base, second.line, (0, 2, 4))
        trim = "#ffffff" if _dark(self.who.cloth_second) else accent.base
        for m in (-1, 1):
            self._line(
                [
                    (m * x, y, z)
                    for x, y, z in ((0.74, 1.6, 0.08), (0.74, 1.7, 0.1), (0.5, 1.83, 0.2), (0.13, 2.03, 0.28))
                ],
                trim,
                0.028,
                0.9,
            )
        self._pair(
            [(0.0, 2.17, 0.3), (0.3, 2.04, 0.3), (0.42, 2.16, 0.28), (0.34, 2.36, 0.28)],
            accent.base,
            accent.line,
            (0, 1, 3),
        )
        self._pair([(0.0, 2.2, 0.3), (0.26, 2.6, 0.3), (0.1, 2.75, 0.3)], accent.shadow, accent.line, (0, 1, 2))
        x, y = self.pose.body.at([(0, 2.19, 0.34)])[0]
        self.canvas.drawCircle(x, y, 0.095 * self.u, fill(accent.light))
        self.canvas.drawCircle(x, y, 0.095 * self.u, stroke(accent.line, 0.024 * self.u))

    def _hoodie(self) -> None:
        n = self.neck_width
        main, second = self.main, self.second
        self._torso(main, [(n * 1.5, 1.4, 0.02), (n * 1.1, 1.66, 0.2), (0, 1.82, 0.26)], bulk=0.06)
        hood: Spots = [
            (n * 1.1, 1.26, -0.05),
            (0.6, 1.3, -0.05),
            (0.82, 1.56, 0.02),
            (0.55, 1.8, 0.16),
            (0.0, 1.98, 0.28),
            (n * 0.8, 1.72, 0.24),
            (n * 1.3, 1.45, 0.1),
        ]
        self._pair(hood, main.light, main.line, (0, 4))
        inner: Spots = [
            (n * 1.12, 1.34, -0.02),
            (n * 1.5, 1.46, 0.06),
            (n * 1.15, 1.72, 0.2),
            (0.0, 1.93, 0.28),
            (n * 0.8, 1.72, 0.24),
            (n * 1.1, 1.5, 0.12),
        ]
        self._pair(inner, second.base, second.line, (0, 3))
        for m in (-1, 1):
            self._line([(m * 0.2, 1.92, 0.3), (m * 0.24, 2.1, 0.3), (m * 0.21, 2.34, 0.3)], self.accent.base, 0.045)
        self._line([(0, 2.0, 0.3), (0, 3.0, 0.3)], main.line, 0.026, 0.7)

    def _shirt(self, tie: bool) -> None:
        """The white shirt under a blazer or a cardigan."""
        n = self.neck_width
        white = cloth_shades("#fbfaff")
        self._shape(
            [
                (-n * 1.5, 1.5, 0.05),
                (0, 1.62, 0.2),
                (n * 1.5, 1.5, 0.05),
                (0.5, 2.0, 0.2),
                (0.5, 3.4, 0.2),
                (-0.5, 3.4, 0.2),
                (-0.5, 2.0, 0.2),
            ],
            white.base,
            white.line,
            sharp=(0, 1, 2),
        )
        if tie:
            accent = self.accent
            self._shape(
                [
                    (-0.12, 1.72, 0.28),
                    (0.12, 1.72, 0.28),
                    (0.18, 2.3, 0.3),
                    (0.2, 3.2, 0.3),
                    (-0.2, 3.2, 0.3),
                    (-0.18, 2.3, 0.3),
                ],
                accent.base,
                accent.line,
                sharp=(0, 1, 3, 4),
            )
            self._shape(
                [(-0.13, 1.6, 0.28), (0.13, 1.6, 0.28), (0.085, 1.8, 0.3), (-0.085, 1.8, 0.3)],
                accent.light,
                accent.line,
                sharp=(0, 1, 2, 3),
            )
        self._pair(
            [(n * 1.15, 1.32, 0.0), (n * 1.65, 1.42, 0.05), (0.36, 1.82, 0.22), (0.02, 1.6, 0.26), (n * 0.8, 1.5, 0.2)],
            white.base,
            white.line,
            (0, 2, 3),
        )

    def _blazer(self) -> None:
        n, shades = self.neck_width, self.main
        if not _dark(self.who.cloth):  # jackets over a white shirt use the darker of the two cloths
            shades = self.second if _dark(self.who.cloth_second) else cloth_shades(mix(self.who.cloth, "#3a3350", 0.55))
        self._shirt(tie=True)
        self._torso(shades, [(n * 1.9, 1.47, 0.0), (0.42, 1.9, 0.16), (0.14, 2.75, 0.22)])
        self._pair(
            [
                (n * 1.85, 1.43, 0.0),
                (0.56, 1.56, 0.06),
                (0.76, 1.88, 0.14),
                (0.56, 1.94, 0.17),
                (0.62, 2.1, 0.18),
                (0.12, 2.8, 0.28),
                (0.4, 1.92, 0.2),
            ],
            shades.light,
            shades.line,
            (0, 2, 3, 4, 5),
        )

    def _turtleneck(self) -> None:
        n, main = self.neck_width, self.main
        self._torso(main, [(n * 1.25, 1.42, 0.04), (n * 0.8, 1.52, 0.2), (0, 1.56, 0.24)])
        neck: Spots = [
            (-n * 1.16, 1.12, 0.02),
            (0, 1.25, 0.24),
            (n * 1.16, 1.12, 0.02),
            (n * 1.32, 1.44, 0.02),
            (0, 1.62, 0.26),
            (-n * 1.32, 1.44, 0.02),
        ]
        self._shape(neck, main.light, main.line, sharp=(0, 2, 3, 5))
        self._line([(-n * 1.22, 1.27, 0.02), (0, 1.42, 0.26), (n * 1.22, 1.27, 0.02)], main.deep, 0.026)
        for x in (-0.3, 0.0, 0.3):
            self._line([(x * 0.8, 1.7, 0.26), (x, 2.2, 0.28), (x * 1.05, 3.0, 0.28)], main.shadow, 0.036)
        x, y = self.pose.body.at([(0.0, 2.02, 0.3)])[0]
        self._line(
            [(-n * 1.5, 1.52, 0.1), (-0.22, 1.85, 0.28), (0, 1.98, 0.3), (0.22, 1.85, 0.28), (n * 1.5, 1.52, 0.1)],
            self.accent.deep,
            0.026,
        )
        self.canvas.drawCircle(x, y, 0.075 * self.u, fill(self.accent.base))
        self.canvas.drawCircle(x, y, 0.075 * self.u, stroke(self.accent.line, 0.024 * self.u))

    def _jacket(self) -> None:
        n = self.neck_width
        tee = cloth_shades(self.who.cloth_second)
        self._torso(tee, [(n * 1.75, 1.5, 0.05), (n * 1.3, 1.64, 0.2), (0, 1.74, 0.26)], seams=False)
        self._line(
            [
                (-n * 1.6, 1.57, 0.08),
                (-n * 1.1, 1.71, 0.22),
                (0, 1.8, 0.27),
                (n * 1.1, 1.71, 0.22),
                (n * 1.6, 1.57, 0.08),
            ],
            tee.line,
            0.024,
            0.6,
        )
        x, y = self.pose.body.at([(0, 2.22, 0.3)])[0]
        self.canvas.drawCircle(x, y, 0.16 * self.u, fill(self.accent.base))
        main, w = self.main, self.wide + 0.04
        self._pair(
            [
                (n * 1.9, 1.44, -0.05),
                (w * 0.62, 1.48, -0.03),
                (w * 0.9, 1.62, 0),
                (w * 1.05, 1.9, 0),
                (w * 1.12, 2.4, 0),
                (w * 1.16, 3.4, 0),
                (0.4, 3.4, 0.25),
                (0.46, 2.4, 0.25),
                (0.5, 1.95, 0.18),
            ],
            main.base,
            main.line,
            (0, 5, 6),
        )
        self._pair(
            [(n * 1.85, 1.38, -0.05), (0.62, 1.45, 0.0), (0.72, 1.78, 0.12), (0.47, 2.12, 0.24), (0.42, 1.8, 0.16)],
            main.light,
            main.line,
            (0, 3),
        )
        for m in (-1, 1):
            self._line(
                [(m * w * 0.8, 2.0, 0.12), (m * w * 0.76, 2.3, 0.14), (m * w * 0.77, 3.0, 0.1)], main.line, 0.024, 0.7
            )

    def _kimono(self) -> None:
        main, second, n = self.main, self.second, self.neck_width
        self._torso(main, [(n * 1.5, 1.44, 0.0), (0.25, 1.85, 0.2), (0.0, 2.1, 0.24)], bulk=0.03)
        # Left over right, as worn by the living: the piece on the character's left is on top.
        for m in (-1, 1):
            under = [
                (m * n * 1.2, 1.32, -0.02),
                (m * n * 1.75, 1.4, 0.0),
                (m * 0.3, 1.9, 0.22),
                (-m * 0.16, 2.35, 0.3),
                (-m * 0.42, 2.55, 0.3),
                (-m * 0.3, 2.28, 0.28),
                (m * 0.14, 1.86, 0.24),
            ]
            self._shape(under, "#fffdf8", second.line, sharp=(0, 1, 4))
            over = [
                (m * n * 1.5, 1.33, -0.02),
                (m * n * 2.2, 1.44, 0.0),
                (m * 0.44, 1.96, 0.2),
                (-m * 0.12, 2.55, 0.3),
                (-m * 0.3, 2.75, 0.3),
                (-m * 0.3, 2.5, 0.3),
                (m * 0.23, 1.93, 0.24),
            ]
            self._shape(over, second.base, second.line, sharp=(0, 1, 4))
        self._shape(
            [(-0.8, 2.42, 0.2), (0, 2.5, 0.32), (0.8, 2.42, 0.2), (0.85, 3.4, 0.2), (-0.85, 3.4, 0.2)],
            self.accent.base,
            self.accent.line,
            sharp=(0, 2, 3, 4),
        )
        for x, y in ((-0.95, 2.15), (0.98, 2.02), (0.72, 1.76)):
            self._flower(x * self.wide / 1.25, y)

    def _flower(self, x: float, y: float) -> None:
        (cx, cy) = self.pose.body.at([(x, y, 0.1)])[0]
        r = 0.062 * self.u
        for k in range(5):
            a = k * 2 * np.pi / 5 - np.pi / 2
            self.canvas.drawCircle(
                cx + r * float(np.cos(a)), cy + r * float(np.sin(a)), r * 0.72, fill(self.accent.light)
            )
        self.canvas.drawCircle(cx, cy, r * 0.55, fill(self.second.light))

    def _dress(self) -> None:
        n, main, accent = self.neck_width, self.main, self.accent
        self._torso(main, [(n * 1.9, 1.5, 0.02), (0.5, 1.78, 0.18), (0, 1.9, 0.26)])
        white = cloth_shades("#fffafc")
        for i in range(3):
            a = 0.02 + i * 0.26
            self._pair(
                [
                    (a, 1.86 - 0.09 * i, 0.27 - 0.05 * i),
                    (a + 0.02, 2.08 - 0.1 * i, 0.28 - 0.05 * i),
                    (a + 0.16, 2.13 - 0.11 * i, 0.26 - 0.05 * i),
                    (a + 0.3, 2.0 - 0.13 * i, 0.22 - 0.05 * i),
                    (a + 0.27, 1.8 - 0.12 * i, 0.22 - 0.05 * i),
                ],
                white.base,
                white.line,
                (0, 1, 3, 4),
            )
        self._pair(
            [(0.0, 2.06, 0.34), (0.2, 1.92, 0.34), (0.4, 1.96, 0.32), (0.38, 2.22, 0.32), (0.2, 2.18, 0.34)],
            accent.base,
            accent.line,
            (0,),
        )
        self._pair([(0.0, 2.08, 0.34), (0.22, 2.5, 0.34), (0.06, 2.62, 0.34)], accent.shadow, accent.line, (0, 1, 2))
        x, y = self.pose.body.at([(0, 2.07, 0.36)])[0]
        self.canvas.drawCircle(x, y, 0.085 * self.u, fill(accent.light))
        self.canvas.drawCircle(x, y, 0.085 * self.u, stroke(accent.line, 0.024 * self.u))


def _dark(colour: str) -> bool:
    return luma(colour) < 0.55
