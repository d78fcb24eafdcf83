"""Bounded encoding and decoding of msgpack maps.

A few bytes of msgpack can announce millions of elements or thousands of levels; 64 KiB can hold 62,000 empty maps.
Announced sizes are checked before memory is allocated, the total number of elements while reading, and the depth
afterwards, on what these bounds have admitted.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgpack  # type: ignore[import-untyped]
import msgspec

from engine_bridge.errors import MessageRejected

MAX_BYTES: Final = 64 * 1024  # of one packed map
MAX_KEYS: Final = 64  # of the outermost map of a frame's header
MAX_DEPTH: Final = 4  # levels of maps and arrays, the outermost map being the first
MAX_MAP: Final = 256  # keys of any map: all controls of the vocabulary fit
MAX_ARRAY: Final = 1024
MAX_ELEMENTS: Final = 4096  # pairs of all maps and elements of all arrays together

Record = TypeVar("Record", bound=msgspec.Struct)


def pack(message: dict[str, Any]) -> bytes:
    """Pack a map of plain values."""
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def unpack(data: bytes | memoryview, *, max_keys: int = MAX_MAP, max_elements: int = MAX_ELEMENTS) -> dict[str, Any]:
    """Decode exactly one map from untrusted bytes.

    Args:
        data: encoded map.
        max_keys: of the outermost map.
        max_elements: pairs of all maps and elements of all arrays together.

    Returns:
        the map; its keys, and those of nested maps, are strings.

    Raises:
        MessageRejected: `header_size`, `msgpack`, `keys` or `depth`.
    """
    if len(data) > MAX_BYTES:
        raise MessageRejected("header_size", f"a packed map of {len(data)} bytes, the limit is {MAX_BYTES}")
    elements = _Elements(max_elements)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            object_pairs_hook=elements.map_of,
            list_hook=elements.array_of,
            strict_map_key=True,
            max_str_len=MAX_BYTES,
            max_bin_len=MAX_BYTES,
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_MAP,
            max_ext_len=0,
            ext_hook=_refuse_extension,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageRejected("msgpack", f"not one well-formed, bounded msgpack value: {error}") from error
    if not isinstance(value, dict):
        raise MessageRejected("msgpack", f"a {type(value).__name__} where a map must be")
    if len(value) > max_keys:
        raise MessageRejected("keys", f"{len(value)} keys, the limit is {max_keys}")
    _check_nesting(value)
    return value


def to_record(message: dict[str, Any], kind: type[Record], *, code: str = "header") -> Record:
    """Convert a decoded map to a typed record; unknown keys are ignored.

    Raises:
        MessageRejected: with the given code, naming the key that is missing or has the wrong type.
    """
    try:
        return msgspec.convert(message, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise MessageRejected(code, f"{kind.__name__}: {error}") from error


class _Elements:
    """Counts the elements of a message while it is decoded, and stops at the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def map_of(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        self._add(len(pairs))
        return dict(pairs)

    def array_of(self, values: list[Any]) -> list[Any]:
        self._add(len(values))
        return values

    def _add(self, count: int) -> None:
        self._count += count
        if self._count > self._limit:
            raise ValueError(f"more than {self._limit} elements")


def _refuse_extension(kind: int, data: bytes) -> None:
    """Reject every extension: an empty one passes the limit of 0."""
    raise ValueError(f"an extension type {kind} with {len(data)} bytes")


def _check_nesting(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                if not all(isinstance(key, str) for key in container):
                    raise MessageRejected("msgpack", "a map key that is not a string")
                below += [item for item in container.values() if isinstance(item, dict | list)]
            else:
                below += [item for item in container if isinstance(item, dict | list)]
        level = below
    if level:
        raise MessageRejected("depth", f"maps and arrays nested deeper than {MAX_DEPTH}")
