"""How the TensorRT engine combines its parts: memory, lanes, pieces, clean-up.

TensorRT and CUDA are replaced by fakes that compute on the processor, so nothing here shows that a GPU would draw;
tests/gpu does.
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
from runtime.character.file import Character
from runtime.engines import onnxruntime, tensorrt
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Sizes
from runtime.engines.cache import EngineCache
from runtime.engines.cuda_driver import CudaDriver, Gpu
from runtime.engines.ends import ends_of_graph
from runtime.engines.factory import Candidate, EngineSettings, make_engine
from tests.fake_cudart import FakeCudart
from tests.tiny_people import NAMES, write_people

W_DIM, CONTROLS, SIDE = 3, 2, 4
SIZES = Sizes(W_DIM, CONTROLS, SIDE, SIDE)


class Fakes:
    """Fakes of the libraries.

    Its "network" fills each picture with w[0] + 10 * controls[1]; of a real graph, it is ONNX Runtime.
    """

    def __init__(self) -> None:
        self.cudart = FakeCudart()
        self.refuse_batch = 0
        self.graph = b""
        self.built_for: list[tuple[int, ...]] = []

    def plan_from_onnx(self, onnx: bytes, *, batches: tuple[int, ...], timing_cache: Path, **_: Any) -> bytes:
        assert timing_cache.parent.is_dir()
        self.built_for.append(batches)
        return b"plan of " + onnx

    def open_plan(self, plan: bytes, **_: Any) -> Fakes:
        assert plan.startswith(b"plan of ")
        self.graph = plan.removeprefix(b"plan of ")
        return self

    def computing(self, batch: int, addresses: dict[str, int], stream: int) -> Callable[[], None]:
        if batch == self.refuse_batch:
            raise EngineError("no memory for that")
        if self.graph != b"the graph":
            return self._moving(batch, addresses)
        w, controls = (
            np.frombuffer((ctypes.c_float * (batch * size)).from_address(address), np.float32).reshape(batch, size)
            for address, size in ((addresses["w"], W_DIM), (addresses["controls"], CONTROLS))
        )
        size = batch * SIDE * SIDE * 4
        rgba = np.frombuffer((ctypes.c_uint8 * size).from_address(addresses["rgba"]), np.uint8).reshape(batch, -1)

        def compute() -> None:
            rgba[:] = (w[:, 0] + 10 * controls[:, 1]).astype(np.uint8)[:, None]

        return lambda: self.cudart.enqueue(compute)

    def _moving(self, batch: int, addresses: dict[str, int]) -> Callable[[], None]:
        graph, ends = onnxruntime.open_graph(self.graph, 1, "shared"), ends_of_graph(self.graph)
        memory = {
            end.name: np.frombuffer((ctypes.c_uint8 * (batch * end.row_bytes)).from_address(addresses[end.name]), "u1")
            for end in ends
        }

        def compute() -> None:
            given = {end.name: memory[end.name].view(end.dtype).reshape(batch, *end.shape) for end in ends.inputs}
            for name, found in graph.run(given).items():
                memory[name][:] = np.ascontiguousarray(found).reshape(-1).view(np.uint8)

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
    module("runtime.engines.tensorrt_build", plan_from_onnx=made.plan_from_onnx)
    module("runtime.engines.tensorrt_plan", OpenPlan=made.open_plan)
    driver = CudaDriver("", "13.2", (Gpu("Large GPU", "8.9", 24 << 30),))
    monkeypatch.setattr(tensorrt, "cuda_driver", lambda: driver)
    monkeypatch.setattr(tensorrt, "unavailable", lambda: "")
    return made


@pytest.fixture
def engine(fakes: Fakes, tmp_path: Path) -> Callable[..., tensorrt.TensorRtEngine]:
    def make(*batches: int) -> tensorrt.TensorRtEngine:
        cache = EngineCache(tmp_path / "built")
        model = GeneratorModel(b"the graph", SIZES, "fp16", layout="x", batches=batches or (1,))
        return tensorrt.TensorRtEngine(model, cache=cache)

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


def test_invalid_batch_sizes_are_refused(engine: Callable[..., tensorrt.TensorRtEngine]) -> None:
    with pytest.raises(EngineError, match="Batch sizes must be 1 or more"):
        engine(0, 1)


def test_the_gpu_finds_the_motion_and_the_processor_moves_the_person(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUNRAKU_ENGINE_CACHE", str(tmp_path / "built"))
    with Character.open(write_people(tmp_path / "people.bunraku")) as character:
        reference, moved = (
            make_engine(Candidate(name, "fp32"), character, EngineSettings(threads=1, patient=True))
            for name in ("onnxruntime", "tensorrt")
        )
        controls = np.zeros((3, len(character.controls)), np.float32)
    about = moved.description
    assert (about.label, about.version, about.on_cpu) == ("tensorrt/Large GPU fp32", "11.4.0.106", False)
    controls[:2, NAMES.index("headYaw")] = 30, -15
    controls[2, NAMES.index("eyeBlinkLeft")] = 1
    shares = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    wanted, out = np.zeros((2, 3, 256, 256, 4), np.uint8)
    with reference:
        reference.infer(shares, controls, wanted)
    for _ in range(2):
        out[:] = 0
        with moved:
            moved.infer(shares, controls, out)
            assert fakes.cudart.live > 0
        np.testing.assert_array_equal(out, wanted)
        assert fakes.cudart.live == 0
    assert len(np.unique(wanted.reshape(3, -1), axis=0)) == 3
    assert fakes.built_for == [(1,)]


def test_a_person_for_whom_there_is_no_memory_leaves_nothing_behind(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUNRAKU_ENGINE_CACHE", str(tmp_path / "built"))
    with Character.open(write_people(tmp_path / "people.bunraku")) as character:
        engine = make_engine(Candidate("tensorrt", "fp32"), character)
    fakes.cudart.refuse = "cudaMallocHost"
    with pytest.raises(EngineError, match="CUDA failed while pinning"):
        engine.activate()
    assert fakes.cudart.live == 0
