"""The window's statistics of the engine."""

from __future__ import annotations

from engine_bridge.avf.messages import LiveStats
from engine_bridge.client.liveness import LinkState
from engine_bridge.viewer.overlay import figures, short_figures

REASON = "no NVIDIA driver here (tensorrt, tensorrt-rtx, cuda); the character has no int8 generator (openvino int8)"


def lines_of(stats: LiveStats | None, provider: str = "synthetic/numpy fp32") -> list[tuple[str, str]]:
    listed = figures(stats, LinkState.LIVE, shown_fps=60.0, provider=provider, silent_s=0.0)
    return [(line.label, line.value) for line in listed]


def test_the_engine_in_use_and_the_reason_for_it_are_shown() -> None:
    lines = lines_of(LiveStats(provider="openvino/CPU bf16", engine_note=REASON, target_fps=60.0, fps=60.0))
    at = lines.index(("engine", "openvino/CPU bf16"))
    note = [value for label, value in lines[at + 1 :] if not label]
    assert len(note) == 2
    assert all(len(line) <= 38 for line in note)
    assert " ".join(note).startswith("no NVIDIA driver here (tensorrt, tensorrt-rtx, cuda)")
    assert note[-1].endswith("…")


def test_without_a_reason_there_is_no_empty_line_and_without_statistics_the_frame_tells() -> None:
    assert "" not in dict(lines_of(LiveStats(provider="openvino/CPU bf16", target_fps=60.0)))
    assert ("engine", "synthetic/numpy fp32") in lines_of(None)


def test_the_short_figures_are_one_line_that_leaves_the_head_free() -> None:
    stats = LiveStats(provider="x", fps=60.0, target_fps=60.0, engine_ms_p50=5.84, engine_note="a long reason " * 9)
    (line,) = short_figures(stats, LinkState.LIVE, shown_fps=60.0, silent_s=0.0)
    assert (line.label, line.value) == ("live", "60 fps  5.8 ms")
    (unknown,) = short_figures(None, LinkState.STALE, shown_fps=0.0, silent_s=2.0)
    assert (unknown.label, unknown.value) == ("stale for 2 s", "0 fps")
