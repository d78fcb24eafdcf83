"""The teacher of a distillation: a finished generator that draws pictures to learn from.

Distillation (Hinton 2015, arXiv:1503.02531) for a generator: the smaller network sees the larger one's output for
people and poses absent from any data set, in any number.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import Tensor

from training.checkpoint import load_checkpoint
from training.decoder.networks import Generator
from training.decoder.recipe import DecoderRecipe
from training.decoder.state import build_generator
from training.errors import CheckpointError
from training.latents.people import Mapping
from training.losses.terms import premultiply


class Teacher:
    """Draws people who need not exist. Nothing here is trained."""

    def __init__(self, generator: Generator, mapping: Mapping | None) -> None:
        self._generator = generator.requires_grad_(False).eval()
        self._mapping = mapping.requires_grad_(False).eval() if mapping is not None else None

    @staticmethod
    def open(
        checkpoint: Path, control_ranges: list[tuple[float, float, float]], sizes_px: set[int], device: torch.device
    ) -> Teacher:
        """Load the averaged generator of a finished run, and its latent prior if it has one.

        Args:
            checkpoint: a `.pt` file.
            control_ranges: of the data; the controls must be the same, in the same order.
            sizes_px: picture sizes that will be requested.
            device: where to draw.

        Raises:
            CheckpointError: there is no checkpoint, or it draws other pictures.
        """
        state = load_checkpoint(checkpoint, "recipe")
        weights = state["networks"]
        try:
            generator = build_generator(msgspec.json.decode(state["recipe"], type=DecoderRecipe), control_ranges)
            generator.load_state_dict(weights["generator_ema"])
        except (KeyError, RuntimeError, msgspec.MsgspecError) as error:
            raise CheckpointError(f"{checkpoint} cannot teach this run: {error}. Name another in [start].") from error
        missing = sorted(sizes_px - {int(size) for size in generator.heads})
        if missing:
            raise CheckpointError(
                f"{checkpoint} cannot draw pictures of {missing[0]} px, so it cannot teach them. "
                "Name another in [start], or omit [distil]."
            )
        mapping = None
        if "mapping" in weights:
            mapping = Mapping.shaped_as(weights["mapping"])
            mapping.load_state_dict(weights["mapping"])
            mapping = mapping.to(device)
        generator = generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Teacher(generator, mapping)

    @torch.no_grad()
    def people(self, latents: Tensor, count: int) -> Tensor:
        """Latents to draw, [count, w_dim]: half from the prior if there is one, the others between two of `latents`."""
        drawn = count // 2 if self._mapping is not None else 0
        pairs = torch.randint(len(latents), (2, count - drawn), device=latents.device)
        between = torch.lerp(latents[pairs[0]], latents[pairs[1]], torch.rand(count - drawn, 1, device=latents.device))
        if self._mapping is None:
            return between
        return torch.cat([self._mapping(torch.randn(drawn, self._mapping.z_dim, device=latents.device)), between])

    @torch.no_grad()
    def draw(self, w: Tensor, controls: Tensor, size_px: int) -> Tensor:
        """Premultiplied RGBA, float32 [N, 4, size_px, size_px]."""
        return premultiply(self._generator(w, controls, size_px).float())
