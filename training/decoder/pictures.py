"""Network input and output as pictures: drawing, encoding, control sweeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.decoder.networks import Generator
from training.errors import CheckpointError
from training.latents.encoder import Encoder
from training.sheets import Uint8

Float32 = npt.NDArray[np.float32]

DRAW_BATCH = 16


@torch.no_grad()
def draw(generator: Generator, w: Tensor, controls: Float32, size_px: int | None = None) -> Uint8:
    """Draw any number of pictures like the exported graph.

    Args:
        generator: in evaluation mode.
        w: float [N, w_dim], or [1, w_dim] for one identity throughout.
        controls: float32 [N, c], natural units.
        size_px: a size the generator has a head for.

    Returns:
        uint8 [N, S, S, 4], straight RGBA.

    Raises:
        CheckpointError: the network's output is not finite, which as bytes would look like a picture.
    """
    device = next(generator.parameters()).device
    w = w.to(device).expand(len(controls), -1)
    parts = []
    for start in range(0, len(controls), DRAW_BATCH):
        rows = slice(start, start + DRAW_BATCH)
        straight = generator(w[rows], torch.from_numpy(controls[rows]).to(device), size_px)
        _require_finite(straight, "draws pictures")
        parts.append((straight.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


@torch.no_grad()
def encode(encoder: Encoder, premultiplied: Uint8) -> Tensor:
    """uint8 [N, S, S, 4] premultiplied -> latent [N, w_dim] on the CPU.

    Raises:
        CheckpointError: the network's output is not finite.
    """
    device = next(encoder.parameters()).device
    parts = []
    for start in range(0, len(premultiplied), 64):
        pictures = torch.from_numpy(np.array(premultiplied[start : start + 64])).to(device)
        parts.append(encoder(pictures.permute(0, 3, 1, 2).float().div_(255)).float().cpu())
        _require_finite(parts[-1], "sees people")
    return torch.cat(parts)


def _require_finite(result: Tensor, what: str) -> None:
    if not torch.isfinite(result).all():
        raise CheckpointError(
            f"This network {what} of numbers that are not finite: its training diverged. "
            "Use an older checkpoint, or train again with a lower learning rate."
        )
