"""The latent prior: fits the mapping network to the people of the data set."""

from __future__ import annotations

import torch
from torch import Tensor

from training.errors import TrainingError
from training.latents.people import Mapping, WholeAttributes
from training.optim.ema import update_average


def fit_mapping(
    people: Tensor, noise_sigma: float, *, steps: int, seed: int, whole: WholeAttributes | None = None
) -> Mapping:
    """Flow matching from standard normal noise to latents, or to attributes if there is a `whole` to map them.

    Args:
        people: float [M, z_dim], one row per training identity.
        noise_sigma: added to them; keeps the field from memorising points.
        steps: optimiser steps of 512 rows.
        seed: of the noise.
        whole: becomes the mapping's last step.

    Returns:
        A mapping with averaged weights, on the CPU.

    Raises:
        TrainingError: the people, or the result of the fit, are not finite.
    """
    if not torch.isfinite(people).all():
        raise TrainingError(
            "The latent prior cannot be fitted: latents of people are not finite. The encoder has diverged; train "
            "again with a lower learning rate."
        )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    current, average = Mapping(z_dim=people.shape[1]), Mapping(z_dim=people.shape[1])
    for mapping in (current, average):
        mapping.mean.copy_(people.mean(0))
        mapping.std.copy_(people.std(0, correction=0).clamp_min(1e-3))
    average.load_state_dict(current.state_dict())
    optimizer = torch.optim.AdamW(current.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    for step in range(steps):
        rows = torch.randint(len(people), (512,), generator=generator)
        noise = torch.randn(512, people.shape[1], generator=generator)
        spread = torch.randn(512, people.shape[1], generator=generator) * noise_sigma
        data = (people[rows] + spread - current.mean) / current.std
        time = torch.rand(512, 1, generator=generator)
        velocity = current.field(noise + (data - noise) * time, time)
        loss = (velocity - (data - noise)).square().mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The latent prior diverged at step {step} of {steps}. The checkpoint from before it is kept; people "
                "whose attributes are far from all others' do this: look for wrong numbers in identities.jsonl."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        update_average(average, current, images=step * 512, batch=512, half_life=50_000)
    average.whole = whole
    return average.eval()
