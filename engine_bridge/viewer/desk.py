"""The user's current control state, and the message that carries it."""

from __future__ import annotations

import msgspec

from engine_bridge.avf.messages import ControlState
from engine_bridge.client.wanted import Wanted


class Desk:
    """The window's own control state: absolute, so that every message is complete.

    A control is held by a slider, led by the pointer (`look`), or free; free controls stay with the other
    drivers, idle life among them. The pointer overrides the sliders while it leads.
    """

    def __init__(self) -> None:
        self.held: dict[str, float] = {}
        self.look: dict[str, float] = {}
        self.mix_identity: str | int | None = None
        self.mix_amount = 0.5
        self._wanted = Wanted()
        self._control_id = 0

    @property
    def identity(self) -> str | int | None:
        """The identity that was chosen, None before."""
        return self._wanted.identity

    @property
    def truncation_psi(self) -> float | None:
        """The truncation that was set, None before."""
        return self._wanted.truncation_psi

    @property
    def expression(self) -> str | None:
        """The expression that was chosen, "" for none, None before."""
        return self._wanted.expression

    def hold(self, name: str, value: float) -> None:
        """Hold a control at a value, in natural units."""
        self.held[name] = value
        self._lead_or_hold(name)

    def release(self, name: str) -> None:
        """Give a control back to the other drivers."""
        self.held.pop(name, None)
        self._lead_or_hold(name)

    def lead(self, look: dict[str, float]) -> None:
        """Set what the pointer asks for; an empty dictionary releases these controls."""
        before, self.look = self.look, look
        for name in {**before, **look}:
            self._lead_or_hold(name)

    def choose_identity(self, identity: str | int) -> None:
        """Change to another identity, a name or a seed."""
        self._wanted.become(identity)

    def choose_mix(self, identity: str | int | None) -> None:
        """Mix a second identity in, or none."""
        self.mix_identity = identity
        self._mix()

    def set_mix_amount(self, amount: float) -> None:
        """Set how much of the second identity shows, 0..1."""
        self.mix_amount = amount
        self._mix()

    def set_truncation(self, psi: float) -> None:
        """Set how far a drawn identity may be from the average, 0..1."""
        self._wanted.truncate(psi)

    def toggle_expression(self, name: str) -> None:
        """Fade to an expression, or to none if it is the one shown."""
        self._wanted.express("" if self.expression == name else name)

    def calibrate(self) -> None:
        """Take the user's current pose as neutral, with the next message."""
        self._wanted.calibrate()

    def reset(self) -> None:
        """Release every control, expression and mixture. The identity stays: changing it is a choice, not a pose."""
        self.held.clear()
        self.look = {}
        self.mix_identity = None
        self._wanted.release_all()
        self._wanted.end_mix()
        if self.expression is not None:
            self._wanted.express("")

    def say_again(self) -> None:
        """Send the state again, for a restarted producer, if anything was ever set."""
        self._wanted.repeat()

    def take(self, now_ns: int) -> ControlState | None:
        """Return the state if it changed since the last call.

        Args:
            now_ns: this machine's monotonic clock; the producer echoes it for motion-to-photon.

        Returns:
            The message to send, or None if nothing changed.
        """
        state = self._wanted.take()
        if state is None:
            return None
        self._control_id += 1
        return msgspec.structs.replace(state, control_id=self._control_id, timestamp_ns=now_ns)

    def _lead_or_hold(self, name: str) -> None:
        value = self.look.get(name, self.held.get(name))
        if value is None:
            self._wanted.release(name)
        else:
            self._wanted.hold(name, value)

    def _mix(self) -> None:
        if self.mix_identity is None:
            self._wanted.end_mix()
        else:
            self._wanted.mix(self.mix_identity, self.mix_amount)
