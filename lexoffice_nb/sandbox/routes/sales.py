"""Writing sales documents: invoices, credit notes, quotations, order confirmations, delivery notes, dunnings."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import shapes, totals
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_found, not_valid
from lexoffice_nb.sandbox.routes.contacts import address_name, contact_name
from lexoffice_nb.sandbox.routes.credit import take_off
from lexoffice_nb.sandbox.routes.papers import check_e_invoice
from lexoffice_nb.sandbox.sales_rules import KINDS, Kind, disagreements, lines
from lexoffice_nb.sandbox.validation import check, flag_argument, uuid_argument

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call
    from lexoffice_nb.sandbox.written import Books

_STREET = ("supplement", "street", "zip", "city", "countryCode")
_WORDS = {path: kind.word for path, kind in KINDS.items()} | {"dunnings": "dunning"}


def create(call: Call) -> Reply:
    """`POST /v1/{kind}`: a draft, or with `finalize=true` an open document."""
    kind = KINDS[call.kind]
    finalize = bool(flag_argument(call.arguments, "finalize")) and not kind.only_draft
    preceding = _preceding(call, kind)
    body = check(kind.rules, call.json())
    if issues := list(disagreements(call.kind, body)):
        raise not_valid(*issues)
    contact = _complete_address(call, body)
    _check_articles(call, body)
    if call.kind == "dunnings" and preceding is not None:
        _check_dunned(body, preceding[1])
    totals.fill_in(body, kind.priced)
    document = _document(call, kind, body, finalize)
    if document.get("electronicDocumentProfile") == "XRechnung":
        check_e_invoice(call, document)
    row = _row(kind, document, contact)
    if preceding is not None:
        _relate(call, document, preceding)
        if call.kind == "credit-notes" and finalize:
            document["voucherStatus"] = row["voucherStatus"] = "paidoff"
            row["openAmount"] = shapes.Exact(0)
            take_off(call.books, preceding[1], document, shapes.timestamp(call.now))
    call.books.keep(call.kind, document)
    if kind.word:
        call.books.keep_row(row)
    if finalize and call.kind in ("invoices", "credit-notes"):
        call.books.keep("payments", _payments(row), document["id"])
    dates = {"created": document["createdDate"], "updated": document["updatedDate"]}
    return action(call, 201, call.kind, document["id"], version=document["version"], **dates)


def not_editable(call: Call) -> Reply:
    """`PUT` of a sales document: there is no such thing."""
    raise ApiProblem(404, f"No endpoint PUT {call.request.path[:100]}.")


def _preceding(call: Call, kind: Kind) -> tuple[str, dict[str, Any]] | None:
    sent = call.arguments.get("precedingSalesVoucherId")
    if sent is None:
        if kind.only_draft:
            raise ApiProblem(400, "Required request parameter 'precedingSalesVoucherId' is not present")
        return None
    key = uuid_argument("precedingSalesVoucherId", sent)
    for path in _WORDS:
        found = call.books.find(path, key, call.now.date())
        if found is None:
            continue
        if path not in kind.follows or (call.kind in ("credit-notes", "dunnings") and _is_draft(found)):
            raise ApiProblem(406, f"A document of this kind cannot follow {path} in state {found['voucherStatus']}.")
        return path, found
    raise not_found("Preceding sales voucher", key)


def _is_draft(document: dict[str, Any]) -> bool:
    return bool(document["voucherStatus"] == "draft")


def _complete_address(call: Call, body: dict[str, Any]) -> dict[str, Any] | None:
    key = body["address"]["contactId"]
    if key is None:
        return None
    contact = call.books.find("contacts", key, call.now.date())
    addresses = (contact or {}).get("addresses") or {}
    if contact is None or len(addresses.get("billing") or ()) != 1:
        raise not_valid(Issue("address.contactId"))
    (billing,) = addresses["billing"]
    street = {name: billing.get(name) for name in _STREET}
    body["address"] = {"contactId": contact["id"], "name": address_name(contact), **street}
    return contact


def _check_articles(call: Call, body: dict[str, Any]) -> None:
    for place, item in lines(body):
        if item["type"] not in ("material", "service"):
            item.pop("id", None)
        elif call.books.find("articles", item["id"], call.now.date()) is None:
            raise not_valid(Issue(f"{place}.id"))


def _check_dunned(body: dict[str, Any], invoice: dict[str, Any]) -> None:
    if body["address"].get("contactId") != invoice["address"].get("contactId"):
        raise not_valid(Issue("address.contactId"))
    if body["taxConditions"]["taxType"] != invoice["taxConditions"]["taxType"]:
        raise not_valid(Issue("taxConditions.taxType"))


def _document(call: Call, kind: Kind, body: dict[str, Any], finalize: bool) -> dict[str, Any]:
    now, xrechnung = shapes.timestamp(call.now), body.get("xRechnung")
    conditions = _payment_conditions(body.get("paymentConditions")) if "paymentConditions" in kind.own else None
    due = None
    if finalize and call.kind == "invoices" and conditions is not None:
        written = datetime.fromisoformat(body["voucherDate"]).date()
        due = shapes.midnight(written + timedelta(conditions["paymentTermDuration"]))
    document = {
        "id": str(uuid.uuid4()),
        "organizationId": call.books.ledger.organisation_id,
        "createdDate": now,
        "updatedDate": now,
        "version": 1,
        "language": body["language"] or "de",
        "archived": False,
        "voucherStatus": "open" if finalize else "draft",
        "voucherNumber": _number(call.books, kind),
        "voucherDate": body["voucherDate"],
        "dueDate": due,
        **{name: body.get(name) for name in ("expirationDate", "address", "xRechnung")},
        "electronicDocumentProfile": None,
        **{name: body.get(name) for name in ("lineItems", "totalPrice", "taxAmounts", "taxConditions")},
        "paymentConditions": conditions,
        **{name: body.get(name) for name in ("shippingConditions", "deliveryTerms", "printLayoutId")},
        "closingInvoice": False if call.kind == "invoices" else None,
        "relatedVouchers": [],
        "title": body["title"] or kind.title,
        **{name: body.get(name) for name in ("introduction", "remark")},
    }
    if call.kind in ("invoices", "credit-notes", "order-confirmations"):
        document["electronicDocumentProfile"] = "XRechnung" if xrechnung else "NONE"
    if not kind.priced:
        document["totalPrice"] = document["taxAmounts"] = None
    return document


def _payment_conditions(sent: dict[str, Any] | None) -> dict[str, Any]:
    sent = sent or {}
    days = sent.get("paymentTermDuration") or 0
    label = "Zahlbar sofort, rein netto" if days == 0 else f"Zahlbar innerhalb von {days} Tagen"
    discount = sent.get("paymentDiscountConditions")
    if discount is not None:
        discount = discount | {"discountPercentage": totals.plain(discount["discountPercentage"])}
    return {
        "paymentTermLabel": sent.get("paymentTermLabel") or label,
        "paymentTermLabelTemplate": sent.get("paymentTermLabel") or label,
        "paymentTermDuration": days,
        "paymentDiscountConditions": discount,
    }


def _number(books: Books, kind: Kind) -> str:
    query = {"voucherStatus": "any", "size": "1"}
    today = datetime.now().astimezone().date()
    if kind.word:
        drawn = books.rows.page(query | {"voucherType": kind.word}, today)["totalElements"]
        books.start_series(kind.series, 1001 + drawn)
    while True:
        found = books.next_number(kind.series)
        number = f"{kind.series}{found:04}"
        if not books.rows.page(query | {"voucherType": "any", "voucherNumber": number}, today)["totalElements"]:
            return number
        books.start_series(kind.series, found * 2)


def _row(kind: Kind, document: dict[str, Any], contact: dict[str, Any] | None) -> dict[str, Any]:
    total = document["totalPrice"]["totalGrossAmount"] if kind.priced else None
    owed = kind.word in ("invoice", "creditnote") and document["voucherStatus"] != "draft"
    return {
        "id": document["id"],
        "voucherType": kind.word,
        **{name: document[name] for name in ("voucherStatus", "voucherNumber", "voucherDate")},
        **{name: document[name] for name in ("createdDate", "updatedDate", "dueDate")},
        "contactId": None if contact is None else contact["id"],
        "contactName": contact_name(contact) if contact else document["address"]["name"],
        "totalAmount": total,
        "openAmount": total if owed else None,
        "currency": "EUR",
        "archived": False,
    }


def _relate(call: Call, document: dict[str, Any], preceding: tuple[str, dict[str, Any]]) -> None:
    path, before = preceding
    before["relatedVouchers"] = [*(before.get("relatedVouchers") or ()), _related(call.kind, document)]
    before["updatedDate"] = document["updatedDate"]
    before["version"] += 1
    document["relatedVouchers"] = [_related(path, before)]
    call.books.keep(path, before)
    try:
        row = call.books.rows.get(before["id"])
    except KeyError:  # dunnings are in no list
        return
    call.books.keep_row(row | {"updatedDate": document["updatedDate"]})


def _related(path: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"id": document["id"], "voucherNumber": document["voucherNumber"], "voucherType": _WORDS[path]}


def _payments(row: dict[str, Any]) -> dict[str, Any]:
    paid = row["voucherStatus"] == "paidoff"
    return {
        "openAmount": row["openAmount"],
        "currency": "EUR",
        "paymentStatus": "balanced" if paid else "openRevenue",
        **{name: row[name] for name in ("voucherType", "voucherStatus")},
        "paidDate": row["updatedDate"] if paid else None,
        "paymentItems": [],
    }
