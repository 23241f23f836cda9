"""Shows what the API answered as a small HTML table. Everything is escaped: names are other people's text."""

from __future__ import annotations

import re
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_ROWS = 50
MOST_COLUMNS = 12
_STYLE = (
    "border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:var(--jp-ui-font-size1,13px);"
    "color:var(--jp-ui-font-color1,inherit)"
)
_CELL = (
    "padding:4px 10px;border-bottom:1px solid var(--jp-border-color2,#8884);white-space:nowrap;max-width:24em;"
    "overflow:hidden;text-overflow:ellipsis;"
)
_CAPTION = "text-align:left;caption-side:bottom;padding:4px 10px"
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d[.]\d{3}(?:Z|[+-]\d\d:\d\d)")
_LEFT = _CELL + "text-align:left"
_RIGHT = _CELL + "text-align:right"


def records_html(value: Any) -> str | None:
    """Gives the table of a record, of a list of records, or of a page of them; None for anything else."""
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return _table(value["content"], value.get("totalElements"))
    if isinstance(value, dict):
        return _record(value)
    if isinstance(value, list):
        return _table(value, len(value))
    return None


def _table(rows: Sequence[Any], total: Any) -> str | None:
    if not rows:
        return f"<p style='{_CELL}'>0</p>"
    if not all(isinstance(row, dict) for row in rows):
        return None
    shown = min(len(rows), MOST_ROWS)
    return _rows(rows, f"{shown} / {total}" if total is not None else f"{shown}")


def _rows(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    columns = _columns(rows)
    head = "".join(f"<th scope='col' style='{_align(rows, c)}'>{escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td style='{_align(rows, c)}'>{_value(row.get(c))}</td>" for c in columns) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    said = f"<caption style='{_CAPTION}'>{escape(caption)}</caption>" if caption else ""
    return f"<table style='{_STYLE}'>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _record(record: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th scope='row' style='{_LEFT};vertical-align:top'>{escape(str(key))}</th>"
        f"<td style='{_LEFT};white-space:normal;max-width:none'>{_part(record[key])}</td></tr>"
        for key in _ids_last(record)
    )
    return f"<table style='{_STYLE}'><tbody>{body}</tbody></table>"


def _part(value: Any) -> str:
    """A part of a record: line items as a table of their own, anything else in one line."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _rows(value)
    return _value(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns in the order of the data; ids last, since people look for names and amounts."""
    return _ids_last(dict.fromkeys(str(key) for row in rows[:MOST_ROWS] for key in row))[:MOST_COLUMNS]


def _ids_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: name == "id" or name.endswith("Id"))


def _align(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    first = next((row[column] for row in rows if row.get(column) is not None), None)
    return _RIGHT if isinstance(first, Decimal) else _LEFT


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(k))}: {_value(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_value(v) for v in value)
    return escape(_moment(str(value)))


def _moment(value: str) -> str:
    """Shortens a timestamp for the eye: its own day, and the time where it is not midnight. Nothing is converted."""
    match = _TIMESTAMP.fullmatch(value)
    return value if match is None else match[1] if match[2] == "00:00" else f"{match[1]} {match[2]}"
