"""Adds the stretch of alpha to a character file exported without it.

An exported generator ends in a convolution, a clip to bytes, and the layout of its pixels; the stretch goes into the
convolution's weights, as `training.decoder.graphs` puts it there for new files. See `training.decoder.alpha`.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from PIL import Image

from engine_bridge.errors import CharacterError
from runtime.character.file import Character
from runtime.character.role import Role
from runtime.character.writing import write_character
from training.decoder.alpha import CLEAR, GAIN, provenance_note
from training.decoder.graphs import ALPHA
from training.precision import gate
from training.precision.reduced import engine_for
from training.precision.trajectories import Poses

Doubles = npt.NDArray[np.float64]

LAYOUT: Final = ("Cast", "Reshape", "Transpose", "Reshape", "Transpose", "Clip", "Conv")  # from the end


def add_alpha_step(character: Path, out: Path, *, figures: dict[str, Any] | None = None) -> None:
    """Rewrite a character file with the stretch in its generators and a new preview.

    An int8 generator is dropped: its scales were chosen for the old weights. `training.precision.reduced` finds a
    new one.

    Args:
        character: the file to read.
        out: the file to write; may be the same.
        figures: quality figures measured with the stretch; without them the old ones stay, marked in the report as
            those of the generator before.

    Raises:
        CharacterError: the file already has the stretch, or its generators were not made by this trainer.
        SinkError: `out` cannot be written.
    """
    with Character.open(character) as opened:
        role, manifest = opened.role(), opened.manifest
        left_out = ("character.json", "generator.int8.onnx")
        members = {name: opened.read(name) for name in opened.members if name not in left_out}
        report = opened.report()
    if "alpha" in manifest.provenance:
        raise CharacterError(f"{character} has this step already; there is nothing to do.")
    for name in ("generator.onnx", "generator.fp16.onnx"):
        if name in members:
            members[name] = with_alpha_step(members[name])
    members["preview.webp"] = preview(members["generator.onnx"], role)
    report = {**report, **figures} if figures else {**report, "measured": "before alpha was stretched"}
    members["report.json"] = msgspec.json.format(msgspec.json.encode(report), indent=2)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    note = {**provenance_note(), "added_to_the_exported_graphs": today}
    changed = msgspec.structs.replace(manifest, provenance={**manifest.provenance, "alpha": note})
    write_character(out, changed, dict(members))


def with_alpha_step(graph: bytes) -> bytes:
    """A generator's ONNX with the stretch in the weights of its last convolution.

    Raises:
        CharacterError: the graph does not end as this trainer's graphs do.
    """
    model = onnx.load_from_string(graph)
    made = {output: node for node in model.graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    node = made.get(model.graph.output[0].name)
    inputs: list[str] = []
    for kind in LAYOUT:
        if node is None or node.op_type != kind:
            raise CharacterError("The generator does not end as an exported one does. Export the character again.")
        inputs, node = list(node.input), made.get(node.input[0])
    weight, bias = (stored.get(_stored_name(name, made)) for name in (*inputs, "", "")[1:3])
    if weight is None or bias is None or weight.dims[0] % 4 or list(bias.dims) != [weight.dims[0]]:
        raise CharacterError("The generator's last layer has no weights of its own. Export the character again.")
    # Bytes, and half of one in the bias, so that the cast rounds.
    _set(weight, lambda rows: rows * GAIN)
    _set(bias, lambda rows: (rows - 0.5 - 255 * CLEAR) * GAIN + 0.5)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def preview(graph: bytes, role: Role) -> bytes:
    """The first identity at rest, as WebP."""
    rest = np.array([[control.rest for control in role.controls]], np.float32)
    w = role.latents.identity(role.latents.names[0])[None]
    with engine_for("onnxruntime", graph, role, "fp32") as engine:
        picture = gate.draw(engine, Poses(w, rest))[0]
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def _stored_name(name: str, made: dict[str, onnx.NodeProto]) -> str:
    """Weights may be stored as fp16 followed by a cast."""
    cast = made.get(name)
    return cast.input[0] if cast is not None and cast.op_type == "Cast" else name


def _set(tensor: onnx.TensorProto, change: Callable[[Doubles], Doubles]) -> None:
    """Change the rows of alpha, in their stored type."""
    stored = numpy_helper.to_array(tensor)
    values = stored.astype(np.float64)
    values[ALPHA] = change(values[ALPHA])
    tensor.CopyFrom(numpy_helper.from_array(values.astype(stored.dtype), tensor.name))
