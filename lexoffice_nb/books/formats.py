"""How figures and days are written for people: 1.234,56 € or 1,234.56 €, Mär 2025 or Mar 2025. Exact, and pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lexoffice_nb.api import berlin
from lexoffice_nb.texts import text

# Between a number and its unit, which belong on one line.
NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
# Columns of figures stand to the right, and are never text in an export.
FIGURES = frozenset({"money", "count", "percent", "number"})
PERIODS = frozenset({"month", "quarter", "year"})
KINDS = FIGURES | PERIODS | {"date", "text"}
_CENTS = 2
_SYMBOLS = {"EUR": "€"}
_CURRENCY = re.compile("[A-Z]{3}")
_MARKS = {True: "✓", False: "✗"}
NOTHING = "–"


def shown(value: Any, kind: str = "text", currency: str | None = None, language: str | None = None) -> str:
    """Writes one value for the eye.

    Args:
        value: a Decimal, an int, a float of SQL's own, a date, text, None; anything else as Python writes it.
        kind: money, count, number, percent (19 is 19 %), date, month, quarter, year or text.
        currency: of money, such as EUR; None leaves it away.
        language: en or de; None for the person's.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return _MARKS[value]
    if kind in FIGURES and (number := exact(value)) is not None:
        return _figure(number, kind, currency, language)
    if kind in PERIODS and isinstance(value, (date, int)):
        return period(value, kind, language)
    if isinstance(value, datetime):
        local = value if value.tzinfo is None else berlin.here(value)
        return local.strftime(text("date_and_time" if (local.hour, local.minute) != (0, 0) else "date", language))
    if isinstance(value, date):
        return day(value, language)
    return _in_cents(value, language) if isinstance(value, Decimal) else str(value)


def exact(value: Any) -> Decimal | None:
    """Gives a number with the digits that it is written with; None for what is none, and for what has no end."""
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, float)):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def _figure(value: Decimal, kind: str, currency: str | None, language: str | None) -> str:
    if kind == "money":
        return decimal(value, language, _CENTS) + (NO_BREAK + symbol(currency) if currency else "")
    if kind == "percent":
        return f"{_in_cents(value, language)}{NO_BREAK}%"
    return _in_cents(value, language)


def _in_cents(value: Decimal, language: str | None) -> str:
    """Keeps the two places of what has two, as DECIMAL(18,2) of SQL has: 119.70 beside 119.75."""
    return decimal(value, language, _CENTS if value.as_tuple().exponent == -_CENTS else 0)


def decimal(value: Decimal, language: str | None = None, places: int = 0) -> str:
    """Writes a number with its very digits, the thousands in groups, and at least so many decimal places."""
    if not value.is_finite():
        return str(value)
    whole, _, fraction = f"{abs(value):f}".partition(".")
    fraction = fraction.rstrip("0").ljust(places, "0")
    written = text("report.number", language)  # as 1,234.5 is written
    comma, point = written[1], written[-2]
    number = f"{int(whole):,}".replace(",", comma) + (point + fraction if fraction else "")
    return MINUS + number if value < 0 else number


def symbol(currency: str | None) -> str:
    """Gives the sign of a currency, or its code; nothing for what is none."""
    if not currency or not _CURRENCY.fullmatch(currency):
        return ""
    return _SYMBOLS.get(currency, currency)


def day(value: date, language: str | None = None) -> str:
    """Writes a day: 03.05.2025 or 03 May 2025. The machine's locale has no say in it."""
    return _with_month(text("date", language), value, language)


def period(value: date | int, kind: str, language: str | None = None) -> str:
    """Writes a month, a quarter or a year, given by any of its days; a year by its number as well."""
    if isinstance(value, int):
        return str(value)
    if kind == "month":
        return f"{month_name(value.month, language)} {value.year}"
    return f"Q{(value.month + 2) // 3} {value.year}" if kind == "quarter" else str(value.year)


def month_name(month: int, language: str | None = None) -> str:
    """Gives the short name of a month, counted from 1."""
    return text("report.months", language).split()[month - 1]


def _with_month(form: str, value: date, language: str | None) -> str:
    # %b would be the machine's language, which may be another one.
    return value.strftime(form.replace("%b", month_name(value.month, language)))
