"""Endpoints: which may be bound, and how clients reach them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from engine_bridge.errors import WireError

DEFAULT_FRAMES_ENDPOINT: Final = "tcp://127.0.0.1:5760"
DEFAULT_CONTROL_ENDPOINT: Final = "tcp://127.0.0.1:5761"

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]+):(?P<port>\*|\d{1,5})")
_ALL_ADDRESSES: Final = ("*", "0.0.0.0", "[::]")  # hosts to bind that cannot be connected to
_IPC = re.compile(r"ipc://(?P<path>/?[^/\x00][^\x00]*)")


def check_bind(endpoint: str, *, from_elsewhere: bool = False) -> str:
    """Return the endpoint to bind, or say why it may not be bound.

    Without keys, traffic is neither encrypted nor authenticated, so only this machine may connect.

    Args:
        endpoint: `tcp://127.0.0.1:PORT` (also `localhost`, `[::1]`; port 0 or `*` takes a free one) or `ipc://PATH`.
        from_elsewhere: whether other machines may connect.

    Raises:
        WireError: the endpoint is malformed or other machines could reach it.
    """
    if _IPC.fullmatch(endpoint):
        return endpoint
    host, port = _split_tcp(endpoint)
    if host == "localhost":
        host = "127.0.0.1"
    if not from_elsewhere and not _is_loopback(host):
        raise WireError(
            f"{endpoint} would let other machines connect, and without keys anyone could watch and steer. "
            "Make keys with `bunraku keys init` and start with --keys, or bind "
            f"tcp://127.0.0.1:{port} and forward the port: ssh -L {port}:127.0.0.1:{port} HOST"
        )
    return f"tcp://{host}:{'*' if port in ('*', '0') else port}"


def check_connect(endpoint: str) -> str:
    """Return the endpoint to connect to.

    Raises:
        WireError: the endpoint is malformed or does not name a single host and port.
    """
    if _IPC.fullmatch(endpoint):
        return endpoint
    host, port = _split_tcp(endpoint)
    if "*" in host or host in _ALL_ADDRESSES or port in ("*", "0"):
        raise WireError(f"{endpoint} names no host and port to connect to. Give both, as in {DEFAULT_FRAMES_ENDPOINT}")
    return endpoint


def is_for_this_machine(endpoint: str) -> bool:
    """Return whether only this machine can reach the endpoint."""
    if _IPC.fullmatch(endpoint):
        return True
    host, _ = _split_tcp(endpoint)
    return host == "localhost" or _is_loopback(host)


def another_endpoint(endpoint: str, name: str) -> str:
    """Return an endpoint to bind beside this one: any free port of its host, or a path ending in the name."""
    if _IPC.fullmatch(endpoint):
        return f"{endpoint}-{name}"
    host, _ = _split_tcp(endpoint)
    return f"tcp://{host}:0"


def as_reached(endpoint: str, via: str) -> str:
    """Return an endpoint as reached by a client that connected through another endpoint of the same producer.

    Args:
        endpoint: as bound; a wildcard host is replaced by the host of `via`.
        via: an endpoint through which the client reached the producer.
    """
    if _TCP.fullmatch(endpoint) is None or _TCP.fullmatch(via) is None:
        return endpoint
    host, port = _split_tcp(endpoint)
    return f"tcp://{_split_tcp(via)[0]}:{port}" if host in _ALL_ADDRESSES else endpoint


def is_ipv6(endpoint: str) -> bool:
    """Return whether the endpoint's host is a literal IPv6 address."""
    return endpoint.startswith("tcp://[")


def _split_tcp(endpoint: str) -> tuple[str, str]:
    match = _TCP.fullmatch(endpoint)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        raise WireError(
            f"{endpoint!r} is not a valid endpoint. Write tcp://HOST:PORT, for example {DEFAULT_FRAMES_ENDPOINT}"
        )
    return match["host"], match["port"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
