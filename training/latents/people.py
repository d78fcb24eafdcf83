"""Identity latents without pictures: from attributes, and from noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.layers import Mlp, unit_size

FEW_VALUES = 4  # a number with this many values, or fewer, is categorical
LEAST_EFFECT = 0.6  # of an attribute on the latent, whose size is the root of w_dim; training adds noise of 0.1


class KnownIdentities(nn.Module):
    """Identity latents of the people of a data set, from their attributes.

    Linear, so that the midpoint of two latents is the latent of the midpoint attributes.

    Args:
        attributes: float [K, a], one row per identity.
        w_dim: size of the identity latent.
    """

    attributes: Tensor

    def __init__(self, *, attributes: Tensor, w_dim: int) -> None:
        super().__init__()
        self.register_buffer("attributes", attributes)
        self.out = nn.Linear(attributes.shape[1], w_dim)

    def forward(self, identity: Tensor) -> Tensor:
        """Numbers of identities, int [N] -> [N, w_dim], mean square 1."""
        return unit_size(self.out(self.attributes[identity]))

    @torch.no_grad()
    def imitate(self, identity: Tensor, latents: Tensor) -> None:
        """Become nearly the least-squares map to given latents, while making every attribute noticeable.

        Attributes that barely affect the latents, eye colour for one, would drown in the noise of training. They
        are amplified to `LEAST_EFFECT`, in directions that the latents use least.

        Args:
            identity: int [N].
            latents: float [N, w_dim], from an encoder.
        """
        known = F.pad(self.attributes[identity], (0, 1), value=1.0).double()
        gram = known.T @ known + len(known) * 1e-3 * torch.eye(known.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, known.T @ latents.double()).float()
        weight, bias = solution[:-1].T, solution[-1]
        spread = self.attributes.std(0)
        used = torch.linalg.eigh((weight * spread) @ (weight * spread).T + torch.outer(bias, bias)).eigenvectors
        idle = used[:, : len(bias) // 2]
        extra = idle @ torch.randn(idle.shape[1], weight.shape[1], generator=torch.Generator().manual_seed(0))
        effect = (weight * spread).norm(dim=0)
        missing = (LEAST_EFFECT**2 - effect**2).clamp_min(0).sqrt() / spread
        self.out.weight.copy_(weight + extra / extra.norm(dim=0) * missing)
        self.out.bias.copy_(bias)


class WholeAttributes(nn.Module):
    """Snaps attributes to plausible ones -> the identity latent.

    Half a bun and half a jacket were never seen and come out as ghosts. So a categorical attribute snaps to one word,
    a number with few values to the nearest of these, and no number leaves its observed range.

    Args:
        attributes: float [K, a], of real people.
        choices: see `AttributeTable`.
        out: as in `KnownIdentities`.
    """

    lowest: Tensor
    highest: Tensor
    few: Tensor
    middles: Tensor
    rises: Tensor
    choices: Tensor

    def __init__(self, attributes: Tensor, choices: Sequence[tuple[int, int]], out: nn.Linear) -> None:
        super().__init__()
        levels = [column.unique() for column in attributes.T]
        few = torch.tensor([len(values) <= FEW_VALUES for values in levels])
        # With fewer than FEW_VALUES of them the last is repeated: a step of zero.
        steps = torch.stack([values[torch.arange(FEW_VALUES).clamp_max(len(values) - 1)] for values in levels])
        self.register_buffer("lowest", attributes.amin(0))
        self.register_buffer("highest", attributes.amax(0))
        self.register_buffer("few", few)
        self.register_buffer("middles", (steps[:, 1:] + steps[:, :-1]) / 2)
        self.register_buffer("rises", steps.diff(dim=1))
        self.register_buffer("choices", torch.tensor(choices, dtype=torch.int64).view(-1, 2))
        self.out = out

    def forward(self, attributes: Tensor) -> Tensor:
        """[N, a] -> [N, w_dim], mean square 1."""
        stepped = self.lowest + ((attributes[:, :, None] >= self.middles).float() * self.rises).sum(2)
        whole = torch.where(self.few, stepped, attributes.clamp(self.lowest, self.highest))
        parts, end = [], 0
        for start, stop in self.choices.tolist():
            chosen = attributes[:, start:stop]
            parts += [whole[:, end:start], (chosen >= chosen.amax(1, keepdim=True)).float()]
            end = stop
        return unit_size(self.out(torch.cat([*parts, whole[:, end:]], 1)))


class Mapping(nn.Module):
    """Sampled latent z -> identity latent w, by integrating a learned velocity field.

    Flow matching (Lipman 2023, arXiv:2210.02747): the field is fitted to the people of the data set, so that a z drawn
    from the normal distribution becomes a realistic character. The field moves latents, or, where `whole` is
    set, attributes that become latents at the end.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, z_dim: int, width: int = 512, steps: int = 12) -> None:
        super().__init__()
        self.z_dim, self.steps = z_dim, steps
        self.velocity = Mlp(z_dim + 2, width, width, width, z_dim)
        self.register_buffer("mean", torch.zeros(z_dim))
        self.register_buffer("std", torch.ones(z_dim))
        self.whole: WholeAttributes | None = None

    @staticmethod
    def shaped_as(state: dict[str, Tensor]) -> Mapping:
        """An unfitted mapping to load these weights into."""
        mapping = Mapping(z_dim=len(state["mean"]), width=len(state["velocity.layers.0.bias"]))
        if "whole.choices" in state:
            attributes = torch.zeros(1, mapping.z_dim)
            out = nn.Linear(mapping.z_dim, len(state["whole.out.bias"]))
            mapping.whole = WholeAttributes(attributes, [(0, 0)] * len(state["whole.choices"]), out)
        return mapping

    def field(self, x: Tensor, time: Tensor) -> Tensor:
        """Velocity at x [N, w_dim] and time [N, 1], 0 at the noise and 1 at the data."""
        angle = time * (torch.pi / 2)
        out: Tensor = self.velocity(torch.cat([x, torch.cos(angle), torch.sin(angle)], 1))
        return out

    def forward(self, z: Tensor) -> Tensor:
        """[N, z_dim], standard normal -> w [N, w_dim]."""
        x = z
        for step in range(self.steps):
            # Midpoint rule: the time is that of the middle of the step.
            time = torch.full_like(x[:, :1], (step + 0.5) / self.steps)
            start = torch.full_like(x[:, :1], step / self.steps)
            half = x + self.field(x, start) * (0.5 / self.steps)
            x = x + self.field(half, time) / self.steps
        x = x * self.std + self.mean
        return x if self.whole is None else self.whole(x)
