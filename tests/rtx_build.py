"""Runs `tensorrt_build` against the compiler of TensorRT-RTX, inside `rtx_compiler.run_inside`. Prints one JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import onnx
import tensorrt as trt

from engine_bridge.errors import EngineBuildError
from runtime.engines.tensorrt_build import Progress, plan_from_onnx


def main(model: Path) -> None:
    """Build in every way that needs no GPU."""
    # In this mix of versions the name's setter reaches another function; the real one is tested on a GPU.
    trt.INetworkDefinition.name = property(lambda network: "", lambda network, name: None)
    graph = model.read_bytes()
    timings = model.with_suffix(".timings")
    told: list[tuple[str, int, int]] = []

    def build(progress: Progress, graph: bytes = graph) -> bytes:
        return plan_from_onnx(graph, layout="0" * 64, batches=(1, 4), timing_cache=timings, progress=progress)

    def watch(*step: Any) -> bool:
        told.append(step)
        return True

    found: dict[str, Any] = {"plan": len(build(watch)), "timings": timings.stat().st_size, "told": len(told)}
    found["in range"] = all(0 <= done <= total for _, done, total in told)

    told.clear()
    found["stopped"] = refusal(lambda: build(lambda *step: bool(told.append(step))))
    found["asked after it was stopped"] = len(told) - 1

    def interrupt(*_: Any) -> bool:
        raise KeyboardInterrupt

    try:
        build(interrupt)
    except KeyboardInterrupt as interrupted:
        found["interrupted"] = type(interrupted).__name__

    timings.write_bytes(b"spoilt")
    found["with spoilt timings"] = len(build(watch))
    found["not a network"] = refusal(lambda: build(watch, b"\x08\x0a"))
    wrong = onnx.load_from_string(graph)
    wrong.graph.node[1].op_type = "MatMulInteger"
    found["wrong operator"] = refusal(lambda: build(watch, wrong.SerializeToString()))
    print(json.dumps(found))  # noqa: T201


def refusal(build: Any) -> str:
    """The error's text."""
    try:
        build()
    except EngineBuildError as error:
        return str(error)
    return "was not refused"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)
