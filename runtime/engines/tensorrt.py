"""TensorRT 10 and 11 on an NVIDIA GPU: when to build, and how a batch is split.

`cuda_driver` checks for a GPU, `tensorrt_build` builds plans, `tensorrt_plan` opens them, `gpu_lane` draws.
TensorRT itself is imported only after the driver has answered.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from engine_bridge.errors import EngineError, EngineMismatch, EngineUnavailable, SinkError
from runtime.advice import install_extra

from . import onnxruntime
from .backend import Backend, GeneratorModel, Progress
from .base import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels
from .cache import CacheKey, EngineCache
from .cuda_driver import cuda_driver
from .ends import Ends, ends_of_generator, ends_of_graph
from .gpu_lane import SLOTS, GpuLane, Piece, Slot, pieces

if TYPE_CHECKING:
    from .tensorrt_plan import OpenPlan

logger = logging.getLogger(__name__)

_MAJORS: Final = ("10", "11")
_ANY_LAYOUT: Final = "graph"  # for plans fully described by their inputs and outputs

Opened = TypeVar("Opened")


@functools.cache
def unavailable() -> str:
    """Why this engine cannot be used here and what to do; empty if it can. Never raises, checks once per process."""
    driver = cuda_driver()
    if driver.missing:
        return driver.missing
    if find_spec("tensorrt") is None or find_spec("cuda") is None or find_spec("cuda.bindings") is None:
        return f"not installed; {_install()}"
    try:
        import tensorrt
        from cuda.bindings import runtime  # noqa: F401
    except Exception as error:  # broken libraries fail in many ways, and another engine may still work
        return f"installed, but cannot be imported ({error}); {_install('--force-reinstall')}"
    if str(tensorrt.__version__).split(".")[0] not in _MAJORS:
        return f"TensorRT {tensorrt.__version__} is installed, but 10 or 11 is needed; {_install('--upgrade')}"
    return ""


def _install(*options: str) -> str:
    """The command that installs it; TensorRT's own libraries come from NVIDIA's index."""
    return install_extra("tensorrt", *options, "--extra-index-url", "https://pypi.nvidia.com")


def about() -> tuple[str, str]:
    """The GPU it runs on, and its version."""
    import tensorrt

    return cuda_driver().gpus[0].name, str(tensorrt.__version__)


class TensorRtNetwork:
    """A network compiled for this GPU, kept on disk for the next start, with memory for its batches.

    Attributes:
        lanes: by batch size; empty before `load`.
    """

    def __init__(
        self,
        model: bytes,
        ends: Ends,
        *,
        precision: str,
        layout: str,
        batches: Sequence[int] = (1,),
        cache: EngineCache | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Store the settings; nothing is built or loaded before `load`.

        Args:
            model: ONNX bytes, its tensors typed as `precision` says.
            ends: inputs and outputs.
            precision: `fp32`, `fp16` or `int8`, for the cache.
            layout: hash of what the inputs mean; a plan for another layout is refused.
            batches: batch sizes to tune for. Each takes build time and GPU memory.
            cache: for built plans; None for this user's cache folder.
            progress: called with (phase, steps done, steps in all) while a plan is built; False cancels.

        Raises:
            EngineUnavailable: no driver, no GPU, or TensorRT is not installed.
            EngineError: the batch sizes are invalid, or the cache folder is not private.
        """
        reason = unavailable()
        if reason:
            raise EngineUnavailable(f"TensorRT cannot be used: {reason}. `--engine auto` finds an engine that can.")
        if not batches or min(batches) < 1:
            raise EngineError(f"Batch sizes must be 1 or more, but are {list(batches)}.")
        driver = cuda_driver()
        gpu = driver.gpus[0]
        self._model, self._ends, self._layout, self._progress = model, ends, layout, progress
        self._batches = tuple(sorted(set(batches)))
        self._cache = cache or EngineCache()
        self._key = CacheKey(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            backend="tensorrt",
            backend_version=about()[1],
            device=gpu.name,
            compute_capability=gpu.compute_capability,
            driver=driver.version,
            precision=precision,
            batches=self._batches,
        )
        self.lanes: dict[int, GpuLane] = {}
        self._held = ExitStack()

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes it is tuned for, in order."""
        return self._batches

    def load(self) -> None:
        """Build the plan or load it from disk, and allocate memory.

        Raises:
            EngineError: it cannot be built or opened, or memory runs out.
        """
        from cuda.bindings import runtime as cudart

        from .cuda_runtime import CudaRuntime

        with ExitStack() as stack:
            cuda = CudaRuntime(cudart)
            stack.callback(cuda.close)
            plan = self._plan()
            most = max(self._batches)
            # Shared by all batch sizes: they take turns on one stream.
            addresses = {end.name: cuda.device_memory(most * end.row_bytes) for end in self._ends}
            # The lanes hold TensorRT's contexts: they are released once nothing runs, and before the memory.
            stack.callback(self.lanes.clear)
            stack.callback(cuda.settle)
            for batch in self._batches:
                compute = plan.computing(batch, addresses, cuda.stream)
                self.lanes[batch] = GpuLane(cuda, addresses, compute, batch=batch, ends=self._ends)
            self._held = stack.pop_all()

    def unload(self) -> None:
        """Release everything on the GPU. Safe to call twice."""
        self._held.close()

    def _plan(self) -> OpenPlan:
        from .tensorrt_plan import OpenPlan

        open_plan = functools.partial(
            OpenPlan, ends=self._ends, device=self._key.device, layout=self._layout, batches=self._batches
        )
        return opened(self._cache, self._key, build=self._build, open_plan=open_plan)

    def _build(self) -> bytes:
        from .tensorrt_build import plan_from_onnx

        logger.info("building %s for %s", self._key.name, self._key.device)
        # Timings hold for every network on this GPU with this library.
        owner = hashlib.sha256(f"{self._key.backend_version} {self._key.device}".encode()).hexdigest()[:16]
        return plan_from_onnx(
            self._model,
            layout=self._layout,
            batches=self._batches,
            timing_cache=self._cache.folder / f"tensorrt-{owner}.timings",
            progress=self._progress,
        )


class TensorRtEngine(Engine):
    """A generator compiled by TensorRT.

    A batch of another size is drawn in pieces of tuned sizes. While one piece is copied to the caller
    the GPU draws the next; calls do not overlap, because `infer` promises a complete picture, and a live loop
    that takes its controls as late as possible would only show each picture one frame later.

    Attributes:
        cuda_graph: whether each frame is one recorded CUDA graph; False before `activate`.
        cuda_graph_refusal: why not; empty if it is.
    """

    def __init__(self, model: GeneratorModel, *, cache: EngineCache | None = None) -> None:
        """Store the settings; nothing is built or loaded before `activate`.

        Args:
            model: generator to run; its precision is also that of the plan.
            cache: for built plans; None for this user's cache folder.

        Raises:
            EngineUnavailable: no driver, no GPU, or TensorRT is not installed.
            EngineError: the batch sizes are invalid, or the cache folder is not private.
        """
        super().__init__()
        # Where TensorRT is missing, `TensorRtNetwork` reports it; its version is unknown.
        gpu, release = about() if not unavailable() else ("", "")
        self._description = EngineDescription("tensorrt", gpu, release, model.precision, 0, model.sizes)
        self._network = TensorRtNetwork(
            model.onnx,
            ends_of_generator(model.sizes),
            precision=model.precision,
            layout=model.layout,
            batches=model.batches,
            cache=cache,
            progress=model.progress,
        )

    @property
    def description(self) -> EngineDescription:
        """Description of the engine."""
        return self._description

    @property
    def cuda_graph(self) -> bool:
        """Whether each frame is one recorded CUDA graph."""
        return bool(self._network.lanes) and not self.cuda_graph_refusal

    @property
    def cuda_graph_refusal(self) -> str:
        """Why frames are not recorded; empty if they are."""
        return next((lane.refusal for lane in self._network.lanes.values() if lane.refusal), "")

    def _load(self) -> None:
        self._network.load()

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        under_way: deque[tuple[Piece, Slot]] = deque()
        for piece in pieces(out.shape[0], self._network.batches):
            if len(under_way) == SLOTS:
                self._collect(*under_way.popleft(), out)
            inputs = {"w": w[piece.rows], "controls": controls[piece.rows]}
            under_way.append((piece, self._network.lanes[piece.batch].submit(inputs)))
        while under_way:
            self._collect(*under_way.popleft(), out)

    def _collect(self, piece: Piece, slot: Slot, out: Pixels) -> None:
        drawn = self._network.lanes[piece.batch].collect(slot, piece.count)
        np.copyto(out[piece.rows], drawn["rgba"])

    def _unload(self) -> None:
        self._network.unload()


def open_graph(model: bytes, *, cache: EngineCache | None = None, progress: Progress | None = None) -> LoadedGraph:
    """Load any graph on the GPU, for `MovingEngine`; it computes in fp32, one row at a time.

    Args:
        model: ONNX; all sizes but the batch are fixed.
        cache: for built plans; None for this user's cache folder.
        progress: called while a plan is built.

    Raises:
        EngineError: it cannot be used, built or loaded.
    """
    return _Graph(model, cache, progress)


class _Graph:
    def __init__(self, model: bytes, cache: EngineCache | None, progress: Progress | None) -> None:
        self._network = TensorRtNetwork(
            model, ends_of_graph(model), precision="fp32", layout=_ANY_LAYOUT, cache=cache, progress=progress
        )
        self._network.load()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedGraph`."""
        lane = self._network.lanes[1]
        return lane.collect(lane.submit(inputs), 1)

    def close(self) -> None:
        """See `LoadedGraph`."""
        self._network.unload()


def opened(
    cache: EngineCache, key: CacheKey, *, build: Callable[[], bytes], open_plan: Callable[[bytes], Opened]
) -> Opened:
    """Return the plan for this key, from the cache or newly built and cached; a refused cached one is rebuilt once.

    Args:
        cache: of plans.
        key: of the plan.
        build: builds it; only one process at a time does.
        open_plan: raises `EngineMismatch` if it refuses.

    Raises:
        EngineMismatch: the newly built plan is refused, too.
        EngineBuildError: building failed.
    """
    kept = cache.get(key)
    if kept is not None:
        try:
            return open_plan(kept)
        except EngineMismatch as error:
            logger.warning("%s", error)
            cache.forget(key)
    with cache.building(key):
        plan = cache.get(key)  # another process may have built it while this one waited
        if plan is None:
            plan = build()
            try:
                cache.put(key, plan)
            except SinkError as error:
                logger.warning("the built engine could not be cached, the next start will rebuild it: %s", error)
    return open_plan(plan)


BACKEND: Final = Backend(
    name="tensorrt",
    precisions=("fp16", "fp32", "int8"),
    unavailable=unavailable,
    about=about,
    draw=TensorRtEngine,
    move=lambda model: open_graph(model.onnx, progress=model.progress),
    read=onnxruntime.open_graph,
    on_gpu=True,
    built_ahead=True,
)
