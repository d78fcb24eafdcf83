"""Whether somebody stays the same person while they move. Knows latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def drift(seen: Sequence[Tensor]) -> dict[str, float]:
    """How far an encoder thinks people move from themselves, against how far apart they are.

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


def sweep_controls(ranges: Sequence[tuple[float, float, float]], steps: int) -> npt.NDArray[np.float32]:
    """Every control from its minimum to its maximum, the others at rest: [c * steps, c].

    Args:
        ranges: (minimum, maximum, rest) of each.
        steps: per control.
    """
    rest = np.array([r[2] for r in ranges], np.float32)
    rows = []
    for index, (low, high, _) in enumerate(ranges):
        for value in np.linspace(low, high, steps):
            row = rest.copy()
            row[index] = value
            rows.append(row)
    return np.stack(rows)
