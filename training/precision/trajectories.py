"""What a character is asked to draw: poses and identities, as the runtime makes them. Knows stage and drivers, no nets.

Idle life, a little speech with changing moods, or a recording, each through the layers that play it live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine_bridge.avf.messages import ControlState
from runtime.character.role import Role
from runtime.drivers.base import Driver
from runtime.drivers.idle import IdleDriver
from runtime.drivers.port import ControlPort
from runtime.drivers.recording import Recording, RecordingDriver
from runtime.drivers.table import Drivers
from runtime.engines.base import Engine, EngineDescription, Floats, Pixels, Sizes
from runtime.live.performer import DEFAULT_PSI, Performer
from runtime.live.stage import Stage

_VISEMES: Final = ("aa", "ih", "ou", "ee", "oh")
_SYLLABLE_S: Final = 0.18  # about five and a half syllables a second, as people talk
_PHRASE_S: Final = 2.4
_PAUSE_S: Final = 0.8
_MOOD_S: Final = 3.0


@dataclass(frozen=True)
class Poses:
    """Inputs of a generator.

    Attributes:
        w: float32 [n, w_dim].
        controls: float32 [n, c], natural units.
    """

    w: Floats
    controls: Floats

    def __len__(self) -> int:
        return len(self.w)

    def take(self, rows: Sequence[int] | slice) -> Poses:
        """Some of them."""
        return Poses(self.w[rows], self.controls[rows])


def joined(parts: Sequence[Poses]) -> Poses:
    """One after the other."""
    return Poses(np.concatenate([p.w for p in parts]), np.concatenate([p.controls for p in parts]))


def people(role: Role, count: int) -> list[str | int]:
    """Whom to look at: the named, evenly spread, then seeds if the character draws new identities."""
    named: list[str | int] = list(role.latents.names)
    most = max(1, count // 2) if role.latents.has_mapping else count
    chosen = [named[i] for i in np.linspace(0, len(named) - 1, min(most, len(named))).astype(int)]
    return [*chosen, *range(1, 1 + count - len(chosen))] if role.latents.has_mapping else chosen


def latents(role: Role, who: Sequence[str | int]) -> Floats:
    """`w` of each, float32 [n, w_dim]."""
    return np.stack([role.latents.identity(key, truncation_psi=DEFAULT_PSI) for key in who])


def perform(
    role: Role,
    who: str | int,
    *,
    seconds: float,
    fps: float = 60.0,
    recording: Recording | None = None,
    speed: float = 1.0,
    start_s: float = 0.0,
    talks: bool = False,
    seed: int = 0,
) -> Poses:
    """Play without drawing and keep what would have been drawn.

    Args:
        role: the character.
        who: a name or a seed.
        seconds: how long, on the clock that the drivers see.
        fps: frames per second.
        recording: plays on top of idle life, in a loop.
        speed: of the clock that the drivers see; 0.25 is slow motion.
        start_s: where in the recording to begin.
        talks: visemes and changing moods on top of all.
        seed: of idle life and of what is said.
    """
    notes = _Notes(role)
    wire, window = ControlPort("wire"), ControlPort("window")
    player = RecordingDriver(recording, start_s=start_s) if recording is not None else None
    layers: tuple[Driver, ...] = (IdleDriver(role.idle, seed=seed), *((player,) if player else ()), wire)
    performer = Performer(role, notes, Drivers(layers, wire, window), identity=who)
    stage = Stage([performer])
    with notes:
        notes.seen.clear()  # the warm-up is no frame
        for frame in range(max(1, math.floor(seconds * fps / speed))):
            t_s = frame * speed / fps
            if talks:
                wire.offer(_talk(role, t_s, seed))
            stage.tick(round(t_s * 1e9))
    return Poses(np.concatenate([w for w, _ in notes.seen]), np.concatenate([c for _, c in notes.seen]))


def _talk(role: Role, t_s: float, seed: int) -> ControlState:
    """What somebody says and feels at this time: syllables in phrases with pauses, a mood every few seconds."""
    syllable, part = divmod(t_s / _SYLLABLE_S, 1.0)
    chance = np.random.Generator(np.random.Philox(key=np.array([seed, int(syllable)], np.uint64)))
    viseme = _VISEMES[int(chance.integers(len(_VISEMES)))]
    loud = float(chance.uniform(0.5, 1.0)) if t_s % (_PHRASE_S + _PAUSE_S) < _PHRASE_S else 0.0
    moods = ["", *(expression.name for expression in role.expressions)]
    return ControlState(
        controls={viseme: loud * math.sin(math.pi * part)},
        expression=moods[(int(t_s / _MOOD_S) + seed) % len(moods)],
    )


class _Notes(Engine):
    """Draws nothing and writes down what it was asked for."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        self.seen: list[tuple[Floats, Floats]] = []
        self._description = EngineDescription(
            "notes",
            "none",
            np.__version__,
            "fp32",
            1,
            Sizes(role.latents.w_dim, len(role.controls), role.width, role.height),
        )

    @property
    def description(self) -> EngineDescription:
        """What it takes."""
        return self._description

    def _load(self) -> None:
        self.seen = []

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:  # noqa: ARG002 - what every engine takes
        self.seen.append((w.copy(), controls.copy()))

    def _unload(self) -> None:
        pass
