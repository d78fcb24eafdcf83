"""OpenVINO on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final

from engine_bridge.errors import EngineError, EngineUnavailable
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.advice import install, install_extra
from runtime.machine import ThreadProfile

from .backend import Backend, GeneratorModel
from .base import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels

_DEVICE: Final = "CPU"
# Without a hint OpenVINO uses bf16 on CPUs that have it, and pictures would differ between machines. The floating-point
# part of an int8 graph is computed in fp32: bf16 gained nothing measurable.
_PRECISION_HINT: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def unavailable() -> str:
    """Why it cannot be used here; empty if it can."""
    if find_spec("openvino") is None:
        return f"not installed; {install_extra('openvino')}"
    try:
        import openvino  # noqa: F401
    except Exception as error:  # broken libraries fail in many ways, and another engine may still work
        return f"installed, but cannot be imported ({error}); {install('--force-reinstall', 'openvino')}"
    return ""


@functools.cache
def has_bf16() -> bool:
    """Whether this processor has native bf16, without which bf16 is no faster than fp32."""
    import openvino

    return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def about() -> tuple[str, str]:
    """What it runs on, and its version."""
    import openvino

    return _DEVICE, openvino.__version__.split("-")[0]


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def _own_signal_stack() -> Iterator[None]:
    """Restore the thread's signal stack.

    OpenVINO 2026.4 compiles some graphs with its own, leaves it set, and frees it with the graph. The next
    signal that Python handles, such as Ctrl-C, would then crash the process (SIGSEGV).
    """
    if sys.platform != "linux":
        yield
        return
    before, libc = _SignalStack(), ctypes.CDLL(None)
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


def _compile(model: bytes, threads: int, profile: ThreadProfile, precision: str) -> Any:
    """Load a graph.

    Raises:
        EngineError: the library refuses it.
    """
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": _PRECISION_HINT[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "YES" if profile == "exclusive" else "NO",
    }
    try:
        with _own_signal_stack():
            return core.compile_model(core.read_model(model, b""), _DEVICE, settings).create_infer_request()
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(
            f"OpenVINO {openvino.__version__.split('-')[0]} refuses the graph: {plain(str(error), LINE_CHARS)}. "
            "Choose `--engine onnxruntime`, or export it again: bunraku-train export"
        ) from error


def open_graph(model: bytes, threads: int, profile: ThreadProfile, precision: str = "fp32") -> LoadedGraph:
    """Load any graph on the processor, for `MovingEngine`.

    Args:
        model: ONNX.
        threads: for inference.
        profile: how they share the machine.
        precision: `fp32` or `bf16`; inputs and outputs are float32 in any case.

    Raises:
        EngineError: the library refuses it.
    """
    return _Graph(model, threads, profile, precision)


class _Graph:
    def __init__(self, model: bytes, threads: int, profile: ThreadProfile, precision: str) -> None:
        import openvino

        self._tensor = openvino.Tensor
        self._request: Any = _compile(model, threads, profile, precision)
        self._names = [output.get_any_name() for output in self._request.model_outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedGraph`."""
        try:
            for name, array in inputs.items():
                self._request.set_tensor(name, self._tensor(array, shared_memory=True))
            self._request.infer()
            return {name: self._request.get_tensor(name).data for name in self._names}
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(f"OpenVINO failed: {plain(str(error), LINE_CHARS)}") from error

    def close(self) -> None:
        """See `LoadedGraph`."""
        self._request = None


class OpenVinoEngine(Engine):
    """A generator on OpenVINO's CPU device, with outputs written into the caller's memory.

    In the exclusive profile its threads are pinned to cores; beside a game the system may move them.
    """

    def __init__(self, model: GeneratorModel) -> None:
        super().__init__()
        if reason := unavailable():
            raise EngineUnavailable(f"OpenVINO cannot be used: {reason}. `--engine auto` finds an engine that can.")
        import openvino

        self._library = openvino
        self._model = model
        self._request: Any = None
        self._description = EngineDescription("openvino", *about(), model.precision, model.threads, model.sizes)

    @property
    def description(self) -> EngineDescription:
        """Description of the engine."""
        return self._description

    def _load(self) -> None:
        model = self._model
        self._request = _compile(model.onnx, model.threads, model.profile, model.precision)

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        tensor = self._library.Tensor
        try:
            self._request.set_tensor("w", tensor(w, shared_memory=True))
            self._request.set_tensor("controls", tensor(controls, shared_memory=True))
            self._request.set_tensor("rgba", tensor(out, shared_memory=True))
            self._request.infer()
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(f"OpenVINO failed while drawing: {plain(str(error), LINE_CHARS)}") from error

    def _unload(self) -> None:
        self._request = None


def _lacks(precision: str) -> str:
    return "this processor has no bf16 instructions" if precision == "bf16" and not has_bf16() else ""


BACKEND: Final = Backend(
    name="openvino",
    precisions=("int8", "bf16", "fp32"),
    moves_in=("bf16", "fp32"),
    unavailable=unavailable,
    about=about,
    draw=OpenVinoEngine,
    move=lambda model: open_graph(model.onnx, model.threads, model.profile, model.precision),
    read=open_graph,
    lacks=_lacks,
)
