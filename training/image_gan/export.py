"""From a run of the dense GAN to a character file: a generator, noise as latents, and a few named seeds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.numpy import save as save_tensors

from engine_bridge.errors import CharacterError
from runtime.character.manifest import FrameSize, Manifest
from runtime.character.writing import write_character
from training.image_gan.graphs import generator_graph, mapping_graph
from training.image_gan.sheets import bytes_of
from training.provenance import provenance_of, ranges_of, runtime_controls
from training.task import Note

if TYPE_CHECKING:
    from training.image_gan.dense import DenseTask

PARITY_TOLERANCE = 4  # of 255, at the worst pixel: weights travel as fp16
NAMED = 8  # seeds; a character needs names, which are buttons in the window


def export_dense(
    task: DenseTask, out: Path, *, name: str, report: dict[str, Any], note: Note = lambda _: None
) -> Manifest:
    """Write a character file from the averaged weights.

    Args:
        task: an opened run.
        out: the `.bunraku` file.
        name: of the character.
        report: quality figures for `report.json`.
        note: told the current step.

    Raises:
        CharacterError: the exported graph draws different pictures from the trained network.
    """
    note("graphs")
    dataset, z_dim = task.dataset, task.recipe.model.z_dim
    graph = generator_graph(task.generator_ema, z_dim)
    parity = _check_parity(task, graph)
    table = task.latents(range(1, NAMED + 1))
    preview = io.BytesIO()
    Image.fromarray(bytes_of(task.draw(table[:1]))[0]).save(preview, "WEBP", lossless=True)
    members: dict[str, bytes | Path] = {
        "generator.onnx": graph,
        "mapping.onnx": mapping_graph(z_dim),
        "latents.safetensors": save_tensors({"identities": table.numpy()}),
        "report.json": msgspec.json.format(msgspec.json.encode({**report, "export_parity": parity}), indent=2),
        "preview.webp": preview.getvalue(),
    }
    manifest = Manifest(
        name=name,
        licence=dataset.manifest.licence,
        author=dataset.manifest.author,
        provenance=provenance_of(
            task.recipe,
            dataset,
            images=task.position.images,
            seconds=task.position.seconds,
            ancestors=task.ancestors,
        ),
        frame=FrameSize(dataset.size_px, dataset.size_px),
        controls=ranges_of(runtime_controls(dataset)),
        identities={f"seed {row + 1}": row for row in range(NAMED)},
    )
    note("writing")
    return write_character(out, manifest, members)


def _check_parity(task: DenseTask, graph: bytes, *, seeds: int = 64) -> dict[str, int]:
    """Draw the same pictures with both.

    Returns:
        the largest difference in 255ths, and how many pictures were compared.

    Raises:
        CharacterError: the difference exceeds what rounding and fp16 weights explain.
    """
    z = task.latents(range(seeds))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"w": z.numpy(), "controls": torch.zeros(seeds, 1).numpy()})
    worst = int(np.abs(found.astype(np.int16) - bytes_of(task.draw(z)).astype(np.int16)).max())
    if worst > PARITY_TOLERANCE:
        raise CharacterError(
            f"The exported graph differs from the trained network by up to {worst}/255 (allowed: {PARITY_TOLERANCE}). "
            "Report this with your recipe and versions.json."
        )
    return {"max_difference_255": worst, "pictures": seeds}
