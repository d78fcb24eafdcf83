"""Whether landmarks are fetched from their origin, and from the reference that shows them.

    mean over landmarks seen in both of |flow(now) - (then - now)|
    mean over the same of -log share(now)

The first is the end-point error of optical flow (Baker 2011, doi:10.1007/s11263-010-0390-2, equation 5), the second the
cross-entropy of the source of paint, which is necessary: paint that covered a brow while it was in the wrong place has
no gradient that would remove it again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-3  # share


def landmark_terms(flow: Tensor, shares: Tensor, now: Tensor, then: Tensor) -> dict[str, Tensor]:
    """Both terms, 0 if there are no landmarks.

    Args:
        flow: float [N, R, 2, G, G], in half pictures: from every place to the origin of paint of reference R.
        shares: float [N, R, S, S], 0..1: share of every place that comes from it.
        now: float [N, R, P, 2], positions in the picture of that reference's points, in 0..1; NaN if hidden.
        then: float [N, R, P, 2], their positions in the reference.

    Returns:
        `landmarks`, in half pictures, and `hidden`, in nats.
    """
    seen = torch.isfinite(now).all(3) & torch.isfinite(then).all(3)  # [N, R, P]
    now, then = (torch.where(seen[..., None], points * 2 - 1, 0) for points in (now, then))
    count = seen.sum().clamp_min(1)
    found = _at(flow, now)
    away = (found - (then - now)).square().sum(3).add(1e-8).sqrt()
    hidden = -_at(shares[:, :, None], now)[..., 0].clamp_min(LEAST).log()
    return {"landmarks": (away * seen).sum() / count, "hidden": (hidden * seen).sum() / count}


def _at(planes: Tensor, points: Tensor) -> Tensor:
    """Sample planes [N, R, C, S, S] at points [N, R, P, 2], -1..1: [N, R, P, C]."""
    found = F.grid_sample(
        planes.float().flatten(0, 1), points.flatten(0, 1)[:, None], padding_mode="border", align_corners=False
    )
    return found[:, :, 0].transpose(1, 2).reshape(*points.shape[:3], -1)
