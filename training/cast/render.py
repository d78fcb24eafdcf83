"""One picture of one character: draws the layers in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import skia
from PIL import Image

from runtime.composite.references import LAYERS

from .accessories import AccessoryLayer
from .face import FaceLayer
from .faces import eye_scale, eye_spot, face_of, mouth_spot
from .hair import HairLayer
from .identity import Identity
from .outfit import BodyLayer
from .pose import Controls, Pose, solve

Box = tuple[int, int, int, int]
Picture = npt.NDArray[np.uint8]
SUPERSAMPLING: Final = 2
_CELL: Final = 8  # colours continue about this many pixels into transparency


def render(identity: Identity, controls: Controls, size_px: int, *, supersampling: int = SUPERSAMPLING) -> Picture:
    """Draw a character.

    Args:
        identity: the character.
        controls: by name, or numbers [c] in the order of `PORTRAIT_CONTROLS`; clamped to their ranges.
        size_px: side of the square picture.
        supersampling: the picture is drawn this many times larger and averaged.

    Returns:
        uint8 [H, W, 4], RGB and straight alpha, sRGB, first row on top. Where alpha is 0 the colour of the nearest
        painted region continues for some pixels, so that resizing shows no dark fringe.
    """
    return _draw(identity, solve(controls, size_px * supersampling), LAYERS, size_px, supersampling)


def render_layers(
    identity: Identity,
    controls: Controls,
    size_px: int,
    *,
    layers: Sequence[str] = LAYERS,
    whole: bool = False,
    supersampling: int = SUPERSAMPLING,
) -> dict[str, Picture]:
    """Draw the layers that `render` composites, each also where another one hides it.

    Args:
        identity: the character.
        controls: as for `render`.
        size_px: side of the square pictures.
        layers: which of `LAYERS`.
        whole: for references: hair in front is solid, where brows showing through would otherwise be holes, and
            eyes extend behind the lids.
        supersampling: as for `render`.

    Returns:
        one picture per layer, as from `render`. All `LAYERS` composited in that order are the whole
        picture, up to rounding.
    """
    pose = solve(controls, size_px * supersampling)
    return {layer: _draw(identity, pose, (layer,), size_px, supersampling, solid=whole) for layer in layers}


def regions(identity: Identity, controls: Controls, size_px: int) -> dict[str, Box]:
    """Boxes (x0, y0, x1, y1), clipped to the picture, around eyes and mouth in any state.

    The boxes depend on the pose of the head and cover the fully open eye and mouth with a small margin.
    """
    head = solve(controls, size_px).head
    across, down = eye_scale(identity)
    wide, tall = 0.94 * across, max(0.86, 0.82 * down)
    mouth = face_of(identity).mouth
    out: dict[str, Box] = {}
    for name, spot, (left, top, right, bottom) in (
        ("eyeLeft", eye_spot(identity, 1), (-0.32 * wide, -0.34 * tall, 0.36 * wide, 0.32 * tall)),
        ("eyeRight", eye_spot(identity, -1), (-0.36 * wide, -0.34 * tall, 0.32 * wide, 0.32 * tall)),
        ("mouth", mouth_spot(identity), (-0.32 * mouth, -0.14, 0.32 * mouth, 0.32)),
    ):
        o, a, d = (np.asarray(v) for v in spot)
        flat = np.array(
            head.at([o + a * x + d * y for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))])
        )
        low, high = np.floor(flat.min(axis=0)), np.ceil(flat.max(axis=0))
        x0, y0, x1, y1 = (int(np.clip(v, 0, size_px)) for v in (*low, *high))
        out[name] = (x0, y0, x1, y1)
    return out


def _draw(
    who: Identity, pose: Pose, layers: Sequence[str], size_px: int, supersampling: int, *, solid: bool = False
) -> Picture:
    large = size_px * supersampling
    surface, pixels = _surface(large)
    _paint(surface.getCanvas(), who, pose, layers, solid=solid)
    surface.readPixels(skia.ImageInfo.Make(large, large, skia.kRGBA_8888_ColorType, skia.kPremul_AlphaType), pixels)
    # "RGBa" is Pillow's name for premultiplied colours, the only ones that may be averaged.
    picture = Image.frombuffer("RGBa", (large, large), pixels, "raw", "RGBa", 0, 1)
    return _straight(picture.reduce(supersampling) if supersampling > 1 else picture)


def _paint(canvas: Any, who: Identity, pose: Pose, layers: Sequence[str], *, solid: bool) -> None:
    canvas.clear(0)
    hair = HairLayer(canvas, who, pose)
    face = FaceLayer(canvas, who, pose)
    extras = AccessoryLayer(canvas, who, pose, hair)
    if "back" in layers:
        hair.back()
        extras.behind()
    if "body" in layers:
        BodyLayer(canvas, who, pose).draw()
    if "inner" in layers:
        face.inner(whole=solid)
    if "head" in layers:
        canvas.saveLayer()
        face.ears()
        face.skin()
        hair.shadow(face.contour)
        face.features()
        face.brows()
        canvas.restore()
        extras.on_face()
    if "front" in layers:
        canvas.saveLayer()
        hair.front()
        if not solid:
            face.brow_holes(0.42)
        canvas.restore()
        extras.on_hair()


@lru_cache(maxsize=4)
def _surface(size: int) -> tuple[Any, Picture]:
    return skia.Surface(size, size), np.zeros((size, size, 4), np.uint8)


def _straight(premultiplied: Image.Image) -> Picture:
    """Undo the premultiplication and extend colours a little into the transparent part."""
    out = np.array(premultiplied.convert("RGBA"))
    size = out.shape[0]
    cells = np.asarray(premultiplied.reduce(_CELL)).astype(np.float32)
    n = cells.shape[0]
    spread = np.pad(cells, ((1, 1), (1, 1), (0, 0)))
    near = cells + sum(spread[y : y + n, x : x + n] for y in range(3) for x in range(3)) * 0.01
    colour = (near[..., :3] * 255.0 / np.maximum(near[..., 3:], 1e-3)).clip(0, 255).astype(np.uint8)
    behind = colour.repeat(_CELL, axis=0).repeat(_CELL, axis=1)[:size, :size]
    np.copyto(out[..., :3], behind, where=out[..., 3:] == 0)
    return out
