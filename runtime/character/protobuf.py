"""Protocol buffers, read so strictly that no two parsers can disagree, and written back from what was read.

Parsers differ in what they tolerate: some keep 32 bits of a tag, some 64; the last of two values wins, or both are
merged; a field unknown to one is known to another. So nothing is tolerated here. A tag has at most 32 bits, numbers
use as few bytes as they need, a field must be in the table with its own wire type, and occurs once unless it
is a list. `write` produces the bytes that are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from engine_bridge.errors import CharacterError

MAX_FIELDS: Final = 200_000  # of one file, including numbers in lists
MAX_TEXT_BYTES: Final = 1024

_VARINT, _BYTES, _FIXED32 = 0, 2, 5


class Kind(Enum):
    """Type of a field, and how it is read."""

    INT = "int"  # signed 64 bit -> int
    ENUM = "enum"  # 0 .. 2^31 - 1 -> int; an enumeration, or an int32 that is never negative
    FLOAT = "float"  # -> its four bytes, so that every NaN is preserved
    TEXT = "text"  # UTF-8 that can be printed -> str
    DATA = "data"  # bytes, or a packed list of numbers -> memoryview into the input
    MESSAGE = "message"  # -> Record


_WIRE: Final = {Kind.INT: _VARINT, Kind.ENUM: _VARINT, Kind.FLOAT: _FIXED32}  # all others: bytes

Record = dict[str, Any]
"""A message: field name to value, a list where the field is one. Absent fields are left out."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a message's table.

    Attributes:
        name: from the format's description.
        kind: what it holds.
        repeated: whether it is a list.
        message: table of the nested message, if it is one.
        dropped: checked like any other, but neither kept nor written: not needed.
    """

    name: str
    kind: Kind
    repeated: bool = False
    message: Message | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """The table of a message.

    Attributes:
        name: from the format's description.
        fields: number to field.
        refused: field number to the reason why a character must not have it; other unknown ones are refused too.
    """

    name: str
    fields: Mapping[int, Field]
    refused: Mapping[int, str] = field(default_factory=dict)


class Reader:
    """Reads one file; counts what it reads, so that a small file cannot cost much time."""

    def __init__(self) -> None:
        self._fields = 0

    def read(self, message: Message, data: memoryview) -> Record:
        """Read a whole message.

        Args:
            message: its table.
            data: bytes; values of kind DATA point into it.

        Raises:
            CharacterError: anything that parsers could read in two ways, or that is not in the table.
        """
        record: Record = {}
        dropped: set[str] = set()
        position, end = 0, len(data)
        while position < end:
            self._count(1)
            tag, position = _varint(data, position)
            if tag > 0xFFFFFFFF:
                raise CharacterError(f"{message.name} has a tag of more than 32 bits")
            number, wire = tag >> 3, tag & 7
            spec = message.fields.get(number)
            if number == 0:
                raise CharacterError(f"{message.name} has a field with the number 0")
            if spec is None:
                raise CharacterError(
                    message.refused.get(number, f"{message.name} has a field {number}, which is unknown")
                )
            many = wire == _BYTES and spec.repeated and spec.kind in _WIRE
            if wire != _WIRE.get(spec.kind, _BYTES) and not many:
                raise CharacterError(f"{message.name} has {spec.name} with the wire type {wire}")
            if (spec.name in record or spec.name in dropped) and not spec.repeated:
                raise CharacterError(f"{message.name} has {spec.name} twice")
            value: Any
            if wire == _VARINT:
                raw, position = _varint(data, position)
                value = _integer(message, spec, raw)
            elif wire == _FIXED32:
                if end - position < 4:
                    raise CharacterError("the protobuf is cut short")
                value = bytes(data[position : position + 4])
                position += 4
            else:
                size, position = _varint(data, position)
                if size > end - position:
                    raise CharacterError("the protobuf is cut short")
                content = data[position : position + size]
                position += size
                if many:
                    record.setdefault(spec.name, []).extend(self._packed(message, spec, content))
                    continue
                value = self._content(spec, content)
            if spec.dropped:
                dropped.add(spec.name)
            elif spec.repeated:
                record.setdefault(spec.name, []).append(value)
            else:
                record[spec.name] = value
        return record

    def _content(self, spec: Field, content: memoryview) -> Any:
        if spec.message is not None:
            return self.read(spec.message, content)
        return text_of(content) if spec.kind is Kind.TEXT else content

    def _packed(self, message: Message, spec: Field, content: memoryview) -> list[Any]:
        if spec.kind is Kind.FLOAT:
            if len(content) % 4:
                raise CharacterError("the protobuf is cut short")
            self._count(len(content) // 4)
            return [bytes(content[start : start + 4]) for start in range(0, len(content), 4)]
        raw = varints(content, most=MAX_FIELDS)
        self._count(len(raw))
        return [_integer(message, spec, value) for value in raw]

    def _count(self, more: int) -> None:
        self._fields += more
        if self._fields > MAX_FIELDS:
            raise CharacterError(f"the protobuf has more than {MAX_FIELDS} fields")


def write(message: Message, record: Record) -> bytes:
    """Serialise a message: fields in the order of their numbers, lists of numbers one by one, as protobuf does."""
    parts, _ = _written(message, record)
    return b"".join(parts)


def _written(message: Message, record: Record) -> tuple[list[bytes | memoryview], int]:
    """The pieces of a message and their total size; large data is not copied."""
    parts: list[bytes | memoryview] = []
    total = 0
    for number in sorted(message.fields):
        spec = message.fields[number]
        if spec.name not in record:
            continue
        tag = _varint_of(number << 3 | _WIRE.get(spec.kind, _BYTES))
        for value in record[spec.name] if spec.repeated else (record[spec.name],):
            inside: list[bytes | memoryview]
            if spec.kind in (Kind.INT, Kind.ENUM):
                inside = [_varint_of(value & 0xFFFFFFFFFFFFFFFF)]
            elif spec.kind is Kind.FLOAT:
                inside = [value]
            else:
                if spec.message is not None:
                    inside, size = _written(spec.message, value)
                else:
                    inside = [value.encode() if isinstance(value, str) else value]
                    size = len(inside[0])
                inside.insert(0, _varint_of(size))
            parts += [tag, *inside]
            total += len(tag) + sum(map(len, inside))
    return parts, total


def varints(data: memoryview, *, most: int) -> list[int]:
    """A packed list of unsigned numbers.

    Raises:
        CharacterError: it is truncated, has over-long numbers, or more than `most`.
    """
    found: list[int] = []
    position = 0
    while position < len(data):
        if len(found) == most:
            raise CharacterError(f"the protobuf has a list of more than {most} numbers")
        value, position = _varint(data, position)
        found.append(value)
    return found


def signed(value: int) -> int:
    """The two's complement of an unsigned 64-bit number."""
    return value - (1 << 64) if value >> 63 else value


def text_of(data: memoryview) -> str:
    """A name.

    Raises:
        CharacterError: it is too long, not UTF-8, or holds characters that cannot be printed.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise CharacterError(f"the protobuf has a name longer than {MAX_TEXT_BYTES} bytes")
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError:
        raise CharacterError("the protobuf has a name that is not UTF-8") from None
    if not text.isprintable():
        raise CharacterError("the protobuf has a name with characters that cannot be printed")
    return text


def _integer(message: Message, spec: Field, raw: int) -> int:
    if spec.kind is Kind.ENUM and raw >= 1 << 31:
        raise CharacterError(f"{message.name} has {raw} as its {spec.name}")
    return signed(raw)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise CharacterError("the protobuf is cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or value >> 64:
                raise CharacterError("the protobuf has a number in more bytes than it needs")
            return value, position
    raise CharacterError("the protobuf has a number longer than ten bytes")


def _varint_of(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
