"""A character with deceptive or breaking texts: it plays, and nobody is misled."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine_bridge.avf.messages import Provenance
from engine_bridge.client.control_client import ControlClient
from engine_bridge.client.subscriber import Subscriber
from engine_bridge.plain_text import LINE_CHARS, NAME_CHARS, is_plain
from engine_bridge.producer.publisher import Publisher
from runtime.character.writing import write_character
from tests.bunraku_program import ANYWHERE, playing, run
from tests.conftest import RunProgram
from tests.tiny_character import manifest, members

TRICK = "\x1b[2J\x1b]0;owned\x07\u202e\nError: [bold]none[/]\r"
LICENCE = f"CC0-1.0 {TRICK}" + "and so on, " * 7_000


@pytest.fixture(scope="module")
def tricky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tricky") / "tricky.bunraku"
    told = manifest(
        name=f"Tiny{TRICK}" * 1000,
        licence=LICENCE,
        author=TRICK * 1000,
        provenance={f"key{TRICK}": TRICK, "deep": [[[["text"]]]], **{f"k{number}": number for number in range(3000)}},
    )
    report = json.dumps({"a": [0] * 1_000_000, TRICK: TRICK}).encode()
    write_character(path, told, {**members(), "report.json": report})
    return path


def test_a_licence_of_any_length_leaves_heartbeats_readable(tricky: Path, tmp_path: Path) -> None:
    command = ["live", tricky, "--engine", "onnxruntime", "--no-window", *ANYWHERE, "--seconds", "60"]
    with playing(*command, cwd=tmp_path) as (_, frames, controls), Subscriber(frames) as subscriber:
        with ControlClient(controls) as client:
            ends = time.monotonic() + 60
            while time.monotonic() < ends and (subscriber.stats is None or client.info is None):
                subscriber.wait(0.2)
        assert subscriber.stats is not None, "no heartbeat was read"
        assert subscriber.provenance is not None
        assert subscriber.provenance.source.startswith("CC0-1.0")
        assert is_plain(subscriber.provenance.source, LINE_CHARS)
        assert client.info is not None
        assert is_plain(client.info.character, NAME_CHARS)


def test_a_publisher_in_another_program_truncates_them_as_well(tmp_path: Path) -> None:
    told = Provenance(source=LICENCE, generator=TRICK)
    with (
        Publisher("tcp://127.0.0.1:0", stream="s", provenance=told) as publisher,
        Subscriber(publisher.endpoint) as subscriber,
    ):
        ends = time.monotonic() + 20
        while time.monotonic() < ends and subscriber.provenance is None:
            publisher.poll()
            subscriber.wait(0.05)
        assert subscriber.provenance is not None
        assert is_plain(subscriber.provenance.source, LINE_CHARS)
        assert is_plain(subscriber.provenance.generator, LINE_CHARS)


def test_inspect_shows_any_text_as_text_and_ends(run_program: RunProgram, tricky: Path) -> None:
    out, errors = run(run_program, "inspect", tricky)
    shown = out + errors
    assert len(shown) < 100_000
    assert all(line.isprintable() for line in shown.splitlines())
    assert "\nError" not in shown
    assert "[bold]" in shown


def test_a_broken_file_is_refused_in_words_that_can_be_printed(run_program: RunProgram, tmp_path: Path) -> None:
    path = tmp_path / "odd\x1b[2J.bunraku"
    path.write_bytes(b"PK\x03\x04 nothing")
    _, errors = run(run_program, "inspect", path, code=1)
    assert errors.rstrip("\n").isprintable()
    assert "cut short" in errors
