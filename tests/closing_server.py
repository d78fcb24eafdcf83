"""Opens and closes a control channel continuously while peers of older protocols shake hands with it.

As a program: `python -m tests.closing_server SECONDS`; prints how often it was closed. The test is whether the
process survives.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time

from engine_bridge import ControlSpec, StreamInfo, WireError
from engine_bridge.producer.control_server import ControlServer
from tests import zmtp_peer

INFO = StreamInfo(
    session=1,
    stream="closing",
    character="none",
    width=64,
    height=64,
    fps=60.0,
    controls=[ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth")],
)
OLD_GREETINGS = {
    "ZMTP 1": b"\x01\x00" * 20,  # the length and flags of an empty name
    "ZMTP 1 with a signature": zmtp_peer.SIGNATURE + b"\x00\x06" + b"\x00\x00" * 20,
    "ZMTP 2": zmtp_peer.SIGNATURE + b"\x01\x06" + b"\x00\x00" * 20,
}
PEERS = 6


def pester(port: int, seed: int) -> None:
    """Shake hands in two halves, for ever."""
    rng = random.Random(seed)
    while True:
        with contextlib.suppress(OSError):
            connection = zmtp_peer.connect(port)
            greeting = rng.choice(list(OLD_GREETINGS.values()))
            cut = rng.randrange(len(greeting))
            connection.sendall(greeting[:cut])
            time.sleep(rng.random() * 0.003)
            connection.sendall(greeting[cut:])
            connection.close()


def main(seconds: float) -> None:
    """Close and open until the time is over."""
    server = ControlServer("tcp://127.0.0.1:0", INFO)
    endpoint, closed = server.endpoint, 0
    for seed in range(PEERS):
        port = int(endpoint.rpartition(":")[2])
        threading.Thread(target=pester, args=(port, seed), daemon=True).start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        server.poll()
        time.sleep(0.004)
        server.close()
        closed += 1
        while True:
            try:
                server = ControlServer(endpoint, INFO)
                break
            except WireError:  # libzmq releases the port a moment later
                time.sleep(0.001)
    sys.stdout.write(f"{closed}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
