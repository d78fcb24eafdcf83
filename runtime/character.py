"""The character file: `name.bunraku`, a stored zip that a trainer writes and a runtime reads.

Knows members, hashes and limits; trusts none of them. Knows no inference library, no clock and no pixels in motion.
`docs/character-file.md` describes the format for other readers.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TypeVar

import msgspec
import numpy as np

from engine_bridge.errors import CharacterError, ControlError

from . import atomic
from .controls import VOCABULARY, Control, check_names
from .expressions import Expression, default_expressions
from .idle import IdleSettings
from .latents import Floats, Latents, OnnxMapping
from .onnx_graph import GraphSummary, TensorInfo, summarise

FORMAT: Final = 1
SHIPPED: Final = "aki"  # the character that plays when nobody chooses one; see `find_character`
MEBI: Final = 1 << 20
MAX_FILE: Final = 256 * MEBI
MAX_SIDE_PX: Final = 4096
MAX_LATENT: Final = 8192

# Every member a file may have, with the most bytes it may take.
MEMBER_LIMITS: Final[Mapping[str, int]] = {
    "character.json": 1 * MEBI,
    "generator.onnx": 200 * MEBI,
    "generator.fp16.onnx": 100 * MEBI,
    "generator.int8.onnx": 100 * MEBI,
    "mapping.onnx": 64 * MEBI,
    "encoder.onnx": 128 * MEBI,
    "latents.safetensors": 64 * MEBI,
    "expressions.json": 1 * MEBI,
    "idle.json": 1 * MEBI,
    "report.json": 4 * MEBI,
    "preview.webp": 8 * MEBI,
}
REQUIRED_MEMBERS: Final = ("character.json", "generator.onnx", "latents.safetensors")

_FLOAT32, _UINT8 = 1, 2
_T = TypeVar("_T")


class FrameSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of the pictures in pixels."""

    width: int
    height: int


class ControlRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the generator's `controls`, in the order in which it takes them."""

    name: str
    minimum: float
    maximum: float
    rest: float


class MemberDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member must be: SHA-256 in lower-case hexadecimal, and size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`character.json`.

    Attributes:
        format: version of the file format.
        name: what people call the character.
        licence: licence of the file, SPDX name or a sentence.
        author: who made it.
        ai_generated: always true: the pictures are made by a network, and frames say so.
        provenance: recipe, data sources with licences, training figures, date; free-form.
        frame: size of the pictures.
        controls: what the generator takes, in its order.
        identities: name to row of `identities` in `latents.safetensors`.
        files: every other member with hash and size; `write_character` fills it in.
    """

    format: int = FORMAT
    name: str
    licence: str
    author: str
    ai_generated: bool = True
    provenance: dict[str, Any] = {}
    frame: FrameSize
    controls: list[ControlRange]
    identities: dict[str, int]
    files: dict[str, MemberDigest] = {}


class _FormatOnly(msgspec.Struct, frozen=True):
    format: int


class _ExpressionsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expressions: list[Expression]


class Character:
    """An open character file; use it as a context manager.

    Members are read where they lie in the file; nothing is unpacked to disk. Opening checks names, sizes, hashes,
    the manifest and the interfaces of the graphs, so whatever is read later is what the manifest promised.

    Attributes:
        path: where the file is.
        manifest: its `character.json`.
        controls: what the generator takes, in order, with the character's own ranges.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, file: IO[bytes]) -> None:
        self.path = path
        self._archive = archive
        self._file = file
        self._names = set(archive.namelist())
        self.manifest = self._read_manifest()
        self._check_digests()
        self.controls = self._check_controls()
        self.generator = self._check_graph("generator.onnx")
        self._check_generator()
        self.latents_file = self._check_latents()
        self._z_dim = self._check_mapping() if "mapping.onnx" in self._names else 0
        for name in ("generator.fp16.onnx", "generator.int8.onnx"):
            if name in self._names:
                self._check_variant(name)
        if "encoder.onnx" in self._names:
            self._check_graph("encoder.onnx")

    @classmethod
    def open(cls, path: str | Path) -> Character:
        """Open and check a character file.

        Raises:
            CharacterError: the file is missing, cut, hostile, too new or does not keep its own promises. The text says
                which member and what to do.
        """
        path = Path(path)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise CharacterError(f'There is no character file "{path}". Check the path.') from None
        except OSError as error:
            raise CharacterError(f"Could not open {path}: {error.strerror or error}.") from error
        with contextlib.ExitStack() as unless_it_opens:
            unless_it_opens.callback(file.close)
            try:
                size = _check_directory(path, file)
                archive = zipfile.ZipFile(file)
                _check_members(path, archive, size)
                character = cls(path, archive, file)
            except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, struct.error) as error:
                raise CharacterError(f"{path.name} is damaged: {error}. {_FETCH_AGAIN}") from error
            except (ValueError, OverflowError, EOFError, KeyError, IndexError) as error:
                raise CharacterError(f"{path.name} is damaged: {error!r}. {_FETCH_AGAIN}") from error
            except OSError as error:
                raise CharacterError(f"Could not read {path}: {error.strerror or error}. {_FETCH_AGAIN}") from error
            unless_it_opens.pop_all()
            return character

    def close(self) -> None:
        """Close the file; what was read from it stays valid."""
        self._archive.close()
        self._file.close()

    def __enter__(self) -> Character:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, member: str) -> bool:
        return member in self._names

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members that are there, in the order of `MEMBER_LIMITS`."""
        return tuple(name for name in MEMBER_LIMITS if name in self._names)

    def read(self, member: str) -> bytes:
        """The bytes of one member.

        Raises:
            CharacterError: there is no such member, or it cannot be read.
        """
        if member not in self._names:
            raise CharacterError(f"{self.path.name} has no {member}.")
        try:
            return self._archive.read(member)
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise CharacterError(f"{member} in {self.path.name} cannot be read: {error}. {_FETCH_AGAIN}") from error

    def graph(self, member: str) -> GraphSummary:
        """What the ONNX graph in this member says about itself."""
        return self._check_graph(member)

    def role(self) -> Role:
        """Everything that playing needs besides the engine; stays valid after `close`."""
        mapping = OnnxMapping(self.read("mapping.onnx"), z_dim=self._z_dim) if "mapping.onnx" in self else None
        identities, directions = self.latents_file
        latents = Latents(self.manifest.identities, identities, directions, mapping=mapping)
        return Role(
            name=self.manifest.name,
            digest=self.manifest.files["generator.onnx"].sha256,
            licence=self.manifest.licence,
            width=self.manifest.frame.width,
            height=self.manifest.frame.height,
            controls=self.controls,
            latents=latents,
            expressions=self.expressions(),
            idle=self.idle(),
        )

    def expressions(self) -> tuple[Expression, ...]:
        """The named expressions; the moods that the generator knows, if the file brings none."""
        if "expressions.json" not in self:
            return default_expressions(self.controls)
        listed = self._decode("expressions.json", _ExpressionsFile).expressions
        try:
            for expression in listed:
                expression.check()
        except ControlError as error:
            raise CharacterError(f"expressions.json in {self.path.name}: {error}") from error
        return tuple(listed)

    def idle(self) -> IdleSettings:
        """How the character lives when nobody moves it."""
        if "idle.json" not in self:
            return IdleSettings()
        settings = self._decode("idle.json", IdleSettings)
        try:
            settings.check()
        except ValueError as error:
            raise CharacterError(f"idle.json in {self.path.name}: {error}.") from error
        return settings

    def report(self) -> dict[str, Any]:
        """Held-out quality figures as the trainer wrote them; empty without `report.json`."""
        return self._decode("report.json", dict[str, Any]) if "report.json" in self else {}

    def _decode(self, member: str, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(self.read(member), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CharacterError(f"{member} in {self.path.name} is wrong: {error}. {_EXPORT_AGAIN}") from error

    def _read_manifest(self) -> Manifest:
        found = self._decode("character.json", _FormatOnly).format
        if found > FORMAT:
            raise CharacterError(
                f"{self.path.name} has format {found}, and this Bunraku reads up to {FORMAT}. "
                "Update Bunraku: pip install --upgrade bunraku"
            )
        if found < 1:
            raise CharacterError(f"{self.path.name} claims format {found}, which never existed. {_EXPORT_AGAIN}")
        manifest = self._decode("character.json", Manifest)
        where = f"character.json in {self.path.name}"
        if not manifest.ai_generated:
            raise CharacterError(f"{where} says ai_generated: false; a generator's pictures are always AI-generated.")
        for side in (manifest.frame.width, manifest.frame.height):
            if not 1 <= side <= MAX_SIDE_PX:
                raise CharacterError(f"{where}: a frame side of {side} pixels is outside 1..{MAX_SIDE_PX}.")
        if not manifest.identities:
            raise CharacterError(f"{where} names no identity. {_EXPORT_AGAIN}")
        return manifest

    def _check_digests(self) -> None:
        listed = set(self.manifest.files)
        present = self._names - {"character.json"}
        if listed != present:
            missing, extra = sorted(listed - present), sorted(present - listed)
            said = "; ".join(
                text
                for text in (
                    f"listed but missing: {', '.join(missing)}" if missing else "",
                    f"not listed: {', '.join(extra)}" if extra else "",
                )
                if text
            )
            raise CharacterError(f"{self.path.name} does not match its own list of members ({said}). {_FETCH_AGAIN}")
        for member, digest in self.manifest.files.items():
            info = self._archive.getinfo(member)
            sha256 = hashlib.sha256()
            with self._archive.open(member) as stream:
                while chunk := stream.read(MEBI):
                    sha256.update(chunk)
            if info.file_size != digest.size or sha256.hexdigest() != digest.sha256:
                raise CharacterError(
                    f"{member} in {self.path.name} is not what the manifest says (SHA-256 differs): the file was "
                    f"changed or damaged. {_FETCH_AGAIN}"
                )

    def _check_controls(self) -> tuple[Control, ...]:
        controls: list[Control] = []
        try:
            check_names(entry.name for entry in self.manifest.controls)
        except ControlError as error:
            raise CharacterError(f"character.json in {self.path.name}: {error}") from error
        for entry in self.manifest.controls:
            numbers = (entry.minimum, entry.rest, entry.maximum)
            if not all(map(math.isfinite, numbers)) or not entry.minimum <= entry.rest <= entry.maximum:
                raise CharacterError(
                    f'character.json in {self.path.name}: control "{entry.name}" has the range {entry.minimum} to '
                    f"{entry.maximum} with rest {entry.rest}. {_EXPORT_AGAIN}"
                )
            group = VOCABULARY[entry.name].group
            controls.append(Control(entry.name, entry.minimum, entry.maximum, entry.rest, group))
        if not controls or len({control.name for control in controls}) != len(controls):
            raise CharacterError(f"character.json in {self.path.name} lists no control, or one twice. {_EXPORT_AGAIN}")
        return tuple(controls)

    def _check_graph(self, member: str) -> GraphSummary:
        try:
            return summarise(self.read(member))
        except CharacterError as error:
            raise CharacterError(f"{member} in {self.path.name} is refused: {error}. {_EXPORT_AGAIN}") from error

    def _check_variant(self, member: str) -> None:
        """A generator of another precision takes and gives the same."""
        graph = self._check_graph(member)
        if sorted(graph.inputs, key=_by_name) != sorted(self.generator.inputs, key=_by_name) or (
            graph.outputs != self.generator.outputs
        ):
            raise CharacterError(
                f"{member} in {self.path.name} takes or gives something else than generator.onnx does: "
                f"{graph.inputs} and {graph.outputs}. {_EXPORT_AGAIN}"
            )

    def _check_generator(self) -> None:
        frame = self.manifest.frame
        inputs = {info.name: info for info in self.generator.inputs}
        outputs = {info.name: info for info in self.generator.outputs}
        good = (
            set(inputs) == {"w", "controls"}
            and list(outputs) == ["rgba"]
            and _is(inputs["w"], _FLOAT32, (None, None))
            and _is(inputs["controls"], _FLOAT32, (None, len(self.controls)))
            and _is(outputs["rgba"], _UINT8, (None, frame.height, frame.width, 4))
        )
        if not good:
            raise CharacterError(
                f"generator.onnx in {self.path.name} must take w float32 [N, w_dim] and controls float32 "
                f"[N, {len(self.controls)}] and give rgba uint8 [N, {frame.height}, {frame.width}, 4], but it has "
                f"{self.generator.inputs} and {self.generator.outputs}. {_EXPORT_AGAIN}"
            )

    def _check_mapping(self) -> int:
        graph = self._check_graph("mapping.onnx")
        inputs, outputs = graph.inputs, graph.outputs
        if (
            len(inputs) == len(outputs) == 1
            and (inputs[0].name, outputs[0].name) == ("z", "w")
            and _is(inputs[0], _FLOAT32, (None, None))
            and _is(outputs[0], _FLOAT32, (None, None))
            and inputs[0].shape[1] is not None
            and 1 <= inputs[0].shape[1] <= MAX_LATENT
            and outputs[0].shape[1] in (None, self.w_dim)
        ):
            return inputs[0].shape[1]
        raise CharacterError(
            f"mapping.onnx in {self.path.name} must take z float32 [N, z_dim] and give w float32 [N, {self.w_dim}], "
            f"but it has {inputs} and {outputs}. {_EXPORT_AGAIN}"
        )

    @property
    def layout(self) -> str:
        """What an engine built from this character must be fed with: a digest of sizes and of the controls' order."""
        frame = self.manifest.frame
        names = ",".join(control.name for control in self.controls)
        told = f"w {self.w_dim}; controls {names}; rgba {frame.width}x{frame.height}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @property
    def w_dim(self) -> int:
        """How many numbers make an identity."""
        return int(self.latents_file[0].shape[1])

    def _check_latents(self) -> tuple[Floats, dict[str, Floats]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        where = f"latents.safetensors in {self.path.name}"
        try:
            tensors = load(self.read("latents.safetensors"))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CharacterError(f"{where} cannot be read: {error}. {_EXPORT_AGAIN}") from error
        if "identities" not in tensors:
            raise CharacterError(f"{where} lacks identities. {_EXPORT_AGAIN}")
        identities = tensors.pop("identities")
        declared = next(info.shape[1] for info in self.generator.inputs if info.name == "w")
        w_dim = identities.shape[-1] if identities.ndim else -1
        directions: dict[str, Floats] = {}
        for name, tensor in tensors.items():
            if not name.startswith("direction."):
                raise CharacterError(f'{where} holds the unknown tensor "{name[:80]}". {_EXPORT_AGAIN}')
            directions[name.removeprefix("direction.")] = tensor
        for tensor in (identities, *directions.values()):
            if tensor.dtype != np.float32 or tensor.shape[-1:] != (w_dim,) or not np.isfinite(tensor).all():
                raise CharacterError(f"{where}: every tensor must be finite float32 [..., {w_dim}]. {_EXPORT_AGAIN}")
        if identities.ndim != 2 or any(tensor.ndim != 1 for tensor in directions.values()):
            raise CharacterError(f"{where}: identities must be [k, w_dim] and directions [w_dim]. {_EXPORT_AGAIN}")
        if declared not in (None, w_dim):
            raise CharacterError(f"{where} has w_dim {w_dim}, generator.onnx takes {declared}. {_EXPORT_AGAIN}")
        for name, row in self.manifest.identities.items():
            if not 0 <= row < len(identities):
                raise CharacterError(f'{where} has no row {row} for the identity "{name[:80]}". {_EXPORT_AGAIN}')
        return identities, directions


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What the stage must know of a character, wherever it came from.

    Attributes:
        name: for people.
        digest: SHA-256 of the generator, empty if there is no file.
        licence: of the character.
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        controls: what the engine takes, in order.
        latents: identities and how to draw more.
        expressions: named expressions.
        idle: how it lives when nobody moves it.
    """

    name: str
    digest: str
    licence: str
    width: int
    height: int
    controls: tuple[Control, ...]
    latents: Latents
    expressions: tuple[Expression, ...]
    idle: IdleSettings


def write_character(path: str | Path, manifest: Manifest, members: Mapping[str, bytes | Path]) -> Manifest:
    """Write a character file; it appears whole and checked, or not at all.

    Args:
        path: the file to write; its folder must exist.
        manifest: everything but `files`, which is filled in here.
        members: name to bytes, or to a file that holds them; `character.json` is not among them.

    Returns:
        The manifest as written.

    Raises:
        CharacterError: a member is missing, unknown or too large, or the result would not open again.
        SinkError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    payloads = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in members.items()}
    unknown = sorted(set(payloads) - set(MEMBER_LIMITS) | set(payloads) & {"character.json"})
    if unknown:
        raise CharacterError(
            f"A character file has no member {', '.join(unknown)}; it may have {', '.join(MEMBER_LIMITS)}."
        )
    digests = {
        name: MemberDigest(hashlib.sha256(payloads[name]).hexdigest(), len(payloads[name]))
        for name in MEMBER_LIMITS
        if name in payloads
    }
    manifest = msgspec.structs.replace(manifest, format=FORMAT, files=digests)
    with atomic.replacing(path) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry("character.json"), msgspec.json.format(msgspec.json.encode(manifest), indent=2))
            for name in digests:
                archive.writestr(_entry(name), payloads[name])
        Character.open(part).close()
    return manifest


def _entry(name: str) -> zipfile.ZipInfo:
    """A member with a fixed date, so that equal contents give equal files."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info


def find_character(name: str | Path) -> Path:
    """The path of a character: a file, or the short name of a shipped one.

    Raises:
        CharacterError: there is neither.
    """
    path = Path(name)
    if path.suffix == ".bunraku" or path.exists():
        return path
    shipped = shipped_folder() / f"{path.name}.bunraku"
    if str(name) == path.name and shipped.is_file():
        return shipped
    there = ", ".join(sorted(file.stem for file in shipped_folder().glob("*.bunraku"))) or "none here"
    raise CharacterError(
        f'There is no character "{name}". Give a .bunraku file, or the name of a shipped character ({there}). '
        "Without any character, `--engine synthetic` plays a test card."
    )


def shipped_folder() -> Path:
    """Where shipped characters lie: beside the packages in a checkout, inside the package in a wheel."""
    packaged = Path(__file__).parent / "characters"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "assets" / "characters"


_FETCH_AGAIN: Final = "Fetch the file again from where it came."
_EXPORT_AGAIN: Final = "Export it again: bunraku-train export"
_END_OF_DIRECTORY: Final = struct.Struct("<4s4H2LH")


def _check_directory(path: Path, file: IO[bytes]) -> int:
    """Look at the end of the zip before `zipfile` does: it would read any number of entries."""
    size = file.seek(0, io.SEEK_END)
    if size > MAX_FILE:
        raise CharacterError(f"{path.name} has {size / MEBI:.0f} MiB; a character may have {MAX_FILE // MEBI} MiB.")
    tail_size = min(size, _END_OF_DIRECTORY.size + 20)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    file.seek(0)
    if tail_size < _END_OF_DIRECTORY.size or tail[-22:-18] != b"PK\x05\x06":
        if size >= 4 and file.read(4) == b"PK\x03\x04":
            raise CharacterError(f"{path.name} is cut short or has bytes behind its end. {_FETCH_AGAIN}")
        raise CharacterError(f"{path.name} is not a character file (it is not a zip). Choose a .bunraku file.")
    if tail[:4] == b"PK\x06\x07" and tail_size > _END_OF_DIRECTORY.size:
        raise CharacterError(f"{path.name} is a zip64 file; a character file never needs that. {_EXPORT_AGAIN}")
    _, disk, start_disk, here, total, directory_size, offset, _ = _END_OF_DIRECTORY.unpack(tail[-22:])
    if disk or start_disk or here != total or total > len(MEMBER_LIMITS) or directory_size > 64 * 1024:
        raise CharacterError(f"{path.name} has {total} members; a character has at most {len(MEMBER_LIMITS)}.")
    if offset + directory_size + _END_OF_DIRECTORY.size != size:
        raise CharacterError(f"{path.name} is cut short or has bytes before its start. {_FETCH_AGAIN}")
    return size


def _check_members(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse names, sizes and tricks that a character file never has."""
    seen: set[str] = set()
    total = 0
    for info in archive.infolist():
        name = info.filename
        shown = name[:80]
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise CharacterError(
                f'{path.name} has a member with the path "{shown}", which could escape. Do not use it.'
            )
        if name not in MEMBER_LIMITS:
            raise CharacterError(f'{path.name} has the member "{shown}", which no character has. {_EXPORT_AGAIN}')
        if name in seen:
            raise CharacterError(f"{path.name} has {name} twice. {_EXPORT_AGAIN}")
        seen.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise CharacterError(
                f"{name} in {path.name} is compressed; members are stored as they are. {_EXPORT_AGAIN}"
            )
        if info.flag_bits & 0x1:
            raise CharacterError(f"{name} in {path.name} is encrypted. {_EXPORT_AGAIN}")
        if info.file_size > MEMBER_LIMITS[name]:
            raise CharacterError(
                f"{name} in {path.name} has {info.file_size / MEBI:.1f} MiB; "
                f"{MEMBER_LIMITS[name] // MEBI} MiB is the most. {_EXPORT_AGAIN}"
            )
        total += info.file_size
    if total > size:
        raise CharacterError(f"The members of {path.name} overlap or are larger than the file. {_EXPORT_AGAIN}")
    for name in REQUIRED_MEMBERS:
        if name not in seen:
            raise CharacterError(f"{path.name} has no {name}. {_EXPORT_AGAIN}")


def _by_name(info: TensorInfo) -> str:
    return info.name


def _is(info: TensorInfo, element_type: int, shape: tuple[int | None, ...]) -> bool:
    """Whether a tensor has this type and shape; None stands for any size."""
    return (
        info.element_type == element_type
        and len(info.shape) == len(shape)
        and all(want is None or have == want for have, want in zip(info.shape, shape, strict=True))
    )
