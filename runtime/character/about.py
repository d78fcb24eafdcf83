"""Descriptions of a character and its pictures for clients, windows, frames and recordings."""

from __future__ import annotations

from engine_bridge.avf.messages import ControlSpec, ExpressionSpec, Provenance, StreamInfo

from .controls import RULES, VOCABULARY
from .role import Role


def stream_info(role: Role, *, session: int, stream: str, fps: float, provider: str, derived: bool) -> StreamInfo:
    """The stream info of a role, for clients and windows.

    Args:
        role: the character.
        session: number of this start.
        stream: name of the stream.
        fps: target frames per second.
        provider: engine, provider and precision at the end.
        derived: also name the controls that the character does not take itself but that move it through `RULES`.
    """
    taken = {control.name for control in role.controls}
    specs = [ControlSpec(c.name, c.minimum, c.maximum, c.rest, c.group) for c in role.controls]
    if derived:
        sources = {name for rule in RULES if rule.target in taken for name, _ in rule.terms} - taken
        more = [control for control in VOCABULARY.values() if control.name in sources]
        specs += [ControlSpec(c.name, c.minimum, c.maximum, c.rest, "derived") for c in more]
    return StreamInfo(
        session=session,
        stream=stream,
        character=role.name,
        width=role.width,
        height=role.height,
        fps=fps,
        controls=specs,
        identities=list(role.latents.names),
        expressions=[ExpressionSpec(expression.name, expression.hotkey) for expression in role.expressions],
        has_mapping=role.latents.has_mapping,
        provider=provider,
    )


def provenance_of(role: Role) -> Provenance:
    """Provenance of the pictures, for the first frame and every heartbeat."""
    return Provenance(ai=role.digest != "", model=role.digest, generator=f"Bunraku {version()}", source=role.licence)


def note_about(role: Role) -> str:
    """Provenance of the pictures, for recordings."""
    made = "AI-generated" if role.digest else "Test card"
    return f"{made}: character {role.name}, licence {role.licence}, made with Bunraku {version()}"


def version() -> str:
    """Version of this package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("bunraku")
    except PackageNotFoundError:
        return "(not installed)"
