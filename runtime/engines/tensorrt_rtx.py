"""TensorRT-RTX on an NVIDIA GPU, through ONNX Runtime's plugin. Knows that library and nothing above it.

The plugin is imported only once the driver has answered, and registered once per process. It compiles the generator
when it is loaded, in seconds, and keeps what it compiled beside the other built engines.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from engine_bridge.errors import EngineError, EngineUnavailable
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.advice import install_extra
from runtime.engine import Engine, EngineDescription, Floats, Pixels
from runtime.engine_cache import CacheKey, EngineCache

from .bound_session import BoundSession
from .cuda_driver import cuda_driver
from .gpu_lane import pieces

_PLUGIN: Final = "onnxruntime_ep_nv_tensorrt_rtx"


@functools.cache
def unavailable() -> str:
    """Why this engine cannot be used here and what to do; empty if it can. Never raises, asks once per process."""
    driver = cuda_driver()
    if driver.missing:
        return driver.missing
    if find_spec(_PLUGIN) is None or find_spec("onnxruntime") is None:
        return f"not installed; {install_extra('tensorrt-rtx')}"
    try:
        devices = _devices()
    except Exception as error:  # the edge: ONNX Runtime's errors share no base class, and another engine may still play
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
        Exception: it is not installed or refuses, whatever the library raises then.
    """
    import onnxruntime
    import onnxruntime_ep_nv_tensorrt_rtx as plugin

    onnxruntime.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    return tuple(device for device in onnxruntime.get_ep_devices() if device.ep_name == plugin.get_ep_name())


class TensorRtRtxEngine(Engine):
    """A generator on TensorRT-RTX; no part of it runs on the processor.

    A frame is synchronous: ONNX Runtime copies the inputs to the GPU and the picture back into the caller's memory.
    """

    def __init__(
        self,
        model: bytes,
        *,
        w_dim: int,
        num_controls: int,
        width: int,
        height: int,
        precision: str,
        max_batch: int = 1,
        cache: EngineCache | None = None,
    ) -> None:
        """Say what to run; nothing is compiled before `activate`.

        Args:
            model: ONNX bytes of the generator, its tensors typed as `precision` says.
            w_dim: numbers per identity.
            num_controls: numbers per pose.
            width: of the pictures in pixels.
            height: of the pictures in pixels.
            precision: `fp32`, `fp16` or `int8`, for the description and the cache.
            max_batch: the most pictures that are drawn at once; GPU memory is taken for so many. More are cut.
            cache: beside whose engines the compiled kernels are kept; None for this user's cache folder.

        Raises:
            EngineUnavailable: no driver, no GPU that it supports, or it is not installed.
            EngineError: the cache folder is not private.
        """
        super().__init__()
        reason = unavailable()
        if reason:
            raise EngineUnavailable(f"TensorRT-RTX cannot be used: {reason}. `--engine auto` finds an engine that can.")
        import onnxruntime
        import onnxruntime_ep_nv_tensorrt_rtx as plugin

        driver = cuda_driver()
        gpu = driver.gpus[0]
        self._library = onnxruntime
        self._model = model
        self._bound: Any = None
        self._batches = range(1, max(1, max_batch) + 1)
        key = CacheKey(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            backend="tensorrt-rtx",
            backend_version=f"{plugin.__version__}, ONNX Runtime {onnxruntime.__version__}",
            device=gpu.name,
            compute_capability=gpu.compute_capability,
            driver=driver.version,
            precision=precision,
            batches=(self._batches[-1],),
        )
        # A folder for each network: the plugin names its files after nodes, which two characters may share.
        self._kept = (cache or EngineCache()).folder / key.name
        self._description = EngineDescription(
            "tensorrt-rtx", gpu.name, str(plugin.__version__), precision, 0, w_dim, num_controls, width, height
        )

    @property
    def description(self) -> EngineDescription:
        """What it is and takes."""
        return self._description

    def _load(self) -> None:
        about = self._description
        options = self._library.SessionOptions()
        options.log_severity_level = 3
        # A node that quietly ran on the processor would cost two copies of a picture per frame.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self._kept.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"Compiled kernels cannot be kept in {self._kept}: {error.strerror or error}. "
                "Fix its permissions, or set BUNRAKU_ENGINE_CACHE to another folder."
            ) from error
        try:
            options.add_provider_for_devices(
                list(_devices()[:1]), provider_options(about, most=self._batches[-1], kept=self._kept)
            )
            self._bound = BoundSession(self._library.InferenceSession(self._model, options))
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise EngineError(
                f"TensorRT-RTX {about.version} on {about.provider} refuses the generator: "
                f"{plain(str(error), LINE_CHARS)}. "
                "Look at it with `bunraku inspect`, or choose --engine onnxruntime."
            ) from error

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        try:
            for piece in pieces(out.shape[0], self._batches):
                self._bound.run(w[piece.rows], controls[piece.rows], out[piece.rows])
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise EngineError(
                f"TensorRT-RTX failed while drawing: {plain(str(error), LINE_CHARS)}. Start the program again."
            ) from error

    def _unload(self) -> None:
        self._bound = None


def provider_options(about: EngineDescription, *, most: int, kept: Path) -> dict[str, str]:
    """The plugin's settings, as its header `tensorrt_rtx_provider_options.h` names them.

    Args:
        about: sizes of the inputs.
        most: the largest batch.
        kept: folder of what is compiled.
    """

    def shapes(batch: int) -> str:
        return f"w:{batch}x{about.w_dim},controls:{batch}x{about.num_controls}"

    return {
        "nv_runtime_cache_path": str(kept),
        "nv_profile_min_shapes": shapes(1),
        "nv_profile_opt_shapes": shapes(most),
        "nv_profile_max_shapes": shapes(most),
        # Otherwise the scratch memory is reserved and returned for every frame.
        "nv_persistent_context_memory": "1",
    }
