"""Shows what the API answered as a small HTML table. Everything is escaped: names are other people's text."""

from __future__ import annotations

from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    columns = _columns(rows)
    head = "".join(f"<th scope='col' style='{_align(rows, c)}'>{escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td style='{_align(rows, c)}'>{_value(row.get(c))}</td>" for c in columns) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    shown = min(len(rows), MOST_ROWS)
    caption = f"{shown} / {total}" if total is not None else f"{shown}"
    return (
        f"<table style='{_STYLE}'><caption style='text-align:left;caption-side:bottom;padding:4px 10px'>"
        f"{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _record(record: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th scope='row' style='{_LEFT}'>{escape(str(k))}</th><td style='{_LEFT}'>{_value(v)}</td></tr>"
        for k, v in record.items()
    )
    return f"<table style='{_STYLE}'><tbody>{body}</tbody></table>"


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns in the order of the data; ids last, since people look for names and amounts."""
    seen = dict.fromkeys(str(key) for row in rows[:MOST_ROWS] for key in row)
    return sorted(seen, key=lambda key: key == "id" or key.endswith("Id"))[:MOST_COLUMNS]


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
    return escape(str(value))
