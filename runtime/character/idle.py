"""Idle life: blinks, breath, wandering eyes, small motions of head and body.

A pure function of a seed and a time: the same character at the same second always looks the same, at any frame
rate and from any starting point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

_EPOCH_S: Final = 60.0  # events are drawn per minute, so that any time can be looked up directly


class IdleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Idle-life settings, `idle.json`. An amount of 0 switches a part off.

    Attributes:
        blink_interval_s: mean time between blinks; people at rest blink every three to five seconds.
        double_blink_chance: how often a second blink follows at once.
        blink_close_s: time in which the lid falls.
        blink_open_s: time in which it rises; about twice as long.
        blink_amount: how far the lid falls, 1 closes the eye.
        breath_period_s: one breath in and out.
        breath_amount: depth of breath.
        saccade_interval_s: mean time between movements of the eyes.
        gaze_yaw_deg: how far the eyes wander to the sides (standard deviation).
        gaze_pitch_deg: how far they wander up and down.
        head_deg: how far the head moves.
        head_period_s: time scale of that.
        body_deg: how far the body sways.
        hair_amount: how strongly hair follows the head, and moves by itself.
    """

    blink_interval_s: float = 4.0
    double_blink_chance: float = 0.14
    blink_close_s: float = 0.08
    blink_open_s: float = 0.18
    blink_amount: float = 1.0
    breath_period_s: float = 4.2
    breath_amount: float = 1.0
    saccade_interval_s: float = 1.6
    gaze_yaw_deg: float = 5.0
    gaze_pitch_deg: float = 2.5
    head_deg: float = 2.2
    head_period_s: float = 6.0
    body_deg: float = 1.2
    hair_amount: float = 1.0

    def check(self) -> None:
        """Reject impossible settings.

        Raises:
            ValueError: names the field.
        """
        for name in self.__struct_fields__:
            value = getattr(self, name)
            positive = name.endswith("_s")
            if not math.isfinite(value) or value < (0.01 if positive else 0.0) or value > 120.0:
                raise ValueError(f"{name} is {value}, outside {'0.01' if positive else '0'}..120")
        if self.blink_interval_s < 0.5 or self.saccade_interval_s < 0.2:
            raise ValueError("blink_interval_s must be at least 0.5 and saccade_interval_s at least 0.2")


@dataclass(frozen=True, slots=True)
class _Epoch:
    """The events of one minute: times of blinks; times and targets of eye movements."""

    blinks: tuple[float, ...]
    saccades: tuple[tuple[float, float, float], ...]  # (time, yaw, pitch), the first at the start of the minute


class IdleLife:
    """Idle life of one character."""

    def __init__(self, settings: IdleSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or IdleSettings()
        self._seed = seed
        # A method-level cache would keep every instance alive; this one dies with its instance.
        self._epoch = lru_cache(maxsize=4)(self._draw_epoch)
        phases = np.random.Generator(np.random.Philox([seed, 0x1D1E]))
        self._phases: tuple[float, ...] = tuple(float(phase) for phase in phases.uniform(0.0, 2.0 * math.pi, 24))

    def sample(self, t_s: float) -> dict[str, float]:
        """Controls at this time in seconds; always the same names."""
        settings = self._settings
        blink = self._blink(t_s)
        yaw, pitch = self._gaze(t_s)
        slow_yaw, slow_pitch = self._slow_gaze(t_s)
        head, body = settings.head_deg, settings.body_deg
        pace = 1.0 / settings.head_period_s
        breath = self._breath(t_s)
        return {
            "eyeBlinkLeft": blink,
            # The two lids never close in exactly the same instant.
            "eyeBlinkRight": self._blink(t_s - 0.004),
            "gazeYaw": yaw,
            "gazePitch": pitch,
            # The head follows the eyes a little, late and softly, and is never quite still.
            "headYaw": head * self._wander(0, t_s, pace) + 0.25 * slow_yaw,
            "headPitch": 0.7 * head * self._wander(1, t_s, pace * 0.9) + 0.2 * slow_pitch + 0.4 * breath,
            "headRoll": 0.8 * head * self._wander(2, t_s, pace * 0.7),
            "breath": settings.breath_amount * breath,
            "bodyYaw": body * self._wander(3, t_s, pace * 0.5),
            "bodyPitch": 0.5 * body * self._wander(4, t_s, pace * 0.6),
            "bodyRoll": 0.8 * body * self._wander(5, t_s, pace * 0.45),
        }

    def _wander(self, channel: int, t_s: float, pace: float) -> float:
        """Smooth noise in about -1..1: three waves with incommensurable periods."""
        a, b, c = self._phases[channel * 3 : channel * 3 + 3]
        turn = 2.0 * math.pi * pace * t_s
        return 0.5 * math.sin(turn + a) + 0.3 * math.sin(1.618034 * turn + b) + 0.2 * math.sin(2.718282 * turn + c)

    def _breath(self, t_s: float) -> float:
        """0 empty, 1 full: in during two fifths of the period, out more slowly, with a rest."""
        phase = (t_s / self._settings.breath_period_s + self._phases[20] / (2.0 * math.pi)) % 1.0
        return _ease(phase / 0.4) if phase < 0.4 else 1.0 - _ease((phase - 0.4) / 0.5)

    def _blink(self, t_s: float) -> float:
        settings = self._settings
        epoch = math.floor(t_s / _EPOCH_S)
        closed = 0.0
        for index in (epoch - 1, epoch):
            for start in self._epoch(index).blinks:
                closed = max(closed, lid(t_s - start, settings.blink_close_s, settings.blink_open_s))
        return settings.blink_amount * closed

    def _gaze(self, t_s: float) -> tuple[float, float]:
        epoch = math.floor(t_s / _EPOCH_S)
        start = end = self._epoch(epoch - 1).saccades[-1]
        for event in self._epoch(epoch).saccades:
            if event[0] > t_s:
                break
            start, end = end, event
        return _saccade(t_s - end[0], (start[1], start[2]), (end[1], end[2]))

    def _slow_gaze(self, t_s: float) -> tuple[float, float]:
        """The gaze as a slow head follows it: a weighted mean over the last second."""
        looks = [self._gaze(t_s - offset) for offset in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)]
        return sum(yaw for yaw, _ in looks) / len(looks), sum(pitch for _, pitch in looks) / len(looks)

    def _draw_epoch(self, index: int) -> _Epoch:
        # SeedSequence rejects negative numbers; minutes before the start exist because sampling looks back.
        random = np.random.Generator(np.random.Philox([self._seed, index % (1 << 32)]))
        settings = self._settings
        start, end = index * _EPOCH_S, (index + 1) * _EPOCH_S

        blinks: list[float] = []
        # Intervals between blinks are skewed: many short, few long; a log-normal with this spread fits people at rest.
        at = start + float(random.uniform(0.2, 1.0)) * settings.blink_interval_s
        while at < end:
            blinks.append(at)
            length = settings.blink_close_s + settings.blink_open_s
            if random.random() < settings.double_blink_chance:
                blinks.append(at + length + float(random.uniform(0.02, 0.12)))
            interval = settings.blink_interval_s * float(random.lognormal(-0.125, 0.5))
            at += min(max(interval, length + 0.3), 4.0 * settings.blink_interval_s)

        saccades: list[tuple[float, float, float]] = []
        at = start
        while at < end:
            # Half of all looks return to the viewer.
            away = 0.0 if random.random() < 0.5 else 1.0
            yaw, pitch = random.normal(0.0, 1.0, 2) * away
            yaw = float(np.clip(yaw, -2.2, 2.2)) * settings.gaze_yaw_deg
            pitch = float(np.clip(pitch, -2.2, 2.2)) * settings.gaze_pitch_deg
            saccades.append((at, yaw, pitch))
            at += settings.saccade_interval_s * min(max(float(random.gamma(2.0, 0.5)), 0.25), 4.0)
        return _Epoch(tuple(blinks), tuple(saccades))


def lid(t_s: float, close_s: float, open_s: float) -> float:
    """How far a lid is down `t_s` after a blink began: it falls fast and rises more slowly, slowest at the end."""
    if t_s <= 0.0 or t_s >= close_s + open_s:
        return 0.0
    if t_s < close_s:
        return _ease(t_s / close_s)
    x = (t_s - close_s) / open_s
    return (1.0 - x) * (1.0 - x) * (1.0 + 2.0 * x)


def _ease(x: float) -> float:
    x = min(1.0, max(0.0, x))
    return x * x * (3.0 - 2.0 * x)


def _saccade(t_s: float, start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """Between two fixations; the duration grows with the angle (main sequence, Bahill 1975: 2.2 ms/deg + 21 ms)."""
    angle = math.hypot(end[0] - start[0], end[1] - start[1])
    x = _ease(t_s / (0.021 + 0.0022 * angle))
    return start[0] + x * (end[0] - start[0]), start[1] + x * (end[1] - start[1])


class HairSway:
    """Hair as a damped spring dragged along by the head. Stateful, so the stage steps it frame by frame."""

    def __init__(self, amount: float = 1.0) -> None:
        self._amount = amount
        self._position = 0.0
        self._speed = 0.0
        self._head = 0.0
        self._last_ns: int | None = None

    def step(self, now_ns: int, *, head_yaw: float, head_roll: float) -> float:
        """`hairSway` (-1..1) at this time; angles in degrees."""
        head = head_yaw + 0.7 * head_roll
        if self._last_ns is None or not 0 < now_ns - self._last_ns < 500_000_000:
            self._last_ns, self._head = now_ns, head
            return self._amount * self._position
        dt = (now_ns - self._last_ns) / 1e9
        drag = (head - self._head) / dt
        self._last_ns, self._head = now_ns, head
        # 1.4 Hz, lightly damped; small steps keep it stable at low frame rates.
        steps = max(1, math.ceil(dt / 0.008))
        for _ in range(steps):
            step = dt / steps
            force = -77.0 * self._position - 5.0 * self._speed - 0.35 * drag
            self._speed += force * step
            self._position += self._speed * step
        self._position = min(1.0, max(-1.0, self._position))
        return min(1.0, max(-1.0, self._amount * self._position))
