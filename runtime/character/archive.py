"""The zip container of a character file: members stored one after the other, and nothing else.

Zip readers disagree about much, so anything that a character never needs is refused: no compression, no comment, no
bytes before, between or behind the members.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Final

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import plain
from runtime.composite.references import REFERENCES

from .person import MEMBER as PERSON_MEMBER

MEBI: Final = 1 << 20
MAX_FILE: Final = 256 * MEBI
MAX_PEOPLE: Final = 512  # named identities; their names travel in one message
MAX_PICTURE: Final = 32 * MEBI  # of a person

# Every allowed member besides people's pictures, with its maximum size in bytes.
MEMBER_LIMITS: Final[Mapping[str, int]] = {
    "character.json": 1 * MEBI,
    "generator.onnx": 200 * MEBI,
    "generator.fp16.onnx": 100 * MEBI,
    "generator.int8.onnx": 100 * MEBI,
    "reader.onnx": 64 * MEBI,
    "animator.onnx": 64 * MEBI,
    "portrait.onnx": 128 * MEBI,
    "mapping.onnx": 64 * MEBI,
    "encoder.onnx": 128 * MEBI,
    "latents.safetensors": 64 * MEBI,
    "expressions.json": 1 * MEBI,
    "idle.json": 1 * MEBI,
    "report.json": 4 * MEBI,
    "preview.webp": 8 * MEBI,
}
MAX_MEMBERS: Final = len(MEMBER_LIMITS) + MAX_PEOPLE * len(REFERENCES)

FETCH_AGAIN: Final = "Fetch the file again from where it came."
EXPORT_AGAIN: Final = "Export it again: bunraku-train export"

_END_OF_DIRECTORY: Final = struct.Struct("<4s4H2LH")
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_UTF8_NAME: Final = 0x800  # the only flag allowed
_MOST_EXTRA: Final = 256  # extra bytes of a local header: times and owners that zip programs add
_MOST_PER_ENTRY: Final = 512  # bytes of a directory entry


def limit_of(name: str) -> int | None:
    """Maximum size of a member in bytes; None if no character has such a member."""
    return MAX_PICTURE if PERSON_MEMBER.fullmatch(name) else MEMBER_LIMITS.get(name)


def in_order(names: Collection[str]) -> list[str]:
    """Members in writing order: people's pictures last, person by person."""
    people = [match for name in names if (match := PERSON_MEMBER.fullmatch(name))]
    people.sort(key=lambda match: (int(match[1]), REFERENCES.index(match[2])))
    return [*(name for name in MEMBER_LIMITS if name in names), *(match[0] for match in people)]


def members_of(path: Path, file: IO[bytes]) -> dict[str, bytes]:
    """Read all members of an open file.

    Args:
        path: for messages.
        file: seekable.

    Returns:
        name to bytes; only names that have a `limit_of`.

    Raises:
        CharacterError: it is not such a zip, a member is unknown, too large or missing, or a checksum differs.
        OSError: it cannot be read.
    """
    size = _check_directory(path, file)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(path, archive)
            _check_places(path, file, archive, size)
            return {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, struct.error) as error:
        raise CharacterError(f"{path.name} is damaged: {error}. {FETCH_AGAIN}") from error
    except (ValueError, OverflowError, EOFError, KeyError, IndexError, RuntimeError) as error:
        raise CharacterError(f"{path.name} is damaged: {error!r}. {FETCH_AGAIN}") from error


def _check_directory(path: Path, file: IO[bytes]) -> int:
    """Check the end of the zip before `zipfile` does: it would read any number of entries."""
    size = file.seek(0, io.SEEK_END)
    if size > MAX_FILE:
        raise CharacterError(f"{path.name} has {size / MEBI:.0f} MiB; a character may have {MAX_FILE // MEBI} MiB.")
    tail_size = min(size, _END_OF_DIRECTORY.size + 20)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    file.seek(0)
    if tail_size < _END_OF_DIRECTORY.size or tail[-22:-18] != b"PK\x05\x06":
        if size >= 4 and file.read(4) == b"PK\x03\x04":
            raise CharacterError(f"{path.name} is cut short or has bytes behind its end. {FETCH_AGAIN}")
        raise CharacterError(f"{path.name} is not a character file (it is not a zip). Choose a .bunraku file.")
    if tail[:4] == b"PK\x06\x07" and tail_size > _END_OF_DIRECTORY.size:
        raise CharacterError(f"{path.name} is a zip64 file; a character file never needs that. {EXPORT_AGAIN}")
    _, disk, start_disk, here, total, directory_size, offset, _ = _END_OF_DIRECTORY.unpack(tail[-22:])
    if disk or start_disk or here != total or total > MAX_MEMBERS or directory_size > total * _MOST_PER_ENTRY:
        raise CharacterError(f"{path.name} has {total} members; the limit is {MAX_MEMBERS}.")
    if offset + directory_size + _END_OF_DIRECTORY.size != size:
        raise CharacterError(f"{path.name} is cut short or has bytes before its start. {FETCH_AGAIN}")
    return size


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse names, sizes and features that a character file never has."""
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        shown = plain(info.orig_filename)
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise CharacterError(
                f'{path.name} has a member with the path "{shown}", which could escape. Do not use it.'
            )
        limit = limit_of(name)
        if limit is None or info.orig_filename != name:  # zipfile truncates names at a zero byte
            raise CharacterError(f'{path.name} has the member "{shown}", which no character has. {EXPORT_AGAIN}')
        if name in seen:
            raise CharacterError(f"{path.name} has {name} twice. {EXPORT_AGAIN}")
        seen.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise CharacterError(f"{name} in {path.name} is compressed; members are stored as they are. {EXPORT_AGAIN}")
        if info.flag_bits & 0x1:
            raise CharacterError(f"{name} in {path.name} is encrypted. {EXPORT_AGAIN}")
        if info.flag_bits & ~_UTF8_NAME or info.comment:
            raise CharacterError(f"{name} in {path.name} uses features of zip that no character needs. {EXPORT_AGAIN}")
        if info.file_size > limit:
            raise CharacterError(
                f"{name} in {path.name} has {info.file_size / MEBI:.1f} MiB; "
                f"the limit is {limit // MEBI} MiB. {EXPORT_AGAIN}"
            )
    if "character.json" not in seen:
        raise CharacterError(f"{path.name} has no character.json. {EXPORT_AGAIN}")


def _check_places(path: Path, file: IO[bytes], archive: zipfile.ZipFile, size: int) -> None:
    """Check that members follow each other, by their own headers, up to the directory, with nothing between them."""
    place = 0
    for info in sorted(archive.infolist(), key=_place):
        file.seek(place)
        head = file.read(_LOCAL_HEADER.size)
        if info.header_offset != place or len(head) < _LOCAL_HEADER.size:
            raise CharacterError(f"The members of {path.name} overlap, or something lies between them. {EXPORT_AGAIN}")
        mark, _, flags, method, _, _, crc, stored, full, name_size, extra_size = _LOCAL_HEADER.unpack(head)
        name = file.read(name_size)
        said = (mark, flags, method, crc, stored, full, name, extra_size <= _MOST_EXTRA)
        listed = (b"PK\x03\x04", info.flag_bits, info.compress_type, info.CRC, info.file_size, info.file_size)
        if said != (*listed, info.filename.encode(), True):
            raise CharacterError(f"{info.filename} in {path.name} disagrees with its directory entry. {FETCH_AGAIN}")
        place += _LOCAL_HEADER.size + name_size + extra_size + info.file_size
    if place != archive.start_dir or place > size:
        raise CharacterError(f"{path.name} has bytes between its members and its directory. {FETCH_AGAIN}")


def _place(info: zipfile.ZipInfo) -> int:
    return info.header_offset
