"""Kinds of faces: proportions that distinguish people before any detail does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .identity import FaceKind, Identity

Spot = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
Nose = Literal["dot", "wedge", "bridge", "profile"]


@dataclass(frozen=True, slots=True)
class Face:
    """Proportions of one kind of face, in the units of the model or as factors of the classic one."""

    jaw: float = 1.0  # length of the lower face
    width: float = 1.0
    square: float = 0.0  # corners of the jaw, 0..1
    eye_wide: float = 1.0
    eye_tall: float = 1.0
    eye_x: float = 0.415  # from the middle of the face
    eye_y: float = 0.335
    iris: float = 1.0
    mouth_y: float = 0.785
    mouth: float = 1.0  # width
    nose: Nose = "wedge"
    brow: float = 1.0  # thickness
    brow_drop: float = 0.0  # how much nearer the brows sit to the eyes
    lips: float = 0.0  # tint, 0..1
    lash: float = 1.0


FACES: Final[dict[FaceKind, Face]] = {
    "classic": Face(),
    "chibi": Face(
        jaw=0.88,
        width=1.05,
        eye_wide=1.1,
        eye_tall=1.13,
        eye_x=0.425,
        eye_y=0.39,
        iris=1.08,
        mouth_y=0.775,
        mouth=0.88,
        nose="dot",
        brow=0.8,
        lash=1.05,
    ),
    "elegant": Face(
        jaw=1.06,
        width=0.92,
        eye_wide=1.02,
        eye_tall=0.78,
        eye_x=0.405,
        eye_y=0.31,
        iris=0.95,
        mouth_y=0.80,
        mouth=0.95,
        nose="bridge",
        brow=0.85,
        brow_drop=0.02,
        lips=0.8,
        lash=1.25,
    ),
    "hero": Face(
        jaw=1.09,
        width=0.97,
        square=0.65,
        eye_wide=0.97,
        eye_tall=0.7,
        eye_x=0.41,
        eye_y=0.305,
        iris=0.9,
        mouth_y=0.82,
        mouth=1.1,
        nose="profile",
        brow=1.7,
        brow_drop=0.05,
        lash=0.6,
    ),
    "comic": Face(
        jaw=1.02,
        width=0.96,
        square=0.25,
        eye_wide=0.9,
        eye_tall=0.9,
        eye_x=0.395,
        eye_y=0.325,
        iris=0.84,
        mouth_y=0.80,
        mouth=1.15,
        nose="profile",
        brow=1.3,
        lips=0.3,
        lash=0.85,
    ),
}


def face_of(who: Identity) -> Face:
    """The proportions of a character."""
    return FACES[who.face]


def eye_spot(who: Identity, m: int) -> Spot:
    """Origin and axes of the flat sheet on which an eye is drawn; m is 1 for the left eye (+x), -1 for the right."""
    face = face_of(who)
    return (m * face.eye_x, face.eye_y, 0.63), (0.97, 0.0, -m * 0.2), (0.0, 1.0, -0.04)


def eye_scale(who: Identity) -> tuple[float, float]:
    """How large an eye is drawn on its sheet, across and down."""
    face = face_of(who)
    return (0.94 + 0.2 * who.eye_size) * face.eye_wide, (0.78 + 0.42 * who.eye_size) * face.eye_tall


def mouth_spot(who: Identity) -> Spot:
    """Origin and axes of the sheet of the mouth."""
    face = face_of(who)
    return (0.0, 0.34 + (face.mouth_y - 0.34) * (0.5 + 0.5 * face.jaw), 0.72), (1.0, 0.0, 0.0), (0.0, 1.0, -0.12)
