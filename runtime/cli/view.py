"""`bunraku view`: show a stream from another process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import log_to_stderr, say

from .options import Variant
from .reporting import reporting
from .streams import place_to_watch


@reporting
def view(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="ENDPOINT|NAME",
            help="Endpoint of the frames, or the name of a stream on this machine; the only one by default.",
            show_default=False,
        ),
    ] = None,
    *,
    key: Annotated[
        Path | None,
        typer.Option(help="Key file from `bunraku keys add`, for a producer with keys.", show_default=False),
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Endpoint for controls; by default the producer's own.", show_default=False)
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the stream; the first one heard by default.", show_default=False)
    ] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help="Pixel transport.  [default: shared memory on this machine, jpeg from another]",
            show_default=False,
        ),
    ] = None,
    background: Annotated[str, typer.Option(help="checkerboard, green, black, white or #rrggbb.")] = "checkerboard",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Close after N seconds.", show_default=False)] = None,
) -> None:
    """Show and control a stream from another process.

    Without ENDPOINT and without a stream on this machine it waits at tcp://127.0.0.1:5760 for one.

    Example: `bunraku view tcp://192.168.0.7:5760 --key laptop.client.toml`
    """
    from engine_bridge.access.endpoints import is_for_this_machine
    from engine_bridge.access.keys import read_client_keys
    from engine_bridge.errors import SinkError
    from engine_bridge.viewer.window import run_window
    from engine_bridge.viewer.wire_source import WireSource
    from runtime.machine import missing_display

    log_to_stderr()
    if reason := missing_display():
        raise SinkError(f"No window can be opened: {reason}. Run this on a machine with a screen.")
    client_keys = None if key is None else read_client_keys(key)
    endpoint, found = place_to_watch(where, stream, client_keys)
    if variant is None and not is_for_this_machine(endpoint):
        variant = Variant.jpeg  # raw frames saturate a network link
    with WireSource(
        endpoint, control=control, stream=stream or found, variant=variant and variant.value, keys=client_keys
    ) as source:
        say(f"watching {endpoint}" + (f" as {variant.value}" if variant else ""))
        sys.stdout.flush()
        run_window(source, title=f"{found or endpoint} - Bunraku", background=background, seconds=seconds, tell=say)
