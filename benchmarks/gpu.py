"""How fast an NVIDIA GPU draws a character of the size of `crowd`, without TensorRT: a table, then one JSON line.

    python benchmarks/gpu.py [--sizes 256 512] [--batches 1 8 64] [--frames 300]
    python benchmarks/gpu.py --device cpu --frames 3 --batches 1      # only to check that it works

Weights are random: speed does not depend on them. Measured from inputs in main memory to bytes in main memory, as an
engine works, with what is installed: PyTorch with a captured CUDA graph, and onnxruntime-gpu with the exported graph.
The last two columns give how many characters one GPU draws 30 or 60 times a second in such batches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import torch

from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.machine import describe
from training.decoder.graphs import generator_graph, half_generator_graph, pictures
from training.decoder.networks import SEED_SIZE, Generator

WARM_UP_FRAMES = 10
GRAPHS: dict[str, Callable[[Generator, int], bytes]] = {"fp32": generator_graph, "fp16": half_generator_graph}

Draw = Callable[[], None]


def shipped_shape(size_px: int) -> Generator:
    """`crowd`'s generator with random weights, its head fitted to the size."""
    with Character.open(find_character("crowd")) as character:
        controls = [(c.minimum, c.maximum, c.rest) for c in character.controls]
        model = character.manifest.provenance["recipe"]["model"]
    torch.manual_seed(0)
    net = Generator(
        w_dim=model["w_dim"],
        controls=controls,
        channels=model["channels"],
        blocks=model["blocks"],
        modulate_to=model["modulate_to"],
        head=size_px // (SEED_SIZE * 2 ** (len(model["channels"]) - 1)),
        sizes_px=[size_px],
        code_dim=model["code_dim"],
    )
    return net.eval().requires_grad_(False)


def through_torch(net: Generator, precision: str, batch: int, device: str) -> Draw:
    """PyTorch, channels last; on a GPU the copies and the network are one captured graph."""
    kind = torch.device(device)
    module = pictures(net, half=precision == "fp16").to(kind, memory_format=torch.channels_last)
    pin = kind.type == "cuda"
    inputs = [torch.zeros(batch, net.w_dim, pin_memory=pin), torch.full((batch, len(net.lowest)), 0.5, pin_memory=pin)]
    out = torch.empty(batch, net.size_px, net.size_px, 4, dtype=torch.uint8, pin_memory=pin)

    def draw() -> None:
        with torch.inference_mode():
            out.copy_(module(*(part.to(kind, non_blocking=True) for part in inputs)), non_blocking=True)

    if not pin:
        return draw
    torch.backends.cudnn.benchmark = True
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            draw()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        draw()

    def replay() -> None:
        with torch.cuda.stream(stream):
            graph.replay()
        stream.synchronize()

    return replay


def through_onnxruntime(net: Generator, precision: str, batch: int, device: str) -> Draw:
    """ONNX Runtime with the exported graph, copies included; on a GPU it captures its own graph."""
    cuda = device == "cuda"
    options = {"enable_cuda_graph": "1", "prefer_nhwc": "1"}
    providers: list[Any] = [("CUDAExecutionProvider", options)] if cuda else ["CPUExecutionProvider"]
    model = GRAPHS[precision](net, len(net.lowest))
    session = onnxruntime.InferenceSession(model, providers=providers)
    if cuda and session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("onnxruntime-gpu found no CUDA libraries")
    place = ("cuda", 0) if cuda else ("cpu", 0)
    host = {"w": np.zeros((batch, net.w_dim), np.float32), "controls": np.full((batch, len(net.lowest)), 0.5, "f4")}
    there = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array, *place) for name, array in host.items()}
    shape = (batch, net.size_px, net.size_px, 4)
    out = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, *place)
    binding = session.io_binding()
    for name, value in there.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_ortvalue_output("rgba", out)

    def draw() -> None:
        for name, value in there.items():
            value.update_inplace(host[name])
        session.run_with_iobinding(binding)
        out.numpy()

    return draw


def measured(draw: Draw, frames: int) -> tuple[float, float]:
    """Milliseconds of one call, p50 and p99."""
    for _ in range(min(WARM_UP_FRAMES, frames)):
        draw()
    spent = []
    for _ in range(frames):
        begun = time.perf_counter()
        draw()
        spent.append((time.perf_counter() - begun) * 1e3)
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 99))


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One measurement after another; a failure is reported in its row and stops nothing."""
    runners = {"torch": through_torch}
    if arguments.device == "cpu" or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        runners["onnxruntime"] = through_onnxruntime
    for size_px in arguments.sizes:
        net = shipped_shape(size_px)
        for batch in arguments.batches:
            for library, runner in runners.items():
                for precision in GRAPHS:
                    row = {"library": library, "precision": precision, "size_px": size_px, "batch": batch}
                    try:
                        p50, p99 = measured(runner(net, precision, batch, arguments.device), arguments.frames)
                    except Exception as error:  # another library or batch may still be measured
                        yield row | {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
                        continue
                    each = p50 / batch
                    yield row | {
                        "p50_ms": round(p50, 3),
                        "p99_ms": round(p99, 3),
                        "ms_per_frame": round(each, 3),
                        "characters_at_30fps": int(1000 / 30 / each),
                        "characters_at_60fps": int(1000 / 60 / each),
                    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="pixels a side (default: 256 512)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64], help="pictures at once (default: 1 8 64)")
    parser.add_argument("--frames", type=int, default=300, help="measured calls per row (default: 300)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here", file=sys.stderr)
        return 1
    names = ("library", "precision", "size_px", "batch", "p50_ms", "p99_ms", "ms_per_frame")
    names += ("characters_at_30fps", "characters_at_60fps")
    print("".join(f"{name.removeprefix('characters_'):>13}" for name in names))
    done = []
    for row in rows(arguments):
        done.append(row)
        print("".join(f"{row[name]:>13}" for name in names if name in row) + row.get("failed", ""), flush=True)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "onnxruntime": onnxruntime.__version__}
    record = {"benchmark": "gpu", "device": device, "versions": versions, "rows": done, "machine": describe()}
    print(json.dumps(record))
    return int(any("failed" in row for row in done))


if __name__ == "__main__":
    sys.exit(main())
