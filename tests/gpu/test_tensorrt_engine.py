"""TensorRT behaviour that needs a GPU: kept, damaged and foreign plans, graphs, batches, precision.

    python run.py test -m gpu          # also runs the contract tests of engines that need a GPU

`run.py` does not install TensorRT; put the extra `tensorrt` into .venv first.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from engine_bridge.errors import EngineBuildError, EngineError, EngineMismatch
from runtime.engines import tensorrt
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Engine, Sizes
from runtime.engines.cache import EngineCache
from runtime.engines.ends import ends_of_generator
from tests.tiny_character import write_tiny
from tests.tiny_engines import LAYOUT, SIZES, generator_of, inputs, make_engine, skip_for

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def needs_tensorrt() -> None:
    skip_for(tensorrt.unavailable())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.bunraku")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "built")


class Watch:
    """Counts the progress of a build, and cancels it if asked to."""

    def __init__(self, *, stop: bool = False) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.stop = stop

    def __call__(self, phase: str, done: int, total: int) -> bool:
        self.told.append((phase, done, total))
        return not self.stop


def tensorrt_engine(tiny: Path, **options: Any) -> tensorrt.TensorRtEngine:
    engine = make_engine("tensorrt", tiny, **options)
    assert isinstance(engine, tensorrt.TensorRtEngine)
    return engine


def drawn(engine: Engine, count: int = 1) -> np.ndarray:
    w, controls, out = inputs(count)
    engine.infer(w, controls, out)
    return out


def reference(tiny: Path, count: int = 1) -> np.ndarray:
    with make_engine("onnxruntime", tiny) as engine:
        return drawn(engine, count)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def test_it_names_the_gpu_and_records_graphs(tiny: Path) -> None:
    engine = tensorrt_engine(tiny)
    assert engine.description.provider.startswith("NVIDIA")
    assert not engine.cuda_graph
    with engine:
        assert engine.cuda_graph_refusal == ""
        assert engine.cuda_graph


def test_a_plan_is_built_with_progress_and_the_next_start_takes_it(tiny: Path, cache: EngineCache) -> None:
    first, second = Watch(), Watch()
    with tensorrt_engine(tiny, progress=first) as engine:
        picture = drawn(engine)
    assert first.told
    assert all(0 <= done <= total for _, done, total in first.told)
    assert len(cache.entries()) == 1
    assert list(cache.folder.glob("tensorrt-*.timings"))
    with tensorrt_engine(tiny, progress=second) as engine:
        assert np.array_equal(drawn(engine), picture)
    assert second.told == []


def test_building_can_be_stopped_and_tried_again(tiny: Path, cache: EngineCache) -> None:
    with pytest.raises(EngineBuildError, match="was stopped"):
        tensorrt_engine(tiny, progress=Watch(stop=True)).activate()
    assert cache.entries() == []
    with tensorrt_engine(tiny) as engine:
        assert difference(drawn(engine), reference(tiny)) <= 1


def test_what_the_watcher_raises_comes_out(tiny: Path) -> None:
    def raises(phase: str, done: int, total: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tensorrt_engine(tiny, progress=raises).activate()


@pytest.mark.parametrize("spoil", ["nonsense", "half", "last byte"])
def test_a_spoilt_plan_is_built_again(tiny: Path, cache: EngineCache, spoil: str) -> None:
    with tensorrt_engine(tiny):
        pass
    ((key, _),) = cache.entries()
    plan = cache.get(key)
    assert plan is not None
    # With a label and a checksum that fit, so that only TensorRT can tell.
    cache.put(key, {"nonsense": b"no plan", "half": plan[: len(plan) // 2], "last byte": plan[:-1] + b"?"}[spoil])
    watch = Watch()
    with tensorrt_engine(tiny, progress=watch) as engine:
        assert difference(drawn(engine), reference(tiny)) <= 1
    if spoil != "last byte":  # padding, perhaps
        assert watch.told


def test_a_plan_of_another_gpu_is_not_taken(tiny: Path, cache: EngineCache) -> None:
    with tensorrt_engine(tiny):
        pass
    ((key, _),) = cache.entries()
    plan = cache.get(key)
    assert plan is not None
    cache.forget(key)
    cache.put(msgspec.structs.replace(key, device="Another GPU", compute_capability="1.0"), plan)
    watch = Watch()
    with tensorrt_engine(tiny, progress=watch):
        pass
    assert watch.told


def test_a_plan_of_another_layout_is_refused_and_built_again(tiny: Path) -> None:
    with tensorrt_engine(tiny):
        pass
    watch = Watch()
    with tensorrt_engine(tiny, layout="f" * 64, progress=watch) as engine:
        assert difference(drawn(engine), reference(tiny)) <= 1
    assert watch.told


def test_a_plan_that_is_opened_for_another_character_says_so(tiny: Path, cache: EngineCache) -> None:
    from runtime.engines.tensorrt_plan import OpenPlan

    with tensorrt_engine(tiny) as engine:
        ends = ends_of_generator(engine.description.sizes)
        other = ends_of_generator(dataclasses.replace(engine.description.sizes, w_dim=9))
    ((key, _),) = cache.entries()
    plan = cache.get(key)
    assert plan is not None
    fits: dict[str, Any] = {"ends": ends, "device": "the GPU", "layout": LAYOUT, "batches": (1,)}
    OpenPlan(plan, **fits)
    for changed in ({"layout": "0" * 64}, {"batches": (1, 2)}, {"ends": other}):
        with pytest.raises(EngineMismatch, match="another network"):
            OpenPlan(plan, **{**fits, **changed})


def test_it_draws_the_same_where_a_graph_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda.bindings import runtime as cudart

    with tensorrt_engine(tiny) as engine:
        picture = drawn(engine, 3)
    refusal = (cudart.cudaError_t.cudaErrorStreamCaptureUnsupported,)
    monkeypatch.setattr(cudart, "cudaStreamBeginCapture", lambda stream, mode: refusal)
    with tensorrt_engine(tiny) as engine:
        assert not engine.cuda_graph
        assert "cudaErrorStreamCaptureUnsupported" in engine.cuda_graph_refusal
        assert np.array_equal(drawn(engine, 3), picture)


def test_work_that_may_not_be_recorded_leaves_the_stream_usable(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda.bindings import runtime as cudart

    copy = cudart.cudaMemcpyAsync
    begin = cudart.cudaStreamBeginCapture
    recording = []

    def forbidden(*arguments: Any) -> Any:
        if recording:
            recording.clear()
            cudart.cudaStreamSynchronize(arguments[-1])  # spoils the recording
        return copy(*arguments)

    def note(*arguments: Any) -> Any:
        recording.append(True)
        return begin(*arguments)

    monkeypatch.setattr(cudart, "cudaMemcpyAsync", forbidden)
    monkeypatch.setattr(cudart, "cudaStreamBeginCapture", note)
    with tensorrt_engine(tiny) as engine:
        assert not engine.cuda_graph
        assert difference(drawn(engine, 2), reference(tiny, 2)) <= 1


@pytest.mark.parametrize("batches", [(1,), (4,), (1, 4), (2, 3, 8)])
def test_any_batch_is_drawn_in_the_sizes_that_are_there(tiny: Path, batches: tuple[int, ...]) -> None:
    with tensorrt_engine(tiny, batches=batches) as engine:
        for count in (1, 2, 5, 8, 11):
            assert difference(drawn(engine, count), reference(tiny, count)) <= 1


def test_many_starts_leave_no_memory_behind(tiny: Path) -> None:
    from cuda.bindings import runtime as cudart

    free = []
    for _ in range(4):
        with tensorrt_engine(tiny, batches=(1, 8)) as engine:
            drawn(engine, 9)
        free.append(int(cudart.cudaMemGetInfo()[1]))
    assert free[1] - free[3] < 8 << 20


def test_a_graph_that_it_cannot_read_is_reported(tiny: Path) -> None:
    model = onnx.load_from_string(generator_of(tiny))
    model.graph.node[1].op_type = "MatMulInteger"
    unreadable = GeneratorModel(model.SerializeToString(), SIZES, "fp32", layout=LAYOUT)
    engine = tensorrt.TensorRtEngine(unreadable, cache=EngineCache(tiny.parent / "built"))
    with pytest.raises(EngineBuildError, match=r"cannot (read|build) the generator"):
        engine.activate()
    assert engine.cuda_graph is False


def test_invalid_batch_sizes_are_refused(tiny: Path) -> None:
    for batches in ((), (0, 1)):
        with pytest.raises(EngineError, match="Batch sizes"):
            tensorrt_engine(tiny, batches=batches)


def test_fp16_stays_near_fp32(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.random_generator import CONTROLS, SIZE_PX, W_DIM, random_generator
    from training.decoder.graphs import generator_graph, half_generator_graph

    size = Sizes(W_DIM, len(CONTROLS), SIZE_PX, SIZE_PX)
    generator = random_generator()
    w, controls, out = (
        np.random.default_rng(0).standard_normal((4, W_DIM)).astype(np.float32),
        np.full((4, len(CONTROLS)), 0.5, np.float32),
        np.zeros((4, SIZE_PX, SIZE_PX, 4), np.uint8),
    )
    pictures = []
    for precision, export in (("fp32", generator_graph), ("fp16", half_generator_graph)):
        engine = tensorrt.TensorRtEngine(
            GeneratorModel(export(generator, len(CONTROLS)), size, precision, layout=LAYOUT),
            cache=EngineCache(tmp_path / "built"),
        )
        with engine:
            engine.infer(w, controls, out)
        pictures.append(out.copy())
    apart = np.abs(pictures[0].astype(int) - pictures[1])
    assert apart.mean() < 0.3
    assert np.percentile(apart, 99.9) <= 2
