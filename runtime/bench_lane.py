"""Benchmark of one engine in its own process, driven over standard input.

The parent holds a `Lane`; the child runs `main`. Requests and answers are JSON, one object per line.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from engine_bridge.errors import BunrakuError, EngineError
from runtime.character.file import Character
from runtime.engines.base import Engine, Floats, Pixels
from runtime.live.pacing import FramePacer

from .engines.choice import load_engine
from .engines.factory import Candidate, EngineSettings
from .machine import seconds_since_process_start

_POSES: Final = 48  # pictures that quality is judged by
_FPS: Final = 60.0


class Lane:
    """The parent's end: one engine in its own process. Use it as a context manager.

    Attributes:
        candidate: the engine and precision.
        provider: what it runs on.
        start_s: from the start of its process to the first picture.
        times_ms: of every picture of `burst`.
    """

    def __init__(self, character: Path, candidate: Candidate, settings: EngineSettings) -> None:
        self.candidate = candidate
        self.times_ms: list[float] = []
        self._folder = tempfile.TemporaryDirectory(prefix="bunraku-bench-")
        job = {
            "character": str(character.resolve()),
            "candidate": [candidate.backend, candidate.precision],
            "settings": msgspec.to_builtins(settings),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runtime.bench_lane", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        told = self._answer()
        self.provider, self.start_s = str(told["provider"]), float(told["start_s"])

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def burst(self, frames: int) -> None:
        """Draw this many pictures as fast as possible."""
        self.times_ms += self._ask(do="burst", frames=frames)["times_ms"]

    def paced(self, frames: int) -> dict[str, float]:
        """Draw this many at 60 a second: `p50` and `p99` in milliseconds, `fps`, and `cores` kept busy."""
        told: dict[str, float] = self._ask(do="paced", frames=frames)
        return told

    def rss_mb(self) -> float:
        """Resident memory of the process, mebibytes."""
        import psutil

        return round(psutil.Process(self._process.pid).memory_info().rss / 2**20, 1)

    def pictures(self) -> Pixels:
        """Draw a fixed set of poses, uint8 [48, H, W, 4]."""
        path = Path(self._folder.name) / "pictures.npy"
        self._ask(do="pictures", path=str(path))
        drawn: Pixels = np.load(path)
        return drawn

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"The process of {self.candidate} ended with code {self._process.wait()}.")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise EngineError(f"{self.candidate}: {told['error']}")
        return told


def psnr_db(drawn: Pixels, wanted: Pixels) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of premultiplied RGBA, per picture, in dB; 100 for equal ones."""
    out = np.empty(len(drawn))
    for index, (one, other) in enumerate(zip(drawn, wanted, strict=True)):
        a, b = one.astype(np.float32) / 255, other.astype(np.float32) / 255
        a[..., :3] *= a[..., 3:]
        b[..., :3] *= b[..., 3:]
        out[index] = -10.0 * np.log10(max(float(np.square(a - b).mean()), 1e-10))
    return out


def poses(character: Character) -> tuple[Floats, Floats]:
    """Identities and poses for judging quality: every named identity in turn, four random controls off rest.

    Returns:
        w float32 [48, w_dim] and controls float32 [48, c].
    """
    random = np.random.Generator(np.random.Philox(5))
    rows = list(character.manifest.identities.values())
    w = character.latents_file[0][[rows[index % len(rows)] for index in range(_POSES)]]
    controls = np.empty((_POSES, len(character.controls)), np.float32)
    for pose in controls:
        pose[:] = [control.rest for control in character.controls]
        for column in random.choice(len(pose), min(4, len(pose)), replace=False):
            control = character.controls[column]
            pose[column] = random.uniform(control.minimum, control.maximum)
    return np.ascontiguousarray(w, np.float32), controls


class _Worker:
    """The child's end."""

    def __init__(self, engine: Engine, w: Floats, controls: Floats) -> None:
        about = engine.description
        self._engine, self._w, self._controls = engine, w, controls
        self._out = np.empty((1, about.sizes.height, about.sizes.width, 4), np.uint8)
        self._turn = 0

    def draw(self) -> float:
        """Draw the next pose and return how long it took in milliseconds."""
        row = slice(self._turn, self._turn + 1)
        self._turn = (self._turn + 1) % len(self._w)
        begun = time.perf_counter()
        self._engine.infer(self._w[row], self._controls[row], self._out)
        return (time.perf_counter() - begun) * 1e3

    def burst(self, frames: int) -> dict[str, Any]:
        return {"times_ms": [round(self.draw(), 3) for _ in range(frames)]}

    def paced(self, frames: int) -> dict[str, Any]:
        pacer = FramePacer(_FPS)
        pacer.wait()
        begun, spent, times = time.perf_counter(), time.process_time(), []
        for _ in range(frames):
            times.append(self.draw())
            pacer.wait()
        wall = time.perf_counter() - begun
        return {
            "p50": round(float(np.percentile(times, 50)), 2),
            "p99": round(float(np.percentile(times, 99)), 2),
            "fps": round(frames / wall, 2),
            "cores": round((time.process_time() - spent) / wall, 3),
        }

    def pictures(self, path: str) -> dict[str, Any]:
        self._turn = 0
        drawn = np.empty((len(self._w), *self._out.shape[1:]), np.uint8)
        for picture in drawn:
            self.draw()
            picture[:] = self._out[0]
        np.save(path, drawn)
        return {}


def main() -> None:
    """Load the engine described by the argument, draw everyone once, and answer until the input ends."""
    job = json.loads(sys.argv[1])
    try:
        with Character.open(job["character"]) as character:
            w, controls = poses(character)
            settings = dataclasses.replace(msgspec.convert(job["settings"], EngineSettings), patient=True)
            engine = load_engine(Candidate(*job["candidate"]), character, settings)
        with engine:
            worker = _Worker(engine, w, controls)
            worker.draw()
            told = {"provider": engine.description.label, "start_s": round(seconds_since_process_start(), 3)}
            for _ in w:
                worker.draw()
            _say(told)
            for line in sys.stdin:
                request = json.loads(line)
                _say(getattr(worker, request.pop("do"))(**request))
    except BunrakuError as error:
        _say({"error": str(error)})


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
