"""Decisions of the TensorRT engines without a GPU: whether they can run, and when a plan is rebuilt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from engine_bridge.errors import EngineBuildError, EngineError, EngineMismatch, EngineUnavailable, SinkError
from runtime.composite.base import PLANES
from runtime.composite.references import GRID, REFERENCES
from runtime.engines import tensorrt, tensorrt_rtx
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Sizes
from runtime.engines.cache import CacheKey, EngineCache
from runtime.engines.cuda_driver import cuda_driver
from runtime.engines.ends import End, ends_of_generator, ends_of_graph
from tests.conftest import REPOSITORY
from tests.tiny_people import FOUND, NAMES, animator, reader

NO_DRIVER_HERE = """
import sys
from runtime.engines import tensorrt, tensorrt_rtx
for backend in (tensorrt, tensorrt_rtx):
    print(backend.unavailable())
heavy = {"tensorrt", "tensorrt_bindings", "onnxruntime", "onnxruntime_ep_nv_tensorrt_rtx", "cuda"}
print("imported:", sorted(heavy & set(sys.modules)))
"""
KEY = CacheKey(
    onnx_sha256="0" * 64,
    backend="tensorrt",
    backend_version="11.4.0.106",
    device="Large GPU",
    compute_capability="8.9",
    driver="13.2",
    precision="fp16",
    batches=(1, 4),
)
GOOD = b"a plan"


class Maker:
    """Builds `GOOD`, or something else, and counts."""

    def __init__(self, plan: bytes = GOOD) -> None:
        self.plan = plan
        self.built = 0

    def __call__(self) -> bytes:
        self.built += 1
        return self.plan


def open_plan(plan: bytes) -> str:
    if plan != GOOD:
        raise EngineMismatch("refused")
    return "opened"


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_a_plan_is_built_once_and_then_kept(cache: EngineCache) -> None:
    make = Maker()
    assert [tensorrt.opened(cache, KEY, build=make, open_plan=open_plan) for _ in range(3)] == ["opened"] * 3
    assert make.built == 1
    assert cache.get(KEY) == GOOD


@pytest.mark.parametrize("spoil", [b"of another TensorRT", b""])
def test_a_kept_plan_that_is_refused_is_built_again(
    cache: EngineCache, spoil: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(KEY, spoil)
    make = Maker()
    assert tensorrt.opened(cache, KEY, build=make, open_plan=open_plan) == "opened"
    assert make.built == 1
    assert cache.get(KEY) == GOOD
    assert "refused" in caplog.text


def test_a_new_plan_that_is_refused_is_an_error_and_not_tried_for_ever(cache: EngineCache) -> None:
    make = Maker(b"bad")
    with pytest.raises(EngineMismatch):
        tensorrt.opened(cache, KEY, build=make, open_plan=open_plan)
    assert make.built == 1


def test_a_damaged_file_is_built_again(cache: EngineCache) -> None:
    cache.put(KEY, GOOD)
    (file,) = cache.folder.glob("*.engine")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    make = Maker()
    assert tensorrt.opened(cache, KEY, build=make, open_plan=open_plan) == "opened"
    assert make.built == 1


@pytest.mark.parametrize(
    "change", [{"device": "Small GPU"}, {"compute_capability": "9.0"}, {"backend_version": "10.13"}, {"batches": (1,)}]
)
def test_a_plan_for_something_else_is_not_taken(cache: EngineCache, change: dict[str, object]) -> None:
    cache.put(KEY, GOOD)
    other = CacheKey(**{**{name: getattr(KEY, name) for name in KEY.__struct_fields__}, **change})
    make = Maker()
    tensorrt.opened(cache, other, build=make, open_plan=open_plan)
    assert make.built == 1


def test_what_another_process_built_meanwhile_is_taken(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    wait = cache.building

    def building(key: CacheKey) -> object:
        cache.put(key, GOOD)
        return wait(key)

    monkeypatch.setattr(cache, "building", building)
    assert tensorrt.opened(cache, KEY, build=make, open_plan=open_plan) == "opened"
    assert make.built == 0


def test_a_full_disk_costs_only_the_next_start(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def put(key: CacheKey, data: bytes) -> None:
        raise SinkError("the disk is full")

    monkeypatch.setattr(cache, "put", put)
    assert tensorrt.opened(cache, KEY, build=Maker(), open_plan=open_plan) == "opened"
    assert "the disk is full" in caplog.text


def test_a_failed_build_lets_the_next_one_try(cache: EngineCache) -> None:
    def fail() -> bytes:
        raise EngineBuildError("no memory")

    with pytest.raises(EngineBuildError):
        tensorrt.opened(cache, KEY, build=fail, open_plan=open_plan)
    assert tensorrt.opened(cache, KEY, build=Maker(), open_plan=open_plan) == "opened"


def test_without_a_driver_nothing_heavy_is_imported() -> None:
    if not cuda_driver().missing:
        pytest.skip("there is a driver here")
    done = subprocess.run(
        [sys.executable, "-c", NO_DRIVER_HERE], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    *reasons, imported = done.stdout.splitlines()
    assert reasons == [cuda_driver().missing] * 2
    # ONNX Runtime may come in with the rest of the runtime; what belongs to NVIDIA may not.
    assert imported.replace("'onnxruntime'", "") == "imported: []"


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (tensorrt.TensorRtEngine, "TensorRT cannot be used"),
        (tensorrt_rtx.TensorRtRtxEngine, "TensorRT-RTX cannot be used"),
    ],
)
def test_where_it_cannot_run_it_says_why(make: Callable[[GeneratorModel], object], named: str) -> None:
    if not cuda_driver().missing:
        pytest.skip("there is a driver here")
    with pytest.raises(EngineUnavailable, match=f"{named}: .*NVIDIA.*--engine auto"):
        make(GeneratorModel(b"", Sizes(8, 2, 32, 32), "fp16"))


def test_the_plugin_is_told_shapes_and_a_folder_of_its_own() -> None:
    ends = ends_of_generator(Sizes(128, 38, 256, 256))
    options = tensorrt_rtx.provider_options(ends, most=4, kept=Path("kept"))
    assert options["nv_profile_min_shapes"] == "w:1x128,controls:1x38"
    assert options["nv_profile_max_shapes"] == "w:4x128,controls:4x38"
    assert options["nv_runtime_cache_path"] == "kept"
    options = tensorrt_rtx.provider_options(ends_of_graph(animator()), most=1, kept=Path("kept"))
    assert f"fine:1x{FOUND}x64x64,controls:1x{len(NAMES)}" in options["nv_profile_opt_shapes"]


def test_a_graph_says_what_it_takes_and_gives() -> None:
    float32, grid = np.dtype(np.float32), (GRID, GRID)
    ends = ends_of_graph(animator(planes_px=128))
    found = [End(name, (FOUND, n, n), float32) for name, n in (("coarse", 16), ("middle", 32), ("fine", 64))]
    assert ends.inputs == (End("code", (FOUND,), float32), *found, End("controls", (len(NAMES),), float32))
    planes = End("planes", (len(PLANES), 128, 128), float32)
    assert ends.outputs == (End("flow", (len(REFERENCES), 2, *grid), float32), planes)
    assert planes.row_bytes == 4 * len(PLANES) * 128 * 128
    assert next(iter(ends_of_graph(reader()).inputs)).dtype == np.uint8


def test_a_graph_with_open_sizes_is_refused_by_name() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "any"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "any"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "open", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    with pytest.raises(EngineError, match="x of the graph has no fixed shape"):
        ends_of_graph(model.SerializeToString())
