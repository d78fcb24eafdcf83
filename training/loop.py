"""The training loop: recipe in, checkpoint out; the same call again goes on where it stopped.

Every random number of a step comes from (seed, step), so a run that was killed and resumed ends with the weights of
one that was not, bit for bit, on one machine with fp32.
"""

from __future__ import annotations

import logging
import platform
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from engine_bridge.errors import CheckpointError, RecipeError
from training.attributes import attribute_table
from training.checkpoint import load_checkpoint, save_checkpoint
from training.dataset import PairSampler, open_dataset, split_frames
from training.inherit import Ancestor, begin_from
from training.progress import draw_progress_sheets
from training.recipe import Recipe, Stage
from training.state import Position, build_networks
from training.teacher import Teacher
from training.trainer import StageTrainer, begin_with_attributes


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


def fit(recipe: Recipe, run: Path, *, devices: int = 1, workers: int = 2, console: Console | None = None) -> Path:
    """Train, or go on training.

    Args:
        recipe: what to do.
        run: folder of the run; made if absent.
        devices: accelerators, or processes on a CPU.
        workers: processes that decode pictures the first time.
        console: where progress goes.

    Returns:
        The final checkpoint.

    Raises:
        RecipeError: `run` holds a run of another recipe.
        DatasetError, CheckpointError: as their modules say.
        KeyboardInterrupt: after Ctrl-C, when the checkpoint is safe.
    """
    console = console or Console(stderr=True)
    _quiet_fabric()
    fabric = Fabric(accelerator="auto", devices=devices, precision=recipe.precision)  # type: ignore[arg-type]
    fabric.launch()
    run.mkdir(parents=True, exist_ok=True)
    resolved = msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    _claim_run(run, resolved)
    folder = Path(recipe.data.path)
    sizes = sorted({stage.size_px for stage in recipe.stage})
    with _progress(console) as bar:
        datasets = {}
        for size in sizes:
            task = bar.add_task(f"pictures at {size} px", total=1.0, note="")
            datasets[size] = open_dataset(
                folder,
                size,
                workers=workers,
                progress=lambda done, total, t=task: bar.update(t, completed=done / total),  # type: ignore[misc]
            )
            bar.remove_task(task)
    data = datasets[sizes[-1]]
    split = split_frames(
        data, holdout_identities=recipe.data.holdout_identities, holdout_frames=recipe.data.holdout_frames
    )
    if len(split.train) < 2:
        raise RecipeError(f"{folder} leaves {len(split.train)} pictures to train on; make more, or hold out fewer.")
    networks = build_networks(recipe, data.control_ranges)
    networks.generator = networks.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.encoder = networks.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.discriminator = networks.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    position, optimizers_state, ancestors = Position(), None, tuple[Ancestor, ...]()
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state["data_digest"] != data.digest:
            raise CheckpointError(f"{folder} is not the data that {run} was trained on. Give the run another folder.")
        networks.load(state["networks"])
        position, optimizers_state = Position(**state["position"]), state["optimizers"]
        ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])
        console.print(f"resuming {run} at {position.images / 1000:.1f} kimg")
    elif recipe.start is not None:
        people = attribute_table(data.identities).values if any(stage.attributes for stage in recipe.stage) else None
        attributes = None if people is None else torch.from_numpy(people)
        ancestors = begin_from(networks, Path(recipe.start.checkpoint), attributes)
        console.print(f"beginning with {ancestors[-1].recipe}, {ancestors[-1].kimg:g} kimg")
    if not checkpoint.exists() and fabric.is_global_zero:
        (run / "recipe.json").write_bytes(resolved)
        (run / "versions.json").write_bytes(msgspec.json.format(msgspec.json.encode(_versions()), indent=2))

    teacher = None
    if recipe.distil is not None and recipe.start is not None:
        lessons = {stage.size_px for stage in recipe.stage if not stage.adversarial}
        teacher = Teacher.open(Path(recipe.start.checkpoint), data.control_ranges, lessons, fabric.device)
    sampler = PairSampler(data, split.train)
    writer = SummaryWriter(str(run / "tensorboard"), purge_step=position.images) if fabric.is_global_zero else None
    final = run / "final.pt"
    while position.stage < len(recipe.stage):
        stage = recipe.stage[position.stage]
        if stage.attributes and networks.known is None:
            begin_with_attributes(networks, datasets[stage.size_px], split.train, fabric.device)
        stage_data = datasets[stage.size_px]
        trainer = StageTrainer(fabric, recipe, stage, networks, stage_data, split.train, teacher=teacher)
        if position.stage_images == 0:
            trainer.enter(console)
        elif optimizers_state is not None:
            trainer.load_optimizers(optimizers_state)
        optimizers_state = None

        def save(to: Path = checkpoint, trainer: StageTrainer = trainer) -> None:
            if fabric.is_global_zero:
                state = {
                    "recipe": resolved.decode(),
                    "data_digest": data.digest,
                    "controls": [msgspec.to_builtins(c) for c in data.manifest.controls],
                    "networks": networks.state(),
                    "optimizers": trainer.optimizers(),
                    "position": vars(position),
                    "ancestors": msgspec.to_builtins(ancestors),
                }
                save_checkpoint(to, state)

        if position.stage_images == 0:
            save()
        _run_stage(recipe, stage, position, trainer, sampler, save=save, run=run, console=console, writer=writer)
        position.stage, position.stage_images = position.stage + 1, 0
        if position.stage == len(recipe.stage):
            if networks.mapping is None:
                networks.mapping = trainer.fit_prior()
            save()
        save(run / f"stage-{position.stage}.pt" if position.stage < len(recipe.stage) else final)
    if writer:
        writer.close()
    return final


def _run_stage(
    recipe: Recipe,
    stage: Stage,
    position: Position,
    trainer: StageTrainer,
    sampler: PairSampler,
    *,
    save: Callable[[], None],
    run: Path,
    console: Console,
    writer: SummaryWriter | None,
) -> None:
    """All steps of one stage, with progress, scalars, sheets and checkpoints."""
    total = int(stage.kimg * 1000)
    meter, saved_at, logged_at, began = Meter(), time.monotonic(), time.monotonic(), time.monotonic()
    logged_images = position.images
    next_sheet = position.images + int(recipe.sheet_kimg * 1000) if recipe.sheet_kimg else None
    label = f"stage {position.stage + 1}/{len(recipe.stage)} {stage.size_px} px"
    label += " adversarial" if stage.adversarial else ""
    with _progress(console) as bar:
        task = bar.add_task(label, total=total, completed=position.stage_images, note="")
        try:
            while position.stage_images < total:
                indices = sampler.batch(
                    stage.batch,
                    named_share=recipe.data.named_share if stage.named_share is None else stage.named_share,
                    seed=recipe.seed,
                    step=position.step,
                    rank=trainer.fabric.global_rank,
                )
                torch.manual_seed((recipe.seed << 32) + (position.step << 8) + trainer.fabric.global_rank)
                meter.add(trainer.step(trainer.batch(indices), position))
                shown = stage.batch * trainer.fabric.world_size
                position.step += 1
                position.stage_images += shown
                position.images += shown
                now = time.monotonic()
                if now - logged_at > 10 or position.stage_images >= total:
                    rate = (position.images - logged_images) / (now - logged_at)
                    position.seconds += now - logged_at
                    means = meter.take()
                    if writer:
                        for name, value in {**means, "images_per_s": rate}.items():
                            writer.add_scalar(name, value, position.images)
                    note = " ".join(
                        f"{n} {means[n]:.4f}" for n in ("pixel", "adversarial", "discriminator") if n in means
                    )
                    bar.update(task, completed=position.stage_images, note=f"{note}  {rate:.1f} images/s")
                    if not console.is_terminal:
                        left = (total - position.stage_images) / max(rate, 1e-9)
                        shown_kimg = f"{position.images / 1000:.1f} kimg"
                        console.print(f"{label}: {shown_kimg}  {note}  {rate:.1f} images/s  {left:.0f} s left")
                    logged_at, logged_images = now, position.images
                if next_sheet is not None and position.images >= next_sheet and trainer.fabric.is_global_zero:
                    draw_progress_sheets(
                        run / "sheets", trainer.networks, trainer.dataset, trainer.frames, position.images
                    )
                    next_sheet += int(recipe.sheet_kimg * 1000)
                due_steps = recipe.checkpoint_steps and position.step % recipe.checkpoint_steps == 0
                due_time = not recipe.checkpoint_steps and now - saved_at > recipe.checkpoint_minutes * 60
                if due_steps or due_time:
                    save()
                    saved_at = time.monotonic()
        except KeyboardInterrupt:
            save()
            console.print(f"stopped at {position.images / 1000:.1f} kimg; the same command goes on from here")
            raise
    console.print(f"{label}: done after {time.monotonic() - began:.0f} s")
    if recipe.sheet_kimg and trainer.fabric.is_global_zero:
        draw_progress_sheets(run / "sheets", trainer.networks, trainer.dataset, trainer.frames, position.images)


def _claim_run(run: Path, resolved: bytes) -> None:
    path = run / "recipe.json"
    if path.exists() and path.read_bytes() != resolved:
        before, now = msgspec.json.decode(path.read_bytes()), msgspec.json.decode(resolved)
        changed = ", ".join(sorted(key for key in now if before.get(key) != now[key])) or "its fields"
        raise RecipeError(
            f"{run} was begun with another recipe (different: {changed}). "
            "Use the old recipe, or another folder with --out."
        )


def _versions() -> dict[str, str]:
    """What made this run, for whoever wants to make it again."""
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


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _quiet_fabric() -> None:
    """Fabric greets with hints that do not concern our users."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
