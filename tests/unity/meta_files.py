"""The `.meta` files that Unity requires beside every asset of the package: their contents, and how they are written.

    python tests/unity/meta_files.py        writes those that are missing and removes those of assets that are gone

GUIDs are derived from the path, so that they never change while a file keeps its path: scenes and prefabs refer to
assets by them. Existing files are left unchanged.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[2] / "engine_bridge" / "unity"
PACKAGE_NAME: Final = "com.bunraku.client"

# Libraries that users build and copy themselves; their import settings are here all the same.
PLUGINS: Final = {
    "Plugins/Windows/x86_64/bunraku_client.dll": ("Windows", "Win64", "x86_64"),
    "Plugins/macOS/libbunraku_client.dylib": ("OSX", "OSXUniversal", "AnyCPU"),
    "Plugins/Linux/x86_64/libbunraku_client.so": ("Linux", "Linux64", "x86_64"),
}
STANDALONE: Final = ("Linux64", "OSXUniversal", "Win", "Win64")
TAIL: Final = "  userData: \n  assetBundleName: \n  assetBundleVariant: \n"


def assets() -> Iterator[str]:
    """Paths within the package of every folder and file that Unity imports, and of what is in a sample.

    Unity ignores names that begin with a dot, and folders whose names end in `~`. The files of a sample
    are copied into the project together with their `.meta` files, so they have some.
    """
    found = {asset for plugin in PLUGINS for asset in _with_parents(plugin)}
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if not hidden and name != "Samples~" and path.suffix != ".meta" and name not in PLUGINS:
            found.add(name)
    yield from sorted(found)


def guid_of(asset: str) -> str:
    """The GUID of an asset: 32 hexadecimal digits."""
    return hashlib.md5(f"{PACKAGE_NAME}/{asset}".encode(), usedforsecurity=False).hexdigest()


def meta_of(asset: str) -> str:
    """Contents of an asset's `.meta` file."""
    return f"fileFormatVersion: 2\nguid: {guid_of(asset)}\n{_importer(asset)}"


def meta_path(asset: str) -> Path:
    """Its path."""
    return PACKAGE / f"{asset}.meta"


def write() -> list[str]:
    """Bring the `.meta` files in line with the assets; return what was written or removed."""
    changed = []
    wanted = {meta_path(asset): asset for asset in assets()}
    for path, asset in wanted.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(meta_of(asset).encode())
            changed.append(f"wrote {path.relative_to(PACKAGE)}")
    for path in sorted(PACKAGE.rglob("*.meta")):
        if path not in wanted:
            path.unlink()
            changed.append(f"removed {path.relative_to(PACKAGE)}")
    return changed


def _with_parents(asset: str) -> list[str]:
    parts = asset.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _importer(asset: str) -> str:
    if asset in PLUGINS:
        return _plugin_importer(*PLUGINS[asset])
    if (PACKAGE / asset).is_dir() or "." not in asset.rsplit("/", maxsplit=1)[-1]:
        return "folderAsset: yes\nDefaultImporter:\n  externalObjects: {}\n" + TAIL
    if asset == "package.json":
        return "PackageManifestImporter:\n  externalObjects: {}\n" + TAIL
    suffix = asset.rsplit(".", maxsplit=1)[-1]
    if suffix == "cs":
        return (
            "MonoImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  defaultReferences: []\n"
            "  executionOrder: 0\n  icon: {instanceID: 0}\n" + TAIL
        )
    if suffix == "shader":
        return (
            "ShaderImporter:\n  externalObjects: {}\n  defaultTextures: []\n  nonModifiableTextures: []\n"
            "  preprocessorOverride: 0\n" + TAIL
        )
    importer = {"asmdef": "AssemblyDefinitionImporter", "md": "TextScriptImporter"}[suffix]
    return f"{importer}:\n  externalObjects: {{}}\n{TAIL}"


def _plugin_importer(editor_os: str, target: str, cpu: str) -> str:
    """Enabled for the editor of one system and the players of one target, disabled for everything else."""
    players = "".join(
        f"  - first:\n      Standalone: {name}\n    second:\n      enabled: {int(name == target)}\n"
        f"      settings:\n        CPU: {cpu if name == target else 'None'}\n"
        for name in STANDALONE
    )
    return (
        "PluginImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  iconMap: {}\n  executionOrder: {}\n"
        "  defineConstraints: []\n  isPreloaded: 0\n  isOverridable: 0\n  isExplicitlyReferenced: 0\n"
        "  validateReferences: 1\n  platformData:\n"
        "  - first:\n      Any: \n    second:\n      enabled: 0\n      settings: {}\n"
        "  - first:\n      Editor: Editor\n    second:\n      enabled: 1\n      settings:\n"
        f"        CPU: {cpu}\n        DefaultValueInitialized: true\n        OS: {editor_os}\n"
        f"{players}{TAIL}"
    )


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in write()))
