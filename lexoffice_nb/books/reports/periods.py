"""Months, quarters and years: their labels, and the days they have."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date

LENGTHS = ("month", "quarter", "year")
# As people type them, too: 2025-q1 and 2025-3.
_LABEL = re.compile(r"(\d{4})(?:-(?:[Qq]([1-4])|(0?[1-9]|1[0-2])))?", re.ASCII)


def label(year: int, month: int, by: str) -> str:
    """The period in which a month lies: `2025-03`, `2025-Q1` or `2025`."""
    if by == "year":
        return f"{year:04}"
    return f"{year:04}-Q{(month + 2) // 3}" if by == "quarter" else f"{year:04}-{month:02}"


def between(first: tuple[int, int], last: tuple[int, int], by: str) -> list[str]:
    """The labels of all periods from one month (year, month) to another."""
    count = range(12 * first[0] + first[1] - 1, 12 * last[0] + last[1])
    return list(dict.fromkeys(label(each // 12, each % 12 + 1, by) for each in count))


def days(period: str) -> tuple[date, date]:
    """The first and the last day of a period, by its label.

    Raises:
        ValueError: it is no label of a month, a quarter or a year.
    """
    found = _LABEL.fullmatch(period)
    if not found or found[1] == "0000":
        raise ValueError(f"no period: {period!r}; a month is 2025-03, a quarter 2025-Q1, a year 2025")
    year = int(found[1])
    first, last = (1, 12) if found[2] is None else (3 * int(found[2]) - 2, 3 * int(found[2]))
    if found[3]:
        first = last = int(found[3])
    return date(year, first, 1), date(year, last, monthrange(year, last)[1])
