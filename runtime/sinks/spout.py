"""Spout: pictures with alpha for other programs on the same Windows machine, through a GPU texture.

Alpha is sent straight, as the character has it: the receiver blends it so, for example
OBS with the composite mode "Default".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from engine_bridge.errors import SinkError
from engine_bridge.frame import Pixels
from runtime.advice import install_extra

from .base import Show
from .worker import NewestWorker

MAX_NAME_BYTES: Final = 255  # SpoutMaxSenderNameLen is 256, its end included
GL_RGBA: Final = 0x1908  # OpenGL's number for this order of bytes


class SpoutSink:
    """A Spout sender. SpoutGL creates its OpenGL context in the first sending thread, so one thread does everything."""

    def __init__(self, name: str, *, width: int, height: int, make_sender: Callable[[], Any] | None = None) -> None:
        """Register the sender under its name.

        Args:
            name: shown to receivers; Spout appends a number to one that is taken.
            width: of the pictures to be sent, in pixels.
            height: of the pictures to be sent, in pixels.
            make_sender: creates an object with the methods `setSenderName`, `sendImage` and `releaseSender` of
                `SpoutGL.SpoutSender`; None uses that class.

        Raises:
            SinkError: this is not Windows, SpoutGL is not installed, or the name is not valid.
        """
        if not 1 <= len(name.encode()) <= MAX_NAME_BYTES or not name.isprintable():
            raise SinkError(f"{name[:40]!r} cannot name a Spout sender. Use 1 to {MAX_NAME_BYTES} printable bytes.")
        self._name = name
        self._width = width
        self._height = height
        self._sender = (make_sender or _spout_sender())()
        self._sender.setSenderName(name)

    @property
    def label(self) -> str:
        """The sender's name."""
        return f"Spout {self._name}"

    def send(self, pixels: Pixels) -> None:
        """Send a picture, uint8 [H, W, 4], straight alpha, row 0 on top.

        Raises:
            SinkError: Spout could not share it.
        """
        # Direct3D textures begin at the top like our pictures: nothing to invert (False). 0: no frame buffer of a host.
        if not self._sender.sendImage(pixels, self._width, self._height, GL_RGBA, False, 0):
            raise SinkError("Spout could not share a picture. Run this on the graphics card that the receiver uses.")

    def close(self) -> None:
        """Remove the sender from Spout's list."""
        self._sender.releaseSender()


def open_spout(name: str, show: Show, *, make_sender: Callable[[], Any] | None = None) -> NewestWorker:
    """Open a Spout sender with its own thread.

    Args:
        name: as for `SpoutSink`.
        show: the pictures to come.
        make_sender: as for `SpoutSink`.

    Raises:
        SinkError: as `SpoutSink`.
    """

    def open_sink() -> SpoutSink:
        return SpoutSink(name, width=show.width, height=show.height, make_sender=make_sender)

    return NewestWorker("bunraku-spout", open_sink, width=show.width, height=show.height)


def _spout_sender() -> Callable[[], Any]:
    if sys.platform != "win32":
        raise SinkError(
            "Spout works on Windows only. Elsewhere use the virtual camera (--to camera:auto) or a window capture; "
            "docs/streaming.md lists all options."
        )
    try:
        import SpoutGL
    except ImportError as error:
        raise SinkError(
            f"Spout needs SpoutGL. Python says: {error}. Install it with: {install_extra('spout')}"
        ) from error
    sender: Callable[[], Any] = SpoutGL.SpoutSender
    return sender
