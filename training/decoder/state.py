"""The networks of a run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.decoder.networks import Discriminator, Generator, Thumbnail
from training.decoder.recipe import DecoderRecipe
from training.errors import CheckpointError
from training.latents.encoder import Encoder
from training.latents.people import KnownIdentities, Mapping


@dataclass
class Networks:
    """All networks of a run, current and averaged.

    `known` appears with the first stage that learns from attributes, `mapping` with the first adversarial one.
    """

    generator: Generator
    encoder: Encoder
    thumbnail: Thumbnail
    discriminator: Discriminator
    generator_ema: Generator
    encoder_ema: Encoder
    known: KnownIdentities | None = None
    known_ema: KnownIdentities | None = None
    mapping: Mapping | None = None

    def state(self) -> dict[str, Any]:
        """Weights by network."""
        return {name: net.state_dict() for name, net in vars(self).items() if net is not None}

    def add_known(self, attributes: Tensor) -> KnownIdentities:
        """Add latents for the people of a data set, [K, a]."""
        self.known = KnownIdentities(attributes=attributes, w_dim=self.generator.w_dim)
        self.known_ema = copy.deepcopy(self.known).requires_grad_(False).eval()
        return self.known

    def load(self, state: dict[str, Any]) -> None:
        """Load weights from `state`.

        Raises:
            CheckpointError: they belong to networks of other sizes, or some are missing.
        """
        missing = [name for name, net in vars(self).items() if net is not None and name not in state]
        if missing:
            raise CheckpointError(f"The checkpoint has no weights of {', '.join(missing)}. Use another one.")
        try:
            if "known" in state:
                self.add_known(state["known"]["attributes"])
            if "mapping" in state:
                self.mapping = Mapping.shaped_as(state["mapping"])
            for name, weights in state.items():
                getattr(self, name).load_state_dict(weights)
        except (RuntimeError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"The checkpoint does not fit the recipe's networks: {error}") from error


def build_networks(recipe: DecoderRecipe, control_ranges: list[tuple[float, float, float]]) -> Networks:
    """Fresh networks; the weights depend only on the recipe's seed."""
    torch.manual_seed(recipe.seed)
    model = recipe.model
    generator = build_generator(recipe, control_ranges)
    encoder = Encoder(w_dim=model.w_dim)
    discriminator = Discriminator(controls=control_ranges, channels=model.discriminator_channels)
    thumbnail = Thumbnail(w_dim=model.w_dim)
    networks = Networks(generator, encoder, thumbnail, discriminator, copy.deepcopy(generator), copy.deepcopy(encoder))
    for net in (networks.generator_ema, networks.encoder_ema):
        net.requires_grad_(False).eval()
    return networks


def build_generator(recipe: DecoderRecipe, control_ranges: list[tuple[float, float, float]]) -> Generator:
    """A fresh generator of the recipe's sizes."""
    model = recipe.model
    return Generator(
        w_dim=model.w_dim,
        controls=control_ranges,
        channels=model.channels,
        blocks=model.blocks,
        modulate_to=model.modulate_to,
        head=model.head,
        sizes_px=sorted({stage.size_px for stage in recipe.stage}),
        code_dim=model.code_dim,
    )
