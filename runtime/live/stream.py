"""One person of the live loop: a performer with the sockets and the window of its stream.

The loop calls it once a round.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from engine_bridge.access.discovery import Announcement, StreamPlace
from engine_bridge.access.keys import ServerKeys
from engine_bridge.avf.messages import LiveStats, StreamInfo
from engine_bridge.errors import PrivateFileError
from engine_bridge.frame import Frame
from engine_bridge.producer.adaptation import QualityLadder, fps_to_draw
from engine_bridge.producer.control_server import ControlServer
from engine_bridge.producer.publisher import Publisher
from engine_bridge.sockets.frame_socket import FrameSocket
from engine_bridge.sockets.zmq_sockets import OncePerSecond
from runtime.character.about import provenance_of, stream_info

from .performer import Performer
from .window_source import WindowSource

logger = logging.getLogger(__name__)


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report on one person.

    Attributes:
        stream: its name.
        frames: frames drawn of it.
        published: frames sent to subscribers.
        engine_ms_p50: its inference, or its share of a joint one, median.
        engine_ms_p99: its 99th percentile.
        bad_controls: control states that were refused.
    """

    stream: str
    frames: int
    published: int
    engine_ms_p50: float
    engine_ms_p99: float
    bad_controls: int


class LiveStream:
    """Output and input of a performer. Close it when the loop has ended.

    Attributes:
        performer: on the stage.
        source: the stream for a window of this process, None if there is none.
        publisher: None if nothing is published.
        control_server: None if no controls are taken from sockets.
        frames: frames delivered.
    """

    def __init__(
        self,
        performer: Performer,
        *,
        fps: float,
        socket: FrameSocket | None,
        control: str | None,
        all_streams: Sequence[str],
        window: bool,
        keys: ServerKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """Bind the control endpoint and claim the topic.

        Args:
            performer: on the stage, under its stream's name.
            fps: target frames per second.
            socket: for sending frames, None to publish nothing.
            control: endpoint for controls, None for none.
            all_streams: names of all streams of the socket, for clients looking for another one.
            window: whether a window of this process will show it.
            keys: admit only clients on their list; None admits anyone on this machine.
            insecure: without keys, let other machines steer as well.

        Raises:
            WireError: an endpoint is taken or not allowed, or the stream name is not valid.
        """
        self.performer = performer
        self.frames = 0
        self.source: WindowSource | None = None
        self.publisher: Publisher | None = None
        self.control_server: ControlServer | None = None
        self._announcement: Announcement | None = None
        self._keys = keys
        self._recent: tuple[int, int] = (0, 0)
        self._said_bad = 0
        self._said_over_limits: Counter[str] = Counter()
        self._log = OncePerSecond(logger)
        if window:
            self.source = WindowSource(self._info(fps, derived=False), performer.drivers.window)
        with contextlib.ExitStack() as unless_all_open:
            unless_all_open.callback(self.close)
            if control is not None:
                self.control_server = ControlServer(
                    control,
                    self._info(fps, derived=True),
                    streams=all_streams,
                    resend_last=self._resend,
                    keys=keys,
                    insecure=insecure,
                )
            if socket is not None:
                self.publisher = Publisher(
                    socket,
                    stream=performer.stream,
                    session=performer.session,
                    provenance=provenance_of(performer.role),
                    control_endpoint=self.control_server.endpoint if self.control_server else "",
                )
                self._quality = QualityLadder(self.publisher.jpeg_quality)
            unless_all_open.pop_all()

    @property
    def is_watched(self) -> bool:
        """Whether a window or a subscriber wants frames."""
        return (self.source is not None and not self.source.closed) or (
            self.publisher is not None and self.publisher.has_subscribers
        )

    @property
    def bad_controls(self) -> int:
        """Control states that were refused, by the performer or at the socket."""
        return self.performer.bad_controls + (sum(self.control_server.bad.values()) if self.control_server else 0)

    @property
    def motion_to_photon_ms(self) -> float | None:
        """Median from a window's control to the frame that answers it, None if there was none."""
        photons = self.source.motion_to_photon if self.source else None
        return photons.percentile_ms(50) if photons else None

    @property
    def report(self) -> StreamReport:
        """Report on this person so far."""
        times = self.performer.engine_times
        return StreamReport(
            stream=self.performer.stream,
            frames=self.frames,
            published=self.publisher.sent if self.publisher else 0,
            engine_ms_p50=round(times.percentile_ms(50), 3),
            engine_ms_p99=round(times.percentile_ms(99), 3),
            bad_controls=self.bad_controls,
        )

    def listen(self) -> None:
        """Pass the newest state from the wire to the performer, as late as possible."""
        if self.control_server is not None:
            state = self.control_server.poll()
            if state is not None:
                self.performer.drivers.wire.offer(state)

    def deliver(self, frame: Frame) -> None:
        """Send a frame and show it."""
        self.frames += 1
        if self.publisher is not None and self.publisher.has_subscribers:
            self.publisher.publish(frame)
        if self.source is not None:
            self.source.put(frame)

    def tell(self, now: int, *, target_fps: float, dropped: int, engine_note: str) -> None:
        """Update statistics of window and heartbeat; log bad controls. Call it twice a second."""
        performer = self.performer
        since_ns, frames = self._recent
        fps = (self.frames - frames) * 1e9 / (now - since_ns) if since_ns else 0.0
        self._recent = (now, self.frames)
        ages = [stats.age_p50_ms for stats in self.control_server.client_stats] if self.control_server else []
        stats = LiveStats(
            provider=performer.engine.description.label,
            engine_note=engine_note,
            engine_ms_p50=performer.engine_times.percentile_ms(50),
            engine_ms_p99=performer.engine_times.percentile_ms(99),
            fps=fps,
            target_fps=target_fps,
            dropped=dropped,
            motion_to_photon_ms=self.motion_to_photon_ms,
            driver=performer.drivers.label,
            frame_age_ms_p50=float(np.median(ages)) if ages else None,
            subscribers=self.publisher.subscriber_count if self.publisher else 0,
            connections=sum(socket.connection_count for socket in self._guarded),
            over_limits=dict(self._over_limits),
        )
        if self.source is not None:
            self.source.tell(stats)
        if self.publisher is not None:
            self.publisher.heartbeat(stats)
        self._say_over_limits()
        if performer.bad_controls > self._said_bad:
            count = performer.bad_controls - self._said_bad
            self._said_bad = performer.bad_controls
            last = performer.last_bad_control
            logger.warning("%s: %d control states could not be used, the last: %s", performer.stream, count, last)

    def _say_over_limits(self) -> None:
        broken = self._over_limits
        if broken != self._said_over_limits:
            self._said_over_limits = broken
            told = ", ".join(f"{name} {count}" for name, count in sorted(broken.items()))
            self._log.warn(f"{self.performer.stream}: clients exceed the limits, so far: {told}")

    @property
    def _guarded(self) -> list[FrameSocket | ControlServer]:
        sockets = (self.publisher.socket if self.publisher else None, self.control_server)
        return [socket for socket in sockets if socket is not None]

    @property
    def _over_limits(self) -> Counter[str]:
        """How often each limit was exceeded; the frame socket's are those of all its streams."""
        broken: Counter[str] = Counter()
        for socket in self._guarded:
            broken.update(socket.over_limits)
        return broken

    def announce(self, *, page: str) -> None:
        """Announce the stream on this host; if that fails, it is still played.

        Args:
            page: address of the page for browsers, empty if there is none.

        Raises:
            WireError: another producer plays a stream of that name.
        """
        if self.publisher is None:
            return
        place = StreamPlace(
            pid=os.getpid(),
            session=self.publisher.session,
            stream=self.publisher.stream,
            frames=self.publisher.endpoint,
            control=self.publisher.control_endpoint,
            web=page,
            server_key=self._keys.public if self._keys else "",
        )
        try:
            self._announcement = Announcement(place)
        except PrivateFileError as error:
            logger.warning("clients cannot find the stream by name and need its endpoint: %s", error)

    def adapt(self, full_fps: float, now: int) -> float:
        """Send no larger pictures than the network carries.

        Args:
            full_fps: of the loop when no client wants less.
            now: monotonic time in nanoseconds.

        Returns:
            frames per second sufficient for all viewers of this person.
        """
        if self.publisher is None or self.control_server is None:
            return full_fps
        self.publisher.jpeg_quality = self._quality.step(self.control_server.ages_ms, now)
        if self.source is not None and not self.source.closed:
            return full_fps
        return fps_to_draw(full_fps, self.control_server.wanted_fps, self.publisher.subscriber_count)

    def close(self) -> None:
        """Say bye and free the sockets; the frame socket stays open for the others."""
        if self._announcement is not None:
            self._announcement.close()
        if self.publisher is not None:
            self.publisher.close()
        if self.control_server is not None:
            self.control_server.close()

    def _info(self, fps: float, *, derived: bool) -> StreamInfo:
        performer = self.performer
        return stream_info(
            performer.role,
            session=performer.session,
            stream=performer.stream,
            fps=fps,
            provider=performer.engine.description.label,
            derived=derived,
        )

    def _resend(self) -> None:
        if self.publisher is not None:
            self.publisher.resend_last()
