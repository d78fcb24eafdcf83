"""`bunraku streams`, and which stream `bunraku view` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.terminal import say, say_json, table

from .options import JsonOption
from .reporting import reporting

if TYPE_CHECKING:
    from engine_bridge.access.keys import ClientKeys


@reporting
def streams(as_json: JsonOption = False) -> None:
    """List the streams that are played on this machine by this user.

    Example: `bunraku streams --json`
    """
    from engine_bridge.access.discovery import find_streams

    places = find_streams()
    if places:
        rows = [
            (place.stream, place.frames, place.control or "none", "yes" if place.server_key else "no", str(place.pid))
            for place in places
        ]
        table(["stream", "frames", "controls", "keys", "process"], rows)
    else:
        say("No stream is played on this machine. Start one with: bunraku live")
    if as_json:
        say_json({"command": "streams", "streams": places})


def place_to_watch(where: str | None, stream: str | None, keys: ClientKeys | None) -> tuple[str, str | None]:
    """The endpoint that the command line means, and the stream's name if it was found by that.

    Args:
        where: an endpoint, the name of a stream on this machine, or None for the only one, wherever it will be.
        stream: a name given beside it.
        keys: that will be used.

    Raises:
        WireError: there is no such stream, there are several, or it needs other keys.
        PrivateFileError: this machine's streams cannot be looked for.
    """
    from engine_bridge.access.discovery import find_endpoint, find_streams
    from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT
    from engine_bridge.errors import WireError

    if where is not None and "://" in where:
        return where, None
    if where is None and not any(stream in (None, place.stream) for place in find_streams()):
        return DEFAULT_FRAMES_ENDPOINT, None  # whoever plays there later is watched
    place = find_endpoint(where or stream)
    if place.server_key and keys is None:
        raise WireError(f"The stream {place.stream} asks for keys. Give a file from `bunraku keys add`: --key FILE")
    if keys is not None and keys.server != place.server_key:
        raise WireError(f"The key file is for another producer than that of the stream {place.stream}")
    return place.frames, place.stream
