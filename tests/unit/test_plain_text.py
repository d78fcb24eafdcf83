"""Text of unknown origin, when displayed: one line, nothing hidden, never long."""

from __future__ import annotations

import logging
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_bridge.plain_text import is_plain, plain, plain_lines
from runtime.terminal import log_to_stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Aki", "Aki"),
        ("ありす, Алиса", "ありす, Алиса"),
        ("\x1b[2J\x1b]0;owned\x07", "�[2J�]0;owned�"),
        ("two\nlines\r\n\tand more", "two lines and more"),
        ("exe\u202egnp.aki", "exe�gnp.aki"),
        ("\u2066\u2069\u200f", "���"),
        ("zero\u200bwidth", "zero�width"),
        ("\x9b31m", "�31m"),
        ("\ud800", "�"),
        ("line\u2028separator", "line separator"),
        ("", ""),
    ],
)
def test_invisible_characters_are_removed(text: str, shown: str) -> None:
    assert plain(text) == shown


@settings(max_examples=50, deadline=None)
@given(st.text(), st.integers(2, 50))
def test_any_text_becomes_one_short_visible_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)
    assert plain(shown, limit) == shown
    assert is_plain(shown, limit)


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert plain("x" * 81) == "x" * 79 + "…"
    assert plain("x" * 10_000_000) == "x" * 79 + "…"
    assert plain(" " * 200 + "x") == "…"


def test_a_message_keeps_its_lines_and_nothing_else() -> None:
    assert plain_lines("first\x1b[m\nsecond\r\n") == "first�[m\nsecond\n"
    assert len(plain_lines("a\n" * 100_000, 500)) <= 500


def test_a_log_line_cannot_write_to_the_terminal_as_it_likes(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    try:
        log_to_stderr()
        logging.getLogger("test").warning("node %s failed", "\x1b[2Jx\u202e")
    finally:
        root.handlers[:] = before
    assert capsys.readouterr().err == "test: node \\x1b[2Jx\\u202e failed\n"
