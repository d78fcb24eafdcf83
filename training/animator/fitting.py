"""A latent that fits one picture: what the encoder guessed, improved by what the whole chain draws of it.

    loss = moved(animator(reader(portrait(w)), pose), picture) + FAR * mean((w - guess)^2)

A network that has seen many people guesses who somebody is; the one picture at hand tells what it missed (hybrid
inversion, Zhu 2016, arXiv:1609.03552). The pose of the picture must be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.layers import unit_size
from training.losses.moved import MovedLoss

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask
    from training.portrait.task import PortraitTask

RATE: Final = 0.06  # of Adam, in latents of mean square 1; falls to nothing
FAR: Final = 0.02  # how much a latent is held back that goes away from the guess


def fitted(
    animator: AnimatorTask,
    portrait: PortraitTask,
    pictures: Tensor,
    controls: Tensor,
    guess: Tensor,
    *,
    steps: int,
    at_once: int = 4,
) -> Tensor:
    """Fit latents to pictures, each by itself.

    Args:
        animator: an opened run; stays as it is.
        portrait: the one that the latents are of; stays as it is.
        pictures: premultiplied, float32 [N, 4, S, S], 0..1.
        controls: float32 [N, c], natural units: the poses that the pictures show.
        guess: float32 [N, w_dim], mean square 1.
        steps: of gradient descent.
        at_once: pictures at a time.

    Returns:
        float32 [N, w_dim], mean square 1.
    """
    found = [
        _fitted(animator, portrait, *rows, steps=steps)
        for rows in zip(*(torch.split(given, at_once) for given in (pictures, controls, guess)), strict=True)
    ]
    return torch.cat(found)


def _fitted(
    animator: AnimatorTask, portrait: PortraitTask, pictures: Tensor, controls: Tensor, guess: Tensor, *, steps: int
) -> Tensor:
    weights = animator.recipe.loss
    loss_of = MovedLoss(weights.gradient, weights.coarse)
    everywhere = torch.ones_like(pictures[:, :1])
    w = guess.clone().requires_grad_()
    adam = torch.optim.Adam([w], lr=RATE)
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * (1 - step / steps)
        latent = unit_size(w)
        drawn = animator.moved(portrait.drawn(latent, pictures.shape[-1]), controls)
        loss, _ = loss_of(drawn, pictures, everywhere)
        loss = loss + FAR * F.mse_loss(latent, guess)
        adam.zero_grad()
        (loss * len(pictures)).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return unit_size(w).detach()
