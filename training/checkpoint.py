"""Checkpoints: the whole state of a run in one file, never half-written. Knows files, not networks."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from engine_bridge.errors import CheckpointError
from runtime.atomic import replacing

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path` and move it there, so that a kill or a full disk leaves the older one whole.

    Args:
        path: target; its folder exists.
        state: tensors, numbers, strings, lists and dicts of them.

    Raises:
        SinkError: the file system refused; the earlier checkpoint is still there.
    """
    # Into memory first: torch reports a full disk as an error of its own, without saying that the disk was full.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with replacing(path) as part:
        part.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        CheckpointError: no such file, damaged, or written by a newer version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}. Train first: bunraku-train fit RECIPE.") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is no readable checkpoint: {first_line} Use another one, or train again."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise CheckpointError(f"{path} has checkpoint format {found}; this version reads {FORMAT}. Update Bunraku.")
    return state
