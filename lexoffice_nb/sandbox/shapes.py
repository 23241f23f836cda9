"""The books in the vendor's JSON: field names, timestamps with Berlin's offset, exact money, nothing null."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.books import BERLIN, make_id

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.books import Voucher
    from lexoffice_nb.sandbox.ledger import Ledger
    from lexoffice_nb.sandbox.people import Person

# A voucher type that is in no documentation.
NEW_KIND = "selfbillinginvoice"
_OPENED = datetime(2019, 4, 1, 9, 30, tzinfo=BERLIN)


@dataclass(frozen=True)
class Exact:
    """A decimal number as an integer and a count of places, for JSON without any binary fraction on the way."""

    value: int
    places: int = 2

    def __str__(self) -> str:
        whole, fraction = divmod(abs(self.value), 10**self.places)
        return f"{'-' if self.value < 0 else ''}{whole}.{fraction:0{self.places}}"


def to_json(value: Any) -> str:
    """JSON text; members that are None are left out, as the vendor does."""
    if isinstance(value, Exact):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{to_json(each)}" for name, each in value.items() if each is not None)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(to_json, value)) + "]"
    if isinstance(value, float):
        raise TypeError("no float goes into the vendor's JSON: its numbers are money and counts")
    return json.dumps(value)


def timestamp(moment: datetime) -> str:
    """`2025-03-01T00:00:00.000+01:00`: milliseconds, and the offset that Berlin had then."""
    return moment.astimezone(BERLIN).isoformat(timespec="milliseconds")


def midnight(day: date) -> str:
    """A day as the vendor gives it: its midnight in Berlin."""
    return timestamp(datetime.combine(day, time(), BERLIN))


def profile(ledger: Ledger, person: Person, company_name: str, connection: str) -> dict[str, Any]:
    """`GET /v1/profile`."""
    return {
        "organizationId": ledger.organisation_id,
        "companyName": company_name,
        "created": {
            "userId": person.subject,
            "userName": person.name,
            "userEmail": person.email,
            "date": timestamp(_OPENED),
        },
        "connectionId": connection,
        "businessFeatures": ["INVOICING", "INVOICING_PRO", "BOOKKEEPING"],
        "subscriptionStatus": "active",
        "taxType": "vatfree" if ledger.organisation.small_business else "net",
        "smallBusiness": ledger.organisation.small_business,
    }


def voucher_row(voucher: Voucher) -> dict[str, Any]:
    """A voucher as a row of `GET /v1/voucherlist`, with its stored status."""
    return {
        "id": voucher.id,
        "voucherType": voucher.kind,
        "voucherStatus": voucher.status,
        "voucherNumber": voucher.number,
        "voucherDate": midnight(voucher.day),
        "createdDate": timestamp(voucher.created),
        "updatedDate": timestamp(voucher.updated),
        "dueDate": None if voucher.due is None else midnight(voucher.due),
        "contactId": None if voucher.customer is None else voucher.customer.id,
        "contactName": voucher.customer_name,
        "totalAmount": None if voucher.kind == "deliverynote" else Exact(voucher.gross),
        "openAmount": None if voucher.open is None else Exact(voucher.open),
        "currency": "EUR",
        "archived": voucher.archived,
    }


def row_of_a_new_kind(ledger: Ledger) -> dict[str, Any]:
    """A row as if the vendor had added a voucher type that is not documented: only "any" finds it."""
    model = next(each for each in ledger.invoices if each.status == "paid" and each.customer)
    new = make_id(ledger.organisation.key, ledger.seed, f"{ledger.day}/new kind", 0)
    row = voucher_row(model) | {"id": new, "voucherType": NEW_KIND, "voucherNumber": "SB1001"}
    return row | {"dueDate": None, "openAmount": None}
