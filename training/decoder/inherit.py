"""Initialises networks with the weights of another run."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint import load_checkpoint
from training.decoder.networks import SEED_SIZE, Generator
from training.decoder.state import Networks
from training.errors import CheckpointError
from training.task import Ancestor, ancestors_of

Weights = dict[str, Tensor]


def begin_from(networks: Networks, checkpoint: Path, attributes: Tensor | None) -> tuple[Ancestor, ...]:
    """Copy the averaged weights of another run.

    Encoder, guide and identity latents are copied; the generator may have another picture size, fewer or
    more channels and blocks: see `inherit_generator`.

    Args:
        networks: freshly initialised, changed in place.
        checkpoint: a `.pt` file of a run with the same controls and the same `w_dim`.
        attributes: float [K, a], of the current training people; their latents are copied if the other run knew the
            same people. None skips them.

    Returns:
        The ancestors of these weights, oldest first.

    Raises:
        CheckpointError: there is no checkpoint, or it belongs to another kind of character.
    """
    state = load_checkpoint(checkpoint, "recipe", "position")
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
    return ancestors_of(state)


def inherit_generator(generator: Generator, weights: Weights) -> None:
    """Copy everything that has a place; the rest stays as initialised.

    A narrower trunk keeps the most important channels (structured pruning by magnitude, Li 2017, arXiv:1608.08710,
    of incoming times outgoing weights), a wider one gets fresh channels that nothing reads yet; with fewer blocks
    the first ones are kept, and additional ones start as the identity. So only pruning changes the picture.
    A head with another factor on the same trunk starts by drawing the old picture with every pixel repeated, so that a
    character grows from 256 px to 512 px without restarting.
    """
    own = generator.state_dict()
    trunk = [_trunk_kept(weights, level, len(own[f"{enter}.weight"])) for level, (enter, _) in _levels(own, weights)]
    with torch.no_grad():
        for name, tensor in weights.items():
            if name.startswith(("code.", "seed.", "const")) and name in own and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
        for level, (enter, blocks) in _levels(own, weights):
            before = trunk[level - 1] if level else None
            _take(own[f"{enter}.weight"], weights[f"{enter}.weight"], trunk[level], before)
            _take(own[f"{enter}.bias"], weights[f"{enter}.bias"], trunk[level])
            for block in _blocks(own, blocks):
                if f"{block}.a.weight" in weights:
                    _take_block(own, weights, block, trunk[level])
        for size, head in generator.heads.items():
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            trunk_px = int(size) // generator.head
            level = (trunk_px // SEED_SIZE).bit_length() - 1
            old = {kind: _head_on(weights, trunk_px, kind) for kind in ("weight", "bias")}
            if old["weight"] is not None and old["bias"] is not None and level < len(trunk):
                columns = torch.zeros_like(old["weight"][:, :1]).expand(-1, len(trunk[level]), -1, -1).clone()
                _take(columns, old["weight"], torch.arange(len(columns)), trunk[level])
                _repeat_pixels(head.weight, columns)
                _repeat_pixels(head.bias, old["bias"])


def _levels(own: Weights, weights: Weights) -> list[tuple[int, tuple[str, str]]]:
    """Resolutions that both have: number, and the names of their inputs and blocks."""
    names = [("enter", "first.blocks"), *((f"stages.{i}.enter", f"stages.{i}.blocks") for i in range(len(own)))]
    return [(i, pair) for i, pair in enumerate(names) if f"{pair[0]}.weight" in own and f"{pair[0]}.weight" in weights]


def _blocks(weights: Weights, prefix: str) -> list[str]:
    found = (name.removesuffix(".a.weight") for name in weights if name.startswith(prefix))
    return [name for name in found if f"{name}.a.weight" in weights]


def _trunk_kept(weights: Weights, level: int, count: int) -> Tensor:
    """Channels of a resolution to keep, int64 [count]; -1 for a fresh one.

    All convolutions that write to or read from the trunk there share its channels.
    """
    enter, prefix = (
        ("enter", "first.blocks") if level == 0 else (f"stages.{level - 1}.enter", f"stages.{level - 1}.blocks")
    )
    blocks = _blocks(weights, prefix)
    written = [
        weights[f"{name}.{kind}"] for name in (enter, *(f"{b}.b" for b in blocks)) for kind in ("weight", "bias")
    ]
    readers = [f"{block}.a.weight" for block in blocks]
    readers += [name for name in (f"stages.{level}.enter.weight",) if name in weights]
    head = _head_on(weights, SEED_SIZE * 2**level, "weight")
    read = [weights[name] for name in readers] + ([head] if head is not None else [])
    return _most_important(_size(written, 0) * _size(read, 1), count)


def _take_block(own: Weights, weights: Weights, block: str, trunk: Tensor) -> None:
    """A block's hidden channels are its own, so each block chooses separately."""
    a, b = (weights[f"{block}.{name}.weight"] for name in "ab")
    written = [a, weights[f"{block}.a.bias"]]
    modulated = f"{block}.affine.weight" in weights
    if modulated:  # the shift is written into them, too
        written += [weights[f"{block}.affine.{kind}"].chunk(3)[2] for kind in ("weight", "bias")]
    hidden = _most_important(_size(written, 0) * _size([b], 1), len(own[f"{block}.a.weight"]))
    _take(own[f"{block}.a.weight"], a, hidden, trunk)
    _take(own[f"{block}.a.bias"], weights[f"{block}.a.bias"], hidden)
    _take(own[f"{block}.b.weight"], b, trunk, hidden)
    _take(own[f"{block}.b.bias"], weights[f"{block}.b.bias"], trunk)
    if modulated and f"{block}.affine.weight" in own:
        for kind in ("weight", "bias"):
            places, parts = own[f"{block}.affine.{kind}"].chunk(3), weights[f"{block}.affine.{kind}"].chunk(3)
            for place, part, rows in zip(places, parts, (trunk, hidden, hidden), strict=True):
                _take(place, part, rows)


def _size(tensors: list[Tensor], axis: int) -> Tensor:
    """Norm over everything for each index of one axis."""
    return (
        torch.stack([t.transpose(0, axis).flatten(1).square().sum(1) if t.dim() > 1 else t.square() for t in tensors])
        .sum(0)
        .sqrt()
    )


def _most_important(importance: Tensor, count: int) -> Tensor:
    """The `count` largest, in their old order; all and then -1 if there are fewer."""
    if count >= len(importance):
        return torch.cat([torch.arange(len(importance)), torch.full((count - len(importance),), -1)])
    return importance.topk(count).indices.sort().values


def _take(place: Tensor, old: Tensor, rows: Tensor, columns: Tensor | None = None) -> None:
    """Fill known rows; weights that read fresh columns are zero. Fresh rows are unchanged."""
    taken = old[rows.clamp_min(0)]
    if columns is not None:
        taken = taken[:, columns.clamp_min(0)]
        taken[:, columns < 0] = 0
    known = rows >= 0
    place[known] = taken[known]


def _head_on(weights: Weights, trunk_px: int, kind: str) -> Tensor | None:
    """The head, of any factor, at this size of the trunk."""
    for name, tensor in weights.items():
        if name.startswith("heads.") and name.endswith(kind):
            factor = math.isqrt(len(tensor) // 4)
            if int(name.split(".")[1]) == trunk_px * factor:
                return tensor
    return None


def _repeat_pixels(place: Tensor, old: Tensor) -> None:
    """Fill a head, [4 * n * n, ...], from one with a factor that divides n; others are unchanged."""
    factor, before = math.isqrt(len(place) // 4), math.isqrt(len(old) // 4)
    if factor % before or place.shape[1:] != old.shape[1:]:
        return
    pixel = torch.arange(factor) // (factor // before)
    repeated = old.reshape(4, before, before, -1)[:, pixel[:, None], pixel]
    place.copy_(repeated.reshape(place.shape))


def _same_interface(generator: Generator, weights: Weights, checkpoint: Path) -> None:
    """Reject networks with other inputs."""
    for name in ("lowest", "inverse_half_range", "code.layers.0.weight"):
        own, other = generator.state_dict()[name], weights.get(name)
        if other is None or own.shape != other.shape or (own.dim() == 1 and not torch.allclose(own, other)):
            raise CheckpointError(
                f"{checkpoint} takes other controls, or has another w_dim or code_dim, than this recipe and its data. "
                "Start from a run on the same kind of data, or omit [start]."
            )
