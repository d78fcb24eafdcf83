"""The character file: `name.bunraku`, a stored zip that a trainer writes and a runtime reads.

Knows members, hashes and limits; trusts none of them. Knows no inference library, no clock and no pixels in motion.
`docs/character-file.md` describes the format for other readers.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from engine_bridge.errors import CharacterError, ControlError
from engine_bridge.plain_text import LINE_CHARS, NAME_CHARS, is_plain, plain
from runtime import atomic
from runtime.advice import update
from runtime.composite.base import PLANES, PLANES_PX
from runtime.composite.references import GRID, REFERENCES, SIDES

from .archive import EXPORT_AGAIN, FETCH_AGAIN, MAX_PEOPLE, MEBI, MEMBER_LIMITS, in_order, limit_of, members_of
from .controls import VOCABULARY, Control, check_names
from .expressions import Expression, default_expressions
from .idle import IdleSettings
from .latents import Floats, Latents, OnnxMapping
from .onnx_cost import cost_of
from .onnx_graph import Graph, GraphSummary, TensorInfo, read_graph
from .person import MEMBER as PERSON_MEMBER
from .person import READER_PX, Person, members_of_person
from .webp import webp_size

FORMAT: Final = 2  # the newest: people who are moved. In format 1 a generator draws them
SHIPPED: Final = "aki"  # the character that plays when nobody chooses one; see `find_character`
MAX_SIDE_PX: Final = 4096
MAX_LATENT: Final = 8192
MAX_EXPRESSIONS: Final = 64
MAX_NAMES_BYTES: Final = 16 * 1024  # of all names of people together, and of all expressions; a message has 64 KiB
MAX_CONTROL: Final = 10_000.0  # largest end of a control's range
MAX_TABLE_HEADER: Final = 1 * MEBI  # of latents.safetensors
MAX_NESTING: Final = 32  # of what is free-form

# What a reader finds of a person and an animator takes, with the number of sizes beside N that each has.
PERSON_ENDS: Final = {"code": 1, "coarse": 3, "middle": 3, "fine": 3}
# What only one format has, and which of it there must be.
_OF_FORMAT_1: Final = ("generator.onnx", "latents.safetensors", "generator.fp16.onnx", "generator.int8.onnx")
_ALSO_OF_FORMAT_1: Final = ("encoder.onnx",)
_OF_FORMAT_2: Final = ("reader.onnx", "animator.onnx")
_ALSO_OF_FORMAT_2: Final = ("portrait.onnx",)
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
        identities: name to row of `identities` in `latents.safetensors`; in format 2 to the number of the person whose
            pictures are `people/NUMBER-back.png` and so on, counted from 0.
        files: every other member with hash and size; `write_character` fills it in.
    """

    format: int = 1
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

    The file is read once and closed; nothing is unpacked to disk. Opening checks names, sizes, hashes, the manifest
    and the graphs, so whatever is read later is what the manifest promised, also if the file changes meanwhile.

    Attributes:
        path: where the file is.
        manifest: its `character.json`.
        controls: what the generator takes, in order, with the character's own ranges.
        digest: SHA-256 of the manifest, in hexadecimal; as it holds the hashes of all members, of the whole character.
        z_dim: how many numbers the mapping network takes; 0 if there is none.
        moves: whether people's pictures are moved (format 2), instead of drawn by a generator. An identity then is a
            share of each person, and behind these a latent, if a portrait generator draws new people.
        latent_dim: how many numbers the mapping network gives; 0 if nobody is drawn from a latent.
    """

    def __init__(self, path: Path, members: Mapping[str, bytes]) -> None:
        """Check the members against each other; `open` reads them.

        Args:
            path: where they come from.
            members: name to bytes.

        Raises:
            CharacterError: they are not a character.
        """
        self.path = path
        self._members = dict(members)
        self._graphs: dict[str, Graph] = {}
        self.manifest = self._read_manifest()
        self.digest = hashlib.sha256(self._members["character.json"]).hexdigest()
        self.moves = self.manifest.format >= 2
        self._check_format()
        self._check_digests()
        self.controls = self._check_controls()
        for name in self.members:
            if name.endswith(".onnx"):
                self._graphs[name] = self._read_graph(name)
        if self.moves:
            self._check_people()
            self._check_moving()
            self.latent_dim = self._check_portrait() if "portrait.onnx" in self else 0
            people = len(self.people)
            self.latents_file: tuple[Floats, dict[str, Floats]] = (
                np.eye(people, people + self.latent_dim, dtype=np.float32),
                {},
            )
        else:
            self.generator = self.graph("generator.onnx")
            self._check_generator()
            self.latents_file = self._check_latents()
            self.latent_dim = self.w_dim
        self.z_dim = self._check_mapping() if "mapping.onnx" in self else 0
        for name in ("generator.fp16.onnx", "generator.int8.onnx"):
            if name in self:
                self._check_variant(name)
        if "preview.webp" in self:
            self._check_preview()

    @classmethod
    def open(cls, path: str | Path) -> Character:
        """Open and check a character file.

        Raises:
            CharacterError: the file is missing, cut, hostile, too new or does not keep its own promises. The text says
                which member and what to do.
        """
        path = Path(path)
        try:
            # Opening a pipe would wait for somebody to write to it.
            if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
                raise CharacterError(f"{path} is not a file. Choose a .bunraku file.")
            with path.open("rb") as file:
                return cls(path, members_of(path, file))
        except FileNotFoundError:
            raise CharacterError(f'There is no character file "{path}". Check the path.') from None
        except OSError as error:
            raise CharacterError(f"Could not open {path}: {error.strerror or error}.") from error

    def close(self) -> None:
        """Let go of the members; what was read stays valid."""
        self._members.clear()
        self._graphs.clear()

    def __enter__(self) -> Character:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, member: str) -> bool:
        return member in self._members

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members that are there, in the order in which they are written."""
        return tuple(in_order(self._members))

    @property
    def people(self) -> tuple[Person, ...]:
        """The people of a character that moves them, by number."""
        where, side = self.path.name, self.manifest.frame.width
        return tuple(
            Person(f"person {row} in {where}", side, tuple(map(self.read, members_of_person(row))))
            for row in range(len(set(self.manifest.identities.values())) if self.moves else 0)
        )

    def read(self, member: str) -> bytes:
        """The bytes of one member; of a graph, the bytes that `onnx_graph` writes of what it understood.

        Nothing else may be handed to an inference library: its parser could read the file's own bytes in another way.

        Raises:
            CharacterError: there is no such member.
        """
        if member in self._graphs:
            return self._graphs[member].to_bytes()
        if member not in self._members:
            raise CharacterError(f"{self.path.name} has no {member}.")
        return self._members[member]

    def graph(self, member: str) -> GraphSummary:
        """What the ONNX graph in this member says about itself."""
        return self._graphs[member].summary()

    def role(self) -> Role:
        """Everything that playing needs besides the engine; stays valid after `close`."""
        identities, directions = self.latents_file
        mapping = None
        if "mapping.onnx" in self:
            before = self.w_dim - self.latent_dim
            mapping = OnnxMapping(self.read("mapping.onnx"), z_dim=self.z_dim, w_dim=self.latent_dim, before=before)
        latents = Latents(self.manifest.identities, identities, directions, mapping=mapping)
        return Role(
            name=plain(self.manifest.name, NAME_CHARS),
            digest=self.manifest.files["animator.onnx" if self.moves else "generator.onnx"].sha256,
            licence=plain(self.manifest.licence, LINE_CHARS),
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
        self._check_names("expressions.json", "expression", [each.name for each in listed], most=MAX_EXPRESSIONS)
        keys = [each.hotkey for each in listed if each.hotkey]
        self._check_names("expressions.json", "hotkey", keys, most=MAX_EXPRESSIONS)
        try:
            for expression in listed:
                expression.check()
        except ControlError as error:
            raise CharacterError(f"expressions.json in {self.path.name}: {plain(str(error), LINE_CHARS)}") from error
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
            decoded = msgspec.json.decode(self.read(member), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CharacterError(
                f"{member} in {self.path.name} is wrong: {plain(str(error), LINE_CHARS)}. {EXPORT_AGAIN}"
            ) from error
        free_form = decoded.provenance if isinstance(decoded, Manifest) else decoded
        if isinstance(free_form, dict) and not _is_shallow(free_form):
            raise CharacterError(
                f"{member} in {self.path.name} is nested deeper than {MAX_NESTING} levels. {EXPORT_AGAIN}"
            )
        return decoded

    def _check_names(self, member: str, what: str, names: list[str], *, most: int) -> None:
        if reason := unfit_names(names, most=most):
            raise CharacterError(f"{member} in {self.path.name}: {what} {reason}. {EXPORT_AGAIN}")

    def _read_manifest(self) -> Manifest:
        found = self._decode("character.json", _FormatOnly).format
        if found > FORMAT:
            raise CharacterError(
                f"{self.path.name} has format {found}, and this Bunraku reads up to {FORMAT}. "
                f"Update Bunraku: {update()}"
            )
        if found < 1:
            raise CharacterError(f"{self.path.name} claims format {found}, which never existed. {EXPORT_AGAIN}")
        manifest = self._decode("character.json", Manifest)
        where = f"character.json in {self.path.name}"
        if not manifest.ai_generated:
            raise CharacterError(f"{where} says ai_generated: false; a generator's pictures are always AI-generated.")
        for side in (manifest.frame.width, manifest.frame.height):
            if not 1 <= side <= MAX_SIDE_PX:
                raise CharacterError(f"{where}: a frame side of {side} pixels is outside 1..{MAX_SIDE_PX}.")
        if not manifest.identities:
            raise CharacterError(f"{where} names no identity. {EXPORT_AGAIN}")
        self._check_names("character.json", "identity", list(manifest.identities), most=MAX_PEOPLE)
        return manifest

    def _check_digests(self) -> None:
        listed = set(self.manifest.files)
        present = set(self._members) - {"character.json"}
        if listed != present:
            missing, extra = sorted(listed - present), sorted(present - listed)
            said = "; ".join(
                text
                for text in (
                    f"listed but missing: {plain(', '.join(missing))}" if missing else "",
                    f"not listed: {', '.join(extra)}" if extra else "",
                )
                if text
            )
            raise CharacterError(f"{self.path.name} does not match its own list of members ({said}). {FETCH_AGAIN}")
        for member, digest in self.manifest.files.items():
            data = self._members[member]
            if len(data) != digest.size or hashlib.sha256(data).hexdigest() != digest.sha256:
                raise CharacterError(
                    f"{member} in {self.path.name} is not what the manifest says (SHA-256 differs): the file was "
                    f"changed or damaged. {FETCH_AGAIN}"
                )

    def _check_controls(self) -> tuple[Control, ...]:
        controls: list[Control] = []
        try:
            check_names(entry.name for entry in self.manifest.controls)
        except ControlError as error:
            raise CharacterError(f"character.json in {self.path.name}: {plain(str(error), LINE_CHARS)}") from error
        for entry in self.manifest.controls:
            if not -MAX_CONTROL <= entry.minimum <= entry.rest <= entry.maximum <= MAX_CONTROL:
                raise CharacterError(
                    f'character.json in {self.path.name}: control "{entry.name}" has the range {entry.minimum} to '
                    f"{entry.maximum} with rest {entry.rest}. {EXPORT_AGAIN}"
                )
            group = VOCABULARY[entry.name].group
            controls.append(Control(entry.name, entry.minimum, entry.maximum, entry.rest, group))
        if not controls or len({control.name for control in controls}) != len(controls):
            raise CharacterError(f"character.json in {self.path.name} lists no control, or one twice. {EXPORT_AGAIN}")
        return tuple(controls)

    def _read_graph(self, member: str) -> Graph:
        try:
            graph = read_graph(self._members[member])
            cost_of(graph)
            return graph
        except CharacterError as error:
            raise CharacterError(f"{member} in {self.path.name} is refused: {error}. {EXPORT_AGAIN}") from error

    def _check_variant(self, member: str) -> None:
        """A generator of another precision takes and gives the same."""
        graph = self.graph(member)
        if sorted(graph.inputs, key=_by_name) != sorted(self.generator.inputs, key=_by_name) or (
            graph.outputs != self.generator.outputs
        ):
            raise CharacterError(
                f"{member} in {self.path.name} takes or gives something else than generator.onnx does: "
                f"{_told(graph)}. {EXPORT_AGAIN}"
            )

    def _check_format(self) -> None:
        """See that the members are those of the format."""
        this, other = 1 + self.moves, 2 - self.moves
        people = [name for name in self._members if PERSON_MEMBER.fullmatch(name)]
        needed, foreign = (
            (_OF_FORMAT_2, (*_OF_FORMAT_1, *_ALSO_OF_FORMAT_1))
            if self.moves
            else (_OF_FORMAT_1[:2], (*_OF_FORMAT_2, *_ALSO_OF_FORMAT_2))
        )
        wrong = [name for name in foreign if name in self] + ([] if self.moves else people[:1])
        if wrong:
            raise CharacterError(
                f"{self.path.name} has format {this}, but its {', '.join(wrong)} belongs to format {other}. "
                f"{EXPORT_AGAIN}"
            )
        for name in needed:
            if name not in self:
                raise CharacterError(f"{self.path.name} has no {name}. {EXPORT_AGAIN}")
        if self.moves and ("portrait.onnx" in self) != ("mapping.onnx" in self):
            there, lacks = sorted(("portrait.onnx", "mapping.onnx"), key=lambda name: name not in self)
            raise CharacterError(
                f"{self.path.name} has {there} and no {lacks}: people from seeds need both. {EXPORT_AGAIN}"
            )

    def _check_people(self) -> None:
        """Every person has all pictures, and every picture is a person's."""
        frame, rows = self.manifest.frame, set(self.manifest.identities.values())
        if frame.width != frame.height or frame.width not in SIDES:
            raise CharacterError(
                f"character.json in {self.path.name}: frames of {frame.width}x{frame.height} pixels. People who are "
                f"moved are squares of {', '.join(map(str, SIDES[:-1]))} or {SIDES[-1]} pixels. {EXPORT_AGAIN}"
            )
        if rows != set(range(len(rows))):
            raise CharacterError(f"character.json in {self.path.name} does not count people from 0. {EXPORT_AGAIN}")
        wanted = {name for row in rows for name in members_of_person(row)}
        there = {name for name in self._members if PERSON_MEMBER.fullmatch(name)}
        if wanted != there:
            name = min(wanted ^ there)
            lack = "lacks" if name in wanted else "has, for nobody,"
            raise CharacterError(f"{self.path.name} {lack} {name}. {EXPORT_AGAIN}")
        for person in self.people:
            person.check()

    def _check_moving(self) -> None:
        """The reader gives what the animator takes, and the animator motion."""
        reader, animator = self.graph("reader.onnx"), self.graph("animator.onnx")
        found = {info.name: info for info in reader.outputs}
        good = (
            len(reader.inputs) == 1
            and reader.inputs[0].name == "references"
            and _is(reader.inputs[0], _UINT8, (None, len(REFERENCES), READER_PX, READER_PX, 4))
            and list(found) == list(PERSON_ENDS)
            and all(
                found[name].element_type == _FLOAT32
                and len(found[name].shape) == sizes + 1
                and None not in found[name].shape[1:]
                for name, sizes in PERSON_ENDS.items()
            )
        )
        if not good:
            raise CharacterError(
                f"reader.onnx in {self.path.name} must take references uint8 [N, {len(REFERENCES)}, {READER_PX}, "
                f"{READER_PX}, 4] and give float32 {', '.join(PERSON_ENDS)}, but it has {_told(reader)}. {EXPORT_AGAIN}"
            )
        takes = {info.name: info for info in animator.inputs}
        gives = {info.name: info for info in animator.outputs}
        good = (
            set(takes) == {*PERSON_ENDS, "controls"}
            and _is(takes["controls"], _FLOAT32, (None, len(self.controls)))
            and all(_is(takes[name], _FLOAT32, (None, *found[name].shape[1:])) for name in PERSON_ENDS)
            and list(gives) == ["flow", "planes"]
            and _is(gives["flow"], _FLOAT32, (None, len(REFERENCES), 2, GRID, GRID))
            and any(_is(gives["planes"], _FLOAT32, (None, len(PLANES), side, side)) for side in PLANES_PX)
            and (gives["planes"].shape[3] or 0) <= self.manifest.frame.width
        )
        if not good:
            raise CharacterError(
                f"animator.onnx in {self.path.name} must take what reader.onnx gives and controls float32 "
                f"[N, {len(self.controls)}], and give flow float32 [N, {len(REFERENCES)}, 2, {GRID}, {GRID}] and "
                f"planes float32 [N, {len(PLANES)}, P, P], but it has {_told(animator)}. {EXPORT_AGAIN}"
            )

    def _check_portrait(self) -> int:
        """The portrait generator draws references of the frames' size; returns how many numbers it takes."""
        graph, side = self.graph("portrait.onnx"), self.manifest.frame.width
        if (
            len(graph.inputs) == len(graph.outputs) == 1
            and (graph.inputs[0].name, graph.outputs[0].name) == ("w", "references")
            and _is(graph.inputs[0], _FLOAT32, (None, None))
            and _is(graph.outputs[0], _UINT8, (None, len(REFERENCES), side, side, 4))
            and graph.inputs[0].shape[1] is not None
            and 1 <= graph.inputs[0].shape[1] <= MAX_LATENT
        ):
            return graph.inputs[0].shape[1]
        raise CharacterError(
            f"portrait.onnx in {self.path.name} must take w float32 [N, w_dim] and give references uint8 "
            f"[N, {len(REFERENCES)}, {side}, {side}, 4], but it has {_told(graph)}. {EXPORT_AGAIN}"
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
                f"{_told(self.generator)}. {EXPORT_AGAIN}"
            )

    def _check_mapping(self) -> int:
        graph = self.graph("mapping.onnx")
        inputs, outputs = graph.inputs, graph.outputs
        if (
            len(inputs) == len(outputs) == 1
            and (inputs[0].name, outputs[0].name) == ("z", "w")
            and _is(inputs[0], _FLOAT32, (None, None))
            and _is(outputs[0], _FLOAT32, (None, None))
            and inputs[0].shape[1] is not None
            and 1 <= inputs[0].shape[1] <= MAX_LATENT
            and outputs[0].shape[1] in (None, self.latent_dim)
        ):
            return inputs[0].shape[1]
        raise CharacterError(
            f"mapping.onnx in {self.path.name} must take z float32 [N, z_dim] and give w float32 "
            f"[N, {self.latent_dim}], but it has {_told(graph)}. {EXPORT_AGAIN}"
        )

    def _check_preview(self) -> None:
        """A still WebP of a size that a frame may have; decoding it is left to who needs it."""
        where = f"preview.webp in {self.path.name}"
        size = webp_size(self._members["preview.webp"])
        if size is None:
            raise CharacterError(f"{where} is not a WebP picture, or an animated one. {EXPORT_AGAIN}")
        if max(size) > MAX_SIDE_PX:
            raise CharacterError(f"{where} has {size[0]}x{size[1]} pixels; {MAX_SIDE_PX} are the most on a side.")

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
        data = self.read("latents.safetensors")
        if int.from_bytes(data[:8], "little") > MAX_TABLE_HEADER:
            raise CharacterError(f"{where} has a header of more than {MAX_TABLE_HEADER // MEBI} MiB. {EXPORT_AGAIN}")
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CharacterError(f"{where} cannot be read: {plain(str(error), LINE_CHARS)}. {EXPORT_AGAIN}") from error
        if "identities" not in tensors:
            raise CharacterError(f"{where} lacks identities. {EXPORT_AGAIN}")
        identities = tensors.pop("identities")
        declared = next(info.shape[1] for info in self.generator.inputs if info.name == "w")
        w_dim = identities.shape[-1] if identities.ndim else -1
        directions: dict[str, Floats] = {}
        for name, tensor in tensors.items():
            if not name.startswith("direction."):
                raise CharacterError(f'{where} holds the unknown tensor "{plain(name)}". {EXPORT_AGAIN}')
            directions[name.removeprefix("direction.")] = tensor
        self._check_names("latents.safetensors", "direction", list(directions), most=MAX_PEOPLE)
        for tensor in (identities, *directions.values()):
            if tensor.dtype != np.float32 or tensor.shape[-1:] != (w_dim,) or not np.isfinite(tensor).all():
                raise CharacterError(f"{where}: every tensor must be finite float32 [..., {w_dim}]. {EXPORT_AGAIN}")
        if identities.ndim != 2 or any(tensor.ndim != 1 for tensor in directions.values()):
            raise CharacterError(f"{where}: identities must be [k, w_dim] and directions [w_dim]. {EXPORT_AGAIN}")
        if not 1 <= w_dim <= MAX_LATENT:
            raise CharacterError(f"{where} has w_dim {w_dim}, which is outside 1..{MAX_LATENT}. {EXPORT_AGAIN}")
        if declared not in (None, w_dim):
            raise CharacterError(f"{where} has w_dim {w_dim}, generator.onnx takes {declared}. {EXPORT_AGAIN}")
        for name, row in self.manifest.identities.items():
            if not 0 <= row < len(identities):
                raise CharacterError(f'{where} has no row {row} for the identity "{name[:80]}". {EXPORT_AGAIN}')
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


def unfit_names(names: Sequence[str], *, most: int = MAX_PEOPLE) -> str:
    """Why a character cannot have these names; empty if it can.

    People and clients choose by them; they are shown everywhere, and all of them travel in one message.

    Args:
        names: of identities, expressions, hotkeys or directions.
        most: how many there may be.
    """
    for name in names:
        if not name or not is_plain(name):
            return (
                f'"{plain(name)}" is not a name: it must have 1 to {NAME_CHARS} characters, all of them visible, '
                "without spaces at its ends and without two in a row"
            )
    size = sum(len(name.encode()) for name in names)
    if len(names) > most or size > MAX_NAMES_BYTES:
        return f"has {len(names)} names of {size} bytes together; {most} and {MAX_NAMES_BYTES // 1024} KiB are the most"
    return ""


def write_character(path: str | Path, manifest: Manifest, members: Mapping[str, bytes | Path]) -> Manifest:
    """Write a character file; it appears whole and checked, or not at all.

    Args:
        path: the file to write; its folder must exist.
        manifest: everything but `files`, which is filled in here.
        members: name to bytes, or to a file that holds them; `character.json` is not among them. Graphs are written
            as they are understood, so that an inference library gets the very bytes whose hash is in the manifest.

    Returns:
        The manifest as written.

    Raises:
        CharacterError: a member is missing, unknown or too large, or the result would not open again.
        SinkError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    payloads = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in members.items()}
    unknown = sorted(name for name in payloads if limit_of(name) is None or name == "character.json")
    if unknown:
        raise CharacterError(
            f"A character file has no member {', '.join(unknown)}; it may have {', '.join(MEMBER_LIMITS)} "
            "and people's pictures."
        )
    payloads |= {name: _as_understood(name, graph) for name, graph in payloads.items() if name.endswith(".onnx")}
    digests = {
        name: MemberDigest(hashlib.sha256(payloads[name]).hexdigest(), len(payloads[name]))
        for name in in_order(payloads)
    }
    manifest = msgspec.structs.replace(manifest, format=2 if "animator.onnx" in payloads else 1, files=digests)
    with atomic.replacing(path) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry("character.json"), msgspec.json.format(msgspec.json.encode(manifest), indent=2))
            for name in digests:
                archive.writestr(_entry(name), payloads[name])
        Character.open(part).close()
    return manifest


def _as_understood(name: str, graph: bytes) -> bytes:
    try:
        return read_graph(graph).to_bytes()
    except CharacterError as error:
        raise CharacterError(f"{name} is refused: {error}. {EXPORT_AGAIN}") from error


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
    packaged = Path(__file__).parents[1] / "characters"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "assets" / "characters"


def _told(graph: GraphSummary) -> str:
    """The ends of a graph, for an error."""
    ends = [f"{info.name} {list(info.shape)}" for info in (*graph.inputs, *graph.outputs)]
    return plain(", ".join(ends), LINE_CHARS)


def _is_shallow(value: Any) -> bool:
    """Whether maps and lists are nested at most `MAX_NESTING` deep; what prints them calls itself for each level."""
    level: list[Any] = [value]
    for _ in range(MAX_NESTING):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
    return not level


def _by_name(info: TensorInfo) -> str:
    return info.name


def _is(info: TensorInfo, element_type: int, shape: tuple[int | None, ...]) -> bool:
    """Whether a tensor has this type and shape; None stands for any size."""
    return (
        info.element_type == element_type
        and len(info.shape) == len(shape)
        and all(want is None or have == want for have, want in zip(info.shape, shape, strict=True))
    )
