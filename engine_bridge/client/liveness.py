"""A client's judgement of its producer: alive, silent, gone or sending garbage. Pure: time is an argument.

(start) ── LOST ──good──► LIVE ──1.5 s silent──► STALE ──5 s silent──► LOST ──good──► LIVE
                            │ 30 bad in a row, bad for 2 s without one good frame, or keys refused
                            ▼
                          ERROR ──good frame──► LIVE       INCOMPATIBLE ──good──► LIVE
"""

from __future__ import annotations

from typing import Final

from engine_bridge.avf.messages import LinkState

STALE_AFTER_NS: Final = 1_500_000_000
LOST_AFTER_NS: Final = 5_000_000_000
BAD_IN_A_ROW: Final = 30
BAD_FOR_NS: Final = 2_000_000_000
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0
FIRST_PATIENCE_NS: Final = 10_000_000_000
LONGEST_PATIENCE_NS: Final = 40_000_000_000
LONGEST_LOOK_NS: Final = 500_000_000  # longest gap between two checks of a client that was awake


class Liveness:
    """The state machine of one link.

    Attributes:
        reconnects: number of new connections requested.
    """

    def __init__(self) -> None:
        self.reconnects = 0
        self._heard_ns: int | None = None  # last usable message, None before the first and after a bye
        self._bad_in_a_row = 0
        self._first_bad_ns: int | None = None
        self._last_bad_ns: int | None = None
        self._failing = False
        self._incompatible = False
        self._pause_s = FIRST_PAUSE_S

    def state(self, now_ns: int) -> LinkState:
        """The current state."""
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
        """Note a usable frame or, on the control channel, an answer."""
        self._heard_ns = now_ns
        self._failing = self._incompatible = False
        self._pause_s = FIRST_PAUSE_S
        self._forget_bad()

    def heartbeat(self, now_ns: int) -> None:
        """Note that the producer is alive; that alone does not excuse bad frames of the last two seconds."""
        if self._last_bad_ns is None or now_ns - self._last_bad_ns >= BAD_FOR_NS:
            self.good(now_ns)
        self._heard_ns = now_ns
        self._incompatible = False

    def bad(self, now_ns: int) -> float | None:
        """Note an unusable message.

        Returns:
            seconds to wait before reconnecting, or None to continue.
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
        """Note that the producer refused the connection: the keys do not match.

        Returns:
            seconds to wait before reconnecting.
        """
        self._last_bad_ns = now_ns
        return self._fail()

    def flooded(self, now_ns: int) -> float:
        """Note a flood: more messages at once than any producer sends.

        Returns:
            seconds to wait before reconnecting.
        """
        self._last_bad_ns = now_ns
        return self._fail()

    def incompatible(self) -> None:
        """Note that the producer speaks another major version."""
        self._incompatible = True

    def bye(self) -> None:
        """Note that the producer ended its session."""
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


class Patience:
    """How long a client waits on a connection that libzmq considers open but that carries nothing.

    The other end may have vanished silently: behind a forwarded port, with a machine that was switched off, or while
    this one slept. After ten seconds of silence the client reconnects; the wait doubles, up to forty seconds, until
    something is heard. A producer that is only suspended keeps its connections, so one that wakes within ten seconds
    is LIVE at once, and one that sleeps for a minute finds three dead connections per client, not sixty.
    """

    def __init__(self) -> None:
        self._silent_ns = 0
        self._patience_ns = FIRST_PATIENCE_NS
        self._looked_ns: int | None = None

    def heard(self) -> None:
        """Note a message, good or bad."""
        self._silent_ns = 0
        self._patience_ns = FIRST_PATIENCE_NS

    def is_over(self, now_ns: int) -> bool:
        """Check the clock, a few times a second; return whether to reconnect, and start waiting for that.

        Only time in which the client was awake counts: messages received while it was suspended are still unread.
        """
        if self._looked_ns is not None:
            self._silent_ns += min(now_ns - self._looked_ns, LONGEST_LOOK_NS)
        self._looked_ns = now_ns
        if self._silent_ns < self._patience_ns:
            return False
        self._silent_ns = 0
        self._patience_ns = min(2 * self._patience_ns, LONGEST_PATIENCE_NS)
        return True


class FrameOrder:
    """Filters new frames: strictly increasing numbers within a session, any number in a new session.

    Attributes:
        session: of the last frame taken, None before the first.
        last_id: number of the last frame taken.
        late: frames that were not new.
        missed: gaps in the numbers, summed over all sessions.
    """

    def __init__(self) -> None:
        self.session: int | None = None
        self.last_id = 0
        self.late = 0
        self.missed = 0

    def is_new_session(self, session: int) -> bool:
        """Note the session; return whether it differs from the previous one."""
        if session == self.session:
            return False
        changed = self.session is not None
        self.session = session
        self.last_id = -1
        return changed

    def is_news(self, session: int, frame_id: int) -> bool:
        """Note the frame; return whether it is newer than all before it."""
        self.is_new_session(session)
        if frame_id <= self.last_id:
            self.late += 1
            return False
        if self.last_id >= 0:
            self.missed += frame_id - self.last_id - 1
        self.last_id = frame_id
        return True
