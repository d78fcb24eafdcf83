"""The way of one batch size through the GPU: in, compute, out. Knows buffers and their order, not what computes.

Everything that a frame needs is made beforehand and stays where it is, so that the copies and the computing can be
recorded once as a CUDA graph and a frame is one call.
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

# Two: while one is copied out to the caller, the GPU works for the other.
SLOTS: Final = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a batch that is drawn at once.

    Attributes:
        start: its first row in the batch.
        count: its rows.
        batch: the batch size that it is drawn with; more than `count` if no smaller one is there.
    """

    start: int
    count: int
    batch: int

    @property
    def rows(self) -> slice:
        """Its rows in the batch."""
        return slice(self.start, self.start + self.count)


def pieces(count: int, batches: Sequence[int]) -> Iterator[Piece]:
    """Cut `count` pictures into the largest batch sizes that fit; the rest takes the smallest one, half empty."""
    start = 0
    while start < count:
        left = count - start
        batch = max((size for size in batches if size <= left), default=min(batches))
        yield Piece(start, min(left, batch), batch)
        start += batch


@dataclass(slots=True)
class Slot:
    """One frame under way.

    Attributes:
        memory: pinned, what goes in and what comes out, by name.
        done: the mark behind it in the stream.
        graph: what draws it at one call, if CUDA has recorded it.
    """

    memory: dict[str, Bytes]
    done: Any
    graph: Any = None


class GpuLane:
    """Computes batches of one size, `SLOTS` of them under way at once.

    Attributes:
        refusal: why CUDA would not record a graph, so that each frame is several calls; empty if it did.
    """

    def __init__(
        self, cuda: CudaRuntime, addresses: Mapping[str, int], enqueue: Callable[[], None], *, batch: int, ends: Ends
    ) -> None:
        """Reserve pinned memory, compute once, and record a graph.

        Args:
            cuda: owns the memory; the lane is dead when that is closed.
            addresses: on the GPU, of each end by name, large enough for the batch.
            enqueue: gives the computing from and to these addresses to the stream.
            batch: rows at once.
            ends: of the network.

        Raises:
            EngineError: there is no memory left, or the computing fails.
        """
        self._cuda, self._addresses, self._enqueue, self._ends = cuda, addresses, enqueue, ends
        self._slots = [
            Slot({end.name: cuda.pinned_memory(batch * end.row_bytes) for end in ends}, cuda.event())
            for _ in range(SLOTS)
        ]
        self._next = 0
        self.refusal = ""
        for slot in self._slots:
            # Pinned memory holds whatever was there before, and rows of a half empty batch are computed as well.
            for end in ends.inputs:
                slot.memory[end.name][:] = 0
            self._compute(slot)
            cuda.wait()
            if not self.refusal:
                slot.graph, self.refusal = cuda.capture(functools.partial(self._compute, slot))
        if self.refusal:
            logger.warning("no CUDA graph for batches of %d, frames take longer: %s", batch, self.refusal)

    def submit(self, inputs: Mapping[str, Array]) -> Slot:
        """Begin to compute.

        Args:
            inputs: each as the ends say, contiguous, as many rows of all, no more than the batch; copied before this
                returns.

        Returns:
            What `collect` takes. At most `SLOTS` may be waiting for it; the first submitted is collected first.
        """
        slot = self._slots[self._next]
        self._next = (self._next + 1) % SLOTS
        # Not for a frame in order, which was collected; for one that an interrupt left under way.
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
            Each output's rows. They lie in the lane's memory: copy them before `submit` is called again.
        """
        self._cuda.wait_for(slot.done)
        return {
            end.name: slot.memory[end.name][: count * end.row_bytes].view(end.dtype).reshape(count, *end.shape)
            for end in self._ends.outputs
        }

    def _compute(self, slot: Slot) -> None:
        """Give the stream one frame, call by call."""
        for end in self._ends.inputs:
            self._cuda.to_device(self._addresses[end.name], slot.memory[end.name])
        self._enqueue()
        for end in self._ends.outputs:
            self._cuda.to_host(slot.memory[end.name], self._addresses[end.name])
