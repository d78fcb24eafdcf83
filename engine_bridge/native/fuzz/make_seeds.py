"""Write seeds for the fuzzers of the native client, from the conformance kit.

    make_seeds.py assets/conformance/v1 FOLDER

makes FOLDER/fuzz_header, fuzz_planes, fuzz_control and fuzz_texts.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import msgpack  # type: ignore[import-untyped]

CONTROL = (
    {"k": "pong", "t": -1, "r": 2**40, "ses": 5},
    {"k": "refuse", "code": "control", "text": "the stream has no control 'x'", "ses": 5},
    {
        "k": "welcome",
        "proto": 1,
        "v": 1,
        "ses": 5,
        "streams": ["aki"],
        "caps": ["raw"],
        "info": {
            "session": 5,
            "stream": "aki",
            "character": "Aki",
            "width": 512,
            "height": 512,
            "fps": 30.0,
            "controls": [{"name": "jawOpen", "minimum": 0.0, "maximum": 1.0, "rest": 0.0, "group": "mouth"}],
            "identities": ["a", "b"],
            "expressions": [{"name": "happy", "hotkey": "1"}],
            "has_mapping": True,
            "provider": "synthetic",
        },
    },
)
TEXTS = (
    'pid = 1\nsession = 5\nstream = "aki"\nframes = "tcp://127.0.0.1:5760"\ncontrol = ""\nweb = ""\nserver_key = ""\n',
    f'server = "{"0" * 40}"\npublic = "{"1" * 40}"\nsecret = "{"2" * 40}"\n',
    "tcp://[::1]:5760",
    "avf1.jpeg/aki",
)
PLANES = {"lz4": 1, "jpeg": 2}  # the encodings worth a seed, as fuzz_planes.cpp counts them


def parts_of(case: Path) -> list[list[bytes]]:
    """The messages of a case, each as its parts."""
    files = sorted(
        (file for file in case.glob("*.*.bin") if file.stem.split(".")[1].isdigit()),
        key=lambda file: [int(number) for number in file.stem.split(".")],
    )
    messages: dict[str, list[bytes]] = {}
    for file in files:
        messages.setdefault(file.stem.split(".")[0], []).append(file.read_bytes())
    return list(messages.values())


def header_seed(parts: list[bytes]) -> bytes:
    """A message as fuzz_header.cpp takes it."""
    return bytes([len(parts)]) + b"".join(struct.pack("<H", min(len(part), 0xFFFF)) + part[:0xFFFF] for part in parts)


def plane_seed(parts: list[bytes]) -> bytes | None:
    """The planes of a frame as fuzz_planes.cpp takes them, None if they are of no interest to it."""
    try:
        header = msgpack.unpackb(parts[1])
        first = header["pl"][0]["e"]
        width, height = header["w"], header["h"]
    except (ValueError, KeyError, TypeError, IndexError, msgpack.UnpackException):
        return None
    planes = parts[2:]
    if first not in PLANES or len(planes) not in (1, 2) or not (1 <= width <= 256 and 1 <= height <= 256):
        return None
    size = sum(len(plane) for plane in planes)
    two = len(planes) == 2
    split = round(255 * len(planes[0]) / max(size, 1))
    return bytes([PLANES[first] | (4 if two else 0), 0, 8 if two else 0, width - 1, height - 1, split]) + b"".join(
        planes
    )


def main() -> None:
    """Write all seeds."""
    cases, out = Path(sys.argv[1]) / "cases", Path(sys.argv[2])
    seeds: dict[str, list[bytes]] = {
        "fuzz_header": [],
        "fuzz_planes": [],
        "fuzz_control": [msgpack.packb(message) for message in CONTROL],
        "fuzz_texts": [text.encode() for text in TEXTS],
    }
    for case in sorted(cases.iterdir()):
        for parts in parts_of(case):
            seeds["fuzz_header"].append(header_seed(parts))
            plane = plane_seed(parts) if len(parts) > 2 else None
            if plane is not None:
                seeds["fuzz_planes"].append(plane)
    for name, contents in seeds.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(contents):
            (folder / f"{number:03}").write_bytes(seed)
        print(f"{name}: {len(contents)} seeds")


if __name__ == "__main__":
    main()
