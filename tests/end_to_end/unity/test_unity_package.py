"""The files of the Unity package: manifest, assemblies, .meta files, libraries, and that everything compiles."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.unity import game as unity
from tests.unity import meta_files

PACKAGE = meta_files.PACKAGE


def test_manifest_is_complete() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "com.bunraku.client"
    assert manifest["displayName"] == "Bunraku"
    assert manifest["unity"] == "2022.3"
    version = re.search(
        r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert version
    assert manifest["version"] == version[1]
    assert f"[{version[1]}]" in (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (PACKAGE / "LICENSE.md").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    for sample in manifest["samples"]:
        assert (PACKAGE / sample["path"]).is_dir()


def test_assembly_definitions_refer_to_each_other() -> None:
    ours = {}
    for path in PACKAGE.rglob("*.asmdef"):
        definition = json.loads(path.read_text(encoding="utf-8"))
        assert definition["name"] == path.stem
        ours[definition["name"]] = definition
    assert set(ours) == {"Bunraku", "Bunraku.Editor", "Bunraku.Editor.Tests"}
    assert ours["Bunraku"]["allowUnsafeCode"]
    assert ours["Bunraku.Editor"]["includePlatforms"] == ["Editor"]
    unitys = {"UnityEngine.UI", "UnityEngine.TestRunner", "UnityEditor.TestRunner"}
    for definition in ours.values():
        assert set(definition["references"]) <= set(ours) | unitys


def test_every_asset_has_a_meta_file_with_a_guid_of_its_own() -> None:
    assets = list(meta_files.assets())
    assert "Runtime/Interop/Native.cs" in assets
    guids: dict[str, str] = {}
    for asset in assets:
        path = meta_files.meta_path(asset)
        assert path.is_file(), f"{asset} has no .meta file. Write it: python tests/unity/meta_files.py"
        match = re.match(
            r"fileFormatVersion: 2\nguid: ([0-9a-f]{32})\n(?:folderAsset: yes\n)?\w+Importer:\n", path.read_text()
        )
        assert match, f"{path} is no .meta file"
        assert guids.setdefault(match[1], asset) == asset, f"{asset} and {guids[match[1]]} have the same guid"
    orphans = set(PACKAGE.rglob("*.meta")) - {meta_files.meta_path(asset) for asset in assets}
    assert not orphans, f"{orphans} belong to nothing. Remove them: python tests/unity/meta_files.py"


@pytest.mark.parametrize(("library", "settings"), meta_files.PLUGINS.items())
def test_each_library_is_loaded_by_one_platform_only(library: str, settings: tuple[str, str, str]) -> None:
    text = meta_files.meta_path(library).read_text(encoding="utf-8")
    enabled = re.findall(r"first:\n      (\S+): ?(\S*)\n    second:\n      enabled: 1\n", text)
    assert enabled == [("Editor", "Editor"), ("Standalone", settings[1])]
    assert f"OS: {settings[0]}\n" in text
    ignored = subprocess.run(["git", "check-ignore", "-q", PACKAGE / library], cwd=REPOSITORY, timeout=30, check=False)
    assert ignored.returncode in (0, 128), f"git would take {library} in"  # 128: no checkout


def test_shaders_are_named_as_the_documentation_says() -> None:
    names = {
        match[1]
        for path in (PACKAGE / "Runtime" / "Shaders").glob("*.shader")
        if (match := re.search(r'^Shader "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    assert names == {"Bunraku/Straight Alpha", "Bunraku/Premultiplied Alpha"}


@pytest.mark.parametrize(
    "defines",
    [
        ["UNITY_EDITOR", "UNITY_EDITOR_WIN"],
        ["UNITY_EDITOR", "UNITY_EDITOR_OSX"],
        ["UNITY_STANDALONE", "UNITY_STANDALONE_WIN"],
        ["UNITY_STANDALONE", "UNITY_STANDALONE_LINUX"],
        ["UNITY_IOS", "ENABLE_IL2CPP"],
    ],
    ids="+".join,
)
def test_runtime_compiles_without_a_warning_for(defines: list[str], tmp_path: Path) -> None:
    unity.need_mono()
    unity.compile_stand_ins(tmp_path)
    unity.compile_runtime(tmp_path, defines)
