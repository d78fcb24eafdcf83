"""Offline rendering of a recording of controls to a film, frame by frame, without clock, socket or window.

The same character, controls, options and engine give the same pixels; on the CPU also the same file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_bridge.errors import SinkError
from runtime.character.about import note_about
from runtime.character.role import Role
from runtime.drivers.base import Driver
from runtime.drivers.idle import IdleDriver
from runtime.drivers.port import ControlPort
from runtime.drivers.recording import RecordingDriver, from_neutral, read_recording
from runtime.drivers.table import Drivers
from runtime.engines.base import Engine
from runtime.sinks.films import Film, Layout, Pixels, check_film_path, parse_colour, write_film

from .performer import DEFAULT_PSI, Performer
from .stage import Stage

MAX_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """Render settings.

    Attributes:
        controls: the recording.
        out: `.mp4`, `.webp`, or a folder for `.png`.
        fps: frames per second of the film.
        identity: name or seed, None for the first name.
        truncation_psi: factor on `z`, 0..1; lower values draw more average people.
        start_s: where in the recording to begin.
        seconds: duration, None for all of it.
        speed: 2 plays the recording twice as fast.
        background: what shows through in an `.mp4`.
        layout: how an `.mp4` represents alpha.
        idle: add idle life where the recording sets nothing.
        neutral: `median` or a time in seconds: the neutral pose of the recording; empty for none.
    """

    controls: Path
    out: Path
    fps: float = 30.0
    identity: str | int | None = None
    truncation_psi: float = DEFAULT_PSI
    start_s: float = 0.0
    seconds: float | None = None
    speed: float = 1.0
    background: str = "#202428"
    layout: Layout = "flat"
    idle: bool = True
    neutral: str = ""


def render(
    role: Role, engine: Engine, settings: RenderSettings, *, progress: Callable[[int, int], None] | None = None
) -> tuple[int, tuple[str, ...]]:
    """Render a recording to a file.

    Args:
        role: the character.
        engine: active.
        settings: what to render.
        progress: called with (frames done, frames in all).

    Returns:
        Number of frames written, and warnings about the recording.

    Raises:
        RecordingError: the controls cannot be read.
        SinkError: the film cannot be written; nothing half-written is left.
        CharacterError: there is no such identity.
        EngineError: the engine failed.
    """
    check_film_path(settings.out, settings.layout)
    background = parse_colour(settings.background)
    recording = read_recording(settings.controls)
    if settings.neutral:
        recording = from_neutral(recording, settings.neutral)
    left_s = max(0.0, recording.duration_s - settings.start_s) / settings.speed
    if settings.start_s > recording.duration_s:
        raise SinkError(
            f"{settings.controls.name} ends after {recording.duration_s:.2f} s, before --start {settings.start_s:g}."
        )
    length_s = left_s if settings.seconds is None else min(left_s, settings.seconds)
    total = max(1, math.floor(length_s * settings.fps + 1e-6))
    if total > MAX_FRAMES:
        raise SinkError(f"That would be {total} frames; the limit is {MAX_FRAMES}. Use --seconds or a lower --fps.")

    wire, window = ControlPort("wire"), ControlPort("window")
    player = RecordingDriver(recording, speed=settings.speed, loop=False, start_s=settings.start_s)
    layers: tuple[Driver, ...] = (IdleDriver(role.idle), player) if settings.idle else (player,)
    performer = Performer(
        role,
        engine,
        Drivers(layers, wire, window),
        identity=settings.identity,
        truncation_psi=settings.truncation_psi,
    )
    stage = Stage([performer])

    def frames() -> Iterator[Pixels]:
        for index in range(total):
            yield stage.tick(round(index * 1e9 / settings.fps))[0].pixels
            if progress is not None:
                progress(index + 1, total)

    film = Film(role.width, role.height, settings.fps, background, note_about(role), settings.layout)
    return write_film(settings.out, frames(), film), recording.warnings
