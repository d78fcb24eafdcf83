"""Where a stream is found, and which addresses may be bound. Knows strings, opens nothing."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from .errors import WireError

DEFAULT_FRAMES_ENDPOINT: Final = "tcp://127.0.0.1:5760"
DEFAULT_CONTROL_ENDPOINT: Final = "tcp://127.0.0.1:5761"

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]+):(?P<port>\*|\d{1,5})")
_IPC = re.compile(r"ipc://(?P<path>/?[^/\x00][^\x00]*)")


def check_bind(endpoint: str) -> str:
    """Return the endpoint to bind, or say why it may not be bound.

    Only this machine may connect: nothing on this wire is encrypted or asks who is there.

    Args:
        endpoint: `tcp://127.0.0.1:PORT` (also `localhost`, `[::1]`; port 0 or `*` takes a free one) or `ipc://PATH`.

    Raises:
        WireError: the endpoint is malformed or other machines could reach it.
    """
    if _IPC.fullmatch(endpoint):
        return endpoint
    host, port = _split_tcp(endpoint)
    if host == "localhost":
        host = "127.0.0.1"
    if not _is_loopback(host):
        raise WireError(
            f"{endpoint} would let other machines connect, and this release has neither encryption nor keys. "
            f"Bind tcp://127.0.0.1:{port} and, to watch from another machine, forward the port: "
            f"ssh -L {port}:127.0.0.1:{port} HOST"
        )
    return f"tcp://{host}:{'*' if port in ('*', '0') else port}"


def check_connect(endpoint: str) -> str:
    """Return the endpoint to connect to.

    Raises:
        WireError: the endpoint is malformed or names no single host and port.
    """
    if _IPC.fullmatch(endpoint):
        return endpoint
    host, port = _split_tcp(endpoint)
    if "*" in host or host in ("0.0.0.0", "[::]") or port in ("*", "0"):
        raise WireError(f"{endpoint} names no host and port to connect to. Give both, as in {DEFAULT_FRAMES_ENDPOINT}")
    return endpoint


def is_local(endpoint: str) -> bool:
    """Say whether an endpoint to connect to is on this host by its address; a forwarded port looks so, too."""
    return _IPC.fullmatch(endpoint) is not None or _is_loopback(
        _split_tcp(endpoint)[0].replace("localhost", "127.0.0.1")
    )


def is_ipv6(endpoint: str) -> bool:
    """Say whether the endpoint's host is a literal IPv6 address."""
    return endpoint.startswith("tcp://[")


def _split_tcp(endpoint: str) -> tuple[str, str]:
    match = _TCP.fullmatch(endpoint)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        raise WireError(f"{endpoint!r} is no endpoint. Write tcp://HOST:PORT, for example {DEFAULT_FRAMES_ENDPOINT}")
    return match["host"], match["port"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
