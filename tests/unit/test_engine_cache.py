"""Built engines on disk: complete, private, bounded, and never mixed up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_bridge.errors import EngineError
from runtime.engines.cache import CacheKey, EngineCache, default_folder

KEY = CacheKey(
    onnx_sha256="ab" * 32,
    backend="tensorrt",
    backend_version="11.4.0",
    device="NVIDIA GeForce RTX 4070",
    compute_capability="8.9",
    driver="580.65",
    precision="fp16",
    batches=(1, 4),
)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def only_file(cache: EngineCache) -> Path:
    (path,) = cache.folder.glob("*.engine")
    return path


def test_what_was_put_in_comes_out(cache: EngineCache) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, b"a plan")
    assert cache.get(KEY) == b"a plan"
    assert EngineCache(cache.folder).get(KEY) == b"a plan"
    assert cache.entries() == [(KEY, only_file(cache).stat().st_size)]
    cache.forget(KEY)
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "cd" * 32},
        {"backend_version": "11.5.0"},
        {"device": "NVIDIA H100"},
        {"compute_capability": "9.0"},
        {"driver": "590.1"},
        {"precision": "fp32"},
        {"batches": (1,)},
        {"backend": "tensorrt-rtx"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_difference_is_another_engine(cache: EngineCache, change: dict[str, object]) -> None:
    cache.put(KEY, b"a plan")
    assert cache.get(msgspec.structs.replace(KEY, **change)) is None
    assert cache.get(KEY) == b"a plan"


def test_an_engine_under_another_ones_name_is_refused_and_removed(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    other = msgspec.structs.replace(KEY, device="NVIDIA H100")
    cache.put(other, b"for another card")
    only_file(cache).rename(cache.folder / f"{KEY.name}.engine")
    assert cache.get(KEY) is None
    assert "built for something else" in caplog.text
    assert list(cache.folder.glob("*.engine")) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(place=st.integers(0, 2**31), value=st.integers(1, 255), cut=st.booleans())
def test_no_damaged_engine_ever_comes_out(cache: EngineCache, place: int, value: int, cut: bool) -> None:
    cache.put(KEY, bytes(range(256)))
    path = only_file(cache)
    blob = bytearray(path.read_bytes())
    place %= len(blob)
    if cut:
        del blob[place:]
    else:
        blob[place] ^= value
    path.write_bytes(blob)
    assert cache.get(KEY) is None
    assert not path.exists()
    cache.put(KEY, b"built again")
    assert cache.get(KEY) == b"built again"


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines", limit_bytes=5000)
    keys = [msgspec.structs.replace(KEY, precision=f"p{index}") for index in range(4)]
    now = time.time()
    for age, key in enumerate(keys[:3]):
        cache.put(key, b"x" * 1000)
        os.utime(cache.folder / f"{key.name}.engine", (now - 100 + age, now - 100 + age))
    assert cache.get(keys[0]) is not None  # used again, so it stays
    cache.put(keys[3], b"x" * 2000)
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]
    cache.put(KEY, b"x" * 9000)  # larger than the limit: it stays, everything else goes
    assert [key for key, _ in cache.entries()] == [KEY]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows guards user folders by itself")
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    cache = EngineCache(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    cache.put(KEY, b"a plan")
    assert only_file(cache).stat().st_mode & 0o777 == 0o600
    folder.chmod(0o777)
    with pytest.raises(EngineError, match=r"others may write to it.*BUNRAKU_ENGINE_CACHE"):
        EngineCache(folder)


def test_a_place_that_is_not_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError, match="cannot be kept"):
        EngineCache(tmp_path / "file" / "engines")


def test_the_variable_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "bunraku" in str(default_folder())
    monkeypatch.setenv("BUNRAKU_ENGINE_CACHE", str(tmp_path / "here"))
    assert EngineCache().folder == tmp_path / "here"


_BUILDER = """
import sys, time
from pathlib import Path
import msgspec
from runtime.engines.cache import CacheKey, EngineCache
cache, key = EngineCache(Path(sys.argv[1])), msgspec.json.decode(sys.argv[2], type=CacheKey)
with cache.building(key):
    found = cache.get(key)
    if found is None:
        time.sleep(0.3)
        cache.put(key, sys.argv[3].encode())
        print("built")
    else:
        print("found", found.decode())
"""


def test_two_processes_that_build_at_once_build_once(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "engines"), msgspec.json.encode(KEY).decode()]
    processes = [
        subprocess.Popen([sys.executable, "-c", _BUILDER, *arguments, name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(text.split()[0] for text in said) == ["built", "found"]
    assert EngineCache(tmp_path / "engines").get(KEY) in (b"one", b"two")


def test_a_builder_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    code = _BUILDER.replace("time.sleep(0.3)", "print('begun', flush=True); time.sleep(60)")
    command = [sys.executable, "-c", code, str(folder), msgspec.json.encode(KEY).decode(), "x"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.kill()
    cache = EngineCache(folder)
    with cache.building(KEY):
        assert cache.get(KEY) is None
