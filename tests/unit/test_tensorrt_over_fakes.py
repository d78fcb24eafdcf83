"""How the TensorRT engine puts its parts together: memory, lanes, pieces, clearing away.

TensorRT and CUDA are replaced by fakes that compute on the processor, so nothing here says that a GPU would draw; that
is asked in tests/gpu.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engine_bridge.errors import EngineError
from runtime.engine_cache import EngineCache
from runtime.engines import tensorrt
from runtime.engines.cuda_driver import CudaDriver, Gpu
from runtime.engines.gpu_lane import Buffers
from tests.fake_cudart import FakeCudart

W_DIM, CONTROLS, SIDE = 3, 2, 4
SIZES = {"w_dim": W_DIM, "num_controls": CONTROLS, "width": SIDE, "height": SIDE}


class Fakes:
    """What stands in for the libraries; its "network" fills each picture with w[0] + 10 * controls[1]."""

    def __init__(self) -> None:
        self.cudart = FakeCudart()
        self.refuse_batch = 0
        self.built_for: list[tuple[int, ...]] = []

    def plan_from_onnx(self, onnx: bytes, *, batches: tuple[int, ...], timing_cache: Path, **_: Any) -> bytes:
        assert timing_cache.parent.is_dir()
        self.built_for.append(batches)
        return b"plan of " + onnx

    def open_plan(self, plan: bytes, **_: Any) -> Fakes:
        assert plan == b"plan of the graph"
        return self

    def computing(self, batch: int, buffers: Buffers, stream: int) -> Callable[[], None]:
        if batch == self.refuse_batch:
            raise EngineError("no memory for that")
        w, controls = (
            np.frombuffer((ctypes.c_float * (batch * size)).from_address(address), np.float32).reshape(batch, size)
            for address, size in ((buffers.w, W_DIM), (buffers.controls, CONTROLS))
        )
        size = batch * SIDE * SIDE * 4
        rgba = np.frombuffer((ctypes.c_uint8 * size).from_address(buffers.rgba), np.uint8).reshape(batch, -1)

        def compute() -> None:
            rgba[:] = (w[:, 0] + 10 * controls[:, 1]).astype(np.uint8)[:, None]

        return lambda: self.cudart.enqueue(compute)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes()

    def module(name: str, **contents: Any) -> ModuleType:
        new = ModuleType(name)
        new.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, name, new)
        return new

    module("tensorrt", __version__="11.4.0.106")
    bindings = module("cuda.bindings", runtime=made.cudart)
    module("cuda", bindings=bindings)
    module("runtime.build", plan_from_onnx=made.plan_from_onnx)
    module("runtime.engines.tensorrt_plan", OpenPlan=made.open_plan)
    driver = CudaDriver("", "13.2", (Gpu("Large GPU", "8.9", 24 << 30),))
    monkeypatch.setattr(tensorrt, "cuda_driver", lambda: driver)
    monkeypatch.setattr(tensorrt, "unavailable", lambda: "")
    return made


@pytest.fixture
def engine(fakes: Fakes, tmp_path: Path) -> Callable[..., tensorrt.TensorRtEngine]:
    def make(*batches: int) -> tensorrt.TensorRtEngine:
        cache = EngineCache(tmp_path / "built")
        return tensorrt.TensorRtEngine(
            b"the graph", **SIZES, precision="fp16", layout="x", batches=batches or (1,), cache=cache
        )

    return make


def drawn(engine: tensorrt.TensorRtEngine, values: range) -> list[int]:
    w, controls = np.zeros((len(values), W_DIM), np.float32), np.zeros((len(values), CONTROLS), np.float32)
    w[:, 0], controls[:, 1] = [value % 10 for value in values], [value // 10 for value in values]
    out = np.zeros((len(values), SIDE, SIDE, 4), np.uint8)
    engine.infer(w, controls, out)
    assert all(len(np.unique(picture)) == 1 for picture in out)
    return [int(picture[0, 0, 0]) for picture in out]


@pytest.mark.parametrize("batches", [(1,), (4,), (1, 4), (3, 2, 2), (8, 1)])
@pytest.mark.parametrize("refuse", ["", "cudaStreamBeginCapture"])
def test_every_batch_arrives_whole_and_in_order(
    fakes: Fakes, engine: Callable[..., tensorrt.TensorRtEngine], batches: tuple[int, ...], refuse: str
) -> None:
    fakes.cudart.refuse = refuse
    with engine(*batches) as active:
        assert isinstance(active, tensorrt.TensorRtEngine)
        assert active.cuda_graph == (not refuse)
        assert bool(active.cuda_graph_refusal) == bool(refuse)
        for count in (1, 2, 3, 4, 7, 12, 1):
            assert drawn(active, range(50, 50 + count)) == list(range(50, 50 + count))
    assert fakes.built_for == [tuple(sorted(set(batches)))]


def test_it_says_what_it_is(engine: Callable[..., tensorrt.TensorRtEngine]) -> None:
    about = engine().description
    assert about.label == "tensorrt/Large GPU fp16"
    assert (about.version, about.precision) == ("11.4.0.106", "fp16")


def test_nothing_is_left_on_the_gpu_and_it_may_start_again(
    fakes: Fakes, engine: Callable[..., tensorrt.TensorRtEngine]
) -> None:
    one = engine(1, 4)
    for _ in range(2):
        with one:
            assert drawn(one, range(5)) == [0, 1, 2, 3, 4]
            assert fakes.cudart.live > 0
        assert fakes.cudart.live == 0
        assert not one.cuda_graph
    assert len(fakes.built_for) == 1


@pytest.mark.parametrize("refuse", ["cudaStreamCreateWithFlags", "cudaMalloc", "cudaMallocHost", "a batch"])
def test_a_start_that_fails_half_way_leaves_nothing_behind(
    fakes: Fakes, engine: Callable[..., tensorrt.TensorRtEngine], refuse: str
) -> None:
    one = engine(1, 4)
    fakes.cudart.refuse = refuse
    fakes.refuse_batch = 4 if refuse == "a batch" else 0
    with pytest.raises(EngineError):
        one.activate()
    assert fakes.cudart.live == 0
    fakes.cudart.refuse, fakes.refuse_batch = "", 0
    with one:
        assert drawn(one, range(30, 36)) == list(range(30, 36))


def test_batch_sizes_that_make_no_sense_are_refused(engine: Callable[..., tensorrt.TensorRtEngine]) -> None:
    with pytest.raises(EngineError, match="Batch sizes must be 1 or more"):
        engine(0, 1)
