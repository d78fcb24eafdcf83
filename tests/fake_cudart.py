"""A stand-in for `cuda.bindings.runtime` that keeps "GPU" memory in main memory and runs a stream when awaited.

It shows the order of operations on a stream, and what is released. It proves nothing about a GPU.
"""

# ruff: noqa: N801, N802, N815  (the names are NVIDIA's)

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from typing import Any


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
REFUSED = cudaError_t.cudaErrorStreamCaptureUnsupported


class FakeCudart:
    """The functions called by Bunraku, by their real names.

    Attributes:
        refuse: name of a function that returns an error.
        calls: names of the called functions, in order.
        live: number of streams, allocations, events and graphs not released.
    """

    cudaStreamNonBlocking = 1
    cudaEventDisableTiming = 2
    cudaEventBlockingSync = 1
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode

    def __init__(self, *, refuse: str = "") -> None:
        self.refuse = refuse
        self.calls: list[str] = []
        self.live = 0
        self._memory: dict[int, Any] = {}
        self._queue: list[Callable[[], None]] = []
        self._recording: list[Callable[[], None]] | None = None

    def enqueue(self, work: Callable[[], None]) -> None:
        """Queue work on the stream, like a library that computes."""
        (self._queue if self._recording is None else self._recording).append(work)

    def _answer(self, name: str, *values: Any, made: int = 0) -> tuple[Any, ...]:
        self.calls.append(name)
        if name == self.refuse:
            return (REFUSED, *(None for _ in values))
        self.live += made
        return (OK, *values)

    def cudaGetErrorString(self, code: cudaError_t) -> tuple[Any, ...]:
        return (OK, f"the fake says {int(code)}".encode())

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self._answer("cudaGetLastError")

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaStreamCreateWithFlags", 77, made=1)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        return self._answer("cudaStreamDestroy", made=-1)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        return self._allocate("cudaMalloc", size)

    def cudaMallocHost(self, size: int) -> tuple[Any, ...]:
        return self._allocate("cudaMallocHost", size)

    def _allocate(self, name: str, size: int) -> tuple[Any, ...]:
        memory = (ctypes.c_uint8 * size)()
        ctypes.memset(memory, 0xAB, size)  # real memory is not clean either
        address = ctypes.addressof(memory)
        self._memory[address] = memory
        return self._answer(name, address, made=1)

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self._memory[address]
        return self._answer("cudaFree", made=-1)

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        del self._memory[address]
        return self._answer("cudaFreeHost", made=-1)

    def cudaMemcpyAsync(
        self, target: int, source: int, size: int, kind: cudaMemcpyKind, stream: int
    ) -> tuple[Any, ...]:
        self.enqueue(lambda: ctypes.memmove(target, source, size) and None)
        return self._answer("cudaMemcpyAsync")

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaEventCreateWithFlags", object(), made=1)

    def cudaEventDestroy(self, event: object) -> tuple[Any, ...]:
        return self._answer("cudaEventDestroy", made=-1)

    def cudaEventRecord(self, event: object, stream: int) -> tuple[Any, ...]:
        return self._answer("cudaEventRecord")

    def cudaEventSynchronize(self, event: object) -> tuple[Any, ...]:
        self._run()
        return self._answer("cudaEventSynchronize")

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        self._run()
        return self._answer("cudaStreamSynchronize")

    def cudaStreamBeginCapture(self, stream: int, mode: cudaStreamCaptureMode) -> tuple[Any, ...]:
        answer = self._answer("cudaStreamBeginCapture")
        if answer[0] == OK:
            self._recording = []
        return answer

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        graph, self._recording = self._recording, None
        return self._answer("cudaStreamEndCapture", graph, made=1)

    def cudaGraphInstantiate(self, graph: object, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaGraphInstantiate", graph, made=1)

    def cudaGraphLaunch(self, graph: list[Callable[[], None]], stream: int) -> tuple[Any, ...]:
        self._queue.extend(graph)
        return self._answer("cudaGraphLaunch")

    def cudaGraphDestroy(self, graph: object) -> tuple[Any, ...]:
        return self._answer("cudaGraphDestroy", made=-1)

    def cudaGraphExecDestroy(self, graph: object) -> tuple[Any, ...]:
        return self._answer("cudaGraphExecDestroy", made=-1)

    def _run(self) -> None:
        queue, self._queue = self._queue, []
        for work in queue:
            work()
