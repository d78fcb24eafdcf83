"""`character.json`: what a character file says about itself. Knows its records and limits, not what members hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine_bridge.errors import CharacterError, ControlError
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.advice import update

from .archive import EXPORT_AGAIN, FETCH_AGAIN, MAX_PEOPLE
from .controls import VOCABULARY, Control, check_names
from .json_member import decode, refuse_deep
from .names import refuse_unfit_names

MEMBER: Final = "character.json"
FORMAT: Final = 2  # the newest: people who are moved. In format 1 a generator draws them
MAX_SIDE_PX: Final = 4096
MAX_CONTROL: Final = 10_000.0  # largest end of a control's range


class FrameSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of the pictures in pixels."""

    width: int
    height: int


class ControlRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the generator's `controls`, in the order in which it takes them."""

    name: str
    minimum: float
    maximum: float
    rest: float


class MemberDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member must be: SHA-256 in lower-case hexadecimal, and size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`character.json`.

    Attributes:
        format: version of the file format.
        name: what people call the character.
        licence: licence of the file, SPDX name or a sentence.
        author: who made it.
        ai_generated: always true: the pictures are made by a network, and frames say so.
        provenance: recipe, data sources with licences, training figures, date; free-form.
        frame: size of the pictures.
        controls: what the generator takes, in its order.
        identities: name to row of `identities` in `latents.safetensors`; in format 2 to the number of the person whose
            pictures are `people/NUMBER-back.png` and so on, counted from 0.
        files: every other member with hash and size; `write_character` fills it in.
    """

    format: int = 1
    name: str
    licence: str
    author: str
    ai_generated: bool = True
    provenance: dict[str, Any] = {}
    frame: FrameSize
    controls: list[ControlRange]
    identities: dict[str, int]
    files: dict[str, MemberDigest] = {}


class _FormatOnly(msgspec.Struct, frozen=True):
    format: int


def read_manifest(data: bytes, *, file: str) -> Manifest:
    """Decode and check `character.json`.

    Args:
        data: the member's bytes.
        file: name of the file, for messages, as for all functions here.

    Raises:
        CharacterError: it is not a manifest, its format is too new, or it breaks a limit.
    """
    where = f"{MEMBER} in {file}"
    found = decode(data, _FormatOnly, where=where).format
    if found > FORMAT:
        raise CharacterError(
            f"{file} has format {found}, and this Bunraku reads up to {FORMAT}. Update Bunraku: {update()}"
        )
    if found < 1:
        raise CharacterError(f"{file} claims format {found}, which never existed. {EXPORT_AGAIN}")
    manifest = decode(data, Manifest, where=where)
    refuse_deep(manifest.provenance, where=where)
    if not manifest.ai_generated:
        raise CharacterError(f"{where} says ai_generated: false; a generator's pictures are always AI-generated.")
    for side in (manifest.frame.width, manifest.frame.height):
        if not 1 <= side <= MAX_SIDE_PX:
            raise CharacterError(f"{where}: a frame side of {side} pixels is outside 1..{MAX_SIDE_PX}.")
    if not manifest.identities:
        raise CharacterError(f"{where} names no identity. {EXPORT_AGAIN}")
    refuse_unfit_names(where, "identity", list(manifest.identities), most=MAX_PEOPLE)
    return manifest


def check_digests(manifest: Manifest, members: Mapping[str, bytes], *, file: str) -> None:
    """See that the members are exactly those that the manifest lists, byte for byte.

    Raises:
        CharacterError: one is missing, not listed, or differs.
    """
    listed = set(manifest.files)
    present = set(members) - {MEMBER}
    if listed != present:
        missing, extra = sorted(listed - present), sorted(present - listed)
        said = "; ".join(
            text
            for text in (
                f"listed but missing: {plain(', '.join(missing))}" if missing else "",
                f"not listed: {', '.join(extra)}" if extra else "",
            )
            if text
        )
        raise CharacterError(f"{file} does not match its own list of members ({said}). {FETCH_AGAIN}")
    for member, digest in manifest.files.items():
        data = members[member]
        if len(data) != digest.size or hashlib.sha256(data).hexdigest() != digest.sha256:
            raise CharacterError(
                f"{member} in {file} is not what the manifest says (SHA-256 differs): the file was "
                f"changed or damaged. {FETCH_AGAIN}"
            )


def controls_of(manifest: Manifest, *, file: str) -> tuple[Control, ...]:
    """What the generator takes, in order, with the character's own ranges.

    Raises:
        CharacterError: a control is unknown, listed twice, or has a range that makes no sense.
    """
    where = f"{MEMBER} in {file}"
    try:
        check_names(entry.name for entry in manifest.controls)
    except ControlError as error:
        raise CharacterError(f"{where}: {plain(str(error), LINE_CHARS)}") from error
    controls: list[Control] = []
    for entry in manifest.controls:
        if not -MAX_CONTROL <= entry.minimum <= entry.rest <= entry.maximum <= MAX_CONTROL:
            raise CharacterError(
                f'{where}: control "{entry.name}" has the range {entry.minimum} to '
                f"{entry.maximum} with rest {entry.rest}. {EXPORT_AGAIN}"
            )
        group = VOCABULARY[entry.name].group
        controls.append(Control(entry.name, entry.minimum, entry.maximum, entry.rest, group))
    if not controls or len({control.name for control in controls}) != len(controls):
        raise CharacterError(f"{where} lists no control, or one twice. {EXPORT_AGAIN}")
    return tuple(controls)
