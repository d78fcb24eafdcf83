"""Writes tables of `docs/controls.md`: `python -m runtime.character.controls_table`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .controls import ARKIT_BLENDSHAPES, PORTRAIT_CONTROLS, RULES, VOCABULARY

_BEGIN: Final = "<!-- tables: begin (python -m runtime.character.controls_table) -->"
_END: Final = "<!-- tables: end -->"


def table() -> str:
    """Both tables as Markdown."""
    portrait = {control.name for control in PORTRAIT_CONTROLS}
    arkit = set(ARKIT_BLENDSHAPES)
    lines = ["| control | group | range | rest | ARKit | shipped characters |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {control.group} | {control.minimum:g} … {control.maximum:g} | {control.rest:g} "
        f"| {'yes' if name in arkit else ''} | {'yes' if name in portrait else ''} |"
        for name, control in VOCABULARY.items()
    ]
    lines += ["", "| filled in | from | why |", "|---|---|---|"]
    for rule in RULES:
        signs = (f"{'+' if weight > 0 else '-'} {abs(weight):.3g} `{name}`" for name, weight in rule.terms)
        lines.append(f"| `{rule.target}` | {' '.join(signs).removeprefix('+ ')} | {rule.why} |")
    return "\n".join(lines)


def main() -> None:
    """Write the tables between their markers."""
    path = Path(__file__).parents[2] / "docs" / "controls.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    path.write_text(f"{before}{_BEGIN}\n{table()}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
