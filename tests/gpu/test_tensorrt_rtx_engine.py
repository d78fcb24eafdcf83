"""TensorRT-RTX behaviour that needs a GPU. Run as `test_tensorrt_engine.py` describes; the extra is `tensorrt-rtx`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine_bridge.errors import EngineError
from runtime.engines import tensorrt_rtx
from runtime.engines.backend import GeneratorModel
from runtime.engines.cache import EngineCache
from tests.tiny_character import write_tiny
from tests.tiny_engines import SIZES, inputs, make_engine, skip_for

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def needs_tensorrt_rtx() -> None:
    skip_for(tensorrt_rtx.unavailable())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.bunraku")


@pytest.mark.parametrize("max_batch", [1, 4])
def test_any_batch_is_drawn_and_what_was_compiled_is_kept(tiny: Path, max_batch: int) -> None:
    pictures = []
    for name, options in (("onnxruntime", {}), *[("tensorrt-rtx", {"batches": (max_batch,)})] * 2):
        with make_engine(name, tiny, **options) as engine:
            w, controls, out = inputs(7)
            engine.infer(w, controls, out)
            pictures.append(out.astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.array_equal(pictures[1], pictures[2])
    assert any((tiny.parent / "built").glob("tensorrt-rtx-*/*"))


def test_a_graph_that_it_cannot_run_is_reported(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "built")
    engine = tensorrt_rtx.TensorRtRtxEngine(GeneratorModel(b"\x08\x0a", SIZES, "fp32"), cache=cache)
    with pytest.raises(EngineError, match="refuses the generator"):
        engine.activate()
