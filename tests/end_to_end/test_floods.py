"""A hostile program floods a live producer; honest subscribers notice nothing, and nothing is left of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine_bridge import ControlClient, ControlState, Subscriber
from tests.bunraku_program import ANYWHERE, CARD, playing
from tests.floods import FLOODS, flooding, survey

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells how many bytes have arrived on a connection"
)

OFTEN = (
    "unfinished control message",
    "unfinished subscription",
    "62,000 empty maps",
    "subscriptions that change",
    "1,000 silent connections",
)
MAY_GROW_MB = 50
KEPT = 0.9  # of the frames right before the flood
ATTEMPTS = 4  # the machine may be busy with something else
PATIENCE_S = 120.0  # the same: a starving flood sends less, and is disconnected less often


@pytest.fixture(scope="module")
def producer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psutil.Process, str, str]]:
    with playing(*CARD, *ANYWHERE, cwd=tmp_path_factory.mktemp("floods")) as (process, frames, control):
        yield psutil.Process(process.pid), frames, control


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[]
            if name in OFTEN
            else [
                pytest.mark.skipif(
                    os.environ.get("BUNRAKU_TEST_LONG") != "1", reason="takes long; BUNRAKU_TEST_LONG=1 runs it"
                )
            ],
        )
        for name in FLOODS
    ],
)
def test_flood_costs_an_honest_subscriber_no_frames_and_the_producer_no_memory(
    name: str, producer: tuple[psutil.Process, str, str]
) -> None:
    process, frames, control = producer
    with Subscriber(frames) as subscriber:
        assert subscriber.wait(PATIENCE_S) is not None
        for attempt in range(ATTEMPTS):
            told = survey(name, process, subscriber, frames, control, seconds=1.0)
            assert process.is_running()
            assert told["mb_after"] - told["mb_before"] <= MAY_GROW_MB, told
            assert told["descriptors_after"] <= told["descriptors_before"] + 16
            grown = told["mb_most"] - told["mb_before"]
            if (told["fps_during"] >= KEPT * told["fps_before"] and grown <= MAY_GROW_MB) or attempt + 1 == ATTEMPTS:
                break
        assert told["fps_during"] >= KEPT * told["fps_before"], told
        assert grown <= MAY_GROW_MB, told
        assert told["over_limits"] or not name.startswith("unfinished")


@pytest.mark.parametrize("name", ["subscriptions that change", "subscribers that leave at once"])
def test_new_subscriber_gets_in_while_another_is_disconnected_repeatedly(
    name: str, producer: tuple[psutil.Process, str, str]
) -> None:
    _, frames, control = producer
    with flooding(name, frames, control):
        with Subscriber(frames) as first:
            assert first.wait(PATIENCE_S) is not None
            eventually_refused(first)
        with Subscriber(frames) as second:
            assert second.wait(PATIENCE_S) is not None


def eventually_refused(subscriber: Subscriber) -> None:
    """Wait until the flood has been disconnected repeatedly."""
    deadline = time.monotonic() + PATIENCE_S
    seen: set[int] = set()
    while len(seen) < 3:
        assert time.monotonic() < deadline, f"connections hung up on, at every heartbeat: {sorted(seen)}"
        subscriber.wait(0.1)
        if subscriber.stats is not None:
            seen.add(sum(subscriber.stats.over_limits.values()))


def test_new_subscriber_and_new_control_client_get_in_through_a_thousand_silent_connections(
    producer: tuple[psutil.Process, str, str], tmp_path: Path
) -> None:
    _, frames, control = producer
    with flooding("1,000 silent connections", frames, control), Subscriber(frames) as subscriber:
        assert subscriber.wait(PATIENCE_S) is not None
    with flooding("1,000 half handshakes", frames, control), ControlClient(control) as client:
        assert client.wait_for_info(PATIENCE_S) is not None
        client.send(ControlState(controls={"jawOpen": 0.5}))
