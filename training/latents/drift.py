"""Identity preservation under motion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def drift(seen: Sequence[Tensor]) -> dict[str, float]:
    """Distance of moved people from themselves according to an encoder, relative to that between people.

    Args:
        seen: latents of each person, [1 + n, w_dim]: at rest, and moved.

    Returns:
        `mean_distance` from rest; with several people also `between_identities`, and the `ratio` of both.
    """
    distance = float(torch.cat([(latents[1:] - latents[0]).norm(dim=1) for latents in seen]).mean())
    out = {"mean_distance": round(distance, 4)}
    if len(seen) > 1:
        apart = float(torch.pdist(torch.stack([latents[0] for latents in seen])).mean())
        out |= {"between_identities": round(apart, 4), "ratio": round(distance / max(apart, 1e-9), 4)}
    return out
