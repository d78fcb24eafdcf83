"""What the Unity package shows: the bytes that were sent, in every encoding, and what a silent producer looks like."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.unity.game import Game
from tests.unity.producer import Producer, has, live, tick_until


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


def test_texture_is_recreated_only_when_the_size_changes(game: Game) -> None:
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
