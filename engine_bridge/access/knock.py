"""Check whether anything listens at an endpoint of this host."""

from __future__ import annotations

import socket
from typing import Final

_PATIENCE_S: Final = 0.5


def answers(endpoint: str) -> bool:
    """Whether something accepts connections at `tcp://HOST:PORT` or `ipc://PATH`; waits half a second at most."""
    try:
        if endpoint.startswith("ipc://"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                knock.settimeout(_PATIENCE_S)
                path = endpoint.removeprefix("ipc://")
                knock.connect(f"\0{path[1:]}" if path.startswith("@") else path)  # @: a Linux abstract socket name
        else:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (TimeoutError, BlockingIOError):
        return True  # the backlog is full: something listens, but is suspended
    except (OSError, ValueError, AttributeError):
        return False
    return True
