"""Speed and quality of every precision of a character, int8 included even where the gate refuses it.

    python benchmarks/precisions.py [CHARACTER.bunraku] [--frames 240] [--profile shared|exclusive]

Needs the `train` extra. The int8 generator is what `bunraku-train quantise` tries first: all layers quantised, with
poses of the runtime alone. It is written to a temporary file only. Each engine has its own process and they
take turns, as in `bunraku bench`: a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from engine_bridge.errors import BunrakuError
from runtime.bench import HEADINGS, EngineFigures, bench_engines
from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.character.writing import write_character
from runtime.engines import openvino
from runtime.engines.factory import Candidate, EngineSettings
from runtime.engines.table import unavailable
from runtime.machine import describe
from training.precision.quantise import prepare, quantise
from training.precision.reduced import ask


def with_int8(source: Path, out: Path) -> None:
    """Rewrite the character with an unjudged int8 generator."""
    with Character.open(source) as character:
        role, graph = character.role(), character.read("generator.onnx")
        members = {name: character.read(name) for name in character.members if name != "character.json"}
        manifest = character.manifest
    quantised = quantise(prepare(graph, ask(role, None, None).calibration))
    write_character(out, manifest, {**members, "generator.int8.onnx": quantised})


def candidates() -> list[Candidate]:
    """Everything that a processor can run."""
    found = [Candidate("onnxruntime", "fp32"), Candidate("onnxruntime", "int8")]
    if not unavailable("openvino"):
        precisions = ("fp32", "bf16", "int8") if openvino.has_bf16() else ("fp32", "int8")
        found += [Candidate("openvino", precision) for precision in precisions]
    return found


def measure(source: Path, settings: EngineSettings, frames: int) -> list[EngineFigures]:
    """One record per engine and precision."""
    with tempfile.TemporaryDirectory(prefix="bunraku-precisions-") as folder:
        path = Path(folder) / "judged-by-nobody.bunraku"
        with_int8(source, path)
        return bench_engines(path, candidates(), settings, frames)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("character", nargs="?", default="crowd")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--profile", choices=["shared", "exclusive"], default="shared")
    arguments = parser.parse_args()
    try:
        path = find_character(arguments.character)
        settings = EngineSettings(profile=arguments.profile)
        lanes = measure(path, settings, arguments.frames)
    except BunrakuError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    rows = [HEADINGS, *(lane.row() for lane in lanes)]
    widths = np.max([[len(cell) for cell in row] for row in rows], axis=0)
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    told = {"benchmark": "precisions", "character": str(arguments.character), "profile": arguments.profile}
    told |= {"engines": msgspec.to_builtins(lanes), "machine": describe()}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
