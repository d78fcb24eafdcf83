"""An ONNX Runtime session that draws directly into the caller's memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .base import Floats, Pixels

_BOUND_BUFFERS: Final = 64


class BoundSession:
    """Runs a generator with inputs and outputs bound to reused memory: a frame allocates no pixels."""

    def __init__(self, session: Any) -> None:
        """Wrap a session.

        Args:
            session: an `onnxruntime.InferenceSession` of a generator.
        """
        self._session = session
        self._bindings: dict[tuple[int, int, int, int], Any] = {}

    def run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        """Draw; shapes and types have been checked.

        Args:
            w: float32 [N, w_dim].
            controls: float32 [N, c].
            out: uint8 [N, H, W, 4], of the caller; complete when this returns.

        Raises:
            Exception: whatever the library raises; its errors share no base class.
        """
        key = (w.ctypes.data, controls.ctypes.data, out.ctypes.data, out.shape[0])
        binding = self._bindings.get(key)
        if binding is None:
            if len(self._bindings) >= _BOUND_BUFFERS:
                self._bindings.clear()
            binding = self._bindings[key] = self._bind(w, controls, out)
        self._session.run_with_iobinding(binding)

    def _bind(self, w: Floats, controls: Floats, out: Pixels) -> Any:
        """Bind the graph's inputs and outputs to this memory; only addresses are kept."""
        binding = self._session.io_binding()
        for name, array in (("w", w), ("controls", controls)):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        binding.bind_output("rgba", "cpu", 0, np.uint8, out.shape, out.ctypes.data)
        return binding
