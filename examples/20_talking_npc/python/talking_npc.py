"""A character on a stream says a line, and follows the player with her eyes; see ../README.md."""

from __future__ import annotations

import argparse
import math
import sys
import time
from statistics import median

from speech import Speech

from engine_bridge import DEFAULT_CONTROL_ENDPOINT, ControlClient, ControlState, Subscriber

LINE = "[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. [surprised] Oh! Is that a map?"
WALK_S = 8.0  # the player walks back and forth once in this time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("line", nargs="?", default=LINE, help="what she says")
    parser.add_argument("--control", default=DEFAULT_CONTROL_ENDPOINT, help="where the character takes controls")
    parser.add_argument("--frames", help="endpoint of her frames, for example tcp://127.0.0.1:5760: report her latency")
    arguments = parser.parse_args()

    with ControlClient(arguments.control, name="talking_npc.py") as client:
        info = client.wait_for_info(timeout_s=5.0)
        if info is None:
            sys.exit(f"Nobody takes controls at {arguments.control} ({client.state.value}). Start one: bunraku live")
        print(f"{info.character} says: {arguments.line}")
        if arguments.frames is None:
            say(client, Speech(arguments.line))
            return
        with Subscriber(arguments.frames, stream=info.stream) as subscriber:
            late_ms = say(client, Speech(arguments.line), subscriber)
        if not late_ms:
            sys.exit(f"No frame at {arguments.frames} showed her controls. Is that her stream?")
        print(f"{len(late_ms)} frames answered, half of them within {median(late_ms):.0f} ms")


def say(client: ControlClient, speech: Speech, subscriber: Subscriber | None = None) -> list[float]:
    """Speak the line in real time; milliseconds from each state to the frame that showed it, if frames are watched."""
    late_ms = []
    answered = 0
    began = time.monotonic()
    while (t_s := time.monotonic() - began) * 1000 <= speech.duration_ms:
        client.send(state(speech, t_s))
        time.sleep(1 / 60)
        frame = subscriber.latest() if subscriber else None
        if frame is not None and frame.control_id > answered:
            answered = frame.control_id
            late_ms.append(client.motion_to_photon_ms(frame))  # None if another client moved her meanwhile
    client.send(ControlState(expression=""))  # release mouth, eyes and head; the mood fades
    time.sleep(0.1)  # for the last state to leave
    return [late for late in late_ms if late is not None]


def state(speech: Speech, t_s: float) -> ControlState:
    """Everything she does at this time."""
    t_ms = 1000 * t_s
    # The player walks on a plane in front of her: x to her left, z away from her, in metres.
    x, z = 2.0 * math.sin(2 * math.pi * t_s / WALK_S), 2.5
    yaw = max(-30.0, min(30.0, math.degrees(math.atan2(x, z))))
    controls = {**speech.mouth(t_ms), "gazeYaw": yaw, "headYaw": yaw / 3}
    return ControlState(controls=controls, expression=speech.expression(t_ms))


if __name__ == "__main__":
    main()
