"""The two formats of the file: which members each has. Knows names and sizes, not what members hold.

In format 1 a generator draws people; in format 2 pictures of people are moved.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine_bridge.errors import CharacterError
from runtime.composite.references import SIDES

from .archive import EXPORT_AGAIN
from .manifest import Manifest
from .person import MEMBER as PERSON_MEMBER
from .person import members_of_person

VARIANTS: Final = ("generator.fp16.onnx", "generator.int8.onnx")  # the generator in other precisions
_NEEDED: Final = {1: ("generator.onnx", "latents.safetensors"), 2: ("reader.onnx", "animator.onnx")}
_OPTIONAL: Final = {1: (*VARIANTS, "encoder.onnx"), 2: ("portrait.onnx",)}


def check_format(manifest: Manifest, members: Collection[str], *, file: str) -> None:
    """See that the members are those of the manifest's format.

    Args:
        manifest: of format 1 or 2.
        members: names of all members.
        file: name of the file, for messages.

    Raises:
        CharacterError: one is missing, or belongs to the other format.
    """
    this, other = (1, 2) if manifest.format == 1 else (2, 1)
    wrong = [name for name in (*_NEEDED[other], *_OPTIONAL[other]) if name in members]
    if this == 1:
        wrong += [name for name in members if PERSON_MEMBER.fullmatch(name)][:1]
    if wrong:
        raise CharacterError(
            f"{file} has format {this}, but its {', '.join(wrong)} belongs to format {other}. {EXPORT_AGAIN}"
        )
    for name in _NEEDED[this]:
        if name not in members:
            raise CharacterError(f"{file} has no {name}. {EXPORT_AGAIN}")
    if this == 2 and ("portrait.onnx" in members) != ("mapping.onnx" in members):
        there, lacks = sorted(("portrait.onnx", "mapping.onnx"), key=lambda name: name not in members)
        raise CharacterError(f"{file} has {there} and no {lacks}: people from seeds need both. {EXPORT_AGAIN}")


def check_people(manifest: Manifest, members: Collection[str], *, file: str) -> None:
    """See that every person of format 2 has all pictures, and every picture is a person's.

    Args:
        manifest: of format 2.
        members: names of all members.
        file: name of the file, for messages.

    Raises:
        CharacterError: the frame is not a square of a known size, people are not counted from 0, or a picture is
            missing or nobody's.
    """
    frame, rows = manifest.frame, set(manifest.identities.values())
    if frame.width != frame.height or frame.width not in SIDES:
        raise CharacterError(
            f"character.json in {file}: frames of {frame.width}x{frame.height} pixels. People who are "
            f"moved are squares of {', '.join(map(str, SIDES[:-1]))} or {SIDES[-1]} pixels. {EXPORT_AGAIN}"
        )
    if rows != set(range(len(rows))):
        raise CharacterError(f"character.json in {file} does not count people from 0. {EXPORT_AGAIN}")
    wanted = {name for row in rows for name in members_of_person(row)}
    there = {name for name in members if PERSON_MEMBER.fullmatch(name)}
    if wanted != there:
        name = min(wanted ^ there)
        lack = "lacks" if name in wanted else "has, for nobody,"
        raise CharacterError(f"{file} {lack} {name}. {EXPORT_AGAIN}")
