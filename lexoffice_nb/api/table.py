"""Shows what the API answered as a small HTML table. Everything is escaped: names are other people's text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_ROWS = 50
MOST_COLUMNS = 24
MOST_CHARACTERS = 500
LONG = 28
# From so many rows on, what is the same in all of them is said once, below the table.
FEW_ROWS = 3
# What a person looks for last: when the record was made and changed; then ids, of whatever.
_BOOKKEEPING = frozenset({"archived", "createdDate", "language", "updatedDate", "version"})
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d[.]\d{3}(?:Z|[+-]\d\d:\d\d)")
_GROUPS = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")

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
        total = value.get("totalElements")
        return _page(value["content"], total if isinstance(total, Decimal) else None)
    if isinstance(value, dict):
        return _scrolling(_record(value))
    if isinstance(value, list):
        return _page(value, Decimal(len(value)))
    return None


def _page(rows: Sequence[Any], total: Decimal | None) -> str | None:
    if not all(isinstance(row, dict) for row in rows):
        return None
    shown = str(min(len(rows), MOST_ROWS))
    return _scrolling(_rows(rows, shown if total is None else f"{shown} / {total:f}"))


def _scrolling(table: str) -> str:
    return f"<div style='overflow-x:auto;max-width:100%'>{table}</div>"


def _rows(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    shown = rows[:MOST_ROWS]
    columns = _columns(shown)
    same = [column for column in columns if len(shown) >= FEW_ROWS and _is_same(shown, column)]
    caption = escape(caption) + "".join(f" · {_name(c)}: {_value(_at(shown[0], c.path))}" for c in same)
    columns = [column for column in columns if column not in same]
    head = "".join(f"<th scope='col' style='{_HEAD}{column.style}'>{_name(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(_at(row, column.path), column) for column in columns) + "</tr>" for row in shown
    )
    said = f"<caption style='{_CAPTION}'>{caption.removeprefix(' · ')}</caption>" if caption else ""
    return f"<table style='{_TABLE}'>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _name(column: _Column) -> str:
    return ".<wbr>".join(escape(name) for name in column.path)


def _is_same(rows: Sequence[Mapping[str, Any]], column: _Column) -> bool:
    first = _at(rows[0], column.path)
    return isinstance(first, (str, bool)) and all(_at(row, column.path) == first for row in rows)


def _cell(value: Any, column: _Column) -> str:
    shown = _value(value)
    # What does not fit is cut by the style, so the whole of it is shown under the pointer.
    whole = f" title='{escape(value[:MOST_CHARACTERS])}'" if isinstance(value, str) and len(value) > LONG else ""
    return f"<td style='{_LINE}{column.style}'{whole}>{shown}</td>"


def _record(record: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th scope='row' style='{_NAME}'>{escape(key)}</th><td style='{_WHOLE}'>{_part(record[key])}</td></tr>"
        for key in _in_order(record)
    )
    return f"<table style='{_TABLE}'><tbody>{body}</tbody></table>"


def _part(value: Any) -> str:
    """A part of a record: line items, totals and addresses as a table of their own, anything else in one line."""
    if isinstance(value, dict) and len(value) > 1:
        return _rows([value])
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _rows(value, f"{MOST_ROWS} / {len(value)}" if len(value) > MOST_ROWS else "")
    return _value(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    """Columns in the order of the data, but ids last; what is inside a part of a row has columns of its own."""
    paths = _in_order_of_paths(dict.fromkeys(path for row in rows for path in _paths(row)))[:MOST_COLUMNS]
    return [_Column(path, _is_numeric(_at(row, path) for row in rows)) for path in paths]


def _paths(row: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in row.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, (*above, key))
        else:
            yield (*above, key)


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
    return sorted(paths, key=lambda path: _rank(path[-1]))


def _rank(name: str) -> int:
    if name == "id" or name.endswith("Id"):
        return 2
    return 1 if name in _BOOKKEEPING else 0


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dict):
        return ", ".join(f"{escape(key)}: {_value(v)}" for key, v in list(value.items())[:MOST_ROWS])
    if isinstance(value, list):
        return "; ".join(_value(each) for each in value[:MOST_ROWS]) + ("; …" if len(value) > MOST_ROWS else "")
    return escape(_short(_moment(str(value))))


def _number(value: Decimal) -> str:
    """The very digits of the data. Thousands stand apart by style alone, so that what is copied stays a number."""
    whole, point, places = f"{value:f}".partition(".")
    if not point:
        return whole
    first, *others = _GROUPS.split(whole)
    return first + "".join(f"<span style='margin-left:.2em'>{group}</span>" for group in others) + point + places


def _short(value: str) -> str:
    return value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + "…"


def _moment(value: str) -> str:
    """Shortens a timestamp for the eye: its own day, and the time where it is not midnight. Nothing is converted."""
    match = _TIMESTAMP.fullmatch(value)
    return value if match is None else match[1] if match[2] == "00:00" else f"{match[1]} {match[2]}"
