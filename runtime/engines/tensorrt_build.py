"""Builds TensorRT 10 or 11 plans from ONNX.

Import it only if `runtime.engines.tensorrt.unavailable()` returns nothing. Networks are strongly typed: the types
in the ONNX file decide the precision, and no flag changes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, SupportsInt

import tensorrt as trt

from engine_bridge.errors import EngineBuildError, SinkError
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime import atomic

from .tensorrt_log import tensorrt_log

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], bool]
"""Called with (phase, steps done, steps in all) while a plan is built; phases nest. False cancels the build."""

# Scratch memory limit per layer, because the game's textures live on the same card.
WORKSPACE_BYTES: Final = 1 << 30


def plan_from_onnx(
    onnx: bytes,
    *,
    layout: str,
    batches: Sequence[int],
    timing_cache: Path,
    progress: Progress | None = None,
) -> bytes:
    """Build a plan for the GPU of this machine; takes from seconds to minutes.

    Args:
        onnx: a generator without external data; its inputs have an open batch size.
        layout: becomes the name of the engine, so that a reader can tell what the plan was built for.
        batches: sizes to tune for, each its own profile in this order.
        timing_cache: earlier kernel timings; read if present, and written. It must be in a folder where only this
            user can write.
        progress: see `Progress`; called from TensorRT's threads, one call at a time.

    Returns:
        The plan: native code for this GPU and this TensorRT, not to be passed on.

    Raises:
        EngineBuildError: TensorRT cannot read the graph or cannot build it, or `progress` cancelled.
    """
    log = tensorrt_log()
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags())
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(_refusal(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineBuildError(
            f"TensorRT {trt.__version__} cannot read the generator: {said}. "
            "Check it with `bunraku inspect`, or choose --engine onnxruntime."
        )
    network.name = layout
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    # One stream: less to wait for beside a renderer, and a captured graph stays linear.
    config.max_aux_streams = 0
    # On by default, it rounds fp32 to the ten bits of fp16. Requested fp32 is honoured; fp16 is the fast option.
    config.clear_flag(trt.BuilderFlag.TF32)
    for batch in batches:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            shape = (batch, *tuple(tensor.shape)[1:])
            profile.set_shape(tensor.name, shape, shape, shape)
        config.add_optimization_profile(profile)
    _read_timings(config, timing_cache)
    monitor = _Monitor(progress or _go_on)
    config.progress_monitor = monitor
    log.forget_errors()
    plan = builder.build_serialized_network(network, config)
    monitor.raise_if_stopped()
    if plan is None:
        raise EngineBuildError(
            f"TensorRT {trt.__version__} cannot build the generator: {log.last_errors()}. "
            "Free some GPU memory and try again, or choose another engine with --engine."
        )
    _write_timings(config, timing_cache)
    return bytes(memoryview(plan))


def _refusal(error: trt.ParserError) -> str:
    """Errors of the parser; for an unknown operator its description is only `false`."""
    return plain(f"node {error.node_name()} ({error.node_operator()}): {error.desc()}", LINE_CHARS)


def _go_on(_phase: str, _done: int, _total: int) -> bool:
    """The default progress, which ignores everything."""
    return True


def _network_flags() -> int:
    """TensorRT 11 has only strongly typed networks and deprecates the flag; 10 requires it."""
    if trt.__version__.startswith("10."):
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _read_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Start with earlier timings; with none where they are missing, damaged or from another GPU."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if known and (cache is None or not config.set_timing_cache(cache, False)):
        logger.info("%s was made for another GPU or TensorRT and will be measured again", path)
        known = b""
    if not known:
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _write_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Save the timings; building works without them."""
    try:
        with atomic.replacing(path) as part:
            part.write_bytes(memoryview(config.get_timing_cache().serialize()))
            part.chmod(0o600)
    except SinkError as error:
        logger.warning("kernel timings could not be saved: %s", error)


class _Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Counts the steps of TensorRT's phases for `Progress`; called from several of its threads."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._progress = progress
        self._totals: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._failure: BaseException | None = None

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: SupportsInt) -> None:  # noqa: ARG002
        """Begin a phase; called by TensorRT."""
        with self._lock:
            self._totals[phase_name] = int(num_steps)
            self._tell(phase_name, 0)

    def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
        """Count a step; called by TensorRT, which cancels the build if this returns False."""
        with self._lock:
            return self._tell(phase_name, int(step) + 1)

    def phase_finish(self, phase_name: str) -> None:
        """End a phase, complete or not; called by TensorRT."""
        with self._lock:
            self._totals.pop(phase_name, None)

    def raise_if_stopped(self) -> None:
        """Raise what `progress` raised, or that it cancelled."""
        if self._failure is not None:
            raise self._failure
        if self._stopped:
            raise EngineBuildError("Building the engine was stopped. Start it again to continue.")

    def _tell(self, phase: str, done: int) -> bool:
        if not self._stopped:
            try:
                self._stopped = not self._progress(phase, done, self._totals.get(phase, done))
            except BaseException as failure:  # nothing may pass through TensorRT's frames, not even Ctrl-C
                self._stopped, self._failure = True, failure
        return not self._stopped
