"""The engine interface: from identities and controls to pixels.

`engines/` holds one file per library.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import EngineError

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Input and output sizes of a generator.

    Attributes:
        w_dim: numbers per identity.
        num_controls: numbers per pose.
        width: of the picture in pixels.
        height: of the picture in pixels.
    """

    w_dim: int
    num_controls: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """Description of an engine.

    Attributes:
        backend: name for `--engine`.
        provider: what the backend runs on, for example `CPUExecutionProvider`.
        version: of the backend's library.
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        threads: processor threads for inference; 0 on a GPU.
        sizes: of rows and pictures.
    """

    backend: str
    provider: str
    version: str
    precision: str
    threads: int
    sizes: Sizes

    @property
    def label(self) -> str:
        """Label for frames and the window, for example `onnxruntime/CPU fp32`."""
        return f"{self.backend}/{self.provider.removesuffix('ExecutionProvider')} {self.precision}"

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor."""
        return self.threads > 0


class Engine(abc.ABC):
    """One generator, loaded by one library. Use it as a context manager, or call `activate` and `deactivate`.

    An engine belongs to one thread at a time; it may move between threads while no call is running. Two engines may
    run at once.
    """

    def __init__(self) -> None:
        self._active = False

    @property
    @abc.abstractmethod
    def description(self) -> EngineDescription:
        """Description of the engine; known before `activate`."""

    def activate(self) -> None:
        """Load the network and run it once, so that the first frame is as fast as later ones. Safe to call twice.

        Raises:
            EngineError: the library refuses the network.
        """
        if self._active:
            return
        self._load()
        self._active = True
        sizes = self.description.sizes
        warm_up = np.empty((1, sizes.height, sizes.width, 4), np.uint8)
        with contextlib.ExitStack() as unless_it_draws:
            unless_it_draws.callback(self.deactivate)
            self.infer(np.zeros((1, sizes.w_dim), np.float32), np.zeros((1, sizes.num_controls), np.float32), warm_up)
            unless_it_draws.pop_all()

    def infer(self, w: Floats, controls: Floats, out: Pixels) -> None:
        """Draw N pictures.

        Args:
            w: float32 [N, w_dim], truncation already applied.
            controls: float32 [N, num_controls], natural units (degrees, 0..1), in the character's order.
            out: uint8 [N, H, W, 4], C-contiguous, owned by the caller. Complete when the call returns; the engine does
                not rely on its contents afterwards. Passing the same few buffers again is fastest.

        Raises:
            EngineError: the engine is not active, a shape or type is wrong, or the library failed.
        """
        if not self._active:
            raise EngineError("The engine is not active. Call activate() first, or use it in a with block.")
        sizes = self.description.sizes
        count = w.shape[0] if w.ndim == 2 else 0
        if (
            count < 1
            or w.dtype != np.float32
            or controls.dtype != np.float32
            or out.dtype != np.uint8
            or w.shape != (count, sizes.w_dim)
            or controls.shape != (count, sizes.num_controls)
            or out.shape != (count, sizes.height, sizes.width, 4)
            or not (w.flags.c_contiguous and controls.flags.c_contiguous and out.flags.c_contiguous)
            or not out.flags.writeable
        ):
            raise EngineError(
                f"The engine takes contiguous w float32 [N, {sizes.w_dim}], controls float32 [N, {sizes.num_controls}] "
                f"and a writable out uint8 [N, {sizes.height}, {sizes.width}, 4], but got w {w.dtype} {list(w.shape)}, "
                f"controls {controls.dtype} {list(controls.shape)} and out {out.dtype} {list(out.shape)}."
            )
        self._run(w, controls, out)

    def deactivate(self) -> None:
        """Release the network and its memory. Safe to call twice; `activate` may follow."""
        if self._active:
            self._active = False
            self._unload()

    def __enter__(self) -> Engine:
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()

    @abc.abstractmethod
    def _load(self) -> None:
        """Load the network."""

    @abc.abstractmethod
    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        """Draw; the arguments have been checked."""

    @abc.abstractmethod
    def _unload(self) -> None:
        """Release everything that `_load` made."""


class LoadedGraph(Protocol):
    """A graph with any number of inputs and outputs, loaded by some library. Used by one thread at a time."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs from all inputs, by name; each output is contiguous and valid until the next call.

        Raises:
            EngineError: the library failed.
        """

    def close(self) -> None:
        """Release the library's memory; nothing is called afterwards. Safe to call twice."""
