"""From one picture of somebody to that person moved: encoder, portrait generator and animator, one after the other.

Knows the runs of all three, which must have learnt from the same data, so that they hold out the same people.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from engine_bridge.errors import CheckpointError, DatasetError
from training import metrics
from training.animator.sheets import write_comparison
from training.data.control_ranges import sweep_controls
from training.latents.drift import drift
from training.pictures import planar

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask
    from training.encoder.task import EncoderTask
    from training.portrait.task import PortraitTask

Report = dict[str, Any]
Indices = npt.NDArray[np.int64]
PEOPLE = 12  # who are looked at for drift
STEPS = 3  # of every control


def evaluate_chain(
    animator: AnimatorTask,
    encoder: EncoderTask,
    portrait: PortraitTask | None,
    folder: Path,
    *,
    frames: int,
    note: Callable[[str], None],
) -> Report:
    """Measure what no run can measure alone.

    Args:
        animator: an opened run.
        encoder: another.
        portrait: the one that the encoder's latents are of; without it nobody is drawn from a latent.
        folder: gets a sheet of the whole chain: the one picture that was shown, what was wanted, what came out.
        frames: pictures of people never trained on, at most.
        note: told what is being done.

    Returns:
        `identity_drift` and, with a portrait generator, `whole_chain`.

    Raises:
        CheckpointError: they learnt from other data.
        DatasetError: nobody who was held out has two pictures.
    """
    if any(run.digest != animator.digest for run in (encoder, portrait) if run is not None):
        raise CheckpointError("These runs learnt from other data than the animator. Name runs on the same data.")
    note("identity drift")
    report: Report = {"identity_drift": _drift(animator, encoder)}
    if portrait is not None:
        note("whole chain")
        report["whole_chain"] = _whole_chain(animator, encoder, portrait, folder, frames)
    return report


def _drift(animator: AnimatorTask, encoder: EncoderTask) -> Report:
    """Of people who were trained on, as the encoder sees them moved."""
    dataset = animator.dataset
    people = np.unique(dataset.identity[animator.split.train])
    people = people[np.linspace(0, len(people) - 1, min(PEOPLE, len(people))).astype(int)]
    rest = np.array([[r[2] for r in dataset.control_ranges]], np.float32)
    asked = np.concatenate([rest, sweep_controls(dataset.control_ranges, STEPS)])
    return drift([encoder.encode(animator.draw(np.full(len(asked), person), asked)) for person in people])


def _whole_chain(
    animator: AnimatorTask, encoder: EncoderTask, portrait: PortraitTask, folder: Path, frames: int
) -> Report:
    dataset = animator.dataset
    wanted_rows, shown_rows = _two_of_each(dataset.identity, animator.split.unseen_identities, frames)
    shown, wanted = (planar(dataset.pictures[rows], torch.device("cpu")) for rows in (shown_rows, wanted_rows))
    references = portrait.draw(encoder.encode(shown), size_px=dataset.size_px)
    drawn = animator.draw_others(references, dataset.controls[wanted_rows])
    write_comparison(folder / "whole_chain.png", shown, wanted, drawn, left="shown")
    boxes = torch.from_numpy(dataset.regions[wanted_rows])
    return {"frames": len(wanted_rows), "ours": metrics.figures(drawn, wanted, boxes)}


def _two_of_each(identity: npt.NDArray[np.int32], rows: Indices, count: int) -> tuple[Indices, Indices]:
    """Frames, and for each another one of the same person."""
    order = rows[np.argsort(identity[rows], kind="stable")]
    same = identity[order[1:]] == identity[order[:-1]]
    wanted, shown = order[1:][same], order[:-1][same]
    if not len(wanted):
        raise DatasetError("Nobody who was held out has two pictures. Make the data with more frames of each.")
    chosen = np.linspace(0, len(wanted) - 1, min(count, len(wanted))).astype(int)
    return wanted[chosen], shown[chosen]
