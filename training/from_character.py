"""Networks from a character file, to continue training with."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from runtime.character.file import Character
from training.errors import CheckpointError
from training.onnx_export import weights_of_onnx
from training.task import Ancestor

Weights = dict[str, Tensor]


def weights_of(character: Character, member: str, prefix: str = "") -> Weights:
    """Weights of one of its networks, by their names in training.

    Args:
        character: an open one.
        member: a graph in it.
        prefix: what the export put before every name.

    Raises:
        CheckpointError: it has no such member.
    """
    if member not in character:
        raise CheckpointError(
            f"{character.path} has no {member}, so this recipe's networks cannot begin with it. "
            "Name another character or the final.pt of a run."
        )
    found = weights_of_onnx(character.read(member))
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(values))
        for name, values in found.items()
        if name.startswith(prefix)
    }


def ancestors_in(character: Character, part: str | None = None) -> tuple[Ancestor, ...]:
    """The ancestors of its weights, the last one last; the character itself, if it does not say.

    Args:
        character: an open one.
        part: of its provenance, if not the whole.
    """
    provenance: Any = character.manifest.provenance
    try:
        provenance = provenance if part is None else provenance[part]
        before = msgspec.convert(provenance.get("began_with", []), tuple[Ancestor, ...])
        own = Ancestor(provenance["recipe"]["name"], float(provenance["kimg"]), float(provenance["training_minutes"]))
    except (msgspec.ValidationError, KeyError, TypeError, ValueError):
        return (Ancestor(character.manifest.name, 0.0, 0.0),)
    return *before, own
