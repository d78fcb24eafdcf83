"""OpenVINO on the CPU. Knows that library and nothing above it."""

from __future__ import annotations

from typing import Any, Final

from engine_bridge.errors import EngineError, EngineUnavailable
from runtime.engine import Engine, EngineDescription, Floats, Pixels

_DEVICE: Final = "CPU"
# Without a hint OpenVINO takes bf16 on CPUs that have it, and pictures would differ from machine to machine.
_PRECISION_HINT: Final = {"fp32": "f32", "int8": "f32"}


class OpenVinoEngine(Engine):
    """A generator on OpenVINO's CPU device, with outputs written into the caller's memory."""

    def __init__(
        self, model: bytes, *, w_dim: int, num_controls: int, width: int, height: int, threads: int, precision: str
    ) -> None:
        super().__init__()
        try:
            import openvino
        except ImportError as error:
            raise EngineUnavailable(
                f'OpenVINO cannot be imported ({error}). Install it: pip install "bunraku[openvino]"'
            ) from error
        self._library = openvino
        self._model = model
        self._request: Any = None
        self._description = EngineDescription(
            "openvino",
            _DEVICE,
            openvino.__version__.split("-")[0],
            precision,
            threads,
            w_dim,
            num_controls,
            width,
            height,
        )

    @property
    def description(self) -> EngineDescription:
        """What it is and takes."""
        return self._description

    def _load(self) -> None:
        core = self._library.Core()
        settings = {
            "INFERENCE_NUM_THREADS": str(self._description.threads),
            "INFERENCE_PRECISION_HINT": _PRECISION_HINT[self._description.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            model = core.read_model(self._model, b"")
            self._request = core.compile_model(model, _DEVICE, settings).create_infer_request()
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(
                f"OpenVINO {self._description.version} refuses the generator: {error}. "
                "Choose `--engine onnxruntime`, or export it again: bunraku-train export"
            ) from error

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        tensor = self._library.Tensor
        try:
            self._request.set_tensor("w", tensor(w, shared_memory=True))
            self._request.set_tensor("controls", tensor(controls, shared_memory=True))
            self._request.set_tensor("rgba", tensor(out, shared_memory=True))
            self._request.infer()
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(f"OpenVINO failed while drawing: {error}") from error

    def _unload(self) -> None:
        self._request = None
