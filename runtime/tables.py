"""Tables as saved by spreadsheets: encodings, separators and decimal marks."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# UTF-32 comes first: its BOM begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS: Final = (",", ";", "\t", "|")
_SEPARATOR_LINE: Final = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)

_PLAIN: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPED: Final = {
    ".": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII),
    ",": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?", re.ASCII),
}
# "1,234" may be 1234 or 1.234; "0,123" and "12,34" are not thousands.
_EITHER: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_MISSING: Final = frozenset(("", "-", "nan", "-nan", "nan(ind)", "-nan(ind)", "null", "none", "n/a", "na", "#n/a"))


class TableError(ValueError):
    """A table cannot be read; the message has no full stop and does not name the file."""


def decode_text(data: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 and UTF-32 as Windows programs write them.

    Raises:
        TableError: the bytes are in none of these encodings.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and len(data) > 1 and 0 in data[:2] and any(data[:2]):
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableError(f"byte {error.start} is not {encoding.removesuffix('-sig').upper()}") from None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells, read row by row.

    Attributes:
        header: column names, stripped; an empty name is an unnamed column.
        separator: between cells.
        text: the whole file.
    """

    header: tuple[str, ...]
    separator: str
    text: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number (from 1) and cells of each row below the header that is not blank.

        A row has at most as many cells as the header unless it really holds more; it may have fewer.

        Raises:
            TableError: a cell is too long or a quotation mark is out of place; with the line.
        """
        lines = _lines(self.text, self.separator)
        next(lines, None)
        width = len(self.header)
        for number, cells in lines:
            if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
                del cells[width:]
            yield number, cells


def open_table(text: str, known: Callable[[str], bool]) -> Table:
    """Find the header and the separator of a table.

    Args:
        text: the whole file.
        known: whether a column name is meaningful; the separator that yields most of these is right.

    Raises:
        TableError: the header cannot be read, or a column appears twice.
    """
    marked = _SEPARATOR_LINE.fullmatch(text[:40].split("\n", 1)[0].split("\r", 1)[0])
    best: tuple[int, int] | None = None
    header: list[str] = []
    separator = ","
    for candidate in (marked[1],) if marked else _SEPARATORS:
        _, cells = next(_lines(text, candidate), (1, [""]))
        cells = [cell.strip() for cell in cells]
        score = (sum(map(known, cells)), len(cells))
        if best is None or score > best:
            best, header, separator = score, cells, candidate
    while header and not header[-1]:
        header.pop()
    named = [column for column in header if column]
    if len(set(named)) != len(named):
        twice = next(column for column in named if named.count(column) > 1)
        raise TableError(f'line 1: the column "{twice[:40]}" appears twice')
    return Table(tuple(header), separator, text)


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not blank, with its line; a `sep=` line is skipped."""
    # The first line of a row; a quoted cell may span several.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begins = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"line {begins}: {error}") from None
        if any(map(str.strip, cells)) and not (begins == 1 and _SEPARATOR_LINE.fullmatch(separator.join(cells))):
            yield begins, cells
        begins = reader.line_num + 1


def decimal_mark(cells: Iterable[tuple[int, str]], separator: str) -> str:
    """The decimal mark of a table's numbers, `.` or `,`.

    Args:
        cells: (line, cell) of everything that should be a number.
        separator: of the table; with `;` between cells a comma is a decimal mark.

    Raises:
        TableError: the numbers contradict each other, or a comma might mean thousands; names the lines.
    """
    sure: dict[str, tuple[int, str]] = {}
    unsure: tuple[int, str] | None = None
    for line, cell in cells:
        if "," not in cell and cell.count(".") < 2:
            if "." in cell and not _EITHER.fullmatch(cell.strip()):
                sure.setdefault(".", (line, cell))
            continue
        text = cell.strip()
        if _EITHER.fullmatch(text):
            unsure = unsure or (line, text)
        elif "," in text and (text.count(",") == 1 and text.rfind(",") > text.rfind(".")):
            sure.setdefault(",", (line, text))
        elif _GROUPED["."].fullmatch(text):
            sure.setdefault(".", (line, text))
        elif _GROUPED[","].fullmatch(text):
            sure.setdefault(",", (line, text))
    if len(sure) > 1:
        (dot_line, dot), (comma_line, comma) = sure["."], sure[","]
        raise TableError(
            f'line {dot_line} has "{dot[:40]}" and line {comma_line} "{comma[:40]}": use one decimal mark throughout'
        )
    if sure:
        return next(iter(sure))
    if unsure and separator != ";":
        raise TableError(
            f'line {unsure[0]}: "{unsure[1]}" may mean thousands or decimals; write it with a decimal point'
        )
    return "," if unsure else "."


def number(cell: str, mark: str = ".") -> float:
    """A cell as a number; NaN if it is empty or marked as missing.

    Args:
        cell: as in the file.
        mark: the decimal mark; the other one may separate thousands.

    Raises:
        ValueError: it is not a number.
    """
    text = cell.strip().replace("\N{MINUS SIGN}", "-")
    if text.lower() in _MISSING:
        return math.nan
    if _GROUPED[mark].fullmatch(text):
        text = text.replace("," if mark == "." else ".", "")
    elif mark == "," and "." in text:
        raise ValueError(cell)
    if mark == ",":
        text = text.replace(",", ".")
    if not _PLAIN.fullmatch(text):
        raise ValueError(cell)
    return float(text)


def counted(count: int, thing: str) -> str:
    """A number with its noun: `1 row`, `3 rows`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def shown(names: Sequence[str], most: int = 4) -> str:
    """Some names for a message, the rest as an ellipsis."""
    return ", ".join(name[:40] for name in names[:most]) + (", …" if len(names) > most else "")
