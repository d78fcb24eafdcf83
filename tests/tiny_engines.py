"""Every engine, playing the tiny character; skips with the reason where one cannot run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import engines
from runtime.character import Character
from runtime.engine import Engine
from runtime.engine_cache import EngineCache
from runtime.engines import tensorrt, tensorrt_rtx
from tests.tiny_character import CONTROLS, SIDE, W_DIM

SIZES = {"w_dim": W_DIM, "num_controls": CONTROLS, "width": SIDE, "height": SIDE}
LAYOUT = hashlib.sha256(b"tiny").hexdigest()


def make_engine(name: str, tiny: Path, **options: Any) -> Engine:
    """An engine that is not active yet.

    Args:
        name: of the backend.
        tiny: from `write_tiny`; what is built for it is kept beside it.
        options: for the constructor of an engine that runs on a GPU.
    """
    if name == "tensorrt":
        skip_for(tensorrt.unavailable())
        made = {"precision": "fp32", "layout": LAYOUT, "cache": EngineCache(tiny.parent / "built"), **options}
        return tensorrt.TensorRtEngine(generator_of(tiny), **SIZES, **made)
    if name == "tensorrt-rtx":
        skip_for(tensorrt_rtx.unavailable())
        made = {"precision": "fp32", "cache": EngineCache(tiny.parent / "built"), **options}
        return tensorrt_rtx.TensorRtRtxEngine(generator_of(tiny), **SIZES, **made)
    if name != "synthetic":
        skip_for(engines.unavailable(name))
    with Character.open(tiny) as character:
        return engines.make_engine(engines.Candidate(name, "fp32"), character, engines.EngineSettings(threads=1))


def skip_for(reason: str) -> None:
    """Skip if there is a reason to."""
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
