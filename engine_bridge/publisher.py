"""The producer's side of the frame channel: one stream on an XPUB socket. Knows frames, not how they are made.

There is no thread in here. The live loop calls `publish`, `heartbeat` or `poll` on every round, whether or not there
is a frame; so a heartbeat says that the loop itself is alive. All calls must come from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final

import zmq

from .clock import now_ns, unix_offset_ns
from .endpoints import DEFAULT_FRAMES_ENDPOINT
from .errors import WireError
from .frame import Frame
from .frame_socket import FrameSocket
from .messages import LiveStats, Provenance
from .wire import TOPIC_FAMILY, Bye, Heartbeat, encode_bye, encode_frame, encode_heartbeat, new_session, topic_of

HEARTBEAT_NS: Final = 500_000_000


class Publisher:
    """Sends one stream of frames to whoever subscribes.

    A subscriber that is slow, stopped or dead loses frames (its queue holds two) and costs the producer nothing. One
    that joins late is sent a heartbeat and the last frame at once.

    Every frame is copied once, by libzmq, while `publish` runs; the caller may overwrite its pixels afterwards. A ring
    of buffers sent without a copy was measured and is not faster: 1.7 times slower at 256x256, equal from 1024x1024
    on, since filling the ring is the same copy.

    Attributes:
        endpoint: where to connect, with the port that was found.
        socket: what it sends through.
        stream: name of the stream.
        session: random number of this start, unsigned 64 bit.
        sent: frames sent so far.
        control_endpoint: told in heartbeats so that a window finds the controls; may be set later, for a control
            server whose port is found only when it is bound.
    """

    def __init__(
        self,
        endpoint: str | FrameSocket = DEFAULT_FRAMES_ENDPOINT,
        *,
        stream: str,
        session: int | None = None,
        provenance: Provenance | None = None,
        control_endpoint: str = "",
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Bind a socket, or take a stream of one that several share.

        Args:
            endpoint: of this machine only, port 0 takes a free one; or an open socket, which whoever opened it closes
                after this.
            stream: name of the stream, 1 to 59 of the characters A-Z a-z 0-9 . _ -
            session: number of this start; None draws one.
            provenance: told with the first frame and every heartbeat; None says "made by a neural network" only.
            control_endpoint: of the control channel, if it is known already.
            clock: monotonic nanoseconds.

        Raises:
            WireError: the endpoint is taken, malformed, or reachable from other machines.
        """
        self.stream = stream
        self.session = new_session() if session is None else session
        self.sent = 0
        self._topic = topic_of(stream)
        self._provenance = Provenance() if provenance is None else provenance
        self.control_endpoint = control_endpoint
        self._clock = clock
        self._stats: LiveStats | None = None
        self._somebody_came = False
        self._last: tuple[bytes, bytes, zmq.Frame] | None = None
        self._last_id = 0
        self._last_heartbeat_ns: int | None = None
        self._owns_socket = isinstance(endpoint, str)
        self.socket = FrameSocket(endpoint) if isinstance(endpoint, str) else endpoint
        self.endpoint = self.socket.endpoint
        self.socket.on_subscription(self._note_subscription)
        self._closed = False

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody watches; if not, nothing needs to be rendered. Looks for news before it answers."""
        return self.subscriber_count > 0

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions match this stream; each of our clients holds one while it receives."""
        self.poll()
        return sum(count for prefix, count in self.socket.subscriptions.items() if self._is_ours(prefix))

    def publish(self, frame: Frame) -> None:
        """Send a frame to all who can take it now. Never blocks.

        Args:
            frame: its pixels are copied before this returns. `publish_ns` 0 is stamped on the wire with now.

        Raises:
            WireError: the pixels are of no kind that the wire carries, or the frame's number is not higher than the
                last one's, so that every client would drop it as late.
        """
        if self._last is not None and frame.frame_id <= self._last_id:
            raise WireError(
                f"frame {frame.frame_id} after frame {self._last_id} of stream {self.stream}. "
                "Numbers must rise within a session; open a new Publisher to start again."
            )
        topic, header, pixels = encode_frame(
            frame,
            stream=self.stream,
            session=self.session,
            publish_ns=frame.publish_ns or self._clock(),
            provenance=self._provenance if self._last is None else None,
        )
        # The copy. Sending the same message object again later shares its memory.
        self._last = (topic, header, zmq.Frame(pixels, copy=True))
        self._last_id = frame.frame_id
        self.socket.send(self._last)
        self.sent += 1
        self.poll()

    def heartbeat(self, stats: LiveStats) -> None:
        """Note how the loop is doing, and send it twice a second. Call it as often as you like."""
        self._stats = stats
        self.poll()

    def poll(self) -> None:
        """Note who came and went, greet who came, send a heartbeat when one is due. Never blocks."""
        self.socket.poll()
        if self._somebody_came:
            self._somebody_came = False
            self._send_heartbeat()
            self.resend_last()
        elif self._last_heartbeat_ns is None or self._clock() - self._last_heartbeat_ns >= HEARTBEAT_NS:
            self._send_heartbeat()

    def resend_last(self) -> None:
        """Send the last frame once more; who has it drops it as late."""
        if self._last is not None:
            self.socket.send(self._last)

    def close(self) -> None:
        """Say bye; free the socket within a tenth of a second if it is its own. A second call does nothing."""
        if not self._closed and not self.socket.closed:
            self.socket.send(encode_bye(Bye(self.stream, self.session, self._last_id)))
        self._closed = True
        self.socket.forget(self._note_subscription)
        if self._owns_socket:
            self.socket.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_ours(self, prefix: bytes) -> bool:
        # Who listens to all versions looks for a producer and has subscribed to what it wants besides. Greeting it in
        # the name of every stream would fill its queue with the wrong ones.
        return prefix != TOPIC_FAMILY and self._topic.startswith(prefix)

    def _note_subscription(self, prefix: bytes) -> None:
        self._somebody_came |= self._is_ours(prefix)

    def _send_heartbeat(self) -> None:
        self._last_heartbeat_ns = self._clock()
        heartbeat = Heartbeat(
            stream=self.stream,
            session=self.session,
            frame_id=self._last_id,
            sent=self.sent,
            stats=self._stats,
            control_endpoint=self.control_endpoint,
            provenance=self._provenance,
            unix_offset_ns=unix_offset_ns(),
        )
        self.socket.send(encode_heartbeat(heartbeat))
