"""What the tests in this folder have compiled. Knows no test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests import unreal_build
from tests.unreal.playing import build_game
from tests.unreal_build import ADDRESS, HERE, PLUGIN


@pytest.fixture(scope="session")
def build_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's Build.cs files, compiled together with a stand-in for UnrealBuildTool."""
    out = tmp_path_factory.mktemp("build_tool") / "build_tool.exe"
    rules = sorted(PLUGIN.glob("Source/**/*.Build.cs"))
    assert len(rules) == 2
    mcs = unreal_build.compiler("mcs")
    unreal_build.compiler("mono")
    unreal_build.run_tool([mcs, "-warnaserror", f"-out:{out}", HERE / "build_tool" / "UnrealBuildTool.cs", *rules])
    return out


@pytest.fixture
def copied_plugin(tmp_path: Path) -> Path:
    """The plugin as in a project's Plugins folder: native headers and empty libraries put where README.md says."""
    plugin = tmp_path / "MyGame" / "Plugins" / "Bunraku"
    shutil.copytree(PLUGIN, plugin)
    headers = plugin / "Source" / "ThirdParty" / "BunrakuClient" / "include" / "bunraku"
    headers.mkdir(parents=True)
    libraries = plugin / "Binaries" / "ThirdParty" / "BunrakuClient"
    for path in (
        headers / "client.h",
        headers / "speech.hpp",
        headers / "wanted.hpp",
        libraries / "Win64" / "bunraku_client.lib",
        libraries / "Win64" / "bunraku_client.dll",
        libraries / "Linux" / "libbunraku_client.so",
        libraries / "Mac" / "libbunraku_client.dylib",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return plugin


@pytest.fixture(scope="session")
def game_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The game with AddressSanitizer, UBSan and leak check, compiled once for all workers of a run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, finished = shared / "unreal-game", shared / "unreal-game-finished"
    with FileLock(shared / "unreal-game.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build_game(folder, ADDRESS)
            finished.touch()
    return folder / "game"
