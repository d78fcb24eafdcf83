"""Memory, streams and graphs of one GPU, through cuda-python's `cuda.bindings.runtime`.

`close` releases all resources in reverse order; every CUDA failure is an `EngineError`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import EngineError

Bytes = npt.NDArray[np.uint8]


class CudaRuntime:
    """Resources of one engine on the GPU, on its own stream."""

    def __init__(self, cudart: Any) -> None:
        """Create the stream.

        Args:
            cudart: the module `cuda.bindings.runtime`.

        Raises:
            EngineError: there is no GPU, or CUDA fails.
        """
        self._cudart = cudart
        self._owned = ExitStack()
        # Never the default stream: it waits for every other one in the process, and cannot be captured.
        self._stream = self._call("creating a stream", cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        self._owned.callback(cudart.cudaStreamDestroy, self._stream)

    @property
    def stream(self) -> int:
        """The stream's handle, as TensorRT takes it."""
        return int(self._stream)

    def device_memory(self, size: int) -> int:
        """Allocate `size` bytes on the GPU and return their address."""
        address = self._call(f"allocating {size} bytes on the GPU", self._cudart.cudaMalloc(size))
        self._owned.callback(self._cudart.cudaFree, address)
        return int(address)

    def pinned_memory(self, size: int) -> Bytes:
        """Allocate pinned memory, uint8 [size], that the GPU can access by itself. Invalid after `close`."""
        address = int(self._call(f"pinning {size} bytes of memory", self._cudart.cudaMallocHost(size)))
        self._owned.callback(self._cudart.cudaFreeHost, address)
        return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(address)), np.uint8)

    def event(self) -> Any:
        """Create an event in the stream; waiting for it sleeps, because the processor belongs to the game."""
        flags = self._cudart.cudaEventDisableTiming | self._cudart.cudaEventBlockingSync
        event = self._call("creating an event", self._cudart.cudaEventCreateWithFlags(flags))
        self._owned.callback(self._cudart.cudaEventDestroy, event)
        return event

    def record(self, event: Any) -> None:
        """Record the event behind everything queued so far."""
        self._call("recording an event", self._cudart.cudaEventRecord(event, self._stream))

    def wait_for(self, event: Any) -> None:
        """Sleep until the stream has passed the event; returns at once if it was never recorded."""
        self._call("drawing", self._cudart.cudaEventSynchronize(event))

    def wait(self) -> None:
        """Sleep until the stream is idle."""
        self._call("drawing", self._cudart.cudaStreamSynchronize(self._stream))

    def to_device(self, address: int, source: Bytes) -> None:
        """Queue a copy of pinned memory to the GPU."""
        self._copy(address, source.ctypes.data, source.nbytes, self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def to_host(self, target: Bytes, address: int) -> None:
        """Queue a copy from the GPU to pinned memory."""
        self._copy(target.ctypes.data, address, target.nbytes, self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def capture(self, enqueue: Callable[[], None]) -> tuple[Any, str]:
        """Capture what `enqueue` queues on the stream, so that one call can replay it.

        Args:
            enqueue: queues work on the stream; has run once before, so that nothing is set up while capturing.

        Returns:
            The argument of `launch` and an empty text; or None and why it cannot be captured, with nothing changed.
        """
        try:
            graph = self._record(enqueue)
            executable = self._call("preparing a graph", self._cudart.cudaGraphInstantiate(graph, 0))
        except EngineError as error:
            self._cudart.cudaGetLastError()  # CUDA would otherwise report it to the next caller
            return None, str(error)
        self._owned.callback(self._cudart.cudaGraphExecDestroy, executable)
        return executable, ""

    def launch(self, graph: Any) -> None:
        """Replay a captured graph."""
        self._call("drawing", self._cudart.cudaGraphLaunch(graph, self._stream))

    def settle(self) -> None:
        """Wait like `wait`, but without raising: earlier failures have already been reported to the caller."""
        self._cudart.cudaStreamSynchronize(self._stream)

    def close(self) -> None:
        """Wait for the stream, then release everything. Safe to call twice."""
        if self._stream is not None:
            self.settle()
            self._stream = None
            self._owned.close()

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        self._call(f"copying {size} bytes", self._cudart.cudaMemcpyAsync(target, source, size, kind, self._stream))

    def _record(self, enqueue: Callable[[], None]) -> Any:
        """The graph of what `enqueue` queues on the stream."""
        cudart = self._cudart
        # Of this thread only: another engine may be loading in another thread, and may allocate memory meanwhile.
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("beginning a graph", cudart.cudaStreamBeginCapture(self._stream, mode))
        try:
            enqueue()
        finally:
            # Also after a failure: the stream would go on capturing otherwise.
            answer = cudart.cudaStreamEndCapture(self._stream)
            if int(answer[0]) == 0:
                self._owned.callback(cudart.cudaGraphDestroy, answer[1])
        return self._call("ending a graph", answer)

    def _call(self, doing: str, answer: tuple[Any, ...]) -> Any:
        """Return the value of an answer, if its code is success."""
        code = answer[0]
        if int(code) == 0:
            return answer[1] if len(answer) > 1 else None
        told = self._cudart.cudaGetErrorString(code)[1]
        text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        raise EngineError(
            f"CUDA failed while {doing}: {getattr(code, 'name', code)} ({text}). Check nvidia-smi for the state of "
            "the GPU and its free memory, or choose another engine with --engine."
        )
