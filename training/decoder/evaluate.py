"""Held-out quality: what the networks draw for pictures they never saw, against the ground truth.

Three questions, each with an oracle baseline: of all training pictures (of the same identity,
where it was trained on) the one nearest to the requested picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import metrics
from training.data.control_ranges import sweep_controls
from training.data.dataset import Dataset, Split
from training.decoder import alpha
from training.decoder.latents import latents_of
from training.decoder.pictures import draw, encode
from training.errors import DatasetError
from training.latents.drift import drift
from training.obedience import obedience
from training.pictures import premultiplied_tensor, unpremultiply
from training.sheets import Uint8, write_sheet

if TYPE_CHECKING:
    from training.decoder.export import Trained
    from training.decoder.state import Networks

Indices = npt.NDArray[np.int64]
Report = dict[str, Any]

THUMB_PX = 32


def evaluate(
    networks: Networks,
    dataset: Dataset,
    split: Split,
    *,
    frames: int = 240,
    at_px: int | None = None,
    sheets: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure everything for `report.json`.

    Args:
        networks: of the run; the averaged weights are measured.
        dataset: at the generator's size.
        split: what was trained on and what was not.
        frames: maximum number of pictures per question.
        at_px: size for comparing pictures, to compare networks of different sizes; None for their own.
        sheets: folder for pictures of the results, worst first.
        note: told the current step.

    Raises:
        DatasetError: nothing was held out, or pictures cannot be reduced to `at_px`.
    """
    at_px = metrics.comparable_px(dataset.size_px, at_px)
    if not len(split.unseen_controls):
        raise DatasetError(
            "No frames were held out of training, so there is nothing to evaluate on. Raise data.holdout_frames."
        )
    generator, encoder = networks.generator_ema, networks.encoder_ema
    thumbs = _thumbnails(dataset)
    report: Report = {"size_px": dataset.size_px, "compared_at_px": at_px, "frames_trained_on": len(split.train)}
    report["alpha_limits"] = {"haze_outside": alpha.MOST_HAZE, "veil_inside": alpha.MOST_VEIL}

    note("trained identities, controls never seen")
    targets = _pick(split.unseen_controls, frames)
    w = latents_of(networks, dataset, split.train, dataset.identity[targets])
    answers = draw(generator, w, dataset.controls[targets], dataset.size_px)
    nearest = np.array(
        [_nearest(thumbs, t, split.train[dataset.identity[split.train] == dataset.identity[t]]) for t in targets]
    )
    sheet = sheets and sheets / "seen_identities.png"
    report["seen_identities"] = _compare(dataset, targets, answers, nearest, at_px, sheet)
    named = set(dataset.named.values())
    chosen = np.array([int(dataset.identity[t]) in named for t in targets])
    if named and chosen.any():
        report["named_identities"] = _compare(dataset, targets[chosen], answers[chosen], nearest[chosen], at_px, None)

    if len(split.unseen_identities):
        note("identities never seen, through the encoder")
        sources, targets = _source_and_target(dataset, split.unseen_identities, frames)
        w = encode(encoder, dataset.pictures[sources])
        answers = draw(generator, w, dataset.controls[targets], dataset.size_px)
        nearest = np.array([_nearest(thumbs, t, split.train) for t in targets])
        sheet = sheets and sheets / "unseen_identities.png"
        report["unseen_identities"] = _compare(dataset, targets, answers, nearest, at_px, sheet)

    note("closed eyes and open mouths")

    def drawn(asked: Indices, controls: npt.NDArray[np.float32]) -> Tensor:
        w = latents_of(networks, dataset, split.train, dataset.identity[asked])
        return premultiplied_tensor(draw(generator, w, controls, dataset.size_px))

    report["obedience"] = obedience(drawn, dataset, split.unseen_controls, frames=frames)

    note("identity under a control sweep")
    report["identity_drift"] = _drift(networks, dataset, split.train)
    return report


def compare_checkpoints(ours: Trained, other: Trained, sheet: Path) -> Report:
    """The same held-out pictures from two checkpoints, side by side: ground truth | ours | other.

    They may be of different sizes; pictures are compared at the smaller one.

    Returns:
        figures of both on these pictures, and the share of the ground truth's fine detail in each.
    """
    dataset = ours.dataset
    targets = _pick(ours.split.unseen_controls, 48)
    side = min(dataset.size_px, other.dataset.size_px)
    wanted, boxes = _tensor(dataset.pictures[targets], side), torch.from_numpy(dataset.regions[targets])
    columns, figures = [wanted], {}
    for name, trained in (("ours", ours), ("other", other)):
        w = latents_of(trained.networks, trained.dataset, trained.split.train, dataset.identity[targets])
        generator = trained.networks.generator_ema
        drawn = metrics.reduced(premultiplied_tensor(draw(generator, w, dataset.controls[targets])), side)
        columns.append(drawn)
        figures[name] = metrics.figures(drawn, wanted, boxes)
    shown = unpremultiply(
        torch.stack([column[:12] for column in columns], 1)
        .flatten(0, 1)
        .mul(255)
        .round()
        .byte()
        .permute(0, 2, 3, 1)
        .numpy()
    )
    write_sheet(sheet, shown, columns=6, column_labels=("wanted", "this checkpoint", "the other") * 2)
    return figures


def _pick(indices: Indices, count: int) -> Indices:
    """Evenly spread."""
    chosen: Indices = indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int)]
    return chosen


def _source_and_target(dataset: Dataset, indices: Indices, count: int) -> tuple[Indices, Indices]:
    """For every held-out picture, the one of the same person that shows most: eyes open, head straight.

    That is the picture a user would give; closed eyes hide their colour.
    """
    names = [control.name for control in dataset.manifest.controls]
    hiding = np.zeros(len(dataset.controls), np.float32)
    for column, (name, (low, high, rest)) in enumerate(zip(names, dataset.control_ranges, strict=True)):
        weight = 4.0 if name.startswith("eyeBlink") else 1.0 if name.startswith(("head", "body")) else 0.3
        hiding += weight * np.abs(dataset.controls[:, column] - rest) / (high - low)
    sources, targets = [], []
    for target in _pick(indices, count):
        own = indices[(dataset.identity[indices] == dataset.identity[target]) & (indices != target)]
        if len(own):
            sources.append(own[np.argmin(hiding[own])])
            targets.append(target)
    return np.array(sources), np.array(targets)


def _thumbnails(dataset: Dataset) -> npt.NDArray[np.float32]:
    factor = max(1, dataset.size_px // THUMB_PX)
    side = dataset.size_px // factor
    out = np.empty((len(dataset.pictures), side * side * 4), np.float32)
    for index, picture in enumerate(dataset.pictures):
        out[index] = picture.reshape(side, factor, side, factor, 4).mean((1, 3)).ravel() / 255
    return out


def _nearest(thumbs: npt.NDArray[np.float32], target: int, candidates: Indices) -> int:
    distance = np.zeros(len(candidates), np.float32)
    for start in range(0, len(candidates), 2048):
        rows = slice(start, start + 2048)
        distance[rows] = np.square(thumbs[candidates[rows]] - thumbs[target]).sum(1)
    return int(candidates[np.argmin(distance)])


def _tensor(premultiplied: Uint8, size_px: int) -> Tensor:
    return metrics.reduced(torch.from_numpy(np.array(premultiplied)).permute(0, 3, 1, 2).float() / 255, size_px)


def _compare(
    dataset: Dataset, targets: Indices, answers: Uint8, nearest: Indices, at_px: int, sheet: Path | None
) -> Report:
    """Figures of ours and the baseline, and a sheet of ground truth | ours | baseline, worst rows first."""
    wanted, boxes = _tensor(dataset.pictures[targets], at_px), torch.from_numpy(dataset.regions[targets])
    drawn = metrics.reduced(premultiplied_tensor(answers), at_px)
    if sheet is not None:
        order = torch.argsort(metrics.psnr(drawn, wanted)).numpy()
        order = (
            np.concatenate([order[:8], order[np.linspace(8, len(order) - 1, 16).astype(int)]])
            if len(order) > 24
            else order
        )
        columns = [
            unpremultiply(dataset.pictures[targets[order]]),
            answers[order],
            unpremultiply(dataset.pictures[nearest[order]]),
        ]
        side = dataset.size_px
        write_sheet(
            sheet,
            np.stack(columns, 1).reshape(-1, side, side, 4),
            columns=6,
            column_labels=("wanted", "drawn", "nearest") * 2,
        )
    return {
        "frames": len(targets),
        "ours": {**metrics.figures(drawn, wanted, boxes), **msgspec.structs.asdict(alpha.measure(answers))},
        "nearest_training_frame": metrics.figures(_tensor(dataset.pictures[nearest], at_px), wanted, boxes),
    }


def _drift(networks: Networks, dataset: Dataset, train: Indices) -> Report:
    """Identity drift according to the encoder while controls sweep, relative to the distance between people."""
    identities = np.unique(dataset.identity[train])
    identities = identities[np.linspace(0, len(identities) - 1, min(12, len(identities))).astype(int)]
    rest = np.array([[r[2] for r in dataset.control_ranges]], np.float32)
    shown = np.concatenate([rest, sweep_controls(dataset.control_ranges, 3)])
    seen = []
    for w in latents_of(networks, dataset, train, identities):
        pictures = draw(networks.generator_ema, w[None], shown, dataset.size_px)
        premultiplied = (premultiplied_tensor(pictures) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        seen.append(encode(networks.encoder_ema, premultiplied))
    return drift(seen)
