"""`bunraku web`, and the options for browsers that `bunraku live` shares with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import log_to_stderr, say

from .reporting import reporting

WebOption = Annotated[
    str | None,
    typer.Option("--web", help="Serve a page for browsers here, for example 127.0.0.1:5762.", show_default=False),
]
WebOriginOption = Annotated[
    list[str] | None,
    typer.Option("--web-origin", help="Another page origin that may connect, http://HOST:PORT; repeatable."),
]
WebTokenOption = Annotated[
    str | None,
    typer.Option(
        "--web-token",
        help="Token that browsers must present.  [default: none on this machine; otherwise a random one]",
        show_default=False,
    ),
]


@reporting
def web(
    endpoint: Annotated[str, typer.Argument(help="Endpoint of the frames.")] = "tcp://127.0.0.1:5760",
    *,
    web: Annotated[str, typer.Option(help="Address to serve the page at.")] = "127.0.0.1:5762",
    control: Annotated[
        str | None, typer.Option(help="Endpoint for controls; by default the producer's own.", show_default=False)
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the stream; the first one heard by default.", show_default=False)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="This client's key file from `bunraku keys add`.", show_default=False)
    ] = None,
    web_origin: WebOriginOption = None,
    web_token: WebTokenOption = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after N seconds.", show_default=False)] = None,
) -> None:
    """Serve a stream from another process to browsers: a page, and a relay for it.

    Example: `bunraku web tcp://127.0.0.1:5760 --web 127.0.0.1:5762`
    """
    import threading

    from engine_bridge.access.keys import read_client_keys
    from engine_bridge.web import WebRelay
    from runtime.live.play import stop_on_signals

    log_to_stderr()
    stop = threading.Event()
    with (
        WebRelay(
            web,
            frames_endpoint=endpoint,
            control_endpoint=control,
            stream=stream,
            token=web_token,
            origins=tuple(web_origin or ()),
            keys=None if key is None else read_client_keys(key),
        ) as relay,
        stop_on_signals(stop.set),
    ):
        say(f"page {relay.url}")
        sys.stdout.flush()
        stop.wait(seconds)
