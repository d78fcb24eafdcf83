"""All kinds of drivers, and how a command line selects them.

Layers, from the bottom: idle, recording, wire, window. A higher layer covers the controls that it holds and leaves the
others to the lower ones; when it releases them, they blend back within half a second.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from engine_bridge.errors import DriverError
from runtime.character.idle import IdleSettings

from . import idle, port, recording
from .base import Driver, Kind, Source
from .options import parse_options
from .port import ControlPort

# In layer order, lowest first.
KINDS: Final = (idle.KIND, recording.KIND, port.WIRE, port.WINDOW)
NAMES: Final = tuple(name for kind in KINDS for name in kind.names)


@dataclass(frozen=True, slots=True)
class Drivers:
    """Drivers of one person.

    Attributes:
        layers: in layer order.
        wire: entry point for states from sockets.
        window: entry point for states from this process's window.
        warnings: for people, for example a torn line of a recording.
    """

    layers: tuple[Driver, ...]
    wire: ControlPort
    window: ControlPort
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The leading driver, for the overlay: the highest layer that is not a mere port, otherwise `idle`."""
        return next((layer.name for layer in reversed(self.layers) if not isinstance(layer, ControlPort)), "none")


class Sources:
    """Sources named on a command line, opened once for everyone on a stage. Close it or use it as a context manager."""

    def __init__(self, specs: Sequence[str], *, window: bool = True) -> None:
        """Open the sources.

        Args:
            specs: `NAME[:OPTIONS]`; idle life, the wire and the window are present without being named.
            window: whether there is a window, so that mouse, keyboard and sliders can work.

        Raises:
            DriverError: the name or an option is unknown, or a driver cannot be opened.
            RecordingError: a recording cannot be read.
        """
        asked: dict[Kind, list[msgspec.Struct]] = {kind: [kind.options()] if kind.always else [] for kind in KINDS}
        for spec in specs:
            kind = _kind_of(spec, window=window)
            options = parse_options(spec, kind.options)
            asked[kind] = [options] if kind.always else [*asked[kind], options]
        self._sources: list[tuple[Kind, Source]] = []
        with ExitStack() as unless_all_open:
            unless_all_open.callback(self.close)
            for kind, each in asked.items():
                for options in each:
                    self._sources.append((kind, kind.open(options)))
            unless_all_open.pop_all()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all sources, for people."""
        return tuple(warning for _, source in self._sources for warning in source.warnings)

    def drivers_of(self, settings: IdleSettings, *, person: int = 0) -> Drivers:
        """Create the drivers of one person.

        Args:
            settings: the character's idle settings.
            person: index among several people on one stage; each has its own idle life.
        """
        made = [(kind, source.driver(settings, person)) for kind, source in self._sources]
        ports = {kind: driver for kind, driver in made if isinstance(driver, ControlPort)}
        layers = tuple(driver for _, driver in made if driver is not None)
        return Drivers(layers, ports[port.WIRE], ports[port.WINDOW], self.warnings)

    def close(self) -> None:
        """Free all resources. Safe to call twice."""
        while self._sources:
            self._sources.pop()[1].close()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_drivers(specs: Sequence[str], settings: IdleSettings, *, window: bool = True, person: int = 0) -> Drivers:
    """Create the drivers of one person, for kinds that hold nothing open.

    Args:
        specs: as for `Sources`.
        settings: the character's idle settings.
        window: as for `Sources`.
        person: as for `Sources.drivers_of`.

    Raises:
        DriverError: as `Sources`.
        RecordingError: as `Sources`.
    """
    return Sources(specs, window=window).drivers_of(settings, person=person)


def _kind_of(spec: str, *, window: bool) -> Kind:
    name = spec.partition(":")[0]
    kind = next((kind for kind in KINDS if name in kind.names), None)
    if kind is None:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise DriverError(f'There is no driver "{name[:40]}".{hint} Available: {", ".join(NAMES)}.')
    if kind.in_window and not window:
        raise DriverError(f"The driver {name} needs the window. Omit --no-window.")
    return kind
