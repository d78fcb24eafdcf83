"""Who may use the relay: addresses, Host, Origin and token. Knows strings, opens nothing.

Any web page in any browser of this machine can send requests to a loopback port. Three rules keep strangers out: the
Host must be an address of this machine or named, so that a name which an attacker points at 127.0.0.1 (DNS rebinding)
gets nothing; a page's Origin must be the relay's own or named; and beyond loopback a token is needed. A request
without an Origin comes from no page of a browser; the other two rules hold for it all the same.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine_bridge.errors import WireError

DEFAULT_WEB_ADDRESS: Final = "127.0.0.1:5762"

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")
_ORIGIN = re.compile(r"https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:\d{1,5})?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")

IpAddress: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets nothing.

    Attributes:
        status: of HTTP.
        code: for counting: `method`, `host`, `origin`, `token`, `full`, `path` or `query`.
        text: for people: what is wrong and how to fix it.
    """

    status: int
    code: str
    text: str


def parse_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` into the address to bind and the port.

    Raises:
        WireError: it is malformed, or the host is a name other than `localhost`.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise WireError(
            f"{address!r} is not an address for the page. Write HOST:PORT, for example {DEFAULT_WEB_ADDRESS}"
        )
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"].strip("[]")
    if _ip(host) is None:
        raise WireError(
            f"{address!r} names no address of a network card. Write {DEFAULT_WEB_ADDRESS} for this machine only, "
            f"or 0.0.0.0:{match['port']} for the network"
        )
    return host, int(match["port"])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    ip = _ip(host)
    return ip is not None and ip.is_loopback


class Guard:
    """The rules of one relay.

    Attributes:
        token: that a WebSocket must show, empty if none is needed.
        origins: named besides the relay's own.
    """

    def __init__(self, *, loopback: bool, token: str | None, origins: Iterable[str]) -> None:
        """Take the rules.

        Args:
            loopback: whether only this machine can connect.
            token: at least 16 of the characters A-Z a-z 0-9 _ -; None draws one if others than this machine can
                connect.
            origins: pages of other origins that may connect, as `http://localhost:8000`.

        Raises:
            WireError: the token or an origin is malformed.
        """
        if token is not None and not _TOKEN.fullmatch(token):
            raise WireError("A token for the page holds 16 to 128 of the characters A-Z a-z 0-9 _ -")
        self.token = token if token is not None else "" if loopback else secrets.token_urlsafe(24)
        self.origins = tuple(_origin(origin) for origin in origins)
        self._hosts = {_host_of(origin) for origin in self.origins}

    def check_place(self, hosts: Sequence[str], origins: Sequence[str], local_address: str) -> Refusal | None:
        """Check where a request thinks it is and which page it comes from.

        Args:
            hosts: all its Host headers.
            origins: all its Origin headers.
            local_address: the address of this machine at which it arrived.

        Returns:
            Why it is refused, None if it is not.
        """
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self._is_ours(host, local_address):
            return Refusal(
                403,
                "host",
                f"This is not an address of the producer: {host[:80] or '(none)'}. Use its IP address or localhost, "
                "or start it with --web-origin and the address as you type it.",
            )
        if not origins:
            return None
        origin = origins[0].lower()
        if len(origins) == 1 and (origin in self.origins or origin in (f"http://{host}", f"https://{host}")):
            return None
        return Refusal(
            403,
            "origin",
            f"Pages of {origin[:80]} may not watch. If you trust them, start the producer with --web-origin and that.",
        )

    def check_token(self, shown: Sequence[str]) -> Refusal | None:
        """Compare the token that a WebSocket shows, in the same time for any wrong one."""
        given = shown[0] if len(shown) == 1 else ""
        if not self.token or hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        return Refusal(
            401,
            "token",
            "The token is missing or wrong. Open the whole address that the producer printed when it started.",
        )

    def _is_ours(self, host: str, local_address: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        if host in self._hosts or match["host"] == "localhost":
            return True
        ip = _ip(match["host"].strip("[]"))
        return ip is not None and (ip.is_loopback or ip == _ip(local_address))


def _origin(given: str) -> str:
    origin = given.lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise WireError(f"{given!r} is no origin of a page. Write http://HOST:PORT, without a path")
    return origin


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


def _ip(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
