"""Recordings of controls: real, torn and invalid ones."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_bridge.errors import RecordingError
from runtime.character.controls import ARKIT_BLENDSHAPES, VOCABULARY
from runtime.drivers.recording import Recording, RecordingDriver, from_neutral, parse_recording, read_recording

HEADER = (
    "Timecode,BlendShapeCount,"
    + ",".join(name[0].upper() + name[1:] for name in ARKIT_BLENDSHAPES)
    + ",HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


def row(timecode: str, *, jaw: float = 0.0, pose: tuple[float, ...] = (0.0,) * 9) -> str:
    shapes = ["0.0"] * 52
    shapes[ARKIT_BLENDSHAPES.index("jawOpen")] = str(jaw)
    return ",".join([timecode, "61", *shapes, *map(str, pose)])


def face(*rows: str) -> Recording:
    return parse_recording("\n".join([HEADER, *rows, ""]).encode(), "take.csv")


def test_the_real_recording_has_exact_times_and_our_units(shared_data: Path) -> None:
    recording = read_recording(shared_data / "driving" / "livelinkface" / "alex_rom_3.csv")
    assert len(recording.times_s) == 4030
    assert recording.duration_s == pytest.approx(134.3818, abs=1e-3)
    assert np.median(np.diff(recording.times_s)) == pytest.approx(1 / 30, abs=1e-5)
    assert not {"headYaw", "headPitch", "headRoll"} & set(recording.names), "the head was not tracked"
    assert recording.warnings == ()
    column = recording.names.index
    values = recording.values
    for name in recording.names:
        low, high = VOCABULARY[name].minimum, VOCABULARY[name].maximum
        assert low - 10 <= values[:, column(name)].min() <= values[:, column(name)].max() <= high + 10
    # Both representations of the gaze agree in sign and size.
    shapes = 17.5 * (
        values[:, column("eyeLookOutLeft")]
        + values[:, column("eyeLookInRight")]
        - values[:, column("eyeLookInLeft")]
        - values[:, column("eyeLookOutRight")]
    )
    yaw = values[:, column("gazeYaw")]
    assert np.corrcoef(shapes, yaw)[0, 1] > 0.99
    assert np.polyfit(shapes, yaw, 1)[0] == pytest.approx(1.0, abs=0.1)
    up = values[:, column("eyeLookUpLeft")] - values[:, column("eyeLookDownLeft")]
    assert np.corrcoef(up, values[:, column("gazePitch")])[0, 1] > 0.95


def test_head_and_eyes_come_as_degrees_with_our_signs() -> None:
    recording = face(row("00:00:01:00.000", pose=(0.1, 0.2, 0.3, 0.1, 0.2, 0.0, 0.3, 0.2, 0.0)), row("00:00:01:01.000"))
    got = dict(zip(recording.names, recording.values[0].tolist(), strict=True))
    assert got["headYaw"] == pytest.approx(5.7296, abs=1e-3)
    assert got["headPitch"] == pytest.approx(11.459, abs=1e-3)
    assert got["headRoll"] == pytest.approx(-17.189, abs=1e-3)
    assert got["gazeYaw"] == pytest.approx(-11.459, abs=1e-3)
    assert got["gazePitch"] == pytest.approx(-11.459, abs=1e-3)


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60])
def test_the_timecode_rate_is_found_from_the_steps(rate: int) -> None:
    rows = [row(f"10:00:{i // rate:02d}:{i % rate:02d}.500") for i in range(3 * rate)]
    times = face(*rows).times_s
    assert np.allclose(np.diff(times), 1 / rate)


def test_rows_at_half_the_timecode_rate_and_past_midnight() -> None:
    rows = [row(f"23:59:59:{i:02d}.25") for i in range(0, 60, 2)] + [
        row(f"00:00:00:{i:02d}.25") for i in range(0, 60, 2)
    ]
    times = face(*rows).times_s
    assert np.allclose(np.diff(times), 1 / 30)


def test_a_torn_last_line_is_left_out_with_a_note() -> None:
    recording = face(row("00:00:01:00.0"), row("00:00:01:01.0"), row("00:00:01:02.0")[:57])
    assert len(recording.times_s) == 2
    assert "torn" in recording.warnings[0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((row("00:00:01:00.0"), row("00:00:01:01.0")[:57], row("00:00:01:02.0")), "line 3"),
        ((row("00:00:01:00.0"), row("late"), row("00:00:01:02.0")), "line 3.*timecode"),
        ((row("00:61:01:00.0"), row("00:00:01:02.0")), "line 2.*out of range"),
        ((row("00:00:01:00.0", jaw=float("inf")), row("00:00:01:02.0")), "line 2.*JawOpen is inf"),
        ((row("00:00:01:00.0").replace("61", "61", 1).replace(",0.0,", ",zero,", 1), row("00:00:01:02.0")), "zero"),
        ((), "no rows"),
    ],
)
def test_a_wrong_line_is_named(rows: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        face(*rows)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe\x00", "not text"),
        ("Timecode,Zoë".encode("cp1252"), "not text.*byte 11 is not UTF-8.*saved as UTF-8"),
        (b"", "no Timecode"),
        (b"a,b,c\n1,2,3\n", "no Timecode"),
        (b"Timecode,A,A\n", "appears twice"),
        (b"Timecode,Nothing\n00:00:00:00.0,1\n", "ARKit"),
        (b'Timecode,JawOpen\n"00:00', "timecode|values"),
    ],
)
def test_files_that_are_not_recordings_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        parse_recording(data, "take.csv")


def test_missing_columns_are_noted_and_left_to_others() -> None:
    recording = parse_recording(
        b"Timecode,JawOpen,EyeBlinkLeft\n00:00:00:00.0,0.5,1.0\n00:00:00:30.0,0.1,0\n", "take.csv"
    )
    assert recording.names == ("jawOpen", "eyeBlinkLeft")
    assert "50 of the 52" in recording.warnings[0]


def jsonl(*lines: object) -> Recording:
    return parse_recording("\n".join(map(json.dumps, lines)).encode(), "take.jsonl")


def test_jsonl_holds_values_that_a_line_leaves_out() -> None:
    recording = jsonl(
        {"t_s": 1.0, "controls": {"jawOpen": 0.5}},
        {"t_s": 1.5, "controls": {"headYaw": 10.0}},
        {"t_s": 2.0, "controls": {"jawOpen": 0.0}},
    )
    assert recording.times_s.tolist() == [0.0, 0.5, 1.0]
    assert recording.values.tolist() == [[0.5, 10.0], [0.5, 10.0], [0.0, 10.0]]
    assert recording.at(0.75).tolist() == [0.25, 10.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"t_s": 0, "controls": {"jawOpne": 1}}', 'line 1.*Did you mean "jawOpen"'),
        ('{"t_s": 0, "controls": {"jawOpen": 1}}\n{"t_s": 0}\n{"t_s": 1, "controls": {}}', "line 2"),
        ('{"t_s": 1, "controls": {"jawOpen": 1}}\n{"t_s": 0, "controls": {}}', "line 2.*goes back"),
        ('{"t_s": 1, "controls": {}}', "moves no control"),
        ('{"t_s": 1e99, "controls": {"jawOpen": 1}}', "t_s"),
        ('{"t_s": 1, "controls": {"jawOpen": 1e300}}', "float32"),
    ],
)
def test_wrong_jsonl_is_named_by_line(text: str, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        parse_recording(text.encode(), "take.jsonl")


def test_a_torn_last_json_line_is_left_out() -> None:
    recording = parse_recording(b'{"t_s": 0, "controls": {"jawOpen": 1}}\n{"t_s": 1, "contr', "take.jsonl")
    assert len(recording.times_s) == 1
    assert "torn" in recording.warnings[0]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_only_our_error(raw: bytes) -> None:
    for prefix in (b"", b"{", b"Timecode,JawOpen,HeadYaw,HeadPitch\n00:00:00:00.0,"):
        with contextlib.suppress(RecordingError):
            parse_recording(prefix + raw, "take")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='{}[]":,.0123456789e-+ \n\rTimecodeJawOpnt_scrl', max_size=200))
def test_nearly_right_text_gives_only_our_error(text: str) -> None:
    for prefix in ('{"t_s": 0, "controls": {"jawOpen": ', "Timecode,JawOpen\n00:00:00:00.0,0.5\n"):
        with contextlib.suppress(RecordingError):
            parse_recording((prefix + text).encode(), "take")


def ramp() -> Recording:
    times = np.linspace(0.0, 2.0, 61)
    return Recording(("jawOpen",), times, (times / 2.0).astype(np.float32)[:, None])


def test_a_recording_plays_at_its_own_time_and_speed() -> None:
    driver = RecordingDriver(ramp(), speed=2.0, loop=False)
    assert driver.sample(5_000_000_000) == {"jawOpen": 0.0}
    got = driver.sample(5_250_000_000)
    assert got is not None
    assert got["jawOpen"] == pytest.approx(0.25)
    assert driver.sample(6_500_000_000) is None


def test_a_loop_has_no_jump() -> None:
    driver = RecordingDriver(ramp(), loop=True)
    values = [(driver.sample(t * 10_000_000) or {})["jawOpen"] for t in range(800)]
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) < 0.05
    assert max(values) > 0.8


def test_a_neutral_pose_is_taken_off() -> None:
    lines = [
        {"t_s": t, "controls": {"eyeBlinkLeft": v, "gazePitch": p}}
        for t, v, p in ((0, 0.2, -14), (1, 0.2, -14), (2, 1, -4))
    ]
    for neutral in ("median", "0.5"):
        values = from_neutral(jsonl(*lines), neutral).values
        assert np.allclose(values, [[0.0, 0.0], [0.0, 0.0], [1.0, 10.0]], atol=1e-6)
    for wrong in ("mean", "-1", "nan", "9"):
        with pytest.raises(RecordingError, match="write median"):
            from_neutral(jsonl(*lines), wrong)


def test_a_missing_file_and_an_unknown_inversion_are_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording"):
        read_recording(tmp_path / "none.csv")
    path = tmp_path / "take.jsonl"
    path.write_text('{"t_s": 0, "controls": {"headYaw": 4}}')
    assert read_recording(path, invert=("headYaw",)).values.tolist() == [[-4.0]]
    with pytest.raises(RecordingError, match="no headRoll"):
        read_recording(path, invert=("headRoll",))
