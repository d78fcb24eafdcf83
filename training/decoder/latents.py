"""Identity latents of the people in a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.decoder.pictures import encode
from training.latents.encoder import Encoder

if TYPE_CHECKING:
    from training.data.dataset import Dataset
    from training.decoder.state import Networks

Indices = npt.NDArray[np.int64]
ENCODE_BATCH = 64


def latents_of(
    networks: Networks, dataset: Dataset, frames: Indices, people: npt.NDArray[Any], *, per_identity: int = 16
) -> Tensor:
    """The latent of each of `people`: from attributes if the run was trained on them, otherwise from pictures.

    Args:
        networks: averaged weights are used.
        dataset: of the run.
        frames: training frames; each of `people` has some.
        people: numbers of identities, [K]; may repeat.
        per_identity: maximum number of pictures used.

    Returns:
        [K, w_dim] on the CPU.
    """
    if networks.known_ema is None:
        return encode_identities(networks.encoder_ema, dataset, frames, people, per_identity=per_identity)
    device = networks.known_ema.attributes.device
    with torch.no_grad():
        latents: Tensor = networks.known_ema(torch.from_numpy(people).long().to(device))
    return latents.cpu()


def encode_identities(
    encoder: Encoder, dataset: Dataset, frames: Indices, people: npt.NDArray[Any], *, per_identity: int
) -> Tensor:
    """Mean latent over some frames of each person, evenly spread: [K, w_dim], arguments as for `latents_of`."""
    who, place = np.unique(people, return_inverse=True)
    order = frames[np.argsort(dataset.identity[frames], kind="stable")]
    starts = np.searchsorted(dataset.identity[order], who)
    ends = np.searchsorted(dataset.identity[order], who, side="right")
    groups = [
        order[np.linspace(a, b - 1, min(per_identity, b - a)).astype(int)] for a, b in zip(starts, ends, strict=True)
    ]
    chosen = np.concatenate(groups)
    parts = [
        encode(encoder, dataset.pictures[rows])
        for rows in np.split(chosen, range(ENCODE_BATCH, len(chosen), ENCODE_BATCH))
    ]
    encoded = torch.cat(parts)
    means = torch.stack([part.mean(0) for part in torch.split(encoded, [len(group) for group in groups])])
    return means[torch.from_numpy(place.reshape(-1))]
