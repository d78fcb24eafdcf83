"""Drivers: what moves a character, and how `--driver NAME[:ARGS]` is read.

Layers, from below: idle, recording, wire, window. A higher layer covers the controls that it holds and leaves the
others to the lower ones; when it lets go, they blend back within half a second.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine_bridge.errors import ControlError, DriverError
from runtime.controls import check_names
from runtime.idle import IdleSettings

from .base import ControlPort, Driver
from .idle import IdleDriver
from .recording import Recording, RecordingDriver, from_neutral, read_recording

__all__ = [
    "NAMES",
    "ControlPort",
    "Driver",
    "Drivers",
    "IdleDriver",
    "Recording",
    "RecordingDriver",
    "from_neutral",
    "open_drivers",
    "read_recording",
]

_WINDOW_NAMES: Final = ("mouse", "keyboard", "sliders")
NAMES: Final = ("idle", "recording", "wire", *_WINDOW_NAMES)
_WIRE_RANK, _WINDOW_RANK = 2, 3


@dataclass(frozen=True, slots=True)
class Drivers:
    """What moves one character.

    Attributes:
        layers: in the order in which they cover each other.
        wire: where states from sockets come in.
        window: where states from this process's window come in.
        warnings: what people should know, for example a torn line of a recording.
    """

    layers: tuple[Driver, ...]
    wire: ControlPort
    window: ControlPort
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The driver that leads, for the overlay: the highest layer that is no mere port, or else `idle`."""
        return next((layer.name for layer in reversed(self.layers) if not isinstance(layer, ControlPort)), "none")


def open_drivers(specs: Sequence[str], idle: IdleSettings, *, window: bool = True, person: int = 0) -> Drivers:
    """Make the drivers that a command line names.

    Idle life, the window and the wire are always there; a spec adds a recording or changes their options.

    Args:
        specs: `NAME[:ARGS]`; ARGS are `key=value` with commas, for `recording` a path first.
        idle: the character's idle settings.
        window: whether there is a window, so that mouse, keyboard and sliders can work.
        person: which of several people on one stage this is for; each has an idle life of its own.

    Raises:
        DriverError: the name or an option is unknown.
        RecordingError: a recording cannot be read.
    """
    idle_layer: IdleDriver | None = IdleDriver(idle, seed=person)
    wire = ControlPort("wire", _WIRE_RANK)
    port = ControlPort("window", _WINDOW_RANK)
    recordings: list[RecordingDriver] = []
    warnings: list[str] = []
    for spec in specs:
        name, _, rest = spec.partition(":")
        if name == "idle":
            options = _options(spec, rest.split(",") if rest else [], {"off": "", "seed": "0"})
            seed = _whole(spec, "seed", options["seed"])
            idle_layer = None if options["off"] else IdleDriver(idle, seed=seed + person)
        elif name == "recording":
            recordings.append(_recording(spec, rest, warnings))
        elif name == "wire":
            options = _options(spec, rest.split(",") if rest else [], {"timeout": "", "smooth": "off"})
            timeout = _number(spec, "timeout", options["timeout"], 0.01, 3600.0) if options["timeout"] else None
            smooth = _switch(spec, "smooth", options["smooth"])
            wire = ControlPort("wire", _WIRE_RANK, timeout_s=timeout, smooth=smooth, tracks=timeout is not None)
        elif name in _WINDOW_NAMES:
            if not window:
                raise DriverError(f"The driver {name} needs the window. Leave out --no-window.")
            options = _options(spec, rest.split(",") if rest else [], {"smooth": "off"})
            port = ControlPort("window", _WINDOW_RANK, smooth=_switch(spec, "smooth", options["smooth"]))
        else:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise DriverError(f'There is no driver "{name[:40]}".{hint} There are: {", ".join(NAMES)}.')
    first: list[Driver] = [idle_layer] if idle_layer else []
    return Drivers((*first, *recordings, wire, port), wire, port, tuple(warnings))


def _recording(spec: str, rest: str, warnings: list[str]) -> RecordingDriver:
    known = {"speed": "1", "loop": "on", "smooth": "off", "start": "0", "invert": "", "neutral": ""}
    parts = rest.split(",")
    words: list[str] = []
    # A path may hold commas and colons: only trailing parts that look like options are options.
    while len(parts) > 1 and parts[-1].partition("=")[0] in known and "=" in parts[-1]:
        words.insert(0, parts.pop())
    path = ",".join(parts)
    if not path:
        raise DriverError(f'"{spec}" names no file. Write recording:FILE, for example recording:take.csv,speed=0.5')
    options = _options(spec, words, known)
    inverted = tuple(filter(None, options["invert"].split("+")))
    try:
        check_names(inverted)
    except ControlError as error:
        raise DriverError(f'"{spec}": {error}') from error
    recording = read_recording(path, invert=inverted)
    warnings.extend(recording.warnings)
    if options["neutral"]:
        recording = from_neutral(recording, options["neutral"])
    return RecordingDriver(
        recording,
        speed=_number(spec, "speed", options["speed"], 0.01, 100.0),
        loop=_switch(spec, "loop", options["loop"]),
        smooth=_switch(spec, "smooth", options["smooth"]),
        start_s=_number(spec, "start", options["start"], 0.0, 1e6),
    )


def _options(spec: str, words: Sequence[str], known: dict[str, str]) -> dict[str, str]:
    options = dict(known)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in known:
            raise DriverError(f'"{spec}": there is no option "{key[:40]}". There are: {", ".join(known)}.')
        options[key] = value if equals else "on"
    return options


def _switch(spec: str, key: str, value: str) -> bool:
    if value.lower() not in ("on", "off"):
        raise DriverError(f'"{spec}": {key} is "{value[:40]}"; write on or off.')
    return value.lower() == "on"


def _number(spec: str, key: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise DriverError(f'"{spec}": {key} is "{value[:40]}"; write a number from {low:g} to {high:g}.')
    return number


def _whole(spec: str, key: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise DriverError(f'"{spec}": {key} is "{value[:40]}"; write a whole number.')
    return int(value)
