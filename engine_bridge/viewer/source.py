"""What a window needs to know of a stream. Knows no window, socket or live loop."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from engine_bridge.avf.messages import ControlState, LinkState, LiveStats, StreamInfo
from engine_bridge.frame import Frame


class StreamSource(Protocol):
    """A stream that somebody watches and moves, in this process or at the other end of a socket.

    All members are called from the window's thread. None of them may block: a window that waits shows nothing.
    """

    @property
    def info(self) -> StreamInfo | None:
        """What the stream shows and takes; None until it is known. May change when the producer starts again."""

    @property
    def stats(self) -> LiveStats | None:
        """How the live loop does; None until it is known."""

    def latest(self) -> Frame | None:
        """Hand out the newest frame.

        Returns:
            The newest frame, or None if nothing is new since the last call. Its pixels are valid until the next call.
        """

    def send(self, state: ControlState) -> None:
        """Pass on what the user wants. Never blocks; the newest state wins."""

    def close(self) -> None:
        """End the stream for this window. Whoever opened the source closes it; the window does not."""


@runtime_checkable
class ReportsLink(Protocol):
    """A source that knows by itself how it stands with its producer; for the others the window judges by frames."""

    @property
    def link(self) -> LinkState:
        """How the source stands with its producer."""


@runtime_checkable
class ReportsProblem(Protocol):
    """A source that can say why its link is in error."""

    @property
    def problem(self) -> str:
        """Why the link is in error, for people."""
