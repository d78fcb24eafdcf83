"""Speech of the example NPC: the rules of its README, and the lines shared by all languages."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "20_talking_npc" / "python"
AGREED = REPOSITORY / "assets" / "conformance" / "v1" / "speech.txt"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


speech = load(EXAMPLE / "speech.py")


def agreed_lines() -> Iterator[tuple[str, str]]:
    """Every (text, line of figures) of the conformance kit."""
    text = ""
    for line in AGREED.read_text(encoding="utf-8").splitlines():
        if line.startswith("text="):
            text = line.removeprefix("text=").replace(r"\t", "\t").replace(r"\n", "\n")
        elif line:
            yield text, line


def test_it_speaks_as_all_languages_do() -> None:
    count = 0
    for text, line in agreed_lines():
        spoken = speech.Speech(text)
        t_ms = float(line.split()[0])
        weights = " ".join(f"{spoken.mouth(t_ms)[viseme]:.4f}" for viseme in ("aa", "ih", "ou", "ee", "oh"))
        expression = spoken.expression(t_ms)
        named = "-" if expression is None else expression or "~"
        assert f"{line.split()[0]} {weights} {named}" == line, text
        count += 1
    assert count > 0


@pytest.mark.parametrize(
    ("text", "lasts_ms"),
    [("", 0), ("aeiouyAEIOUY", 12 * 90), ("mbpMBP", 6 * 70), ("hZ", 120), (" \t\n", 120), (",;:", 660), (".!?", 1140),
     ("[happy][]", 0), ("7é漢-", 0), ("[open", 4 * 90 - 90 - 90 + 70 + 60)],
)  # fmt: skip
def test_how_long_letters_last(text: str, lasts_ms: float) -> None:
    assert speech.Speech(text).duration_ms == lasts_ms + 40


def test_the_mouth_glides_into_a_vowel_and_out_of_it() -> None:
    spoken = speech.Speech("a")
    assert [spoken.mouth(t)["aa"] for t in (-40, -20, 0, 20, 45, 70, 90, 110, 130)] == [
        0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0
    ]  # fmt: skip
    assert spoken.mouth(45) == {"aa": 1, "ih": 0, "ou": 0, "ee": 0, "oh": 0}


def test_a_consonant_keeps_a_little_of_the_last_vowel_and_lips_close() -> None:
    assert speech.Speech("th").mouth(60) == dict.fromkeys(speech.VISEMES, 0)
    assert speech.Speech("onnn").mouth(180)["oh"] == pytest.approx(0.4)
    assert speech.Speech("ommm").mouth(180) == dict.fromkeys(speech.VISEMES, 0)
    assert speech.Speech("u yt").mouth(250)["ih"] == pytest.approx(0.4 * 60 / 80 + 10 / 80)


def test_marks_change_the_mood_and_the_end_lets_it_go() -> None:
    spoken = speech.Speech("oh [happy]oh [sad][]o")
    assert [spoken.expression(t) for t in (0, 189, 190, 379, 380, 469, 509)] == [
        None, None, "happy", "happy", "", "", ""
    ]  # fmt: skip
    assert speech.Speech("[happy]a").expression(130) == "happy"
    assert speech.Speech("[happy]a").expression(130.1) == ""
