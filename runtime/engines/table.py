"""All backends, fastest first: the choices of `--engine`, also for `bunraku doctor`, `bench` and `build`."""

from __future__ import annotations

from typing import Final

from engine_bridge.errors import EngineUnavailable

from . import onnxruntime, openvino, tensorrt, tensorrt_rtx
from .backend import Backend

BACKENDS: Final[tuple[Backend, ...]] = (
    tensorrt.BACKEND,
    tensorrt_rtx.BACKEND,
    onnxruntime.CUDA,
    openvino.BACKEND,
    onnxruntime.PROCESSOR,
    onnxruntime.DIRECTML,
    onnxruntime.COREML,
)
SYNTHETIC: Final = "synthetic"  # the test card, which needs no character
NAMES: Final = ("auto", *(backend.name for backend in BACKENDS), SYNTHETIC)
_BY_NAME: Final = {backend.name: backend for backend in BACKENDS}


def backend_of(name: str) -> Backend:
    """Return the backend of that name.

    Raises:
        EngineUnavailable: there is none.
    """
    if name not in _BY_NAME:
        raise EngineUnavailable(f'There is no engine "{name}". Choose one of: {", ".join(NAMES)}.')
    return _BY_NAME[name]


def unavailable(name: str) -> str:
    """Why this backend cannot be used here, and after a semicolon what to do; empty if it can. May load its library."""
    return backend_of(name).unavailable()


def availability() -> dict[str, str]:
    """Every backend with the reason why it cannot be used here; empty if it can."""
    return {backend.name: backend.unavailable() for backend in BACKENDS}
