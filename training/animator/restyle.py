"""Other people's styles, from the ones there are: references and wanted pictures changed alike. Knows tensors.

An animator that has only seen one hand's drawings learns that hand. What is changed here commutes with moving paint,
or nearly so: colours (an affine map, which premultiplied colours bear), tones in steps, soft lines, and how the figure
is framed. Each person of a batch is changed by chance, and all of their pictures in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
SHIFT = 0.06  # of the figure, in half pictures
ZOOM = (0.94, 1.04)


@dataclass(frozen=True)
class Restyle:
    """One batch's changes, drawn from a generator; P people with F pictures each.

    Attributes:
        colours: float32 [P, 3, 4], maps of colour, the last column for what is added.
        levels: float32 [P], steps of tone; 0 leaves them alone.
        soft: bool [P], whether lines are soft.
        places: float32 [P, 2, 3], affine maps of places as `torch.nn.functional.affine_grid` wants them.
        changed: bool [P], whether anything is.
    """

    colours: Tensor
    levels: Tensor
    soft: Tensor
    places: Tensor
    changed: Tensor

    @staticmethod
    def drawn(people: int, share: float, generator: torch.Generator) -> Restyle:
        """Chances for so many people; `share` of them are changed."""

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand((people, *shape), generator=generator) * (high - low) + low

        changed = uniform(0, 1) < share
        grey = torch.tensor(LUMA).expand(3, 3)
        saturation = uniform(0.25, 1.25)[:, None, None]
        orders = torch.stack([torch.eye(3)[torch.randperm(3, generator=generator)] for _ in range(people)])
        keep = (uniform(0, 1) < 0.5)[:, None, None]
        turned = torch.where(keep, torch.eye(3), orders) @ (saturation * torch.eye(3) + (1 - saturation) * grey)
        contrast, brightness = uniform(0.7, 1.15)[:, None, None], uniform(-0.08, 0.08)[:, None]
        added = 0.5 * (1 - contrast[:, 0]) + brightness + uniform(-0.04, 0.04, 3)
        colours = torch.cat([contrast * turned, added[:, :, None]], 2)
        levels = torch.where(uniform(0, 1) < 0.25, torch.randint(5, 9, (people,), generator=generator), 0).float()
        zoom, shift = uniform(*ZOOM), uniform(-SHIFT, SHIFT, 2)
        moved = (uniform(0, 1) < 0.5)[:, None, None]
        still = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        places = torch.cat([still[:, :2] / zoom[:, None, None], shift[:, :, None]], 2)
        return Restyle(colours, levels, uniform(0, 1) < 0.25, torch.where(moved, places, still), changed)

    def pictures(self, pictures: Tensor, *, small: bool = False) -> Tensor:
        """Change pictures.

        Args:
            pictures: premultiplied, 0..1, [P * N, ..., 4, S, S], N of each person in a row.
            small: they are smaller than those they are compared with, and lines stay as hard as they are.

        Returns:
            the same, changed.
        """
        if not self.changed.any():
            return pictures
        people = len(self.changed)
        rows = pictures.reshape(people, -1, 4, *pictures.shape[-2:])
        out = rows.clone()
        for person in self.changed.nonzero()[:, 0].tolist():
            out[person] = self._one(person, rows[person], small=small)
        return out.view(pictures.shape)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes x0, y0, x1, y1 in 0..1, float32 [P * F, K, 4], where the figure is now."""
        return self.points(boxes.view(*boxes.shape[:-1], 2, 2)).flatten(-2)

    def points(self, points: Tensor) -> Tensor:
        """Points x, y in 0..1, float32 [P * F, J, K, 2], where they are now."""
        each = len(points) // len(self.changed)
        places = torch.where(self.changed[:, None, None], self.places, torch.eye(2, 3)).to(points.device)
        places = places.repeat_interleave(each, 0)
        zoom, shift = places[:, None, None, [0, 1], [0, 1]], places[:, None, None, :, 2]
        return ((points * 2 - 1 - shift) / zoom + 1) / 2

    def _one(self, person: int, pictures: Tensor, *, small: bool) -> Tensor:
        colours = self.colours[person].to(pictures.device)
        alpha = pictures[:, 3:]
        painted = (
            torch.einsum("ij,njhw->nihw", colours[:, :3], pictures[:, :3]) + colours[:, 3].view(1, 3, 1, 1) * alpha
        )
        painted = painted.clamp_min(0).minimum(alpha)
        levels = float(self.levels[person])
        if levels:
            painted = ((painted / alpha.clamp_min(1 / 255)) * levels).round() / levels * alpha
        changed = torch.cat([painted, alpha], 1)
        if self.soft[person] and not small:
            changed = F.avg_pool2d(F.pad(changed, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        place = self.places[person]
        if not torch.equal(place, torch.eye(2, 3)):
            grid = F.affine_grid(
                place.to(pictures.device).expand(len(changed), 2, 3), list(changed.shape), align_corners=False
            )
            changed = F.grid_sample(changed, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return changed
