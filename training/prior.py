"""The latent prior: fits the mapping network to the latents of the training pictures.

Knows latents and the mapping, not pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.ema import update_average
from training.networks import Mapping


def fit_mapping(latents: Tensor, noise_sigma: float, *, steps: int, seed: int) -> Mapping:
    """Flow matching from standard normal noise to the encoder's latents.

    Args:
        latents: float [M, w_dim], one row per training identity.
        noise_sigma: added to them, as in training; it keeps the field from memorising points.
        steps: optimiser steps of 512 latents.
        seed: of the noise.

    Returns:
        A mapping with averaged weights, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    current, average = Mapping(w_dim=latents.shape[1]), Mapping(w_dim=latents.shape[1])
    for mapping in (current, average):
        mapping.mean.copy_(latents.mean(0))
        mapping.std.copy_(latents.std(0, correction=0).clamp_min(1e-3))
    average.load_state_dict(current.state_dict())
    optimizer = torch.optim.AdamW(current.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    for step in range(steps):
        rows = torch.randint(len(latents), (512,), generator=generator)
        noise = torch.randn(512, latents.shape[1], generator=generator)
        spread = torch.randn(512, latents.shape[1], generator=generator) * noise_sigma
        data = (latents[rows] + spread - current.mean) / current.std
        time = torch.rand(512, 1, generator=generator)
        velocity = current.field(noise + (data - noise) * time, time)
        loss = (velocity - (data - noise)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        update_average(average, current, images=step * 512, batch=512, half_life=50_000)
    return average.eval()
