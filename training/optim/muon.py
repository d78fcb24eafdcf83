"""Muon: momentum with an orthogonalised update for every weight matrix.

Jordan 2024 (https://kellerjordan.github.io/posts/muon). PyTorch's own supports matrices only; convolutions are matrices
too, one row per output channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of the quintic Newton-Schulz iteration, from the same source.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
LONGEST = 4096  # maximum side of a matrix worth orthogonalising


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised.

    Args:
        params: weights of two or four dimensions.
        lr: spectral norm of one update, before the factor for tall matrices.
        momentum: of the average of gradients.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state: dict[str, Any] = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average: Tensor = state["average"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                update = orthogonalise(ahead.flatten(1))
                tall = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                parameter.add_(update.view(parameter.shape), alpha=-group["lr"] * tall)


def matrices_and_others(
    not_matrices: tuple[str, ...], *networks: nn.Module
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden weights, for Muon, and all other trainable ones, for Adam.

    Args:
        not_matrices: name prefixes of heads and of layers that read pixels.
        networks: whose weights.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for network in networks:
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            hidden = parameter.dim() in (2, 4) and not name.startswith(not_matrices)
            (matrices if hidden and max(parameter.flatten(1).shape) < LONGEST else others).append(parameter)
    return matrices, others


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest matrix with all singular values about 1: [m, n] -> [m, n]."""
    x = matrix.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(_A * x, torch.addmm(_B * gram, gram, gram, alpha=_C), x)
    return (x if wide else x.T).to(matrix.dtype)
