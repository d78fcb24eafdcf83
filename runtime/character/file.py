"""The character file: `name.bunraku`, a stored zip that a trainer writes and a runtime reads.

Knows which members there are and checks each of them; trusts none. Knows no inference library, no clock and no engine.
`docs/character-file.md` describes the format for other readers, `writing.py` writes such a file.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import numpy as np

from engine_bridge.errors import CharacterError, ControlError
from engine_bridge.plain_text import LINE_CHARS, NAME_CHARS, plain

from .archive import EXPORT_AGAIN, in_order, members_of
from .ends import check_generator, check_mapping, check_moving, check_portrait, check_variant
from .expressions import Expression, default_expressions
from .formats import VARIANTS, check_format, check_people
from .idle import IdleSettings
from .json_member import decode
from .latents import Floats, Latents, OnnxMapping
from .latents_table import read_latents
from .manifest import MAX_SIDE_PX, MEMBER, Manifest, check_digests, controls_of, read_manifest
from .names import refuse_unfit_names
from .onnx_cost import cost_of
from .onnx_graph import Graph, GraphSummary, read_graph
from .person import Person, members_of_person
from .role import Role
from .webp import webp_size

MAX_EXPRESSIONS: Final = 64


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
        file = path.name
        self.manifest: Manifest = read_manifest(self.read(MEMBER), file=file)
        self.digest = hashlib.sha256(self._members[MEMBER]).hexdigest()
        self.moves = self.manifest.format >= 2
        check_format(self.manifest, self._members, file=file)
        check_digests(self.manifest, self._members, file=file)
        self.controls = controls_of(self.manifest, file=file)
        for name in self.members:
            if name.endswith(".onnx"):
                self._graphs[name] = self._read_graph(name)
        if self.moves:
            self.latents_file, self.latent_dim = self._check_moved_people()
        else:
            self.latents_file, self.latent_dim = self._check_drawn_people()
        self.z_dim = 0
        if "mapping.onnx" in self:
            self.z_dim = check_mapping(self.graph("mapping.onnx"), latent_dim=self.latent_dim, file=file)
        for name in VARIANTS:
            if name in self:
                check_variant(self.graph(name), self.graph("generator.onnx"), member=name, file=file)
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
        where = f"expressions.json in {self.path.name}"
        listed = decode(self.read("expressions.json"), _ExpressionsFile, where=where).expressions
        refuse_unfit_names(where, "expression", [each.name for each in listed], most=MAX_EXPRESSIONS)
        keys = [each.hotkey for each in listed if each.hotkey]
        refuse_unfit_names(where, "hotkey", keys, most=MAX_EXPRESSIONS)
        try:
            for expression in listed:
                expression.check()
        except ControlError as error:
            raise CharacterError(f"{where}: {plain(str(error), LINE_CHARS)}") from error
        return tuple(listed)

    def idle(self) -> IdleSettings:
        """How the character lives when nobody moves it."""
        if "idle.json" not in self:
            return IdleSettings()
        where = f"idle.json in {self.path.name}"
        settings = decode(self.read("idle.json"), IdleSettings, where=where)
        try:
            settings.check()
        except ValueError as error:
            raise CharacterError(f"{where}: {error}.") from error
        return settings

    def report(self) -> dict[str, Any]:
        """Held-out quality figures as the trainer wrote them; empty without `report.json`."""
        if "report.json" not in self:
            return {}
        return decode(self.read("report.json"), dict[str, Any], where=f"report.json in {self.path.name}")

    def _read_graph(self, member: str) -> Graph:
        try:
            graph = read_graph(self._members[member])
            cost_of(graph)
            return graph
        except CharacterError as error:
            raise CharacterError(f"{member} in {self.path.name} is refused: {error}. {EXPORT_AGAIN}") from error

    def _check_moved_people(self) -> tuple[tuple[Floats, dict[str, Floats]], int]:
        """Of format 2: the shares of people, and how many numbers the portrait generator takes."""
        file, side = self.path.name, self.manifest.frame.width
        check_people(self.manifest, self._members, file=file)
        for person in self.people:
            person.check()
        reader, animator = self.graph("reader.onnx"), self.graph("animator.onnx")
        check_moving(reader, animator, controls=len(self.controls), side=side, file=file)
        latent_dim = 0
        if "portrait.onnx" in self:
            latent_dim = check_portrait(self.graph("portrait.onnx"), side=side, file=file)
        people = len(self.people)
        return (np.eye(people, people + latent_dim, dtype=np.float32), {}), latent_dim

    def _check_drawn_people(self) -> tuple[tuple[Floats, dict[str, Floats]], int]:
        """Of format 1: the latents of people and directions, and how many numbers a latent has."""
        file, generator = self.path.name, self.graph("generator.onnx")
        check_generator(generator, controls=len(self.controls), frame=self.manifest.frame, file=file)
        takes = next(info.shape[1] for info in generator.inputs if info.name == "w")
        table = read_latents(
            self.read("latents.safetensors"), identities=self.manifest.identities, takes=takes, file=file
        )
        return table, int(table[0].shape[1])

    def _check_preview(self) -> None:
        """A still WebP of a size that a frame may have; decoding it is left to whoever needs it."""
        where = f"preview.webp in {self.path.name}"
        size = webp_size(self._members["preview.webp"])
        if size is None:
            raise CharacterError(f"{where} is not a WebP picture, or an animated one. {EXPORT_AGAIN}")
        if max(size) > MAX_SIDE_PX:
            raise CharacterError(f"{where} has {size[0]}x{size[1]} pixels; {MAX_SIDE_PX} are the most on a side.")
