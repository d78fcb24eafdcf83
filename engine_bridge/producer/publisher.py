"""The producer side of the frame channel: one stream on an XPUB socket.

No thread here. The live loop calls `publish`, `heartbeat` or `poll` on every round, whether or not there
is a frame; so a heartbeat shows that the loop itself is alive. All calls must come from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Final

from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT
from engine_bridge.access.keys import ServerKeys
from engine_bridge.avf.messages import LiveStats, Provenance
from engine_bridge.avf.planes import RAW
from engine_bridge.avf.wire import (
    TOPIC_FAMILY,
    Bye,
    Heartbeat,
    encode_bye,
    encode_heartbeat,
    new_session,
    topic_of,
    topic_prefix,
)
from engine_bridge.clock import now_ns, unix_offset_ns
from engine_bridge.errors import WireError
from engine_bridge.frame import Frame
from engine_bridge.plain_text import LINE_CHARS, plain
from engine_bridge.sockets.frame_socket import FrameSocket

from .last_frame import LastFrame

HEARTBEAT_NS: Final = 500_000_000
GREETING_NS: Final = 100_000_000  # between two greetings: each fills the queues of existing subscribers


class Publisher:
    """Sends one stream of frames to all subscribers.

    A subscriber that is slow, suspended or dead loses frames (its queue holds two) and costs the producer nothing. One
    that joins late is sent a heartbeat and the last frame at once.

    A frame is encoded once per subscribed variant, while `publish` runs; the caller may
    overwrite its pixels afterwards. Raw frames are copied by libzmq: a ring of buffers sent without a copy was measured
    and is not faster, 1.7 times slower at 256x256, equal from 1024x1024 on, since filling the ring is the same copy.

    Attributes:
        endpoint: to connect to, with the actual port.
        socket: the frame socket.
        stream: name of the stream.
        session: random number of this start, unsigned 64 bit.
        sent: frames sent so far.
        control_endpoint: announced in heartbeats so that a window finds the controls; may be set later, for a control
            server whose port is known only after binding.
        jpeg_quality: of the variant `jpeg`, 1 to 100; may be set at any time.
    """

    def __init__(
        self,
        endpoint: str | FrameSocket = DEFAULT_FRAMES_ENDPOINT,
        *,
        stream: str,
        session: int | None = None,
        provenance: Provenance | None = None,
        control_endpoint: str = "",
        shared_memory: bool = True,
        keys: ServerKeys | None = None,
        insecure: bool = False,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Bind a socket, or send on one that several streams share.

        Args:
            endpoint: on this machine only unless there are keys, port 0 takes a free one; or an open socket, which
                its owner closes after this.
            stream: name of the stream, 1 to 59 of the characters A-Z a-z 0-9 . _ -
            session: number of this start; None generates one.
            provenance: sent with the first frame and every heartbeat; None says "made by a neural network" only.
            control_endpoint: of the control channel, if already known.
            shared_memory: whether clients of this host and user may get pixels through a shared-memory ring. Without
                room for one, pixels go over the socket, and it is tried again after half a minute.
            keys: for a socket of its own: admit only clients on their list, encrypted; None admits anyone local.
            insecure: for a socket of its own without keys: let other machines connect as well.
            clock: monotonic nanoseconds.

        Raises:
            WireError: the endpoint is taken, malformed, or without keys reachable from other machines.
        """
        self.stream = stream
        self.session = new_session() if session is None else session
        self.sent = 0
        self._last = LastFrame(stream=stream, session=self.session, shared_memory=shared_memory, clock=clock)
        self._topics = {variant: topic_of(stream, variant) for variant in self._last.variants}
        self._provenance = _in_short(Provenance() if provenance is None else provenance)
        self.control_endpoint = control_endpoint
        self._clock = clock
        self._stats: LiveStats | None = None
        self._newly_wanted: set[str] = set()
        self._last_greeting_ns: int | None = None
        self._counted_version = -1  # version of the socket's subscriptions at the last count
        self._subscriber_count = 0
        self._wanted_variants: list[str] = []
        self._last_heartbeat_ns: int | None = None
        self._owns_socket = isinstance(endpoint, str)
        self.socket = FrameSocket(endpoint, keys=keys, insecure=insecure) if isinstance(endpoint, str) else endpoint
        self.endpoint = self.socket.endpoint
        self.socket.on_subscription(self._note_subscription)
        self._closed = False

    @property
    def jpeg_quality(self) -> int:
        """JPEG quality, 1 to 100; may be set at any time."""
        return self._last.jpeg_quality

    @jpeg_quality.setter
    def jpeg_quality(self, quality: int) -> None:
        self._last.jpeg_quality = quality

    @property
    def has_subscribers(self) -> bool:
        """Whether anyone subscribes; if not, nothing needs to be rendered. Reads new subscriptions first."""
        return self.subscriber_count > 0

    @property
    def subscriber_count(self) -> int:
        """Number of subscriptions that match this stream; each of our clients holds one while it receives."""
        self.poll()
        self._count()
        return self._subscriber_count

    def publish(self, frame: Frame) -> None:
        """Send a frame to all subscribers that can take it now. Never blocks.

        Args:
            frame: its pixels are copied before this returns. `publish_ns` 0 is replaced by the current time.

        Raises:
            WireError: the wire cannot carry the pixels, or the frame's number is not higher than the
                previous one, so that every client would drop it as late.
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
            self.socket.send(self._last.message(variant))
        self._last.keep()
        self.sent += 1
        self.poll()

    def heartbeat(self, stats: LiveStats) -> None:
        """Note the loop's statistics, and send them twice a second. Call it as often as you like."""
        self._stats = stats
        self.poll()

    def poll(self) -> None:
        """Note who came and left, greet newcomers, send a heartbeat when one is due. Never blocks."""
        self.socket.poll()
        now = self._clock()
        if self._newly_wanted and (self._last_greeting_ns is None or now - self._last_greeting_ns >= GREETING_NS):
            self._last_greeting_ns = now
            newly_wanted = [variant for variant in self._topics if variant in self._newly_wanted]
            self._newly_wanted.clear()
            self._send_heartbeat(newly_wanted)
            self._resend(newly_wanted)
        elif self._last_heartbeat_ns is None or now - self._last_heartbeat_ns >= HEARTBEAT_NS:
            self._send_heartbeat(self._audible())

    def resend_last(self) -> None:
        """Send the last frame again; clients that have it drop it as late."""
        self._resend(self._wanted())

    def close(self) -> None:
        """Say bye; free the socket within a tenth of a second if this publisher owns it. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if not self.socket.closed:
            self.socket.settle()
            for variant in self._audible():
                self.socket.send(encode_bye(Bye(self.stream, self.session, self._last.frame_id), variant))
        self.socket.forget(self._note_subscription)
        if self._owns_socket:
            self.socket.close()
        self._last.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _asks(self, prefix: bytes, variant: str) -> bool:
        """Whether a subscription matches this stream in a variant.

        All but raw match by their full prefix only, so that listening to everything does not make us encode everything.
        A client listening to all versions looks for a producer and has subscribed to its stream: greeting it in the
        name of every stream would fill its queue with the wrong ones.
        """
        if prefix == TOPIC_FAMILY or not self._topics[variant].startswith(prefix):
            return False
        return variant == RAW or prefix.startswith(topic_prefix(variant))

    def _count(self) -> None:
        """Recount the subscriptions, but only when they have changed: this is called several times per frame."""
        if self._counted_version == self.socket.subscriptions_version:
            return
        self._counted_version = self.socket.subscriptions_version
        self._subscriber_count = 0
        wanted: set[str] = set()
        for prefix, count in self.socket.subscriptions.items():
            asked = [variant for variant in self._topics if self._asks(prefix, variant)]
            wanted.update(asked)
            self._subscriber_count += count if asked else 0
        self._wanted_variants = [variant for variant in self._topics if variant in wanted]

    def _wanted(self) -> list[str]:
        """Variants with subscribers."""
        self._count()
        return self._wanted_variants

    def _audible(self) -> list[str]:
        """Variants whose topics carry heartbeats and byes."""
        return [RAW, *(variant for variant in self._wanted() if variant != RAW)]

    def _note_subscription(self, prefix: bytes) -> None:
        self._newly_wanted.update(variant for variant in self._topics if self._asks(prefix, variant))

    def _send_heartbeat(self, variants: Iterable[str]) -> None:
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
            self.socket.send(encode_heartbeat(heartbeat, variant))

    def _resend(self, variants: Iterable[str]) -> None:
        if self._last.can_be_sent:
            for variant in variants:
                self.socket.send(self._last.message(variant))


def _in_short(provenance: Provenance) -> Provenance:
    """The same with texts that fit a heartbeat and are safe to display; a licence may be very long."""
    model, generator, source = (
        plain(text, LINE_CHARS) for text in (provenance.model, provenance.generator, provenance.source)
    )
    return Provenance(ai=provenance.ai, model=model, generator=generator, source=source)
