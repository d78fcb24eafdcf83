"""Distances between pictures, individually and as distributions."""

from __future__ import annotations

import torch
from torch import Tensor

AT_ONCE = 2048  # pictures that others are compared with


def nearest(pictures: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of some pictures to each of others.

    Args:
        pictures: [N, ...].
        among: [M, ...], candidates.

    Returns:
        root mean squared difference, [N], and the index of the nearest, [N].
    """
    flat, parts = pictures.flatten(1), torch.split(among.flatten(1), AT_ONCE)
    found = [torch.cdist(flat, part).min(1) for part in parts]
    far = torch.stack([part.values for part in found])
    best = far.min(0)
    rows = torch.stack([part.indices for part in found]).gather(0, best.indices[None])[0]
    return best.values / flat.shape[1] ** 0.5, rows + AT_ONCE * best.indices


def variety(pictures: Tensor) -> float:
    """Mean distance between two of them, in the units of `nearest`."""
    flat = pictures.flatten(1)
    return float(torch.pdist(flat).mean()) / float(flat.shape[1] ** 0.5)


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of two normal distributions with the means and covariances of these rows.

    |mean - mean|^2 + trace(C + C' - 2 (C C')^1/2), Dowson 1982 (doi:10.1016/0047-259X(82)90077-X). Few rows of the same
    distribution are not at 0: compare only sets of equal size.

    Args:
        a: [N, d].
        b: [M, d].
    """
    a, b = a.double(), b.double()
    one, other = torch.cov(a.T), torch.cov(b.T)
    roots = torch.linalg.eigvals(one @ other).real.clamp_min(0).sqrt()  # real but for rounding
    means = (a.mean(0) - b.mean(0)).square().sum()
    return float(means + one.trace() + other.trace() - 2 * roots.sum())
