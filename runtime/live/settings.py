"""What a live loop does besides drawing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine_bridge.access.keys import ServerKeys
from runtime.sinks.films import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What the loop does besides drawing.

    Attributes:
        fps: frames per second to aim at.
        publish: endpoint for frames, None for none.
        control: endpoint for the first person's controls, None for none; the others take free ports beside it.
        seconds: stop after so long, None for never.
        record: file for pictures or controls, None for none.
        background: what shows through in a film.
        sinks: what else is shown the newest picture, each as NAME:ARGUMENT; see `runtime.sinks.table`.
        layout: what becomes of alpha where such a sink takes only RGB.
        measure: draw even if nobody watches.
        keys: let clients on their list in, from anywhere, and nobody else; None lets everybody on this machine in.
        insecure: without keys, let other machines in as well.
        web: address of the page for browsers, None for none.
        web_origins: pages of other origins that may connect.
        web_token: that browsers must show; None draws one where one is needed.
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
