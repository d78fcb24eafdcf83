"""How a client judges its producer: alive, silent, gone, talking nonsense. Pure: time is an argument.

(start) ── LOST ──good──► LIVE ──1.5 s silent──► STALE ──5 s silent──► LOST ──good──► LIVE
                            │ 30 bad in a row, bad for 2 s without one good frame, or keys refused
                            ▼
                          ERROR ──good frame──► LIVE       INCOMPATIBLE ──good──► LIVE
"""

from __future__ import annotations

from typing import Final

from .messages import LinkState

STALE_AFTER_NS: Final = 1_500_000_000
LOST_AFTER_NS: Final = 5_000_000_000
BAD_IN_A_ROW: Final = 30
BAD_FOR_NS: Final = 2_000_000_000
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0


class Liveness:
    """The state machine of one link.

    Attributes:
        reconnects: how often a new connection was asked for.
    """

    def __init__(self) -> None:
        self.reconnects = 0
        self._heard_ns: int | None = None  # last message of any worth, None before the first and after a bye
        self._bad_in_a_row = 0
        self._first_bad_ns: int | None = None
        self._last_bad_ns: int | None = None
        self._failing = False
        self._incompatible = False
        self._pause_s = FIRST_PAUSE_S

    def state(self, now_ns: int) -> LinkState:
        """The state at this moment."""
        if self._incompatible:
            return LinkState.INCOMPATIBLE
        silent_ns = None if self._heard_ns is None else now_ns - self._heard_ns
        if silent_ns is None or silent_ns >= LOST_AFTER_NS:
            recently_bad = self._last_bad_ns is not None and now_ns - self._last_bad_ns < LOST_AFTER_NS
            return LinkState.ERROR if self._failing and recently_bad else LinkState.LOST
        if self._failing:
            return LinkState.ERROR
        return LinkState.STALE if silent_ns >= STALE_AFTER_NS else LinkState.LIVE

    def good(self, now_ns: int) -> None:
        """A frame (or, on the control channel, an answer) came that can be used."""
        self._heard_ns = now_ns
        self._failing = self._incompatible = False
        self._pause_s = FIRST_PAUSE_S
        self._forget_bad()

    def heartbeat(self, now_ns: int) -> None:
        """The producer is there; that alone does not excuse bad frames of the last two seconds."""
        if self._last_bad_ns is None or now_ns - self._last_bad_ns >= BAD_FOR_NS:
            self.good(now_ns)
        self._heard_ns = now_ns
        self._incompatible = False

    def bad(self, now_ns: int) -> float | None:
        """Something came that cannot be used.

        Returns:
            seconds to wait before connecting anew, or None to go on.
        """
        self._bad_in_a_row += 1
        self._last_bad_ns = now_ns
        if self._first_bad_ns is None:
            self._first_bad_ns = now_ns
        if self._bad_in_a_row < BAD_IN_A_ROW and now_ns - self._first_bad_ns < BAD_FOR_NS:
            return None
        self._bad_in_a_row = 0
        self._first_bad_ns = None
        return self._fail()

    def refused(self, now_ns: int) -> float:
        """The producer did not take the connection: the keys do not fit.

        Returns:
            seconds to wait before connecting anew.
        """
        self._last_bad_ns = now_ns
        return self._fail()

    def incompatible(self) -> None:
        """The producer speaks another major version."""
        self._incompatible = True

    def bye(self) -> None:
        """The producer has left on purpose."""
        self._heard_ns = None
        self._failing = False
        self._forget_bad()

    def _fail(self) -> float:
        self._failing = True
        self.reconnects += 1
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s

    def _forget_bad(self) -> None:
        self._bad_in_a_row = 0
        self._first_bad_ns = self._last_bad_ns = None


class FrameOrder:
    """Which frames are news: strictly rising numbers within a session, anything in a new session.

    Attributes:
        session: of the last frame taken, None before the first.
        last_id: number of the last frame taken.
        late: frames that were no news.
        missed: gaps in the numbers, summed over all sessions.
    """

    def __init__(self) -> None:
        self.session: int | None = None
        self.last_id = 0
        self.late = 0
        self.missed = 0

    def is_new_session(self, session: int) -> bool:
        """Note the session; say whether it differs from the one before."""
        if session == self.session:
            return False
        changed = self.session is not None
        self.session = session
        self.last_id = -1
        return changed

    def is_news(self, session: int, frame_id: int) -> bool:
        """Note the frame; say whether it is newer than all before it."""
        self.is_new_session(session)
        if frame_id <= self.last_id:
            self.late += 1
            return False
        if self.last_id >= 0:
            self.missed += frame_id - self.last_id - 1
        self.last_id = frame_id
        return True
