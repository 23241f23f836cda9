"""A row of the list of vouchers as its database keeps it, and how it comes from the vendor's shape and goes back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lexoffice_nb.sandbox.books import BERLIN
from lexoffice_nb.sandbox.shapes import Exact, midnight, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

# Stored statuses that become overdue when the due date is past.
OVERDUE_FROM = ("open", "sepadebit")


class Class(NamedTuple):
    """What rows have in common that is one part of every index."""

    type: str
    status: str
    archived: bool


class Stored(NamedTuple):
    """A row as it is kept: days as ordinals, moments in seconds since the epoch, money in cents."""

    id: str
    number_of_class: int
    number: str
    day: int
    created: int
    updated: int
    due: int | None
    contact: str | None
    name: str
    total: int | None
    open: int | None


def class_of(row: Mapping[str, Any]) -> Class:
    """The class of a row in the vendor's shape."""
    return Class(row["voucherType"], row["voucherStatus"], bool(row.get("archived", False)))


def stored(row: Mapping[str, Any], number_of_class: int) -> Stored:
    """A row in the vendor's shape as it is kept.

    Raises:
        KeyError: A field is missing that every row has.
        ValueError: A timestamp or an amount is none.
    """
    due = row.get("dueDate")
    return Stored(
        id=row["id"],
        number_of_class=number_of_class,
        number=row["voucherNumber"],
        day=_moment(row["voucherDate"]).date().toordinal(),
        created=int(_moment(row["createdDate"]).timestamp()),
        updated=int(_moment(row["updatedDate"]).timestamp()),
        due=None if due is None else _moment(due).date().toordinal(),
        contact=row.get("contactId"),
        name=row["contactName"],
        total=_cents(row.get("totalAmount")),
        open=_cents(row.get("openAmount")),
    )


def shown(row: Stored, of: Class, today: date | None) -> dict[str, Any]:
    """A row in the vendor's shape; overdue is computed for a day, or without one the status is the stored one."""
    late = today is not None and of.status in OVERDUE_FROM and row.due is not None and row.due < today.toordinal()
    return {
        "id": row.id,
        "voucherType": of.type,
        "voucherStatus": "overdue" if late else of.status,
        "voucherNumber": row.number,
        "voucherDate": midnight(date.fromordinal(row.day)),
        "createdDate": timestamp(datetime.fromtimestamp(row.created, UTC)),
        "updatedDate": timestamp(datetime.fromtimestamp(row.updated, UTC)),
        "dueDate": None if row.due is None else midnight(date.fromordinal(row.due)),
        "contactId": row.contact,
        "contactName": row.name,
        "totalAmount": None if row.total is None else Exact(row.total),
        "openAmount": None if row.open is None else Exact(row.open),
        "currency": "EUR",
        "archived": of.archived,
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(BERLIN)


def _cents(amount: Exact | int | None) -> int | None:
    if amount is None:
        return None
    if isinstance(amount, int):
        return amount * 100
    if amount.places != 2:
        raise ValueError("money in a list has two places")
    return amount.value
