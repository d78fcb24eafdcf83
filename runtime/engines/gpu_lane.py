"""The way of one batch size through the GPU: in, compute, out. Knows buffers and their order, not what computes.

Everything that a frame needs is made beforehand and stays where it is, so that the copies and the computing can be
recorded once as a CUDA graph and a frame is one call.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from runtime.engine import Floats, Pixels

from .cuda_runtime import Bytes, CudaRuntime

logger = logging.getLogger(__name__)

# Two: while one is copied out to the caller, the GPU works for the other.
SLOTS: Final = 2
_FLOAT_BYTES: Final = 4


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


@dataclass(frozen=True, slots=True)
class Buffers:
    """Where one batch size lies on the GPU: addresses of `w`, `controls` and `rgba`."""

    w: int
    controls: int
    rgba: int


@dataclass(slots=True)
class Slot:
    """Pinned memory of one frame under way: what goes in, what comes out, and the mark behind it in the stream."""

    w: Bytes
    controls: Bytes
    rgba: Bytes
    done: Any
    graph: Any = None


class GpuLane:
    """Draws batches of one size, `SLOTS` of them under way at once.

    Attributes:
        refusal: why CUDA would not record a graph, so that each frame is several calls; empty if it did.
    """

    def __init__(
        self, cuda: CudaRuntime, buffers: Buffers, enqueue: Callable[[], None], *, batch: int, shape: Sequence[int]
    ) -> None:
        """Reserve pinned memory, draw once, and record a graph.

        Args:
            cuda: owns the memory; the lane is dead when that is closed.
            buffers: on the GPU, large enough for the batch.
            enqueue: gives the computing from and to these buffers to the stream.
            batch: pictures at once.
            shape: (w_dim, number of controls, height, width).

        Raises:
            EngineError: there is no memory left, or the computing fails.
        """
        w_dim, num_controls, height, width = shape
        self._cuda, self._buffers, self._enqueue = cuda, buffers, enqueue
        self._picture = (height, width, 4)
        self._slots = [
            Slot(
                w=cuda.pinned_memory(batch * w_dim * _FLOAT_BYTES),
                controls=cuda.pinned_memory(batch * num_controls * _FLOAT_BYTES),
                rgba=cuda.pinned_memory(batch * height * width * 4),
                done=cuda.event(),
            )
            for _ in range(SLOTS)
        ]
        self._next = 0
        self.refusal = ""
        for slot in self._slots:
            # Pinned memory holds whatever was there before, and rows of a half empty batch are computed as well.
            slot.w[:] = 0
            slot.controls[:] = 0
            self._draw(slot)
            cuda.wait()
            if not self.refusal:
                slot.graph, self.refusal = cuda.capture(functools.partial(self._draw, slot))
        if self.refusal:
            logger.warning("no CUDA graph for batches of %d, frames take longer: %s", batch, self.refusal)

    def submit(self, w: Floats, controls: Floats) -> Slot:
        """Begin to draw.

        Args:
            w: float32 [count, w_dim], count no more than the batch; copied before this returns.
            controls: float32 [count, c], likewise.

        Returns:
            What `collect` takes. At most `SLOTS` may be waiting for it; the first submitted is collected first.
        """
        slot = self._slots[self._next]
        self._next = (self._next + 1) % SLOTS
        # Not for a frame in order, which was collected; for one that an interrupt left under way.
        self._cuda.wait_for(slot.done)
        slot.w[: w.nbytes] = w.reshape(-1).view(np.uint8)
        slot.controls[: controls.nbytes] = controls.reshape(-1).view(np.uint8)
        if slot.graph is None:
            self._draw(slot)
        else:
            self._cuda.launch(slot.graph)
        self._cuda.record(slot.done)
        return slot

    def collect(self, slot: Slot, out: Pixels) -> None:
        """Wait until it is drawn, and copy it.

        Args:
            slot: from `submit`.
            out: uint8 [count, H, W, 4], of the caller; complete when this returns.
        """
        self._cuda.wait_for(slot.done)
        np.copyto(out, slot.rgba[: out.nbytes].reshape(-1, *self._picture))

    def _draw(self, slot: Slot) -> None:
        """Give the stream one frame, call by call."""
        self._cuda.to_device(self._buffers.w, slot.w)
        self._cuda.to_device(self._buffers.controls, slot.controls)
        self._enqueue()
        self._cuda.to_host(slot.rgba, self._buffers.rgba)
