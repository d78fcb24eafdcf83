"""Control accuracy on held-out pictures: closed eyes, open mouths, correct vowels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import metrics
from training.data.dataset import REGIONS, Dataset

CLOSED = 0.9  # eyeBlink from here on is a closed eye
OPEN = 0.6  # a viseme or jawOpen from here on is an open mouth
VISEMES = ("aa", "ih", "ou", "ee", "oh")
QUESTIONS = (
    ("left_eye_closed", "eyeLeft", ("eyeBlinkLeft",), CLOSED),
    ("right_eye_closed", "eyeRight", ("eyeBlinkRight",), CLOSED),
    ("mouth_open", "mouth", (*VISEMES, "jawOpen"), OPEN),
)

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Draw = Callable[[Indices, Floats], Tensor]  # frames whose people are drawn, controls -> premultiplied [N, 4, S, S]


def obedience(draw: Draw, dataset: Dataset, held: Indices, *, frames: int) -> dict[str, Any]:
    """Count the frames with correctly closed eyes, open mouths and vowels.

    A frame is right if, inside the region's box, the drawn picture is nearer to the ground truth than the one drawn
    for the same controls with the eye open or the mouth shut or, for a vowel, with any other vowel in its place.

    Args:
        draw: draws the people of some frames of the data set with these controls.
        dataset: of the run.
        held: held-out frames.
        frames: maximum number per question.

    Returns:
        per question `frames`, how many were `right`, and the frames that were `wrong`.
    """
    names = [control.name for control in dataset.manifest.controls]
    rest = np.array([control_rest for _, _, control_rest in dataset.control_ranges], np.float32)
    report: dict[str, Any] = {}
    for question, region, controls, threshold in QUESTIONS:
        columns = [names.index(name) for name in controls if name in names]
        asked = _asked(dataset, held, region, columns, threshold, frames)
        other_way = dataset.controls[asked].copy()
        other_way[:, columns] = rest[columns]
        _count(report, question, asked, _errors(draw, dataset, region, asked, [other_way]))
    columns = [names.index(name) for name in VISEMES if name in names]
    if len(columns) == len(VISEMES):
        asked = _asked(dataset, held, "mouth", columns, OPEN, frames)
        spoken = dataset.controls[asked][:, columns]
        others = []
        for turn in range(1, len(VISEMES)):
            other = dataset.controls[asked].copy()
            other[:, columns] = np.roll(spoken, turn, axis=1)
            others.append(other)
        _count(report, "vowel", asked, _errors(draw, dataset, "mouth", asked, others))
    return report


def _asked(dataset: Dataset, held: Indices, region: str, columns: list[int], threshold: float, frames: int) -> Indices:
    """Frames to which a question applies, evenly spread."""
    boxes = dataset.regions[held, REGIONS.index(region)]
    asked = held[(dataset.controls[held][:, columns] >= threshold).any(1) & boxes.any(1)]
    chosen: Indices = asked[np.linspace(0, len(asked) - 1, min(frames, len(asked))).astype(int)]
    return chosen


def _errors(draw: Draw, dataset: Dataset, region: str, asked: Indices, others: list[Floats]) -> Floats:
    """Distance of the right controls, and of the others, from the ground truth inside a region: [1 + others, N]."""
    if not len(asked):
        return np.zeros((1 + len(others), 0), np.float32)
    boxes = torch.from_numpy(dataset.regions[asked, REGIONS.index(region)])
    wanted = torch.from_numpy(dataset.pictures[asked]).permute(0, 3, 1, 2).float() / 255
    drawn = [draw(asked, controls) for controls in (dataset.controls[asked], *others)]
    return np.stack([metrics.region_error(pictures, wanted, boxes).numpy() for pictures in drawn])


def _count(report: dict[str, Any], question: str, asked: Indices, errors: Floats) -> None:
    if len(asked):
        wrong = asked[~(errors[0] < errors[1:].min(0))]
        report[question] = {"frames": len(asked), "right": len(asked) - len(wrong), "wrong": wrong.tolist()}
