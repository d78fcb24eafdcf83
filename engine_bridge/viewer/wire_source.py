"""A stream received over sockets, as a window needs it."""

from __future__ import annotations

import logging
from collections import deque
from statistics import median
from types import TracebackType
from typing import Final

from msgspec import structs

from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT
from engine_bridge.access.keys import ClientKeys
from engine_bridge.avf.messages import ControlState, LinkState, LiveStats, StreamInfo
from engine_bridge.client.control_client import ControlClient
from engine_bridge.client.subscriber import Subscriber
from engine_bridge.clock import now_ns
from engine_bridge.errors import WireError
from engine_bridge.frame import Frame

logger = logging.getLogger(__name__)

_REPORT_NS: Final = 1_000_000_000
_TIMES_KEPT: Final = 120


class WireSource:
    """Subscribes to a stream and moves its character, if the producer takes controls.

    Producer and window may start in any order and be restarted. The window's own measurements (motion to photon,
    frame age) replace the producer's figures, which cover other clients.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_FRAMES_ENDPOINT,
        *,
        control: str | None = None,
        stream: str | None = None,
        variant: str | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect now, or when the producer appears.

        Args:
            endpoint: of the producer's frame channel.
            control: of its control channel; None takes the one in the producer's heartbeat.
            stream: name of the stream; None takes the first one heard.
            variant: pixel transport, as for `Subscriber`.
            keys: for a producer that has keys.

        Raises:
            WireError: an endpoint, the name or the variant is malformed.
        """
        self._keys = keys
        self._subscriber = Subscriber(endpoint, stream=stream, variant=variant, keys=keys)
        self._client: ControlClient | None = None
        self._client_endpoint: str | None = None
        self._fixed_control = control
        self._frame: Frame | None = None
        self._motion_to_photon_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._next_report_ns = 0
        if control is not None:
            try:
                self._client = ControlClient(control, name="window", keys=keys)
            except WireError:
                self._subscriber.close()
                raise

    def __enter__(self) -> WireSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def info(self) -> StreamInfo | None:
        """What the producer takes; without a control channel, what its frames reveal."""
        self._meet_control()
        if self._client is not None:
            return self._client.info
        if self._frame is None or self._subscriber.stats is None:
            return None
        height, width = self._frame.pixels.shape[:2]
        return StreamInfo(
            session=self._frame.session,
            stream=self._frame.stream,
            character=self._frame.stream,
            width=width,
            height=height,
            fps=self._subscriber.stats.target_fps,
            controls=[],
            provider=self._frame.provider,
        )

    @property
    def stats(self) -> LiveStats | None:
        """The producer's statistics, with this window's own measurements where available."""
        stats = self._subscriber.stats
        if stats is None:
            return None
        times = self._motion_to_photon_ms
        return structs.replace(
            stats,
            motion_to_photon_ms=median(times) if times else stats.motion_to_photon_ms,
            frame_age_ms_p50=self._subscriber.statistics.age_take_ms_p50,
        )

    @property
    def link(self) -> LinkState:
        """State of the frame channel."""
        return self._subscriber.state

    @property
    def problem(self) -> str:
        """Why the frame channel is in error."""
        return self._subscriber.last_error

    def latest(self) -> Frame | None:
        """Return the newest frame, or None; its pixels stay valid for as long as they are held."""
        frame = self._subscriber.latest()
        if frame is None:
            return None
        if self._client is not None:
            news = self._frame is None or frame.control_id != self._frame.control_id
            time_ms = self._client.motion_to_photon_ms(frame) if news else None
            if time_ms is not None:
                self._motion_to_photon_ms.append(time_ms)
            if now_ns() >= self._next_report_ns:
                self._next_report_ns = now_ns() + _REPORT_NS
                self._client.report(self._subscriber.report())
        self._frame = frame
        return frame

    def send(self, state: ControlState) -> None:
        """Send the user's state, if the producer takes controls. The client numbers it: it also sends on its own."""
        if self._client is not None:
            self._client.send(structs.replace(state, control_id=0))

    def close(self) -> None:
        """Disconnect within milliseconds."""
        if self._client is not None:
            self._client.close()
        self._subscriber.close()

    def _meet_control(self) -> None:
        """Follow the control endpoint in the heartbeat: it may change when the producer restarts."""
        endpoint = self._subscriber.control_endpoint
        if self._fixed_control is not None or endpoint in (None, self._client_endpoint):
            return
        if self._client is not None:
            self._client.close()
        self._client, self._client_endpoint = None, endpoint
        try:
            self._client = ControlClient(endpoint, name="window", keys=self._keys) if endpoint else None
        except WireError as error:
            logger.warning("The producer's control channel cannot be used: %s", error)
