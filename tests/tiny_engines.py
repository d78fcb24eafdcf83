"""Every engine, playing the tiny character; skips with the reason where one cannot run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.character.file import Character
from runtime.engines import tensorrt, tensorrt_rtx
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Engine, Sizes
from runtime.engines.cache import EngineCache
from runtime.engines.factory import Candidate, EngineSettings
from runtime.engines.factory import make_engine as make
from runtime.engines.table import SYNTHETIC, unavailable
from tests.tiny_character import CONTROLS, SIDE, W_DIM

SIZES = Sizes(W_DIM, CONTROLS, SIDE, SIDE)
LAYOUT = hashlib.sha256(b"tiny").hexdigest()


def make_engine(name: str, tiny: Path, **options: Any) -> Engine:
    """An engine that is not active yet.

    Args:
        name: of the backend.
        tiny: from `write_tiny`; anything built for it is kept beside it.
        options: how a prebuilt engine is to draw, as in `GeneratorModel`.
    """
    if name != SYNTHETIC:
        skip_for(unavailable(name))
    ahead = {"tensorrt": tensorrt.TensorRtEngine, "tensorrt-rtx": tensorrt_rtx.TensorRtRtxEngine}
    if name in ahead:
        model = GeneratorModel(generator_of(tiny), SIZES, **{"precision": "fp32", "layout": LAYOUT, **options})
        return ahead[name](model, cache=EngineCache(tiny.parent / "built"))
    with Character.open(tiny) as character:
        return make(Candidate(name, "fp32"), character, EngineSettings(threads=1))


def skip_for(reason: str) -> None:
    """Skip if there is a reason."""
    if reason:
        pytest.skip(reason)


def generator_of(tiny: Path) -> bytes:
    """The graph that draws."""
    with Character.open(tiny) as character:
        return bytes(character.read("generator.onnx"))


def inputs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`w`, `controls` and an empty `out`."""
    random = np.random.Generator(np.random.Philox(seed))
    w = random.standard_normal((count, W_DIM)).astype(np.float32)
    controls = random.uniform(0, 1, (count, CONTROLS)).astype(np.float32)
    return w, controls, np.zeros((count, SIDE, SIDE, 4), np.uint8)
