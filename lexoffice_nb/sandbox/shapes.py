"""The books in the vendor's JSON: field names, timestamps with Berlin's offset, exact money, nothing null."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.ledger import BERLIN, Customer, Invoice, Item, Ledger, half_up

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.people import Person

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


def voucher_row(invoice: Invoice, today: date) -> dict[str, Any]:
    """An invoice as a row of `GET /v1/voucherlist`."""
    return {
        "id": invoice.id,
        "voucherType": "invoice",
        "voucherStatus": invoice.shown_status(today),
        "voucherNumber": invoice.number,
        "voucherDate": midnight(invoice.day),
        "createdDate": timestamp(invoice.created),
        "updatedDate": timestamp(invoice.updated),
        "dueDate": None if invoice.due is None else midnight(invoice.due),
        "contactId": None if invoice.customer is None else invoice.customer.id,
        "contactName": invoice.customer_name,
        "totalAmount": Exact(invoice.gross),
        "openAmount": None if invoice.open is None else Exact(invoice.open),
        "currency": "EUR",
        "archived": invoice.archived,
    }


def invoice_document(ledger: Ledger, invoice: Invoice) -> dict[str, Any]:
    """`GET /v1/invoices/{id}`."""
    label = "Zahlbar sofort, rein netto" if invoice.term == 0 else f"Zahlbar innerhalb von {invoice.term} Tagen"
    return {
        "id": invoice.id,
        "organizationId": ledger.organisation_id,
        "createdDate": timestamp(invoice.created),
        "updatedDate": timestamp(invoice.updated),
        "version": 1 if invoice.status == "draft" else 2 if invoice.status == "open" else 3,
        "language": "de",
        "archived": invoice.archived,
        "voucherStatus": invoice.status,
        "voucherNumber": invoice.number,
        "voucherDate": midnight(invoice.day),
        "dueDate": None if invoice.due is None else midnight(invoice.due),
        "address": _invoice_address(invoice.customer),
        "electronicDocumentProfile": "NONE",
        "lineItems": [_line(item, invoice.tax_type) for item in invoice.items],
        "totalPrice": {
            "currency": "EUR",
            "totalNetAmount": Exact(invoice.net),
            "totalGrossAmount": Exact(invoice.gross),
            "totalTaxAmount": Exact(invoice.tax),
        },
        "taxAmounts": [
            {"taxRatePercentage": each.rate, "taxAmount": Exact(each.tax), "netAmount": Exact(each.net)}
            for each in invoice.rates
        ],
        "taxConditions": {"taxType": invoice.tax_type},
        "paymentConditions": {
            "paymentTermLabel": label,
            "paymentTermLabelTemplate": label,
            "paymentTermDuration": invoice.term,
        },
        "shippingConditions": {"shippingDate": midnight(invoice.day), "shippingType": "service"},
        "closingInvoice": False,
        "relatedVouchers": [],
        "title": "Rechnung",
        "introduction": "Unsere Leistungen stellen wir Ihnen wie folgt in Rechnung.",
        "remark": "Vielen Dank für Ihr Vertrauen.",
    }


def _line(item: Item, tax_type: str) -> dict[str, Any]:
    service = item.service
    if tax_type == "net":
        net, gross = Exact(service.price), Exact(service.price * (100 + service.rate), 4)
    else:
        net, gross = Exact(half_up(service.price * 100 * 100, 100 + service.rate), 4), Exact(service.price)
    return {
        "type": "custom",
        "name": service.name,
        "quantity": item.quantity // 100 if item.quantity % 100 == 0 else Exact(item.quantity),
        "unitName": service.unit,
        "unitPrice": {
            "currency": "EUR",
            "netAmount": net,
            "grossAmount": gross,
            "taxRatePercentage": service.rate,
        },
        "discountPercentage": item.discount,
        "lineItemAmount": Exact(item.amount),
    }


def _invoice_address(customer: Customer | None) -> dict[str, Any]:
    if customer is None:
        return {"name": "Laufkundschaft", "countryCode": "DE"}
    entry = customer.entry
    name = entry.name if entry.person is None else f"{entry.person[1]} {entry.person[2]}"
    return {"contactId": customer.id, "name": name, **_street(customer)}


def _street(customer: Customer) -> dict[str, Any]:
    entry = customer.entry
    return {"street": entry.street, "zip": entry.zip, "city": entry.city, "countryCode": "DE"}


def email(customer: Customer) -> str:
    """An address that leads nowhere: `.example` is reserved (RFC 2606)."""
    return f"kunde{customer.number}@post.example"


def contact_document(ledger: Ledger, customer: Customer) -> dict[str, Any]:
    """`GET /v1/contacts/{id}`; groups without a value are left out."""
    entry = customer.entry
    company = None if entry.person else {"name": entry.name, "vatRegistrationId": entry.vat_id}
    person = None
    if entry.person:
        person = dict(zip(("salutation", "firstName", "lastName"), entry.person, strict=True))
    return {
        "id": customer.id,
        "organizationId": ledger.organisation_id,
        "version": 0,
        "roles": {"customer": {"number": customer.number}},
        "company": company,
        "person": person,
        "addresses": {"billing": [_street(customer)]},
        "emailAddresses": {"business": [email(customer)]} if entry.person is None else {"private": [email(customer)]},
        "archived": entry.archived,
    }
