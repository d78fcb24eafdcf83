"""Loss of a network that predicts attributes.

    mean over choices  of -log softmax(found)[the right word]
  + mean over numbers  of ((found - right) / their deviation)^2

The first is cross-entropy (Bishop 2006, Pattern Recognition and Machine Learning, equation 4.108).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttributeLoss(nn.Module):
    """Set up once for the given attributes.

    Args:
        attributes: float [K, a], of the training people.
        choices: first column and the one after the last of each categorical attribute.
    """

    deviation: Tensor
    numbers: Tensor

    def __init__(self, attributes: Tensor, choices: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        chosen = {column for start, stop in choices for column in range(start, stop)}
        self.choices = tuple(choices)
        numbers = [column for column in range(attributes.shape[1]) if column not in chosen]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64))
        self.register_buffer("deviation", attributes.std(0, correction=0)[numbers].clamp_min(1e-3))

    def forward(self, found: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Both [N, a] -> `words` and `numbers`, whichever exist."""
        terms = {}
        if self.choices:
            words = [F.cross_entropy(found[:, a:b], right[:, a:b].argmax(1)) for a, b in self.choices]
            terms["words"] = torch.stack(words).mean()
        if len(self.numbers):
            error = (found[:, self.numbers] - right[:, self.numbers]) / self.deviation
            terms["numbers"] = error.square().mean()
        return terms
