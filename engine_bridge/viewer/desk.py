"""The user's current control state, and the message that carries it."""

from __future__ import annotations

from engine_bridge.avf.messages import ControlState, IdentityMix


class Desk:
    """The window's own control state: absolute, so that every message is complete.

    A control is held by a slider, led by the pointer (`look`), or free; free controls stay with the other
    drivers, idle life among them. The pointer overrides the sliders while it leads.
    """

    def __init__(self) -> None:
        self.held: dict[str, float] = {}
        self.look: dict[str, float] = {}
        self.identity: str | int | None = None
        self.mix_identity: str | int | None = None
        self.mix_amount = 0.5
        self.truncation_psi: float | None = None
        self.expression: str | None = None
        self._mixed: str | int | None = None
        self._calibrate = False
        self._changed = False
        self._control_id = 0

    def hold(self, name: str, value: float) -> None:
        """Hold a control at a value, in natural units."""
        self._changed |= self.held.get(name) != value
        self.held[name] = value

    def release(self, name: str) -> None:
        """Give a control back to the other drivers."""
        self._changed |= self.held.pop(name, None) is not None

    def lead(self, look: dict[str, float]) -> None:
        """Set what the pointer asks for; an empty dictionary releases these controls."""
        self._changed |= look != self.look
        self.look = look

    def choose_identity(self, identity: str | int) -> None:
        """Change to another identity, a name or a seed."""
        self.identity = identity
        self._changed = True

    def choose_mix(self, identity: str | int | None) -> None:
        """Mix a second identity in, or none."""
        self._changed |= identity != self.mix_identity
        self.mix_identity = identity

    def set_mix_amount(self, amount: float) -> None:
        """Set how much of the second identity shows, 0..1."""
        self._changed |= amount != self.mix_amount and self.mix_identity is not None
        self.mix_amount = amount

    def set_truncation(self, psi: float) -> None:
        """Set how far a drawn identity may be from the average, 0..1."""
        self._changed |= psi != self.truncation_psi
        self.truncation_psi = psi

    def toggle_expression(self, name: str) -> None:
        """Fade to an expression, or to none if it is the one shown."""
        self.expression = "" if self.expression == name else name
        self._changed = True

    def calibrate(self) -> None:
        """Take the user's current pose as neutral, with the next message."""
        self._calibrate = True
        self._changed = True

    def reset(self) -> None:
        """Release every control, expression and mixture. The identity stays: changing it is a choice, not a pose."""
        self.held.clear()
        self.look = {}
        self.mix_identity = None
        if self.expression is not None:
            self.expression = ""
        self._changed = True

    def say_again(self) -> None:
        """Send the state again, for a restarted producer, if anything was ever set."""
        self._changed |= self._control_id > 0

    def take(self, now_ns: int) -> ControlState | None:
        """Return the state if it changed since the last call.

        Args:
            now_ns: this machine's monotonic clock; the producer echoes it for motion-to-photon.

        Returns:
            The message to send, or None if nothing changed.
        """
        if not self._changed:
            return None
        self._control_id += 1
        state = ControlState(
            control_id=self._control_id,
            timestamp_ns=now_ns,
            controls={**self.held, **self.look},
            identity=self.identity,
            mix=self._mix(),
            truncation_psi=self.truncation_psi,
            expression=self.expression,
            calibrate=self._calibrate,
        )
        self._changed = self._calibrate = False
        return state

    def _mix(self) -> IdentityMix | None:
        """Return the mixture; a removed mixture is sent as amount 0, since None means "unchanged"."""
        if self.mix_identity is not None:
            self._mixed = self.mix_identity
            return IdentityMix(identity=self.mix_identity, amount=self.mix_amount)
        return None if self._mixed is None else IdentityMix(identity=self._mixed, amount=0.0)
