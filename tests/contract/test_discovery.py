"""Finding a stream on this host: small files of real processes, which exit cleanly or are killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_bridge import Publisher, Subscriber, WireError
from engine_bridge.access import discovery
from engine_bridge.access.discovery import Announcement, StreamPlace, find_endpoint, find_streams
from engine_bridge.errors import PrivateFileError
from tests.bunraku_program import ENVIRONMENT

FREE_PORT = "tcp://127.0.0.1:0"
ANNOUNCE = """
import os, sys, time
from engine_bridge import Publisher
from engine_bridge.access.discovery import Announcement, StreamPlace
with Publisher("tcp://127.0.0.1:0", stream=sys.argv[1]) as publisher:
    place = StreamPlace(pid=os.getpid(), session=publisher.session, stream=sys.argv[1], frames=publisher.endpoint)
    with Announcement(place):
        print(publisher.endpoint, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder for this test only, also for the programs it starts."""
    for variable in ("XDG_RUNTIME_DIR", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
        monkeypatch.setitem(ENVIRONMENT, variable, str(tmp_path))
    return tmp_path


@contextmanager
def announced(stream: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A producer in its own process, and its endpoint; it ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANNOUNCE, stream],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.communicate(timeout=30)


@contextmanager
def playing(stream: str) -> Iterator[StreamPlace]:
    """A producer in this process, not yet announced."""
    with Publisher(FREE_PORT, stream=stream) as publisher:
        yield StreamPlace(
            pid=os.getpid(), session=publisher.session, stream=stream, frames=publisher.endpoint, server_key="a" * 40
        )


def test_stream_of_another_process_is_found_and_gone_after_its_end() -> None:
    with announced("aki") as (process, endpoint):
        place = find_endpoint("aki")
        assert (place.pid, place.stream, place.frames) == (process.pid, "aki", endpoint)
        assert find_streams() == [place] == [find_endpoint()]
        with Subscriber(place.frames, stream=place.stream) as subscriber:
            assert subscriber.endpoint == endpoint
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
        assert find_streams() == []
        assert not list(discovery.folder().glob("*.toml"))
        process.stdin = None


def test_killed_producer_is_stale_and_its_file_removed() -> None:
    with announced("aki") as (process, _):
        process.kill()
        process.wait(30)
        assert [path.name for path in discovery.folder().glob("*.toml")] == ["aki.toml"]
        with pytest.raises(WireError, match=r"No stream 'aki' is playing.*bunraku live"):
            find_endpoint("aki")
        assert not list(discovery.folder().glob("*.toml"))


def test_several_streams_need_a_name() -> None:
    with playing("aki") as aki, playing("neko") as neko, Announcement(aki), Announcement(neko):
        with pytest.raises(WireError, match="aki, neko"):
            find_endpoint()
        assert find_endpoint("neko") == neko
        with pytest.raises(WireError, match=r"'ren'.*Available: aki, neko"):
            find_endpoint("ren")


def test_second_producer_of_a_name_is_refused_while_the_first_one_plays() -> None:
    with announced("aki") as (process, endpoint), playing("aki") as second:
        with pytest.raises(WireError, match=rf"process {process.pid} at {endpoint}.*--stream"):
            Announcement(second)
        assert find_endpoint("aki").pid == process.pid
        process.kill()
        process.wait(30)
        with Announcement(second):
            assert find_endpoint("aki") == second


def test_reused_process_id_does_not_block_a_new_producer() -> None:
    with playing("aki") as gone:
        first = Announcement(gone)
    assert find_streams() == []
    with playing("aki") as second, Announcement(second):
        first.close()
        assert find_endpoint("aki") == second


def test_wildcard_address_is_announced_as_loopback() -> None:
    with playing("aki") as place:
        port = place.frames.rsplit(":", 1)[1]
        everywhere = msgspec.structs.replace(place, frames=f"tcp://0.0.0.0:{port}", control="tcp://[::]:5761")
        with Announcement(everywhere):
            found = find_endpoint("aki")
    assert (found.frames, found.control) == (f"tcp://127.0.0.1:{port}", "tcp://[::1]:5761")


def test_stream_without_a_valid_name_is_not_announced(runtime_folder: Path) -> None:
    with playing("aki") as place, pytest.raises(WireError, match="cannot name a stream"):
        Announcement(msgspec.structs.replace(place, stream="../aki"))
    assert not list(runtime_folder.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="files have no mode here that says who may read them")
def test_only_the_owner_may_read() -> None:
    with playing("aki") as place, Announcement(place):
        folder = discovery.folder()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "aki.toml").stat().st_mode) == 0o600
        folder.chmod(0o755)
        for use in (find_streams, lambda: Announcement(place)):
            with pytest.raises(PrivateFileError, match="chmod 700"):
                use()
        folder.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="giving a folder away needs root")
def test_folder_of_somebody_else_is_refused(runtime_folder: Path) -> None:
    folder = runtime_folder / "bunraku"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with playing("aki") as place:
        for use in (find_streams, lambda: Announcement(place)):
            with pytest.raises(PrivateFileError, match="belongs to user 12345"):
                use()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_link_in_place_of_the_folder_is_refused(runtime_folder: Path) -> None:
    (runtime_folder / "elsewhere").mkdir(mode=0o700)
    (runtime_folder / "bunraku").symlink_to(runtime_folder / "elsewhere")
    with pytest.raises(PrivateFileError, match="is not a folder"):
        find_streams()


@pytest.mark.skipif(sys.platform == "win32", reason="the folder is another one there")
def test_without_a_runtime_folder_there_is_one_per_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert discovery.folder() == Path(f"/tmp/bunraku-{os.getuid()}")


LINES = st.lists(st.sampled_from(['stream = "aki"', "pid = 1", "session = 2", 'frames = "x"', "pid = -1", "[a]", "="]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=5000), LINES.map(lambda lines: "\n".join(lines).encode())))
def test_any_bytes_in_the_folder_do_no_harm(data: bytes) -> None:
    folder = discovery.folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "aki.toml").write_bytes(data)
    with playing("neko") as place, Announcement(place):
        assert find_streams() == [place]
