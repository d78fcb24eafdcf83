"""Move a running character: shake its head and open its mouth for a while."""

import math
import sys
import time

from engine_bridge import DEFAULT_CONTROL_ENDPOINT, ControlClient, ControlState

endpoint = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_CONTROL_ENDPOINT
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0

with ControlClient(endpoint, name="wave.py") as client:
    info = client.wait_for_info(timeout_s=3.0)
    if info is None:
        sys.exit(f"Nobody takes controls at {endpoint} ({client.state.value}). Start a character: bunraku live")
    print(f"{info.character} takes {len(info.controls)} controls: {', '.join(spec.name for spec in info.controls)}")
    started = time.monotonic()
    while (t := time.monotonic() - started) < seconds:
        wave = {"headYaw": 20 * math.sin(3 * t), "jawOpen": 0.5 - 0.5 * math.cos(5 * t)}
        client.send(ControlState(controls=wave))
        time.sleep(1 / 60)
    client.send(ControlState())  # release everything
    time.sleep(0.1)
