"""The performer: one character, from its drivers to the pose and the identity to draw.

Drivers, filters and fades; time is an argument. Drawing and memory are the stage's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.avf.messages import ControlState, IdentityMix
from engine_bridge.clock import now_ns as monotonic_ns
from engine_bridge.errors import BunrakuError, ControlError
from engine_bridge.frame import Frame
from runtime.character.controls import Control, Values, derivation
from runtime.character.expressions import ExpressionFade
from runtime.character.idle import HairSway
from runtime.character.latents import IdentityFade
from runtime.character.role import Role
from runtime.drivers.base import Driver
from runtime.drivers.filters import OneEuroFilter, OneEuroSettings
from runtime.drivers.idle import IdleDriver
from runtime.drivers.port import ControlPort
from runtime.drivers.table import Drivers
from runtime.engines.base import Engine, Floats, Pixels

RELEASE_S: Final = 0.5  # how long a released control takes to return to the lower layers
DEFAULT_PSI: Final = 0.7
_TIMINGS: Final = 2048


class Timings:
    """The newest durations, for percentiles."""

    def __init__(self) -> None:
        self._ring = np.zeros(_TIMINGS, np.int64)
        self._count = 0

    def add(self, duration_ns: int) -> None:
        """Add a duration."""
        self._ring[self._count % _TIMINGS] = duration_ns
        self._count += 1

    def clear(self) -> None:
        """Forget all."""
        self._count = 0

    def percentile_ms(self, percent: float) -> float:
        """A percentile in milliseconds; 0 if there is no data."""
        if self._count == 0:
            return 0.0
        return float(np.percentile(self._ring[: min(self._count, _TIMINGS)], percent)) / 1e6

    def __len__(self) -> int:
        return min(self._count, _TIMINGS)


class _Layer:
    """One driver's controls over time: derived, smoothed, calibrated, faded in and out."""

    def __init__(self, driver: Driver, controls: tuple[Control, ...]) -> None:
        size = len(controls)
        self.driver = driver
        self._controls = controls
        self._low = np.array([control.minimum for control in controls], np.float32)
        self._high = np.array([control.maximum for control in controls], np.float32)
        self._rest = np.array([control.rest for control in controls], np.float32)
        self._signed = self._low < 0
        self._values = self._rest.copy()
        self._raw = self._rest.copy()
        self._weight = np.zeros(size, np.float32)
        self._neutral = self._rest.copy()
        self._gain = np.ones(size, np.float32)
        self._calibrated = False
        self._last_ns: int | None = None
        self._filter = (
            OneEuroFilter(size, OneEuroSettings(), scale=np.maximum(self._high - self._low, np.float32(1e-6)))
            if driver.smooth
            else None
        )

    def apply(self, pose: Values, now_ns: int) -> None:
        """Overlay `pose` (float32 [c], changed in place) with the controls this driver holds."""
        first = self._last_ns is None
        dt = 0.0 if self._last_ns is None else max(0.0, (now_ns - self._last_ns) / 1e9)
        self._last_ns = now_ns
        sample = self.driver.sample(now_ns)
        if sample is None:
            if self._filter is not None:
                self._filter.reset()
            np.maximum(self._weight - np.float32(dt / RELEASE_S), np.float32(0.0), out=self._weight)
        else:
            way = derivation(tuple(sample), self._controls)
            raw = way.apply(list(sample.values()))
            if self._filter is not None:
                raw = self._filter.step(raw, now_ns)
            np.copyto(self._raw, raw, where=way.held)
            values = self._from_neutral(raw) if self._calibrated else raw
            np.copyto(self._values, values, where=way.held)
            attack = self.driver.attack_s
            gain = np.float32(1.0 if attack <= 0.0 or first else dt / attack)
            change = np.where(way.held, gain, np.float32(-dt / RELEASE_S))
            np.clip(self._weight + change, 0.0, 1.0, out=self._weight)
        weight = self._weight
        pose += (weight * weight * (3.0 - 2.0 * weight)) * (self._values - pose)

    def calibrate(self) -> None:
        """Take the current values as neutral."""
        np.copyto(self._neutral, self._raw)
        # A weight that rests at 0.2 reaches 1 from there; no neutral face has its mouth wide open.
        limit = self._rest + np.float32(0.6) * (self._high - self._rest)
        unsigned = ~self._signed
        self._neutral[unsigned] = np.minimum(self._neutral, limit)[unsigned]
        self._gain.fill(1.0)
        span = np.maximum(self._high - self._neutral, np.float32(1e-6))
        self._gain[unsigned] = ((self._high - self._rest) / span)[unsigned]
        self._calibrated = True

    def _from_neutral(self, raw: Values) -> Values:
        moved: Values = (raw - self._neutral) * self._gain + self._rest
        return np.clip(moved, self._low, self._high, out=moved)


class Performer:
    """One character on the stage: its layers, its identity, its pose.

    Attributes:
        role: the character.
        engine: draws it; set by the stage.
        drivers: move it.
        stream: name in its frames.
        session: number in its frames.
        engine_times: of its latest inferences, or its shares of joint ones.
        last_engine_ns: the latest of them.
        bad_controls: control states that could not be used.
        last_bad_control: why the last of them could not.
        clock: measures inference.
    """

    def __init__(
        self,
        role: Role,
        engine: Engine,
        drivers: Drivers,
        *,
        identity: str | int | None = None,
        truncation_psi: float = DEFAULT_PSI,
        stream: str = "bunraku",
        session: int = 0,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        """Create the performer.

        Args:
            role: the character.
            engine: active; deactivated by its owner. Several performers of one character may share one.
            drivers: move it.
            identity: a name or a seed; None for the first name.
            truncation_psi: factor on `z`, 0..1; lower values draw more average people.
            stream: name in its frames.
            session: number in its frames.
            clock: only measures inference; the pose depends on the time given to `prepare`.

        Raises:
            CharacterError: there is no such identity.
        """
        self.role = role
        self.engine = engine
        self.drivers = drivers
        self.engine_times = Timings()
        self.last_engine_ns = 0
        self.bad_controls = 0
        self.last_bad_control = ""
        self.clock = clock
        self.stream = stream
        self.session = session
        self._frame_id = 0
        self._identity: str | int = role.latents.names[0] if identity is None else identity
        self._psi = truncation_psi
        self._mix: IdentityMix | None = None
        self._fade = IdentityFade(self._target_w(self._identity, self._mix, self._psi))
        self._layers = [_Layer(driver, role.controls) for driver in drivers.layers]
        self._expression = ExpressionFade(role.expressions, role.controls)
        row = {control.name: index for index, control in enumerate(role.controls)}
        self._hair = row.get("hairSway")
        self._head = (row.get("headYaw"), row.get("headRoll"))
        idle = next((layer for layer in drivers.layers if isinstance(layer, IdleDriver)), None)
        self._sway = HairSway(idle.settings.hair_amount if idle else 0.0)
        self._low = np.array([control.minimum for control in role.controls], np.float32)
        self._high = np.array([control.maximum for control in role.controls], np.float32)
        self._rest = np.array([control.rest for control in role.controls], np.float32)
        self._pose = self._rest.copy()
        self._w = np.empty(role.latents.w_dim, np.float32)
        self._control_id = 0
        self._control_timestamp_ns = 0

    @property
    def pose(self) -> npt.NDArray[np.float32]:
        """The controls of the newest frame, float32 [c], natural units; overwritten by the next one."""
        pose: npt.NDArray[np.float32] = self._pose
        return pose

    @property
    def expression(self) -> str:
        """The named expression that is shown or on its way; empty for none."""
        return self._expression.name

    def seat(self, w: Floats, pose: Floats) -> None:
        """Use this memory for what is drawn from now on: float32 [w_dim] and [c], rows of a batch."""
        pose[:] = self._pose
        self._w, self._pose = w, pose

    def prepare(self, now_ns: int) -> None:
        """Compute identity and pose at this time, into the seat's memory."""
        for port in (self.drivers.wire, self.drivers.window):
            self._listen(port, now_ns)
        self._move(now_ns)
        self._w[:] = self._fade.value(now_ns)

    def frame(self, pixels: Pixels, now_ns: int, *, started_ns: int, took_ns: int) -> Frame:
        """The picture, uint8 [H, W, 4], that answers `prepare`, with its metadata as a frame."""
        self._frame_id += 1
        self.last_engine_ns = took_ns
        self.engine_times.add(took_ns)
        return Frame(
            pixels=pixels,
            frame_id=self._frame_id,
            session=self.session,
            stream=self.stream,
            capture_ns=now_ns,
            render_start_ns=started_ns,
            publish_ns=0,
            control_id=self._control_id,
            control_timestamp_ns=self._control_timestamp_ns,
            provider=self.engine.description.label,
        )

    def _listen(self, port: ControlPort, now_ns: int) -> None:
        """Take incoming states; one that cannot be used is counted, and the one before it stays."""
        previous = port.current
        state = port.take(now_ns)
        if state is None:
            return
        try:
            self._obey(state, now_ns)
        except BunrakuError as error:
            port.reject(previous)
            self.bad_controls += 1
            self.last_bad_control = f"{port.name}: {error}"
            return
        self._control_id = state.control_id
        self._control_timestamp_ns = state.timestamp_ns

    def _obey(self, state: ControlState, now_ns: int) -> None:
        derivation(tuple(state.controls), self.role.controls)  # an unknown name must fail here, not inside a layer
        if not all(map(math.isfinite, state.controls.values())):
            broken = next(name for name, value in state.controls.items() if not math.isfinite(value))
            raise ControlError(f'control "{broken}" is not a finite number')
        identity = self._identity if state.identity is None else state.identity
        psi = self._psi if state.truncation_psi is None else state.truncation_psi
        mix = self._mix if state.mix is None else state.mix
        if (identity, psi, mix) != (self._identity, self._psi, self._mix):
            self._fade.go_to(self._target_w(identity, mix, psi), now_ns)
            self._identity, self._psi, self._mix = identity, psi, mix
        if state.expression is not None:
            self._expression.go_to(state.expression, now_ns)
        if state.calibrate:
            for layer in self._layers:
                if layer.driver.tracks:
                    layer.calibrate()

    def _target_w(self, identity: str | int, mix: IdentityMix | None, psi: float) -> npt.NDArray[np.float32]:
        latents = self.role.latents
        w = latents.identity(identity, truncation_psi=psi)
        if mix is None or mix.amount == 0.0:
            return w
        return latents.mixture(w, latents.identity(mix.identity, truncation_psi=psi), mix.amount)

    def _move(self, now_ns: int) -> None:
        """Compute the current pose."""
        pose = self._pose
        yaw, roll = self._head
        head_yaw = float(pose[yaw]) if yaw is not None else 0.0
        head_roll = float(pose[roll]) if roll is not None else 0.0
        np.copyto(pose, self._rest)
        if self._hair is not None:
            pose[self._hair] += self._sway.step(now_ns, head_yaw=head_yaw, head_roll=head_roll)
        for layer in self._layers:
            layer.apply(pose, now_ns)
        if self._expression.active:
            pose += self._expression.value(now_ns)
        np.clip(pose, self._low, self._high, out=pose)
