"""Free-form content of a file becomes short rows for people."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bench import HEADINGS
from runtime.character.free_form import free_form_rows
from runtime.terminal import table

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "word", "y" * 300]),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=9), inner, max_size=14),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=90), ANY_JSON, max_size=6))
def test_rows_of_anything_are_few_and_short(values: dict[str, object]) -> None:
    rows = free_form_rows("report", values)
    assert len(rows) <= 41
    assert all(len(cell) <= 160 for row in rows for cell in row)


def test_figures_are_shown_in_words() -> None:
    rows = free_form_rows("report", {"obedience": {"mouth_open": {"frames": 160, "ratio": 0.98765, "wrong": []}}})
    assert rows == [("report obedience", "mouth open (frames 160, ratio 0.9877, wrong none)")]


def test_deep_and_huge_values_are_left_to_json() -> None:
    deep: dict[str, object] = {}
    for _ in range(900):
        deep = {"x": deep}
    rows = free_form_rows("report", {"deep": deep, "long": ["y" * 4_000_000], **{str(i): i for i in range(100)}})
    assert rows[0] == ("report deep", "x (x (x (…)))")
    assert rows[-1] == ("report", "62 more, shown by --json")


def test_the_table_of_engines_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    longest = ("tensorrt-rtx fp32", "12.40", "138", "1420", "99.9", "1550", "60.0", "16.00", "144", "1552", "1250")
    longest = (*longest, "45.1")
    table(HEADINGS, [longest], tight=True)
    heading, row = capsys.readouterr().out.splitlines()
    assert "tensorrt-rtx fp32" in row
    assert heading.split() == list(HEADINGS)
