"""A character's identity: fixed attributes, and how to invent new ones."""

from __future__ import annotations

import colorsys
from typing import Any, Final, Literal, get_args

import msgspec
import numpy as np

from .palette import CLOTHES, FANTASY_HAIR, IRISES, NATURAL_HAIR, SKINS, from_hsv, luma, mix, parse, vary

HairStyle = Literal["long", "bob", "ponytail", "twinTails", "short", "spiky", "curly", "bun"]
Fringe = Literal["full", "swept", "curtain", "choppy", "side", "hime"]
Outfit = Literal["sailor", "hoodie", "blazer", "turtleneck", "jacket", "kimono", "dress"]
EyeShape = Literal["round", "almond", "tareme", "tsurime", "doll", "sleepy", "sharp", "flat"]
IrisStyle = Literal["gradient", "ring", "star", "flat", "slit", "jewel"]
FaceKind = Literal["classic", "chibi", "elegant", "hero", "comic"]
Accessory = Literal["glasses", "hairPin", "ribbon", "headphones", "catEars"]

HAIR_STYLES: Final[tuple[HairStyle, ...]] = get_args(HairStyle)
FRINGES: Final[tuple[Fringe, ...]] = get_args(Fringe)
OUTFITS: Final[tuple[Outfit, ...]] = get_args(Outfit)
EYE_SHAPES: Final[tuple[EyeShape, ...]] = get_args(EyeShape)
IRIS_STYLES: Final[tuple[IrisStyle, ...]] = get_args(IrisStyle)
FACE_KINDS: Final[tuple[FaceKind, ...]] = get_args(FaceKind)
ACCESSORIES: Final[tuple[Accessory, ...]] = get_args(Accessory)


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attributes of one character. Numbers are 0..1 with 0.5 as the middle of the cast; colours are '#rrggbb'."""

    # Hair
    hair_style: HairStyle = "bob"
    fringe: Fringe = "full"
    hair_side: int = 1  # -1 or 1: which way the fringe falls and which side carries the pin or ribbon
    side_locks: float = 0.5  # 0 none .. 1 down to the chest
    hair_length: float = 0.5
    hair_volume: float = 0.5
    ahoge: float = 0.0  # the stray hair on top; 0 none
    hair: str = "#6b4636"
    hair_tips: str = "#6b4636"  # another colour than `hair` gives two-tone ends
    # Face
    face: FaceKind = "classic"
    light: int = 1  # 1: light from the viewer's upper left, -1: from the upper right
    face_width: float = 0.5
    chin: float = 0.5  # 0 pointed .. 1 broad jaw
    cheek: float = 0.5
    skin: str = "#ffe9dc"
    blush: str = "#ff9590"
    blush_amount: float = 0.4
    freckles: float = 0.0
    mole: int = 0  # -1 under the right eye, 0 none, 1 under the left eye
    nose: float = 0.5
    mouth_width: float = 0.5
    # Eyes and brows
    eye_shape: EyeShape = "round"
    eye_size: float = 0.6
    lash: float = 0.6
    iris_style: IrisStyle = "gradient"
    iris_left: str = "#3f7fd6"
    iris_right: str = "#3f7fd6"
    brow_thickness: float = 0.4
    brow_tilt: float = 0.0  # -1 gentle .. 1 stern
    # Body and clothes
    neck: float = 0.4
    shoulders: float = 0.4
    outfit: Outfit = "sailor"
    cloth: str = "#f7f8ff"
    cloth_second: str = "#3a4a96"
    accent: str = "#e8546c"
    accessories: tuple[Accessory, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        out: dict[str, Any] = msgspec.to_builtins(self)
        return out


def from_dict(attributes: dict[str, Any]) -> Identity:
    """The identity that `Identity.to_dict` described.

    Raises:
        msgspec.ValidationError: an unknown attribute or a value of the wrong kind.
    """
    return msgspec.convert(attributes, Identity, strict=False)


def _pick(rng: np.random.Generator, options: tuple[Any, ...], weights: tuple[float, ...] | None = None) -> Any:
    chances = None if weights is None else np.asarray(weights) / sum(weights)
    return options[int(rng.choice(len(options), p=chances))]


def _around(rng: np.random.Generator, middle: float, spread: float) -> float:
    return round(float(np.clip(rng.normal(middle, spread), 0.0, 1.0)), 3)


def _tips(rng: np.random.Generator, hair: str) -> str:
    """A neighbouring or lighter hue: distant colours would blend to mud between root and tip."""
    h, s, v = colorsys.rgb_to_hsv(*parse(hair))
    turn = float(rng.choice((-1, 1)) * rng.uniform(0.09, 0.17))
    return from_hsv(h + turn, 0.12 + 0.75 * s, min(0.98, 0.3 + 0.75 * v))


def sample_identity(rng: np.random.Generator) -> Identity:
    """Invent a character. One hidden number from girlish to boyish keeps the proportions consistent."""
    boyish = float(rng.beta(0.75, 1.15))
    tone = int(np.clip(rng.normal(2.2, 2.1), 0, len(SKINS) - 1))
    skin, blush = SKINS[tone]
    skin = vary(rng, skin, 0.12)
    natural = rng.random() < 0.42 + 0.05 * tone
    hair = vary(rng, _pick(rng, NATURAL_HAIR if natural else FANTASY_HAIR), 0.4)
    # Skin and hair of equal brightness blur together at 256 pixels.
    if abs(luma(hair) - luma(skin)) < 0.09:
        hair = mix(hair, "#2a2438" if luma(skin) > 0.5 else "#fff2e0", 0.38)
    tips = _tips(rng, hair) if rng.random() < 0.22 else hair
    iris = vary(rng, _pick(rng, IRISES), 0.4)
    other = vary(rng, _pick(rng, IRISES), 0.4) if rng.random() < 0.05 else iris
    main, second, accent = _pick(rng, CLOTHES)
    if rng.random() < 0.25:
        accent = mix(accent, iris, 0.7)
    girl = (0.2, 0.17, 0.13, 0.15, 0.06, 0.03, 0.12, 0.14)
    boy = (0.08, 0.07, 0.05, 0.0, 0.38, 0.3, 0.12, 0.0)
    style = _pick(rng, HAIR_STYLES, tuple(g * (1 - boyish) + b * boyish for g, b in zip(girl, boy, strict=True)))
    fringe_weights = (0.2, 0.2, 0.17, 0.18, 0.17, 0.11 * (1 - boyish))
    outfit_weights = (0.2 * (1 - boyish), 0.17, 0.17, 0.13, 0.16, 0.11, 0.13 * (1 - boyish))
    chances: tuple[tuple[Accessory, float], ...] = (
        ("glasses", 0.14),
        ("hairPin", 0.22 * (1 - boyish)),
        ("ribbon", 0.2 * (1 - boyish) ** 2),
        ("headphones", 0.09),
        ("catEars", 0.08),
    )
    soft, hard = (0.32, 0.24, 0.26, 0.0, 0.18), (0.2, 0.1, 0.12, 0.36, 0.22)
    lids_girl = (0.2, 0.12, 0.15, 0.14, 0.16, 0.09, 0.08, 0.06)
    lids_boy = (0.12, 0.17, 0.12, 0.17, 0.0, 0.13, 0.17, 0.12)
    extras = tuple(name for name, chance in chances if rng.random() < chance)
    on_top = [name for name in extras if name in ("catEars", "headphones", "ribbon")]
    extras = tuple(name for name in extras if name not in on_top[:-1])  # one thing on top of the head at a time
    return Identity(
        hair_style=style,
        fringe=_pick(rng, FRINGES, fringe_weights),
        hair_side=int(rng.choice((-1, 1))),
        side_locks=_around(rng, 0.62 - 0.5 * boyish, 0.22),
        hair_length=_around(rng, 0.5, 0.26),
        hair_volume=_around(rng, 0.5, 0.22),
        ahoge=round(float(rng.uniform(0.4, 1.0)), 3) if rng.random() < 0.28 else 0.0,
        hair=hair,
        hair_tips=tips,
        face=_pick(rng, FACE_KINDS, tuple(g * (1 - boyish) + b * boyish for g, b in zip(soft, hard, strict=True))),
        light=int(rng.choice((-1, 1))),
        face_width=_around(rng, 0.5, 0.2),
        chin=_around(rng, 0.3 + 0.42 * boyish, 0.13),
        cheek=_around(rng, 0.6 - 0.25 * boyish, 0.18),
        skin=skin,
        blush=blush,
        blush_amount=_around(rng, 0.5 - 0.35 * boyish, 0.2),
        freckles=round(float(rng.uniform(0.5, 1.0)), 3) if rng.random() < 0.08 else 0.0,
        mole=int(rng.choice((-1, 1))) if rng.random() < 0.1 else 0,
        nose=_around(rng, 0.35 + 0.3 * boyish, 0.15),
        mouth_width=_around(rng, 0.45 + 0.15 * boyish, 0.18),
        eye_shape=_pick(
            rng, EYE_SHAPES, tuple(g * (1 - boyish) + b * boyish for g, b in zip(lids_girl, lids_boy, strict=True))
        ),
        eye_size=_around(rng, 0.72 - 0.5 * boyish, 0.13),
        lash=_around(rng, 0.75 - 0.6 * boyish, 0.14),
        iris_style=_pick(rng, IRIS_STYLES, (0.36, 0.18, 0.08, 0.16, 0.08, 0.14)),
        iris_left=iris,
        iris_right=other,
        brow_thickness=_around(rng, 0.26 + 0.5 * boyish, 0.12),
        brow_tilt=round(float(np.clip(rng.normal(0.25 * boyish - 0.1, 0.3), -1, 1)), 3),
        neck=_around(rng, 0.25 + 0.5 * boyish, 0.1),
        shoulders=_around(rng, 0.25 + 0.55 * boyish, 0.12),
        outfit=_pick(rng, OUTFITS, outfit_weights),
        cloth=vary(rng, main, 0.12),
        cloth_second=vary(rng, second, 0.12),
        accent=accent,
        accessories=extras[:2],
    )
