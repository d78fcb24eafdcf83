"""Colours, and families of shades derived from one base colour."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

Rgb = tuple[float, float, float]


def parse(colour: str) -> Rgb:
    """'#rrggbb' as three numbers in 0..1."""
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def to_hex(rgb: Rgb) -> str:
    """Three numbers in 0..1 (clamped) as '#rrggbb'."""
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, v))):02x}" for v in rgb)


def mix(a: str, b: str, t: float) -> str:
    """Colour between `a` (t = 0) and `b` (t = 1)."""
    p, q = parse(a), parse(b)
    return to_hex((p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t, p[2] + (q[2] - p[2]) * t))


def tinted(colour: str, tint: Rgb) -> str:
    """Colour under a coloured light: a product, which is how cel painters make their shadows."""
    r, g, b = parse(colour)
    return to_hex((r * tint[0], g * tint[1], b * tint[2]))


def from_hsv(hue: float, saturation: float, value: float) -> str:
    """Hue in turns (any real number), saturation and value in 0..1."""
    return to_hex(colorsys.hsv_to_rgb(hue % 1.0, min(1.0, max(0.0, saturation)), min(1.0, max(0.0, value))))


def luma(colour: str) -> float:
    """Perceived brightness, 0..1."""
    r, g, b = parse(colour)
    return 0.299 * r + 0.587 * g + 0.114 * b


@dataclass(frozen=True, slots=True)
class Shades:
    """A painted material: the base colour and its variants in light and ink."""

    base: str
    light: str
    glow: str
    shadow: str
    deep: str
    line: str


@lru_cache(maxsize=4096)
def skin_shades(base: str) -> Shades:
    """Skin: shadows lean to red, lines are a dark warm brown, never black."""
    dark = 1.0 - luma(base)
    return Shades(
        base=base,
        light=mix(base, "#fff6ee", 0.42 - 0.22 * dark),
        glow=mix(base, "#ffffff", 0.7 - 0.35 * dark),
        shadow=tinted(base, (0.925, 0.765, 0.765)),
        deep=tinted(base, (0.82, 0.61, 0.635)),
        line=tinted(base, (0.52, 0.27, 0.29)),
    )


@lru_cache(maxsize=4096)
def hair_shades(base: str) -> Shades:
    """Hair: shadows lean to violet; very dark hair gets a bluish shine instead of a white one."""
    bright = luma(base)
    return Shades(
        base=base,
        light=mix(base, "#fff4e6", 0.16 + 0.08 * bright),
        glow=mix(
            base,
            "#ffffff" if bright > 0.24 else tinted("#c9d0ff", parse(mix(base, "#ffffff", 0.75))),
            0.34 + 0.34 * bright,
        ),
        shadow=tinted(base, (0.80, 0.72, 0.84)),
        deep=tinted(base, (0.62, 0.53, 0.70)),
        line=mix(tinted(base, (0.40, 0.30, 0.45)), "#1c1426", 0.18),
    )


@lru_cache(maxsize=8192)
def cloth_shades(base: str) -> Shades:
    """Cloth: cool soft shadows."""
    return Shades(
        base=base,
        light=mix(base, "#ffffff", 0.22),
        glow=mix(base, "#ffffff", 0.5),
        shadow=tinted(base, (0.83, 0.81, 0.91)),
        deep=tinted(base, (0.67, 0.64, 0.78)),
        line=mix(tinted(base, (0.46, 0.38, 0.50)), "#2a1d33", 0.2),
    )


# Skin from porcelain to deep brown, each with a matching blush.
SKINS: Final[tuple[tuple[str, str], ...]] = (
    ("#fff0e8", "#ff9a9a"),
    ("#ffe9dc", "#ff9590"),
    ("#fde2d0", "#f98d84"),
    ("#f9d8bf", "#f08273"),
    ("#efc5a3", "#e5745f"),
    ("#dca97f", "#d2624c"),
    ("#c08a62", "#bd4f40"),
    ("#9c6a4a", "#a84438"),
    ("#7b5039", "#963a36"),
)
NATURAL_HAIR: Final[tuple[str, ...]] = (
    "#2d2a36", "#3a2f38", "#4a3530", "#6b4636", "#8a5a3c", "#a8713f", "#c99552",
    "#e6c27a", "#f3dca6", "#b4553a", "#d4713f", "#8e8f9c", "#d9dbe6", "#f2eef0",
)  # fmt: skip
FANTASY_HAIR: Final[tuple[str, ...]] = (
    "#f4a7b9", "#ef7f9f", "#d8a4e2", "#a98be0", "#7d78d6", "#6f8fe0", "#7fb8ee", "#8fdcea",
    "#59c6bd", "#7fd9b4", "#8ccf86", "#c4dd7a", "#f5b386", "#f08a6a", "#d65562", "#475a9c", "#2f6f7c", "#6a4a8c",
)  # fmt: skip
IRISES: Final[tuple[str, ...]] = (
    "#3f7fd6", "#46b3e0", "#35b7a6", "#4fae62", "#8fb53a", "#e0a02c", "#d9762c", "#b0623a",
    "#8a5638", "#cf4a52", "#dd5c94", "#a35cd0", "#6a5fd8", "#7a8296",
)  # fmt: skip
# Outfits: main cloth, second cloth, accent. Hand-made triples, so that no combination is ugly.
CLOTHES: Final[tuple[tuple[str, str, str], ...]] = (
    ("#f7f8ff", "#3a4a96", "#e8546c"),
    ("#fdf6ee", "#7a4a5c", "#e0a53c"),
    ("#f4f7fb", "#2f5f6c", "#f08a5a"),
    ("#3d4568", "#f5f2ee", "#c8434f"),
    ("#5a4a72", "#f7f0f6", "#e8b24a"),
    ("#39585a", "#f3efe4", "#d98a3c"),
    ("#8f4452", "#fff3ea", "#3d4568"),
    ("#e9849a", "#fff4f2", "#7a5ac0"),
    ("#f2b84b", "#fff8e8", "#3f6fa8"),
    ("#7cc4b4", "#fbfff8", "#f07f6a"),
    ("#8fa8dc", "#f8fbff", "#f0c24e"),
    ("#b59bd8", "#fdf8ff", "#5fb8a8"),
    ("#2e3140", "#e7e9f2", "#e0565b"),
    ("#c9d2e0", "#4a5878", "#e87a8c"),
    ("#e7d8c3", "#8a6a52", "#5f8f7a"),
    ("#6f8f5f", "#f6f4e4", "#d8734a"),
)


def vary(rng: np.random.Generator, colour: str, amount: float) -> str:
    """Vary hue, saturation and value slightly, so that no two characters share exactly one colour."""
    h, s, v = colorsys.rgb_to_hsv(*parse(colour))
    dh, ds, dv = rng.normal(size=3) * amount
    return from_hsv(h + 0.05 * dh, s * (1 + 0.35 * ds), min(0.99, v * (1 + 0.16 * dv)))
