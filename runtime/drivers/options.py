"""Driver options, `NAME:KEY=VALUE,KEY=VALUE`, parsed into a struct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from engine_bridge.errors import DriverError

FILE: Final = "file"
_Options = TypeVar("_Options", bound=msgspec.Struct)


def parse_options(spec: str, kind: type[_Options]) -> _Options:
    """Parse the options of a driver.

    Args:
        spec: `NAME[:OPTIONS]`. A switch may be given without a value.
        kind: fields of bool, int, float or str with defaults, numbers with limits. A field `file` takes everything up
            to the trailing words that look like options, since a path may hold commas and colons.

    Raises:
        DriverError: there is no such option, or its value is invalid.
    """
    name, _, rest = spec.partition(":")
    fields = {field.name: field for field in msgspec.inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    known = [key for key in fields if key != FILE]
    words = rest.split(",") if rest else []
    given: dict[str, Any] = {}
    if FILE in fields:
        words, path = _without_path(words, known)
        if not path:
            raise DriverError(f'"{spec}" names no file. Write {name}:FILE, for example {name}:take.csv')
        given[FILE] = path
    for word in words:
        key, equals, value = word.partition("=")
        if key not in known:
            raise DriverError(f'"{spec}": there is no option "{key[:40]}". Available: {", ".join(known)}.')
        given[key] = _value(spec, key, value if equals else "on", fields[key].type)
    return msgspec.convert(given, kind)


def _without_path(words: Sequence[str], known: Sequence[str]) -> tuple[list[str], str]:
    rest, options = list(words), list[str]()
    while len(rest) > 1 and "=" in rest[-1] and rest[-1].partition("=")[0] in known:
        options.insert(0, rest.pop())
    return options, ",".join(rest)


def _value(spec: str, key: str, word: str, kind: Any) -> Any:
    said = f'"{spec}": {key} is "{word[:40]}"'
    if isinstance(kind, msgspec.inspect.UnionType):  # a number or nothing
        kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.BoolType):
        if word.lower() not in ("on", "off"):
            raise DriverError(f"{said}; write on or off.")
        return word.lower() == "on"
    if isinstance(kind, msgspec.inspect.IntType):
        if not word.isascii() or not word.isdecimal() or len(word) > 18:
            raise DriverError(f"{said}; write a whole number.")
        return int(word)
    if isinstance(kind, msgspec.inspect.FloatType):
        low, high = kind.ge, kind.le
        assert low is not None, f"{key} has no limits"
        assert high is not None, f"{key} has no limits"
        try:
            number = float(word)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise DriverError(f"{said}; write a number from {low:g} to {high:g}.")
        return number
    return word
