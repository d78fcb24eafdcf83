"""Makes the pictures of README.md from a character: the film, turns and moods, people from seeds. Then one JSON line.

python benchmarks/pictures.py [aki] --out docs/images
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine_bridge.errors import BunrakuError
from runtime.character.controls import PORTRAIT_CONTROLS
from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.drivers.port import ControlPort
from runtime.drivers.recording import RecordingDriver, read_recording
from runtime.drivers.table import Drivers
from runtime.engines.choice import Choice, open_engine
from runtime.engines.factory import EngineSettings
from runtime.live.performer import Performer
from runtime.live.stage import Stage

Picture = npt.NDArray[np.uint8]

TAKE: Final = Path(__file__).parent.parent / "examples/12_take/look_around.jsonl"
FILM: Final = ("Aki", "Neko", "Dante", "Kofi", "Rei", "Lumi")
FILM_FPS: Final = 20
FILM_BYTES: Final = 3_600_000
BEHIND: Final = (212, 219, 231)
BUST: Final = (47, 32, 465, 482)  # left, top, right, bottom in a frame of 512 px
HEAD: Final = (62, 30, 450, 438)
FACE: Final = (136, 186, 376, 393)
HAIR: Final = (96, 62, 416, 276)
MOODS: Final[tuple[tuple[str, dict[str, float]], ...]] = (
    *(("Aki", {mood: 1.0}) for mood in ("relaxed", "happy", "angry", "sad")),
    *(("Dante", {mood: 1.0}) for mood in ("happy", "angry", "sad")),
)
MOUTHS: Final[tuple[tuple[str, dict[str, float]], ...]] = (
    *(("Aki", {vowel: 1.0}) for vowel in ("aa", "ih", "ou", "ee", "oh")),
    ("Aki", {"surprised": 1.0}),
    ("Aki", {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "happy": 0.3}),
)


def film(choice: Choice, side: tuple[int, int] = (244, 263)) -> bytes:
    """Six people perform the take, as an animated WebP of at most `FILM_BYTES`."""
    role, recording = choice.role, read_recording(TAKE)
    performers = [
        Performer(
            role,
            choice.engine,
            Drivers((RecordingDriver(recording, loop=False),), ControlPort("wire"), ControlPort("window")),
            identity=name,
            stream=name,
        )
        for name in FILM
    ]
    stage = Stage(performers)
    pictures = []
    for number in range(int(recording.duration_s * FILM_FPS)):
        frames = stage.tick(round(number * 1e9 / FILM_FPS))
        cells = [shown(frame.pixels, BUST, side) for frame in frames]
        pictures.append(Image.fromarray(grid(cells, 3)))
    for quality in range(82, 20, -6):
        buffer = io.BytesIO()
        pictures[0].save(
            buffer,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=1000 // FILM_FPS,
            loop=0,
            quality=quality,
            method=4,
        )
        if buffer.tell() <= FILM_BYTES:
            break
    return buffer.getvalue()


def motions(choice: Choice) -> Picture:
    """Turns, moods, vowels, and hair at twice the size."""
    turns = [shown(pose(choice, "Aki", {"headYaw": yaw}), HEAD, (238, 250)) for yaw in range(-30, 31, 10)]
    faces = [shown(pose(choice, name, controls), FACE, (238, 205)) for name, controls in (*MOODS, *MOUTHS)]
    turned = (("Aki", -20.0), ("Rei", 20.0), ("Lumi", 20.0))
    hair = [shown(pose(choice, name, {"headYaw": yaw}), HAIR, (555, 371)) for name, yaw in turned]
    below = np.full((371, 1666, 3), BEHIND, np.uint8)
    below[:, :1665] = grid(hair, 3)
    return np.concatenate([grid(turns, 7), grid(faces, 7), below])


def seeds(choice: Choice, count: int = 64, side: int = 160) -> Picture:
    """People from the seeds 1, 2, 3 and so on."""
    return grid([shown(pose(choice, seed, {}), (26, 0, 486, 460), (side, side)) for seed in range(1, count + 1)], 8)


def pose(choice: Choice, who: str | int, controls: dict[str, float]) -> Picture:
    """One frame of a person, with the other controls at rest."""
    role, about = choice.role, choice.engine.description
    values = [controls.get(control.name, control.rest) for control in role.controls]
    w = role.latents.identity(who, truncation_psi=0.7 if isinstance(who, int) else 1.0)
    out = np.empty((1, about.sizes.height, about.sizes.width, 4), np.uint8)
    choice.engine.infer(w[None], np.array([values], np.float32), out)
    return out[0]


def shown(frame: Picture, box: tuple[int, int, int, int], side: tuple[int, int]) -> Picture:
    """A crop of a frame over the background; `box` is for frames of 512 px, `side` is width and height."""
    alpha = frame[..., 3:].astype(np.float32) / 255
    over = (frame[..., :3] * alpha + np.array(BEHIND, np.float32) * (1 - alpha) + 0.5).astype(np.uint8)
    scale = frame.shape[0] / 512
    piece = Image.fromarray(over).resize(side, Image.Resampling.LANCZOS, box=tuple(edge * scale for edge in box))
    return np.asarray(piece)


def grid(cells: list[Picture], across: int) -> Picture:
    """Arrange cells of one size, row by row."""
    rows = [np.concatenate(cells[start : start + across], 1) for start in range(0, len(cells), across)]
    return np.concatenate(rows, 0)


def save(picture: Picture, path: Path) -> None:
    """Save as a WebP without visible blocks."""
    Image.fromarray(picture).save(path, "WEBP", quality=88, method=6)


def main() -> int:
    """Make them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("character", nargs="?", default="aki")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    told: dict[str, Any] = {"benchmark": "pictures"}
    try:
        with Character.open(find_character(arguments.character)) as character:
            if [control.name for control in character.controls] != [control.name for control in PORTRAIT_CONTROLS]:
                raise BunrakuError(f"{arguments.character} does not have the controls of a portrait.")
            settings = EngineSettings(threads=2, patient=True)
            with open_engine("onnxruntime", character, precision="fp32", settings=settings) as choice:
                arguments.out.mkdir(parents=True, exist_ok=True)
                (arguments.out / "aki.webp").write_bytes(film(choice))
                save(motions(choice), arguments.out / "motions.webp")
                if choice.role.latents.has_mapping:
                    save(seeds(choice), arguments.out / "seeds.webp")
    except BunrakuError as error:
        print(error, file=sys.stderr)
        return 1
    for name in ("aki", "motions", "seeds"):
        file = arguments.out / f"{name}.webp"
        told[file.name] = file.stat().st_size if file.exists() else 0
        print(f"{file.name:14} {told[file.name]:>9} bytes")
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
