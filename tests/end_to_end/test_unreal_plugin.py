"""The Unreal plugin without Unreal: its core under sanitizers, its rules under mono, its components on a live stream.

Neither the engine's headers nor an editor are used; tests/unreal holds small stand-ins. What they cannot show is listed
in docs/unreal.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from engine_bridge import ControlServer, ControlSpec, ControlState, Frame, Publisher, StreamInfo
from engine_bridge.access.discovery import Announcement, StreamPlace
from engine_bridge.access.keys import ServerKeys, add_client, make_server_keys
from engine_bridge.avf.messages import ExpressionSpec, IdentityMix, LiveStats, Provenance
from tests import unreal_build
from tests.native_build import native_library
from tests.unreal_build import ADDRESS, EXAMPLE, HERE, MODULE, NATIVE_HEADERS, PLUGIN, REPOSITORY, THREAD

VISEMES = ["aa", "ih", "ou", "ee", "oh"]
POSES = ["headYaw", "headPitch", "headRoll", "gazeYaw", "gazePitch"]
CONTROLS = [ControlSpec(name, 0.0, 1.0, 0.0, "mouth") for name in ["jawOpen", *VISEMES]]
CONTROLS += [ControlSpec(name, -30.0, 30.0, 0.0, "head") for name in POSES]
PATIENCE_S = 30.0
BGRA = [2, 1, 0, 3]


# ---- the core


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address_and_undefined", "thread"])
def test_core_keeps_its_promises(sanitizer: list[str], tmp_path: Path) -> None:
    program = unreal_build.core_program(tmp_path / "core_test", sanitizer)
    done = subprocess.run([program], check=False, capture_output=True, text=True, timeout=PATIENCE_S * 4)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 20


def test_core_compiles_for_windows_beside_the_macro_of_the_build_tool() -> None:
    tool = unreal_build.compiler("x86_64-w64-mingw32-g++")
    flags = [*unreal_build.CORE_FLAGS, "-fsyntax-only", "-DBUNRAKU_API=__declspec(dllexport)"]
    for source in sorted((MODULE / "Private" / "Core").glob("*.cpp")):
        unreal_build.run_tool([tool, *flags, f"-I{NATIVE_HEADERS}", source])


def test_core_knows_no_unreal_types() -> None:
    for path in (MODULE / "Private" / "Core").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "CoreMinimal" not in text
        assert "TEXT(" not in text


# ---- what Unreal's tools read


def test_descriptor_has_what_unreal_asks_for() -> None:
    descriptor = json.loads((PLUGIN / "Bunraku.uplugin").read_text(encoding="utf-8"))
    assert descriptor["FileVersion"] == 3
    assert isinstance(descriptor["Version"], int)
    for key in ("VersionName", "FriendlyName", "Description", "Category", "CreatedBy"):
        assert descriptor[key]
    assert descriptor["CanContainContent"] is False
    (module,) = descriptor["Modules"]
    assert module["Name"] == "Bunraku"
    assert (MODULE / f"{module['Name']}.Build.cs").is_file()
    assert (module["Type"], module["LoadingPhase"]) == ("Runtime", "Default")
    assert sorted(module["PlatformAllowList"]) == sorted(descriptor["SupportedTargetPlatforms"])


def test_header_tool_takes_all_headers(tmp_path: Path) -> None:
    headers = unreal_build.reflected_headers()
    assert {header.stem for header in headers} == {
        "BunrakuControlComponent",
        "BunrakuReceiverComponent",
        "BunrakuSpeechComponent",
        "BunrakuTypes",
        "TalkingNpc",
    }
    done = unreal_build.write_generated_headers(tmp_path, headers)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ('#include "BunrakuControlComponent.generated.h"', "", "the last include must be"),
        ("float MaxLookYaw", "std::string MaxLookYaw", "reflection does not know the type std::string"),
        ("bool SetSeed(int64 Seed)", "bool SetSeed(uint64_t Seed)", "reflection does not know the type uint64_t"),
        ("class BUNRAKU_API UBunrakuControl", "class UBunrakuControl", "is not exported"),
        ("    /** Take the present", "private:\n    /** Take the present", "Calibrate is shown to Blueprints"),
        ('Callable, Category = "Bunraku")\n    void Cal', "Callable)\n    void Cal", "Calibrate needs a Category"),
        ("TObjectPtr<USceneComponent> Eyes", "USceneComponent* Eyes", "Eyes: hold objects as TObjectPtr"),
    ],
)
def test_header_tool_sees_mistakes(right: str, wrong: str, why: str, tmp_path: Path) -> None:
    header = MODULE / "Public" / "BunrakuControlComponent.h"
    text = header.read_text(encoding="utf-8")
    assert right in text
    spoilt = tmp_path / header.name
    spoilt.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = unreal_build.write_generated_headers(tmp_path / "out", [spoilt])
    assert done.returncode == 1
    assert why in done.stderr


@pytest.fixture(scope="module")
def build_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's Build.cs files, compiled together with a stand-in for UnrealBuildTool."""
    out = tmp_path_factory.mktemp("build_tool") / "build_tool.exe"
    rules = sorted(PLUGIN.glob("Source/**/*.Build.cs"))
    assert len(rules) == 2
    mcs = unreal_build.compiler("mcs")
    unreal_build.compiler("mono")
    unreal_build.run_tool([mcs, "-warnaserror", f"-out:{out}", HERE / "build_tool" / "UnrealBuildTool.cs", *rules])
    return out


def ask_rules(build_tool: Path, plugin: Path, platform: str, module: str) -> tuple[int, dict[str, list[str]]]:
    """What the rules of a module ask for on a platform, by list."""
    command = ["mono", str(build_tool), str(plugin), platform, module]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    answer: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, item = line.partition("=")
        answer.setdefault(name, []).append(item)
    assert answer, done.stderr
    return done.returncode, answer


@pytest.fixture
def copied_plugin(tmp_path: Path) -> Path:
    """The plugin as in a project's Plugins folder: native headers and empty libraries put where README.md says."""
    plugin = tmp_path / "MyGame" / "Plugins" / "Bunraku"
    shutil.copytree(PLUGIN, plugin)
    headers = plugin / "Source" / "ThirdParty" / "BunrakuClient" / "include" / "bunraku"
    headers.mkdir(parents=True)
    libraries = plugin / "Binaries" / "ThirdParty" / "BunrakuClient"
    for path in (
        headers / "client.h",
        headers / "speech.hpp",
        libraries / "Win64" / "bunraku_client.lib",
        libraries / "Win64" / "bunraku_client.dll",
        libraries / "Linux" / "libbunraku_client.so",
        libraries / "Mac" / "libbunraku_client.dylib",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return plugin


@pytest.mark.parametrize(
    ("platform", "linked", "delayed", "staged"),
    [
        ("Win64", ["bunraku_client.lib"], ["bunraku_client.dll"], ["bunraku_client.dll"]),
        ("Linux", ["libbunraku_client.so"], ["libbunraku_client.so"], ["libbunraku_client.so"]),
        ("Mac", [], ["libbunraku_client.dylib"], ["libbunraku_client.dylib"]),
    ],
)
def test_rules_name_header_and_library_of_each_platform(
    platform: str, linked: list[str], delayed: list[str], staged: list[str], build_tool: Path, copied_plugin: Path
) -> None:
    code, client = ask_rules(build_tool, copied_plugin, platform, "BunrakuClient")
    assert (code, client["type"]) == (0, ["External"])
    (include,) = client["include"]
    assert (Path(include) / "bunraku" / "client.h").is_file()
    assert [Path(item).name for item in client.get("library", [])] == linked
    assert [Path(item).name for item in client["delay"]] == delayed
    assert [Path(item).name for item in client["runtime"]] == staged
    for item in client.get("library", []) + client["runtime"]:
        assert Path(item).is_file()
        assert Path(item).parent.name == platform

    code, module = ask_rules(build_tool, copied_plugin, platform, "Bunraku")
    assert (code, module["type"]) == (0, ["CPlusPlus"])
    assert {"Core", "CoreUObject", "Engine", "RenderCore"} <= set(module["public"])
    assert {"BunrakuClient", "Projects", "RHI"} <= set(module["private"])


def test_rules_find_the_headers_of_the_repository(build_tool: Path, copied_plugin: Path) -> None:
    shutil.rmtree(copied_plugin / "Source" / "ThirdParty" / "BunrakuClient" / "include")
    native = copied_plugin.parents[1] / "native" / "include" / "bunraku"
    native.mkdir(parents=True)
    (native / "client.h").touch()
    (native / "speech.hpp").touch()
    code, client = ask_rules(build_tool, copied_plugin, "Linux", "BunrakuClient")
    assert (code, client["include"]) == (0, [str(native.parent)])


@pytest.mark.parametrize(
    "missing",
    [
        "Source/ThirdParty/BunrakuClient/include/bunraku/speech.hpp",
        "Binaries/ThirdParty/BunrakuClient/Win64/bunraku_client.dll",
    ],
)
def test_rules_say_which_file_is_missing(missing: str, build_tool: Path, copied_plugin: Path) -> None:
    (copied_plugin / missing).unlink()
    code, answer = ask_rules(build_tool, copied_plugin, "Win64", "BunrakuClient")
    assert code == 1
    assert Path(missing).name in answer["error"][0]
    assert "README.md" in answer["error"][0]


def test_rules_refuse_a_platform_without_a_client(build_tool: Path, copied_plugin: Path) -> None:
    code, answer = ask_rules(build_tool, copied_plugin, "Android", "BunrakuClient")
    assert code == 1
    assert "Win64, Linux and Mac" in answer["error"][0]


# ---- the components on a live stream


def fnv1a(data: bytes) -> str:
    """The hash that the game computes over a texture."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


class Producer:
    """A live loop without a character: random pictures, whose hashes it keeps, and every control state that came."""

    def __init__(
        self,
        frames: str = "tcp://127.0.0.1:0",
        control: str = "tcp://127.0.0.1:0",
        keys: ServerKeys | None = None,
    ) -> None:
        provenance = Provenance(ai=True, model="m", generator="test", source="CC0")
        self._publisher = Publisher(frames, stream="npc", provenance=provenance, keys=keys)
        self.session = self._publisher.session
        info = StreamInfo(
            session=self._publisher.session,
            stream="npc",
            character="Aki",
            width=24,
            height=16,
            fps=60.0,
            controls=CONTROLS,
            identities=["Aki", "Neko"],
            expressions=[ExpressionSpec("happy"), ExpressionSpec("relaxed"), ExpressionSpec("surprised")],
            has_mapping=True,
        )
        self._control = ControlServer(control, info, keys=keys)
        self._publisher.control_endpoint = self.control = self._control.endpoint
        self.frames = self._publisher.endpoint
        self.size = (24, 16)
        self.hashes: dict[int, tuple[str, str]] = {}  # frame id -> as RGBA, as BGRA
        self.states: list[ControlState] = []
        self._random = np.random.default_rng(3)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = control_id = control_timestamp_ns = 0
        while not self._ending.wait(1 / 60):
            state = self._control.poll()
            if state is not None:
                self.states.append(state)
                control_id, control_timestamp_ns = state.control_id, state.timestamp_ns
            width, height = self.size
            pixels = self._random.integers(0, 256, (height, width, 4), np.uint8)
            frame_id += 1
            self.hashes[frame_id] = (fnv1a(pixels.tobytes()), fnv1a(pixels[..., BGRA].tobytes()))
            self._publisher.heartbeat(LiveStats(provider="test", fps=60.0))
            self._publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, control_id, control_timestamp_ns, "test"))

    def wait_for_state(self, wanted: Any) -> ControlState:
        """The first state for which `wanted` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for state in list(self.states):
                if wanted(state):
                    return state
            time.sleep(0.02)
        raise AssertionError(f"no such state among {self.states}")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._control.close()
        self._publisher.close()


@contextmanager
def producing(
    frames: str = "tcp://127.0.0.1:0", control: str = "tcp://127.0.0.1:0", keys: ServerKeys | None = None
) -> Iterator[Producer]:
    producer = Producer(frames, control, keys)
    try:
        yield producer
    finally:
        producer.close()


class Game:
    """The plugin in a process of its own; see tests/unreal/game.cpp for its commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []
        self.loaded: bool = self.hear("loaded")["loaded"]

    def tell(self, *commands: str) -> None:
        assert self._process.stdin
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()

    def hear(self, key: str) -> dict[str, Any]:
        """Read until something with this key is said."""
        assert self._process.stdout
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            self.said.append(said)
            if key in said:
                return said
        raise AssertionError(f"the game ended before it said {key}, with {self._process.wait()}")

    def ask(self, command: str, key: str) -> dict[str, Any]:
        self.tell(command)
        return self.hear(key)

    def run(self, seconds: float) -> list[dict[str, Any]]:
        """Tick; returns the pictures that reached a texture meanwhile."""
        before = len(self.said)
        self.ask(f"run {seconds}", "ran")
        return [said for said in self.said[before:] if "frame" in said]

    def run_until(self, wanted: Any) -> list[dict[str, Any]]:
        """Tick until something is said for which `wanted` holds; returns what was said meanwhile."""
        before = len(self.said)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.run(0.1)
            if any(wanted(said) for said in self.said[before:]):
                return self.said[before:]
        raise AssertionError(f"not said: {self.said[before:]}")

    def run_for(self, count: int) -> list[dict[str, Any]]:
        """Tick until so many pictures have reached a texture."""
        pictures: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(pictures) < count and time.monotonic() < deadline:
            pictures += self.run(0.1)
        assert len(pictures) >= count
        return pictures

    def run_till(self, holds: Callable[[], bool]) -> None:
        """Tick until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds() and time.monotonic() < deadline:
            self.run(0.1)
        assert holds()

    def hold_render_thread(self) -> None:
        """From now on updates stay in flight; returns when both textures wait for theirs."""
        self.tell("hold")
        self.run_till(lambda: self.report()["leases"] == 2)

    def report(self) -> dict[str, Any]:
        return self.ask("report", "leases")

    def quit(self) -> dict[str, Any]:
        """Shut down; the sanitizers must have nothing to say, leaks included."""
        self.tell("quit")
        ended = self.hear("ended")
        assert self._process.wait(PATIENCE_S) == 0
        return ended


def build_game(folder: Path, sanitizer: list[str]) -> Path:
    """The game on the real native client, which lies where the plugin looks for it."""
    library = native_library()
    beside = folder / "Plugin" / "Binaries" / "ThirdParty" / "BunrakuClient" / "Linux"
    beside.mkdir(parents=True)
    (beside / "libbunraku_client.so").symlink_to(library)
    return unreal_build.game_program(folder / "game", library, sanitizer)


@pytest.fixture(scope="module")
def game_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The game with AddressSanitizer, UBSan and leak check."""
    return build_game(tmp_path_factory.mktemp("game"), ADDRESS)


@contextmanager
def playing(program: Path, **environment: str) -> Iterator[Game]:
    """Start the game; what it says to stderr, the sanitizers' words above all, is shown with a failure."""
    laid_over = {"STUB_PLUGIN_DIR": str(program.parent / "Plugin"), "ASAN_OPTIONS": "detect_leaks=1", **environment}
    # A file and not a pipe: nobody reads it while the game runs, and a full pipe would stop the game.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **laid_over},
        )
        try:
            yield Game(process)
        finally:
            process.kill()
            process.communicate()
            errors.seek(0)
            sys.stderr.write(errors.read())


def is_live(said: dict[str, Any]) -> bool:
    return said == {"event": "state", "state": "Live"}


def is_picture(said: dict[str, Any]) -> bool:
    return "frame" in said


def of_size(width: int, height: int) -> Any:
    return lambda said: is_picture(said) and (said["width"], said["height"]) == (width, height)


NOTHING_LEFT = {"ended": True, "leases": 0, "clients": 0, "textures": 0}


@pytest.mark.parametrize(("pixel_format", "column"), [("rgba8", 0), ("bgra8", 1)])
def test_textures_hold_the_bytes_that_were_sent(pixel_format: str, column: int, game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        spawned = game.ask(f"spawn endpoint={producer.frames} format={pixel_format} material=1", "spawned")
        assert spawned["open"], spawned["error"]
        game.run_until(is_picture)
        for size in [(24, 16), (33, 17), (1, 1), (64, 3)]:
            producer.size = size
            pictures = [said for said in game.run_until(of_size(*size)) if is_picture(said)]
            pictures += game.run_for(5)
            for picture in pictures:
                assert picture["hash"] == producer.hashes[picture["frame"]][column]
                assert picture["srgb"] is True
                assert picture["bound"] is True
                assert picture["age_ms"] >= 0
            ids = [picture["frame"] for picture in pictures]
            assert ids == sorted(set(ids))
        assert {"event": "size", "width": 33, "height": 17} in game.said
        assert is_live(next(said for said in game.said if said.get("event") == "state"))
        report = game.report()
        assert report["leases"] == 0
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("textures", [1, 2, 3])
def test_pictures_go_round_the_textures(textures: int, game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames} textures={textures}", "spawned")
        game.run_until(is_picture)
        pictures = game.run_for(10)
        shown = [picture["texture"] for picture in pictures]
        assert len(set(shown)) == textures
        if textures > 1:
            assert all(before != after for before, after in pairwise(shown))
        assert game.report()["textures"] == textures
        assert game.quit() == NOTHING_LEFT


def test_frames_wait_while_the_render_thread_is_held(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.hold_render_thread()
        game.run_till(lambda: game.ask("statistics", "deferred")["deferred"] > 3)
        assert game.report()["leases"] == 2
        game.tell("resume")
        pictures = game.run_for(5)
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        assert game.report()["leases"] == 0
        assert game.quit() == NOTHING_LEFT


def test_destroyed_with_updates_in_flight(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        for _ in range(3):
            game.ask(f"spawn endpoint={producer.frames}", "spawned")
            game.run_until(is_picture)
            game.hold_render_thread()
            game.ask("destroy", "destroyed_ms")
            game.tell("clear")
            assert game.ask("gc", "waiting")["waiting"] > 0
            flying = game.report()
            assert (flying["leases"], flying["clients"]) == (2, 1)

            game.tell("resume")
            while game.ask("gc", "waiting")["waiting"]:
                pass
            game.ask("gc", "waiting")
            landed = game.report()
            assert (landed["leases"], landed["clients"]) == (0, 0)
        assert game.quit() == NOTHING_LEFT


def test_game_thread_and_render_thread_do_not_race(tmp_path: Path) -> None:
    program = build_game(tmp_path, THREAD)
    # Both are built without ThreadSanitizer, which therefore cannot see how they synchronize.
    suppressions = tmp_path / "suppressions.txt"
    suppressions.write_text("race:libzmq.so\nrace:libbunraku_client.so\n", encoding="utf-8")
    with producing() as producer, playing(program, TSAN_OPTIONS=f"suppressions={suppressions}") as game:
        for _ in range(3):
            game.ask(f"spawn endpoint={producer.frames} material=1", "spawned")
            game.run_until(is_picture)
            game.ask("set jawOpen 0.5", "taken")
            game.tell("say hello there", "run 0.5", "hold", "run 0.2", "destroy", "clear", "gc", "resume", "gc")
        assert game.quit() == NOTHING_LEFT


def test_closed_and_opened_again_with_updates_in_flight(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.ask("set jawOpen 0.5", "taken")
        game.run(0.1)
        producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        told = len(producer.states)
        game.hold_render_thread()
        game.tell("close")
        assert game.ask("open", "taken")["taken"] is True
        assert game.report()["clients"] == 2
        game.tell("resume")
        pictures = [said for said in game.run_until(is_picture) if is_picture(said)]
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        report = game.report()
        assert (report["clients"], report["leases"]) == (1, 0)
        # The new client is a stranger to the producer and tells everything again.
        game.run_till(lambda: len(producer.states) > told)
        assert producer.states[told].controls == {"jawOpen": 0.5}
        assert game.quit() == NOTHING_LEFT


def test_whoever_hears_of_a_picture_may_close_the_receiver(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell("closeinevent")
        game.run_until(lambda said: said == {"event": "state", "state": "Lost"})
        report = game.report()
        assert (report["clients"], report["leases"], report["state"]) == (0, 0, "Lost")
        assert game.ask("open", "taken")["taken"] is True
        game.run_until(is_picture)
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_holding_closing_and_destroying_leaves_nothing(seed: int, game_program: Path) -> None:
    random = np.random.default_rng(seed)
    with producing() as producer, playing(game_program) as game:
        for _ in range(4):
            textures = int(random.integers(1, 4))
            game.ask(f"spawn endpoint={producer.frames} textures={textures} material=1", "spawned")
            for command in random.choice(["hold", "resume", "close", "open", "run 0.05", "run 0.2", "gc", "last"], 12):
                game.tell(command)
                producer.size = (int(random.integers(1, 40)), int(random.integers(1, 40)))
            game.tell("destroy", "clear", "gc")
        game.tell("resume")
        assert game.quit() == NOTHING_LEFT
        pictures = [said for said in game.said if is_picture(said)]
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)


@pytest.mark.parametrize(("encoding", "in_use"), [(0, 4), (1, 1), (2, 2), (3, 3), (4, 4)])
def test_pictures_travel_as_chosen(encoding: int, in_use: int, game_program: Path) -> None:
    """Numbers are those of EBunrakuEncoding: automatic, raw, lz4, jpeg, shared memory."""
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames} encoding={encoding}", "spawned")
        game.run_till(lambda: game.ask("statistics", "encoding")["encoding"] == in_use)
        pictures = game.run_for(10)
        if in_use != 3:
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        assert game.quit() == NOTHING_LEFT


def test_producer_may_be_started_anew(game_program: Path) -> None:
    with playing(game_program) as game:
        with producing() as first:
            game.ask(f"spawn endpoint={first.frames}", "spawned")
            game.run_until(is_picture)
            assert game.ask("set jawOpen 0.5", "taken")["taken"]
            game.run(0.1)
            first.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        game.run_until(lambda said: said == {"event": "state", "state": "Lost"})
        assert game.report()["leases"] == 0

        with producing(first.frames, first.control) as second:
            said = game.run_until(is_picture)
            pictures = [picture for picture in said if is_picture(picture)] + game.run(0.3)
            assert all(said["hash"] == second.hashes[said["frame"]][1] for said in pictures)
            second.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        assert game.quit() == NOTHING_LEFT


def test_all_controls_reach_the_character(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        wishes = ["set jawOpen 0.25", "identity Neko", "mixseed 7 0.5", "psi 0.75", "expression happy", "head 10 -20 5"]
        for command in wishes:
            assert game.ask(command, "taken")["taken"], command
        game.tell("calibrate")
        game.run(0.2)
        wanted = {"jawOpen": 0.25, "headYaw": 20.0, "headPitch": 10.0, "headRoll": -5.0}
        state = producer.wait_for_state(lambda state: state.controls == wanted)
        assert (state.identity, state.mix) == ("Neko", IdentityMix(7, 0.5))
        assert (state.truncation_psi, state.expression, state.calibrate) == (0.75, "happy", True)
        assert game.report()["sent"] == 1

        game.run(0.2)
        assert game.report()["sent"] == 1

        game.ask("seed 42", "taken")
        game.ask("mix Aki 0.25", "taken")
        game.tell("release headYaw", "release headPitch", "release headRoll", "leave")
        game.run(0.2)
        state = producer.wait_for_state(lambda state: state.identity == 42)
        assert (state.controls, state.mix) == ({"jawOpen": 0.25}, IdentityMix("Aki", 0.25))
        assert (state.expression, state.calibrate) == (None, False)

        for command in ("set jawOpen nan", "set jawOpen inf", "mix Aki 2", "seed -1", "psi -0.5", "head nan 0 0"):
            assert game.ask(command, "taken")["taken"] is False, command
        sent = game.report()["sent"]
        game.run(0.1)
        assert game.report()["sent"] == sent
        assert game.quit() == NOTHING_LEFT


def test_what_the_character_takes_is_told(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        assert game.ask("takes", "controls") == {"controls": [], "identities": [], "expressions": []}
        game.run_till(lambda: bool(game.ask("takes", "controls")["controls"]))
        takes = game.ask("takes", "controls")
        assert takes["controls"][0] == ["jawOpen", "mouth", 0.0, 1.0, 0.0]
        assert len(takes["controls"]) == len(CONTROLS)
        assert takes["identities"] == ["Aki", "Neko"]
        assert takes["expressions"] == ["happy", "relaxed", "surprised"]
        assert game.quit() == NOTHING_LEFT


def test_looking_follows_a_place_and_lets_go(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell("look 100 -100 0")  # 45 degrees to her left, further than eyes turn
        game.run(0.2)
        wanted = {"gazeYaw": 30.0, "headYaw": 10.0, "gazePitch": 0.0, "headPitch": 0.0}
        producer.wait_for_state(lambda state: state.controls == pytest.approx(wanted, abs=1e-4))
        game.tell("look 100 0 17.6327")  # 10 degrees up
        game.run(0.2)
        wanted = {"gazeYaw": 0.0, "headYaw": 0.0, "gazePitch": 10.0, "headPitch": 10 / 3}
        producer.wait_for_state(lambda state: state.controls == pytest.approx(wanted, abs=1e-4))
        game.tell("unlook")
        game.run(0.2)
        producer.wait_for_state(lambda state: state.controls == {})
        assert game.quit() == NOTHING_LEFT


def test_control_component_that_goes_lets_go_of_the_character(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        for command in ("set jawOpen 1", "identity Neko", "expression happy"):
            assert game.ask(command, "taken")["taken"]
        game.tell("look 100 0 0", "say aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
        game.run(0.3)
        producer.wait_for_state(lambda state: {"jawOpen", "aa", "gazeYaw"} <= set(state.controls))
        game.tell("dropcontrol", "gc")
        game.run(0.2)
        state = producer.wait_for_state(lambda state: state.controls == {})
        assert (state.identity, state.expression) == ("Neko", None)
        assert game.run_for(1)
        assert game.quit() == NOTHING_LEFT


def test_talking_npc_speaks_and_follows_the_player(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"npc {producer.frames}", "spawned")
        said = game.run_until(lambda said: said == {"event": "spoken"})
        pictures = [picture for picture in said if is_picture(picture)]
        assert pictures
        assert all(picture["bound"] for picture in pictures)
        game.run(0.2)

        spoken = [state for state in producer.states if "aa" in state.controls]
        assert all(set(state.controls) == {*VISEMES, "gazeYaw", "headYaw"} for state in spoken)
        assert all(state.controls["gazeYaw"] == pytest.approx(10.0, abs=1e-3) for state in spoken)
        assert all(state.controls["headYaw"] == pytest.approx(10.0 / 3, abs=1e-3) for state in spoken)
        for viseme in VISEMES:
            assert max(state.controls[viseme] for state in spoken) > 0.1, viseme
        moods = [state.expression for state in spoken]
        assert [mood for index, mood in enumerate(moods) if index == 0 or moods[index - 1] != mood][-3:] == [
            "happy",
            "relaxed",
            "surprised",
        ]
        last = producer.wait_for_state(lambda state: state.expression == "")
        assert set(last.controls) == {"gazeYaw", "headYaw"}
        game.tell("clear")
        assert game.quit() == NOTHING_LEFT


def test_speech_moves_the_mouth_as_in_every_language(game_program: Path) -> None:
    kit = REPOSITORY / "assets" / "conformance" / "v1" / "speech.txt"
    compared = 0
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        text = ""
        for line in kit.read_text(encoding="utf-8").splitlines():
            if line.startswith("text="):
                text = line.removeprefix("text=")
                continue
            time_ms, *weights, expression = line.split(" ")
            said = game.ask(f"mouth {time_ms} {text}", "mouth")
            assert said["mouth"] == pytest.approx([float(weight) for weight in weights], abs=1e-4), line
            assert said["expression"] == {"-": None, "~": ""}.get(expression, expression), line
            compared += 1
        assert game.quit() == NOTHING_LEFT
    assert compared > 100


def test_stopping_in_the_middle_of_a_line_lets_go_of_the_mouth(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell(f"say {'a' * 99}")
        game.run_till(lambda: any(state.controls.get("aa", 0) > 0.9 for state in list(producer.states)))
        assert game.report()["speaking"] is True
        game.tell("stop")
        game.run(0.2)
        assert game.report()["speaking"] is False
        producer.wait_for_state(lambda state: state.expression == "" and state.controls == {})
        assert {"event": "spoken"} not in game.said
        assert game.quit() == NOTHING_LEFT


def test_statistics_tell_ages_provenance_and_refusals(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        early = game.ask("statistics", "received")
        assert early["taken_ms"] == early["motion_to_photon_ms"] == -1.0
        game.run_until(is_picture)
        game.ask("set jawOpen 0.5", "taken")
        game.run_till(lambda: game.ask("statistics", "received")["motion_to_photon_ms"] >= 0)
        game.run_till(lambda: game.ask("statistics", "received")["fps"] > 0)
        figures = game.ask("statistics", "received")
        assert figures["taken_ms"] > 0
        assert figures["arrival_ms"] > 0
        assert figures["motion_to_photon_ms"] > 0
        assert figures["shown"] > 0
        assert (figures["stream"], figures["provider"], figures["ai"]) == ("npc", "test", True)
        assert figures["source"] == "CC0"

        game.ask("set notAControl 1", "taken")
        game.run_till(lambda: game.ask("statistics", "received")["refused"] >= 1)
        assert game.quit() == NOTHING_LEFT


def test_wrong_endpoint_is_told_and_does_no_harm(game_program: Path) -> None:
    with playing(game_program) as game:
        spawned = game.ask("spawn endpoint=nonsense", "spawned")
        assert spawned["open"] is False
        assert spawned["error"]
        game.run(0.1)
        assert game.ask("set jawOpen 0.5", "taken")["taken"] is True
        assert game.ask("open", "taken")["taken"] is False
        game.run(0.1)
        assert game.quit() == NOTHING_LEFT


def test_encrypted_stream_needs_the_key_file(game_program: Path, tmp_path: Path) -> None:
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    keys = make_server_keys(tmp_path / "keys")
    add_client(tmp_path / "keys", "unreal", tmp_path / "unreal.toml")
    with producing(keys=keys) as producer:
        with playing(game_program) as game:
            game.ask(f"spawn endpoint={producer.frames} key={tmp_path / 'unreal.toml'}", "spawned")
            game.run_until(is_picture)
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in game.run_for(5))
            assert game.ask("set jawOpen 0.5", "taken")["taken"]
            game.run(0.2)
            producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
            assert game.quit() == NOTHING_LEFT
        with playing(game_program) as stranger:
            stranger.ask(f"spawn endpoint={producer.frames}", "spawned")
            assert stranger.run(1.0) == []
            assert stranger.quit() == NOTHING_LEFT


def test_stream_is_found_by_its_name(game_program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with producing() as producer:
        place = StreamPlace(
            pid=os.getpid(), session=producer.session, stream="npc", frames=producer.frames, control=producer.control
        )
        with Announcement(place), playing(game_program) as game:
            game.ask("spawn endpoint= stream=npc", "spawned")
            game.run_until(is_picture)
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in game.run_for(3))
            assert game.quit() == NOTHING_LEFT


def test_missing_key_file_is_told(game_program: Path, tmp_path: Path) -> None:
    with playing(game_program) as game:
        spawned = game.ask(f"spawn endpoint=tcp://127.0.0.1:5760 key={tmp_path / 'nobody.toml'}", "spawned")
        assert spawned["open"] is False
        assert "nobody.toml" in spawned["error"]
        assert game.quit() == NOTHING_LEFT


def test_nothing_is_kept_where_nothing_is_rendered(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.tell("headless")
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_live)
        assert game.run(0.5) == []
        assert game.ask("set jawOpen 0.5", "taken")["taken"]
        game.run(0.2)
        producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        assert game.report()["leases"] == 0
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("environment", [{"STUB_PLUGIN_DIR": "/nowhere"}, {"STUB_ABI_VERSION": "99"}])
def test_without_a_fitting_library_nothing_of_it_is_called(environment: dict[str, str], game_program: Path) -> None:
    with playing(game_program, **environment) as game:
        assert game.loaded is False
        spawned = game.ask("spawn endpoint=tcp://127.0.0.1:5760", "spawned")
        assert spawned["open"] is False
        assert "LogBunraku" in spawned["error"]
        assert game.ask("set jawOpen 0.5", "taken")["taken"] is True
        game.run(0.1)
        assert game.quit() == NOTHING_LEFT


def test_example_is_the_line_of_all_languages() -> None:
    rules = (EXAMPLE.parent / "README.md").read_text(encoding="utf-8")
    line = next(text for text in rules.splitlines() if text.startswith("The line: `")).split("`")[1]
    assert f'TEXT("{line}")' in (EXAMPLE / "TalkingNpc.h").read_text(encoding="utf-8")
