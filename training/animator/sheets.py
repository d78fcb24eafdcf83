"""Sheets of an animator: held-out pictures wanted and drawn, and people turned through their poses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training import metrics
from training.pictures import unpremultiply
from training.sheets import Uint8, write_sheet

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask

POSES: tuple[tuple[str, dict[str, float]], ...] = (
    ("rest", {}),
    ("blink", {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}),
    ("aa", {"aa": 1}),
    ("ou", {"ou": 1}),
    ("yaw 15", {"headYaw": 15}),
    ("yaw 30", {"headYaw": 30}),
    ("yaw -30", {"headYaw": -30}),
    ("pitch 20", {"headPitch": 20}),
    ("pitch -20, gaze", {"headPitch": -20, "gazeYaw": 25}),
    ("roll, happy", {"headRoll": 20, "happy": 1}),
    ("body", {"bodyYaw": 15, "bodyRoll": 10, "hairSway": 1, "headYaw": 15}),
)
PEOPLE = 6


def draw_sheets(task: AnimatorTask, folder: Path, prefix: str) -> list[Path]:
    """Write `<prefix>held-out.png` and `<prefix>poses.png`, of people never trained on if there are any; returns both.

    Raises:
        SinkError: the folder takes nothing.
    """
    dataset, split = task.dataset, task.split
    frames = split.unseen_identities if len(split.unseen_identities) else split.train
    chosen = frames[np.linspace(0, len(frames) - 1, min(12, len(frames))).astype(int)]
    people = dataset.identity[chosen]
    wanted = torch.from_numpy(np.asarray(dataset.pictures[chosen])).permute(0, 3, 1, 2).float() / 255
    drawn = task.draw(people, dataset.controls[chosen])
    files = [folder / f"{prefix}held-out.png", folder / f"{prefix}poses.png"]
    write_comparison(files[0], task.at_rest(people), wanted, drawn)

    names = [control.name for control in dataset.manifest.controls]
    rest = np.array([r[2] for r in dataset.control_ranges], np.float32)
    poses = [(label, {name: v for name, v in pose.items() if name in names}) for label, pose in POSES]
    controls = np.repeat(rest[None], len(poses), 0)
    for row, (_, pose) in enumerate(poses):
        for name, value in pose.items():
            controls[row, names.index(name)] = value
    who = np.unique(people)[:PEOPLE]
    pictures = task.draw(np.repeat(who, len(poses)), np.tile(controls, (len(who), 1)))
    write_sheet(
        files[1],
        straight(pictures),
        columns=len(poses),
        column_labels=[label for label, _ in poses],
    )
    return files


def write_comparison(
    path: Path, still: Tensor, wanted: Tensor, drawn: Tensor, *, left: str = "reference", most: int = 24
) -> None:
    """Something known, wanted and drawn side by side, the worst first."""
    order = torch.argsort(metrics.psnr(drawn, wanted))
    order = order[torch.linspace(0, len(order) - 1, min(most, len(order))).long()]
    shown = torch.stack([still[order], wanted[order], drawn[order]], 1).flatten(0, 1)
    write_sheet(path, straight(shown), columns=9, column_labels=(left, "wanted", "drawn") * 3)


def straight(premultiplied: Tensor) -> Uint8:
    """Pictures [N, 4, S, S], premultiplied, 0..1 -> uint8 [N, S, S, 4], straight."""
    return unpremultiply((premultiplied.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())
