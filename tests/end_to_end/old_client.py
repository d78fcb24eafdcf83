"""A client with ZMTP heartbeats, like our older ones: they may abort this program, and must not abort the producer.

old_client.py FRAMES_ENDPOINT CONTROL_ENDPOINT [KEY_FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgpack
import zmq

from engine_bridge.access.keys import read_client_keys
from engine_bridge.sockets.encryption import use_client_keys


def main(frames: str, control: str, key_file: str | None = None) -> None:
    context: Any = zmq.Context()
    sockets = []
    for kind, endpoint in ((zmq.SUB, frames), (zmq.DEALER, control)):
        socket = context.socket(kind)
        socket.linger = 0
        socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 10, 200, 300
        use_client_keys(socket, read_client_keys(Path(key_file)) if key_file else None)
        socket.connect(endpoint)
        sockets.append(socket)
    subscriber, dealer = sockets
    ping = msgpack.packb({"k": "ping", "t": 1})
    while True:
        subscriber.subscribe(b"avf1/")
        for _ in range(100):
            if dealer.poll(10, zmq.POLLOUT):
                dealer.send(ping)
        subscriber.unsubscribe(b"avf1/")


if __name__ == "__main__":
    main(*sys.argv[1:])
