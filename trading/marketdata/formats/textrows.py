"""CSV text as columns of strings, with the line every row came from."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from trading.marketdata.bars import BadRow, Int64s, Reason
from trading.marketdata.formats.base import Probe
from trading.marketdata.texts import Texts

DELIMITERS = ",;\t|"


@dataclass(slots=True)
class TextRows:
    """Rows of equal width. ``lines`` are 1-based line numbers of the file."""

    header: list[str] | None
    columns: Sequence[Sequence[str]]
    lines: Sequence[int]
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
    body = text.replace("\x00", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    first_line = next((line for line in body.split("\n") if line.strip()), "")
    if not first_line:
        raise probe.error("is empty.")
    regular = _split_regular(body, first_line, header=header, widths=widths)
    if regular is not None:
        return regular
    reader = csv.reader(body.split("\n"), delimiter=find_delimiter(first_line))
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


def _split_regular(body: str, first_line: str, *, header: bool | None, widths: Sequence[int] | None) -> TextRows | None:
    """A file without blank lines, quotes, odd line ends or rows of another width, which is nearly every one.

    None sends it down the patient way, which names what is wrong.
    """
    delimiter = find_delimiter(first_line)
    cells = first_line.split(delimiter)
    if '"' in body or not body.startswith(first_line) or not cells[-1].strip():
        return None
    if widths is not None and len(cells) not in widths:
        return None
    names = None
    if looks_like_header(cells) if header is None else header:
        names = [cell.strip() for cell in cells]
    count = body.count("\n") + (not body.endswith("\n")) - (names is not None)
    if count < 1 or len(cells) < 2 or body.isspace():
        return None
    keys = [str(i) for i in range(len(cells))]
    try:
        table = arrow_csv.read_csv(
            BytesIO(body.encode()),
            read_options=arrow_csv.ReadOptions(
                column_names=keys, skip_rows=1 if names else 0, use_threads=False, block_size=64 << 20
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeError):
        return None
    if table.num_rows != count:
        return None
    columns = [Texts(column.combine_chunks()) for column in table.columns]
    start = 2 if names else 1
    return TextRows(names, columns, range(start, start + count))


def looks_like_header(row: Sequence[str]) -> bool:
    """A header has no number in it; a row of data has several."""
    return sum(_is_number(cell) for cell in row) == 0 and any(any(c.isalpha() for c in cell) for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", ".") or "x")
    except ValueError:
        return False
    return True
