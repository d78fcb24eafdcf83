"""Are closed eyes closed, and open mouths open? Counted frame by frame on pictures never trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from training import metrics
from training.data.dataset import REGIONS
from training.decoder.latents import latents_of
from training.decoder.pictures import draw
from training.pictures import premultiplied_tensor

if TYPE_CHECKING:
    from training.data.dataset import Dataset, Split
    from training.decoder.state import Networks

CLOSED = 0.9  # eyeBlink from here on is a closed eye
OPEN = 0.6  # a viseme or jawOpen from here on is an open mouth
QUESTIONS = (
    ("left_eye_closed", "eyeLeft", ("eyeBlinkLeft",), CLOSED),
    ("right_eye_closed", "eyeRight", ("eyeBlinkRight",), CLOSED),
    ("mouth_open", "mouth", ("aa", "ih", "ou", "ee", "oh", "jawOpen"), OPEN),
)


def obedience(networks: Networks, dataset: Dataset, split: Split, *, frames: int) -> dict[str, Any]:
    """Count the frames whose eyes are closed, or mouth open, as they should be.

    A frame is right if what was drawn lies nearer to the wanted picture, inside the region's box, than what is drawn
    for the same controls with the eye open, or the mouth shut.

    Args:
        networks: averaged weights are used.
        dataset: of the run.
        split: the held-out frames of trained identities are asked for.
        frames: at most so many per question.

    Returns:
        per question `frames`, how many were `right`, and the frames that were `wrong`.
    """
    names = [control.name for control in dataset.manifest.controls]
    report: dict[str, Any] = {}
    for question, region, controls, threshold in QUESTIONS:
        columns = [names.index(name) for name in controls if name in names]
        boxes = dataset.regions[:, REGIONS.index(region)]
        held = split.unseen_controls
        asked = (
            held[(dataset.controls[held][:, columns] >= threshold).any(1) & boxes[held].any(1)] if columns else held[:0]
        )
        if not len(asked):
            continue
        asked = asked[np.linspace(0, len(asked) - 1, min(frames, len(asked))).astype(int)]
        other_way = dataset.controls[asked].copy()
        other_way[:, columns] = [dataset.control_ranges[column][2] for column in columns]
        near = _region_errors(networks, dataset, split, asked, dataset.controls[asked], boxes[asked])
        far = _region_errors(networks, dataset, split, asked, other_way, boxes[asked])
        wrong = asked[~(near < far)]
        report[question] = {"frames": len(asked), "right": len(asked) - len(wrong), "wrong": wrong.tolist()}
    return report


def _region_errors(
    networks: Networks,
    dataset: Dataset,
    split: Split,
    asked: npt.NDArray[np.int64],
    controls: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    w = latents_of(networks, dataset, split.train, dataset.identity[asked])
    drawn = premultiplied_tensor(draw(networks.generator_ema, w, controls, dataset.size_px))
    wanted = torch.from_numpy(dataset.pictures[asked]).permute(0, 3, 1, 2).float() / 255
    return metrics.region_error(drawn, wanted, torch.from_numpy(boxes)).numpy()
