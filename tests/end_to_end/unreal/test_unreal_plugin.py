"""The Unreal plugin without Unreal: its core under sanitizers, its headers, its rules under mono, its example.

Neither the engine's headers nor an editor are used; tests/unreal holds small stand-ins. What they cannot show is listed
in docs/unreal.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import unreal_build
from tests.unreal.playing import PATIENCE_S
from tests.unreal_build import ADDRESS, EXAMPLE, MODULE, NATIVE_HEADERS, PLUGIN, THREAD


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address_and_undefined", "thread"])
def test_core_keeps_its_promises(sanitizer: list[str], tmp_path: Path) -> None:
    program = unreal_build.core_program(tmp_path / "core_test", sanitizer)
    done = subprocess.run([program], check=False, capture_output=True, text=True, timeout=PATIENCE_S * 4)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 20


def test_core_compiles_for_windows_beside_the_macro_of_the_build_tool() -> None:
    tool = unreal_build.compiler("x86_64-w64-mingw32-g++")
    flags = [*unreal_build.CORE_FLAGS, "-fsyntax-only", "-DBUNRAKU_API=__declspec(dllexport)"]
    for source in sorted((MODULE / "Private" / "Core").glob("*.cpp")):
        unreal_build.run_tool([tool, *flags, f"-I{NATIVE_HEADERS}", source])


def test_core_knows_no_unreal_types() -> None:
    for path in (MODULE / "Private" / "Core").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "CoreMinimal" not in text
        assert "TEXT(" not in text


def test_descriptor_has_what_unreal_asks_for() -> None:
    descriptor = json.loads((PLUGIN / "Bunraku.uplugin").read_text(encoding="utf-8"))
    assert descriptor["FileVersion"] == 3
    assert isinstance(descriptor["Version"], int)
    for key in ("VersionName", "FriendlyName", "Description", "Category", "CreatedBy"):
        assert descriptor[key]
    assert descriptor["CanContainContent"] is False
    (module,) = descriptor["Modules"]
    assert module["Name"] == "Bunraku"
    assert (MODULE / f"{module['Name']}.Build.cs").is_file()
    assert (module["Type"], module["LoadingPhase"]) == ("Runtime", "Default")
    assert sorted(module["PlatformAllowList"]) == sorted(descriptor["SupportedTargetPlatforms"])


def test_header_tool_takes_all_headers(tmp_path: Path) -> None:
    headers = unreal_build.reflected_headers()
    assert {header.stem for header in headers} == {
        "BunrakuControlComponent",
        "BunrakuReceiverComponent",
        "BunrakuSpeechComponent",
        "BunrakuTypes",
        "TalkingNpc",
    }
    done = unreal_build.write_generated_headers(tmp_path, headers)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ('#include "BunrakuControlComponent.generated.h"', "", "the last include must be"),
        ("float MaxLookYaw", "std::string MaxLookYaw", "reflection does not know the type std::string"),
        ("bool SetSeed(int64 Seed)", "bool SetSeed(uint64_t Seed)", "reflection does not know the type uint64_t"),
        ("class BUNRAKU_API UBunrakuControl", "class UBunrakuControl", "is not exported"),
        ("    /** Take the present", "private:\n    /** Take the present", "Calibrate is shown to Blueprints"),
        ('Callable, Category = "Bunraku")\n    void Cal', "Callable)\n    void Cal", "Calibrate needs a Category"),
        ("TObjectPtr<USceneComponent> Eyes", "USceneComponent* Eyes", "Eyes: hold objects as TObjectPtr"),
    ],
)
def test_header_tool_sees_mistakes(right: str, wrong: str, why: str, tmp_path: Path) -> None:
    header = MODULE / "Public" / "BunrakuControlComponent.h"
    text = header.read_text(encoding="utf-8")
    assert right in text
    spoilt = tmp_path / header.name
    spoilt.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = unreal_build.write_generated_headers(tmp_path / "out", [spoilt])
    assert done.returncode == 1
    assert why in done.stderr


def ask_rules(build_tool: Path, plugin: Path, platform: str, module: str) -> tuple[int, dict[str, list[str]]]:
    """What the rules of a module ask for on a platform, by list."""
    command = ["mono", str(build_tool), str(plugin), platform, module]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    answer: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, item = line.partition("=")
        answer.setdefault(name, []).append(item)
    assert answer, done.stderr
    return done.returncode, answer


@pytest.mark.parametrize(
    ("platform", "linked", "delayed", "staged"),
    [
        ("Win64", ["bunraku_client.lib"], ["bunraku_client.dll"], ["bunraku_client.dll"]),
        ("Linux", ["libbunraku_client.so"], ["libbunraku_client.so"], ["libbunraku_client.so"]),
        ("Mac", [], ["libbunraku_client.dylib"], ["libbunraku_client.dylib"]),
    ],
)
def test_rules_name_header_and_library_of_each_platform(
    platform: str, linked: list[str], delayed: list[str], staged: list[str], build_tool: Path, copied_plugin: Path
) -> None:
    code, client = ask_rules(build_tool, copied_plugin, platform, "BunrakuClient")
    assert (code, client["type"]) == (0, ["External"])
    (include,) = client["include"]
    assert (Path(include) / "bunraku" / "client.h").is_file()
    assert [Path(item).name for item in client.get("library", [])] == linked
    assert [Path(item).name for item in client["delay"]] == delayed
    assert [Path(item).name for item in client["runtime"]] == staged
    for item in client.get("library", []) + client["runtime"]:
        assert Path(item).is_file()
        assert Path(item).parent.name == platform

    code, module = ask_rules(build_tool, copied_plugin, platform, "Bunraku")
    assert (code, module["type"]) == (0, ["CPlusPlus"])
    assert {"Core", "CoreUObject", "Engine", "RenderCore"} <= set(module["public"])
    assert {"BunrakuClient", "Projects", "RHI"} <= set(module["private"])


def test_rules_find_the_headers_of_the_repository(build_tool: Path, copied_plugin: Path) -> None:
    shutil.rmtree(copied_plugin / "Source" / "ThirdParty" / "BunrakuClient" / "include")
    native = copied_plugin.parents[1] / "native" / "include" / "bunraku"
    native.mkdir(parents=True)
    (native / "client.h").touch()
    (native / "speech.hpp").touch()
    (native / "wanted.hpp").touch()
    code, client = ask_rules(build_tool, copied_plugin, "Linux", "BunrakuClient")
    assert (code, client["include"]) == (0, [str(native.parent)])


@pytest.mark.parametrize(
    "missing",
    [
        "Source/ThirdParty/BunrakuClient/include/bunraku/speech.hpp",
        "Binaries/ThirdParty/BunrakuClient/Win64/bunraku_client.dll",
    ],
)
def test_rules_say_which_file_is_missing(missing: str, build_tool: Path, copied_plugin: Path) -> None:
    (copied_plugin / missing).unlink()
    code, answer = ask_rules(build_tool, copied_plugin, "Win64", "BunrakuClient")
    assert code == 1
    assert Path(missing).name in answer["error"][0]
    assert "README.md" in answer["error"][0]


def test_rules_refuse_a_platform_without_a_client(build_tool: Path, copied_plugin: Path) -> None:
    code, answer = ask_rules(build_tool, copied_plugin, "Android", "BunrakuClient")
    assert code == 1
    assert "Win64, Linux and Mac" in answer["error"][0]


def test_example_is_the_line_of_all_languages() -> None:
    rules = (EXAMPLE.parent / "README.md").read_text(encoding="utf-8")
    line = next(text for text in rules.splitlines() if text.startswith("The line: `")).split("`")[1]
    assert f'TEXT("{line}")' in (EXAMPLE / "TalkingNpc.h").read_text(encoding="utf-8")
