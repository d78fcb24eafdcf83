"""Writes character files. Knows members and how they are packed; `Character` says whether the result is good."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine_bridge.errors import CharacterError
from runtime import atomic

from .archive import EXPORT_AGAIN, MEMBER_LIMITS, in_order, limit_of
from .file import Character
from .manifest import MEMBER, Manifest, MemberDigest
from .onnx_graph import read_graph


def write_character(path: str | Path, manifest: Manifest, members: Mapping[str, bytes | Path]) -> Manifest:
    """Write a character file; it appears whole and checked, or not at all.

    Args:
        path: the file to write; its folder must exist.
        manifest: everything but `format`, which follows from the members, and `files`; both are filled in here.
        members: name to bytes, or to a file that holds them; `character.json` is not among them. Graphs are written
            as they are understood, so that an inference library gets the very bytes whose hash is in the manifest.

    Returns:
        The manifest as written.

    Raises:
        CharacterError: a member is missing, unknown or too large, or the result would not open again.
        SinkError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    payloads = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in members.items()}
    unknown = sorted(name for name in payloads if limit_of(name) is None or name == MEMBER)
    if unknown:
        raise CharacterError(
            f"A character file has no member {', '.join(unknown)}; it may have {', '.join(MEMBER_LIMITS)} "
            "and people's pictures."
        )
    payloads |= {name: _as_understood(name, graph) for name, graph in payloads.items() if name.endswith(".onnx")}
    digests = {
        name: MemberDigest(hashlib.sha256(payloads[name]).hexdigest(), len(payloads[name]))
        for name in in_order(payloads)
    }
    manifest = msgspec.structs.replace(manifest, format=2 if "animator.onnx" in payloads else 1, files=digests)
    with atomic.replacing(path) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry(MEMBER), msgspec.json.format(msgspec.json.encode(manifest), indent=2))
            for name in digests:
                archive.writestr(_entry(name), payloads[name])
        Character.open(part).close()
    return manifest


def _as_understood(name: str, graph: bytes) -> bytes:
    try:
        return read_graph(graph).to_bytes()
    except CharacterError as error:
        raise CharacterError(f"{name} is refused: {error}. {EXPORT_AGAIN}") from error


def _entry(name: str) -> zipfile.ZipInfo:
    """A member with a fixed date, so that equal contents give equal files."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info
