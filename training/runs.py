"""Opens finished runs for evaluation and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import msgspec

from runtime.atomic import replacing
from training.checkpoint import load_checkpoint
from training.errors import CheckpointError
from training.recipe import read_resolved
from training.task import Exporting, Looking, Note, Task
from training.tasks import open_task


def open_run(checkpoint: Path, *, data: Path | None = None, note: Note = lambda _: None) -> Task:
    """Open a checkpoint and its data.

    Args:
        checkpoint: a `.pt` file, or the folder of a run (its final, otherwise its last checkpoint).
        data: the data set, if not at the recipe's path.
        note: told where decoded pictures are, if not beside the data.

    Raises:
        CheckpointError: there is none, or it does not fit.
        DatasetError: the data is gone, or is other data.
    """
    if checkpoint.is_dir():
        run = checkpoint
        checkpoint = next((p for p in (run / "final.pt", run / "checkpoint.pt") if p.exists()), run / "final.pt")
    state = load_checkpoint(checkpoint, "recipe", "data_digest", "position")
    try:
        recipe = read_resolved(state["recipe"])
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"{checkpoint} holds no recipe that this version reads: {error}. Train again.") from error
    task = open_task(recipe)
    task.open_data(data or Path(recipe.data.path), recipe.stage[-1:], note=note)
    if task.digest != state["data_digest"]:
        raise CheckpointError(
            f"{checkpoint} was trained on other data than {data or recipe.data.path}. Point --data at it."
        )
    task.load(state)
    return task


def exporting(task: Task) -> Exporting:
    """Return the task, if its runs can become character files.

    Raises:
        CheckpointError: it is not.
    """
    if not hasattr(task, "export"):
        raise CheckpointError("Runs of this task cannot become character files. Use a recipe of another task.")
    return cast(Exporting, task)


def looking(task: Task) -> Looking:
    """Return the task, if it can draw people of other data sets.

    Raises:
        CheckpointError: it is not.
    """
    if not hasattr(task, "look_at"):
        raise CheckpointError("Runs of this task draw the people of their own data only. Omit --people.")
    return cast(Looking, task)


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write `report.json` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
