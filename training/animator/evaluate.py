"""How well people are moved that were never trained on, given their references. Knows the animator's runs.

The measure to beat is the reference itself, shown without moving it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from training import metrics
from training.animator.sheets import draw_sheets, write_comparison
from training.errors import CheckpointError, DatasetError
from training.obedience import obedience

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask

Indices = npt.NDArray[np.int64]
Report = dict[str, Any]
YAW_BANDS = ((0.0, 8.0), (8.0, 16.0), (16.0, 90.0))  # degrees


def evaluate_animator(
    task: AnimatorTask, folder: Path, *, frames: int, at_px: int | None, note: Callable[[str], None]
) -> Report:
    """Measure everything that `report.json` holds, and draw sheets.

    Args:
        task: an opened run.
        folder: gets the sheets.
        frames: pictures per question, at most.
        at_px: size to compare pictures at; the run's own if None.
        note: told what is being done.

    Raises:
        DatasetError: nobody was held out, or pictures cannot be reduced to `at_px`.
    """
    dataset, split = task.dataset, task.split
    at_px = metrics.comparable_px(dataset.size_px, at_px)
    if not len(split.unseen_identities):
        raise DatasetError("No people were held out of training. Raise data.holdout_identities.")
    report: Report = {"size_px": dataset.size_px, "compared_at_px": at_px}
    if len(split.train):
        report["frames_trained_on"] = len(split.train)
    named = np.isin(dataset.identity[split.unseen_controls], list(dataset.named.values()))
    questions = {
        "unseen_identities": split.unseen_identities,
        "seen_identities": split.unseen_controls[~named],
        "named_identities": split.unseen_controls[named],
    }
    for question, candidates in questions.items():
        if len(candidates):
            note(question.replace("_", " "))
            chosen = candidates[np.linspace(0, len(candidates) - 1, min(frames, len(candidates))).astype(int)]
            report[question] = _compare(task, chosen, at_px, folder / f"{question}.png")
    note("closed eyes, open mouths and vowels")
    held = np.concatenate([split.unseen_controls, split.unseen_identities])
    report["obedience"] = obedience(
        lambda asked, controls: task.draw(dataset.identity[asked], controls), dataset, held, frames=frames
    )
    note("sheets")
    draw_sheets(task, folder, "")
    return report


def compare_animators(ours: AnimatorTask, other: AnimatorTask, sheet: Path) -> Report:
    """The same people, held out from this run, moved by two runs on the same data; the sheet shows the other's first.

    Returns:
        figures of both.

    Raises:
        CheckpointError: they learnt from other data.
    """
    if ours.digest != other.digest:
        raise CheckpointError("The other run learnt from other data. Compare two of the same.")
    frames = ours.split.unseen_identities
    frames = frames[np.linspace(0, len(frames) - 1, min(48, len(frames))).astype(int)]
    side = min(ours.dataset.size_px, other.dataset.size_px)
    wanted = torch.from_numpy(np.asarray(ours.dataset.pictures[frames])).permute(0, 3, 1, 2).float() / 255
    wanted = metrics.reduced(wanted, side)
    people, controls = ours.dataset.identity[frames], ours.dataset.controls[frames]
    both = {"ours": ours, "other": other}
    drawn = {name: metrics.reduced(task.draw(people, controls), side) for name, task in both.items()}
    write_comparison(sheet, drawn["other"], wanted, drawn["ours"], left="the other")
    boxes = torch.from_numpy(ours.dataset.regions[frames])
    return {name: metrics.figures(pictures, wanted, boxes) for name, pictures in drawn.items()}


def _compare(task: AnimatorTask, frames: Indices, at_px: int, sheet: Path) -> Report:
    dataset = task.dataset
    people, controls = dataset.identity[frames], dataset.controls[frames]
    wanted = torch.from_numpy(np.asarray(dataset.pictures[frames])).permute(0, 3, 1, 2).float() / 255
    drawn, still = task.draw(people, controls), task.at_rest(people)
    boxes = torch.from_numpy(dataset.regions[frames])
    wanted, drawn, still = (metrics.reduced(pictures, at_px) for pictures in (wanted, drawn, still))
    write_comparison(sheet, still, wanted, drawn)
    report: Report = {
        "frames": len(frames),
        "ours": metrics.figures(drawn, wanted, boxes),
        "reference_not_moved": metrics.figures(still, wanted, boxes),
        "by_head_yaw": {},
    }
    names = [control.name for control in dataset.manifest.controls]
    if "headYaw" in names:
        yaw = np.abs(controls[:, names.index("headYaw")])
        decibels = metrics.psnr(drawn, wanted).numpy()
        for low, high in YAW_BANDS:
            inside = (yaw >= low) & (yaw < high)
            if inside.any():
                report["by_head_yaw"][f"{low:g}-{high:g}"] = round(float(np.median(decibels[inside])), 2)
    return report
