"""Which addresses may be bound and connected to, and the package's public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine_bridge
from engine_bridge.access.endpoints import another_endpoint, as_reached, check_bind, check_connect, is_for_this_machine
from engine_bridge.errors import WireError


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ("tcp://127.0.0.1:5760", "tcp://127.0.0.1:5760"),
        ("tcp://127.8.9.1:5760", "tcp://127.8.9.1:5760"),
        ("tcp://localhost:5760", "tcp://127.0.0.1:5760"),
        ("tcp://[::1]:5760", "tcp://[::1]:5760"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("ipc:///tmp/aki", "ipc:///tmp/aki"),
    ],
)
def test_this_machine_may_be_bound(given: str, bound: str) -> None:
    assert check_bind(given) == bound
    assert is_for_this_machine(given)


@pytest.mark.parametrize(
    ("first", "beside"),
    [
        ("tcp://127.0.0.1:5761", "tcp://127.0.0.1:0"),
        ("tcp://[::1]:0", "tcp://[::1]:0"),
        ("ipc:///tmp/x", "ipc:///tmp/x-ren"),
    ],
)
def test_streams_beside_the_first_take_endpoints_beside_its(first: str, beside: str) -> None:
    assert another_endpoint(first, "ren") == beside
    assert check_bind(beside)


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "192.168.0.7", "eth0", "example.org", "[fe80::1]", "127.1"])
def test_other_machines_are_kept_out_and_told_how_to_get_in(host: str) -> None:
    with pytest.raises(WireError, match=r"other machines.*bunraku keys init.*--keys.*ssh -L 5760"):
        check_bind(f"tcp://{host}:5760")
    assert not is_for_this_machine(f"tcp://{host}:5760")


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "192.168.0.7", "eth0"])
def test_other_machines_may_be_let_in(host: str) -> None:
    assert check_bind(f"tcp://{host}:0", from_elsewhere=True) == f"tcp://{host}:*"


@pytest.mark.parametrize(
    ("bound", "via", "reached"),
    [
        ("tcp://0.0.0.0:5761", "tcp://aki.local:5760", "tcp://aki.local:5761"),
        ("tcp://[::]:5761", "tcp://[fe80::1]:5760", "tcp://[fe80::1]:5761"),
        ("tcp://127.0.0.1:5761", "tcp://aki.local:5760", "tcp://127.0.0.1:5761"),
        ("tcp://0.0.0.0:5761", "ipc:///tmp/aki", "tcp://0.0.0.0:5761"),
        ("ipc:///tmp/control", "tcp://aki.local:5760", "ipc:///tmp/control"),
        ("", "tcp://aki.local:5760", ""),
    ],
)
def test_host_of_all_addresses_is_the_one_that_was_reached(bound: str, via: str, reached: str) -> None:
    assert as_reached(bound, via) == reached


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:5760", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1", "inproc://x"]
)
def test_malformed_endpoints_are_named(endpoint: str) -> None:
    for check in (check_bind, check_connect):
        with pytest.raises(WireError, match="is not a valid endpoint"):
            check(endpoint)


@pytest.mark.parametrize("endpoint", ["tcp://*:5760", "tcp://0.0.0.0:5760", "tcp://127.0.0.1:0", "tcp://127.0.0.1:*"])
def test_connecting_needs_one_host_and_port(endpoint: str) -> None:
    with pytest.raises(WireError, match="names no host and port"):
        check_connect(endpoint)


@pytest.mark.parametrize("endpoint", ["tcp://192.168.0.7:5760", "tcp://my-host.local:1", "tcp://[::1]:5", "ipc://x"])
def test_connecting_elsewhere_is_allowed(endpoint: str) -> None:
    assert check_connect(endpoint) == endpoint


def test_every_public_name_is_there() -> None:
    assert sorted(engine_bridge.__all__) == engine_bridge.__all__
    for name in engine_bridge.__all__:
        assert getattr(engine_bridge, name) is not None
    assert set(engine_bridge.__all__) <= set(dir(engine_bridge))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        engine_bridge.Nothing  # noqa: B018


def test_importing_the_package_loads_none_of_its_parts() -> None:
    ask = "import sys, engine_bridge; print([m for m in ('zmq', 'numpy', 'pygame', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
