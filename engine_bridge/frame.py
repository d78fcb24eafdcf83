"""The frame: one picture and its metadata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a stream.

    All times are nanoseconds of the producer's monotonic clock (`engine_bridge.clock`), which all processes of one host
    share, so a client on the same host may subtract them from its own.

    Attributes:
        pixels: uint8 [H, W, 4], RGBA, row 0 on top, sRGB-encoded, straight alpha. The source of the frame owns
            the buffer and defines how long it stays valid.
        frame_id: strictly increasing within a session; a gap is a dropped frame.
        session: random number, new at every start of the producer.
        stream: name of the stream, ASCII.
        capture_ns: when the controls that this frame shows were sampled.
        render_start_ns: when inference began.
        publish_ns: when the frame was handed to the sinks, 0 before that.
        control_id: number of the last control message applied, 0 if there was none.
        control_timestamp_ns: that message's own timestamp, the sender's clock, echoed for motion-to-photon.
        provider: the engine and provider that drew it, for example `onnxruntime/CPU fp32`.
    """

    pixels: Pixels
    frame_id: int
    session: int
    stream: str
    capture_ns: int
    render_start_ns: int
    publish_ns: int
    control_id: int
    control_timestamp_ns: int
    provider: str
