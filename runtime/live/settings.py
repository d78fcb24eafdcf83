"""Settings of a live loop besides drawing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine_bridge.access.keys import ServerKeys
from runtime.sinks.films import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """Settings of the loop besides drawing.

    Attributes:
        fps: target frames per second.
        publish: endpoint for frames, None for none.
        control: endpoint for the first person's controls, None for none; the others take free ports beside it.
        seconds: stop after this long, None for never.
        record: file for pictures or controls, None for none.
        background: shown behind transparent pixels in a film.
        sinks: other outputs for the newest picture, each as NAME:ARGUMENT; see `runtime.sinks.table`.
        layout: how alpha is represented where such a sink takes only RGB.
        measure: draw even without demand.
        keys: admit only clients on their list, from anywhere; None admits anyone on this machine.
        insecure: without keys, admit other machines as well.
        web: address of the page for browsers, None for none.
        web_origins: pages of other origins that may connect.
        web_token: required from browsers; None generates one where needed.
    """

    fps: float = 60.0
    publish: str | None = None
    control: str | None = None
    seconds: float | None = None
    record: Path | None = None
    background: str = "#202428"
    sinks: tuple[str, ...] = ()
    layout: Layout = "flat"
    measure: bool = False
    keys: ServerKeys | None = None
    insecure: bool = False
    web: str | None = None
    web_origins: tuple[str, ...] = ()
    web_token: str | None = None
