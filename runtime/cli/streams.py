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
    """List this user's streams on this machine.

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
        say("No stream is playing on this machine. Start one with: bunraku live")
    if as_json:
        say_json({"command": "streams", "streams": places})


def place_to_watch(where: str | None, stream: str | None, keys: ClientKeys | None) -> tuple[str, str | None]:
    """Return the endpoint that the command line means, and the stream's name if found by name.

    Args:
        where: an endpoint, the name of a stream on this machine, or None for the only one, now or later.
        stream: an explicit name.
        keys: to be used.

    Raises:
        WireError: there is no such stream, there are several, or it needs other keys.
        PrivateFileError: the streams on this machine cannot be listed.
    """
    from engine_bridge.access.discovery import find_endpoint, find_streams
    from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT
    from engine_bridge.errors import WireError

    if where is not None and "://" in where:
        return where, None
    if where is None and not any(stream in (None, place.stream) for place in find_streams()):
        return DEFAULT_FRAMES_ENDPOINT, None  # a stream that starts there later is shown
    place = find_endpoint(where or stream)
    if place.server_key and keys is None:
        raise WireError(f"The stream {place.stream} requires a key. Give a file from `bunraku keys add`: --key FILE")
    if keys is not None and keys.server != place.server_key:
        raise WireError(f"The key file belongs to another producer, not that of the stream {place.stream}")
    return place.frames, place.stream
