"""`GET /v1/voucherlist`."""

from __future__ import annotations

import html
import uuid
from datetime import date
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes
from lexoffice_nb.sandbox.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.sandbox.ledger import Invoice, Ledger

TYPES = frozenset(
    {
        *("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote", "invoice", "downpaymentinvoice"),
        *("creditnote", "orderconfirmation", "quotation", "deliverynote"),
    }
)
STATUSES = frozenset(
    {
        *("draft", "open", "overdue", "paid", "paidoff", "voided", "transferred", "sepadebit", "accepted", "rejected"),
        *("unchecked", "blank"),
    }
)
# Property as asked for, and what it sorts by. The answer names it in lower case.
_SORTS: dict[str, Callable[[Invoice], Any]] = {
    "voucherdate": lambda invoice: (invoice.day, invoice.number),
    "vouchernumber": lambda invoice: invoice.number,
    "createddate": lambda invoice: (invoice.created, invoice.number),
    "updateddate": lambda invoice: (invoice.updated, invoice.number),
}
_DAYS: dict[str, Callable[[Invoice], date]] = {
    "voucherDate": lambda invoice: invoice.day,
    "createdDate": lambda invoice: invoice.created.date(),
    "updatedDate": lambda invoice: invoice.updated.date(),
}


def list_vouchers(ledger: Ledger, arguments: Mapping[str, str], today: date) -> dict[str, Any]:
    """The rows that fit all filters; `voucherType` and `voucherStatus` are mandatory."""
    types, statuses = _choice("voucherType", arguments, TYPES), _choice("voucherStatus", arguments, STATUSES)
    if "overdue" in statuses and len(statuses) > 1 and statuses != STATUSES:
        raise paging.invalid("voucherStatus", arguments["voucherStatus"])
    tests: list[Callable[[Invoice], bool]] = [
        lambda _: "invoice" in types,
        # An overdue invoice is stored as open: "open" finds both, "overdue" only those.
        lambda invoice: bool({invoice.status, invoice.shown_status(today)} & statuses),
        *_day_tests(arguments),
    ]
    if (archived := arguments.get("archived")) is not None:
        if archived not in ("true", "false"):
            raise paging.invalid("archived", archived)
        tests.append(lambda invoice: invoice.archived == (archived == "true"))
    if (contact := arguments.get("contactId")) is not None:
        wanted = _uuid("contactId", contact)
        tests.append(lambda invoice: invoice.customer is not None and invoice.customer.id == wanted)
    if (number := arguments.get("voucherNumber")) is not None:
        tests.append(lambda invoice: html.escape(invoice.number, quote=False) == number)
    property_, ascending = _sort(arguments)
    found = [invoice for invoice in ledger.invoices if all(test(invoice) for test in tests)]
    found.sort(key=_SORTS[property_], reverse=not ascending)
    page = paging.cut_page(found, arguments, property_, ascending)
    page["content"] = [shapes.voucher_row(invoice, today) for invoice in page["content"]]
    return page


def _choice(name: str, arguments: Mapping[str, str], values: frozenset[str]) -> frozenset[str]:
    sent = arguments.get(name)
    if not sent:
        raise ApiProblem(400, f"Required request parameter '{name}' is not present")
    chosen = frozenset(sent.split(","))
    if chosen == {"any"}:
        return values
    if not chosen <= values:
        raise paging.invalid(name, sent)
    return chosen


def _day_tests(arguments: Mapping[str, str]) -> list[Callable[[Invoice], bool]]:
    tests: list[Callable[[Invoice], bool]] = []
    for name, day_of in _DAYS.items():
        if (since := arguments.get(f"{name}From")) is not None:
            first = _day(f"{name}From", since)
            tests.append(lambda invoice, day_of=day_of, first=first: day_of(invoice) >= first)  # type: ignore[misc]
        if (until := arguments.get(f"{name}To")) is not None:
            last = _day(f"{name}To", until)
            tests.append(lambda invoice, day_of=day_of, last=last: day_of(invoice) <= last)  # type: ignore[misc]
    return tests


def _day(name: str, value: str) -> date:
    try:
        if len(value) != len("2025-03-01"):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise paging.invalid(name, value) from None


def _uuid(name: str, value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise paging.invalid(name, value) from None


def _sort(arguments: Mapping[str, str]) -> tuple[str, bool]:
    sent = arguments.get("sort", "voucherDate,DESC")
    property_, _, direction = sent.partition(",")
    if property_.lower() not in _SORTS or direction.upper() not in ("", "ASC", "DESC"):
        raise paging.invalid("sort", sent)
    return property_.lower(), direction.upper() != "DESC"
