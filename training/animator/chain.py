"""From one picture of somebody to that person moved: encoder, portrait generator and animator, one after the other.

Knows the runs of all three: people whom the animator never saw, nobody may have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import metrics
from training.animator.fitting import fitted
from training.animator.sheets import write_comparison
from training.data.control_ranges import sweep_controls
from training.errors import CheckpointError, DatasetError
from training.latents.drift import drift
from training.pictures import planar

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask
    from training.data.dataset import Dataset
    from training.encoder.task import EncoderTask
    from training.portrait.task import PortraitTask

Report = dict[str, Any]
Indices = npt.NDArray[np.int64]
PEOPLE = 12  # who are looked at for drift
STEPS = 3  # of every control
PAIRS = 480  # of pictures of one person, at most, that drift is measured by


def evaluate_chain(
    animator: AnimatorTask,
    encoder: EncoderTask,
    portrait: PortraitTask | None,
    folder: Path,
    *,
    frames: int,
    fit: int = 0,
    note: Callable[[str], None],
) -> Report:
    """Measure what no run can measure alone.

    Args:
        animator: an opened run.
        encoder: another.
        portrait: the one that the encoder's latents are of; without it nobody is drawn from a latent.
        folder: gets a sheet of the whole chain: the one picture that was shown, what was wanted, what came out.
        frames: pictures that the whole chain draws, at most, of people never trained on.
        fit: steps that latents are also fitted to the picture that was shown, given its pose; 0 for none.
        note: told what is being done.

    Returns:
        `identity_drift` and, with a portrait generator, `whole_chain`.

    Raises:
        CheckpointError: they do not belong together, or one has seen the people it is asked about.
        DatasetError: nobody who was held out has two pictures.
    """
    if portrait is not None and not torch.equal(portrait.known.out.weight, encoder.known.out.weight):
        raise CheckpointError("The encoder finds latents of another portrait generator. Name the one it began with.")
    held = _people(animator.dataset, animator.split.unseen_identities)
    for run in (encoder, portrait):
        if run is not None and held & _people(run.dataset, run.split.train):
            raise CheckpointError(
                f"The run {run.recipe.name} was trained on people whom the animator has not seen, and who are asked "
                "about now. Train it with the animator's data and data.holdout_identities, or on other people."
            )
    note("identity drift")
    report: Report = {"identity_drift": _drift(animator, encoder)}
    if portrait is not None:
        note("whole chain")
        report["whole_chain"] = _whole_chain(animator, encoder, portrait, folder, frames, fit)
    return report


def _people(dataset: Dataset, rows: Indices) -> set[str]:
    """Who is in some frames, by what makes them the same person in any data set."""
    return {str(dataset.identities[person].attributes) for person in np.unique(dataset.identity[rows])}


def _drift(animator: AnimatorTask, encoder: EncoderTask) -> Report:
    """Whether people stay themselves, as the encoder sees them.

    `ratio` is of people who were trained on, under sweeps of single controls. An encoder is not sure of what a pose
    hides, so a part of that is none of the animator's. `from_moving` is without it, of people never seen: how much
    farther from another picture of somebody a picture is that was moved into a pose than the real one in that pose,
    `moved` less `real` on average, with its standard error. All are shares of the distance between two people.
    """
    dataset = animator.dataset
    people = np.unique(dataset.identity[animator.split.train])
    people = people[np.linspace(0, len(people) - 1, min(PEOPLE, len(people))).astype(int)]
    rest = np.array([[r[2] for r in dataset.control_ranges]], np.float32)
    asked = np.concatenate([rest, sweep_controls(dataset.control_ranges, STEPS)])
    report: Report = drift([encoder.encode(animator.draw(np.full(len(asked), person), asked)) for person in people])
    posed, other = _two_of_each(dataset.identity, animator.split.unseen_identities, PAIRS)
    themselves, real = (encoder.encode(planar(dataset.pictures[rows], torch.device("cpu"))) for rows in (other, posed))
    moved = encoder.encode(animator.draw(dataset.identity[posed], dataset.controls[posed]))
    apart = max(report.get("between_identities", 1.0), 1e-9)
    far = {name: (seen - themselves).norm(dim=1) / apart for name, seen in (("real", real), ("moved", moved))}
    farther = far["moved"] - far["real"]
    return {
        **report,
        "pairs": len(posed),
        **{name: round(float(distances.mean()), 4) for name, distances in far.items()},
        "from_moving": round(float(farther.mean()), 4),
        "standard_error": round(float(farther.std(correction=0)) / len(posed) ** 0.5, 4),
    }


def _whole_chain(
    animator: AnimatorTask, encoder: EncoderTask, portrait: PortraitTask, folder: Path, frames: int, fit: int
) -> Report:
    dataset = animator.dataset
    wanted_rows, shown_rows = _two_of_each(dataset.identity, animator.split.unseen_identities, frames)
    shown, wanted = (planar(dataset.pictures[rows], torch.device("cpu")) for rows in (shown_rows, wanted_rows))
    boxes = torch.from_numpy(dataset.regions[wanted_rows])

    def figures_of(latents: Tensor, sheet: str) -> Report:
        drawn = animator.draw_others(portrait.draw(latents, size_px=dataset.size_px), dataset.controls[wanted_rows])
        write_comparison(folder / sheet, shown, wanted, drawn, left="shown")
        return metrics.figures(drawn, wanted, boxes)

    guess = encoder.encode(shown)
    report: Report = {"frames": len(wanted_rows), "ours": figures_of(guess, "whole_chain.png")}
    if fit:
        poses = torch.from_numpy(dataset.controls[shown_rows])
        found = fitted(animator, portrait, shown, poses, guess, steps=fit)
        report |= {"fit_steps": fit, "fitted": figures_of(found, "whole_chain_fitted.png")}
    return report


def _two_of_each(identity: npt.NDArray[np.int32], rows: Indices, count: int) -> tuple[Indices, Indices]:
    """Frames, and for each another one of the same person."""
    order = rows[np.argsort(identity[rows], kind="stable")]
    same = identity[order[1:]] == identity[order[:-1]]
    wanted, shown = order[1:][same], order[:-1][same]
    if not len(wanted):
        raise DatasetError("Nobody who was held out has two pictures. Make the data with more frames of each.")
    chosen = np.linspace(0, len(wanted) - 1, min(count, len(wanted))).astype(int)
    return wanted[chosen], shown[chosen]
