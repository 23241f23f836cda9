"""One name for each customer and article, whatever it was called before."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import narwhals as nw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lexoffice_nb.books.reports.frames import Frames, Lazy, Row

Key = tuple[str | None, str]
SHARE = Decimal("0.0001")


def contact_names(frames: Frames) -> Lazy:
    """What the newest names of contacts are made of."""
    return frames.contacts.select("id", "company", "first_name", "last_name")


def of_contacts(rows: Iterable[Row]) -> dict[str, str]:
    """Newest name by id: a company's, or a person's with the family name first, as in lists."""
    names = {}
    for row in rows:
        person = ", ".join(part for part in (row["last_name"], row["first_name"]) if part)
        if name := row["company"] or person:
            names[row["id"]] = name
    return names


def key(id_: str | None, name: str | None) -> Key:
    """What makes one customer or article: the id; where there is none, as for the collective contact, the name."""
    return (None, name or "") if id_ is None else (id_, "")


def newest(rows: Iterable[Row], id_: str, name: str, known: dict[str, str] | None = None) -> Callable[[Key], str]:
    """A function that names a key: by what is known, else by what it was called in the newest voucher.

    Args:
        rows: Have the id, the name and `last`, the newest day on which it was called so.
        id_: The id's column.
        name: The name's column.
        known: Names by id that are newer than those of any voucher.
    """
    called: dict[Key, tuple[date, str]] = {}
    for row in rows:
        one, that = key(row[id_], row[name]), (row["last"] or date.min, row[name] or "")
        called[one] = max(called.get(one, that), that)

    def named(one: Key) -> str:
        return (known or {}).get(one[0] or "") or called[one][1]

    return named


def largest(rows: list[Row], by: str, top: int | None, then: Sequence[str]) -> list[Row]:
    """The rows with the most, largest first; equal ones in the order of `then`."""
    ordered = sorted(rows, key=lambda row: (-row[by], *(row[name] or "" for name in then)))
    return ordered if top is None else ordered[:top]


def with_shares(rows: list[Row], of: str) -> list[Row]:
    """The rows with `share`, their part of the whole from 0 to 1 with four places; None if the whole is nothing."""
    whole = sum((row[of] for row in rows), Decimal(0))
    return [row | {"share": (row[of] / whole).quantize(SHARE) if whole else None} for row in rows]


def last_day() -> nw.Expr:
    """The newest day of a group."""
    return nw.col("voucher_date").max().alias("last")
