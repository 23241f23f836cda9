"""What may be asked of `GET /v1/voucherlist`."""

from __future__ import annotations

import html
import uuid
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox import paging
from lexoffice_nb.sandbox.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

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
SORTS = ("voucherdate", "vouchernumber", "createddate", "updateddate")
# The ranges of days, and the column of `VoucherRows` that each looks at.
RANGES = {"voucherDate": "day", "createdDate": "created", "updatedDate": "updated"}


@dataclass(frozen=True)
class Query:
    """A query that was looked through.

    Attributes:
        types: Kinds asked for; None for `any`, which finds kinds too that nobody can ask for by name.
        statuses: Statuses asked for; None for `any`. "overdue" comes alone.
        ranges: First and last day by name (`voucherDate`, `createdDate`, `updatedDate`), both inclusive, in Berlin.
        contact: A contact's id.
        number: A voucher's number as it is, no longer escaped.
        archived: Whether archived.
        property: What to sort by, in lower case.
        ascending: Which way.
        page: Counted from 0.
        size: At most 250.
    """

    types: frozenset[str] | None
    statuses: frozenset[str] | None
    ranges: Mapping[str, tuple[date | None, date | None]]
    contact: str | None
    number: str | None
    archived: bool | None
    property: str
    ascending: bool
    page: int
    size: int

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Query:
        """Look through a query; `voucherType` and `voucherStatus` are mandatory.

        Raises:
            ApiProblem: 400, in the vendor's words.
        """
        types, statuses = _choice("voucherType", arguments, TYPES), _choice("voucherStatus", arguments, STATUSES)
        if statuses is not None and "overdue" in statuses and len(statuses) > 1:
            raise paging.invalid("voucherStatus", arguments["voucherStatus"])
        archived = arguments.get("archived")
        if archived not in (None, "true", "false"):
            raise paging.invalid("archived", archived or "")
        property_, ascending = _sort(arguments)
        return cls(
            types=types,
            statuses=statuses,
            ranges={name: (_day(f"{name}From", arguments), _day(f"{name}To", arguments)) for name in RANGES},
            contact=_uuid("contactId", arguments),
            number=_number(arguments),
            archived=None if archived is None else archived == "true",
            property=property_,
            ascending=ascending,
            page=paging.page_number(arguments),
            size=paging.page_size(arguments),
        )


def _choice(name: str, arguments: Mapping[str, str], values: frozenset[str]) -> frozenset[str] | None:
    sent = arguments.get(name)
    if not sent:
        raise ApiProblem(400, f"Required request parameter '{name}' is not present")
    chosen = frozenset(sent.split(","))
    if chosen == {"any"}:
        return None
    if not chosen <= values:
        raise paging.invalid(name, sent)
    return chosen


def _day(name: str, arguments: Mapping[str, str]) -> date | None:
    value = arguments.get(name)
    try:
        if value is not None and len(value) != len("2025-03-01"):
            raise ValueError
        return None if value is None else date.fromisoformat(value)
    except ValueError:
        raise paging.invalid(name, value or "") from None


def _uuid(name: str, arguments: Mapping[str, str]) -> str | None:
    value = arguments.get(name)
    try:
        return None if value is None else str(uuid.UUID(value))
    except ValueError:
        raise paging.invalid(name, value or "") from None


def _number(arguments: Mapping[str, str]) -> str | None:
    sent = arguments.get("voucherNumber")
    if sent is None:
        return None
    number = html.unescape(sent)
    # What was sent without the escaping that the vendor wants finds nothing.
    return number if html.escape(number, quote=False) == sent else ""


def _sort(arguments: Mapping[str, str]) -> tuple[str, bool]:
    sent = arguments.get("sort", "voucherDate,DESC")
    property_, _, direction = sent.partition(",")
    if property_.lower() not in SORTS or direction.upper() not in ("", "ASC", "DESC"):
        raise paging.invalid("sort", sent)
    return property_.lower(), direction.upper() != "DESC"
