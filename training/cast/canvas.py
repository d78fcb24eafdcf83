"""Thin helpers over Skia: smooth curves, paints, gradients."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import skia

Point = Sequence[float]
Points = Sequence[Point]
FloatArray = npt.NDArray[np.float64]
NONE: frozenset[int] = frozenset()


def curve(points: Points, *, closed: bool = False, sharp: Collection[int] = NONE, round_: float = 0.36) -> Any:
    """A smooth path through points.

    Each handle is a fixed part of its own segment, so that unevenly spaced points give neither overshoot nor loops;
    0.36 draws a circle from six points.

    Args:
        points: [n, 2] in pixels.
        closed: joins the last point to the first.
        sharp: indices of points that are corners.
        round_: handle length in segments; 0 draws straight lines.
    """
    n = len(points)
    path = skia.Path()
    x0, y0 = points[0]
    path.moveTo(x0, y0)
    directions: list[tuple[float, float]] = []
    for i in range(n):
        if i in sharp:
            directions.append((0.0, 0.0))
            continue
        if closed:
            a, b = points[i - 1], points[i + 1 - n]
        else:
            a, b = points[i - 1 if i else 0], points[i + 1 if i + 1 < n else i]
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = math.hypot(dx, dy) + 1e-9
        directions.append((dx / length, dy / length))
    cubic_to = path.cubicTo
    for i in range(n if closed else n - 1):
        j = i + 1 if i + 1 < n else 0
        (ax, ay), (bx, by) = points[i], points[j]
        h = math.hypot(bx - ax, by - ay) * round_
        (ux, uy), (vx, vy) = directions[i], directions[j]
        cubic_to(ax + ux * h, ay + uy * h, bx - vx * h, by - vy * h, bx, by)
    if closed:
        path.close()
    return path


def tapered(points: Points, width: float, *, closing: bool = False) -> Any:
    """A tapered line like a pen stroke: a closed leaf around its spine.

    Args:
        points: the spine, [n, 2] in pixels.
        width: half of the maximum thickness, in pixels.
        closing: tapered at the first point only, and at full thickness at the last.
    """
    spine = np.asarray(points, dtype=np.float64)
    along = np.gradient(spine, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    part = np.linspace(0.0, 1.0, len(spine))[:, None]
    swell = part**0.8 if closing else np.sin(np.pi * (0.06 + 0.9 * part)) ** 0.8
    leaf = np.concatenate([spine + across * (width * swell), (spine - across * (width * swell))[::-1]])
    return curve(leaf.tolist(), closed=True)


@lru_cache(maxsize=65536)
def argb(colour: str, alpha: float = 1.0) -> int:
    """'#rrggbb' and an opacity as Skia's packed colour."""
    value = skia.Color(int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), round(255 * alpha))
    return int(value)


@lru_cache(maxsize=8192)
def _fill(colour: int) -> Any:
    return skia.Paint(Color=colour, AntiAlias=True)


@contextmanager
def seen_through(canvas: Any, opening: Any, *, beyond: float) -> Iterator[None]:
    """Clip what is painted inside the block to a path, plus a margin beyond its edge."""
    canvas.saveLayer()
    yield
    canvas.saveLayer(None, skia.Paint(BlendMode=skia.BlendMode.kDstIn))
    canvas.drawPath(opening, fill("#ffffff"))
    canvas.drawPath(opening, stroke("#ffffff", 2 * beyond))
    canvas.restore()
    canvas.restore()


def open_up(canvas: Any, opening: Any) -> None:
    """Erase what was painted inside a path."""
    canvas.drawPath(opening, skia.Paint(AntiAlias=True, BlendMode=skia.BlendMode.kDstOut))


def fill(colour: str, alpha: float = 1.0) -> Any:
    """A flat paint."""
    return _fill(argb(colour, round(alpha, 3)))


def stroke(colour: str, width: float, alpha: float = 1.0) -> Any:
    """A line paint with round ends, width in the units of the canvas."""
    return skia.Paint(
        Color=argb(colour, round(alpha, 3)),
        AntiAlias=True,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        StrokeCap=skia.Paint.kRound_Cap,
        StrokeJoin=skia.Paint.kRound_Join,
    )


def blend(a: Point, b: Point, colours: Sequence[int], stops: Sequence[float] | None = None) -> Any:
    """A paint with a straight gradient from a to b; colours from `argb`."""
    shader = skia.GradientShader.MakeLinear(
        [skia.Point(float(a[0]), float(a[1])), skia.Point(float(b[0]), float(b[1]))],
        list(colours),
        list(stops) if stops is not None else [],
    )
    return skia.Paint(AntiAlias=True, Shader=shader)


def glow(centre: Point, radius: float, colours: Sequence[int], stops: Sequence[float] | None = None) -> Any:
    """A paint with a round gradient; colours from `argb`. Cheaper than a blur and just as soft."""
    shader = skia.GradientShader.MakeRadial(
        skia.Point(float(centre[0]), float(centre[1])),
        float(radius),
        list(colours),
        list(stops) if stops is not None else [],
    )
    return skia.Paint(AntiAlias=True, Shader=shader)


def lerp(a: float, b: float, t: float) -> float:
    """Value between a (t = 0) and b (t = 1)."""
    return a + (b - a) * t


def clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Clamp a value to low..high."""
    return low if value < low else high if value > high else value
