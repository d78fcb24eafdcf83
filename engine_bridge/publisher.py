"""The producer's side of the frame channel: an XPUB socket that never blocks. Knows frames, not how they are made.

There is no thread in here. The live loop calls `publish`, `heartbeat` or `poll` on every round, whether or not there
is a frame; so a heartbeat says that the loop itself is alive. All calls must come from one thread at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final

import zmq

from .clock import now_ns, unix_offset_ns
from .endpoints import DEFAULT_FRAMES_ENDPOINT
from .errors import WireError
from .frame import Frame
from .last_frame import LastFrame
from .messages import LiveStats, Provenance
from .planes import RAW, Part
from .sockets import FRAME_QUEUE, Context, bind, open_socket
from .wire import Bye, Heartbeat, encode_bye, encode_heartbeat, new_session, topic_of, topic_prefix

HEARTBEAT_NS: Final = 500_000_000
GOODBYE_MS: Final = 100  # how long closing may wait for a bye to leave
MAX_SUBSCRIPTION_BYTES: Final = 1024
MAX_EVENTS_PER_POLL: Final = 1000


class Publisher:
    """Sends one stream of frames to whoever subscribes.

    A subscriber that is slow, stopped or dead loses frames (its queue holds two) and costs the producer nothing. One
    that joins late is sent a heartbeat and the last frame at once.

    A frame is encoded once for every variant that somebody subscribes to, while `publish` runs; the caller may
    overwrite its pixels afterwards. Raw frames are copied by libzmq: a ring of buffers sent without a copy was measured
    and is not faster, 1.7 times slower at 256x256, equal from 1024x1024 on, since filling the ring is the same copy.

    Attributes:
        endpoint: where to connect, with the port that was found.
        stream: name of the stream.
        session: random number of this start, unsigned 64 bit.
        sent: frames sent so far.
        control_endpoint: told in heartbeats so that a window finds the controls; may be set later, for a control
            server whose port is found only when it is bound.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_FRAMES_ENDPOINT,
        *,
        stream: str,
        session: int | None = None,
        provenance: Provenance | None = None,
        control_endpoint: str = "",
        shared_memory: bool = True,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Bind the socket.

        Args:
            endpoint: of this machine only; port 0 takes a free one.
            stream: name of the stream, 1 to 59 of the characters A-Z a-z 0-9 . _ -
            session: number of this start; None draws one.
            provenance: told with the first frame and every heartbeat; None says "made by a neural network" only.
            control_endpoint: of the control channel, if it is known already.
            shared_memory: whether clients of this host and user may have their pixels through a ring of it.
            clock: monotonic nanoseconds.

        Raises:
            WireError: the endpoint is taken, malformed, or reachable from other machines.
        """
        self.stream = stream
        self.session = new_session() if session is None else session
        self.sent = 0
        self._last = LastFrame(stream=stream, session=self.session, shared_memory=shared_memory)
        self._topics = {variant: topic_of(stream, variant) for variant in self._last.variants}
        self._provenance = Provenance() if provenance is None else provenance
        self.control_endpoint = control_endpoint
        self._clock = clock
        self._stats: LiveStats | None = None
        self._subscriptions: Counter[bytes] = Counter()
        self._last_heartbeat_ns: int | None = None
        self._context: Context = zmq.Context()
        self._socket = open_socket(self._context, zmq.XPUB, queue=FRAME_QUEUE, max_bytes=MAX_SUBSCRIPTION_BYTES)
        # Tell about every subscription that comes and goes, also about the second one to the same topic.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        try:
            self.endpoint = bind(self._socket, endpoint)
        except WireError:
            self._release()
            raise

    @property
    def jpeg_quality(self) -> int:
        """1 to 100, of frames that go out as JPEG; may be set at any time."""
        return self._last.jpeg_quality

    @jpeg_quality.setter
    def jpeg_quality(self, quality: int) -> None:
        self._last.jpeg_quality = quality

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody watches; if not, nothing needs to be rendered. Looks for news before it answers."""
        return self.subscriber_count > 0

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions match this stream; each of our clients holds one while it receives."""
        self.poll()
        return sum(count for prefix, count in self._subscriptions.items() if self._is_ours(prefix))

    def publish(self, frame: Frame) -> None:
        """Send a frame to all who can take it now. Never blocks.

        Args:
            frame: its pixels are copied before this returns. `publish_ns` 0 is stamped on the wire with now.

        Raises:
            WireError: the pixels are of no kind that the wire carries, or the frame's number is not higher than the
                last one's, so that every client would drop it as late.
        """
        if self._last.exists and frame.frame_id <= self._last.frame_id:
            raise WireError(
                f"frame {frame.frame_id} after frame {self._last.frame_id} of stream {self.stream}. "
                "Numbers must rise within a session; open a new Publisher to start again."
            )
        self._last.take(
            replace(frame, publish_ns=frame.publish_ns or self._clock()),
            None if self._last.exists else self._provenance,
        )
        for variant in self._wanted() or [RAW]:
            self._send(self._last.message(variant))
        self._last.keep()
        self.sent += 1
        self.poll()

    def heartbeat(self, stats: LiveStats) -> None:
        """Note how the loop is doing, and send it twice a second. Call it as often as you like."""
        self._stats = stats
        self.poll()

    def poll(self) -> None:
        """Note who came and went, greet who came, send a heartbeat when one is due. Never blocks."""
        newly_wanted = self._note_subscriptions()
        if newly_wanted:
            self._send_heartbeat(newly_wanted)
            self._resend(newly_wanted)
        elif self._last_heartbeat_ns is None or self._clock() - self._last_heartbeat_ns >= HEARTBEAT_NS:
            self._send_heartbeat(self._audible())

    def resend_last(self) -> None:
        """Send the last frame once more; who has it drops it as late."""
        self._resend(self._wanted())

    def close(self) -> None:
        """Say bye and free the socket within a tenth of a second; a second call does nothing."""
        if not self._socket.closed:
            for variant in self._audible():
                self._send(encode_bye(Bye(self.stream, self.session, self._last.frame_id), variant))
            self._socket.linger = GOODBYE_MS
            self._release()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_ours(self, prefix: bytes) -> bool:
        return any(topic.startswith(prefix) for topic in self._topics.values())

    def _wanted(self) -> list[str]:
        """The variants that somebody subscribes to.

        All but raw only by their full prefix, so that listening to everything does not make us encode everything.
        """
        return [variant for variant in self._topics if any(self._asks(p, variant) for p in self._subscriptions)]

    def _asks(self, prefix: bytes, variant: str) -> bool:
        return self._topics[variant].startswith(prefix) and (variant == RAW or prefix.startswith(topic_prefix(variant)))

    def _audible(self) -> list[str]:
        """The variants under whose topics heartbeats and byes go out."""
        return [RAW, *(variant for variant in self._wanted() if variant != RAW)]

    def _note_subscriptions(self) -> list[str]:
        """Read subscription events; returns the variants that somebody has newly subscribed to."""
        came: set[bytes] = set()
        for _ in range(MAX_EVENTS_PER_POLL):
            try:
                event = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            prefix = event[1:]
            if event[:1] == b"\x01":
                self._subscriptions[prefix] += 1
                came.add(prefix)
            elif event[:1] == b"\x00":
                self._subscriptions[prefix] -= 1
                if self._subscriptions[prefix] <= 0:
                    del self._subscriptions[prefix]
        return [variant for variant in self._topics if any(self._asks(prefix, variant) for prefix in came)]

    def _send_heartbeat(self, variants: Sequence[str]) -> None:
        self._last_heartbeat_ns = self._clock()
        heartbeat = Heartbeat(
            stream=self.stream,
            session=self.session,
            frame_id=self._last.frame_id,
            sent=self.sent,
            stats=self._stats,
            control_endpoint=self.control_endpoint,
            variants=self._last.variants,
            ring=self._last.ring_name,
            provenance=self._provenance,
            unix_offset_ns=unix_offset_ns(),
        )
        for variant in variants:
            self._send(encode_heartbeat(heartbeat, variant))

    def _resend(self, variants: Sequence[str]) -> None:
        if self._last.exists:
            for variant in variants:
                self._send(self._last.message(variant))

    def _send(self, parts: Sequence[Part | zmq.Frame]) -> None:
        # XPUB drops what a subscriber's queue cannot take, so this neither blocks nor fails.
        for part in parts[:-1]:
            self._socket.send(part, zmq.NOBLOCK | zmq.SNDMORE)
        self._socket.send(parts[-1], zmq.NOBLOCK, copy=False)

    def _release(self) -> None:
        self._socket.close()
        self._context.term()
        self._last.close()
