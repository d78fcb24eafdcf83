"""A client of the bridge as a separate process, for tests that stop it, starve it and send it false data.

    link_peer.py FRAMES_ENDPOINT CONTROL_ENDPOINT [KEY_FILE]

Sends a state sixty times a second. Prints one JSON object per line, five times a second, like link_peer.cpp.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

from engine_bridge import ControlClient, ControlState, Subscriber
from engine_bridge.access.keys import read_client_keys


def main(frames: str, control: str, key_file: str | None = None) -> None:
    keys = read_client_keys(Path(key_file)) if key_file else None
    with Subscriber(frames, keys=keys) as subscriber, ControlClient(control, keys=keys) as client:
        frame_id, echo_ms, next_line = 0, -1.0, 0.0
        while True:
            now = time.monotonic()
            client.send(ControlState(controls={"headYaw": 10 * math.sin(now)}))
            frame = subscriber.latest()
            if frame is not None:
                frame_id = frame.frame_id
                measured = client.motion_to_photon_ms(frame)
                echo_ms = echo_ms if measured is None else measured
            if now >= next_line:
                next_line = now + 0.2
                told = {
                    "frames": subscriber.state.value,
                    "control": client.state.value,
                    "frame": frame_id,
                    "echo_ms": round(echo_ms, 1),
                }
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
            time.sleep(1 / 60)


if __name__ == "__main__":
    main(*sys.argv[1:])
