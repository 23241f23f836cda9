"""Puts what `reports` computes into a `Report`: titles, columns and definitions in the person's language."""

from __future__ import annotations

import operator
import re
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api.berlin import BERLIN
from lexoffice_nb.books import formats
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.books.reports import BUCKETS, collect, days
from lexoffice_nb.books.reports.periods import label
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import from_server, has_text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lexoffice_nb.books.report import Kind
    from lexoffice_nb.books.reports import Plan

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("revenue", "net", "tax", "total", "credits", "amount", *BUCKETS), "money"),
    **dict.fromkeys(("share", "tax_rate"), "percent"),
    "count": "count",
    "month": "month",
    "quarter": "quarter",
    "year": "year",
}
# What is added up in the last row.
_SUMMED = frozenset({"revenue", "net", "tax", "total", "credits", "amount", "count", *BUCKETS})
_PERIODS = ("month", "quarter", "year")
# Where most of the amounts are nothing.
_DASHED = frozenset({*BUCKETS, "total", "credits"})
_GERMAN_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_FIRST_YEAR = 1900
_MONTHS_OF_A_QUARTER = 3

# Above amounts side by side, where there is no room for words: their order and the definition say that they are days.
_SHORT: Mapping[str, str] = dict(zip(BUCKETS[1:], ("1–30", "31–60", "61–90", "> 90"), strict=True))


def report(
    plan: Plan,
    what: str,
    notes: Iterable[str] = (),
    *,
    by: str = "",
    span: str = "",
    basis: str = "",
    empty: str = "",
) -> Report:
    """Computes a plan and makes a report of it.

    Args:
        plan: what to compute.
        what: the report's name: a key of the texts is `books.report.<what>`, its definition `….says`.
        notes: what a reader must know.
        by: what its rows are, where it can be asked for by several.
        span: the period or the day that it is about, for the title.
        basis: net, gross, accrual or cash, where there is a choice.
        empty: what it says where it has no rows.
    """
    rows = _told_apart([_row(row, by) for row in collect(plan)])
    names = [by if each == "period" else each for each in plan.columns]
    names = ["finding" if each == "check" else each for each in names if not each.endswith("_id")]  # rows have the ids
    names.sort(key=lambda name: name == "id")
    columns = [Column(name, _kind(name), _label(name), early=name == "total", dashed=name in _DASHED) for name in names]
    by_, basis_ = (text(f"report.column.{each}") if each else "" for each in (by, basis))
    title = " · ".join(each for each in (text(f"books.report.{what}"), by_, span, basis_) if each)
    definition = text(f"books.report.{what}.says")
    return Report(title, columns, rows, total=_total(rows, names), definition=definition, notes=notes, empty=empty)


def _label(name: str) -> str | None:
    return _SHORT.get(name) or (None if has_text(f"report.column.{name}") else name)


def _kind(name: str) -> Kind:
    return _KINDS.get(name, "text")


def _row(row: Mapping[str, Any], by: str) -> dict[str, Any]:
    made = {by if name == "period" else name: value for name, value in row.items()}
    if by in _PERIODS and isinstance(made.get(by), str):
        made[by] = days(made[by])[0]
    if made.get("share") is not None:
        made["share"] = (made["share"] * 100).quantize(Decimal("0.01"))  # of four places: nothing is rounded
    if "late" in made:
        made["late"] = text(f"report.column.{made['late']}")
    if "check" in made:
        made["finding"] = text(f"report.finding.{made['check']}")
        made["field"] = text(f"report.field.{made['field']}") if made["field"] else None
    return made


def _told_apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Says of articles of one name which is only a line that somebody wrote, and which of them has which id."""
    named = Counter(row.get("article") for row in rows)
    with_id = Counter(row.get("article") for row in rows if row.get("article_id"))
    for row in rows:
        name = row.get("article")
        if name is None or named[name] == 1:
            continue
        if row["article_id"] is None:
            row["article"] = text("report.free_line", name=name)
        elif with_id[name] > 1:
            row["article"] = f"{name} ({row['article_id'][:8]})"
    return rows


def _total(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any] | None:
    summed = [name for name in names if name in _SUMMED]
    if len(rows) < 2 or not summed:
        return None
    return {name: sum((row[name] for row in rows), 0 if name == "count" else Decimal("0.00")) for name in summed}


def day(name: str, asked: object) -> date:
    """Gives the day that somebody named: a date, a moment (its day in Berlin), `2026-06-30` or `30.06.2026`.

    Args:
        name: what the argument is called, for the error.
        asked: what was given.

    Raises:
        BooksError: `books_day` if it is none.
    """
    try:
        found = _day(asked)
    except ValueError:  # 31.02.2026
        found = None
    if found is None or not found.year >= _FIRST_YEAR:  # the year of pandas' NaT is no number
        raise BooksError("books_day", name=name, value=_repr(asked))
    return found


def _repr(asked: object) -> str:
    return from_server(repr(asked) if isinstance(asked, str) else asked, 40)


def _day(asked: object) -> date | None:
    if isinstance(asked, datetime):
        return (asked.astimezone(BERLIN) if asked.tzinfo else asked).date()
    if isinstance(asked, str):
        written = asked.strip()
        german = _GERMAN_DAY.fullmatch(written)
        return date(*map(int, reversed(german.groups()))) if german else date.fromisoformat(written)
    return asked if isinstance(asked, date) else None


def period(asked: object) -> tuple[date, date]:
    """Gives the first and the last day of `2025-03`, `2025-Q1`, `2025`, or of a pair of days, each as `day` takes it.

    Raises:
        ValueError: if it is none of these.
        BooksError: as `pair`.
    """
    return pair(asked) if isinstance(asked, (tuple, list)) else days(str(asked).strip())


def pair(asked: object) -> tuple[date, date]:
    """Gives the first and the last day of a pair, each as `day` takes it.

    Raises:
        BooksError: `books_period` if it is none, `books_day`; `books_order` if the last day is before the first.
    """
    if not isinstance(asked, (tuple, list)) or len(asked) != 2:
        raise BooksError("books_period", period=from_server(asked, 40))
    first, last = (day("period", each) for each in asked)
    if last < first:
        raise BooksError("books_order", first=formats.day(first), last=formats.day(last))
    return first, last


def span(asked: object) -> str:
    """Writes a period that `period` understands, for a title."""
    first, last = period(asked)
    if isinstance(asked, (tuple, list)):
        return f"{formats.day(first)}–{formats.day(last)}"
    months = last.month - first.month + 1
    by = {1: "month", _MONTHS_OF_A_QUARTER: "quarter"}.get(months, "year")
    return label(first.year, first.month, by)


def in_python(asked: object) -> str:
    """Writes such a period as one would in Python."""
    if isinstance(asked, (tuple, list)):
        return "({})".format(", ".join(f'"{each}"' for each in period(asked)))
    return f'"{span(asked)}"'


def most(top: object) -> int | None:
    """Gives how many rows somebody wants; None for all.

    Raises:
        BooksError: `books_top` if it is no number from 1 on.
    """
    if top is None:
        return None
    try:
        number = 0 if isinstance(top, bool) else operator.index(top)  # type: ignore[arg-type]  # it says so itself
    except TypeError:
        number = 0
    if number < 1:
        raise BooksError("books_top", value=_repr(top))
    return int(number)
