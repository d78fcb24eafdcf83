"""Beginning with the weights of another run instead of noise. Knows networks and checkpoints, not data or losses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from engine_bridge.errors import CheckpointError
from training.checkpoint import load_checkpoint
from training.networks import Generator
from training.state import Networks

Weights = dict[str, Tensor]


class Ancestor(msgspec.Struct, frozen=True):
    """A run whose weights another one began with.

    Attributes:
        recipe: its name.
        kimg: thousands of pictures it was shown.
        minutes: how long it trained.
    """

    recipe: str
    kimg: float
    minutes: float


def begin_from(networks: Networks, checkpoint: Path, attributes: Tensor | None) -> tuple[Ancestor, ...]:
    """Take over the averaged weights of another run.

    Encoder, guide and identity latents are taken as they are; the generator may have another picture size, fewer or
    more channels and blocks: see `inherit_generator`.

    Args:
        networks: fresh ones, changed in place.
        checkpoint: a `.pt` file of a run with the same controls and the same `w_dim`.
        attributes: float [K, a], of the people trained on now; their latents are taken over if the other run knew the
            same people. None leaves them out.

    Returns:
        The runs that these weights come from, the oldest first.

    Raises:
        CheckpointError: there is none, or it is of another kind of character.
    """
    state = load_checkpoint(checkpoint)
    weights: dict[str, Weights] = state["networks"]
    _same_interface(networks.generator, weights["generator_ema"], checkpoint)
    for generator in (networks.generator, networks.generator_ema):
        inherit_generator(generator, weights["generator_ema"])
    for encoder in (networks.encoder, networks.encoder_ema):
        encoder.load_state_dict(weights["encoder_ema"])
    networks.thumbnail.load_state_dict(weights["thumbnail"])
    known = weights.get("known_ema")
    if known is not None and attributes is not None and torch.equal(known["attributes"], attributes):
        networks.add_known(attributes).load_state_dict(known)
        assert networks.known_ema is not None
        networks.known_ema.load_state_dict(known)
    position: dict[str, Any] = state["position"]
    name = msgspec.json.decode(state["recipe"])["name"]
    before = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])
    return *before, Ancestor(name, round(position["images"] / 1000, 1), round(position["seconds"] / 60, 1))


def inherit_generator(generator: Generator, weights: Weights) -> None:
    """Take over whatever has a place of the same shape; the rest stays as it was initialised.

    A head of another factor on the same trunk begins by drawing the old picture with every pixel repeated, so that a
    character grows from 256 px to 512 px without starting over.
    """
    own = generator.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            if name in own and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
        for size, head in generator.heads.items():
            assert isinstance(head, nn.Conv2d)
            for kind, place in (("weight", head.weight), ("bias", head.bias)):
                assert place is not None
                old = _head_on(weights, int(size) // generator.head, kind)
                if old is not None:
                    _repeat_pixels(place, old)


def _head_on(weights: Weights, trunk_px: int, kind: str) -> Tensor | None:
    """The head, of whatever factor, that sat on this size of the trunk."""
    for name, tensor in weights.items():
        if name.startswith("heads.") and name.endswith(kind):
            factor = math.isqrt(len(tensor) // 4)
            if int(name.split(".")[1]) == trunk_px * factor:
                return tensor
    return None


def _repeat_pixels(place: Tensor, old: Tensor) -> None:
    """Fill a head, [4 * n * n, ...], from one with a factor that divides n; others are left alone."""
    factor, before = math.isqrt(len(place) // 4), math.isqrt(len(old) // 4)
    if factor % before or place.shape[1:] != old.shape[1:]:
        return
    pixel = torch.arange(factor) // (factor // before)
    repeated = old.reshape(4, before, before, -1)[:, pixel[:, None], pixel]
    place.copy_(repeated.reshape(place.shape))


def _same_interface(generator: Generator, weights: Weights, checkpoint: Path) -> None:
    """Refuse what takes other inputs."""
    for name in ("lowest", "inverse_half_range", "code.layers.0.weight"):
        own, other = generator.state_dict()[name], weights.get(name)
        if other is None or own.shape != other.shape or (own.dim() == 1 and not torch.allclose(own, other)):
            raise CheckpointError(
                f"{checkpoint} takes other controls, or has another w_dim or code_dim, than this recipe and its data. "
                "Begin with a run on the same kind of data, or leave [start] out."
            )
