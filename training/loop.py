"""The training loop: recipe in, checkpoint out; the same call resumes a stopped run.

Every random number of a step comes from (seed, step), so a run that was killed and resumed ends with the same weights
as one that was not, bit for bit, on one machine with fp32.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import filelock
import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from engine_bridge.errors import SinkError
from runtime.atomic import replacing
from runtime.character.file import Character
from runtime.character.shipped import find_character
from training.checkpoint import PARTS, load_checkpoint, previous_of, save_checkpoint
from training.console import PlainConsole
from training.curves import Curves
from training.errors import CheckpointError, RecipeError, TrainingError
from training.pace import Pace
from training.settings import Recipe, Start
from training.stopping import StopRequest
from training.task import Ancestor, Beginning, NotFinite, Position, Task, anywhere
from training.tasks import open_task

# A single step may overflow and is left out; a run with many of these is lost.
BAD_IN_A_ROW = 3
BAD_IN_ALL = 20


@dataclass
class Meter:
    """Running means of scalars between two log lines."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one step's values."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.count += 1

    def take(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / max(self.count, 1) for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def fit(
    recipe: Recipe,
    run: Path,
    *,
    devices: int = 1,
    workers: int = 2,
    minutes: float | None = None,
    console: Console | None = None,
) -> Path:
    """Train, or resume training.

    Args:
        recipe: what to do.
        run: folder of the run; created if absent.
        devices: accelerators, or processes on a CPU.
        workers: processes for decoding pictures on first use.
        minutes: total training time, overriding the recipe's stages: their schedules are fitted to that time.
        console: for progress.

    Returns:
        The final checkpoint.

    Raises:
        RecipeError: `run` holds a run of another recipe.
        DatasetError, CheckpointError: see their modules.
        SinkError: the run's folder cannot be written to.
        TrainingError: its numbers are no longer finite, or another process is training in `run`.
        Stopped: a signal requested it, and the checkpoint is saved. A second signal ends the process at once.
    """
    console = console or PlainConsole()
    _quiet_fabric()
    fabric = Fabric(accelerator="auto", devices=devices, precision=recipe.precision)  # type: ignore[arg-type]
    fabric.launch()
    with StopRequest() as stop, _alone_in(run) if fabric.is_global_zero else contextlib.nullcontext():
        return _fit(recipe, run, fabric, stop, Pace(recipe.stage, minutes), workers=workers, console=console)


def _fit(
    recipe: Recipe, run: Path, fabric: Fabric, stop: StopRequest, pace: Pace, *, workers: int, console: Console
) -> Path:
    """The run, with exclusive use of its folder."""
    resolved = msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    _claim_run(run, resolved)
    task = open_task(recipe)
    with _progress(console) as bar:
        task.open_data(
            Path(recipe.data.path),
            recipe.stage,
            workers=workers,
            progress=_Bars(bar).show,
            note=lambda text: _say(console, text),
        )
    task.prepare(fabric)
    checkpoint = run / "checkpoint.pt"
    position, optimizers, ancestors = _where_it_stands(checkpoint, task, recipe, resolved, console)
    if not checkpoint.exists() and fabric.is_global_zero:
        _write(run / "recipe.json", resolved)
        _write(run / "versions.json", msgspec.json.format(msgspec.json.encode(_versions()), indent=2))

    def save(to: Path = checkpoint) -> None:
        if fabric.is_global_zero:
            task.check_sound()
            state = {
                "recipe": resolved.decode(),
                "data_digest": task.digest,
                "optimizers": task.optimizers(),
                "position": vars(position),
                "ancestors": msgspec.to_builtins(ancestors),
                **task.state(),
            }
            save_checkpoint(to, state)

    final = run / "final.pt"
    with _Log(run, position, console, enabled=fabric.is_global_zero) as log:
        while position.stage < len(recipe.stage):
            begins = position.stage_images == 0
            task.enter(position.stage, optimizers=None if begins else optimizers, note=console.print)
            if begins:
                save()
            with stop.deferred():
                _run_stage(recipe, position, task, fabric, stop, pace, save=save, log=log)
            task.leave(position.stage)
            position.stage, position.stage_images = position.stage + 1, 0
            save(run / f"stage-{position.stage}.pt" if position.stage < len(recipe.stage) else checkpoint)
    if fabric.is_global_zero and not final.exists():
        with replacing(final) as part:
            shutil.copyfile(checkpoint, part)
    return final


def _where_it_stands(
    checkpoint: Path, task: Task, recipe: Recipe, resolved: bytes, console: Console
) -> tuple[Position, Any, tuple[Ancestor, ...]]:
    """Load the run's own checkpoint, or the weights that the recipe begins with.

    Returns:
        The position, what the checkpoint holds of optimizers, None at the beginning, and the runs before this one.
    """
    run, folder = checkpoint.parent, Path(recipe.data.path)
    if checkpoint.exists():
        state = _checkpoint_of(checkpoint, resolved, task.digest, folder)
        task.load(state)
        position = Position.restored(state["position"])
        console.print(f"resuming {run} at {position.images / 1000:.1f} kimg")
        return position, state["optimizers"], msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])
    if previous_of(checkpoint).exists():
        raise CheckpointError(
            f"{run} has no checkpoint.pt, but the one before it. To go on from there, move "
            f"{previous_of(checkpoint)} to {checkpoint}."
        )
    if recipe.start is None:
        return Position(), None, ()
    ancestors = _begin(task, recipe.start)
    console.print(f"starting from {ancestors[-1].recipe}, {ancestors[-1].kimg:g} kimg")
    return Position(), None, ancestors


def _run_stage(
    recipe: Recipe,
    position: Position,
    task: Task,
    fabric: Fabric,
    stop: StopRequest,
    pace: Pace,
    *,
    save: Callable[[], None],
    log: _Log,
) -> None:
    """All steps of one stage, with progress, scalars, sheets and checkpoints; returns early when `stop` has heard."""
    stage, console = recipe.stage[position.stage], log.console
    total = int(stage.kimg * 1000)
    label = f"stage {position.stage + 1}/{len(recipe.stage)} {stage.size_px} px {' + '.join(stage.objectives)}".rstrip()
    began = saved_at = time.monotonic()
    bad_in_a_row = 0
    pace.begin(position)
    next_sheet = position.images + int(recipe.sheet_kimg * 1000) if recipe.sheet_kimg else None
    with _progress(console) as bar:
        line = _ProgressLine(bar, label, total, position, pace, log)
        while position.stage_images < total:
            torch.manual_seed((recipe.seed << 32) + (position.step << 8) + fabric.global_rank)
            try:
                line.meter.add(task.step(task.batch(position), position))
                bad_in_a_row = 0
            except NotFinite as bad:
                bad_in_a_row += 1
                _leave_out(bad, bad_in_a_row, recipe, position, log)
            shown = stage.batch * fabric.world_size
            position.step += 1
            position.stage_images += pace.counted(shown)
            position.images += shown
            now = time.monotonic()
            if now - line.reported_at > pace.look_s or position.stage_images >= total:
                line.report(now)
            if next_sheet is not None and position.images >= next_sheet and fabric.is_global_zero:
                log.sheets(task, position.images)
                next_sheet += int(recipe.sheet_kimg * 1000)
            if anywhere(fabric, stop.signal is not None):
                save()
                _say(console, f"stopped at {position.images / 1000:.1f} kimg; the same command resumes from here")
                return
            due_steps = recipe.checkpoint_steps and position.step % recipe.checkpoint_steps == 0
            due_time = not recipe.checkpoint_steps and now - saved_at > recipe.checkpoint_minutes * 60
            if due_steps or due_time:
                save()
                saved_at = time.monotonic()
    save()  # the next steps may take minutes, and may fail
    console.print(f"{label}: done after {time.monotonic() - began:.0f} s")
    if recipe.sheet_kimg and fabric.is_global_zero:
        log.sheets(task, position.images)


def _leave_out(bad: NotFinite, in_a_row: int, recipe: Recipe, position: Position, log: _Log) -> None:
    """Count a step that overflowed, and give up when there are too many."""
    position.left_out += 1
    where = f"stage {position.stage + 1}, step {position.step}, {position.images / 1000:.1f} kimg"
    if in_a_row == BAD_IN_A_ROW or position.left_out > BAD_IN_ALL:
        raise TrainingError(_diverged(where, bad, in_a_row, recipe, position, log.run)) from bad
    log.console.print(f"{where}: {bad} not finite; the step is left out ({position.left_out} so far)")


class _ProgressLine:
    """Progress of one stage: its rate and its means, on the screen and in the curves."""

    def __init__(self, bar: Progress, label: str, total: int, position: Position, pace: Pace, log: _Log) -> None:
        self.meter = Meter()
        self.reported_at = time.monotonic()
        self._reported_images = position.images
        self._bar, self._label, self._total = bar, label, total
        self._position, self._pace, self._log = position, pace, log
        self._task = bar.add_task(label, total=total, completed=position.stage_images, note="")

    def report(self, now: float) -> None:
        """Report what happened since the last time, and let the pace see it."""
        position, console = self._position, self._log.console
        rate = (position.images - self._reported_images) / (now - self.reported_at)
        position.seconds += now - self.reported_at
        self._pace.measure(position, rate)
        means = self.meter.take()
        self._log.add({**means, "images_per_s": rate}, position.images)
        note = " ".join(f"{n} {means[n]:.4f}" for n in ("pixel", "adversarial", "discriminator") if n in means)
        self._bar.update(self._task, completed=position.stage_images, note=f"{note}  {rate:.1f} images/s")
        if not console.is_terminal:
            left = max(self._total - position.stage_images, 0) / max(rate * self._pace.factor, 1e-9)
            shown_kimg = f"{position.images / 1000:.1f} kimg"
            console.print(f"{self._label}: {shown_kimg}  {note}  {rate:.1f} images/s  {left:.0f} s left")
        self.reported_at, self._reported_images = now, position.images


class _Log:
    """Secondary outputs of a run: curves and sheets. A full disk costs these, not the run."""

    def __init__(self, run: Path, position: Position, console: Console, *, enabled: bool) -> None:
        self.console, self.run = console, run
        self._curves = Curves(run / "tensorboard", position.images, note=self._lost) if enabled else None

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *about: object) -> None:
        if self._curves is not None:
            self._curves.close()

    def add(self, values: dict[str, float], images: int) -> None:
        """Add one point to every curve."""
        if self._curves is not None:
            self._curves.add(values, images)

    def sheets(self, task: Task, images: int) -> None:
        """Draw sheets with the current networks."""
        try:
            task.sheets(self.run / "sheets", images)
        except (SinkError, OSError) as error:
            self._lost(f"no sheets at {images / 1000:.1f} kimg: {error}")

    def _lost(self, text: str) -> None:
        _say(self.console, f"{text} Training goes on.")


def _diverged(where: str, bad: NotFinite, in_a_row: int, recipe: Recipe, position: Position, run: Path) -> str:
    times = f"the {BAD_IN_A_ROW}rd step in a row" if in_a_row == BAD_IN_A_ROW else f"{position.left_out} steps by now"
    key = f"stage.{position.stage}.lr"
    return (
        f"{run}, {where}: {bad} not finite, {times}, so the run has diverged. Nothing of it was saved: "
        f"{run / 'checkpoint.pt'} is the last good checkpoint. Start another run from it with a lower learning rate: "
        f"bunraku-train fit RECIPE --out {run}-2 --set start.checkpoint={run / 'checkpoint.pt'} "
        f"--set {key}={recipe.stage[position.stage].lr / 3:.1g}"
    )


def _checkpoint_of(path: Path, resolved: bytes, digest: str, folder: Path) -> dict[str, Any]:
    """The checkpoint, if it belongs to this recipe and this data."""
    state = load_checkpoint(path, *PARTS)
    if state["data_digest"] != digest:
        raise CheckpointError(f"{folder} is not the data that {path} was trained on. Give the run another folder.")
    try:
        changed = _changed(state["recipe"].encode(), resolved)
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"{path} holds no recipe that this version reads: {error}. Train again.") from error
    if changed:
        raise CheckpointError(
            f"{path} is of a run with another recipe (different: {changed}). Give the run another folder with --out; "
            "to start from its weights, name it in [start]."
        )
    return state


@contextlib.contextmanager
def _alone_in(run: Path) -> Iterator[None]:
    """Create the run's folder and lock it against other runs."""
    lock = filelock.FileLock(run / ".lock")
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise TrainingError(
            f"Another process is training in {run}. Wait for it to end, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise SinkError(
            f"The run cannot be kept in {run}: {error.strerror or error}. Choose another folder with --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _claim_run(run: Path, resolved: bytes) -> None:
    path = run / "recipe.json"
    if not path.exists():
        return
    try:
        changed = _changed(path.read_bytes(), resolved)
    except (OSError, msgspec.MsgspecError) as error:
        raise RecipeError(f"{path} cannot be read: {error}. Choose another folder with --out.") from error
    if changed:
        raise RecipeError(
            f"{run} was started with another recipe (different: {changed}). "
            "Use the old recipe, or another folder with --out."
        )


def _changed(before: bytes, now: bytes) -> str:
    """Names of the sections in which two resolved recipes differ, or an empty string."""
    old, new = msgspec.json.decode(before, type=dict[str, Any]), msgspec.json.decode(now, type=dict[str, Any])
    return ", ".join(sorted(key for key in {*old, *new} if old.get(key) != new.get(key)))


def _begin(task: Task, start: Start) -> tuple[Ancestor, ...]:
    """Copy weights, and return their ancestors."""
    if start.checkpoint:
        return task.begin_from(Path(start.checkpoint))
    if not hasattr(task, "begin_with"):
        raise RecipeError("No character contains networks of this task. Name the final.pt of a run: start.checkpoint.")
    with Character.open(find_character(start.character)) as character:
        return cast(Beginning, task).begin_with(character)


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(data)


def _say(console: Console, text: str) -> None:
    """A line that contains file names."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _versions() -> dict[str, str]:
    """Versions and settings of this run, for reproducing it."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": platform.machine(),
        "commit": commit,
    }


class _Bars:
    """A progress bar for everything being read."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._lines: dict[str, TaskID] = {}

    def show(self, what: str, done: int, total: int) -> None:
        """Show the progress."""
        if what not in self._lines:
            self._lines[what] = self._bar.add_task(what, total=1.0, note="")
        self._bar.update(self._lines[what], completed=done / max(total, 1), visible=done < total)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _quiet_fabric() -> None:
    """Suppress Fabric's hints, which do not concern our users."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
