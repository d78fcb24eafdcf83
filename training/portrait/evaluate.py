"""Quality of portraits of held-out people, from their attributes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runtime.composite.references import LAYERS, REFERENCES
from training import metrics
from training.animator.composite import over
from training.errors import DatasetError
from training.portrait.sheets import draw_sheets

if TYPE_CHECKING:
    from training.portrait.task import PortraitTask, Who


def evaluate_portrait(
    task: PortraitTask, folder: Path, *, frames: int, at_px: int | None, note: Callable[[str], None]
) -> dict[str, Any]:
    """Measure everything for `report.json`, and draw sheets.

    Args:
        task: an opened run.
        folder: for the sheets.
        frames: maximum number of people per question.
        at_px: size for comparing pictures; None for the run's own.
        note: told the current step.

    Raises:
        DatasetError: nobody was held out, or pictures cannot be reduced to `at_px`.
    """
    size = task.dataset.size_px
    at_px = metrics.comparable_px(size, at_px)
    if not len(task.held_out):
        raise DatasetError(
            "The run was trained on everybody here. Raise data.holdout_identities, or evaluate others with --people."
        )
    report: dict[str, Any] = {"size_px": size, "compared_at_px": at_px}
    for question, people in (("unseen_people", task.held_out), ("seen_people", task.trained_on)):
        if not len(people):
            continue
        note(question.replace("_", " "))
        chosen = people[np.linspace(0, len(people) - 1, min(frames, len(people))).astype(int)]
        report[question] = _compare(task, chosen, at_px)
    note("sheets")
    draw_sheets(task, folder, "")
    return report


def _compare(task: PortraitTask, people: Who, at_px: int) -> dict[str, Any]:
    drawn, wanted = task.draw(task.latents(people)), task.wanted(people)
    nowhere = torch.zeros(len(people), 3, 4)
    report: dict[str, Any] = {
        "people": len(people),
        "ours": metrics.figures(
            metrics.reduced(over(drawn[:, : len(LAYERS)]), at_px),
            metrics.reduced(over(wanted[:, : len(LAYERS)]), at_px),
            nowhere,
        ),
        "by_reference": {},
    }
    for row, name in enumerate(REFERENCES):
        decibels = metrics.psnr(metrics.reduced(drawn[:, row], at_px), metrics.reduced(wanted[:, row], at_px))
        report["by_reference"][name] = round(float(decibels.median()), 2)
    return report
