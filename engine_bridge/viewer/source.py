"""What a window needs from a stream."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from engine_bridge.avf.messages import ControlState, LinkState, LiveStats, StreamInfo
from engine_bridge.frame import Frame


class StreamSource(Protocol):
    """A stream that a user watches and moves, in this process or at the other end of a socket.

    All members are called from the window's thread. None of them may block: a window that waits shows nothing.
    """

    @property
    def info(self) -> StreamInfo | None:
        """What the stream shows and takes; None until known. May change when the producer restarts."""

    @property
    def stats(self) -> LiveStats | None:
        """Live-loop statistics; None until known."""

    def latest(self) -> Frame | None:
        """Return the newest frame.

        Returns:
            The newest frame, or None if there is none since the last call. Its pixels are valid until the next call.
        """

    def send(self, state: ControlState) -> None:
        """Pass on the user's state. Never blocks; the newest state wins."""

    def close(self) -> None:
        """End the stream for this window. The source is closed by its owner, not by the window."""


@runtime_checkable
class ReportsLink(Protocol):
    """A source that knows the state of its link; for others the window judges by frames."""

    @property
    def link(self) -> LinkState:
        """State of the link to the producer."""


@runtime_checkable
class ReportsProblem(Protocol):
    """A source that can say why its link is in error."""

    @property
    def problem(self) -> str:
        """Why the link is in error, for people."""
