"""`bunraku build`: build an engine ahead of time."""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.terminal import say, say_json

from .opening import find, open_choice, settings_of
from .options import AUTO, CharacterArgument, EngineOption, Precision, PrecisionOption, Profile
from .reporting import reporting


@reporting
def build(
    character: CharacterArgument = None,
    *,
    engine: EngineOption = AUTO,
    precision: PrecisionOption = Precision.auto,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print progress and result as JSON, one object per line.")
    ] = False,
) -> None:
    """Build an engine ahead of time, so that the first start is as fast as later ones.

    Only TensorRT and TensorRT-RTX build anything; the others have nothing to do. The result stays on this machine,
    in this user's cache folder.

    Example: `bunraku build aki --engine tensorrt --precision fp16`
    """
    path = find(character, engine)
    if path is None:
        raise typer.BadParameter("the test card has nothing to build")

    def told(phase: str, done: int, of: int) -> bool:
        say_json({"phase": phase, "done": done, "of": of})
        return True

    with open_choice(
        path, engine, precision, settings_of(None, Profile.shared), progress=told if as_json else None
    ) as choice:
        if as_json:
            say_json({"command": "build", "provider": choice.engine.description.label})
        else:
            say(f"ready: {choice.role.name} on {choice.sentence()}")
