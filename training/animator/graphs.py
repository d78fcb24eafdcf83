"""The graphs of a person who is moved, as ONNX bytes. Knows networks, not files.

Two halves, so that the second may be done by a kernel, a GPU or a shader: the *reader*, once per person, and the
*animator*, whose motion `runtime.composite` turns into a picture.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from runtime.composite.references import REFERENCES
from training.animator.networks import READER_PX, Animator, Person, Reader
from training.onnx_export import onnx_of

FEATURES = ("coarse", "middle", "fine")
PERSON = ("code", *FEATURES)  # what a reader gives and an animator takes


class _Reading(nn.Module):
    """References as bytes -> a person. The cast first: TensorRT's parser takes bytes only at the ends of a graph."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = copy.deepcopy(reader).eval().cpu().float()

    def forward(self, references: Tensor) -> tuple[Tensor, ...]:
        person = self.reader(references.float().permute(0, 1, 4, 2, 3) / 255)
        return (person.code, *person.features)


class _Moving(nn.Module):
    """A person and controls -> motion."""

    def __init__(self, animator: Animator) -> None:
        super().__init__()
        self.animator = copy.deepcopy(animator).eval().cpu().float()

    def forward(
        self, code: Tensor, coarse: Tensor, middle: Tensor, fine: Tensor, controls: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(self.animator(Person(code, (coarse, middle, fine)), controls))


def reader_graph(reader: Reader) -> bytes:
    """`references` uint8 [N, len(REFERENCES), READER_PX, READER_PX, 4], premultiplied -> the arrays of `PERSON`."""
    example = torch.zeros(2, len(REFERENCES), READER_PX, READER_PX, 4, dtype=torch.uint8)
    return onnx_of(_Reading(reader), (example,), ["references"], PERSON)


def animator_graph(reader: Reader, animator: Animator, controls: int) -> bytes:
    """The arrays of `PERSON` and `controls` float32 [N, c], natural units -> `flow` and `planes` of `Motion`."""
    with torch.no_grad():
        person = _Reading(reader)(torch.zeros(2, len(REFERENCES), READER_PX, READER_PX, 4, dtype=torch.uint8))
    example = (*person, torch.zeros(2, controls))
    return onnx_of(_Moving(animator), example, [*PERSON, "controls"], ["flow", "planes"])
