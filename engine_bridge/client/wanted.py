"""What a client wants of a character right now, changed by the verbs of docs/protocol.md. Opens no connection.

Twins: engine_bridge/native/include/bunraku/wanted.hpp, godot/addons/bunraku/core/wanted.gd, web/page/bunraku/wanted.js.
"""

from __future__ import annotations

from typing import Final

from engine_bridge.avf.control_wire import MAX_SEED
from engine_bridge.avf.messages import ControlState, IdentityMix
from engine_bridge.avf.plain_numbers import plain_float
from engine_bridge.errors import WireError

MAX_CONTROLS: Final = 256


class Wanted:
    """A control state that is kept between changes and always sent complete. For one thread.

    A verb given a value that cannot be sent raises `WireError` and changes nothing. Once per tick:

        if (state := wanted.take()) is not None:
            client.send(state)

    Attributes:
        controls: held controls by name, natural units; change them with the verbs only.
        identity: name or seed to become; None if the producer is to keep its own.
        truncation_psi: 0..1; None likewise.
        expression: name, "" for none; None likewise.
    """

    def __init__(self) -> None:
        self.controls: dict[str, float] = {}
        self.identity: str | int | None = None
        self.truncation_psi: float | None = None
        self.expression: str | None = None
        self._mix: IdentityMix | None = None
        self._calibrate = False
        self._changed = False
        self._ever_changed = False

    def hold(self, control: str, value: float) -> None:
        """Hold a control, in natural units: degrees for poses and gaze, otherwise 0..1; the producer clamps.

        Raises:
            WireError: the name is empty, the value is not a finite number, or 256 other controls are held.
        """
        if not control:
            raise WireError("the name of a control is empty")
        value = plain_float(value, control)
        if control not in self.controls and len(self.controls) >= MAX_CONTROLS:
            raise WireError(f"{control} is one control too many: {MAX_CONTROLS} can be held. Release some first")
        self._note(self.controls.get(control) != value)
        self.controls[control] = value

    def release(self, control: str) -> None:
        """Give a control back to the other drivers. One that is not held changes nothing."""
        self._note(self.controls.pop(control, None) is not None)

    def release_all(self) -> None:
        """Release all controls; identity, mix, truncation and expression stay."""
        self._note(bool(self.controls))
        self.controls.clear()

    def become(self, identity: str | int) -> None:
        """Become an identity: a name, or a seed where the character has a mapping network.

        Raises:
            WireError: the name is empty, or the seed is not within 0 and 2**63 - 1.
        """
        _check_identity(identity)
        self._note(self.identity != identity)
        self.identity = identity

    def leave_identity(self) -> None:
        """Stop sending an identity; the producer keeps the current one."""
        self._note(self.identity is not None)
        self.identity = None

    def mix(self, identity: str | int, amount: float) -> None:
        """Mix a second identity in.

        Args:
            identity: a name or a seed, as for `become`.
            amount: 0 is all the first identity, 1 is all this one.

        Raises:
            WireError: as for `become`; or the amount is outside 0..1.
        """
        _check_identity(identity)
        self._put_mix(IdentityMix(identity, _share(amount, "the amount of a mix")))

    def end_mix(self) -> None:
        """End the mix, if there is one. Sent as an amount of 0, because a producer keeps what is left out."""
        if self._mix is not None:
            self._put_mix(IdentityMix(self._mix.identity, 0.0))

    def truncate(self, psi: float) -> None:
        """Set the truncation of people drawn from seeds, 0..1; less draws more ordinary ones.

        Raises:
            WireError: it is outside 0..1.
        """
        psi = _share(psi, "truncation")
        self._note(self.truncation_psi != psi)
        self.truncation_psi = psi

    def leave_truncation(self) -> None:
        """Stop sending a truncation; the producer keeps the current one."""
        self._note(self.truncation_psi is not None)
        self.truncation_psi = None

    def express(self, expression: str) -> None:
        """Fade to a named expression; the empty name fades to none."""
        self._note(self.expression != expression)
        self.expression = expression

    def leave_expression(self) -> None:
        """Stop sending an expression; the producer keeps the current one."""
        self._note(self.expression is not None)
        self.expression = None

    def calibrate(self) -> None:
        """Take the present pose of a tracker as the neutral one: an event, sent with the next state only."""
        self._calibrate = True
        self._note(True)

    def repeat(self) -> None:
        """Make the next `take` return everything again, if anything was ever changed."""
        self._changed = self._ever_changed

    def take(self) -> ControlState | None:
        """The whole state if it changed since the last call, for `ControlClient.send` to number and stamp."""
        if not self._changed:
            return None
        state = ControlState(
            controls=dict(self.controls),
            identity=self.identity,
            mix=self._mix,
            truncation_psi=self.truncation_psi,
            expression=self.expression,
            calibrate=self._calibrate,
        )
        self._changed = self._calibrate = False
        return state

    def _put_mix(self, mix: IdentityMix) -> None:
        self._note(self._mix != mix)
        self._mix = mix

    def _note(self, changed: bool) -> None:
        self._changed |= changed
        self._ever_changed |= changed


def _check_identity(identity: str | int) -> None:
    if identity == "" or (not isinstance(identity, str) and not 0 <= identity <= MAX_SEED):
        raise WireError(f"{identity!r} is not a valid identity; give a name, or a seed from 0 to {MAX_SEED}")


def _share(amount: float, what: str) -> float:
    amount = plain_float(amount, what)
    if not 0.0 <= amount <= 1.0:
        raise WireError(f"{what} is {amount}; give 0 to 1")
    return amount
