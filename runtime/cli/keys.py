"""`bunraku keys`: who may connect from another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import say, say_json, table

from .options import JsonOption
from .reporting import reporting

app = typer.Typer(
    name="keys",
    help="Manage keys and who may connect from another machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

FolderArgument = Annotated[
    Path | None,
    typer.Argument(help="Folder of the keys.  [default: keys in this user's settings folder]", show_default=False),
]
NameArgument = Annotated[str, typer.Argument(help="A name for the client: A-Z a-z 0-9 . _ -")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace existing files.")]


@app.command()
@reporting
def init(folder: FolderArgument = None, *, force: ForceOption = False) -> None:
    """Generate a key pair for producers on this machine.

    Example: `bunraku keys init`
    """
    from engine_bridge.access.keys import make_server_keys

    where = _folder(folder)
    made = make_server_keys(where, overwrite=force)
    say(f"made {where / 'server.toml'}, public key {made.public}")
    say(f"Add a client with: bunraku keys add NAME{_folder_word(folder)}")
    say(f'Then: bunraku live --keys "{where}" --publish tcp://0.0.0.0:5760 --control tcp://0.0.0.0:5761')


@app.command()
@reporting
def add(
    name: NameArgument,
    folder: FolderArgument = None,
    *,
    public: Annotated[
        str | None,
        typer.Option(help="Public key of a client that already has a key pair; writes no file.", show_default=False),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Add a client to the list, and write its NAME.client.toml to this folder.

    Anyone with that file may watch and steer: transfer it securely, and delete it here. It takes effect at the client's
    next connection, without a restart.

    Example: `bunraku keys add laptop`
    """
    from engine_bridge.access.keys import add_client, add_known_client

    if public is not None:
        add_known_client(_folder(folder), name, public, overwrite=force)
        say(f"{name} may connect")
        return
    file = Path(f"{name}.client.toml")
    add_client(_folder(folder), name, file, overwrite=force)
    say(f"{name} may connect; copy {file.resolve()} to it and delete it here")
    say(f"On that machine: bunraku view tcp://ADDRESS_OF_THIS_MACHINE:5760 --key {file.name}")


@app.command(name="list")
@reporting
def list_clients(folder: FolderArgument = None, as_json: JsonOption = False) -> None:
    """Show the public key of this machine's producers, and who may connect to them.

    Example: `bunraku keys list --json`
    """
    from engine_bridge.access.keys import AllowList, read_server_keys

    server = read_server_keys(_folder(folder))
    allowed = AllowList(server.clients)
    clients = allowed.clients()
    table(["who", "public key"], [("this machine", server.public), *((one.name, one.public) for one in clients)])
    for trouble in allowed.troubles:
        say(f"Note: skipped: {trouble}", err=True)
    if as_json:
        told = {"command": "keys list", "server": server.public}
        say_json({**told, "clients": {one.name: one.public for one in clients}})


@app.command()
@reporting
def remove(name: NameArgument, folder: FolderArgument = None) -> None:
    """Remove a client from the list. Its next connection is refused; an open one stays until it ends.

    Example: `bunraku keys remove laptop`
    """
    from engine_bridge.access.keys import remove_client

    remove_client(_folder(folder), name)
    say(f"{name} may no longer connect; restart the producer to close open connections")


def _folder(given: Path | None) -> Path:
    from engine_bridge.access.keys import default_folder

    return (default_folder() if given is None else given).absolute()


def _folder_word(given: Path | None) -> str:
    return "" if given is None else f' "{given}"'
