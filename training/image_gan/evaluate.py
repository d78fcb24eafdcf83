"""Quality of pictures from seeds, and whether they are copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from training import metrics
from training.errors import DatasetError
from training.image_gan.distances import frechet, nearest, variety
from training.image_gan.sheets import write_nearest, write_seeds, write_walks

if TYPE_CHECKING:
    from training.image_gan.dense import DenseTask

NEAR = 0.05  # share of the held-out pictures that are nearest to a training picture
COARSE = 4  # cells per side for the Frechet distance


def evaluate_dense(
    task: DenseTask, folder: Path, *, frames: int, at_px: int | None, note: Callable[[str], None]
) -> dict[str, Any]:
    """Measure everything for `report.json`, and draw sheets.

    Args:
        task: an opened run.
        folder: for the sheets.
        frames: maximum number of pictures per question.
        at_px: size for comparing pictures; None for the run's own.
        note: told the results.

    Raises:
        DatasetError: nothing was held out, or pictures cannot be reduced to `at_px`.
    """
    report = measured(task, frames=frames, at_px=at_px)
    far, share = report["nearest_trained_on_255"], report["as_near_as_the_nearest_held_out"]
    note(
        f"nearest training picture: {far['drawn']:g}/255 from drawn pictures, {far['held_out']:g}/255 from "
        f"held-out ones; {share:.0%} of the drawn are as near as the nearest {NEAR:.0%} of the held-out"
    )
    for name, figure in (("taken for real", "discriminator"), ("variety", "variety_255"), ("Frechet", "frechet_4x4")):
        note(f"{name}: " + ", ".join(f"{who.replace('_', ' ')} {found:g}" for who, found in report[figure].items()))
    write_seeds(task, folder / "seeds.png")
    write_walks(task, folder / "walks.png")
    write_nearest(task, folder / "nearest.png")
    return report


@torch.no_grad()
def measured(task: DenseTask, *, frames: int, at_px: int | None) -> dict[str, Any]:
    """The figures of a run; distances are root mean squares over pixels, in 255ths.

    Raises:
        DatasetError: as `evaluate_dense` says.
    """
    size = task.dataset.size_px
    at_px = metrics.comparable_px(size, at_px)
    held, train = task.split.unseen_identities, task.split.train
    count = min(frames, len(held))
    if count < 2:
        raise DatasetError("Too few pictures were held out of training. Raise data.holdout_identities.")
    shown = {
        "trained_on": task.pictures(train),
        "held_out": task.pictures(held[:count]),
        "drawn": task.draw(task.latents(range(count))),
    }
    compared = {who: metrics.reduced((pictures + 1) * 127.5, at_px) for who, pictures in shown.items()}
    known = compared.pop("trained_on")
    far = {who: nearest(pictures, known)[0] for who, pictures in compared.items()}
    near = far["held_out"].quantile(NEAR)
    return {
        "size_px": size,
        "compared_at_px": at_px,
        "pictures": count,
        "trained_on": len(train),
        "discriminator": {who: round(_believed(task, pictures), 3) for who, pictures in shown.items()},
        "nearest_trained_on_255": {who: round(float(found.median()), 2) for who, found in far.items()},
        "as_near_as_the_nearest_held_out": round(float((far["drawn"] <= near).float().mean()), 4),
        "variety_255": {who: round(variety(pictures), 2) for who, pictures in compared.items()},
        "frechet_4x4": {
            who: round(frechet(_coarse(pictures), _coarse(known)), 1) for who, pictures in compared.items()
        },
    }


def _believed(task: DenseTask, pictures: Tensor) -> float:
    """Share of pictures that the discriminator judges real, on average."""
    judged = [task.judge(part).sigmoid() for part in torch.split(pictures, 1024)]
    return float(torch.cat(judged).mean())


def _coarse(pictures: Tensor) -> Tensor:
    """Colours by place, [N, 3 * COARSE^2]: the features of the Frechet distance."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, COARSE).flatten(1)
