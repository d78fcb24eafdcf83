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
    """What `--precision` takes."""

    auto = "auto"
    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


class Variant(str, Enum):
    """What `--variant` takes."""

    raw = "raw"
    lz4 = "lz4"
    jpeg = "jpeg"
    shm = "shm"


class Profile(str, Enum):
    """What `--profile` takes."""

    shared = "shared"
    exclusive = "exclusive"


class Layout(str, Enum):
    """What becomes of alpha where only RGB is taken."""

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
        help="What draws the pictures: auto, which says what it chose, or one that `bunraku doctor` lists.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="What it computes in; auto takes the fastest that passed the quality gate."),
]
ProfileOption = Annotated[
    Profile, typer.Option("--profile", help="shared leaves cores to a game and waits quietly; exclusive takes all.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=256,
        help="Threads that compute.  [default: cores - 2, at least 2; all in the exclusive profile]",
        show_default=False,
    ),
]
IdentityOption = Annotated[
    str | None, typer.Option("--identity", help="A name from the character, or a whole number as a seed.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
