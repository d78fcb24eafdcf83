"""TensorRT-RTX on an NVIDIA GPU, through ONNX Runtime's plugin.

The plugin is imported only after the driver has answered, and registered once per process. It compiles the generator
on loading, in seconds, and caches the result beside the other built engines.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from engine_bridge.errors import EngineError, EngineUnavailable
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.advice import install_extra

from . import onnxruntime
from .backend import Backend, GeneratorModel
from .base import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels
from .bound_session import BoundSession
from .cache import CacheKey, EngineCache
from .cuda_driver import cuda_driver
from .ends import Ends, ends_of_generator, ends_of_graph
from .gpu_lane import pieces

_PLUGIN: Final = "onnxruntime_ep_nv_tensorrt_rtx"


@functools.cache
def unavailable() -> str:
    """Why this engine cannot be used here and what to do; empty if it can. Never raises, checks once per process."""
    driver = cuda_driver()
    if driver.missing:
        return driver.missing
    if find_spec(_PLUGIN) is None or find_spec("onnxruntime") is None:
        return f"not installed; {install_extra('tensorrt-rtx')}"
    try:
        devices = _devices()
    except Exception as error:  # ONNX Runtime's errors share no base class, and another engine may still work
        again = install_extra("tensorrt-rtx", "--upgrade")
        return f"installed, but cannot be loaded ({error}); update the driver, or {again}"
    if not devices:
        gpus = ", ".join(f"{gpu.name}, compute capability {gpu.compute_capability}" for gpu in driver.gpus)
        return f"does not run on this GPU ({gpus}); it needs an RTX card of the 30 series or newer"
    return ""


@functools.cache
def _devices() -> tuple[Any, ...]:
    """ONNX Runtime's devices of the plugin, which is registered here.

    Raises:
        Exception: it is not installed or refuses; whatever the library raises.
    """
    import onnxruntime
    import onnxruntime_ep_nv_tensorrt_rtx as plugin

    onnxruntime.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    return tuple(device for device in onnxruntime.get_ep_devices() if device.ep_name == plugin.get_ep_name())


def about() -> tuple[str, str]:
    """The GPU it runs on, and its version."""
    import onnxruntime_ep_nv_tensorrt_rtx as plugin

    return cuda_driver().gpus[0].name, str(plugin.__version__)


class _Network:
    """A graph for the plugin, and the folder of its compiled kernels."""

    def __init__(self, model: bytes, *, precision: str, most: int, cache: EngineCache | None) -> None:
        """Store the settings.

        Raises:
            EngineUnavailable: no driver, no supported GPU, or it is not installed.
            EngineError: the cache folder is not private.
        """
        reason = unavailable()
        if reason:
            raise EngineUnavailable(f"TensorRT-RTX cannot be used: {reason}. `--engine auto` finds an engine that can.")
        import onnxruntime

        self.device, self.version = about()
        self._library = onnxruntime
        self._model, self._most = model, most
        driver = cuda_driver()
        key = CacheKey(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            backend="tensorrt-rtx",
            backend_version=f"{self.version}, ONNX Runtime {onnxruntime.__version__}",
            device=self.device,
            compute_capability=driver.gpus[0].compute_capability,
            driver=driver.version,
            precision=precision,
            batches=(most,),
        )
        # One folder per network: the plugin names its files after nodes, which two characters may share.
        self._kept = (cache or EngineCache()).folder / key.name

    def session(self, ends: Ends) -> Any:
        """Compile the graph, or load it from the cache.

        Raises:
            EngineError: the folder cannot be written to, or the plugin refuses the graph.
        """
        options = self._library.SessionOptions()
        options.log_severity_level = 3
        # A node that silently ran on the processor would cost two copies of a picture per frame.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self._kept.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"Compiled kernels cannot be cached in {self._kept}: {error.strerror or error}. "
                "Fix its permissions, or set BUNRAKU_ENGINE_CACHE to another folder."
            ) from error
        try:
            told = provider_options(ends, most=self._most, kept=self._kept)
            options.add_provider_for_devices(list(_devices()[:1]), told)
            return self._library.InferenceSession(self._model, options)
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise EngineError(
                f"TensorRT-RTX {self.version} on {self.device} refuses the generator: "
                f"{plain(str(error), LINE_CHARS)}. "
                "Check it with `bunraku inspect`, or choose --engine onnxruntime."
            ) from error


class TensorRtRtxEngine(Engine):
    """A generator on TensorRT-RTX; no part of it runs on the processor.

    A frame is synchronous: ONNX Runtime copies the inputs to the GPU and the picture back into the caller's memory.
    """

    def __init__(self, model: GeneratorModel, *, cache: EngineCache | None = None) -> None:
        """Store the settings; nothing is compiled before `activate`.

        Args:
            model: generator to run. GPU memory is allocated for as many pictures at once as its largest batch;
                larger requests are split.
            cache: the cache for compiled kernels; None for this user's cache folder.

        Raises:
            EngineUnavailable: no driver, no supported GPU, or it is not installed.
            EngineError: the cache folder is not private.
        """
        super().__init__()
        self._batches = range(1, max([1, *model.batches]) + 1)
        self._network = _Network(model.onnx, precision=model.precision, most=self._batches[-1], cache=cache)
        self._bound: Any = None
        gpu, release = self._network.device, self._network.version
        self._description = EngineDescription("tensorrt-rtx", gpu, release, model.precision, 0, model.sizes)

    @property
    def description(self) -> EngineDescription:
        """Description of the engine."""
        return self._description

    def _load(self) -> None:
        self._bound = BoundSession(self._network.session(ends_of_generator(self._description.sizes)))

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        try:
            for piece in pieces(out.shape[0], self._batches):
                self._bound.run(w[piece.rows], controls[piece.rows], out[piece.rows])
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise _failed(error) from error

    def _unload(self) -> None:
        self._bound = None


def open_graph(model: bytes, *, cache: EngineCache | None = None) -> LoadedGraph:
    """Load any graph on the GPU, for `MovingEngine`; it computes in fp32, one row at a time.

    Args:
        model: ONNX; all sizes but the batch are fixed.
        cache: the cache for compiled kernels; None for this user's cache folder.

    Raises:
        EngineError: it cannot be used, or the plugin refuses the graph.
    """
    return _Graph(model, cache)


class _Graph:
    def __init__(self, model: bytes, cache: EngineCache | None) -> None:
        ends = ends_of_graph(model)
        self._names = [end.name for end in ends.outputs]
        self._session: Any = _Network(model, precision="fp32", most=1, cache=cache).session(ends)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedGraph`."""
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise _failed(error) from error

    def close(self) -> None:
        """See `LoadedGraph`."""
        self._session = None


def _failed(error: Exception) -> EngineError:
    return EngineError(f"TensorRT-RTX failed while drawing: {plain(str(error), LINE_CHARS)}. Start the program again.")


def provider_options(ends: Ends, *, most: int, kept: Path) -> dict[str, str]:
    """The plugin's settings, named as in its header `tensorrt_rtx_provider_options.h`.

    Args:
        ends: inputs and outputs of the network.
        most: the largest batch.
        kept: folder of compiled kernels.
    """

    def shapes(batch: int) -> str:
        return ",".join(f"{end.name}:{'x'.join(str(size) for size in (batch, *end.shape))}" for end in ends.inputs)

    return {
        "nv_runtime_cache_path": str(kept),
        "nv_profile_min_shapes": shapes(1),
        "nv_profile_opt_shapes": shapes(most),
        "nv_profile_max_shapes": shapes(most),
        # Otherwise the scratch memory is allocated and freed for every frame.
        "nv_persistent_context_memory": "1",
    }


BACKEND: Final = Backend(
    name="tensorrt-rtx",
    precisions=("fp16", "fp32", "int8"),
    unavailable=unavailable,
    about=about,
    draw=TensorRtRtxEngine,
    move=lambda model: open_graph(model.onnx),
    read=onnxruntime.open_graph,
    on_gpu=True,
    built_ahead=True,
)
