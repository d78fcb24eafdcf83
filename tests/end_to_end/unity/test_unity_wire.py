"""The Unity package against bytes on the wire: 100,000 broken messages, and every case of the conformance kit."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from engine_bridge import Frame, LiveStats
from engine_bridge.avf.messages import Provenance
from engine_bridge.avf.wire import Heartbeat, encode_frame, encode_heartbeat, new_session
from tests.conformance_kit import Case, Expected, cases, ring_of
from tests.unity import game as unity
from tests.unity.game import Game
from tests.unity.producer import tick_until

LISTENED = b"avf1/"
COUNTERS = ("received", "late", "skipped", "bad")
# A frame whose slot was overwritten counts as both received and skipped.
COUNTED = {"frame": {"received"}, "late": {"late"}, "overtaken": {"received", "skipped"}, "drop": {"bad"}}


class Wire(AbstractContextManager["Wire"]):
    """The producer's socket without a producer: sends whatever bytes it is given."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = 0  # nothing may be lost here
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._times: Counter[bytes] = Counter()  # how often each topic was subscribed to

    def send(self, parts: list[bytes]) -> None:
        self._socket.send_multipart(parts)

    def times_subscribed(self, topic: bytes) -> int:
        """How often exactly this topic was subscribed to so far: once per connection."""
        while self._socket.poll(0):
            event = self._socket.recv()
            self._times[event[1:]] += event[:1] == b"\x01"
        return self._times[topic]

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()


def frame_of(pixels: np.ndarray[Any, Any]) -> list[bytes]:
    """The first frame of a new session, which every client takes for news."""
    frame = Frame(pixels, 1, 0, "", 0, 0, 0, 0, 0, "noise")
    parts = encode_frame(frame, stream="aki", session=new_session(), publish_ns=1)
    return [bytes(part) for part in parts]


def mutated(generator: random.Random, parts: list[bytes]) -> list[bytes]:
    """The message with one to three things wrong with it."""
    parts = list(parts)
    for _ in range(generator.randint(1, 3)):
        index = min(generator.choice((0, 1, 1, 1, 2)), len(parts) - 1)
        part = bytearray(parts[index])
        place = generator.randrange(len(part) + 1)
        kind = generator.randrange(6)
        if kind == 0 and part:
            part[place % len(part)] ^= 1 << generator.randrange(8)
        elif kind == 1 and part:
            part[place % len(part)] = generator.randrange(256)
        elif kind == 2:
            del part[place:]
        elif kind == 3:
            part[place:place] = generator.randbytes(generator.randint(1, 9))
        elif kind == 4:
            part[place : place + 5] = b"\xdd\x0f\xff\xff\xff"
        else:
            parts.insert(index, bytes(part))
        parts[index] = bytes(part)
        if len(parts) > 1 and generator.random() < 0.03:
            parts.pop()
    return parts


@pytest.mark.slow
def test_hundred_thousand_mutated_messages_do_no_harm(game: Game) -> None:
    generator = random.Random(17)
    noise = np.random.default_rng(17)
    heartbeat = encode_heartbeat(
        Heartbeat("aki", new_session(), 7, 7, LiveStats(provider="noise"), provenance=Provenance(), unix_offset_ns=1)
    )
    with Wire() as wire:
        game.ask("open", f"Endpoint={wire.endpoint}", "Stream=aki", "Encoding=Raw")
        tick_until(game, lambda _: wire.times_subscribed(b"avf1/aki"))
        for _ in range(200):
            for _ in range(500 // 5):
                # A whole frame now and then, or the client would close the connection, as it should.
                wire.send(frame_of(np.zeros((1, 1, 4), np.uint8)))
                for _ in range(5):
                    whole = (
                        frame_of(noise.integers(0, 256, (2, 3, 4), np.uint8)) if generator.random() < 0.8 else heartbeat
                    )
                    wire.send(mutated(generator, [bytes(part) for part in whole]))
            last = noise.integers(0, 256, (9, 7, 4), np.uint8)
            digest = hashlib.sha256(last.tobytes()).hexdigest()
            while game.ask("report").get("sha256") != digest:
                wire.send(frame_of(last))
                game.ask("tick", 2, 2)
        report = game.ask("report")
        assert int(report["bad"]) > 50_000
        assert report["said"] == ""


@pytest.fixture(scope="module")
def long_game(program: Path, library: Path) -> Iterator[Game]:
    """One game for all cases; each opens a client of its own in it."""
    with unity.running(program, library) as running:
        yield running


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_conformance(case: Case, long_game: Game, tmp_path: Path) -> None:
    game = long_game
    abilities = game.ask("library")["version"].partition(";")[2].strip(" )").split()
    missing = case.needs - set(abilities)
    if missing:
        pytest.skip(f"this build of the library has no {', '.join(missing)}")
    with Wire() as wire, ring_of(case):
        game.ask("open", f"Endpoint={wire.endpoint}", "Encoding=Raw")
        tick_until(game, lambda _: wire.times_subscribed(LISTENED))
        if case.topic.encode() != LISTENED:
            # While it hears nothing, the client listens to all topics of all versions, too.
            tick_until(game, lambda _: wire.times_subscribed(b"avf"))
        try:
            for message in case.messages:
                check_message(game, wire, message, tmp_path / "picture.bin")
        finally:
            game.ask("destroy")


def check_message(game: Game, wire: Wire, message: Expected, picture: Path) -> None:
    """Send one message of a case and see what becomes of it."""
    before = game.ask("report")
    connections = wire.times_subscribed(LISTENED)
    result, _, code = message.result.partition(":")
    wire.send(message.parts)
    counted = COUNTED.get(result)
    if counted is None:
        # What comes after it is counted, and messages keep their order: one without a header.
        wire.send([LISTENED])
        counted = {"bad"}
    report = tick_until(game, lambda report: any(report[key] != before[key] for key in COUNTERS))
    assert {key for key in COUNTERS if report[key] != before[key]} == counted, report["error"]
    if result == "drop":
        assert report["code"] == code, report["error"]
    if report["reconnects"] != before["reconnects"]:
        tick_until(game, lambda _: wire.times_subscribed(LISTENED) > connections)
    state = message.keys.get("state")
    if state:
        tick_until(game, lambda report: report["state"].upper() == state.upper())
    if result != "frame":
        return
    report = tick_until(game, lambda report: report["shown"] != before["shown"])
    for key in ("stream", "id", "ses", "w", "h", "eng", "tc", "tr", "tp", "ca", "ct"):
        if key in message.keys:
            assert report[f"frame.{key}"] == message.keys[key], key
    if "near" in message.keys:
        game.ask("save", picture)
        shown = np.fromfile(picture, np.uint8).astype(int)
        right = np.frombuffer(message.rgba, np.uint8).astype(int)
        assert np.abs(shown - right).max() <= int(message.keys["near"])
    else:
        assert report["sha256"] == message.keys["sha256"]
