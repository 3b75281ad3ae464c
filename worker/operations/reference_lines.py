"""Reads references from lines, as people, spreadsheets and databases write them.

A line holds one reference. Or the first line is a table's header, and one of its columns holds the references. A line
of several values without such a header is wrong: one of them may be a site or another group, which nobody named.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from tasks.events.data import REFERENCE_SHAPE
from tasks.events.event import is_reference

_BLANK = " \t\r\n\v\f\u00a0\u200b\u202f\u3000\ufeff"  # the last is a byte order mark
_MARK = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"
_ROUND = _BLANK + _DELIMITERS + "\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_UTF_16 = ("\\xff\\xfe", "\\xfe\\xff")  # its byte order marks, as they are shown where UTF-8 is read
_WRONG_MOST = 1000  # further lines are not looked at, for nothing is done any more
_SHOWN = 80
_HEADERS = re.compile(r"(shipment)?groups?(references?)?|ref(erence)?s?")


@dataclass(frozen=True, slots=True)
class Line:
    """What a line holds.

    `where`: words for its place, as in `line 3`. `reference`: the one that it holds. `event`: the JSON that it holds,
    where events may stand. `problem`: why it holds neither. `header`: the header that it is.
    """

    where: str
    reference: str = ""
    event: bytes = b""
    problem: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class _Table:
    column: int
    delimiter: str


def read(lines: Iterable[tuple[str, bytes]], *, events: bool = False) -> Iterator[Line]:
    """Yield what each line holds. Blank lines are passed over, and at most 1,000 wrong ones are told.

    `lines`: pairs of words that say where a line stands, and its bytes in UTF-8. `events`: a line may also hold an
    event in JSON, or an array of them.
    """
    filled = ((where, raw, text) for where, raw in lines if (text := _text(raw)).strip(_ROUND))
    if (first := next(filled, None)) is None:
        return
    where, _, text = first
    if text.startswith(_UTF_16):
        yield Line(where, problem="this is UTF-16, and closer reads UTF-8: convert it with iconv -f UTF-16 -t UTF-8")
        return
    table, is_header = _header(text)
    if is_header:
        yield Line(where, header=_shown(text))
    wrong = 0
    for where, raw, text in filled if is_header else chain([first], filled):
        is_event = events and text.startswith(("{", "["))
        line = Line(where, event=raw.strip().removeprefix(_MARK).strip()) if is_event else _line(where, text, table)
        yield line
        wrong += bool(line.problem)
        if wrong == _WRONG_MOST:
            yield Line(where, problem="so many lines are wrong that those after it were not read")
            return


def one(where: str, reference: str) -> Line:
    """Return the line that holds this reference, or why it is not one."""
    problem = "" if is_reference(reference) else f"{_shown(reference)} is not a reference: it needs {REFERENCE_SHAPE}"
    return Line(where, reference, problem=problem)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").strip(_BLANK)


def _line(where: str, text: str, table: _Table | None) -> Line:
    cells = _cells(text, table.delimiter if table else _delimiter(text))
    named = [cell for cell in (cells[table.column : table.column + 1] if table else cells) if cell]
    if not named:
        return Line(where, problem=f"{_shown(text)} has nothing in the column of the references")
    if len(named) > 1:
        why = "has several values, and no first line names a column `reference`; write one reference on a line"
        return Line(where, problem=f"{_shown(text)} {why}")
    return one(where, named[0])


def _header(text: str) -> tuple[_Table | None, bool]:
    """Return which column of a table holds the references, and whether this line is a header at all."""
    delimiter = _delimiter(text)
    names = [re.sub("[^a-z]", "", cell.lower()) for cell in _cells(text, delimiter)]
    columns = [index for index, name in enumerate(names) if _HEADERS.fullmatch(name)]
    if len(columns) != 1:
        return None, False
    return (_Table(columns[0], delimiter) if len(names) > 1 else None), True


def _delimiter(text: str) -> str:
    return max(_DELIMITERS, key=text.count)


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:  # a value is too long for a table's
        cells = [text]
    return [cell.strip(_ROUND) for cell in cells]


def _shown(text: str) -> str:
    return f'"{text[:_SHOWN]}…"' if len(text) > _SHOWN else f'"{text}"'
