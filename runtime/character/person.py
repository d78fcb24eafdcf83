"""Reference pictures of one person, as stored in a character with moving people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.composite.references import REFERENCES, References, prepare

from .png import read_rgba_png, rgba_png_size

MEMBER: Final = re.compile(rf"people/(0|[1-9][0-9]{{0,2}})-({'|'.join(REFERENCES)})\.png")
READER_PX: Final = 256  # side of the pictures that a reader takes


def members_of_person(row: int) -> tuple[str, ...]:
    """Names of a person's members, in the order of `REFERENCES`."""
    return tuple(f"people/{row}-{name}.png" for name in REFERENCES)


@dataclass(frozen=True)
class Person:
    """A person's pictures, still encoded; small enough to keep for everyone.

    Attributes:
        where: for messages: the file and the row.
        side: of every picture, in pixels.
        pictures: PNG, in the order of `REFERENCES`.
    """

    where: str
    side: int
    pictures: tuple[bytes, ...]

    def check(self) -> None:
        """Check that they are pictures of the right size, without decoding them.

        Raises:
            CharacterError: one is not.
        """
        for name, data in zip(REFERENCES, self.pictures, strict=True):
            size = rgba_png_size(data)
            if size is None:
                raise CharacterError(f"{self.where}: {name} is not an RGBA picture in PNG. Export it again.")
            if size != (self.side, self.side):
                raise CharacterError(
                    f"{self.where}: {name} has {size[0]}x{size[1]} pixels; the character's frames have "
                    f"{self.side}x{self.side}, and so must every picture."
                )

    def read(self) -> References:
        """Decode the pictures.

        Raises:
            CharacterError: one is damaged.
        """
        straight = []
        for name, data in zip(REFERENCES, self.pictures, strict=True):
            try:
                straight.append(read_rgba_png(data))
            except ValueError as error:
                raise CharacterError(
                    f"{self.where}: {name} cannot be read: {plain(str(error), LINE_CHARS)}. Export it again."
                ) from error
        return prepare(np.stack(straight))


def small(references: References) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Input of a reader: uint8 [1, len(REFERENCES), READER_PX, READER_PX, 4], premultiplied, averaged."""
    times = references.size // READER_PX
    blocks = references.pixels.reshape(len(REFERENCES), READER_PX, times, READER_PX, times, 4)
    return np.asarray(blocks.mean((2, 4)) + 0.5, np.uint8)[None]
