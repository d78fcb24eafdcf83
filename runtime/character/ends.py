"""What the networks of a character take and give. Knows names, types and shapes of ends, not what is computed.

Every function raises `CharacterError` where a graph has other ends than it must; `file` is its file's name for that.
"""

from __future__ import annotations

from typing import Final

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.composite.base import PLANES, PLANES_PX
from runtime.composite.references import GRID, REFERENCES

from .archive import EXPORT_AGAIN
from .manifest import FrameSize
from .onnx_graph import GraphSummary, TensorInfo
from .person import READER_PX

MAX_LATENT: Final = 8192
# What a reader finds of a person and an animator takes, with the number of sizes beside N that each has.
PERSON_ENDS: Final = {"code": 1, "coarse": 3, "middle": 3, "fine": 3}
_FLOAT32, _UINT8 = 1, 2


def check_generator(generator: GraphSummary, *, controls: int, frame: FrameSize, file: str) -> None:
    """It draws a frame from a latent and so many controls."""
    inputs = {info.name: info for info in generator.inputs}
    outputs = {info.name: info for info in generator.outputs}
    good = (
        set(inputs) == {"w", "controls"}
        and list(outputs) == ["rgba"]
        and _is(inputs["w"], _FLOAT32, (None, None))
        and _is(inputs["controls"], _FLOAT32, (None, controls))
        and _is(outputs["rgba"], _UINT8, (None, frame.height, frame.width, 4))
    )
    if not good:
        raise CharacterError(
            f"generator.onnx in {file} must take w float32 [N, w_dim] and controls float32 "
            f"[N, {controls}] and give rgba uint8 [N, {frame.height}, {frame.width}, 4], but it has "
            f"{_told(generator)}. {EXPORT_AGAIN}"
        )


def check_variant(variant: GraphSummary, generator: GraphSummary, *, member: str, file: str) -> None:
    """A generator of another precision takes and gives the same."""
    if sorted(variant.inputs, key=_by_name) != sorted(generator.inputs, key=_by_name) or (
        variant.outputs != generator.outputs
    ):
        raise CharacterError(
            f"{member} in {file} takes or gives something else than generator.onnx does: "
            f"{_told(variant)}. {EXPORT_AGAIN}"
        )


def check_moving(reader: GraphSummary, animator: GraphSummary, *, controls: int, side: int, file: str) -> None:
    """The reader gives what the animator takes, and the animator motion, for frames of this side."""
    found = {info.name: info for info in reader.outputs}
    good = (
        len(reader.inputs) == 1
        and reader.inputs[0].name == "references"
        and _is(reader.inputs[0], _UINT8, (None, len(REFERENCES), READER_PX, READER_PX, 4))
        and list(found) == list(PERSON_ENDS)
        and all(
            found[name].element_type == _FLOAT32
            and len(found[name].shape) == sizes + 1
            and None not in found[name].shape[1:]
            for name, sizes in PERSON_ENDS.items()
        )
    )
    if not good:
        raise CharacterError(
            f"reader.onnx in {file} must take references uint8 [N, {len(REFERENCES)}, {READER_PX}, "
            f"{READER_PX}, 4] and give float32 {', '.join(PERSON_ENDS)}, but it has {_told(reader)}. {EXPORT_AGAIN}"
        )
    takes = {info.name: info for info in animator.inputs}
    gives = {info.name: info for info in animator.outputs}
    good = (
        set(takes) == {*PERSON_ENDS, "controls"}
        and _is(takes["controls"], _FLOAT32, (None, controls))
        and all(_is(takes[name], _FLOAT32, (None, *found[name].shape[1:])) for name in PERSON_ENDS)
        and list(gives) == ["flow", "planes"]
        and _is(gives["flow"], _FLOAT32, (None, len(REFERENCES), 2, GRID, GRID))
        and any(_is(gives["planes"], _FLOAT32, (None, len(PLANES), px, px)) for px in PLANES_PX)
        and (gives["planes"].shape[3] or 0) <= side
    )
    if not good:
        raise CharacterError(
            f"animator.onnx in {file} must take what reader.onnx gives and controls float32 "
            f"[N, {controls}], and give flow float32 [N, {len(REFERENCES)}, 2, {GRID}, {GRID}] and "
            f"planes float32 [N, {len(PLANES)}, P, P], but it has {_told(animator)}. {EXPORT_AGAIN}"
        )


def check_portrait(portrait: GraphSummary, *, side: int, file: str) -> int:
    """The portrait generator draws references of the frame's side; returns how many numbers it takes."""
    takes, gives = portrait.inputs, portrait.outputs
    if (
        len(takes) == len(gives) == 1
        and (takes[0].name, gives[0].name) == ("w", "references")
        and _is(takes[0], _FLOAT32, (None, None))
        and _is(gives[0], _UINT8, (None, len(REFERENCES), side, side, 4))
        and takes[0].shape[1] is not None
        and 1 <= takes[0].shape[1] <= MAX_LATENT
    ):
        return takes[0].shape[1]
    raise CharacterError(
        f"portrait.onnx in {file} must take w float32 [N, w_dim] and give references uint8 "
        f"[N, {len(REFERENCES)}, {side}, {side}, 4], but it has {_told(portrait)}. {EXPORT_AGAIN}"
    )


def check_mapping(mapping: GraphSummary, *, latent_dim: int, file: str) -> int:
    """The mapping network gives a latent of so many numbers; returns how many it takes."""
    takes, gives = mapping.inputs, mapping.outputs
    if (
        len(takes) == len(gives) == 1
        and (takes[0].name, gives[0].name) == ("z", "w")
        and _is(takes[0], _FLOAT32, (None, None))
        and _is(gives[0], _FLOAT32, (None, None))
        and takes[0].shape[1] is not None
        and 1 <= takes[0].shape[1] <= MAX_LATENT
        and gives[0].shape[1] in (None, latent_dim)
    ):
        return takes[0].shape[1]
    raise CharacterError(
        f"mapping.onnx in {file} must take z float32 [N, z_dim] and give w float32 "
        f"[N, {latent_dim}], but it has {_told(mapping)}. {EXPORT_AGAIN}"
    )


def _told(graph: GraphSummary) -> str:
    """The ends of a graph, for an error."""
    ends = [f"{info.name} {list(info.shape)}" for info in (*graph.inputs, *graph.outputs)]
    return plain(", ".join(ends), LINE_CHARS)


def _by_name(info: TensorInfo) -> str:
    return info.name


def _is(info: TensorInfo, element_type: int, shape: tuple[int | None, ...]) -> bool:
    """Whether a tensor has this type and shape; None stands for any size."""
    return (
        info.element_type == element_type
        and len(info.shape) == len(shape)
        and all(want is None or have == want for have, want in zip(info.shape, shape, strict=True))
    )
