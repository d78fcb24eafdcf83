"""From a run of the animator to a character file: two graphs, and the pictures of everybody who is in it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime
import torch
from PIL import Image

from engine_bridge.errors import CharacterError
from runtime.character.expressions import default_expressions
from runtime.character.idle import IdleSettings
from runtime.character.manifest import FrameSize, Manifest
from runtime.character.person import Person, members_of_person, small
from runtime.character.writing import write_character
from runtime.composite.base import CLEAR, SOLID
from runtime.engines.factory import moving_engine
from training.animator.graphs import PERSON, animator_graph, reader_graph
from training.data.dataset import Uint8, read_labels
from training.data.references import open_references
from training.pictures import unpremultiply
from training.provenance import provenance_of, ranges_of, runtime_controls
from training.task import Note

if TYPE_CHECKING:
    from training.animator.task import AnimatorTask
    from training.portrait.task import PortraitTask

MOST_PIXELS = 0.1  # of a flow at the picture's size, between the exported graph and the network: weights travel as fp16
MOST_SHARE = 0.02  # the same of a plane


def export_people(
    task: AnimatorTask,
    out: Path,
    *,
    name: str,
    report: dict[str, Any],
    people: Path | None,
    imagined: PortraitTask | None = None,
    note: Note = lambda _: None,
) -> Manifest:
    """Write a character file; averaged weights are taken.

    Args:
        task: an opened run.
        out: the `.bunraku` file.
        name: what the character is called.
        report: quality figures for `report.json`.
        people: a data set whose named people, with references, are taken in place of the run's own; of any size.
        imagined: a run of the portrait generator, which draws people from seeds.
        note: told what is being done.

    Raises:
        CharacterError: the exported graphs move other than the trained networks.
        CheckpointError: the portrait generator has no people from seeds yet.
        DatasetError: the people have no references.
    """
    dataset = task.dataset
    note("people")
    references = _named_references(Path(task.recipe.data.path) if people is None else people, task.recipe.name, note)
    pictures = {name: [_png(picture) for picture in unpremultiply(found)] for name, found in references.items()}
    side = next(iter(references.values())).shape[1]
    note("graphs")
    controls = runtime_controls(dataset)
    reader, animator = reader_graph(task.reader_ema), animator_graph(task.reader_ema, task.animator_ema, len(controls))
    everybody = [Person(name, side, tuple(files)) for name, files in pictures.items()]
    parity = check_parity(task, reader, animator, everybody)
    members: dict[str, bytes | Path] = {
        "reader.onnx": reader,
        "animator.onnx": animator,
        "expressions.json": msgspec.json.encode({"expressions": default_expressions(controls)}),
        "idle.json": msgspec.json.encode(IdleSettings()),
        "report.json": msgspec.json.format(msgspec.json.encode({**report, "export_parity": parity}), indent=2),
        "preview.webp": _preview(reader, animator, everybody[0], [control.rest for control in controls]),
    }
    if imagined is not None:
        note("portrait generator")
        members |= imagined.graphs(side)
    for row, files in enumerate(pictures.values()):
        members |= dict(zip(members_of_person(row), files, strict=True))
    note("writing")
    manifest = Manifest(
        name=name,
        licence=dataset.manifest.licence,
        author=dataset.manifest.author,
        provenance={
            **provenance_of(
                task.recipe,
                dataset,
                images=task.position.images,
                seconds=task.position.seconds,
                ancestors=task.ancestors,
            ),
            "people": "their layers as they were drawn; a network only moves them",
            **({} if imagined is None else {"people_from_seeds": _provenance_of_imagined(imagined)}),
            "alpha": {"clear_up_to": round(CLEAR * 255), "solid_from": round(SOLID * 255)},
        },
        frame=FrameSize(side, side),
        controls=ranges_of(controls),
        identities={name: row for row, name in enumerate(pictures)},
    )
    return write_character(out, manifest, members)


def _provenance_of_imagined(task: PortraitTask) -> dict[str, Any]:
    position = task.position
    return provenance_of(
        task.recipe, task.dataset, images=position.images, seconds=position.seconds, ancestors=task.ancestors
    )


def check_parity(
    task: AnimatorTask, reader: bytes, animator: bytes, people: list[Person], *, poses: int = 16
) -> dict[str, float]:
    """Find the same motion with the networks and with the graphs.

    Returns:
        the largest difference of a place in pixels, of a plane, and how many poses were compared.

    Raises:
        CharacterError: the difference is more than rounding explains.
    """
    dataset = task.dataset
    controls = dataset.controls[np.linspace(0, len(dataset.controls) - 1, poses).astype(int)]
    references = [person.read() for person in people[:poses]]
    seen = np.concatenate([small(references[index % len(references)]) for index in range(poses)])
    found = dict(zip(PERSON, _session(reader).run(None, {"references": seen}), strict=True))
    flow, planes = _session(animator).run(None, {**found, "controls": controls})
    with torch.no_grad():
        wanted = task.animator_ema(
            task.reader_ema(torch.from_numpy(seen).permute(0, 1, 4, 2, 3).float().div(255)), torch.from_numpy(controls)
        )
    pixels = float(np.abs(flow - wanted.flow.numpy()).max()) * references[0].size / 2
    shares = float(np.abs(planes - wanted.planes.numpy()).max())
    if not (pixels <= MOST_PIXELS and shares <= MOST_SHARE):
        raise CharacterError(
            f"The exported graphs differ from the trained networks by up to {pixels:.2f} pixels of motion (allowed: "
            f"{MOST_PIXELS}) and {shares:.3f} of a mask (allowed: {MOST_SHARE}). Report this with your recipe and "
            "versions.json."
        )
    return {"pixels": round(pixels, 4), "planes": round(shares, 4), "poses": poses}


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _named_references(folder: Path, otherwise: str, note: Note) -> Mapping[str, Uint8]:
    """Premultiplied pictures of the named people, by name; of the first person, if nobody has a name."""
    manifest, identities, _, _ = read_labels(folder)
    everybody = open_references(folder, manifest.size_px, note=note)
    named = {person.name: person.identity for person in identities if person.name} or {otherwise: 0}
    return {name: everybody[identity] for name, identity in named.items()}


def _png(straight: Uint8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(straight).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _preview(reader: bytes, animator: bytes, person: Person, rest: list[float]) -> bytes:
    """A person at rest, as WebP."""
    out = np.empty((1, person.side, person.side, 4), np.uint8)
    with moving_engine(
        "onnxruntime", reader=reader, animator=animator, people=[person], controls=len(rest), threads=1, patient=True
    ) as engine:
        engine.infer(np.ones((1, 1), np.float32), np.array([rest], np.float32), out)
    buffer = io.BytesIO()
    Image.fromarray(out[0]).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
