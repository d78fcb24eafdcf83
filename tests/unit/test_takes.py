"""Real-world Live Link Face tables: other programs' formats, other units, lost faces, clocks that jump."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_bridge.errors import RecordingError
from runtime.drivers.recording import Recording, parse_recording

COLUMNS = ("JawOpen", "EyeBlinkLeft", "MouthSmileRight", "HeadYaw", "HeadPitch", "HeadRoll")
HEADER = ("Timecode", "BlendShapeCount", *COLUMNS)


def stamp(frame: int, rate: int = 30) -> str:
    seconds, frames = divmod(frame, rate)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}.000"


def values(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Shapes and a head that move like a face: never all zero, never still."""
    t = np.arange(count)[:, None] * 0.05
    shapes = 0.4 + 0.35 * np.sin(t + np.arange(3))
    return np.hstack([shapes, 0.15 * np.sin(t + np.arange(3, 6))])


def table(rows: list[list[str]], header: tuple[str, ...] = HEADER, separator: str = ",") -> str:
    return "\n".join(separator.join(cells) for cells in [list(header), *rows]) + "\n"


def cells(count: int = 12, start: int = 36_000 * 30) -> list[list[str]]:
    numbers = values(count)
    return [[stamp(start + i), "61", *(f"{v:.6f}" for v in numbers[i])] for i in range(count)]


def read(text: str, encoding: str = "utf-8") -> Recording:
    return parse_recording(text.encode(encoding), "take.csv")


def told(recording: Recording) -> str:
    """Warnings besides the one that most shapes are absent."""
    return " ".join(warning for warning in recording.warnings if "of the 52" not in warning)


def assert_same(one: Recording, other: Recording, tolerance: float = 1e-6) -> None:
    assert one.names == other.names
    assert np.allclose(one.times_s, other.times_s, atol=1e-9)
    assert np.allclose(one.values, other.values, atol=tolerance)


PLAIN = read(table(cells()))
COMMAS = [[cell.replace(".", ",") if i else cell for i, cell in enumerate(row)] for row in cells()]
FORMS = {
    "semicolons": table(cells(), separator=";"),
    "semicolons and decimal commas": table(COMMAS, separator=";"),
    "decimal commas in the time code too": table([[c.replace(".", ",") for c in r] for r in cells()], separator=";"),
    "tabs": table(cells(), separator="\t"),
    "quoted decimal commas": table([[f'"{cell}"' for cell in row] for row in COMMAS]),
    "a sep line": "sep=,\n" + table(cells()),
    "a sep line with semicolons": "sep=;\r\n" + table(cells(), separator=";"),
    "empty columns at the end": table([[*row, "", ""] for row in cells()], (*HEADER, "", "")),
    "blank lines": "\n" + table(cells()).replace("\n", "\n\n") + ",,,,\n\n",
    "lines of Windows": table(cells()).replace("\n", "\r\n"),
    "lines of an old Mac": table(cells()).replace("\n", "\r"),
    "minus signs of typographers": table(cells()).replace("-", "\N{MINUS SIGN}"),
    "lower camel case": table(cells(), tuple(name[0].lower() + name[1:] for name in HEADER)),
    "snake case": table(
        cells(),
        (
            "time_code",
            "blend_shape_count",
            "jaw_open",
            "eye_blink_L",
            "mouth_smile_R",
            "head_yaw",
            "head_pitch",
            "head_roll",
        ),
    ),
    "words": table(
        cells(),
        ("Time Code", "Count", "Jaw Open", "Eye Blink Left", "mouthSmile_R", "Head Yaw", "Head Pitch", "Head Roll"),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_another_program_saved_is_read_the_same(form: str) -> None:
    assert_same(read(FORMS[form]), PLAIN)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_table_in_another_encoding_is_read_the_same(encoding: str) -> None:
    assert_same(read(table(cells()), encoding), PLAIN)


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 999_999), min_size=2, max_size=8),
    separator=st.sampled_from(";\t|"),
    mark=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    start=st.integers(0, 24 * 3600 * 30 - 1),
)
def test_no_locale_changes_a_value(numbers: list[int], separator: str, mark: str, encoding: str, start: int) -> None:
    rows = [[stamp(start + i), f"0.{n:06d}", "-0.250000"] for i, n in enumerate(numbers)]
    header = ("Timecode", "JawOpen", "HeadYaw")
    plain = read(table(rows, header))
    written = [[clock, *(cell.replace(".", mark) for cell in rest)] for clock, *rest in rows]
    assert_same(read(table(written, header, separator), encoding), plain, 0.0)
    assert plain.values[:, 0].tolist() == pytest.approx([n / 1e6 for n in numbers])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Timecode,JawOpen\n00:00:00:00.0,0,5\n", "line 2.*has 3 values.*semicolon"),
        ('Timecode,JawOpen\n00:00:00:00.0,0.5\n00:00:00:01.0,"0,6"\n', "line 2.*line 3.*one decimal mark"),
        ('Timecode,JawOpen\n00:00:00:00.0,"1,234"\n', "line 2.*thousands"),
        ("Timecode,JawOpen\n00:00:00:00.0,1_0\n00:00:00:01.0,1\n", 'line 2.*"1_0", which is not a number'),
        ("Timecode,JawOpen,jaw_open\n00:00:00:00.0,1,1\n", "mean the same"),
        ("JawOpen,HeadYaw\n0.5,0.1\n", "no Timecode.*JawOpen, HeadYaw.*HH:MM:SS:FF"),
        ("Timecode,JawOpen\n00:00:00:00.0," + "9" * 200_000 + "\n", "line 2.*field larger"),
        ("Timecode,JawOpen\n00:00:00.500,0.5\n00:00:01:00.0,0.5\n", "line 3.*another form than in line 2"),
    ],
)
def test_what_is_not_clear_is_refused_with_line_and_cure(text: str, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        read(text)


def test_columns_without_a_meaning_are_named() -> None:
    recording = read(table([[*row, "1"] for row in cells()], (*HEADER, "JawOpne")))
    assert "1 column without a meaning here, left out (JawOpne)" in told(recording)


LOST = {
    "a count of 0 and nothing more": lambda row: [row[0], "0"],
    "a time alone": lambda row: [row[0]],
    "empty cells": lambda row: [row[0], "61", *[""] * len(COLUMNS)],
    "a count of 0 and old values": lambda row: [row[0], "0", *row[2:]],
    "NaN": lambda row: [*row[:2], *["NaN"] * len(COLUMNS)],
    "zeros": lambda row: [*row[:2], *["0.0"] * len(COLUMNS)],
}


@pytest.mark.parametrize("form", LOST)
@pytest.mark.parametrize("gone", [(0, 1), (5, 6, 7), (11,)], ids=["start", "middle", "end"])
def test_rows_without_a_face_cost_only_themselves(form: str, gone: tuple[int, ...]) -> None:
    rows = cells()
    for index in gone:
        rows[index] = LOST[form](rows[index])
    recording = read(table(rows))
    assert np.allclose(recording.times_s, PLAIN.times_s), "sound beside the take stays in step"
    there = [index for index in range(12) if index not in gone]
    assert np.array_equal(recording.values[there], PLAIN.values[there])
    beside = recording.values[[max(0, gone[0] - 1), min(11, gone[-1] + 1)]]
    between = recording.values[list(gone)]
    assert (between >= beside.min(0) - 1e-6).all() or 0 in gone or 11 in gone
    assert f"{len(gone)} row{'s' * (len(gone) > 1)} without a face, first in line {gone[0] + 2}" in told(recording)


def test_a_take_that_begins_at_rest_keeps_its_rest() -> None:
    ramp = [[stamp(i), "61", *[f"{0.02 * i:.3f}"] * 3, *[f"{0.01 * i:.3f}"] * 3] for i in range(12)]
    recording = read(table(ramp))
    assert told(recording) == ""
    assert recording.values[0].tolist() == [0.0] * 6


def test_a_take_without_any_face_is_refused() -> None:
    with pytest.raises(RecordingError, match="no row with a face"):
        read(table([[stamp(i), "0"] for i in range(4)]))


def test_a_single_empty_cell_is_filled_in_and_told() -> None:
    rows = cells()
    rows[4][2] = ""
    recording = read(table(rows))
    jaw = recording.values[:, recording.names.index("jawOpen")]
    assert jaw[4] == pytest.approx((jaw[3] + jaw[5]) / 2)
    assert "1 empty cell, first JawOpen in line 6" in told(recording)


def test_a_column_that_is_empty_throughout_is_left_out_and_told() -> None:
    recording = read(table([[*row[:3], "nan", *row[4:]] for row in cells()]))
    assert "eyeBlinkLeft" not in recording.names
    assert "1 column empty throughout, left out (EyeBlinkLeft)" in told(recording)


def test_a_row_without_face_and_time_is_left_out() -> None:
    rows = cells()
    rows.insert(3, ["", "0", *[""] * len(COLUMNS)])
    recording = read(table(rows))
    assert_same(recording, PLAIN)
    assert "1 row with neither a face nor a time" in told(recording)


def test_percent_are_found_and_told() -> None:
    rows = [[*row[:2], *(f"{100 * float(v):.4f}" for v in row[2:5]), *row[5:]] for row in cells()]
    recording = read(table(rows))
    assert_same(recording, PLAIN)
    assert "all shapes are read as percent" in told(recording)


def test_percent_signs_are_read() -> None:
    rows = [[*row[:2], *(f"{100 * float(v):.4f} %" for v in row[2:5]), *row[5:]] for row in cells()]
    recording = read(table(rows))
    assert_same(recording, PLAIN)
    assert told(recording) == ""


def test_degrees_are_found_and_told() -> None:
    rows = [[*row[:5], *(f"{np.degrees(float(v)):.6f}" for v in row[5:])] for row in cells()]
    recording = read(table(rows))
    assert_same(recording, PLAIN, 1e-4)
    assert "rotations of the head are read as degrees (headYaw, headPitch, headRoll)" in told(recording)


def test_units_that_contradict_each_other_are_questioned() -> None:
    mixed = [[row[0], "61", f"{90 * float(row[2]):.3f}", *row[3:]] for row in cells()]
    with pytest.raises(RecordingError, match=r"jawOpen reaches .* in line .* other shapes stay within 0\.\.1"):
        read(table(mixed))
    with pytest.raises(RecordingError, match="reaches 255 in line 2"):
        read("Timecode,JawOpen\n00:00:00:00.0,255\n00:00:00:01.0,128\n")
    far = read("Timecode,HeadYaw\n00:00:00:00.0,0.1\n00:00:00:01.0,1.5\n")
    assert "read as radians and reaches 86 degrees in line 3" in told(far)
    high = read("Timecode,JawOpen\n00:00:00:00.0,0.1\n00:00:00:01.0,1.2\n")
    assert "cut to 1 in 1 row; jawOpen reaches 1.2 in line 3" in told(high)


def test_one_value_of_a_tracker_that_slips_does_not_make_percent() -> None:
    rows = cells(60)
    rows[30][2] = "3.0"
    recording = read(table(rows))
    assert recording.values[31, 0] == pytest.approx(float(rows[31][2]), abs=1e-6)
    assert "cut to 1 in 1 row; jawOpen reaches 3 in line 32" in told(recording)


@pytest.mark.parametrize("jump", [-3600.0, -1.0, 3600.0, -36_000.0, 43_400.0, -0.5])
def test_a_clock_that_jumps_costs_no_row_and_no_time(jump: float) -> None:
    start = 10 * 3600 * 30
    frames = [start + i + (round(jump * 30) if i >= 60 else 0) for i in range(120)]
    recording = read(table([[stamp(f), "61", *row[2:]] for f, row in zip(frames, cells(120), strict=True)]))
    assert len(recording.times_s) == 120
    assert np.allclose(np.diff(recording.times_s), 1 / 30)
    assert f"jumps once, first by {jump:+.2f} s in line 62" in told(recording)


def test_a_clock_that_is_set_to_zero_costs_nothing() -> None:
    rows = cells(60) + cells(60, start=0)
    assert np.allclose(np.diff(read(table(rows)).times_s), 1 / 30)


def test_midnight_is_not_a_jump() -> None:
    recording = read(
        table([[stamp(i % (86_400 * 30)), "61", *cells(1)[0][2:]] for i in range(86_400 * 30 - 9, 86_400 * 30 + 9)])
    )
    assert np.allclose(np.diff(recording.times_s), 1 / 30)
    assert told(recording) == ""


@pytest.mark.parametrize("jump", [-3600, 3600, -1])
@pytest.mark.parametrize("where", [1, 57, 89])
def test_a_jump_does_not_change_the_rate(jump: int, where: int) -> None:
    start = 36_000 * 25
    frames = [start + i + (jump * 25 if i >= where else 0) for i in range(90)]
    recording = read(table([[stamp(f, 25), "0.5"] for f in frames], ("Timecode", "JawOpen")))
    assert np.allclose(np.diff(recording.times_s), 1 / 25)


def test_rows_of_one_time_do_not_change_the_rate() -> None:
    rows = [[stamp(i // 2, 30), f"{i / 400:.3f}"] for i in range(180)]
    recording = read(table(rows, ("Timecode", "JawOpen")))
    assert np.allclose(np.diff(recording.times_s), 1 / 30)
    assert "90 rows with the time of the row after, left out, first in line 2" in told(recording)


def test_a_pause_stays_and_is_told() -> None:
    rows = cells(30) + cells(30, start=36_000 * 30 + 30 + 90)
    recording = read(table(rows))
    assert recording.duration_s == pytest.approx(149 / 30)
    assert "gap once, the longest of 3.03 s before line 32; it stays a pause" in told(recording)


def test_rows_that_come_late_are_put_in_order() -> None:
    rows = cells()
    rows[5], rows[6] = rows[6], rows[5]
    rows[8], rows[9], rows[10] = rows[9], rows[10], rows[8]
    recording = read(table(rows))
    assert_same(recording, PLAIN)
    assert "2 rows later than the time code says, first in line 8" in told(recording)


def test_rows_with_one_time_are_counted() -> None:
    rows = cells()
    rows[5][0] = rows[4][0]
    recording = read(table(rows))
    assert len(recording.times_s) == 11
    assert "1 row with the time of the row after, left out, first in line 6" in told(recording)


def drop_frame(count: int, rate: int, mark: str) -> str:
    """SMPTE drop-frame numbering, by skipping numbers one by one."""
    drop = rate // 15
    minutes, left = divmod(count, 60 * rate - drop)
    # Every tenth minute is longer by what the others drop.
    tens, rest = divmod(count, 10 * 60 * rate - 9 * drop)
    if rest < 60 * rate:
        minutes, left = 10 * tens, rest
    else:
        minutes, left = divmod(rest - 60 * rate, 60 * rate - drop)
        minutes, left = 10 * tens + 1 + minutes, left + drop
    seconds, frames = divmod(left, rate)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{mark}{frames:02d}"


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 20 * 3600 * 30), rate=st.sampled_from([30, 60]), mark=st.sampled_from(";."))
def test_drop_frame_numbers_give_even_times(start: int, rate: int, mark: str) -> None:
    rows = [[drop_frame(start + i, rate, mark), "0.5"] for i in range(2 * rate)]
    times_s = read(table(rows, ("Timecode", "JawOpen"))).times_s
    assert np.allclose(np.diff(times_s), 1.001 / rate)


def test_drop_frame_numbers_skip_what_smpte_says() -> None:
    assert drop_frame(1799, 30, ";") == "00:00:59;29"
    assert drop_frame(1800, 30, ";") == "00:01:00;02"
    assert drop_frame(17_982, 30, ";") == "00:10:00;00"


@pytest.mark.parametrize("rate", [12, 15, 24, 25, 48, 50, 60, 72, 90, 100, 120])
def test_other_rates_are_found(rate: int) -> None:
    rows = [[stamp(i, rate), "0.5"] for i in range(3 * rate)]
    assert np.allclose(np.diff(read(table(rows, ("Timecode", "JawOpen"))).times_s), 1 / rate)


def test_decimals_of_a_second_are_read() -> None:
    rows = [[f"00:00:{i // 25:02d}.{i % 25 * 40:03d}", "0.5"] for i in range(60)]
    assert np.allclose(np.diff(read(table(rows, ("Timecode", "JawOpen"))).times_s), 1 / 25)


def test_json_lines_come_in_any_encoding_and_percent_are_questioned() -> None:
    text = '{"t_s": 0, "controls": {"jawOpen": 60}}\r{"t_s": 1, "controls": {"jawOpen": 20}}\r'
    for encoding in ("utf-8-sig", "utf-16"):
        recording = parse_recording(text.encode(encoding), "take.jsonl")
        assert recording.values.tolist() == [[60.0], [20.0]]
        assert "jawOpen exceeds 1" in recording.warnings[0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.from_regex(r"\A[0-2]?\d:[0-5]\d:[0-5]\d[:;.,]\d{1,3}\Z"), st.sampled_from(["0", "61", ""])),
        max_size=12,
    ),
    st.sampled_from(["0.5", "", "nan", "50", "-1", "1e5", "x"]),
)
def test_any_clock_gives_a_take_or_our_error(clocks: list[tuple[str, str]], cell: str) -> None:
    rows = [[clock, count, cell, "0.25"] for clock, count in clocks]
    with contextlib.suppress(RecordingError):
        recording = read(table(rows, ("Timecode", "BlendShapeCount", "JawOpen", "HeadYaw")))
        assert (np.diff(recording.times_s) > 0).all()
        assert recording.times_s[0] == 0.0
        assert np.isfinite(recording.values).all()


def test_file_contents_never_control_the_terminal() -> None:
    with pytest.raises(RecordingError, match=r"�\[31m") as caught:
        read(table([["\x1b[31m", "61"]], ("Timecode", "JawOpen")))
    assert str(caught.value).isprintable()
    assert "\x1b" not in told(read(table([[*row, "1"] for row in cells()], (*HEADER, "\x1b[31m"))))
