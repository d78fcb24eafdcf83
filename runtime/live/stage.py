"""The stage: from a time to frames.

Time is an argument, and there is no socket, window, thread or sleep inside.
The same drivers, engine and times give the same pixels. `live.py` and `render.py` are built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np

from engine_bridge.clock import now_ns as monotonic_ns
from engine_bridge.errors import EngineMismatch
from engine_bridge.frame import Frame
from runtime.engines.base import Engine, Pixels

from .performer import Performer

BUFFERS: Final = 3  # a frame's pixels stay valid for two more ticks
_TRIALS: Final = 5  # of each way to draw several pictures


class _Company:
    """Performers that share an engine, in one block of memory, drawn in one call or in turn."""

    def __init__(self, performers: Sequence[Performer], *, together: bool | None) -> None:
        self.performers = performers
        first = performers[0]
        role, count = first.role, len(performers)
        self._w = np.zeros((count, role.latents.w_dim), np.float32)
        self._controls = np.zeros((count, len(role.controls)), np.float32)
        self._buffers: list[Pixels] = [np.empty((count, role.height, role.width, 4), np.uint8) for _ in range(BUFFERS)]
        self._turn = 0
        for index, performer in enumerate(performers):
            performer.seat(self._w[index], self._controls[index])
        self._asked = together
        self._together = self._decide(first.engine)

    def use_engine(self, engine: Engine) -> None:
        """Draw with this engine from the next frame on."""
        for performer in self.performers:
            performer.engine = engine
            performer.engine_times.clear()
        self._together = self._decide(engine)

    def tick(self, now_ns: int, drawn: Collection[Performer]) -> list[tuple[Performer, Frame]]:
        for performer in self.performers:
            performer.prepare(now_ns)
        rows = [(index, performer) for index, performer in enumerate(self.performers) if performer in drawn]
        engine, clock = self.performers[0].engine, self.performers[0].clock
        out = self._buffers[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        frames = []
        together = self._together and len(rows) > 1
        if together:
            started = clock()
            engine.infer(self._w, self._controls, out)
            share = (clock() - started) // len(rows)
        for index, performer in rows:
            if not together:
                started = clock()
                row = slice(index, index + 1)
                engine.infer(self._w[row], self._controls[row], out[row])
                share = clock() - started
            frames.append((performer, performer.frame(out[index], now_ns, started_ns=started, took_ns=share)))
        return frames

    def _decide(self, engine: Engine) -> bool:
        if len(self.performers) == 1:
            return False
        return pays_together(engine, len(self.performers)) if self._asked is None else self._asked


def pays_together(engine: Engine, count: int, *, clock: Callable[[], int] = monotonic_ns) -> bool:
    """Measure whether this many pictures are drawn faster in one call than one by one.

    On a GPU they are; on a processor, which a single picture keeps busy, they are not.

    Args:
        engine: active.
        count: pictures per frame.
        clock: in nanoseconds.
    """
    about = engine.description
    w = np.zeros((count, about.sizes.w_dim), np.float32)
    controls = np.zeros((count, about.sizes.num_controls), np.float32)
    out = np.empty((count, about.sizes.height, about.sizes.width, 4), np.uint8)

    def batched() -> None:
        engine.infer(w, controls, out)

    def in_turn() -> None:
        for index in range(count):
            row = slice(index, index + 1)
            engine.infer(w[row], controls[row], out[row])

    best: dict[Callable[[], None], int] = {}
    for way in (batched, in_turn):
        way()  # the first call of a size allocates
    for _ in range(_TRIALS):
        for way in (batched, in_turn):
            began = clock()
            way()
            best[way] = min(best.get(way, 1 << 62), clock() - began)
    return best[batched] < best[in_turn]


class Stage:
    """All characters that play together.

    Performers that share an engine are drawn in one call where that is faster, which is measured at the start.
    """

    def __init__(self, performers: Sequence[Performer], *, together: bool | None = None) -> None:
        """Set the stage.

        Args:
            performers: on the stage.
            together: whether performers with one engine are drawn in one call; None measures.
        """
        self.performers = tuple(performers)
        engines = {id(performer.engine): performer.engine for performer in performers}
        self._companies = [
            _Company([p for p in performers if p.engine is engine], together=together) for engine in engines.values()
        ]

    def use_engine(self, old: Engine, new: Engine) -> None:
        """From the next frame on, replace `old` by `new` everywhere.

        Args:
            old: in use; its owner deactivates it afterwards.
            new: active, of the same character.

        Raises:
            EngineMismatch: `new` has other inputs or outputs; nothing has changed.
        """
        have, want = new.description, old.description
        if have.sizes != want.sizes:
            raise EngineMismatch(
                f"{have.label} was made for another character than {want.label}. Build it for this one."
            )
        for company in self._companies:
            if company.performers[0].engine is old:
                company.use_engine(new)

    def tick(self, now_ns: int, drawn: Collection[Performer] | None = None) -> list[Frame]:
        """Draw one frame of every character.

        Args:
            now_ns: the current time, on a monotonic clock. Controls are sampled at this time, just before
                inference.
            drawn: performers to draw, None for all; the others only keep moving.

        Returns:
            One frame per performer drawn, in their order. Their pixels stay valid for two more ticks; copy them to
            keep them.

        Raises:
            EngineError: an engine failed.
        """
        wanted = self.performers if drawn is None else drawn
        frames = {
            id(performer): frame for company in self._companies for performer, frame in company.tick(now_ns, wanted)
        }
        return [frames[id(performer)] for performer in self.performers if id(performer) in frames]
