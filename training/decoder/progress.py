"""Sheets written during a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.data.control_ranges import sweep_controls
from training.data.dataset import Dataset
from training.decoder.latents import Indices, latents_of
from training.decoder.pictures import draw, encode
from training.decoder.state import Networks
from training.pictures import unpremultiply
from training.sheets import Uint8, write_sheet


def draw_progress_sheets(folder: Path, networks: Networks, dataset: Dataset, frames: Indices, images: int) -> None:
    """Reconstructions, a control sweep and, once there is a prior, new identities, with the averaged weights.

    A reconstruction is the ground truth, the picture drawn from the latent used in training if that comes from
    attributes, and the one drawn from the encoder's view of another picture.

    Args:
        folder: receives `<kimg>-<what>.png`.
        networks: of the run.
        dataset: at the current size.
        frames: training frames, some of which are redrawn.
        images: pictures shown so far.
    """
    size, stamp = dataset.size_px, f"{images // 1000:05d}"
    generator = networks.generator_ema
    chosen = frames[np.linspace(0, len(frames) - 1, 16).astype(int)]
    identity = dataset.identity[frames]
    sources = np.array([frames[identity == dataset.identity[f]][0] for f in chosen])
    latents = [encode(networks.encoder_ema, dataset.pictures[sources])]
    if networks.known_ema is not None:
        latents.insert(0, latents_of(networks, dataset, frames, dataset.identity[chosen]))
    redrawn = [draw(generator, w, dataset.controls[chosen], size) for w in latents]
    shown = np.stack([unpremultiply(dataset.pictures[chosen]), *redrawn], 1).reshape(-1, size, size, 4)
    write_sheet(folder / f"{stamp}-reconstruction.png", shown, columns=2 * (1 + len(latents)))

    sweep = draw(generator, latents[0][:1], sweep_controls(dataset.control_ranges, 5), size)
    names = [control.name for control in dataset.manifest.controls]
    write_sheet(folder / f"{stamp}-sweep.png", _small(sweep), columns=10, row_labels=names[::2])

    if networks.mapping is not None:
        rng = torch.Generator().manual_seed(0)
        device = next(networks.mapping.parameters()).device
        with torch.no_grad():
            w = networks.mapping(torch.randn(32, networks.mapping.z_dim, generator=rng).to(device))
        rest = np.array([[r[2] for r in dataset.control_ranges]] * 32, np.float32)
        write_sheet(folder / f"{stamp}-samples.png", _small(draw(generator, w, rest, size)), columns=8)


def _small(pictures: Uint8, limit_px: int = 128) -> Uint8:
    """Every n-th pixel, so that large sheets stay quick to open."""
    step = max(1, pictures.shape[1] // limit_px)
    return pictures[:, ::step, ::step]
