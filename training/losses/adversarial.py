"""Losses of a generator and a discriminator that compete.

`softplus(D(fake) - D(real))` for the discriminator, `softplus(D(real) - D(fake))` for the generator: each picture is
judged against a partner (RpGAN, Huang 2024, arXiv:2501.05441). The discriminator has to be smooth about both (R1 and R2
there), approximated without second derivatives by the effect of a little noise (Lin 2025, arXiv:2501.08316,
section 3.3), every few steps only (Karras 2020, arXiv:1912.04958, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ROUGHNESS_EVERY = 4  # steps
ROUGHNESS_SIGMA = 0.02  # of the noise

Discriminator = Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]]


class Shown(NamedTuple):
    """Pictures to judge, and what they should show.

    Attributes:
        pictures: float32 [N, C, S, S], 0..1.
        condition: float32 [N, d].
    """

    pictures: Tensor
    condition: Tensor


def discriminator_loss(
    discriminator: Discriminator, real: Shown, fake: Shown, *, roughness: float, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of the discriminator.

    Args:
        discriminator: returns realness and features.
        real: pictures from the data.
        fake: drawn ones, as many or more; they get no gradient. Picture i is compared with the real i, modulo their
            number.
        roughness: weight of R1 and R2.
        step: of the run.

    Returns:
        The loss and its terms, `discriminator` and, in some steps, `roughness`.
    """
    drawn, count = fake.pictures.detach(), len(real.pictures)
    judged_real, judged_fake = discriminator(*real)[0].float(), discriminator(drawn, fake.condition)[0].float()
    loss = relativistic(_partners(judged_real, len(drawn)), judged_fake)
    terms = {"discriminator": loss}
    if step % ROUGHNESS_EVERY == 0:
        rough = _changed(discriminator, real.pictures, real.condition, judged_real)
        rough = rough + _changed(discriminator, drawn[:count], fake.condition[:count], judged_fake[:count])
        terms["roughness"] = rough
        loss = loss + roughness * ROUGHNESS_EVERY * rough
    return loss, terms


def generator_terms(discriminator: Discriminator, real: Shown, fake: Shown) -> dict[str, Tensor]:
    """Losses of the generator: `adversarial`, and `feature`, the mean error of the discriminator's features.

    Args:
        discriminator: its weights need no gradient here.
        real: pictures from the data.
        fake: drawn ones, as many or more; the first correspond to the real ones.
    """
    with torch.no_grad():
        judged_real, features_real = discriminator(*real)
    judged_fake, features_fake = discriminator(*fake)
    count = len(real.pictures)
    errors = [(a[:count].float() - b.float()).abs().mean() for a, b in zip(features_fake, features_real, strict=True)]
    return {
        "adversarial": relativistic(judged_fake.float(), _partners(judged_real.float(), len(fake.pictures))),
        "feature": torch.stack(errors).mean(),
    }


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """softplus(worse - better), a scalar: each is judged against its partner."""
    return F.softplus(worse - better).mean()


def _partners(judged: Tensor, count: int) -> Tensor:
    return judged[torch.arange(count, device=judged.device) % len(judged)]


def _changed(discriminator: Discriminator, pictures: Tensor, condition: Tensor, judged: Tensor) -> Tensor:
    """Squared change of the judgement under a little noise."""
    noisy, _ = discriminator(pictures + torch.randn_like(pictures) * ROUGHNESS_SIGMA, condition)
    change: Tensor = (noisy.float() - judged).square().mean()
    return change
