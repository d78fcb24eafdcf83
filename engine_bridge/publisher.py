"""The producer's side of the frame channel: an XPUB socket that never blocks. Knows frames, not how they are made.

There is no thread in here. The live loop calls `publish`, `heartbeat` or `poll` on every round, whether or not there
is a frame; so a heartbeat says that the loop itself is alive. All calls must come from one thread at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Final

import zmq

from .clock import now_ns, unix_offset_ns
from .curve import door_of
from .endpoints import DEFAULT_FRAMES_ENDPOINT
from .errors import WireError
from .frame import Frame
from .keys import ServerKeys
from .messages import LiveStats, Provenance
from .sockets import FRAME_QUEUE, open_socket
from .wire import Bye, Heartbeat, Part, encode_bye, encode_frame, encode_heartbeat, new_session, topic_of

HEARTBEAT_NS: Final = 500_000_000
GOODBYE_MS: Final = 100  # how long closing may wait for a bye to leave
MAX_SUBSCRIPTION_BYTES: Final = 1024
MAX_EVENTS_PER_POLL: Final = 1000


class Publisher:
    """Sends one stream of frames to whoever subscribes.

    A subscriber that is slow, stopped or dead loses frames (its queue holds two) and costs the producer nothing. One
    that joins late is sent a heartbeat and the last frame at once.

    Every frame is copied once, by libzmq, while `publish` runs; the caller may overwrite its pixels afterwards. A ring
    of buffers sent without a copy was measured and is not faster: 1.7 times slower at 256x256, equal from 1024x1024
    on, since filling the ring is the same copy.

    Attributes:
        endpoint: where to connect, with the port that was found.
        stream: name of the stream.
        session: random number of this start, unsigned 64 bit.
        sent: frames sent so far.
        control_endpoint: told in heartbeats so that a window finds the controls; may be set later, for a control
            server whose port is found only when it is bound.
        jpeg_quality: of the variant `jpeg`, 1 to 100; may be set at any time.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_FRAMES_ENDPOINT,
        *,
        stream: str,
        session: int | None = None,
        provenance: Provenance | None = None,
        control_endpoint: str = "",
        keys: ServerKeys | None = None,
        insecure: bool = False,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Bind the socket.

        Args:
            endpoint: of this machine only, unless there are keys; port 0 takes a free one.
            stream: name of the stream, 1 to 59 of the characters A-Z a-z 0-9 . _ -
            session: number of this start; None draws one.
            provenance: told with the first frame and every heartbeat; None says "made by a neural network" only.
            control_endpoint: of the control channel, if it is known already.
            keys: talk to those on their list only, encrypted; None talks to everybody on this machine.
            insecure: without keys, let other machines connect as well.
            clock: monotonic nanoseconds.

        Raises:
            WireError: the endpoint is taken, malformed, or without keys reachable from other machines.
        """
        self.stream = stream
        self.session = new_session() if session is None else session
        self.sent = 0
        self.jpeg_quality = 85
        self._topic = topic_of(stream)
        self._provenance = Provenance() if provenance is None else provenance
        self.control_endpoint = control_endpoint
        self._clock = clock
        self._stats: LiveStats | None = None
        self._subscriptions: Counter[bytes] = Counter()
        self._last: tuple[bytes, bytes, zmq.Frame] | None = None
        self._last_id = 0
        self._last_heartbeat_ns: int | None = None
        self._door = door_of(keys, insecure=insecure)
        self._socket = open_socket(self._door.context, zmq.XPUB, queue=FRAME_QUEUE, max_bytes=MAX_SUBSCRIPTION_BYTES)
        # Tell about every subscription that comes and goes, also about the second one to the same topic.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        try:
            self.endpoint = self._door.bind(self._socket, endpoint)
        except WireError:
            self._release()
            raise

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody watches; if not, nothing needs to be rendered. Looks for news before it answers."""
        return self.subscriber_count > 0

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions match this stream; each of our clients holds one while it receives."""
        self.poll()
        return sum(count for prefix, count in self._subscriptions.items() if self._topic.startswith(prefix))

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
        self._send(self._last)
        self.sent += 1
        self.poll()

    def heartbeat(self, stats: LiveStats) -> None:
        """Note how the loop is doing, and send it twice a second. Call it as often as you like."""
        self._stats = stats
        self.poll()

    def poll(self) -> None:
        """Note who came and went, greet who came, send a heartbeat when one is due. Never blocks."""
        if self._note_subscriptions():
            self._send_heartbeat()
            self.resend_last()
        elif self._last_heartbeat_ns is None or self._clock() - self._last_heartbeat_ns >= HEARTBEAT_NS:
            self._send_heartbeat()

    def resend_last(self) -> None:
        """Send the last frame once more; who has it drops it as late."""
        if self._last is not None:
            self._send(self._last)

    def close(self) -> None:
        """Say bye and free the socket within a tenth of a second; a second call does nothing."""
        if not self._socket.closed:
            self._send(encode_bye(Bye(self.stream, self.session, self._last_id)))
            self._socket.linger = GOODBYE_MS
            self._release()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _note_subscriptions(self) -> bool:
        """Read subscription events; say whether one came that matches the stream."""
        somebody_came = False
        for _ in range(MAX_EVENTS_PER_POLL):
            try:
                event = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            prefix = event[1:]
            if event[:1] == b"\x01":
                self._subscriptions[prefix] += 1
                somebody_came |= self._topic.startswith(prefix)
            elif event[:1] == b"\x00":
                self._subscriptions[prefix] -= 1
                if self._subscriptions[prefix] <= 0:
                    del self._subscriptions[prefix]
        return somebody_came

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
        self._send(encode_heartbeat(heartbeat))

    def _send(self, parts: tuple[Part | zmq.Frame, ...]) -> None:
        # XPUB drops what a subscriber's queue cannot take, so this neither blocks nor fails.
        for part in parts[:-1]:
            self._socket.send(part, zmq.NOBLOCK | zmq.SNDMORE)
        self._socket.send(parts[-1], zmq.NOBLOCK, copy=False)

    def _release(self) -> None:
        self._socket.close()
        self._door.close()
