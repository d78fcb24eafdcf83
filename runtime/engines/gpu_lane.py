"""The path of one batch size through the GPU: copy in, compute, copy out.

Everything that a frame needs is created beforehand and stays in place, so that copies and computation can be
captured once as a CUDA graph and a frame is one call.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .base import Array
from .cuda_runtime import Bytes, CudaRuntime
from .ends import Ends

logger = logging.getLogger(__name__)

# Two: while one is copied out to the caller, the GPU computes the other.
SLOTS: Final = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a batch that is drawn at once.

    Attributes:
        start: its first row in the batch.
        count: its rows.
        batch: the batch size it is drawn with; more than `count` if no smaller one exists.
    """

    start: int
    count: int
    batch: int

    @property
    def rows(self) -> slice:
        """Its rows in the batch."""
        return slice(self.start, self.start + self.count)


def pieces(count: int, batches: Sequence[int]) -> Iterator[Piece]:
    """Split `count` pictures into the largest batch sizes that fit; the rest uses the smallest one, partly empty."""
    start = 0
    while start < count:
        left = count - start
        batch = max((size for size in batches if size <= left), default=min(batches))
        yield Piece(start, min(left, batch), batch)
        start += batch


@dataclass(slots=True)
class Slot:
    """One frame in flight.

    Attributes:
        memory: pinned, inputs and outputs by name.
        done: its event in the stream.
        graph: replays it in one call, if CUDA captured it.
    """

    memory: dict[str, Bytes]
    done: Any
    graph: Any = None


class GpuLane:
    """Computes batches of one size, with `SLOTS` in flight at once.

    Attributes:
        refusal: why CUDA did not capture a graph, so that each frame is several calls; empty if it did.
    """

    def __init__(
        self, cuda: CudaRuntime, addresses: Mapping[str, int], enqueue: Callable[[], None], *, batch: int, ends: Ends
    ) -> None:
        """Allocate pinned memory, compute once, and capture a graph.

        Args:
            cuda: owns the memory; the lane is invalid after it is closed.
            addresses: on the GPU, of each input and output by name, large enough for the batch.
            enqueue: queues the computation on these addresses on the stream.
            batch: rows at once.
            ends: inputs and outputs of the network.

        Raises:
            EngineError: out of memory, or the computation fails.
        """
        self._cuda, self._addresses, self._enqueue, self._ends = cuda, addresses, enqueue, ends
        self._slots = [
            Slot({end.name: cuda.pinned_memory(batch * end.row_bytes) for end in ends}, cuda.event())
            for _ in range(SLOTS)
        ]
        self._next = 0
        self.refusal = ""
        for slot in self._slots:
            # Pinned memory is uninitialised, and unused rows of a partial batch are computed as well.
            for end in ends.inputs:
                slot.memory[end.name][:] = 0
            self._compute(slot)
            cuda.wait()
            if not self.refusal:
                slot.graph, self.refusal = cuda.capture(functools.partial(self._compute, slot))
        if self.refusal:
            logger.warning("no CUDA graph for batches of %d, frames take longer: %s", batch, self.refusal)

    def submit(self, inputs: Mapping[str, Array]) -> Slot:
        """Start computing.

        Args:
            inputs: one per input, contiguous, equally many rows in all, no more than the batch; copied before this
                returns.

        Returns:
            A slot for `collect`. At most `SLOTS` may be waiting; the first submitted is collected first.
        """
        slot = self._slots[self._next]
        self._next = (self._next + 1) % SLOTS
        # Not for regular frames, which were collected; for one that an interrupt left in flight.
        self._cuda.wait_for(slot.done)
        for end in self._ends.inputs:
            given = inputs[end.name]
            slot.memory[end.name][: given.nbytes] = given.reshape(-1).view(np.uint8)
        if slot.graph is None:
            self._compute(slot)
        else:
            self._cuda.launch(slot.graph)
        self._cuda.record(slot.done)
        return slot

    def collect(self, slot: Slot, count: int) -> dict[str, Array]:
        """Wait until it is computed.

        Args:
            slot: from `submit`.
            count: rows that were submitted.

        Returns:
            The rows of each output. They share the lane's memory: copy them before calling `submit` again.
        """
        self._cuda.wait_for(slot.done)
        return {
            end.name: slot.memory[end.name][: count * end.row_bytes].view(end.dtype).reshape(count, *end.shape)
            for end in self._ends.outputs
        }

    def _compute(self, slot: Slot) -> None:
        """Queue one frame, call by call."""
        for end in self._ends.inputs:
            self._cuda.to_device(self._addresses[end.name], slot.memory[end.name])
        self._enqueue()
        for end in self._ends.outputs:
            self._cuda.to_host(slot.memory[end.name], self._addresses[end.name])
