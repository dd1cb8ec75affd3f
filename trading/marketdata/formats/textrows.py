"""CSV text as columns of strings, with the line every row came from."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trading.marketdata.bars import BadRow, Int64s, Reason
from trading.marketdata.formats.base import Probe

DELIMITERS = ",;\t|"


@dataclass(slots=True)
class TextRows:
    """Rows of equal width. ``lines`` are 1-based line numbers of the file."""

    header: list[str] | None
    columns: list[list[str]]
    lines: list[int]
    rejected: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def line_array(self) -> Int64s:
        return np.array(self.lines, np.int64)

    def names(self) -> list[str]:
        return self.header or [f"column {i + 1}" for i in range(len(self.columns))]

    def raw(self, i: int) -> Mapping[str, str]:
        return {name: column[i] for name, column in zip(self.names(), self.columns, strict=True)}


def find_delimiter(first_line: str) -> str:
    """The separator that stands most often in the first line; a comma where none does."""
    return max(DELIMITERS, key=first_line.count)


def split_rows(
    probe: Probe, text: str, *, source: str, header: bool | None = None, widths: Sequence[int] | None = None
) -> TextRows:
    """Splits text into rows. ``header`` None finds out; rows of another width than the first are rejected,
    not lost.

    ``widths`` are the numbers of fields that the format may have.
    """
    body = text.replace("\x00", "\ufffd")
    first_line = next((line for line in body.splitlines() if line.strip()), "")
    if not first_line:
        raise probe.error("is empty.")
    reader = csv.reader(body.splitlines(), delimiter=find_delimiter(first_line))
    rows: list[list[str]] = []
    lines: list[int] = []
    rejected: list[BadRow] = []
    names: list[str] | None = None
    width = 0
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if not width:
                width = len(row) - 1 if len(row) > 2 and not row[-1].strip() else len(row)
                if widths is not None and width not in widths:
                    raise probe.error(
                        f"has {width} fields in a row; expected {' or '.join(map(str, widths))}.",
                        line=reader.line_num,
                    )
                if header is None:
                    header = looks_like_header(row[:width])
                if header:
                    names = [cell.strip() for cell in row[:width]]
                    continue
            if len(row) == width + 1 and not row[-1].strip():
                row = row[:width]  # a comma at the end of the line
            if len(row) == width:
                rows.append(row)
                lines.append(reader.line_num)
            else:
                raw = {f"column {i + 1}": cell for i, cell in enumerate(row[:50])}
                why = f"{len(row)} fields, expected {width}"
                rejected.append(BadRow(Reason.FIELD_COUNT, source, reader.line_num, raw, None, why))
    except csv.Error as error:
        raise probe.error(f"cannot be read as CSV ({error}).", line=reader.line_num) from error
    if not width:
        raise probe.error("is empty.")
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
    return TextRows(names, columns, lines, rejected)


def looks_like_header(row: Sequence[str]) -> bool:
    """A header has no number in it; a row of data has several."""
    return sum(_is_number(cell) for cell in row) == 0 and any(any(c.isalpha() for c in cell) for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", ".") or "x")
    except ValueError:
        return False
    return True
