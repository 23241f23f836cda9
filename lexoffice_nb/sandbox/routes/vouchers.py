"""Bookkeeping vouchers: search by number, create, change, attach files."""

from __future__ import annotations

import html
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes, totals
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_found, not_valid
from lexoffice_nb.sandbox.routes.contacts import contact_name
from lexoffice_nb.sandbox.routes.credit import cents
from lexoffice_nb.sandbox.routes.reading import shown
from lexoffice_nb.sandbox.validation import (
    check,
    choice,
    flag,
    identifier,
    many,
    moment,
    needed,
    number,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lexoffice_nb.sandbox.calls import Call

_TYPES = ("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote")
_COLLECTIVE = {"sales": "Sammelkunde", "purchase": "Sammellieferant"}
_RULES = record(
    {
        "type": needed(choice(*_TYPES)),
        "voucherStatus": choice("open", "unchecked"),
        "voucherNumber": text(70),
        "voucherDate": moment(plain_days=True),
        "shippingDate": moment(plain_days=True),
        "dueDate": moment(plain_days=True),
        "totalGrossAmount": number(0, 10**11),
        "totalTaxAmount": number(0, 10**11),
        "taxType": choice("net", "gross"),
        "useCollectiveContact": flag(),
        "contactName": text(),
        "contactId": identifier(),
        "remark": text(2000),
        "voucherItems": many(
            record(
                {
                    "amount": needed(number(0, 10**11)),
                    "taxAmount": needed(number(0, 10**11)),
                    "taxRatePercent": needed(number(0, 100)),
                    "categoryId": needed(identifier()),
                }
            ),
            300,
        ),
        "files": many(identifier(), 50),
        "version": whole(),
    }
)


def search(call: Call) -> dict[str, Any]:
    """`GET /v1/vouchers?voucherNumber=`, which has to be there."""
    wanted = call.arguments.get("voucherNumber")
    if not wanted:
        raise ApiProblem(400, "voucherNumber parameter is required")
    found = [each for each in call.books.listed("vouchers") if _escaped_number(each) == wanted]
    page = paging.cut_page(found, call.arguments, None, True)
    page["content"] = [shown(each) for each in page["content"]]
    return page


def _escaped_number(voucher: dict[str, Any]) -> str:
    return html.escape(voucher.get("voucherNumber") or "", quote=False)


def create(call: Call) -> Reply:
    """`POST /v1/vouchers`."""
    body = _checked(call)
    if body["version"] not in (0, 1):
        raise not_valid(Issue("version", "NOTNULL" if body["version"] is None else "VALUE"))
    now = shapes.timestamp(call.now)
    document = new_voucher(call, now) | body | {"version": 1}
    keep(call, document)
    return action(call, 201, "vouchers", document["id"], created=now, updated=now, version=1)


def change(call: Call) -> Reply:
    """`PUT /v1/vouchers/{id}`; a stale version is 409. Without `files` the voucher has none afterwards."""
    before = _found(call)
    body = _checked(call)
    if body["version"] is None:
        raise not_valid(Issue("version", "NOTNULL"))
    if body["version"] != before["version"]:
        raise ApiProblem(409, "invalid_value", "version")
    if body["type"] != before["type"]:
        raise not_valid(Issue("type"))
    if body["voucherStatus"] == "unchecked":
        raise not_valid(Issue("voucherStatus"))
    for gone in {*(before.get("files") or ())} - {*(body["files"] or ())}:
        call.books.drop_upload(gone)
    version, now = before["version"] + 1, shapes.timestamp(call.now)
    if before["voucherStatus"] not in ("open", "unchecked", "blank"):
        body["voucherStatus"] = before["voucherStatus"]  # what payments have made of it no program can change
    keep(call, {**before, **body, "updatedDate": now, "version": version})
    created = before["createdDate"]
    return action(call, 200, "vouchers", before["id"], created=created, updated=now, version=version)


def new_voucher(call: Call, now: str) -> dict[str, Any]:
    """What every new voucher has."""
    return {
        "id": str(uuid.uuid4()),
        "organizationId": call.books.ledger.organisation_id,
        "createdDate": now,
        "updatedDate": now,
        "files": [],
    }


def keep(call: Call, document: dict[str, Any]) -> None:
    """Write a voucher, its row in the list and what is owed by it; what was paid before stays paid."""
    contact = _contact(call, document)
    collective = _COLLECTIVE["sales" if document["type"].startswith("sales") else "purchase"]
    total, status = document.get("totalGrossAmount"), document["voucherStatus"]
    try:
        before = call.books.rows.get(document["id"])
    except KeyError:
        before = {}
    paid = cents(before.get("totalAmount")) - cents(before.get("openAmount")) if before.get("openAmount") else 0
    owed = shapes.Exact(max(0, cents(total) - paid)) if status == "open" else before.get("openAmount")
    call.books.keep("vouchers", document)
    row = {
        "id": document["id"],
        "voucherType": document["type"],
        "voucherStatus": status,
        "voucherNumber": document.get("voucherNumber") or "",
        "voucherDate": document.get("voucherDate") or shapes.midnight(call.now.date()),
        **{name: document.get(name) for name in ("createdDate", "updatedDate", "dueDate", "contactId")},
        "contactName": contact_name(contact) if contact else document.get("contactName") or collective,
        "totalAmount": total,
        "openAmount": owed,
        "currency": "EUR",
        "archived": before.get("archived", False),
    }
    call.books.keep_row(row)
    if status == "open":
        call.books.keep("payments", _payments(call, row), document["id"])


def _payments(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    try:
        before = call.books.find("payments", row["id"], call.now.date()) or {}
    except ApiProblem:  # it was not booked before, and has none
        before = {}
    income = row["voucherType"] in ("salesinvoice", "salescreditnote")
    return {
        "openAmount": row["openAmount"],
        "currency": "EUR",
        "paymentStatus": "openRevenue" if income else "openExpense",
        "voucherType": row["voucherType"],
        "voucherStatus": row["voucherStatus"],
        "paymentItems": before.get("paymentItems") or [],
    }


def found_voucher(call: Call) -> dict[str, Any]:
    """The voucher that the path names."""
    return _found(call)


def _found(call: Call) -> dict[str, Any]:
    found = call.books.find("vouchers", call.id, call.now.date())
    if found is None:
        raise not_found("Voucher", call.id)
    return found


def _contact(call: Call, document: dict[str, Any]) -> dict[str, Any] | None:
    key = document.get("contactId")
    return call.books.find("contacts", key, call.now.date()) if key else None


def _checked(call: Call) -> dict[str, Any]:
    body = check(_RULES, call.json())
    body["voucherStatus"] = body["voucherStatus"] or "open"
    if issues := list(_disagreements(call, body)):
        raise not_valid(*issues)
    body["files"] = body["files"] or []
    body["useCollectiveContact"] = bool(body["useCollectiveContact"])
    body["voucherItems"] = [
        {
            "amount": _money(each["amount"]),
            "taxAmount": _money(each["taxAmount"]),
            "taxRatePercent": totals.plain(each["taxRatePercent"]),
            "categoryId": each["categoryId"],
        }
        for each in body["voucherItems"] or ()
    ]
    for name in ("totalGrossAmount", "totalTaxAmount"):
        body[name] = None if body[name] is None else _money(body[name])
    return body


def _money(amount: Decimal) -> shapes.Exact:
    return shapes.Exact(int(amount * 100))


def _disagreements(call: Call, body: dict[str, Any]) -> Iterator[Issue]:
    if body["contactId"]:
        if body["useCollectiveContact"]:
            yield Issue("useCollectiveContact", key="collective_customer_not_applicable")
        contact = _contact(call, body)
        if contact is None:
            yield Issue("contactId")
        elif body["contactName"] not in (None, contact_name(contact)):
            yield Issue("contactName", key="custom_contact_name_for_referenced_contact_not_allowed")
    for key in body["files"] or ():
        if call.books.find_upload(key) is None:
            yield Issue("files")
    if body["voucherStatus"] == "unchecked":
        if body["taxType"] == "net":
            yield Issue("taxType")
        return
    for name in ("voucherNumber", "voucherDate", "totalGrossAmount", "totalTaxAmount", "taxType", "voucherItems"):
        if body[name] in (None, "", []):
            yield Issue(name, "NOTNULL")
    if not body["contactId"] and not body["useCollectiveContact"]:
        yield Issue("contactId", "NOTNULL")
    if body["taxType"] and body["voucherItems"]:
        tax = sum((each["taxAmount"] for each in body["voucherItems"]), Decimal(0))
        total = sum((each["amount"] for each in body["voucherItems"]), Decimal(0))
        if body["totalTaxAmount"] is not None and tax != body["totalTaxAmount"]:
            yield Issue("totalTaxAmount")
        if body["totalGrossAmount"] is not None and body["totalGrossAmount"] != total + (
            tax if body["taxType"] == "net" else 0
        ):
            yield Issue("totalGrossAmount")
