"""An engine in two steps: a person is read once, then moved for every frame, outside of the network.

The libraries beside it run the graphs. A GPU computes the motion, which is most of the work of a frame. The processor
composites the picture, where it is shown or sent.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine_bridge.errors import CharacterError, EngineError
from engine_bridge.sockets.zmq_sockets import OncePerSecond
from runtime.character.ends import PERSON_ENDS
from runtime.character.person import Person, small
from runtime.composite import open_composite
from runtime.composite.references import References
from runtime.machine import give_way

from .base import Array, Engine, EngineDescription, Floats, LoadedGraph, Pixels
from .imagined import NEAR, imagine, likeness, share_of, somebody

logger = logging.getLogger(__name__)

KEPT_BYTES: Final = 192 << 20  # of people who have been read, but at least two; one takes 7 MiB at 512 px
_Key = int | bytes  # a person in the file, or an imagined one

ANY_SHARE: Final = 0.01  # share of an identity that makes a person worth reading


@dataclass(frozen=True)
class _Read:
    """A person who has been read: constants for all frames."""

    references: References
    constants: dict[str, Array]

    @property
    def size(self) -> int:
        """Size in memory, in bytes."""
        return self.references.pixels.nbytes + sum(array.nbytes for array in self.constants.values())


class MovingEngine(Engine):
    """Draws the people of a character of format 2.

    An identity is a share of each person. The one with the largest share is drawn. Others are read beside the live loop
    as soon as they have any share, so that a transition costs no frame: until a person has been read, the one
    with the largest share among those read stays on screen. If somebody cannot be read, that is logged and the last
    one stays on screen.

    Behind the shares there may be a latent (see `imagined`). Its person is drawn and then read in
    the same way, one at a time; during a transition between latents, people near the wanted one are shown.
    """

    def __init__(
        self,
        open_motion: Callable[[], LoadedGraph],
        open_graph: Callable[[bytes], LoadedGraph],
        *,
        reader: bytes,
        people: Sequence[Person],
        portrait: bytes = b"",
        about: EngineDescription,
        threads: int,
        patient: bool = False,
    ) -> None:
        """Store the settings; `activate` loads.

        Args:
            open_motion: loads the animator, which computes for every frame; raises EngineError.
            open_graph: loads a graph that runs once per person, beside the live loop; raises EngineError.
            reader: `reader.onnx`.
            people: in the order of identities.
            portrait: `portrait.onnx`, empty if nobody is drawn from a latent.
            about: description of the engine; its precision is that of the motion, everything else uses fp32.
            threads: of the processor, for compositing.
            patient: wait for a person to be read, so that equal calls give equal pictures.
        """
        super().__init__()
        self._open_motion, self._open_graph = open_motion, open_graph
        self._reader_graph = reader
        self._people = tuple(people)
        self._portrait_graph = portrait
        self._portrait: LoadedGraph | None = None
        self._about = about
        self._threads = max(1, threads)
        self._patient = patient
        self._read: OrderedDict[_Key, _Read] = OrderedDict()
        self._reading: dict[_Key, Future[_Read]] = {}
        self._unreadable: set[_Key] = set()
        self._shown: _Key | None = None  # None before the first request
        self._log = OncePerSecond(logger)

    @property
    def description(self) -> EngineDescription:
        """What it is and takes."""
        return self._about

    def _load(self) -> None:
        with ExitStack() as stack:
            self._animator = self._open_motion()
            stack.callback(self._animator.close)
            self._reader = self._open_graph(self._reader_graph)
            stack.callback(self._reader.close)
            self._composite = open_composite(self._threads)
            stack.callback(self._composite.close)
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="bunraku-reader", initializer=give_way)
            stack.callback(self._worker.shutdown, cancel_futures=True)
            self._held = stack.pop_all()

    def _unload(self) -> None:
        self._held.close()
        self._read.clear()
        self._reading.clear()
        self._unreadable.clear()
        self._shown = None
        if self._portrait is not None:
            self._portrait.close()
            self._portrait = None

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        self._take_what_is_read()
        for row in range(len(w)):
            person = self._person(w[row])
            motion = self._animator.run({**person.constants, "controls": controls[row : row + 1]})
            flow, planes = motion["flow"][0], motion["planes"][0]
            self._composite.draw(person.references, flow, planes, out[row])

    def _person(self, w: Floats) -> _Read:
        shares, latent = w[: len(self._people)], w[len(self._people) :]
        share: dict[_Key, float] = {int(n): float(shares[n]) for n in np.flatnonzero(shares > ANY_SHARE)}
        if (imagined := share_of(latent)) > ANY_SHARE:
            share[somebody(latent)] = imagined
        wanted = max(share, key=share.__getitem__, default=int(shares.argmax()))
        for key in share or [wanted]:
            self._begin_reading(key)
        # Before the first request nobody is shown: the person read by the warm-up must not appear instead.
        if wanted not in self._read and (self._patient or self._shown is None):
            self._begin_reading(wanted, at_once=True)
            self._take(wanted)
        shown = self._best(wanted, share)
        if share:
            self._shown = shown
        self._read.move_to_end(shown)
        return self._read[shown]

    def _best(self, wanted: _Key, share: dict[_Key, float]) -> _Key:
        """The person to show among those read."""
        if wanted in self._read:
            return wanted
        newest = next(reversed(self._read))
        last = newest if self._shown is None or self._shown not in self._read else self._shown
        if isinstance(wanted, int):
            return max((key for key in self._read if key in share), key=share.__getitem__, default=last)
        alike: dict[_Key, float] = {key: likeness(key, wanted) for key in self._read if isinstance(key, bytes)}
        nearest = max(alike, key=alike.__getitem__, default=last)
        # Between a person in the file and an imagined one there is nobody.
        return nearest if isinstance(last, bytes) or alike.get(nearest, 0.0) > NEAR else last

    def _begin_reading(self, key: _Key, *, at_once: bool = False) -> None:
        if key in self._read or key in self._reading or key in self._unreadable:
            return
        # On the way between two latents everyone is new: one at a time, the newest next.
        if isinstance(key, bytes) and not at_once and any(isinstance(other, bytes) for other in self._reading):
            return
        self._reading[key] = self._worker.submit(self._read_person, key)

    def _take_what_is_read(self) -> None:
        for key in [key for key, reading in self._reading.items() if reading.done()]:
            self._take(key)

    def _take(self, key: _Key) -> None:
        """Take a person who is being read, waiting if necessary."""
        if key not in self._reading:
            return
        try:
            self._read[key] = self._reading.pop(key).result()
        except (CharacterError, EngineError) as error:
            if self._patient or not self._read:
                raise
            # There are endless latents; only the last failure is remembered.
            self._unreadable -= {other for other in self._unreadable if isinstance(other, bytes)}
            self._unreadable.add(key)
            self._log.warn(f"{error} The last person stays on screen.")
        while len(self._read) > 2 and sum(read.size for read in self._read.values()) > KEPT_BYTES:
            self._read.popitem(last=False)

    def _read_person(self, key: _Key) -> _Read:
        if isinstance(key, bytes):
            if self._portrait is None:  # most users never ask for a new person
                self._portrait = self._open_graph(self._portrait_graph)
            references, where = imagine(self._portrait, key), "what portrait.onnx draws"
        else:
            references, where = self._people[key].read(), self._people[key].where
        constants = self._reader.run({"references": small(references)})
        if any(not np.isfinite(constants[name]).all() for name in PERSON_ENDS):
            raise EngineError(f"reader.onnx finds numbers that are not finite in {where}.")
        return _Read(references, {name: constants[name].copy() for name in PERSON_ENDS})
