"""The Unity package as a running game, for every test in this folder. Knows no test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_build import native_library
from tests.unity import game as unity
from tests.unity.game import Game


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unity.need_mono()
    return unity.compile_game(tmp_path_factory.mktemp("unity"))


@pytest.fixture(scope="session")
def library() -> Path:
    if sys.platform != "linux":
        pytest.skip("how Mono finds a library is known here for Linux only")
    return native_library()


@pytest.fixture
def game(program: Path, library: Path) -> Iterator[Game]:
    with unity.running(program, library) as running:
        yield running
