"""Options that several commands of `bunraku` share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import typer

from runtime.character.shipped import SHIPPED

AUTO: Final = "auto"
STREAM: Final = "bunraku"


def _known_engine(name: str) -> str:
    if name != AUTO:
        from runtime.engines.table import NAMES

        if name not in NAMES:
            raise typer.BadParameter(f'there is no engine "{name}". Choose one of: {", ".join(NAMES)}.')
    return name


class Precision(str, Enum):
    """Values of `--precision`."""

    auto = "auto"
    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


class Variant(str, Enum):
    """Values of `--variant`."""

    raw = "raw"
    lz4 = "lz4"
    jpeg = "jpeg"
    shm = "shm"


class Profile(str, Enum):
    """Values of `--profile`."""

    shared = "shared"
    exclusive = "exclusive"


class Layout(str, Enum):
    """How alpha is represented in RGB output."""

    flat = "flat"
    side_by_side = "side-by-side"


CharacterArgument = Annotated[
    str | None,
    typer.Argument(
        help=f"A .bunraku file, or the name of a shipped character.  [default: {SHIPPED}]", show_default=False
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        callback=_known_engine,
        help="Inference engine: auto, which reports its choice, or one listed by `bunraku doctor`.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Numeric precision; auto takes the fastest that passed the quality gate."),
]
ProfileOption = Annotated[
    Profile, typer.Option("--profile", help="shared leaves cores to a game; exclusive takes all.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=256,
        help="Compute threads.  [default: cores - 2, at least 2; all in the exclusive profile]",
        show_default=False,
    ),
]
IdentityOption = Annotated[
    str | None, typer.Option("--identity", help="An identity of the character, or a whole number as a seed.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
