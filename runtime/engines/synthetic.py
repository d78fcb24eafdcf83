"""A test card instead of a network: for engine developers, and for tests without a character.

Shows the corners, every control as a bar, and a face of rectangles that follows the pose. Drawn with numpy slices
into the caller's memory; the same inputs always give the same bytes.
"""

from __future__ import annotations

import colorsys
from typing import Final

import numpy as np

from runtime.character.controls import PORTRAIT_CONTROLS, Control
from runtime.character.expressions import default_expressions
from runtime.character.idle import IdleSettings
from runtime.character.latents import Latents
from runtime.character.role import Role

from .base import Engine, EngineDescription, Floats, Pixels, Sizes

_IDENTITIES: Final = ("teal", "amber", "rose", "lime")
_CORNERS: Final = ((230, 60, 60, 255), (60, 200, 60, 255), (60, 90, 230, 255), (240, 240, 240, 255))


def synthetic_role(*, width: int = 256, height: int = 256) -> Role:
    """The test card as a role: portrait controls, four coloured identities."""
    hues = (0.5, 0.12, 0.93, 0.27)
    colours = np.array([colorsys.hsv_to_rgb(hue, 0.6, 0.9) for hue in hues], np.float32)
    rows = {name: index for index, name in enumerate(_IDENTITIES)}
    return Role(
        name="Test card",
        digest="",
        licence="MIT",
        width=width,
        height=height,
        controls=PORTRAIT_CONTROLS,
        latents=Latents(rows, colours, {}),
        expressions=default_expressions(PORTRAIT_CONTROLS),
        idle=IdleSettings(),
    )


class SyntheticEngine(Engine):
    """Draws the test card; the first three numbers of `w` are the colour of the face."""

    def __init__(self, controls: tuple[Control, ...], *, width: int, height: int, w_dim: int = 3) -> None:
        super().__init__()
        self._controls = controls
        self._row = {control.name: index for index, control in enumerate(controls)}
        self._base: Pixels = np.empty((0, 0, 4), np.uint8)
        sizes = Sizes(w_dim, len(controls), width, height)
        self._description = EngineDescription("synthetic", "numpy", np.__version__, "fp32", 1, sizes)

    @property
    def description(self) -> EngineDescription:
        """Description of the engine."""
        return self._description

    def _load(self) -> None:
        about = self._description
        base = np.zeros((about.sizes.height, about.sizes.width, 4), np.uint8)
        # Colour bleeds into alpha 0, as the format requires: a grey that no edge shows.
        base[..., :3] = 128
        corner = max(1, min(about.sizes.width, about.sizes.height) // 16)
        for (top, left), colour in zip(((1, 1), (1, 0), (0, 1), (0, 0)), _CORNERS, strict=True):
            rows = slice(0, corner) if top else slice(about.sizes.height - corner, None)
            columns = slice(0, corner) if left else slice(about.sizes.width - corner, None)
            base[rows, columns] = colour
        self._base = base

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        for index in range(out.shape[0]):
            np.copyto(out[index], self._base)
            self._draw_face(w[index], controls[index], out[index])
            self._draw_bars(controls[index], out[index])

    def _draw_face(self, w: Floats, controls: Floats, out: Pixels) -> None:
        about = self._description
        unit = min(about.sizes.width, about.sizes.height)

        def value(name: str) -> float:
            return float(controls[self._row[name]]) if name in self._row else 0.0

        x = about.sizes.width * 0.5 + unit * value("headYaw") / 180.0
        y = about.sizes.height * 0.42 - unit * value("headPitch") / 180.0 - unit * 0.01 * value("breath")
        red, green, blue = (int(min(1.0, max(0.0, float(channel))) * 255) for channel in np.resize(w, 3))
        skin = (red, green, blue, 255)
        self._box(out, (x, y), (unit * 0.5, unit * 0.56), skin)
        for side, name in ((1.0, "Left"), (-1.0, "Right")):
            # The character's left is on the viewer's right.
            eye_x = x + side * unit * 0.12 + unit * value("headYaw") / 500.0
            lean = side * unit * value("headRoll") / 400.0
            eye_y = y - unit * 0.08 - lean
            opened = max(0.06, 1.0 - value(f"eyeBlink{name}") + 0.3 * value(f"eyeWide{name}"))
            self._box(out, (eye_x, eye_y), (unit * 0.12, unit * 0.1 * opened), (250, 250, 250, 255))
            pupil_x = eye_x + unit * value("gazeYaw") / 800.0
            pupil_y = eye_y - unit * value("gazePitch") / 800.0
            self._box(out, (pupil_x, pupil_y), (unit * 0.04, unit * 0.06 * min(1.0, opened)), (30, 30, 40, 255))
            brow = value(f"browOuterUp{name}") - value(f"browDown{name}")
            self._box(out, (eye_x, eye_y - unit * (0.09 + 0.03 * brow)), (unit * 0.12, unit * 0.02), (70, 50, 40, 255))
        opened = max(value("jawOpen"), value("aa"), value("oh"), 0.5 * value("ee"))
        wide = 1.0 + 0.3 * (value("mouthSmileLeft") + value("mouthSmileRight") + value("happy")) - 0.5 * value("ou")
        self._box(out, (x, y + unit * 0.17), (unit * 0.16 * wide, unit * (0.015 + 0.12 * opened)), (150, 40, 60, 255))

    def _draw_bars(self, controls: Floats, out: Pixels) -> None:
        about = self._description
        count = len(self._controls)
        left = about.sizes.width // 8
        step = (about.sizes.width - 2 * left) / count
        bottom, tall = about.sizes.height - max(1, about.sizes.height // 16), about.sizes.height // 6
        for index, control in enumerate(self._controls):
            span = control.maximum - control.minimum
            share = min(1.0, max(0.0, (float(controls[index]) - control.minimum) / span)) if span > 0 else 0.0
            begin = int(left + index * step)
            end = max(begin + 1, int(left + (index + 1) * step) - 1)
            out[bottom - tall : bottom, begin:end] = (40, 44, 52, 255)
            out[bottom - max(1, int(tall * share)) : bottom, begin:end] = (120, 200, 255, 255)

    @staticmethod
    def _box(
        out: Pixels, centre: tuple[float, float], size: tuple[float, float], colour: tuple[int, int, int, int]
    ) -> None:
        (x, y), (width, height) = centre, size
        top, left = max(0, int(y - height / 2)), max(0, int(x - width / 2))
        out[top : max(top, int(y + height / 2)), left : max(left, int(x + width / 2))] = colour

    def _unload(self) -> None:
        self._base = np.empty((0, 0, 4), np.uint8)
