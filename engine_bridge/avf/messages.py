"""Records exchanged by a producer and its clients.

`wire.py` and `control_wire.py` encode them. The same records are used inside one process, where a window meets the live
loop directly.

Records travel under their own field names where size does not matter (`StreamInfo` in a welcome, `LiveStats` in a
heartbeat); a `ControlState` travels under the short keys of `docs/protocol.md`.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class LinkState(Enum):
    """State of a client's link to its producer."""

    LIVE = "live"  # a valid message arrived within the last 1.5 s
    STALE = "stale"  # silent for 1.5 s: hold the last frame, optionally fade it
    LOST = "lost"  # silent for 5 s, said bye, or never heard
    ERROR = "error"  # messages cannot be used; reconnecting with growing pauses
    INCOMPATIBLE = "incompatible"  # the producer speaks another major version; no retries


class ControlSpec(msgspec.Struct, frozen=True):
    """One control that a stream takes.

    Attributes:
        name: from the one vocabulary, lowerCamelCase.
        minimum: values below are clamped to it; degrees for poses and gaze, otherwise 0..1 or -1..1.
        maximum: values above are clamped to it.
        rest: value when no driver moves the character.
        group: heading in user interfaces.
    """

    name: str
    minimum: float
    maximum: float
    rest: float
    group: str = ""


class ExpressionSpec(msgspec.Struct, frozen=True):
    """A named expression of the character.

    Attributes:
        name: value for `ControlState.expression`.
        hotkey: key that a window offers for it, for example `1`; empty for none.
    """

    name: str
    hotkey: str = ""


class Provenance(msgspec.Struct, frozen=True):
    """Provenance of a stream's pictures; sent with the first frame and every heartbeat.

    Attributes:
        ai: true when the pictures are made by a neural network.
        model: digest of the character's generator, empty if unknown.
        generator: name and version of the program that makes the pictures.
        source: licence or consent reference of the character.
    """

    ai: bool = True
    model: str = ""
    generator: str = ""
    source: str = ""


class StreamInfo(msgspec.Struct, frozen=True):
    """What a stream shows and which controls it takes; the answer to a client's hello.

    Attributes:
        session: random number, new at every start of the producer, unsigned 64 bit.
        stream: name of the stream, ASCII letters, digits, `.`, `_`, `-`.
        character: name of the character.
        width: of the frames, in pixels; may change while the stream runs.
        height: of the frames, in pixels; may change while the stream runs.
        fps: target frames per second.
        controls: what `ControlState.controls` may name, with ranges.
        identities: names that `ControlState.identity` may hold.
        expressions: names that `ControlState.expression` may hold.
        has_mapping: true if `ControlState.identity` may also be a number, a seed.
        provider: the engine and provider in use when the stream began, for example `onnxruntime/CPU fp32`.
    """

    session: int
    stream: str
    character: str
    width: int
    height: int
    fps: float
    controls: list[ControlSpec]
    identities: list[str] = []
    expressions: list[ExpressionSpec] = []
    has_mapping: bool = False
    provider: str = ""


class IdentityMix(msgspec.Struct, frozen=True):
    """A second identity and how much of it is mixed in.

    Attributes:
        identity: a name, or a seed where the stream has a mapping network.
        amount: 0 is only the first identity, 1 is only this one.
    """

    identity: str | int
    amount: float


class ControlState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one client wants at this moment. Absolute: the latest state wins and a lost one does no harm.

    A client repeats what it wants to hold. Anything left out (a control not named, a field that is None)
    stays with the other drivers or unchanged.

    Attributes:
        control_id: strictly increasing per client; 0 lets `ControlClient.send` assign it.
        timestamp_ns: the sender's monotonic clock, echoed in `Frame.control_timestamp_ns`; 0 lets
            `ControlClient.send` stamp it.
        controls: values in natural units by name; only these are held, the others stay with the other drivers.
        identity: name of an identity, or a seed where the stream has a mapping network.
        mix: a second identity to mix in.
        truncation_psi: 0..1, factor on the `z` of a drawn identity; lower values draw more average people.
        expression: named expression to fade to; the empty string fades to none.
        calibrate: take the current pose as neutral. An event rather than a state: it is kept when a newer
            state supersedes it in transit.
    """

    control_id: int = 0
    timestamp_ns: int = 0
    controls: dict[str, float] = {}
    identity: str | int | None = None
    mix: IdentityMix | None = None
    truncation_psi: float | None = None
    expression: str | None = None
    calibrate: bool = False


class LiveStats(msgspec.Struct, frozen=True, kw_only=True):
    """Live-loop statistics; in every heartbeat and in the window's overlay.

    Attributes:
        provider: the engine and provider in use.
        engine_note: why this engine or rate is in use, or what is being prepared; for people.
        engine_ms_p50: median time of one inference, milliseconds.
        engine_ms_p99: its 99th percentile.
        fps: frames per second actually rendered.
        target_fps: target frames per second.
        dropped: frames skipped because they would have been late, since the start.
        motion_to_photon_ms: median from a control's timestamp to its echo, None until known.
        driver: name of the driver that moves the character now.
        frame_age_ms_p50: median age of a frame when a subscriber takes it, None until known.
        subscribers: number of clients watching.
        connections: number of connections to both channels, watching or not.
        over_limits: how often each limit of docs/protocol.md was exceeded, by name, since the start.
    """

    provider: str = ""
    engine_note: str = ""
    engine_ms_p50: float = 0.0
    engine_ms_p99: float = 0.0
    fps: float = 0.0
    target_fps: float = 0.0
    dropped: int = 0
    motion_to_photon_ms: float | None = None
    driver: str = ""
    frame_age_ms_p50: float | None = None
    subscribers: int = 0
    connections: int = 0
    over_limits: dict[str, int] = {}


class ClientStats(msgspec.Struct, frozen=True, kw_only=True):
    """A client's report, once per second, on the frames it shows.

    Attributes:
        shown: frames taken since the client started.
        dropped: frames that never arrived (gaps in the numbers) or were superseded before they were taken.
        age_p50_ms: median age of a frame when it was taken.
        age_p99_ms: its 99th percentile.
    """

    shown: int = 0
    dropped: int = 0
    age_p50_ms: float = 0.0
    age_p99_ms: float = 0.0
