"""People drawn from a latent instead of stored in the file.

In a character of format 2 an identity is the share of everyone in the file and, if there is a portrait generator, a
latent behind the shares: the mapping network's, with mean square 1 for somebody entirely imagined.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import EngineError
from runtime.composite.references import REFERENCES, References, prepare

from .base import Floats, LoadedGraph

_STEPS: Final = 64  # per unit of a latent: closer neighbours are one person
NEAR: Final = 0.999  # cosine from which two latents look alike


def share_of(latent: Floats) -> float:
    """Weight of the imagined person, 0..1."""
    return float(np.sqrt(np.square(latent).mean())) if latent.size else 0.0


def somebody(latent: Floats) -> bytes:
    """A key for the direction of a latent, whatever its length."""
    whole = latent / max(share_of(latent), 1e-6)
    return np.round(whole * _STEPS).astype(np.int16).tobytes()


def latent_of(key: bytes) -> Floats:
    """The latent of a key, float32 [1, D]."""
    latent: Floats = np.frombuffer(key, np.int16).astype(np.float32)[None] / np.float32(_STEPS)
    return latent


def likeness(one: bytes, other: bytes) -> float:
    """Cosine of two latents."""
    a, b = latent_of(one)[0], latent_of(other)[0]
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))


def imagine(portrait: LoadedGraph, key: bytes) -> References:
    """Draw a person's references.

    Raises:
        EngineError: the graph does not draw references.
    """
    drawn: npt.NDArray[np.uint8] = portrait.run({"w": latent_of(key)})["references"]
    if drawn.dtype != np.uint8 or drawn.ndim != 5 or drawn.shape[1] != len(REFERENCES):
        raise EngineError(f"portrait.onnx draws {drawn.dtype} {list(drawn.shape)} instead of references.")
    return prepare(drawn[0])
