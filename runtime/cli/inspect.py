"""`bunraku inspect`: what is in a character file."""

from __future__ import annotations

from runtime.character.shipped import SHIPPED, find_character
from runtime.terminal import say_json, table

from .options import CharacterArgument, JsonOption
from .reporting import reporting


@reporting
def inspect(character: CharacterArgument = None, as_json: JsonOption = False) -> None:
    """Show what is in a character file, after checking all of it.

    Example: `bunraku inspect aki --json`
    """
    from engine_bridge.plain_text import LINE_CHARS, plain
    from runtime.character.file import Character
    from runtime.character.free_form import free_form_rows

    path = find_character(character or SHIPPED)
    with Character.open(path) as opened:
        manifest = opened.manifest
        graphs = {name: opened.graph(name) for name in opened.members if name.endswith(".onnx")}
        expressions = [expression.name for expression in opened.expressions()]
        report = opened.report()
        w_dim = opened.w_dim
        has_mapping = "mapping.onnx" in opened
    size = f"{manifest.frame.width}x{manifest.frame.height}"
    rows = [
        ("file", f"{path}, {path.stat().st_size / 2**20:.1f} MiB, format {manifest.format}"),
        ("name", plain(manifest.name)),
        ("author", plain(manifest.author, LINE_CHARS)),
        ("licence", plain(manifest.licence, LINE_CHARS)),
        ("AI-generated", "yes" if manifest.ai_generated else "no"),
        ("frame", f"{size} RGBA"),
        ("controls", f"{len(manifest.controls)}: {', '.join(control.name for control in manifest.controls)}"),
        ("identities", f"{len(manifest.identities)}: {', '.join(manifest.identities)}"),
        ("new identities", "yes, by seed" if has_mapping else "no"),
        ("expressions", ", ".join(expressions) or "none"),
        ("w", f"{w_dim} numbers"),
    ]
    for name, graph in graphs.items():
        operators = ", ".join(f"{operator} {count}" for operator, count in sorted(graph.operators.items()))
        rows.append((name, f"opset {graph.opset}, {graph.parameters / 1e6:.2f} M parameters: {operators}"))
    rows += [(f"sha256 {name}", digest.sha256) for name, digest in manifest.files.items()]
    rows += free_form_rows("provenance", manifest.provenance)
    rows += free_form_rows("report", report)
    table(["", ""], rows)
    if as_json:
        shown = {
            "command": "inspect",
            "path": str(path),
            "manifest": manifest,
            "graphs": graphs,
            "expressions": expressions,
            "report": report,
        }
        say_json(shown)
