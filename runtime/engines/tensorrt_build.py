"""From ONNX to a plan of TensorRT 10 or 11. Knows graphs and batch sizes, not where plans are kept or how they run.

Import it only when `runtime.engines.tensorrt.unavailable()` has nothing to say. Networks are strongly typed: the types
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
"""Told (phase, steps done, steps in all) while a plan is built; phases nest. False ends the building."""

# Scratch memory that one layer may ask for. A bound, because the game's textures live on the same card.
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
        layout: becomes the name of the engine, so that whoever opens the plan can tell what it was built for.
        batches: sizes to tune for, each a profile of its own in this order.
        timing_cache: what was measured of kernels before; read if it is there, and written. It must lie where only this
            user can write.
        progress: see `Progress`; called from TensorRT's threads, one call at a time.

    Returns:
        The plan. It is native code for this GPU and this TensorRT, and nothing to hand on.

    Raises:
        EngineBuildError: TensorRT cannot read the graph or cannot build it, or `progress` said to stop.
    """
    log = tensorrt_log()
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags())
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(_refusal(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineBuildError(
            f"TensorRT {trt.__version__} cannot read the generator: {said}. "
            "Look at it with `bunraku inspect`, or choose --engine onnxruntime."
        )
    network.name = layout
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    # One stream: less to wait for beside a renderer, and what is recorded as a graph stays one line.
    config.max_aux_streams = 0
    # On by default, it rounds fp32 to the ten bits of fp16. Who asks for fp32 gets it; fp16 is the fast way.
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
    """What the parser minds; of an operator that it does not know, its description says only `false`."""
    return plain(f"node {error.node_name()} ({error.node_operator()}): {error.desc()}", LINE_CHARS)


def _go_on(_phase: str, _done: int, _total: int) -> bool:
    """The progress of whom nobody watches."""
    return True


def _network_flags() -> int:
    """TensorRT 11 knows only strongly typed networks and calls the flag deprecated; 10 has to be told."""
    if trt.__version__.startswith("10."):
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _read_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Begin with what was measured before; with nothing where that is missing, damaged or of another GPU."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if known and (cache is None or not config.set_timing_cache(cache, False)):
        logger.info("%s is not of this GPU and TensorRT, and will be measured again", path)
        known = b""
    if not known:
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _write_timings(config: trt.IBuilderConfig, path: Path) -> None:
    """Keep what was measured; building works without."""
    try:
        with atomic.replacing(path) as part:
            part.write_bytes(memoryview(config.get_timing_cache().serialize()))
            part.chmod(0o600)
    except SinkError as error:
        logger.warning("what was measured while building could not be kept: %s", error)


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
        """A phase begins; TensorRT calls this."""
        with self._lock:
            self._totals[phase_name] = int(num_steps)
            self._tell(phase_name, 0)

    def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
        """A step is done; TensorRT calls this, and ends the building where it returns False."""
        with self._lock:
            return self._tell(phase_name, int(step) + 1)

    def phase_finish(self, phase_name: str) -> None:
        """A phase ends, with all its steps or without; TensorRT calls this."""
        with self._lock:
            self._totals.pop(phase_name, None)

    def raise_if_stopped(self) -> None:
        """Raise what `progress` raised, or that it said to stop."""
        if self._failure is not None:
            raise self._failure
        if self._stopped:
            raise EngineBuildError("Building the engine was stopped. Start it again when you have the time.")

    def _tell(self, phase: str, done: int) -> bool:
        if not self._stopped:
            try:
                self._stopped = not self._progress(phase, done, self._totals.get(phase, done))
            except BaseException as failure:  # the edge: nothing may pass through TensorRT's frames, not even Ctrl-C
                self._stopped, self._failure = True, failure
        return not self._stopped
