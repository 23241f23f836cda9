"""Puts what `reports` computes into a `Report`: titles, columns and definitions in the person's language."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.books import formats
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.books.reports import BUCKETS, collect, days
from lexoffice_nb.texts import has_text, text

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


# Above amounts side by side, where there is no room for words: their order and the definition say that they are days.
_SHORT: Mapping[str, str] = dict(zip(BUCKETS[1:], ("1–30", "31–60", "61–90", "> 90"), strict=True))


def report(
    plan: Plan, what: str, notes: Iterable[str] = (), *, by: str = "", span: str = "", basis: str = ""
) -> Report:
    """Computes a plan and makes a report of it.

    Args:
        plan: what to compute.
        what: the report's name: a key of the texts is `books.report.<what>`, its definition `….says`.
        notes: what a reader must know.
        by: what its rows are, where it can be asked for by several.
        span: the period that it is about, for the title.
        basis: net, gross, accrual or cash, where there is a choice.
    """
    rows = [_row(row, by) for row in collect(plan)]
    names = [by if each == "period" else each for each in plan.columns]
    names = ["finding" if each == "check" else each for each in names if not each.endswith("_id")]  # rows have the ids
    names.sort(key=lambda name: name == "id")
    columns = [Column(name, _kind(name), _label(name)) for name in names]
    by_, basis_ = (text(f"report.column.{each}") if each else "" for each in (by, basis))
    title = " · ".join(each for each in (text(f"books.report.{what}"), by_, span, basis_) if each)
    definition = text(f"books.report.{what}.says")
    return Report(title, columns, rows, total=_total(rows, names), definition=definition, notes=notes)


def _label(name: str) -> str | None:
    return _SHORT.get(name) or (None if has_text(f"report.column.{name}") else name)


def _kind(name: str) -> Kind:
    return _KINDS.get(name, "text")


def _row(row: Mapping[str, Any], by: str) -> dict[str, Any]:
    made = {by if name == "period" else name: value for name, value in row.items()}
    if by in _PERIODS and isinstance(made.get(by), str):
        made[by] = days(made[by])[0]
    if made.get("share") is not None:
        made["share"] *= 100
    if "late" in made:
        made["late"] = text(f"report.column.{made['late']}")
    if "check" in made:
        made["finding"] = text(f"report.finding.{made['check']}")
        made["field"] = text(f"report.field.{made['field']}") if made["field"] else None
    return made


def _total(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any] | None:
    summed = [name for name in names if name in _SUMMED]
    if len(rows) < 2 or not summed:
        return None
    return {name: sum((row[name] for row in rows), 0 if name == "count" else Decimal("0.00")) for name in summed}


def span(asked: str | tuple[date, date]) -> str:
    """Writes a period that `period` has understood, for a title."""
    return "–".join(map(formats.day, asked)) if isinstance(asked, tuple) else str(asked).strip()


def period(asked: str | tuple[date, date]) -> tuple[date, date]:
    """Gives the first and the last day of `2025-03`, `2025-Q1`, `2025`, or of a pair of days.

    Raises:
        ValueError: if it is none of these.
    """
    if isinstance(asked, tuple) and len(asked) == 2 and all(isinstance(each, date) for each in asked):
        return asked
    return days(str(asked))
