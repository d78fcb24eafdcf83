"""`latents.safetensors`: the latents of named people, and directions between them. Knows tensors, no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain

from .archive import EXPORT_AGAIN, MAX_PEOPLE, MEBI
from .ends import MAX_LATENT
from .latents import Floats
from .names import refuse_unfit_names

MAX_HEADER: Final = 1 * MEBI


def read_latents(
    data: bytes, *, identities: Mapping[str, int], takes: int | None, file: str
) -> tuple[Floats, dict[str, Floats]]:
    """Decode and check `latents.safetensors`.

    Args:
        data: the member's bytes.
        identities: name to row, as in the manifest.
        takes: how many numbers the generator takes; None for any number.
        file: name of the file, for messages.

    Returns:
        float32 [k, w_dim], a row for each person; and name to direction, float32 [w_dim].

    Raises:
        CharacterError: it cannot be read, has other tensors than these, or lacks a row.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    where = f"latents.safetensors in {file}"
    if int.from_bytes(data[:8], "little") > MAX_HEADER:
        raise CharacterError(f"{where} has a header of more than {MAX_HEADER // MEBI} MiB. {EXPORT_AGAIN}")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CharacterError(f"{where} cannot be read: {plain(str(error), LINE_CHARS)}. {EXPORT_AGAIN}") from error
    if "identities" not in tensors:
        raise CharacterError(f"{where} lacks identities. {EXPORT_AGAIN}")
    rows = tensors.pop("identities")
    w_dim = rows.shape[-1] if rows.ndim else -1
    directions: dict[str, Floats] = {}
    for name, tensor in tensors.items():
        if not name.startswith("direction."):
            raise CharacterError(f'{where} holds the unknown tensor "{plain(name)}". {EXPORT_AGAIN}')
        directions[name.removeprefix("direction.")] = tensor
    refuse_unfit_names(where, "direction", list(directions), most=MAX_PEOPLE)
    for tensor in (rows, *directions.values()):
        if tensor.dtype != np.float32 or tensor.shape[-1:] != (w_dim,) or not np.isfinite(tensor).all():
            raise CharacterError(f"{where}: every tensor must be finite float32 [..., {w_dim}]. {EXPORT_AGAIN}")
    if rows.ndim != 2 or any(tensor.ndim != 1 for tensor in directions.values()):
        raise CharacterError(f"{where}: identities must be [k, w_dim] and directions [w_dim]. {EXPORT_AGAIN}")
    if not 1 <= w_dim <= MAX_LATENT:
        raise CharacterError(f"{where} has w_dim {w_dim}, which is outside 1..{MAX_LATENT}. {EXPORT_AGAIN}")
    if takes not in (None, w_dim):
        raise CharacterError(f"{where} has w_dim {w_dim}, generator.onnx takes {takes}. {EXPORT_AGAIN}")
    for name, row in identities.items():
        if not 0 <= row < len(rows):
            raise CharacterError(f'{where} has no row {row} for the identity "{name[:80]}". {EXPORT_AGAIN}')
    return rows, directions
