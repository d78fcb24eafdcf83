"""Inputs and outputs of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine_bridge.errors import EngineError
from runtime.character.onnx_graph import FLOAT, UINT8, TensorInfo, summarise

from .base import Sizes

_TYPES: Final[dict[int, np.dtype[Any]]] = {FLOAT: np.dtype(np.float32), UINT8: np.dtype(np.uint8)}


@dataclass(frozen=True, slots=True)
class End:
    """One input or output.

    Attributes:
        name: in the graph.
        shape: of one row; a batch adds a leading dimension.
        dtype: of its numbers.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Ends:
    """All inputs and outputs of a network."""

    inputs: tuple[End, ...]
    outputs: tuple[End, ...]

    def __iter__(self) -> Iterator[End]:
        return iter((*self.inputs, *self.outputs))


def ends_of_generator(sizes: Sizes) -> Ends:
    """Inputs and outputs of a network that draws every pixel."""
    inputs = (End("w", (sizes.w_dim,), _TYPES[FLOAT]), End("controls", (sizes.num_controls,), _TYPES[FLOAT]))
    return Ends(inputs, (End("rgba", (sizes.height, sizes.width, 4), _TYPES[UINT8]),))


def ends_of_graph(model: bytes) -> Ends:
    """Inputs and outputs declared by a graph.

    Args:
        model: ONNX, checked.

    Raises:
        EngineError: more than the batch size is open, or one has another type than float32 and uint8.
    """
    told = summarise(model)
    return Ends(_ends(told.inputs), _ends(told.outputs))


def _ends(told: Iterable[TensorInfo]) -> tuple[End, ...]:
    ends = []
    for info in told:
        shape = tuple(size for size in info.shape[1:] if size is not None)
        if len(shape) + 1 != len(info.shape) or info.element_type not in _TYPES:
            raise EngineError(
                f"{info.name} of the graph has no fixed shape of float32 or uint8 numbers. Export the character again: "
                "bunraku-train export"
            )
        ends.append(End(info.name, shape, _TYPES[info.element_type]))
    return tuple(ends)
