"""The Python client agrees with every message of the conformance kit, and the kit matches its generator."""

from __future__ import annotations

import filecmp
import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest
import zmq

from engine_bridge import Frame, Subscriber
from engine_bridge.avf.ring import RingCache
from engine_bridge.avf.wire import Bye, FrameMessage, Heartbeat, decode, split_topic
from engine_bridge.errors import FrameOvertaken, MessageRejected
from tests.conformance_kit import KIT, Case, Expected, cases, ring_of

PATIENCE_S = 30.0
ALL = cases()
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="the kit's rings are POSIX shared memory")


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_kit_is_what_its_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(KIT / "generate.py"), str(tmp_path)], check=True, timeout=120)
    made = files_below(tmp_path)
    assert len(made) > 500
    assert made == files_below(KIT) - {"generate.py", "portrait.jpg", "portrait.rgb"}
    assert filecmp.cmpfiles(KIT, tmp_path, sorted(made), shallow=False)[1:] == ([], [])


def check_frame(frame: Frame, expected: Expected) -> None:
    keys = expected.keys
    height, width = frame.pixels.shape[:2]
    assert [str(width), str(height), str(frame.frame_id), str(frame.session), frame.stream, frame.provider] == [
        keys[key] for key in ("w", "h", "id", "ses", "stream", "eng")
    ]
    told = [frame.capture_ns, frame.render_start_ns, frame.control_id, frame.control_timestamp_ns]
    assert [str(value) for value in told] == [keys[key] for key in ("tc", "tr", "ca", "ct")]
    if "near" in keys:
        wanted = np.frombuffer(expected.rgba, np.uint8).reshape(frame.pixels.shape)
        assert np.abs(frame.pixels.astype(int) - wanted).max() <= int(keys["near"])
    else:
        assert hashlib.sha256(frame.pixels.tobytes()).hexdigest() == keys["sha256"]


@needs_posix
@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_decoder_agrees_with_the_kit(case: Case) -> None:
    with ring_of(case), RingCache() as rings:
        for expected in case.messages:
            kinds: dict[str, type] = {"frame": FrameMessage, "late": FrameMessage, "heartbeat": Heartbeat, "bye": Bye}
            if expected.result.startswith("drop:"):
                with pytest.raises(MessageRejected) as caught:
                    decode(expected.parts, rings)
                assert f"drop:{caught.value.code}" == expected.result
            elif expected.result == "overtaken":
                with pytest.raises(FrameOvertaken):
                    decode(expected.parts, rings)
            elif expected.result == "ignored":
                assert split_topic(expected.parts[0])[1:] != ("raw", "aki")
            else:
                message = decode(expected.parts, rings)
                assert isinstance(message, kinds[expected.result])
                if isinstance(message, FrameMessage) and expected.result == "frame":
                    assert str(message.frame.publish_ns) == expected.keys["tp"]
                    check_frame(message.frame, expected)


@pytest.fixture(scope="module")
def producer() -> Iterator[Callable[[], tuple[Any, str]]]:
    """Creates bare producer sockets, each on its own port."""
    context: Any = zmq.Context()
    sockets = []

    def make() -> tuple[Any, str]:
        socket = context.socket(zmq.XPUB)
        socket.linger = 0
        sockets.append(socket)
        return socket, f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"

    yield make
    for socket in sockets:
        socket.close()
    context.term()


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


@needs_posix
@pytest.mark.parametrize("case", [case for case in ALL if case.topic == "avf1/"], ids=lambda case: case.name)
def test_subscriber_agrees_with_the_kit(case: Case, producer: Callable[[], tuple[Any, str]]) -> None:
    socket, endpoint = producer()
    with ring_of(case), Subscriber(endpoint) as subscriber:
        assert socket.poll(PATIENCE_S * 1000)
        for expected in case.messages:
            before = subscriber.statistics
            socket.send_multipart(expected.parts)
            check_outcome(subscriber, expected, before)
            if "state" in expected.keys:
                eventually(lambda expected=expected: subscriber.state.value == expected.keys["state"])


def check_outcome(subscriber: Subscriber, expected: Expected, before: Any) -> None:
    if expected.result == "frame":
        eventually(lambda: subscriber.statistics.received == before.received + 1)
        frame = subscriber.latest()
        assert frame is not None
        check_frame(frame, expected)
    elif expected.result == "late":
        eventually(lambda: subscriber.statistics.late == before.late + 1)
    elif expected.result == "overtaken":
        eventually(lambda: subscriber.statistics.skipped == before.skipped + 1)
    elif expected.result.startswith("drop:"):
        code = expected.result.removeprefix("drop:")
        eventually(lambda: subscriber.statistics.bad.get(code, 0) == before.bad.get(code, 0) + 1)
        assert subscriber.statistics.received == before.received
    elif expected.result == "heartbeat":
        eventually(lambda: subscriber.state.value == "live")
    elif expected.result == "ignored":
        time.sleep(0.05)
        assert subscriber.statistics == before


def mutated(parts: list[bytes], rng: random.Random) -> list[bytes]:
    """A message with bytes changed, parts cut, doubled, swapped or dropped."""
    changed = [bytearray(part) for part in parts]
    for _ in range(rng.randint(1, 4)):
        part = rng.choice(changed)
        kind = rng.random()
        if kind < 0.7 and part:
            part[rng.randrange(len(part))] = rng.randrange(256)
        elif kind < 0.8:
            del part[rng.randint(0, len(part)) :]
        elif kind < 0.9:
            part += bytes(rng.randint(1, 9))
        elif len(changed) > 1:
            changed.remove(part)
    return [bytes(part) for part in changed]


@pytest.mark.slow
def test_hundred_thousand_mutated_messages_do_no_harm(producer: Callable[[], tuple[Any, str]]) -> None:
    rng = random.Random(4)
    seeds = [expected.parts for case in ALL for expected in case.messages if expected.result == "frame"]
    seeds += [case.messages[0].parts for case in ALL if case.name.endswith(("_heartbeat", "_with_everything"))]
    process = psutil.Process()
    socket, endpoint = producer()
    socket.sndhwm = 0
    good = next(case for case in ALL if case.name.endswith("only_what_is_needed")).messages[0].parts
    resident = 0
    with Subscriber(endpoint, stream="good") as subscriber:
        assert socket.poll(PATIENCE_S * 1000)
        for round_number in range(1, 101):
            session = 1000 + round_number
            for _ in range(1000):
                topic, *rest = mutated(rng.choice(seeds), rng)
                socket.send_multipart([b"avf1/good" if rng.random() < 0.9 else topic, *rest])
            header = msgpack.packb(msgpack.unpackb(good[1]) | {"ses": session})
            wanted = [b"avf1/good", header, *good[2:]]

            def shown(session: int = session, wanted: list[bytes] = wanted) -> bool:
                # Repeatedly: the client may be pausing before it reconnects.
                socket.send_multipart(wanted)
                time.sleep(0.002)
                return subscriber.session == session

            eventually(shown)
            if round_number == 20:
                resident = process.memory_info().rss
        assert process.memory_info().rss - resident < 20_000_000
        assert sum(subscriber.statistics.bad.values()) > 40_000  # the pixels of overtaken frames are not looked at
        assert subscriber.latest() is not None
