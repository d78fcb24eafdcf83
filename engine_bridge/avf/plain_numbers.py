"""Conversion of other libraries' numbers at the edge of the wire: numpy scalars become Python's."""

from __future__ import annotations

import operator
from typing import Any

import msgspec
import numpy as np

from engine_bridge.errors import MessageRejected, WireError

from .messages import ControlState, IdentityMix


def plain_state(state: ControlState) -> ControlState:
    """Return the state with plain Python numbers.

    Raises:
        MessageRejected: `number`, naming a value that is not a finite number; bools and strings are not.
    """
    mix = state.mix
    if mix is not None:
        mix = IdentityMix(_plain_identity(mix.identity, "mix"), plain_float(mix.amount, "mix"))
    psi = state.truncation_psi
    return msgspec.structs.replace(
        state,
        control_id=_plain_int(state.control_id, "control_id"),
        timestamp_ns=_plain_int(state.timestamp_ns, "timestamp_ns"),
        controls={name: plain_float(value, name) for name, value in state.controls.items()},
        identity=None if state.identity is None else _plain_identity(state.identity, "identity"),
        mix=mix,
        truncation_psi=None if psi is None else plain_float(psi, "truncation_psi"),
        calibrate=bool(state.calibrate),
    )


def plain_float(value: Any, name: str) -> float:
    """Convert a number of any library to a float.

    Raises:
        MessageRejected: `number`, naming a value that is not a finite number.
    """
    if type(value) is not float:
        if isinstance(value, bool | np.bool_ | np.ndarray) or not (
            hasattr(value, "__float__") or hasattr(value, "__index__")
        ):
            raise MessageRejected("number", f"{name} is {_shown(value)}, which is not a number")
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise MessageRejected("number", f"{name} is {_shown(value)}, which is not a number: {error}") from error
    if not -float("inf") < value < float("inf"):
        raise MessageRejected("number", f"{name} is not finite ({value}); leave such a control out")
    return float(value)


def plain(value: Any) -> int | float:
    """Convert a number of any library to Python's, for msgspec's `enc_hook`.

    Raises:
        WireError: it is not a number.
    """
    if not isinstance(value, bool | np.bool_ | np.ndarray):
        if hasattr(value, "__index__"):
            return operator.index(value)
        if hasattr(value, "__float__"):
            return float(value)
    raise WireError(f"{_shown(value)} cannot be sent; give a number, a text, True, False or None")


def _plain_identity(who: Any, name: str) -> str | int:
    return str(who) if isinstance(who, str) else _plain_int(who, name)


def _plain_int(value: Any, name: str) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise MessageRejected("number", f"{name} is {_shown(value)}, which is not a whole number")
    return operator.index(value)


def _shown(value: object) -> str:
    return f"{repr(value)[:64]} of type {type(value).__name__}"
