"""A character of format 2 with two people of a few coloured squares and graphs that compute simple sums.

`headYaw` moves all paint to the right, by a tenth of half the picture per 30 degrees; `eyeBlinkLeft` shows the open
reference.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from runtime.character.controls import PORTRAIT_CONTROLS
from runtime.character.manifest import FrameSize, Manifest
from runtime.character.person import READER_PX, members_of_person
from runtime.character.writing import write_character
from runtime.composite.base import PLANES
from runtime.composite.references import GRID, REFERENCES
from tests.tiny_character import manifest

FOUND = 4 * len(REFERENCES)  # channels that the reader finds
NAMES = [control.name for control in PORTRAIT_CONTROLS]
COLOURS = {"one": (220, 40, 30, 255), "two": (30, 60, 230, 255)}
OPENED = (20, 200, 60, 255)
SHIFT = 0.1  # half pictures at 30 degrees
LATENT = 4
SPREAD = 60  # of 255, per unit of a latent


def reader(*, scale: float = 1.0) -> bytes:
    """Averages of the references over cells."""
    side = READER_PX
    nodes = [
        helper.make_node("Cast", ["references"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planar"], perm=[0, 1, 4, 2, 3]),
        helper.make_node("Reshape", ["planar", "joined"], ["channels"]),
        helper.make_node("GlobalAveragePool", ["channels"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat"], ["code"]),
        *(
            helper.make_node("AveragePool", ["channels"], [name], kernel_shape=[n, n], strides=[n, n])
            for name, n in (("coarse", 16), ("middle", 8), ("fine", 4))
        ),
    ]
    return _graph(
        nodes,
        [helper.make_tensor_value_info("references", TensorProto.UINT8, ["N", len(REFERENCES), side, side, 4])],
        [
            helper.make_tensor_value_info("code", TensorProto.FLOAT, ["N", FOUND]),
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", FOUND, n, n])
                for name, n in (("coarse", 16), ("middle", 32), ("fine", 64))
            ),
        ],
        {
            "scale": np.array(scale / 255, np.float32),
            "joined": np.array([0, FOUND, side, side], np.int64),
            "flat": np.array([0, FOUND], np.int64),
        },
    )


def animator(*, controls: int = len(NAMES), planes_px: int = GRID) -> bytes:
    """Flow and planes from two of the controls; the reader's output is added with negligible weight."""
    flow = np.zeros((controls, len(REFERENCES) * 2), np.float32)
    flow[NAMES.index("headYaw"), ::2] = -SHIFT / 30
    planes = np.zeros((controls, len(PLANES)), np.float32)
    planes[NAMES.index("eyeBlinkLeft"), PLANES.index("open")] = 1
    kept = np.array([[name.startswith("keep") for name in PLANES]], np.float32)
    pooled = [helper.make_node("GlobalAveragePool", [n], [f"{n} mean"]) for n in ("coarse", "middle", "fine")]
    nodes = [
        *pooled,
        helper.make_node("Sum", ["coarse mean", "middle mean", "fine mean"], ["means"]),
        helper.make_node("Reshape", ["means", "found"], ["mean"]),
        helper.make_node("Add", ["mean", "code"], ["seen"]),
        helper.make_node("ReduceMean", ["seen", "last"], ["little"], keepdims=1),
        helper.make_node("Mul", ["little", "nothing"], ["none"]),
        helper.make_node("MatMul", ["controls", "to flow"], ["places"]),
        helper.make_node("Add", ["places", "none"], ["places too"]),
        helper.make_node("Reshape", ["places too", "flow shape"], ["one flow"]),
        helper.make_node("Mul", ["one flow", "grid"], ["flow"]),
        helper.make_node("MatMul", ["controls", "to planes"], ["shares"]),
        helper.make_node("Add", ["shares", "kept"], ["all shares"]),
        helper.make_node("Reshape", ["all shares", "planes shape"], ["one plane"]),
        helper.make_node("Mul", ["one plane", "cells"], ["planes"]),
    ]
    return _graph(
        nodes,
        [
            helper.make_tensor_value_info("code", TensorProto.FLOAT, ["N", FOUND]),
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", FOUND, n, n])
                for name, n in (("coarse", 16), ("middle", 32), ("fine", 64))
            ),
            helper.make_tensor_value_info("controls", TensorProto.FLOAT, ["N", controls]),
        ],
        [
            helper.make_tensor_value_info("flow", TensorProto.FLOAT, ["N", len(REFERENCES), 2, GRID, GRID]),
            helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["N", len(PLANES), planes_px, planes_px]),
        ],
        {
            "found": np.array([0, FOUND], np.int64),
            "last": np.array([1], np.int64),
            "nothing": np.array(1e-12, np.float32),
            "to flow": flow,
            "flow shape": np.array([0, len(REFERENCES), 2, 1, 1], np.int64),
            "grid": np.ones((1, 1, 1, GRID, GRID), np.float32),
            "to planes": planes,
            "kept": kept,
            "planes shape": np.array([0, len(PLANES), 1, 1], np.int64),
            "cells": np.ones((1, 1, planes_px, planes_px), np.float32),
        },
    )


def portrait(*, side: int = 256, latent: int = LATENT) -> bytes:
    """A person whose head has the latent's colour, green where it is open."""
    mask = pictures("one", side).astype(np.float32)
    head = REFERENCES.index("head")
    painted = np.zeros_like(mask)
    painted[head] = mask[head] > 0
    mask[head] = 0
    nodes = [
        helper.make_node("Slice", ["w", "from", "to", "axis"], ["three"]),
        helper.make_node("Mul", ["three", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "middle"], ["rgb"]),
        helper.make_node("Mul", ["rgb", "zero"], ["zeros"]),
        helper.make_node("ReduceMean", ["zeros", "axis"], ["one zero"], keepdims=1),
        helper.make_node("Add", ["one zero", "full"], ["alpha"]),
        helper.make_node("Concat", ["rgb", "alpha"], ["rgba"], axis=1),
        helper.make_node("Reshape", ["rgba", "shape"], ["colour"]),
        helper.make_node("Mul", ["colour", "painted"], ["heads"]),
        helper.make_node("Add", ["heads", "rest"], ["everything"]),
        helper.make_node("Clip", ["everything", "low", "full"], ["bounded"]),
        helper.make_node("Cast", ["bounded"], ["references"], to=TensorProto.UINT8),
    ]
    return _graph(
        nodes,
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", latent])],
        [helper.make_tensor_value_info("references", TensorProto.UINT8, ["N", len(REFERENCES), side, side, 4])],
        {
            "from": np.array([0], np.int64),
            "to": np.array([3], np.int64),
            "axis": np.array([1], np.int64),
            "scale": np.array(SPREAD, np.float32),
            "middle": np.array(128, np.float32),
            "zero": np.array(0, np.float32),
            "full": np.array(255, np.float32),
            "low": np.array(0, np.float32),
            "shape": np.array([0, 1, 1, 1, 4], np.int64),
            "painted": painted[None],
            "rest": mask[None],
        },
    )


def mapping(*, latent: int = LATENT) -> bytes:
    """Noise, normalised to mean square 1."""
    nodes = [
        helper.make_node("Mul", ["z", "z"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axis"], ["mean"], keepdims=1),
        helper.make_node("Add", ["mean", "little"], ["above"]),
        helper.make_node("Sqrt", ["above"], ["size"]),
        helper.make_node("Div", ["z", "size"], ["w"]),
    ]
    return _graph(
        nodes,
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", latent])],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", latent])],
        {"axis": np.array([1], np.int64), "little": np.array(1e-6, np.float32)},
    )


def pictures(name: str, side: int = 256) -> npt.NDArray[np.uint8]:
    """A person's references, straight: a head in its own colour, green where it is open."""
    out = np.zeros((len(REFERENCES), side, side, 4), np.uint8)
    head = slice(side // 4, side // 2)
    out[REFERENCES.index("head"), head, head] = COLOURS[name]
    out[REFERENCES.index("open"), head, head] = OPENED
    out[REFERENCES.index("body"), side * 3 // 4 :, head] = (240, 240, 240, 255)
    return out


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def people_manifest(*, side: int = 256, **changes: Any) -> Manifest:
    """A manifest for `people_members`."""
    return manifest(**{"frame": FrameSize(side, side), "identities": {"one": 0, "two": 1}, **changes})


def people_members(*, side: int = 256) -> dict[str, bytes]:
    """The members of a character with two people."""
    files = {"reader.onnx": reader(), "animator.onnx": animator()}
    for row, name in enumerate(COLOURS):
        files |= dict(zip(members_of_person(row), map(png, pictures(name, side)), strict=True))
    return files


def write_people(path: Path, *, side: int = 256, seeds: bool = False) -> Path:
    """Write a character with two people, and optionally any number from seeds."""
    members = people_members(side=side)
    if seeds:
        members |= {"portrait.onnx": portrait(side=side), "mapping.onnx": mapping()}
    write_character(path, people_manifest(side=side), members)
    return path


def _graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, npt.NDArray[Any]],
) -> bytes:
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data
