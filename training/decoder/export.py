"""From a checkpoint to a character file: graphs, named latents, parity check, manifest.

Writes what `runtime.character.file` reads.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.numpy import save as save_tensors
from torch import Tensor

from engine_bridge.errors import CharacterError
from runtime.character.expressions import default_expressions
from runtime.character.idle import IdleSettings
from runtime.character.manifest import FrameSize, Manifest
from runtime.character.writing import write_character
from training.data.dataset import Dataset, Split
from training.decoder.alpha import provenance_note
from training.decoder.graphs import encoder_graph, generator_graph, half_generator_graph
from training.decoder.latents import latents_of
from training.decoder.networks import Generator
from training.decoder.pictures import draw
from training.decoder.recipe import DecoderRecipe
from training.decoder.state import Networks
from training.errors import CheckpointError
from training.latents.graphs import mapping_graph
from training.latents.people import Mapping
from training.losses import terms as losses
from training.losses.reconstruction import reconstruction_loss
from training.provenance import provenance_of, ranges_of, runtime_controls
from training.task import Ancestor

PARITY_TOLERANCE = 6  # of 255, at the worst pixel: weights travel as fp16
REFINE_STEPS = 40
REFINE_BATCH = 12


@dataclass(frozen=True)
class Trained:
    """A run of the decoder, with its data."""

    recipe: DecoderRecipe
    networks: Networks
    dataset: Dataset
    split: Split
    images: int
    seconds: float
    ancestors: tuple[Ancestor, ...]


def named_latents(trained: Trained, *, refine: bool, note: Callable[[str], None] = lambda _: None) -> dict[str, Tensor]:
    """Latents of the named identities (or of identity 0, under the recipe's name, if none has one).

    Args:
        trained: networks and data.
        refine: optimise each on its own training frames; the generator is frozen.
        note: told the name of the current person.

    Returns:
        name to [w_dim].
    """
    dataset, train = trained.dataset, trained.split.train
    people = dataset.named or {trained.recipe.name: int(dataset.identity[train[0]])}
    out = {}
    for name, identity in people.items():
        note(name)
        w = latents_of(trained.networks, dataset, train, np.array([identity]))[0]
        out[name] = _refine(trained, w, train[dataset.identity[train] == identity]) if refine else w
    return out


def _refine(trained: Trained, start: Tensor, frames: np.ndarray[Any, Any]) -> Tensor:
    """Latent optimisation with a frozen generator, the "projection" of Karras 2020 (arXiv:1912.04958)."""
    generator, dataset = trained.networks.generator_ema, trained.dataset
    eyes, mouth = trained.recipe.emphasis(trained.recipe.stage[-1])
    w = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([w], lr=0.02)
    rng = np.random.default_rng(trained.recipe.seed)
    for step in range(REFINE_STEPS):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / REFINE_STEPS)
        chosen = rng.choice(frames, min(REFINE_BATCH, len(frames)), replace=False)
        target = torch.from_numpy(dataset.pictures[chosen]).permute(0, 3, 1, 2).float() / 255
        regions = torch.from_numpy(dataset.regions[chosen])
        with torch.autocast("cpu", torch.bfloat16):
            straight = generator(w.expand(len(chosen), -1), torch.from_numpy(dataset.controls[chosen]))
        weight = losses.region_weights(regions, dataset.size_px, eyes, mouth)
        loss, _ = reconstruction_loss(straight.float(), target, weight, gradient=0.0, bleed=0.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return w.detach()


def export_character(
    trained: Trained,
    out: Path,
    *,
    name: str,
    report: dict[str, Any],
    refine: bool = True,
    half: bool = True,
    note: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Write a character file.

    Args:
        trained: run to export; uses averaged weights.
        out: the `.bunraku` file.
        name: of the character.
        report: quality figures for `report.json`.
        refine: see `named_latents`.
        half: add the generator in half precision; `training.precision.reduced` judges it.
        note: told the current step.

    Raises:
        CharacterError: the exported graph draws different pictures from the trained network.
    """
    networks, dataset = trained.networks, trained.dataset
    latents = named_latents(trained, refine=refine, note=lambda name: note(f"latent of {name}"))
    note("graphs")
    generator = networks.generator_ema
    graph = generator_graph(generator, len(dataset.manifest.controls))
    table = torch.stack(list(latents.values()))
    parity = check_parity(generator, graph, table, dataset)
    controls = runtime_controls(dataset)
    members: dict[str, bytes | Path] = {
        "generator.onnx": graph,
        "encoder.onnx": encoder_graph(networks.encoder_ema, dataset.size_px),
        "latents.safetensors": save_tensors({"identities": table.numpy().astype(np.float32)}),
        "expressions.json": msgspec.json.encode({"expressions": default_expressions(controls)}),
        "idle.json": msgspec.json.encode(IdleSettings()),
        "report.json": msgspec.json.format(msgspec.json.encode({**report, "export_parity": parity}), indent=2),
        "preview.webp": _preview(generator, table, dataset),
    }
    if half:
        members["generator.fp16.onnx"] = half_generator_graph(generator, len(dataset.manifest.controls))
    if networks.mapping is not None:
        _check_mapping(networks.mapping)
        members["mapping.onnx"] = mapping_graph(networks.mapping)
    manifest = Manifest(
        name=name,
        licence=dataset.manifest.licence,
        author=dataset.manifest.author,
        provenance={
            **provenance_of(
                trained.recipe,
                dataset,
                images=trained.images,
                seconds=trained.seconds,
                ancestors=trained.ancestors,
            ),
            "alpha": provenance_note(),
        },
        frame=FrameSize(dataset.size_px, dataset.size_px),
        controls=ranges_of(controls),
        identities={name: row for row, name in enumerate(latents)},
    )
    note("writing")
    return write_character(out, manifest, members)


def check_parity(generator: Generator, graph: bytes, latents: Tensor, dataset: Dataset) -> dict[str, int]:
    """Draw the same pictures with both.

    Returns:
        the largest difference in 255ths, and how many pictures were compared.

    Raises:
        CharacterError: the difference exceeds what rounding and fp16 weights explain.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    controls = dataset.controls[np.linspace(0, len(dataset.controls) - 1, 16).astype(int)]
    w = latents[torch.arange(16) % len(latents)]
    expected = draw(generator, w, controls).astype(np.int16)
    found = session.run(None, {"w": w.numpy(), "controls": controls})[0].astype(np.int16)
    worst = int(np.abs(found - expected).max())
    if worst > PARITY_TOLERANCE:
        raise CharacterError(
            f"The exported graph differs from the trained network by up to {worst}/255 (allowed: {PARITY_TOLERANCE}). "
            "Report this with your recipe and versions.json."
        )
    return {"max_difference_255": worst, "pictures": len(controls)}


@torch.no_grad()
def _check_mapping(mapping: Mapping) -> None:
    """Reject a latent prior with non-finite output."""
    w = mapping(torch.randn(64, mapping.z_dim, generator=torch.Generator().manual_seed(0)))
    if not torch.isfinite(w).all():
        raise CheckpointError(
            "The latent prior gives latents that are not finite: its fit diverged. Use an older checkpoint."
        )


def _preview(generator: Generator, latents: Tensor, dataset: Dataset) -> bytes:
    """The first identity at rest."""
    rest = np.array([[c.rest for c in dataset.manifest.controls]], np.float32)
    buffer = io.BytesIO()
    Image.fromarray(draw(generator, latents[:1], rest)[0]).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
