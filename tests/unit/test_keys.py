"""Key files: private, read with care, and a list that follows its folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_bridge.access import keys
from engine_bridge.access.keys import AllowList, Client, ClientKeys
from engine_bridge.errors import PrivateFileError

needs_modes = pytest.mark.skipif(os.name != "posix", reason="files have no mode here that says who may read them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    keys.make_server_keys(folder)
    return folder


def add(folder: Path, name: str, *, overwrite: bool = False) -> tuple[ClientKeys, Path]:
    file = folder.parent / f"{name}.client.toml"
    return keys.add_client(folder, name, file, overwrite=overwrite), file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_written_keys_are_read_back(folder: Path) -> None:
    server = keys.read_server_keys(folder)
    client, file = add(folder, "stage-left")
    assert keys.read_client_keys(file) == client
    assert client.server == server.public
    assert AllowList(server.clients).clients() == [Client("stage-left", client.public)]
    assert zmq.curve_public(server.secret.encode()) == server.public.encode()


def test_client_file_is_three_lines_that_any_language_can_read(folder: Path) -> None:
    client, file = add(folder, "game")
    lines = [f'server = "{client.server}"', f'public = "{client.public}"', f'secret = "{client.secret}"', ""]
    assert file.read_bytes() == "\n".join(lines).encode()


@needs_modes
def test_only_the_owner_may_read(folder: Path) -> None:
    _, file = add(folder, "game")
    assert mode(folder) == mode(folder / "clients") == 0o700
    assert {mode(path) for path in (file, folder / "server.toml", folder / "clients" / "game.toml")} == {0o600}


@needs_modes
def test_secrets_that_others_may_read_are_refused(folder: Path) -> None:
    _, file = add(folder, "game")
    for path in (file, folder / "server.toml"):
        path.chmod(0o640)
        with pytest.raises(PrivateFileError, match=f"chmod 600 {path}"):
            keys.read_server_keys(folder) if path.name == "server.toml" else keys.read_client_keys(path)
    folder.chmod(0o750)
    with pytest.raises(PrivateFileError, match=f"chmod 700 {folder}"):
        keys.read_server_keys(folder)


def test_secrets_do_not_show_in_a_printed_record(folder: Path) -> None:
    server, (client, _) = keys.read_server_keys(folder), add(folder, "game")
    for record in (server, client):
        assert record.secret not in repr(record)
        assert record.public in repr(record)


def test_nothing_is_replaced_unless_asked(folder: Path) -> None:
    before = keys.read_server_keys(folder)
    client, file = add(folder, "game")
    with pytest.raises(PrivateFileError, match=r"server\.toml exists.*--force"):
        keys.make_server_keys(folder)
    with pytest.raises(PrivateFileError, match=r"game is on the list already.*--force"):
        add(folder, "game")
    keys.remove_client(folder, "game")
    with pytest.raises(PrivateFileError, match=r"game\.client\.toml exists.*--force"):
        add(folder, "game")
    assert keys.read_server_keys(folder) == before
    assert keys.read_client_keys(file) == client
    assert AllowList(before.clients).clients() == []
    add(folder, "game", overwrite=True)
    assert keys.read_client_keys(file) != client
    assert keys.make_server_keys(folder, overwrite=True) == keys.read_server_keys(folder) != before


def test_nothing_half_done_is_left(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="cannot be written"):
        keys.add_client(folder, "game", tmp_path / "no such folder" / "game.client.toml")
    assert list((folder / "clients").iterdir()) == []
    assert sorted(path.name for path in folder.iterdir()) == ["clients", "server.toml"]


def test_known_key_can_be_listed(folder: Path) -> None:
    public = zmq.curve_keypair()[0].decode()
    keys.add_known_client(folder, "game", public)
    assert AllowList(folder / "clients").name_of(public) == "game"
    with pytest.raises(PrivateFileError, match="is not a public key"):
        keys.add_known_client(folder, "other", public[:-1])


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "ä", "x" * 60, "nul\0"])
def test_invalid_names_are_refused(folder: Path, name: str) -> None:
    for change in (lambda: add(folder, name), lambda: keys.remove_client(folder, name)):
        with pytest.raises(PrivateFileError, match="is not a valid client name"):
            change()


def test_missing_files_say_how_to_make_them(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="bunraku keys init"):
        keys.read_server_keys(tmp_path / "elsewhere")
    with pytest.raises(PrivateFileError, match="bunraku keys add"):
        keys.read_client_keys(tmp_path / "none.toml")
    with pytest.raises(PrivateFileError, match="game is not on the list"):
        keys.remove_client(folder, "game")


def test_list_follows_its_folder(folder: Path) -> None:
    allowed = AllowList(folder / "clients")
    assert allowed.clients() == []
    first, _ = add(folder, "first")
    assert allowed.name_of(first.public) == "first"
    second, _ = add(folder, "second")
    keys.remove_client(folder, "first")
    assert (allowed.name_of(first.public), allowed.name_of(second.public)) == (None, "second")
    replaced, _ = add(folder, "second", overwrite=True)
    assert (allowed.name_of(second.public), allowed.name_of(replaced.public)) == (None, "second")


def test_broken_entry_does_not_affect_others(folder: Path) -> None:
    good, _ = add(folder, "good")
    (folder / "clients" / "bad.toml").write_text('public = "too short"\n')
    allowed = AllowList(folder / "clients")
    assert allowed.clients() == [Client("good", good.public)]
    assert len(allowed.troubles) == 1
    assert "bad.toml" in allowed.troubles[0]


def test_public_key_must_belong_to_the_secret_one(folder: Path) -> None:
    client, file = add(folder, "game")
    file.write_text(file.read_text().replace(client.public, zmq.curve_keypair()[0].decode()))
    with pytest.raises(PrivateFileError, match="does not belong to the secret one"):
        keys.read_client_keys(file)


def test_key_that_encodes_too_large_a_number_is_invalid() -> None:
    assert not keys.is_key("#" * 40)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=6000))
def test_any_bytes_are_an_error_with_the_files_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "some.client.toml"
    path.touch(mode=0o600)
    path.write_bytes(data)
    with pytest.raises(PrivateFileError, match=r"some\.client\.toml"):
        keys.read_client_keys(path)


VALUES = st.one_of(st.text(max_size=50), st.integers(), st.just("a" * 40), st.just("%" * 40))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(["server", "public", "secret", "more"]), VALUES))
def test_any_lines_are_an_error_with_the_files_name(tmp_path: Path, values: dict[str, object]) -> None:
    path = tmp_path / "some.client.toml"
    path.touch(mode=0o600)
    lines = (
        f"{key} = {value if isinstance(value, int) else chr(34) + value + chr(34)}" for key, value in values.items()
    )
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    with pytest.raises(PrivateFileError, match=r"some\.client\.toml"):
        keys.read_client_keys(path)
