"""ONNX Runtime: the reference on the processor, and on a GPU through an installed provider."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from engine_bridge.errors import EngineError, EngineUnavailable
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.advice import install, uninstall_then_install
from runtime.machine import ThreadProfile, instructions

from .backend import Backend, GeneratorModel
from .base import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels
from .bound_session import BoundSession
from .cuda_driver import cuda_driver

CPU: Final = "CPUExecutionProvider"
# Engine name for `--engine` -> the library's provider name.
PROVIDERS: Final = {
    "onnxruntime": CPU,
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
# Builds of the library with additional providers; one replaces the other.
_PACKAGES: Final = {"cuda": "onnxruntime-gpu", "directml": "onnxruntime-directml"}
_PROVIDER_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "CUDAExecutionProvider": {"cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "1"},
    "CoreMLExecutionProvider": {"ModelFormat": "MLProgram"},
}
# The operators that draw. If one of them is left to the processor, the provider does not do its work.
_WORK: Final = frozenset(["Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"])


def unavailable(name: str) -> str:
    """Why this engine cannot be used here; empty if it can.

    Args:
        name: one of `PROVIDERS`.
    """
    if find_spec("onnxruntime") is None:
        return f"not installed; {install('onnxruntime')}"
    if name == "onnxruntime":
        return ""
    if name == "coreml" and sys.platform != "darwin":
        return "only on macOS"
    if name == "cuda" and (missing := cuda_driver().missing):
        return missing
    package = _PACKAGES.get(name, "onnxruntime")
    try:
        version(package)
    except PackageNotFoundError:
        return f"not installed; {uninstall_then_install('onnxruntime', package)}"
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return "" if PROVIDERS[name] in there else f"{package} is installed, but offers only {', '.join(there)}"


def about(name: str = "onnxruntime") -> tuple[str, str]:
    """What it runs on by that name, one of `PROVIDERS`, and its version."""
    import onnxruntime

    return PROVIDERS[name], onnxruntime.__version__


def _open_session(model: bytes, threads: int, profile: ThreadProfile, provider: str) -> Any:
    """Load a graph.

    Raises:
        EngineError: the library refuses it.
    """
    import onnxruntime

    on_cpu = provider == CPU
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    spinning = "1" if profile == "exclusive" and on_cpu else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    if profile == "shared":
        # Small blocks, so that a preempted thread holds up little.
        options.add_session_config_entry("session.dynamic_block_base", "4")
    if not on_cpu:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        return onnxruntime.InferenceSession(model, options, providers=[(provider, _PROVIDER_OPTIONS.get(provider, {}))])
    except Exception as error:  # ONNX Runtime's own errors share no base class
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} refuses the graph on {provider}: "
            f"{plain(str(error), LINE_CHARS)}. Look at it with "
            "`bunraku inspect`, or export it again: bunraku-train export"
        ) from error


def _check_where_it_runs(session: Any, provider: str) -> None:
    """Reject a session that silently fell back to the processor, entirely or in part.

    Raises:
        EngineError: it did.
    """
    import onnxruntime

    active = session.get_providers()
    if provider not in active:
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} did not take {provider} and would run on {active[0]} instead: a "
            "library or driver that it needs is missing. `bunraku doctor` says which."
        )
    elsewhere = sorted(
        {
            node.op_type
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name != provider
            for node in part.get_nodes()
        }
        & _WORK
    )
    if elsewhere:
        raise EngineError(
            f"{provider} leaves {', '.join(elsewhere)} of this network to the processor. "
            "Choose another engine, or update the provider."
        )


def open_graph(model: bytes, threads: int, profile: ThreadProfile, name: str = "onnxruntime") -> LoadedGraph:
    """Load any graph, for `MovingEngine`.

    Args:
        model: ONNX.
        threads: for inference, on the processor.
        profile: how they share the machine.
        name: one of `PROVIDERS`.

    Raises:
        EngineError: the library refuses it, or leaves work to the processor.
    """
    return _Graph(model, threads, profile, PROVIDERS[name])


class _Graph:
    def __init__(self, model: bytes, threads: int, profile: ThreadProfile, provider: str) -> None:
        self._session: Any = _open_session(model, threads, profile, provider)
        if provider != CPU:
            _check_where_it_runs(self._session, provider)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedGraph`."""
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise EngineError(f"ONNX Runtime failed: {plain(str(error), LINE_CHARS)}") from error

    def close(self) -> None:
        """See `LoadedGraph`."""
        self._session = None


class OnnxRuntimeEngine(Engine):
    """A generator on one provider of ONNX Runtime.

    Inputs and outputs are bound to the caller's memory, so a frame allocates no pixels. In the shared profile its
    threads wait without spinning: on two busy cores, spinning doubled the processor time of a frame (37 ms instead of
    20) and made it later.
    """

    def __init__(self, model: GeneratorModel, name: str = "onnxruntime") -> None:
        """Store the settings; `activate` loads.

        Args:
            model: what to draw with.
            name: one of `PROVIDERS`.
        """
        super().__init__()
        if reason := unavailable(name):
            raise EngineUnavailable(f"The engine {name} cannot be used: {reason}.")
        import onnxruntime

        self._library = onnxruntime
        self._model = model
        self._bound: Any = None
        threads = model.threads if PROVIDERS[name] == CPU else 0
        self._description = EngineDescription(name, *about(name), model.precision, threads, model.sizes)

    @property
    def description(self) -> EngineDescription:
        """Description of the engine."""
        return self._description

    def _load(self) -> None:
        about = self._description
        session = _open_session(self._model.onnx, about.threads, self._model.profile, about.provider)
        if not about.on_cpu:
            _check_where_it_runs(session, about.provider)
        self._bound = BoundSession(session)

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        try:
            self._bound.run(w, controls, out)
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise EngineError(f"ONNX Runtime failed while drawing: {plain(str(error), LINE_CHARS)}") from error

    def _unload(self) -> None:
        self._bound = None


def _lacks(precision: str) -> str:
    if precision == "int8" and not {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"} & set(instructions()):
        return "this processor has no int8 instructions, so int8 would not be faster"
    return ""


def _on_gpu(name: str, *, by_name: bool = False) -> Backend:
    return Backend(
        name=name,
        precisions=("fp16", "fp32"),
        unavailable=lambda: unavailable(name),
        about=lambda: about(name),
        draw=lambda model: OnnxRuntimeEngine(model, name),
        move=lambda model: open_graph(model.onnx, model.threads, model.profile, name),
        read=open_graph,
        on_gpu=True,
        by_name=by_name,
    )


PROCESSOR: Final = Backend(
    name="onnxruntime",
    precisions=("int8", "fp32"),
    unavailable=lambda: unavailable("onnxruntime"),
    about=about,
    draw=OnnxRuntimeEngine,
    move=lambda model: open_graph(model.onnx, model.threads, model.profile),
    read=open_graph,
    lacks=_lacks,
)
CUDA: Final = _on_gpu("cuda")
# By name only: untested so far.
DIRECTML: Final = _on_gpu("directml", by_name=True)
COREML: Final = _on_gpu("coreml", by_name=True)
