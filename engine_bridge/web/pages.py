"""The files of the page and the headers they travel with. A fixed table: no path of a request ever touches the disk."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = (
    "index.html",
    "bunraku.js",
    "bunraku/client.js",
    "bunraku/control.js",
    "bunraku/crc32.js",
    "bunraku/jpeg.js",
    "bunraku/liveness.js",
    "bunraku/lz4.js",
    "bunraku/message.js",
    "bunraku/msgpack.js",
    "bunraku/parts.js",
    "bunraku/pixels.js",
    "bunraku/planes.js",
    "bunraku/protocol.js",
    "bunraku/reader.js",
    "bunraku/recent.js",
    "bunraku/records.js",
    "bunraku/rejected.js",
    "bunraku/wanted.js",
    "view.js",
    "panel.js",
    "style.css",
    "icon.svg",
)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class Pages:
    """What browsers get, read once."""

    def __init__(self, origins: Sequence[str]) -> None:
        """Read the files.

        Args:
            origins: pages that may load the scripts into themselves, and show this page in a frame.
        """
        folder = files(__package__).joinpath("page")
        self._files = {f"/{name}": folder.joinpath(name).read_bytes() for name in _FILES}
        self._files["/"] = self._files["/index.html"]
        self._origins = origins
        self._always = [
            ("Content-Security-Policy", " ".join([_POLICY, *origins])),
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ]
        if not origins:
            self._always.append(("X-Frame-Options", "SAMEORIGIN"))

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Type and contents of a file; None if there is none of that name."""
        body = self._files.get(path)
        if body is None:
            return None
        return _TYPES["html" if path == "/" else path.rpartition(".")[2]], body

    def headers(self, content_type: str, length: int, origin: str | None) -> list[tuple[str, str]]:
        """The headers of an answer.

        Args:
            content_type: of the body.
            length: of the body in bytes.
            origin: of the page that asks, None for the browser itself.
        """
        headers = [("Content-Type", content_type), ("Content-Length", str(length)), ("Connection", "close")]
        if origin is not None and origin.lower() in self._origins:
            headers += [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        return headers + self._always
