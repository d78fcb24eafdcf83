"""Checkpoints: the whole state of a run in one file, written atomically and free of non-finite numbers.

Beside `NAME.pt` is the previous one, `NAME.previous.pt`.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime.atomic import replacing
from training.errors import CheckpointError, TrainingError

FORMAT = 1
PARTS = {"recipe": str, "data_digest": str, "networks": dict, "optimizers": dict, "position": dict}
# What torch and zipfile raise for files in other formats.
TORN = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    zlib.error,
    struct.error,
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path` and move it there, so that a crash or a full disk leaves the old one intact.

    The previous checkpoint stays as `previous_of(path)`.

    Args:
        path: target; its folder exists.
        state: tensors, numbers, strings, lists and dicts of them.

    Raises:
        TrainingError: a number in it is not finite; nothing was written.
        SinkError: the file system refused; the earlier checkpoint is still there.
    """
    broken = not_finite(state)
    if broken:
        raise TrainingError(f"{path} was not written: {_told(broken)} not finite. What was there before is untouched.")
    # Into memory first: torch reports a full disk with its own error, without naming the cause.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with replacing(path) as part:
        part.write_bytes(buffer.getbuffer())
        _keep_previous(path)


def load_checkpoint(path: Path, *parts: str) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Args:
        path: a `.pt` file.
        parts: members of `PARTS` that it must hold besides its networks.

    Raises:
        CheckpointError: no such file, damaged, non-finite weights, or written by a newer version. The
            message names the previous checkpoint, if that can be used.
    """
    try:
        return _read(path, parts)
    except CheckpointError as error:
        before = previous_of(path)
        if not path.exists() or not before.exists():
            raise
        try:
            kimg = _read(before, ("position",))["position"]["images"] / 1000
        except (CheckpointError, KeyError, TypeError):
            raise error from None
        raise CheckpointError(
            f"{error} The previous one is intact, at {kimg:.1f} kimg. To resume from there, move {before} to {path}."
        ) from error


def previous_of(path: Path) -> Path:
    """Path of the previous checkpoint."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def not_finite(state: Any, name: str = "") -> list[str]:
    """Names of all floating-point tensors, in nested dicts and lists, that hold NaN or infinity."""
    if isinstance(state, Tensor):
        return [name] if state.is_floating_point() and not torch.isfinite(state).all() else []
    pairs = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, (list, tuple)) else ()
    return [found for key, value in pairs for found in not_finite(value, f"{name}.{key}" if name else str(key))]


def _read(path: Path, parts: tuple[str, ...]) -> dict[str, Any]:
    try:
        # torch omits the checksums of the parts, and a truncated zip file has no directory.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged: its part {damaged} is not what was written.")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}. Train first: bunraku-train fit RECIPE.") from None
    except TORN as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is not a readable checkpoint: {first_line}. Use another one, or train again."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise CheckpointError(f"{path} has checkpoint format {found}; this version reads {FORMAT}. Update Bunraku.")
    missing = [part for part in ("networks", *parts) if not isinstance(state.get(part), PARTS[part])]
    if missing:
        raise CheckpointError(f"{path} is not a checkpoint of a run: it has no {', '.join(missing)}. Use another one.")
    broken = not_finite(state["networks"])
    if broken:
        raise CheckpointError(
            f"{path} cannot be used: {_told(broken)} not finite, so the run diverged before it was saved. "
            "Use an older checkpoint (stage-1.pt …), or train again with a lower lr."
        )
    return state


def _told(names: list[str]) -> str:
    """`a is`, or `a, b and 7 more are`."""
    shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _keep_previous(path: Path) -> None:
    """Give the file a second name, so that an intact checkpoint exists at any moment."""
    if not path.exists():
        return
    with replacing(previous_of(path)) as aside:
        aside.unlink(missing_ok=True)
        try:
            os.link(path, aside)
        except OSError:  # a file system without links
            shutil.copyfile(path, aside)
