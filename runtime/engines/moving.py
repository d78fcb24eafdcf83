"""An engine of two steps: a person is read once, then moved for every frame, outside of the network.

Knows people, motion and the composite; the graphs are run by one of the libraries beside it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine_bridge.errors import CharacterError, EngineError
from runtime.character import PERSON_ENDS
from runtime.composite import open_composite
from runtime.composite.references import References
from runtime.engine import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels
from runtime.person import Person, small

logger = logging.getLogger(__name__)

KEPT_BYTES: Final = 192 << 20  # of people who have been read, but at least two of them; one takes 6 MiB at 512 px
ANY_SHARE: Final = 0.01  # of an identity that makes a person worth reading


@dataclass(frozen=True)
class _Read:
    """A person who has been read: the constants of all frames."""

    references: References
    constants: dict[str, Array]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.references.pixels.nbytes + sum(array.nbytes for array in self.constants.values())


class MovingEngine(Engine):
    """Draws the people of a character of format 2.

    An identity is a share of each person. Who has the largest share is drawn. Others are read beside the live loop as
    soon as they have any share, so that a change from one to another costs no frame: until somebody is read, whoever
    has the largest share of those who are goes on. Of somebody who cannot be read a warning is logged, and the last one
    goes on as well.
    """

    def __init__(
        self,
        open_graph: Callable[[bytes, int], LoadedGraph],
        *,
        reader: bytes,
        animator: bytes,
        people: Sequence[Person],
        about: EngineDescription,
        patient: bool = False,
    ) -> None:
        """Prepare; `activate` loads.

        Args:
            open_graph: loads a graph for so many threads; raises EngineError.
            reader: `reader.onnx`.
            animator: `animator.onnx`.
            people: in the order of identities.
            about: what the engine says of itself.
            patient: wait for a person to be read, so that equal calls give equal pictures.
        """
        super().__init__()
        self._open_graph = open_graph
        self._graphs = reader, animator
        self._people = tuple(people)
        self._about = about
        self._patient = patient
        self._read: OrderedDict[int, _Read] = OrderedDict()
        self._reading: dict[int, Future[_Read]] = {}
        self._unreadable: set[int] = set()

    @property
    def description(self) -> EngineDescription:
        """What it is and takes."""
        return self._about

    def _load(self) -> None:
        threads = max(1, self._about.threads)
        self._reader = self._open_graph(self._graphs[0], 1)  # beside the live loop, which needs the other threads
        self._animator = self._open_graph(self._graphs[1], threads)
        self._composite = open_composite(threads)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="bunraku-reader")

    def _unload(self) -> None:
        self._worker.shutdown(cancel_futures=True)
        self._composite.close()
        self._read.clear()
        self._reading.clear()
        self._unreadable.clear()
        del self._reader, self._animator

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        self._take_what_is_read()
        for row in range(len(w)):
            person = self._person(w[row])
            motion = self._animator.run({**person.constants, "controls": controls[row : row + 1]})
            flow, planes = motion["flow"][0], motion["planes"][0]
            self._composite.draw(person.references, flow, planes, out[row])

    def _person(self, shares: Floats) -> _Read:
        wanted = int(shares.argmax())
        for number in np.flatnonzero(shares > ANY_SHARE).tolist() or [wanted]:
            self._begin_reading(number)
        partly = [number for number in self._read if shares[number] > ANY_SHARE]
        if wanted not in self._read and (self._patient or not partly):
            self._take(wanted)
        if wanted in self._read:
            shown = wanted
        else:  # the last one, if nobody has a share
            shown = max(partly or reversed(self._read), key=lambda number: shares[number])
        self._read.move_to_end(shown)
        return self._read[shown]

    def _begin_reading(self, number: int) -> None:
        if not (number in self._read or number in self._reading or number in self._unreadable):
            self._reading[number] = self._worker.submit(self._read_person, number)

    def _take_what_is_read(self) -> None:
        for number in [number for number, reading in self._reading.items() if reading.done()]:
            self._take(number)

    def _take(self, number: int) -> None:
        """Take somebody who is being read, waiting for it if need be."""
        if number not in self._reading:
            return
        try:
            self._read[number] = self._reading.pop(number).result()
        except (CharacterError, EngineError) as error:
            if self._patient or not self._read:
                raise
            self._unreadable.add(number)
            logger.warning("%s The last person goes on.", error)
        while len(self._read) > 2 and sum(read.size for read in self._read.values()) > KEPT_BYTES:
            self._read.popitem(last=False)

    def _read_person(self, number: int) -> _Read:
        references = self._people[number].read()
        constants = self._reader.run({"references": small(references)})
        if any(not np.isfinite(constants[name]).all() for name in PERSON_ENDS):
            raise EngineError(f"reader.onnx finds numbers that are not finite in {self._people[number].where}.")
        return _Read(references, {name: constants[name].copy() for name in PERSON_ENDS})
