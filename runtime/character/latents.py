"""Identities: named, drawn and mixed ones, and transitions between them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain

Floats = npt.NDArray[np.float32]

MAX_SEED: Final = (1 << 63) - 1
_CACHED_SEEDS: Final = 64


class MappingNetwork(Protocol):
    """The mapping network."""

    @property
    def z_dim(self) -> int:
        """Size of z."""

    def __call__(self, z: Floats) -> Floats:
        """Map float32 [1, z_dim] to float32 [1, w_dim]."""


class Latents:
    """The identities of one character.

    Attributes:
        names: named identities, in the order of the file.
        w_dim: size of w.
        directions: name to float32 [w_dim], directions in which every identity can be changed alike.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        identities: Floats,
        directions: Mapping[str, Floats],
        *,
        mapping: MappingNetwork | None = None,
    ) -> None:
        """Store the tables.

        Args:
            rows: name to row of `identities`.
            identities: float32 [k, w_dim].
            directions: name to float32 [w_dim].
            mapping: draws new identities; None if the character has named ones only.
        """
        self._identities: dict[str, Floats] = {name: identities[row] for name, row in rows.items()}
        self._mapping = mapping
        self._drawn: OrderedDict[tuple[int, float], Floats] = OrderedDict()
        self.w_dim = int(identities.shape[1])
        self.directions = dict(directions)

    @property
    def names(self) -> tuple[str, ...]:
        """The named identities; the first one is the default."""
        return tuple(self._identities)

    @property
    def has_mapping(self) -> bool:
        """Whether seeds are accepted."""
        return self._mapping is not None

    def identity(self, key: str | int, *, truncation_psi: float = 1.0) -> Floats:
        """Return the `w` of a name or a seed.

        Args:
            key: the name of an identity, or a seed. Case is ignored where only one name then fits.
            truncation_psi: factor on `z`; below 1 it draws more average people. Named identities stay as saved.

        Returns:
            float32 [w_dim]; read-only.

        Raises:
            CharacterError: the name is unknown, the seed out of range, or the character draws no new identities.
        """
        if isinstance(key, str):
            fitting = [key] if key in self._identities else self._named_alike(key)
            if len(fitting) == 1:
                return self._identities[fitting[0]]
            if not key.isdecimal():
                some = ", ".join(self.names[:12]) + (", …" if len(self.names) > 12 else "")
                raise CharacterError(
                    f'There is no identity "{key[:80]}". Choose one of: {some}; or a whole number as a seed.'
                )
            key = int(key)
        return self._draw(key, truncation_psi)

    def mixture(self, first: Floats, second: Floats, amount: float) -> Floats:
        """Mix `first` with `amount` (0..1) of `second`: a straight line in `w`, where the space is flat enough."""
        mixed: Floats = first + np.float32(amount) * (second - first)
        return mixed

    def warm_up(self) -> None:
        """Load the mapping network before the first seed needs it; may run in its own thread."""
        if self._mapping is not None:
            self._mapping(np.zeros((1, self._mapping.z_dim), np.float32))

    def _named_alike(self, key: str) -> list[str]:
        return [name for name in self._identities if name.casefold() == key.casefold()]

    def _draw(self, seed: int, truncation_psi: float) -> Floats:
        if self._mapping is None:
            raise CharacterError("This character has no mapping network, so it takes names, not seeds.")
        if not 0 <= seed <= MAX_SEED:
            raise CharacterError(f"The seed {seed} is outside 0..{MAX_SEED}. Choose another whole number.")
        drawn = (seed, truncation_psi)
        if drawn in self._drawn:
            self._drawn.move_to_end(drawn)
            return self._drawn[drawn]
        # Philox is counter-based and the same on every machine, so a seed is the same person everywhere.
        noise = np.random.Generator(np.random.Philox(seed))
        z = noise.standard_normal((1, self._mapping.z_dim), np.float32)
        # Truncation by a smaller z, as in Brock 2019 (arXiv:1809.11096), section 3.1. Interpolating w to an average w
        # would pass through people who are half one thing and half another.
        w: Floats = self._mapping(np.float32(truncation_psi) * z)[0].copy()
        self._drawn[drawn] = w
        if len(self._drawn) > _CACHED_SEEDS:
            self._drawn.popitem(last=False)
        return w


class OnnxMapping:
    """`mapping.onnx` on ONNX Runtime, one thread, loaded for the first seed."""

    def __init__(self, model: bytes, *, z_dim: int, w_dim: int, before: int = 0) -> None:
        """Store the settings; nothing is loaded yet.

        Args:
            model: `mapping.onnx`, as returned by `Character.read`.
            z_dim: its input size.
            w_dim: its output size.
            before: number of zeros in front of w: the shares of the people in the file.
        """
        self._model: bytes | None = model
        self._w_dim = w_dim
        self._session: Any = None
        self._lock = threading.Lock()
        self._z_dim = z_dim
        self._before = before

    @property
    def z_dim(self) -> int:
        """Size of z."""
        return self._z_dim

    def __call__(self, z: Floats) -> Floats:
        """Map float32 [1, z_dim] to float32 [1, before + w_dim].

        Raises:
            CharacterError: ONNX Runtime cannot load or run the network.
        """
        try:
            with self._lock:
                if self._session is None:
                    self._session = self._load()
                    self._model = None
            w: Floats = self._session.run(None, {"z": z})[0]
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise CharacterError(
                f"mapping.onnx cannot be run: {plain(str(error), LINE_CHARS)}. Export it again: bunraku-train export"
            ) from error
        if w.dtype != np.float32 or w.shape != (len(z), self._w_dim) or not np.isfinite(w).all():
            raise CharacterError(
                f"mapping.onnx must give finite float32 [{len(z)}, {self._w_dim}], but gives {w.dtype} "
                f"{list(w.shape)}. Export it again: bunraku-train export"
            )
        return np.pad(w, ((0, 0), (self._before, 0))) if self._before else w

    def _load(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])


class IdentityFade:
    """The current identity, on its way to the latest one chosen.

    Eased with a smoothstep, so that a face neither jumps nor starts with a jerk; a new choice starts from wherever
    the face is at that moment.
    """

    def __init__(self, w: Floats, *, duration_s: float = 0.5) -> None:
        self._from: Floats = w.astype(np.float32)
        self._to: Floats = self._from.copy()
        self._now: Floats = self._from.copy()
        self._start_ns = 0
        self._duration_ns = max(1, int(duration_s * 1e9))
        self._done = True

    def go_to(self, w: Floats, now_ns: int) -> None:
        """Choose another identity; float32 [w_dim], copied."""
        if np.array_equal(w, self._to):
            return
        np.copyto(self._from, self.value(now_ns))
        np.copyto(self._to, w)
        self._start_ns = now_ns
        self._done = False

    def value(self, now_ns: int) -> Floats:
        """float32 [w_dim] at this time; owned by the fade and overwritten on the next call."""
        if not self._done:
            x = min(1.0, max(0.0, (now_ns - self._start_ns) / self._duration_ns))
            np.subtract(self._to, self._from, out=self._now)
            self._now *= np.float32(x * x * (3.0 - 2.0 * x))
            self._now += self._from
            if x >= 1.0:
                np.copyto(self._now, self._to)
                self._done = True
        return self._now
