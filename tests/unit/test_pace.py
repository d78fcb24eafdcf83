"""A run with a time limit ends in time, with its schedule completed."""

from __future__ import annotations

import io
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from training.cast import write_dataset
from training.checkpoint import load_checkpoint
from training.cli import app
from training.loop import fit
from training.pace import Pace
from training.recipe import load_recipe
from training.settings import Stage
from training.task import Position


def _simulated(stages: tuple[Stage, ...], minutes: float | None, speeds: tuple[float, ...]) -> tuple[float, list[int]]:
    """Duration of a run in seconds, and pictures shown in each stage; speeds are pictures per second at each stage."""
    pace, position, shown = Pace(stages, minutes), Position(), [0] * len(stages)
    for index, stage in enumerate(stages):
        position.stage, position.stage_images = index, 0
        since = 0.0
        pace.begin(position)
        while position.stage_images < stage.kimg * 1000:
            position.stage_images += pace.counted(stage.batch)
            shown[index] += stage.batch
            since += stage.batch / speeds[index]
            if since > pace.look_s:
                position.seconds += since
                since = 0.0
                pace.measure(position, speeds[index])
        position.seconds += since
    return position.seconds, shown


@settings(max_examples=25, deadline=None)
@given(st.floats(2, 6), st.floats(4, 200), st.floats(0.1, 1))
def test_it_ends_in_time_whatever_the_speed(minutes: float, speed: float, slower: float) -> None:
    speeds = (speed, max(speed * slower, 4.0))
    stages = (Stage(kimg=24, size_px=128, batch=16), Stage(kimg=24, size_px=256, batch=16))
    seconds, shown = _simulated(stages, minutes, speeds)
    assert abs(seconds - minutes * 60) <= 0.1 * minutes * 60 + 5 * 16 / min(speeds)
    assert all(shown)


def test_without_a_limit_each_picture_counts_once() -> None:
    stages = (Stage(kimg=1, size_px=64, batch=10),)
    assert _simulated(stages, None, (5.0,))[1] == [1000]


def test_a_real_run_stops_early_and_is_finished(tmp_path: Path, one_thread: None) -> None:
    write_dataset(tmp_path / "data", identities=12, frames_per_identity=4, named_frames=0, size_px=64, seed=1)
    long = load_recipe("tiny", (f"data.path={tmp_path / 'data'}", *(f"stage.{stage}.kimg=500" for stage in range(4))))
    began = time.monotonic()
    final = fit(long, tmp_path / "run", workers=1, minutes=0.1, console=Console(file=io.StringIO()))
    assert time.monotonic() - began < 120  # it would be hours
    position = Position.restored(load_checkpoint(final, "position")["position"])
    assert position.stage == len(long.stage)
    assert 0 < position.images < 100_000


def test_zero_minutes_is_refused() -> None:
    result = CliRunner().invoke(app, ["fit", "tiny", "--minutes", "0"])
    assert result.exit_code == 2
    assert "--minutes" in result.output
