"""Shows what the API answered as a small table: HTML, or plain text. All of it is other people's text.

In HTML it is escaped, and isolated from its neighbours, which a mark for the writing direction would turn round.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api import berlin
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_ROWS = 50
MOST_COLUMNS = 24
MOST_MERGED = 10 * MOST_COLUMNS
MOST_CHARACTERS = 500
LONG = 28
# From so many rows on, what is the same in all of them is said once, below the table.
FEW_ROWS = 3
# In a terminal.
MOST_LINES = 10
MOST_WIDTH = 120
# What a person looks for first, in the order of a list of vouchers: its columns are always there, and always here.
_FIRST = ("voucherNumber", "voucherDate", "contactName", "totalAmount", "openAmount", "voucherStatus", "dueDate")
# The same in a list of contacts, whose names are in parts of theirs.
_FIRST_PARTS = (("company", "name"), ("person", "lastName"), ("person", "firstName"))
# What a person looks for last: when the record was made and changed; then ids, of whatever.
_BOOKKEEPING = frozenset({"archived", "createdDate", "language", "updatedDate", "version"})
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d[.]\d{3}(?:Z|[+-]\d\d:\d\d)")
_GROUPS = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")

_MARKS = {True: "✓", False: "✗"}
_QUIET = "color:var(--jp-ui-font-color2,#757575)"
_TABLE = (
    "border-collapse:collapse;margin:0;font-variant-numeric:tabular-nums;font-size:var(--jp-ui-font-size1,13px);"
    "color:var(--jp-ui-font-color1,inherit)"
)
_CELL = "padding:4px 8px;border-bottom:1px solid var(--jp-border-color2,#8884);vertical-align:top;"
_LINE = _CELL + "white-space:nowrap;max-width:16em;overflow:hidden;text-overflow:ellipsis;"
_HEAD = f"{_CELL}font-weight:600;vertical-align:bottom;white-space:normal;overflow-wrap:normal;{_QUIET};"
_NAME = f"{_CELL}font-weight:400;white-space:nowrap;text-align:left;{_QUIET}"
_WHOLE = _CELL + "text-align:left;white-space:normal;overflow-wrap:anywhere"
_CAPTION = f"text-align:left;caption-side:bottom;padding:6px 8px;{_QUIET}"


@dataclass(frozen=True)
class _Column:
    """A column: where its values are in a row, and whether they are numbers."""

    path: tuple[str, ...]
    numbers: bool

    @property
    def style(self) -> str:
        return f"text-align:{'right' if self.numbers else 'left'}"


def records_html(value: Any) -> str | None:
    """Gives the table of a record, of a list of records, or of a page of them; None for anything else."""
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return page_html(value["content"], _total(value))
    if isinstance(value, dict):
        return _scrolling(_record(value))
    if isinstance(value, list):
        return page_html(value, len(value))
    return None


def records_text(value: Any) -> str | None:
    """Gives the same as plain text, with its first rows and what of its columns has room; harmless in a terminal."""
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return page_text(value["content"], _total(value))
    if isinstance(value, dict):
        names = _in_order(value)[:MOST_ROWS]
        return _in_columns(
            [[_plain(name), _plain(value[name], MOST_WIDTH - LONG - 2)] for name in names], [False, False]
        )
    if isinstance(value, list):
        return page_text(value, len(value))
    return None


def page_html(rows: Sequence[Any], total: int | str | None) -> str | None:
    """Gives the table of the first records of a list.

    Args:
        rows: the first records; None is given where they are something else.
        total: how many records the whole list has, or None where that is not known.
    """
    if not all(isinstance(row, dict) for row in rows):
        return None
    shown = str(min(len(rows), MOST_ROWS))
    return _scrolling(_rows(rows, shown if total is None else f"{shown} / {total}"))


def page_text(rows: Sequence[Any], total: int | str | None) -> str | None:
    """Gives the same as plain text, as `records_text` does."""
    if not all(isinstance(row, dict) for row in rows):
        return None
    shown = rows[:MOST_ROWS]
    columns, same = _split(shown)
    rows = shown[:MOST_LINES]
    lines = [[_plain(".".join(column.path)) for column in columns]]
    lines += [[_plain(_at(row, column.path)) for column in columns] for row in rows]
    caption = str(len(rows)) if total is None else f"{len(rows)} / {total}"
    caption += "".join(f" · {_plain('.'.join(c.path))}: {_plain(_at(shown[0], c.path))}" for c in same)
    table = _in_columns(lines, [column.numbers for column in columns])
    return "\n".join(part for part in (table, from_server(caption, MOST_WIDTH)) if part)


def most_telling(names: Iterable[str]) -> list[str]:
    """Puts the names of a record's members in order: what a person looks for first, ids last."""
    return [path[0] for path in _in_order_of_paths((name,) for name in names)]


def _total(page: Mapping[str, Any]) -> str | None:
    total = page.get("totalElements")
    return f"{total:f}" if isinstance(total, Decimal) else None


def _in_columns(lines: Sequence[Sequence[str]], numbers: Sequence[bool]) -> str:
    widths = [max(_width(line[n]) for line in lines) for n in range(len(numbers))] if lines else []
    while len(widths) > 1 and sum(widths) + 2 * (len(widths) - 1) > MOST_WIDTH:
        widths.pop()
    return "\n".join(
        "  ".join(
            _padded(text, width, right) for text, width, right in zip(line, widths, numbers, strict=False)
        ).rstrip()
        for line in lines
    )


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _plain(value: Any, limit: int = LONG) -> str:
    return from_server(_words(value), limit) if value is not None else ""


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _MARKS[value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return ", ".join(f"{_short(key)}: {_words(v)}" for key, v in list(value.items())[:MOST_LINES])
    if isinstance(value, list):
        return "; ".join(_words(each) for each in value[:MOST_LINES])
    return _short(_moment(value))


def _scrolling(table: str) -> str:
    # A name with two dollar signs in it is no formula.
    return f"<div class='mathjax_ignore tex2jax_ignore' style='overflow-x:auto;max-width:100%'>{table}</div>"


def _rows(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    shown = rows[:MOST_ROWS]
    columns, same = _split(shown)
    caption = escape(caption) + "".join(f" · {_name(c)}: {_value(_at(shown[0], c.path))}" for c in same)
    head = "".join(f"<th scope='col' style='{_HEAD}{column.style}'>{_name(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(_at(row, column.path), column) for column in columns) + "</tr>" for row in shown
    )
    said = f"<caption style='{_CAPTION}'>{caption.removeprefix(' · ')}</caption>" if caption else ""
    return f"<table style='{_TABLE}'>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _split(rows: Sequence[Mapping[str, Any]]) -> tuple[list[_Column], list[_Column]]:
    """The columns, and apart from them those whose value is the same in all rows."""
    columns = _columns(rows)
    same = [column for column in columns if len(rows) >= FEW_ROWS and _is_same(rows, column)]
    return [column for column in columns if column not in same], same


def _name(column: _Column) -> str:
    return ".<wbr>".join(_isolated(name) for name in column.path)


def _isolated(text: str) -> str:
    return f"<bdi>{_escaped(_short(text))}</bdi>"


def _escaped(text: str) -> str:
    """Escapes, and replaces halves of characters: JSON can write them, but no notebook could be sent or saved."""
    return escape(text.encode(errors="replace").decode())


def _is_same(rows: Sequence[Mapping[str, Any]], column: _Column) -> bool:
    first = _at(rows[0], column.path)
    if column.path[-1] in _FIRST:
        return False
    return isinstance(first, (str, bool, date)) and all(_at(row, column.path) == first for row in rows)


def _cell(value: Any, column: _Column) -> str:
    shown = _value(value)
    # What does not fit is cut by the style, so the whole of it is shown under the pointer.
    whole = f" title='{_escaped(value[:MOST_CHARACTERS])}'" if isinstance(value, str) and len(value) > LONG else ""
    return f"<td style='{_LINE}{column.style}'{whole}>{shown}</td>"


def _record(record: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th scope='row' style='{_NAME}'>{_isolated(key)}</th><td style='{_WHOLE}'>{_part(record[key])}</td></tr>"
        for key in _in_order(record)[:MOST_MERGED]
    )
    if len(record) > MOST_MERGED:
        body += f"<tr><td colspan='2' style='{_WHOLE}'>… {MOST_MERGED} / {len(record)}</td></tr>"
    return f"<table style='{_TABLE}'><tbody>{body}</tbody></table>"


def _part(value: Any) -> str:
    """A part of a record: line items, totals and addresses as a table of their own, anything else in one line."""
    if isinstance(value, dict) and len(value) > 1:
        return _rows([value])
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _rows(value, f"{MOST_ROWS} / {len(value)}" if len(value) > MOST_ROWS else "")
    return _value(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    """What is looked for first, then the order of the data, ids last; a part of a row has columns of its own."""
    paths = _in_order_of_paths(_merged(rows))[:MOST_COLUMNS]
    return [_Column(path, _is_numeric(_at(row, path) for row in rows)) for path in paths]


def _paths(row: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in row.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, (*above, key))
        else:
            yield (*above, key)


def _merged(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """All columns of all rows, in the order of the fullest row, so that it does not depend on which row is first."""
    merged: list[tuple[str, ...]] = []
    known: set[tuple[str, ...]] = set()
    for paths in sorted((list(_paths(row)) for row in rows), key=len, reverse=True):
        place = 0
        for path in paths:
            if path in known:
                place = merged.index(path) + 1
            elif len(merged) < MOST_MERGED:
                merged.insert(place, path)
                known.add(path)
                place += 1
    return merged


def _at(row: Any, path: Sequence[str]) -> Any:
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    return row


def _is_numeric(values: Iterable[Any]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, Decimal) for value in there)


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=_rank)


def _in_order_of_paths(paths: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    def rank(path: tuple[str, ...]) -> tuple[int, int]:
        name = path[-1]
        if path in _FIRST_PARTS:
            return (-1, len(_FIRST) + _FIRST_PARTS.index(path))
        return (-1, _FIRST.index(name)) if len(path) == 1 and name in _FIRST else (_rank(name), 0)

    return sorted(paths, key=rank)


def _rank(name: str) -> int:
    if name == "id" or name.endswith("Id"):
        return 2
    return 1 if name in _BOOKKEEPING else 0


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _MARKS[value]
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dict):
        return ", ".join(f"{_isolated(key)}: {_value(v)}" for key, v in list(value.items())[:MOST_ROWS])
    if isinstance(value, list):
        return "; ".join(_value(each) for each in value[:MOST_ROWS]) + ("; …" if len(value) > MOST_ROWS else "")
    return _isolated(_short(_moment(value)))


def _number(value: Decimal) -> str:
    """The very digits of the data. Thousands stand apart by style alone, so that what is copied stays a number."""
    whole, point, places = f"{value:f}".partition(".")
    if not point:
        return whole
    first, *others = _GROUPS.split(whole)
    return first + "".join(f"<span style='margin-left:.2em'>{group}</span>" for group in others) + point + places


def _short(value: str) -> str:
    return value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + "…"


def _moment(value: Any) -> str:
    """Shortens a timestamp for the eye: its day, and the time where it is not midnight.

    A datetime is shown in Berlin's time; of what is text still nothing is converted.
    """
    if isinstance(value, date):
        return berlin.shown(value)
    match = _TIMESTAMP.fullmatch(value := str(value))
    return value if match is None else match[1] if match[2] == "00:00" else f"{match[1]} {match[2]}"
