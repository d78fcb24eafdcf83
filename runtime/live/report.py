"""Report of a live loop."""

from __future__ import annotations

import msgspec

from runtime.sinks.worker import SinkReport

from .stream import StreamReport


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of the loop; printed by `--json`. Inference is that of the first person.

    Attributes:
        command: always `live`.
        character: name.
        provider: engine, provider and precision at the end.
        engine_version: of the engine's library.
        precision: of the engine.
        engine_note: why this engine was chosen.
        engine_swaps: how often a faster engine took over.
        threads: for inference.
        width: of the frames in pixels.
        height: of the frames in pixels.
        target_fps: requested frames per second.
        steady_fps: final target frames per second: fewer, if the machine cannot sustain the requested rate.
        fps: frames per second delivered, from the first frame to the last.
        frames: rounds in which frames were delivered, one for each person watched.
        dropped: frames after the first that were skipped because they would have been late.
        interval_error_ms_p50: deviation of the interval between two frames from the period, median.
        interval_error_ms_p99: its 99th percentile.
        engine_ms_p50: one inference, median.
        engine_ms_p99: its 99th percentile.
        other_ms_p50: everything in a round except inference, median: controls, identity, sending, handing over.
        other_ms_p99: its 99th percentile.
        first_frame_s: from the start of the process to the first frame.
        rss_mb: resident memory at the end, mebibytes.
        seconds: how long frames were delivered.
        recorded: frames written to the recording.
        recording_missed: frames missing from the recording because encoder or disk did not keep up.
        recordings: completed files.
        sinks: per-sink results.
        bad_controls: control states that were refused.
        streams: per-person results.
        motion_to_photon_ms: median from a window's control to the frame that answers it, None if there was none.
    """

    command: str = "live"
    character: str
    provider: str
    engine_version: str
    precision: str
    engine_note: str
    engine_swaps: int
    threads: int
    width: int
    height: int
    target_fps: float
    steady_fps: float
    fps: float
    frames: int
    dropped: int
    interval_error_ms_p50: float
    interval_error_ms_p99: float
    engine_ms_p50: float
    engine_ms_p99: float
    other_ms_p50: float
    other_ms_p99: float
    first_frame_s: float | None
    rss_mb: float
    seconds: float
    recorded: int
    recording_missed: int
    recordings: list[str]
    sinks: list[SinkReport]
    bad_controls: int
    streams: list[StreamReport]
    motion_to_photon_ms: float | None
