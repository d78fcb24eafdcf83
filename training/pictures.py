"""Picture conversion between numpy and torch, straight and premultiplied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Uint8 = npt.NDArray[np.uint8]


def unpremultiply(premultiplied: Uint8) -> Uint8:
    """uint8 [..., 4] premultiplied -> straight; colour under alpha 0 becomes 0."""
    alpha = np.maximum(premultiplied[..., 3:].astype(np.float32), 1)
    colour = np.minimum(premultiplied[..., :3].astype(np.float32) * 255 / alpha + 0.5, 255)
    return np.concatenate([colour.astype(np.uint8), premultiplied[..., 3:]], -1)


def planar(pictures: Uint8, device: torch.device) -> Tensor:
    """uint8 [..., S, S, 4] -> float32 [..., 4, S, S], 0..1, contiguous on the device."""
    return torch.from_numpy(np.asarray(pictures)).to(device).movedim(-1, -3).float().div_(255).contiguous()


def premultiplied_tensor(straight: Uint8) -> Tensor:
    """uint8 [N, S, S, 4] straight -> float32 [N, 4, S, S] premultiplied, 0..1."""
    picture = torch.from_numpy(straight).permute(0, 3, 1, 2).float() / 255
    return torch.cat([picture[:, :3] * picture[:, 3:], picture[:, 3:]], 1)
