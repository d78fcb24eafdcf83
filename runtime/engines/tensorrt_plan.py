"""A TensorRT plan, opened and checked. Import it only if `tensorrt.unavailable()` returns nothing.

Checks the plan against what the network must look like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorrt as trt

from engine_bridge.errors import EngineError, EngineMismatch

from .ends import Ends
from .tensorrt_log import tensorrt_log


class OpenPlan:
    """A TensorRT engine that fits the character. Freed with its last reference."""

    def __init__(self, plan: bytes, *, ends: Ends, device: str, layout: str, batches: Sequence[int]) -> None:
        """Open a plan built on this machine; a plan is native code, so none from elsewhere may come here.

        Args:
            plan: from `runtime.engines.tensorrt_build`.
            ends: required inputs and outputs.
            device: name of the GPU, for messages.
            layout: required layout.
            batches: sizes it was tuned for, in the order of its profiles.

        Raises:
            EngineMismatch: TensorRT refuses the plan, or it belongs to another network.
        """
        self._log = tensorrt_log()
        self._log.forget_errors()
        # Each must outlive what is made from it.
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._batches = tuple(batches)
        if self._engine is None:
            raise EngineMismatch(
                f"TensorRT {trt.__version__} on {device} refuses the built engine: {self._log.last_errors()}. "
                "It must be built again: bunraku build CHARACTER --engine tensorrt"
            )
        self._check(ends, layout)

    def computing(self, batch: int, addresses: Mapping[str, int], stream: int) -> Callable[[], None]:
        """Create a context that draws one batch size on these addresses and this stream.

        Args:
            batch: one of the tuned sizes.
            addresses: on the GPU, of each input and output by name; valid for as long as the result is used.
            stream: handle of the stream; currently idle.

        Raises:
            EngineError: out of memory.
        """
        context = self._engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(self._batches.index(batch), stream):
            raise EngineError(
                f"TensorRT cannot prepare batches of {batch}: {self._log.last_errors()}. "
                "Free some GPU memory, or choose another engine with --engine."
            )
        for name, address in addresses.items():
            if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                shape = (batch, *tuple(self._engine.get_tensor_shape(name))[1:])
                context.set_input_shape(name, shape)
            context.set_tensor_address(name, address)
        unknown = context.infer_shapes()
        if unknown:
            raise EngineError(f"TensorRT does not know the shapes of {', '.join(unknown)}; export the character again.")

        def compute() -> None:
            if not context.execute_async_v3(stream):
                raise EngineError(f"TensorRT failed while drawing: {self._log.last_errors()}. Start the program again.")

        return compute

    def _check(self, ends: Ends, layout: str) -> None:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: (tuple(engine.get_tensor_shape(name))[1:], engine.get_tensor_dtype(name)) for name in names}
        types = {np.dtype(np.float32): trt.DataType.FLOAT, np.dtype(np.uint8): trt.DataType.UINT8}
        expected = {end.name: (end.shape, types[end.dtype]) for end in ends}
        if engine.name != layout or found != expected or engine.num_optimization_profiles != len(self._batches):
            raise EngineMismatch(
                f"The engine is for another network: it has layout {engine.name} and {found}, but layout {layout} "
                f"and {expected} are needed, with {len(self._batches)} batch sizes. "
                "It must be built again: bunraku build CHARACTER --engine tensorrt"
            )
