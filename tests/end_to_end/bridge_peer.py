"""The other side of the bridge, as a separate process that tests start, stop and kill.

    bridge_peer.py publish FRAMES_ENDPOINT CONTROL_ENDPOINT    a live loop without a character, 60 fps
    bridge_peer.py subscribe FRAMES_ENDPOINT                   a consumer that takes 24 frames a second

Each prints one JSON object per line: first when it is ready, then its activity.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

import numpy as np

from engine_bridge import ControlServer, ControlSpec, Frame, LiveStats, Publisher, StreamInfo, Subscriber

SIDE = 64
INFO = {"stream": "aki", "character": "Aki", "width": SIDE, "height": SIDE, "fps": 60.0, "provider": "peer"}
CONTROLS = [ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth"), ControlSpec("headYaw", -30.0, 30.0, 0.0, "head")]


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def publish(frames_endpoint: str, control_endpoint: str) -> None:
    """Every frame shows `jawOpen` as grey: the shortest path from control input to pixel output."""
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    frame_id = control_id = control_timestamp_ns = 0
    longest_ns = 0
    publisher = Publisher(frames_endpoint, stream="aki")
    with (
        publisher,
        ControlServer(control_endpoint, StreamInfo(session=publisher.session, controls=CONTROLS, **INFO)) as control,
    ):
        publisher.control_endpoint = control.endpoint
        say(frames=publisher.endpoint, control=control.endpoint, session=publisher.session)
        deadline = time.monotonic()
        while True:
            deadline = max(deadline + 1 / 60, time.monotonic() - 1 / 60)
            time.sleep(max(0.0, deadline - time.monotonic()))
            state = control.poll()
            if state is not None:
                control_id, control_timestamp_ns = state.control_id, state.timestamp_ns
                pixels[:] = round(255 * state.controls.get("jawOpen", 0.0))
            publisher.heartbeat(LiveStats(provider="peer", target_fps=60.0, subscribers=publisher.subscriber_count))
            frame_id += 1
            before = time.perf_counter_ns()
            publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, control_id, control_timestamp_ns, "peer"))
            longest_ns = max(longest_ns, time.perf_counter_ns() - before)
            if frame_id % 6 == 0:
                say(frame=frame_id, watched=publisher.has_subscribers, longest_ms=longest_ns / 1e6)


def subscribe(frames_endpoint: str) -> None:
    """Takes the newest frame 24 times a second, like a slow game."""
    with Subscriber(frames_endpoint) as subscriber:
        say(ready=True)
        while True:
            time.sleep(1 / 24)
            frame = subscriber.latest()
            if frame is not None:
                say(frame=frame.frame_id, session=frame.session, state=subscriber.state.value)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
