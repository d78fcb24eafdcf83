"""The Unity package: its files, and its components run on Mono with the real native library and a live producer."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from engine_bridge import ControlServer, ControlSpec, ControlState, Frame, LiveStats, Publisher, StreamInfo
from engine_bridge.avf.messages import ExpressionSpec, Provenance
from engine_bridge.avf.wire import Heartbeat, encode_frame, encode_heartbeat, new_session
from tests.conformance_kit import KIT, Case, Expected, cases, ring_of
from tests.conftest import REPOSITORY
from tests.native_build import native_library
from tests.unity import game as unity
from tests.unity import meta_files
from tests.unity.game import Game

PATIENCE_S = 60.0
PACKAGE = meta_files.PACKAGE
CONTROLS = [
    ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth"),
    *(ControlSpec(name, -30.0, 30.0, 0.0, "head") for name in ("headYaw", "headPitch", "gazeYaw", "gazePitch")),
    *(ControlSpec(name, 0.0, 1.0, 0.0, "visemes") for name in ("aa", "ih", "ou", "ee", "oh")),
]
EXPRESSIONS = [ExpressionSpec(name) for name in ("happy", "relaxed", "surprised")]


# --- what lies in the package -----------------------------------------------------------------------------------------


def test_manifest_is_complete() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "com.bunraku.client"
    assert manifest["displayName"] == "Bunraku"
    assert manifest["unity"] == "2022.3"
    version = re.search(
        r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert version
    assert manifest["version"] == version[1]
    assert f"[{version[1]}]" in (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (PACKAGE / "LICENSE.md").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    for sample in manifest["samples"]:
        assert (PACKAGE / sample["path"]).is_dir()


def test_assembly_definitions_refer_to_each_other() -> None:
    ours = {}
    for path in PACKAGE.rglob("*.asmdef"):
        definition = json.loads(path.read_text(encoding="utf-8"))
        assert definition["name"] == path.stem
        ours[definition["name"]] = definition
    assert set(ours) == {"Bunraku", "Bunraku.Editor", "Bunraku.Editor.Tests"}
    assert ours["Bunraku"]["allowUnsafeCode"]
    assert ours["Bunraku.Editor"]["includePlatforms"] == ["Editor"]
    unitys = {"UnityEngine.UI", "UnityEngine.TestRunner", "UnityEditor.TestRunner"}
    for definition in ours.values():
        assert set(definition["references"]) <= set(ours) | unitys


def test_every_asset_has_a_meta_file_with_a_guid_of_its_own() -> None:
    assets = list(meta_files.assets())
    assert "Runtime/Interop/Native.cs" in assets
    guids: dict[str, str] = {}
    for asset in assets:
        path = meta_files.meta_path(asset)
        assert path.is_file(), f"{asset} has no .meta file. Write it: python tests/unity/meta_files.py"
        match = re.match(
            r"fileFormatVersion: 2\nguid: ([0-9a-f]{32})\n(?:folderAsset: yes\n)?\w+Importer:\n", path.read_text()
        )
        assert match, f"{path} is no .meta file"
        assert guids.setdefault(match[1], asset) == asset, f"{asset} and {guids[match[1]]} have the same guid"
    orphans = set(PACKAGE.rglob("*.meta")) - {meta_files.meta_path(asset) for asset in assets}
    assert not orphans, f"{orphans} belong to nothing. Remove them: python tests/unity/meta_files.py"


@pytest.mark.parametrize(("library", "settings"), meta_files.PLUGINS.items())
def test_each_library_is_loaded_by_one_platform_only(library: str, settings: tuple[str, str, str]) -> None:
    text = meta_files.meta_path(library).read_text(encoding="utf-8")
    enabled = re.findall(r"first:\n      (\S+): ?(\S*)\n    second:\n      enabled: 1\n", text)
    assert enabled == [("Editor", "Editor"), ("Standalone", settings[1])]
    assert f"OS: {settings[0]}\n" in text
    ignored = subprocess.run(["git", "check-ignore", "-q", PACKAGE / library], cwd=REPOSITORY, timeout=30, check=False)
    assert ignored.returncode in (0, 128), f"git would take {library} in"  # 128: no checkout


def test_shaders_are_named_as_the_documentation_says() -> None:
    names = {
        match[1]
        for path in (PACKAGE / "Runtime" / "Shaders").glob("*.shader")
        if (match := re.search(r'^Shader "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    assert names == {"Bunraku/Straight Alpha", "Bunraku/Premultiplied Alpha"}


# --- what compiles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "defines",
    [
        ["UNITY_EDITOR", "UNITY_EDITOR_WIN"],
        ["UNITY_EDITOR", "UNITY_EDITOR_OSX"],
        ["UNITY_STANDALONE", "UNITY_STANDALONE_WIN"],
        ["UNITY_STANDALONE", "UNITY_STANDALONE_LINUX"],
        ["UNITY_IOS", "ENABLE_IL2CPP"],
    ],
    ids="+".join,
)
def test_runtime_compiles_without_a_warning_for(defines: list[str], tmp_path: Path) -> None:
    unity.need_mono()
    unity.compile_stand_ins(tmp_path)
    unity.compile_runtime(tmp_path, defines)


# --- the running package ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unity.need_mono()
    return unity.compile_game(tmp_path_factory.mktemp("unity"))


@pytest.fixture(scope="module")
def library() -> Path:
    if sys.platform != "linux":
        pytest.skip("how Mono finds a library is known here for Linux only")
    return native_library()


@pytest.fixture
def game(program: Path, library: Path) -> Iterator[Game]:
    with unity.running(program, library) as running:
        yield running


class Producer(threading.Thread):
    """A live loop without a character: numbered frames of noise, and everything that clients ask for."""

    def __init__(
        self, frames: str = "tcp://127.0.0.1:0", *, fps: float = 60.0, size: tuple[int, int] = (64, 48)
    ) -> None:
        super().__init__(daemon=True)
        self.size = size
        self.hashes: dict[tuple[int, int], str] = {}
        self.pixels: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
        self.states: list[ControlState] = []
        self.silent = threading.Event()
        self._fps = fps
        self._stopped = threading.Event()
        self._publisher = Publisher(frames, stream="aki")
        self.session = self._publisher.session
        info = StreamInfo(
            session=self.session, stream="aki", character="Aki", width=64, height=48, fps=fps, controls=CONTROLS,
            identities=["Aki", "Ren"], expressions=EXPRESSIONS, has_mapping=True,
        )  # fmt: skip
        self._server = ControlServer("tcp://127.0.0.1:0", info, resend_last=self._publisher.resend_last)
        self._publisher.control_endpoint = self._server.endpoint
        self.endpoint = self._publisher.endpoint
        self.start()

    def run(self) -> None:
        generator = np.random.default_rng(7)
        frame_id = control_id = control_timestamp_ns = 0
        while not self._stopped.wait(1 / self._fps):
            if self.silent.is_set():
                continue
            state = self._server.poll()
            if state is not None:
                self.states.append(state)
                control_id, control_timestamp_ns = state.control_id, state.timestamp_ns
            frame_id += 1
            width, height = self.size
            pixels = generator.integers(0, 256, (height, width, 4), np.uint8)
            key = (self.session, frame_id)
            self.pixels[key] = pixels
            self.hashes[key] = hashlib.sha256(pixels.tobytes()).hexdigest()
            self._publisher.heartbeat(LiveStats(provider="noise", target_fps=self._fps))
            self._publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, control_id, control_timestamp_ns, "noise"))

    def stop(self) -> None:
        """Say bye and free the ports."""
        self._stopped.set()
        self.join(PATIENCE_S)
        self._server.close()
        self._publisher.close()

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tick_until(game: Game, condition: Callable[[dict[str, str]], object]) -> dict[str, str]:
    """Let the game run until its report fulfils the condition; return that report."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        game.ask("tick", 2, 2)
        report = game.ask("report")
        if condition(report):
            return report
        assert time.monotonic() < deadline, f"it never came true: {report}"


def has(key: str, value: str) -> Callable[[dict[str, str]], bool]:
    return lambda report: report.get(key) == value


def live(report: Mapping[str, str]) -> bool:
    return report["state"] == "Live" and "sha256" in report


def test_edit_mode_tests_of_the_package_pass(game: Game) -> None:
    results = game.lines("edit-mode-tests")
    assert len(results) > 10
    assert [result for result in results if result[1] != "ok"] == []


def test_structs_lie_as_the_c_compiler_has_them(game: Game) -> None:
    told = dict(line.split("=") for line in (KIT / "abi.txt").read_text(encoding="utf-8").split())
    ours = game.ask("layout")
    twins = {key: value for key, value in told.items() if key.split(".")[0] in ours}
    assert ours == twins


def test_texture_holds_exactly_the_bytes_that_were_sent(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        seen: set[str] = set()
        while len(seen) < 20:
            report = tick_until(game, live)
            assert report["sha256"] == producer.hashes[int(report["session"]), int(report["frame_id"])]
            seen.add(report["frame_id"])
        assert report["size"] == "64x48"
        assert report["linear"] == "False"
        assert (report["stream"], report["provider"]) == ("aki", "noise")
        assert report["textures"] == "1"
        assert float(report["age_p50"]) > 0
        # Rows lie top first: both targets turn them over in their texture coordinates.
        assert (report["on_quad"], report["tiling"]) == ("True", "1 -1 0 1")
        assert (report["on_canvas"], report["uv"]) == ("True", "0 1 1 -1")
        assert report["events"] == "size:64x48,state:Live" or report["events"] == "state:Live,size:64x48"
        assert report["said"] == ""


@pytest.mark.parametrize("encoding", ["Raw", "Lz4", "SharedMemory"])
def test_every_lossless_encoding_brings_the_same_bytes(game: Game, encoding: str) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", f"Encoding={encoding}")
        tick_until(game, has("frame.encoding", encoding))
        for size in ((64, 48), (33, 21)):
            producer.size = size
            report = tick_until(game, has("size", f"{size[0]}x{size[1]}"))
            assert report["sha256"] == producer.hashes[int(report["session"]), int(report["frame_id"])]


def test_jpeg_keeps_alpha_exactly(game: Game, tmp_path: Path) -> None:
    if "jpeg" not in game.ask("library")["version"]:
        pytest.skip("this build of the library has no jpeg")
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", "Encoding=Jpeg")
        report = tick_until(game, has("frame.encoding", "Jpeg"))
        game.ask("save", tmp_path / "picture.bin")
        shown = np.fromfile(tmp_path / "picture.bin", np.uint8).reshape(48, 64, 4)
        sent = producer.pixels[int(report["session"]), int(report["frame_id"])]
        assert (shown[..., 3] == sent[..., 3]).all()
        assert (shown[..., :3] != sent[..., :3]).any()


def test_upright_texture_is_turned_over_by_the_native_side(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", "Upright=true")
        report = tick_until(game, live)
        pixels = producer.pixels[int(report["session"]), int(report["frame_id"])]
        assert report["sha256"] == hashlib.sha256(pixels[::-1].tobytes()).hexdigest()
        assert (report["tiling"], report["uv"]) == ("1 1 0 0", "0 0 1 1")


def test_premultiplied_texture_holds_colour_times_alpha(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", "Premultiplied=true")
        report = tick_until(game, live)
        pixels = producer.pixels[int(report["session"]), int(report["frame_id"])].astype(np.uint32)
        pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
        assert report["sha256"] == hashlib.sha256(pixels.astype(np.uint8).tobytes()).hexdigest()


def test_texture_is_made_anew_only_when_the_size_changes(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, live)
        for number, size in enumerate([(33, 21), (1, 1), (640, 360)], start=2):
            producer.size = size
            report = tick_until(game, has("size", f"{size[0]}x{size[1]}"))
            assert report["sha256"] == producer.hashes[int(report["session"]), int(report["frame_id"])]
            assert report["textures"] == str(number)
            assert report["events"].endswith(f"size:{size[0]}x{size[1]}")


def test_producer_that_is_started_again_is_shown_again(game: Game) -> None:
    with Producer() as first:
        game.ask("open", f"Endpoint={first.endpoint}")
        assert tick_until(game, live)["session"] == str(first.session)
    report = tick_until(game, lambda report: report["state"] == "Lost")
    assert "sha256" in report  # the last frame stays
    with Producer(first.endpoint) as second:
        report = tick_until(game, lambda report: live(report) and report["session"] == str(second.session))
        assert report["sha256"] == second.hashes[second.session, int(report["frame_id"])]
        assert [event for event in report["events"].split(",") if event.startswith("state")] == [
            "state:Live", "state:Lost", "state:Live",
        ]  # fmt: skip


def test_nothing_is_seen_before_the_first_frame(game: Game) -> None:
    with Producer() as producer:
        producer.silent.set()
        game.ask("open", f"Endpoint={producer.endpoint}")
        game.ask("tick", 5, 1)
        report = game.ask("report")
        assert (report["canvas_alpha"], report["quad_alpha"]) == ("0", "0")
        producer.silent.clear()
        report = tick_until(game, live)
        assert (report["canvas_alpha"], report["quad_alpha"]) == ("1", "1")


def test_silence_is_noticed_and_fades_the_picture(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", "WhenSilent=Fade", "FadeSeconds=0.2")
        assert float(tick_until(game, live)["opacity"]) == 1
        producer.silent.set()
        report = tick_until(game, lambda report: report["state"] == "Stale" and report["canvas_alpha"] == "0")
        assert report["quad_alpha"] == "0"
        producer.silent.clear()
        report = tick_until(game, lambda report: report["state"] == "Live" and report["canvas_alpha"] == "1")
        assert report["quad_alpha"] == "1"


def test_ten_thousand_updates_make_no_garbage(game: Game) -> None:
    with Producer(fps=250) as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, live)
        tick_until(game, lambda report: report["control_state"] == "Live")
        game.ask("speak", "[happy] " + "Hello, traveller! " * 500)
        result = game.ask("flow", 10_000)
        assert int(result["shown"]) > 200
        assert int(result["sent"]) > 200
        assert (result["allocated"], result["collections"]) == ("0", "0")
        assert game.ask("report")["said"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "domains"), [("forget", 50), ("disable", 25), ("reload", 25)])
def test_script_domains_are_unloaded_without_a_hang(game: Game, ending: str, domains: int) -> None:
    with Producer() as producer:
        before = game.ask("domains", 1, ending, f"Endpoint={producer.endpoint}")
        assert "failed" not in before, before
        after = game.ask("domains", domains, ending, f"Endpoint={producer.endpoint}", timeout_s=150)
        assert "failed" not in after, after
        # No client outlives its domain: each has threads, libzmq's and its own.
        assert int(after["threads"]) <= int(before["threads"]) + 10


@pytest.mark.parametrize("moment", ["reload", "quitting", "play"])
def test_clients_are_closed_at(game: Game, moment: str) -> None:
    with Producer() as producer:
        game.ask("play")
        game.ask("open", f"Endpoint={producer.endpoint}")
        assert tick_until(game, live)["clients"] == "1"
        game.ask(moment)
        game.ask("tick", 3, 1)
        report = game.ask("report")
        assert report["clients"] == "0"
        assert report["said"] == ""


def test_disabled_receiver_closes_and_enabled_one_opens(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, live)
        game.ask("disable")
        report = game.ask("report")
        assert (report["clients"], report["state"]) == ("0", "Lost")
        assert "sha256" in report
        game.ask("enable")
        assert tick_until(game, live)["clients"] == "1"
        game.ask("destroy")
        assert game.ask("report")["clients"] == "0"


# --- controls ---------------------------------------------------------------------------------------------------------


def state_of(game: Game, producer: Producer, condition: Callable[[ControlState], object]) -> ControlState:
    """Let the game run until the producer has a state that fulfils the condition; return it."""
    tick_until(game, lambda _: any(condition(state) for state in list(producer.states)))
    return next(state for state in producer.states if condition(state))


def test_controls_reach_the_producer_and_come_back_in_frames(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.25)
        game.ask("set", "headYaw", -12.5)
        game.ask("expression", "happy")
        game.ask("identity", "Ren")
        game.ask("mix-seed", 11, 0.75)
        game.ask("psi", 0.5)
        state = state_of(game, producer, lambda state: state.expression == "happy" and state.truncation_psi == 0.5)
        assert state.controls == {"jawOpen": 0.25, "headYaw": -12.5}
        assert state.identity == "Ren"
        assert state.mix is not None
        assert (state.mix.identity, state.mix.amount) == (11, 0.75)
        assert not state.calibrate
        game.ask("release", "headYaw")
        game.ask("calibrate")
        state = state_of(game, producer, lambda state: state.calibrate)
        assert state.controls == {"jawOpen": 0.25}
        game.ask("expression", "")
        state_of(game, producer, lambda state: state.expression == "" and not state.calibrate)
        game.ask("identity", "")
        game.ask("seed", 42)
        game.ask("mix", "Aki", 0.5)
        state = state_of(
            game, producer, lambda state: state.identity == 42 and state.mix and state.mix.identity == "Aki"
        )
        report = tick_until(game, lambda report: not math.isnan(float(report["motion_to_photon"])))
        assert float(report["motion_to_photon"]) > 0
        assert report["refused"] == "0"
        # Switched off, the component gives back what it held.
        sent = len(producer.states)
        game.ask("control-off")
        tick_until(game, lambda _: any(state.controls == {} for state in producer.states[sent:]))


def test_nothing_is_sent_while_nothing_changes(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.5)
        tick_until(game, lambda report: report["control_id"] != "0")
        before = game.ask("report")["control_id"]
        for _ in range(20):
            game.ask("set", "jawOpen", 0.5)
            game.ask("tick", 1, 0)
        assert game.ask("report")["control_id"] == before


def test_number_that_is_none_is_left_out_with_a_warning(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.5)
        game.ask("set", "jawOpen", "NaN")
        game.ask("set", "headYaw", "Infinity")
        state_of(game, producer, lambda state: state.controls == {"jawOpen": 0.5})
        assert "jawOpen is NaN" in game.ask("report")["said"]


def test_character_tells_what_it_takes(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        info = game.ask("info")
        assert (info["character"], info["size"]) == ("Aki", "64x48")
        assert info["control.jawOpen"] == "0 1 0 mouth"
        assert info["control.gazeYaw"] == "-30 30 0 head"
        assert (info["identities"], info["expressions"]) == ("Aki,Ren", "happy,relaxed,surprised")


@pytest.mark.parametrize(
    ("where", "yaw", "pitch"),
    [
        ((0.2, 0.0, -1.0), 11.31, 0.0),  # to the viewer's right: the character's own left, positive
        ((-0.2, 0.0, -1.0), -11.31, 0.0),
        ((0.0, 0.2, -1.0), 0.0, 11.31),  # above: up, positive
        ((0.0, -0.2, -1.0), 0.0, -11.31),
        ((5.0, 0.0, -1.0), 30.0, 0.0),  # no further than the eyes go
        ((0.0, 5.0, -1.0), 0.0, 20.0),
    ],
)
def test_eyes_and_head_follow(game: Game, where: tuple[float, float, float], yaw: float, pitch: float) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        game.ask("look", *where)
        controls = state_of(game, producer, lambda state: "headPitch" in state.controls).controls
        assert controls["gazeYaw"] == pytest.approx(yaw, abs=0.01)
        assert controls["gazePitch"] == pytest.approx(pitch, abs=0.01)
        assert controls["headYaw"] == pytest.approx(yaw / 3, abs=0.01)
        assert controls["headPitch"] == pytest.approx(pitch / 3, abs=0.01)
        game.ask("look-away")
        state_of(game, producer, lambda state: state.controls == {})


def test_turned_face_looks_from_where_it_faces(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        # A quad turned by 90 degrees around y faces -x; who stands there at z 0.2 is to the character's right.
        game.ask("turn", 90)
        game.ask("look", -1, 0, 0.2)
        controls = state_of(game, producer, lambda state: "headPitch" in state.controls).controls
        assert controls["gazeYaw"] == pytest.approx(-11.31, abs=0.01)


# --- speech -----------------------------------------------------------------------------------------------------------


def test_speech_moves_the_mouth_as_in_every_language(game: Game) -> None:
    lines: dict[str, list[str]] = {}
    for line in (KIT / "speech.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("text="):
            lines[line.removeprefix("text=")] = moments = []
        elif line and not line.startswith("#"):
            moments.append(line)
    assert lines
    for text, expected in lines.items():
        times = ",".join(moment.split()[0] for moment in expected)
        for (_, moment), right in zip(game.lines("speech", text, times), expected, strict=True):
            assert_same_moment(moment, right, text)


def assert_same_moment(ours: str, theirs: str, text: str) -> None:
    """Weights may differ by a rounding of the last place."""
    mine, other = ours.split(), theirs.split()
    assert mine[6] == other[6], f"{text!r}: {ours} instead of {theirs}"
    for a, b in zip(mine[1:6], other[1:6], strict=True):
        assert float(a) == pytest.approx(float(b), abs=1.01e-4), f"{text!r}: {ours} instead of {theirs}"


def test_sample_says_its_line_and_looks_at_the_player(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("sample")
        tick_until(game, lambda report: report["speaking"] == "True")
        tick_until(game, lambda report: "finished" in report["events"])
        tick_until(game, lambda _: producer.states[-1].expression == "")
        moods = [state.expression for state in producer.states if state.expression is not None]
        assert list(dict.fromkeys(moods)) == ["happy", "relaxed", "surprised", ""]
        assert max(state.controls.get("aa", 0.0) for state in producer.states) > 0.5
        assert producer.states[-1].controls["gazeYaw"] == pytest.approx(math.degrees(math.atan2(0.5, 2)), abs=0.01)
        assert "aa" not in producer.states[-1].controls


# --- uploading on the render thread -----------------------------------------------------------------------------------


def test_render_thread_is_given_the_newest_frame_by_native_code(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", "UploadPath=RenderThread")
        report = tick_until(game, lambda report: int(report.get("render_updates", 0)) > 30)
        for _ in range(20):
            report = tick_until(game, live)
            assert report["sha256"] in set(producer.hashes.values())
        before = int(report["render_updates"])
        for size in ((31, 17), (640, 360), (2, 2)):
            producer.size = size
            report = tick_until(game, has("size", f"{size[0]}x{size[1]}"))
            assert report["sha256"] in set(producer.hashes.values())
        report = tick_until(game, lambda report: int(report["render_updates"]) > before + 10)
        game.ask("disable")
        game.ask("enable")
        tick_until(game, lambda after: live(after) and int(after["render_updates"]) > int(report["render_updates"]) + 5)
        assert game.ask("report")["said"] == ""


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_missing_library_is_explained(program: Path) -> None:
    with unity.running(program, None) as game:
        game.ask("open", "Endpoint=tcp://127.0.0.1:5760")
        game.ask("tick", 3, 0)
        report = game.ask("report")
        assert report["state"] == "Error"
        assert report["why"].startswith("library not found: Plugins/Linux/x86_64/libbunraku_client.so")
        assert report["events"] == "state:Error"
        drawn = [value for key, value in game.lines("inspect") if key == "drawn"]
        assert any(line.startswith("Warning: library not found") for line in drawn)


@pytest.mark.parametrize(
    ("setting", "word"),
    [("Endpoint=tcp:/nowhere", "tcp"), ("Stream=a stream", "stream"), ("KeyFile=/no/such/file", "/no/such/file")],
)
def test_wrong_setting_is_explained_and_can_be_mended(game: Game, setting: str, word: str) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", setting)
        game.ask("tick", 3, 0)
        report = game.ask("report")
        assert report["state"] == "Error"
        assert word in report["why"]
        assert report["clients"] == "0"
        field = setting.partition("=")[0]
        game.ask("configure", f"Endpoint={producer.endpoint}" if field == "Endpoint" else f"{field}=")
        assert tick_until(game, live)["why"] == ""


def test_inspector_shows_the_picture_and_how_it_stands(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        inspected = game.lines("inspect")
        drawn = "\n".join(value for key, value in inspected if key == "drawn")
        assert "State: Live, controls Live" in drawn
        assert re.search(r"Age: [0-9.]+ ms p50, [0-9.]+ ms p99", drawn)
        assert dict(inspected)["size"] == "64x48"
        assert dict(inspected)["preview"] == "33.33334 0 133.3333 100"


def test_stream_is_found_by_its_name_on_this_host(program: Path, library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bunraku"
    folder.mkdir(mode=0o700)
    with Producer() as producer:
        lines = {
            "pid": str(os.getpid()), "session": str(producer.session), "stream": '"aki"',
            "frames": f'"{producer.endpoint}"', "control": '""', "web": '""', "server_key": '""',
        }  # fmt: skip
        (folder / "aki.toml").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
        with unity.running(program, library, {"XDG_RUNTIME_DIR": str(tmp_path)}) as game:
            game.ask("open", "Stream=aki")
            assert tick_until(game, live)["session"] == str(producer.session)


class Wire(AbstractContextManager["Wire"]):
    """The producer's socket without a producer: sends whatever bytes it is given."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = 0  # nothing may be lost here
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._times: Counter[bytes] = Counter()  # how often each topic was subscribed to

    def send(self, parts: list[bytes]) -> None:
        self._socket.send_multipart(parts)

    def times_subscribed(self, topic: bytes) -> int:
        """How often exactly this topic was subscribed to so far: once per connection."""
        while self._socket.poll(0):
            event = self._socket.recv()
            self._times[event[1:]] += event[:1] == b"\x01"
        return self._times[topic]

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()


def frame_of(pixels: np.ndarray[Any, Any]) -> list[bytes]:
    """The first frame of a new session, which every client takes for news."""
    frame = Frame(pixels, 1, 0, "", 0, 0, 0, 0, 0, "noise")
    parts = encode_frame(frame, stream="aki", session=new_session(), publish_ns=1)
    return [bytes(part) for part in parts]


def mutated(generator: random.Random, parts: list[bytes]) -> list[bytes]:
    """The message with one to three things wrong with it."""
    parts = list(parts)
    for _ in range(generator.randint(1, 3)):
        index = min(generator.choice((0, 1, 1, 1, 2)), len(parts) - 1)
        part = bytearray(parts[index])
        place = generator.randrange(len(part) + 1)
        kind = generator.randrange(6)
        if kind == 0 and part:
            part[place % len(part)] ^= 1 << generator.randrange(8)
        elif kind == 1 and part:
            part[place % len(part)] = generator.randrange(256)
        elif kind == 2:
            del part[place:]
        elif kind == 3:
            part[place:place] = generator.randbytes(generator.randint(1, 9))
        elif kind == 4:
            part[place : place + 5] = b"\xdd\x0f\xff\xff\xff"
        else:
            parts.insert(index, bytes(part))
        parts[index] = bytes(part)
        if len(parts) > 1 and generator.random() < 0.03:
            parts.pop()
    return parts


@pytest.mark.slow
def test_hundred_thousand_mutated_messages_do_no_harm(game: Game) -> None:
    generator = random.Random(17)
    noise = np.random.default_rng(17)
    heartbeat = encode_heartbeat(
        Heartbeat("aki", new_session(), 7, 7, LiveStats(provider="noise"), provenance=Provenance(), unix_offset_ns=1)
    )
    with Wire() as wire:
        game.ask("open", f"Endpoint={wire.endpoint}", "Stream=aki", "Encoding=Raw")
        tick_until(game, lambda _: wire.times_subscribed(b"avf1/aki"))
        for _ in range(200):
            for _ in range(500 // 5):
                # A whole frame now and then, or the client would close the connection, as it should.
                wire.send(frame_of(np.zeros((1, 1, 4), np.uint8)))
                for _ in range(5):
                    whole = (
                        frame_of(noise.integers(0, 256, (2, 3, 4), np.uint8)) if generator.random() < 0.8 else heartbeat
                    )
                    wire.send(mutated(generator, [bytes(part) for part in whole]))
            last = noise.integers(0, 256, (9, 7, 4), np.uint8)
            digest = hashlib.sha256(last.tobytes()).hexdigest()
            while game.ask("report").get("sha256") != digest:
                wire.send(frame_of(last))
                game.ask("tick", 2, 2)
        report = game.ask("report")
        assert int(report["bad"]) > 50_000
        assert report["said"] == ""


LISTENED = b"avf1/"
COUNTERS = ("received", "late", "skipped", "bad")
# A frame whose slot was written anew has arrived and was overtaken, both.
COUNTED = {"frame": {"received"}, "late": {"late"}, "overtaken": {"received", "skipped"}, "drop": {"bad"}}


@pytest.fixture(scope="module")
def long_game(program: Path, library: Path) -> Iterator[Game]:
    """One game for all cases; each opens a client of its own in it."""
    with unity.running(program, library) as running:
        yield running


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_conformance(case: Case, long_game: Game, tmp_path: Path) -> None:
    game = long_game
    abilities = game.ask("library")["version"].partition(";")[2].strip(" )").split()
    missing = case.needs - set(abilities)
    if missing:
        pytest.skip(f"this build of the library has no {', '.join(missing)}")
    with Wire() as wire, ring_of(case):
        game.ask("open", f"Endpoint={wire.endpoint}", "Encoding=Raw")
        tick_until(game, lambda _: wire.times_subscribed(LISTENED))
        if case.topic.encode() != LISTENED:
            # While it hears nothing, the client listens to all topics of all versions, too.
            tick_until(game, lambda _: wire.times_subscribed(b"avf"))
        try:
            for message in case.messages:
                check_message(game, wire, message, tmp_path / "picture.bin")
        finally:
            game.ask("destroy")


def check_message(game: Game, wire: Wire, message: Expected, picture: Path) -> None:
    """Send one message of a case and see what becomes of it."""
    before = game.ask("report")
    connections = wire.times_subscribed(LISTENED)
    result, _, code = message.result.partition(":")
    wire.send(message.parts)
    counted = COUNTED.get(result)
    if counted is None:
        # What comes after it is counted, and messages keep their order: one without a header.
        wire.send([LISTENED])
        counted = {"bad"}
    report = tick_until(game, lambda report: any(report[key] != before[key] for key in COUNTERS))
    assert {key for key in COUNTERS if report[key] != before[key]} == counted, report["error"]
    if result == "drop":
        assert report["code"] == code, report["error"]
    if report["reconnects"] != before["reconnects"]:
        tick_until(game, lambda _: wire.times_subscribed(LISTENED) > connections)
    state = message.keys.get("state")
    if state:
        tick_until(game, lambda report: report["state"].upper() == state.upper())
    if result != "frame":
        return
    report = tick_until(game, lambda report: report["shown"] != before["shown"])
    for key in ("stream", "id", "ses", "w", "h", "eng", "tc", "tr", "tp", "ca", "ct"):
        if key in message.keys:
            assert report[f"frame.{key}"] == message.keys[key], key
    if "near" in message.keys:
        game.ask("save", picture)
        shown = np.fromfile(picture, np.uint8).astype(int)
        right = np.frombuffer(message.rgba, np.uint8).astype(int)
        assert np.abs(shown - right).max() <= int(message.keys["near"])
    else:
        assert report["sha256"] == message.keys["sha256"]
