"""Controls have one display name, in the window and on the page for browsers."""

from __future__ import annotations

import pytest

from engine_bridge.labels import control_label
from runtime.character.controls import VOCABULARY
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("mouthSmileLeft", "mouth smile left"),
        ("headYaw", "head yaw"),
        ("aa", "aa"),
        ("eyeLookInRight", "eye look in right"),
    ],
)
def test_a_control_is_called_in_words(name: str, label: str) -> None:
    assert control_label(name) == label


def test_no_two_controls_have_the_same_label() -> None:
    assert len({control_label(name) for name in VOCABULARY}) == len(VOCABULARY)


def test_the_page_for_browsers_follows_the_same_rule() -> None:
    page = (REPOSITORY / "engine_bridge/web/page/panel.js").read_text(encoding="utf-8")
    assert 'name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase()' in page
