"""The GDExtension in a program that stands in for Godot, with the real client library and a live publisher.

No Godot 4 runs here: the program implements the documented C interface, counts every value and object it hands out,
and aborts on anything that Godot would not tolerate.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from engine_bridge import ControlServer, ControlSpec, ExpressionSpec, Frame, IdentityMix, Publisher, StreamInfo
from engine_bridge.frame import Pixels
from tests.conftest import REPOSITORY

SOURCES = REPOSITORY / "engine_bridge" / "godot"
HOST = REPOSITORY / "tests" / "godot" / "native"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow", "-Wconversion"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
PATIENCE_S = 120.0


def client_library() -> Path:
    if named := os.environ.get("BUNRAKU_NATIVE_LIBRARY"):
        return Path(named).resolve()
    native_build = pytest.importorskip("tests.native_build", reason="the native client is not part of this checkout")
    library: Path = native_build.native_library()
    return library


def run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The host program, and an addon folder with the extension as installed by `cmake --install`."""
    for tool in ("cmake", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    library = client_library()
    folder = tmp_path_factory.mktemp("extension")
    run(
        "cmake", "-S", SOURCES, "-B", folder / "build",
        f"-DBUNRAKU_GODOT_HEADER_DIR={HOST}", f"-DBUNRAKU_CLIENT_LIBRARY={library}",
        f"-DBUNRAKU_WARNINGS={';'.join(WARNINGS)}", f"-DCMAKE_C_FLAGS={' '.join(SANITIZE)}",
    )  # fmt: skip
    run("cmake", "--build", folder / "build")
    run("cmake", "--install", folder / "build", "--prefix", folder / "addon")
    standard = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", *WARNINGS, *SANITIZE, f"-I{HOST}"]
    run("cc", *standard, HOST / "fake_host.c", "-ldl", "-o", folder / "host")
    return folder / "host", folder / "addon"


def picture(number: int, side: int) -> Pixels:
    y, x, channel = np.mgrid[0:side, 0 : side + 5, 0:4]
    pixels: Pixels = ((x * 3 + y * 7 + channel * 50 + number * 11) % 256).astype(np.uint8)
    return pixels


def place_sum(pixels: Pixels) -> int:
    """The host's checksum of the bytes it shows: 31 * sum + byte, in 64 bits."""
    total = 0
    for byte in pixels.tobytes():
        total = (total * 31 + byte) % 2**64
    return total


def test_extension_shows_frames_sends_controls_and_leaves_nothing_behind(built: tuple[Path, Path]) -> None:
    host, addon = built
    assert (addon / "bunraku.gdextension").is_file()
    with Publisher("tcp://127.0.0.1:0", stream="aki") as publisher:
        info = StreamInfo(
            session=publisher.session,
            stream="aki",
            character="Aki",
            width=37,
            height=32,
            fps=60.0,
            controls=[ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth")],
            identities=["Aki", "Ren"],
            expressions=[ExpressionSpec("happy", "1")],
        )
        with ControlServer("tcp://127.0.0.1:0", info) as control:
            publisher.control_endpoint = control.endpoint
            states = []
            sums = set()
            process = subprocess.Popen(
                [host, addon / "bin" / "libbunraku_godot.so", publisher.endpoint, "40"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            deadline = time.monotonic() + PATIENCE_S
            number = 0
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    number += 1
                    pixels = picture(number, 32 if number % 40 < 20 else 48)
                    sums.add(place_sum(pixels))
                    publisher.publish(Frame(pixels, number, 0, "", 0, 0, 0, 0, 0, "test"))
                    if (state := control.poll()) is not None:
                        states.append(state)
                    time.sleep(0.01)
            finally:
                process.kill()
            said, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, complaints
    told = dict(word.split("=") for word in said.split())
    assert (told["methods"], told["properties"], told["signals"]) == ("27", "8", "2")
    assert (told["state"], told["refused"]) == ("1", "6")  # live; an error for no endpoint, and for no key
    assert int(told["updates"]) + int(told["replacements"]) >= 43
    assert int(told["replacements"]) >= 2
    assert int(told["size_signals"]) == int(told["replacements"])
    assert int(told["state_signals"]) >= 3
    assert int(told["sum"]) in sums
    assert (told["copies"], told["alive"], told["registered"]) == ("0", "0", "0")
    assert states[0].controls == {"jawOpen": 0.5}
    assert states[0].expression == "happy"
    assert (states[0].mix, states[0].truncation_psi) == (IdentityMix("Ren", 0.25), 0.5)
    assert states[-1].controls == {}
    assert states[-1].mix == IdentityMix("Ren", 0.0)
    assert "a number outside its range" in complaints
    assert "Use Godot 4.2 or later" in complaints  # what an older engine is told
    assert "udp://nowhere" in complaints
    assert "/nowhere/aki.key" in complaints


def test_build_without_the_header_says_where_to_get_it(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    command = ["cmake", "-S", str(SOURCES), "-B", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "--dump-gdextension-interface" in " ".join(done.stderr.split())
