"""Invoices and the other sales documents in the vendor's JSON; each kind has the fields of its own endpoint."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.contact_shapes import address
from lexoffice_nb.sandbox.money import TAX_FREE, half_up
from lexoffice_nb.sandbox.shapes import Exact, midnight, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.sandbox.books import Deduction, Item, Related, Template, Voucher
    from lexoffice_nb.sandbox.ledger import Ledger

_TITLES = {
    "invoice": "Rechnung",
    "creditnote": "Rechnungskorrektur",
    "downpaymentinvoice": "Abschlagsrechnung",
    "quotation": "Angebot",
    "orderconfirmation": "Auftragsbestätigung",
    "deliverynote": "Lieferschein",
    "dunning": "Mahnung",
    "recurringtemplate": "Rechnung",
}
_INTRODUCTIONS = {
    "invoice": "Unsere Leistungen stellen wir Ihnen wie folgt in Rechnung.",
    "creditnote": "Wir schreiben Ihnen gut:",
    "downpaymentinvoice": "Für den Fortschritt der Arbeiten berechnen wir:",
    "quotation": "Gern bieten wir Ihnen an:",
    "orderconfirmation": "Wir bestätigen Ihren Auftrag:",
    "deliverynote": "Wir liefern Ihnen:",
    "dunning": "Bitte begleichen Sie den folgenden Betrag.",
    "recurringtemplate": "Unsere Leistungen stellen wir Ihnen wie folgt in Rechnung.",
}
_NOTES = {
    "vatfree": "Kein Ausweis von Umsatzsteuer, da Kleinunternehmer gemäß § 19 UStG",
    "intraCommunitySupply": "Steuerfreie innergemeinschaftliche Lieferung",
    "constructionService13b": "Steuerschuldnerschaft des Leistungsempfängers (§ 13b UStG)",
}
_WITH_PROFILE = ("invoice", "creditnote", "downpaymentinvoice", "orderconfirmation")
_WITH_PAYMENT_CONDITIONS = ("invoice", "downpaymentinvoice", "quotation", "orderconfirmation", "recurringtemplate")
_WITH_DELIVERY_TERMS = ("orderconfirmation", "deliverynote")
_PERIODS = ("service", "serviceperiod", "delivery", "deliveryperiod", "none")


def sales_document(ledger: Ledger, voucher: Voucher) -> dict[str, Any]:
    """`GET /v1/{kind}/{id}` of a sales document."""
    kind, priced = voucher.kind, voucher.kind != "deliverynote"
    return {
        "id": voucher.id,
        "organizationId": ledger.organisation_id,
        "createdDate": timestamp(voucher.created),
        "updatedDate": timestamp(voucher.updated),
        "version": 1 if voucher.status == "draft" else 2 if voucher.status == "open" else 3,
        "language": "de",
        "archived": voucher.archived,
        "voucherStatus": voucher.status,
        "voucherNumber": voucher.number,
        "voucherDate": midnight(voucher.day),
        "dueDate": None if voucher.due is None else midnight(voucher.due),
        "expirationDate": None if voucher.expires is None else midnight(voucher.expires),
        "address": address(voucher),
        "xRechnung": None if voucher.buyer_reference is None else {"buyerReference": voucher.buyer_reference},
        "electronicDocumentProfile": voucher.profile if kind in _WITH_PROFILE else None,
        "lineItems": [_line(item, voucher.tax_type, kind) for item in voucher.items],
        "totalPrice": _total(voucher) if priced else None,
        "taxAmounts": _tax_amounts(voucher) if priced else None,
        "taxConditions": _tax_conditions(voucher.tax_type),
        "paymentConditions": _payment_conditions(voucher) if kind in _WITH_PAYMENT_CONDITIONS else None,
        "shippingConditions": None if kind == "quotation" else _shipping(voucher),
        "deliveryTerms": "Lieferung frei Haus." if kind in _WITH_DELIVERY_TERMS else None,
        **_settlement(voucher),
        "recurringTemplateId": voucher.template,
        "relatedVouchers": [_related(each) for each in voucher.related],
        "title": "Schlussrechnung" if voucher.closing else _TITLES[kind],
        "introduction": _INTRODUCTIONS[kind],
        "remark": "Vielen Dank für Ihr Vertrauen.",
    }


def template_document(ledger: Ledger, template: Template) -> dict[str, Any]:
    """`GET /v1/recurring-templates/{id}`."""
    whole = sales_document(ledger, template.voucher)
    left_out = ("archived", "voucherStatus", "voucherNumber", "voucherDate", "relatedVouchers")
    document = {name: value for name, value in whole.items() if name not in left_out}
    return document | {
        "shippingConditions": {"shippingType": "service"},
        "recurringTemplateSettings": _settings(template),
    }


def template_row(ledger: Ledger, template: Template) -> dict[str, Any]:
    """A row of `GET /v1/recurring-templates`."""
    whole = template_document(ledger, template)
    kept = ("id", "organizationId", "createdDate", "updatedDate", "totalPrice", "paymentConditions", "title")
    return {name: whole[name] for name in kept} | {
        "address": {name: whole["address"].get(name) for name in ("contactId", "name")},
        "recurringTemplateSettings": whole["recurringTemplateSettings"],
    }


def _settings(template: Template) -> dict[str, Any]:
    # Plain days, unlike anywhere else.
    ended = template.last is None
    return {
        "id": template.id,
        "startDate": template.start.isoformat(),
        "endDate": template.following.isoformat() if ended else None,
        "finalize": True,
        "shippingType": "service",
        "executionInterval": "MONTHLY",
        "nextExecutionDate": None if ended else template.following.isoformat(),
        "lastExecutionDate": None if template.last is None else template.last.isoformat(),
        "lastExecutionFailed": False,
        "executionStatus": "ENDED" if ended else "ACTIVE",
        "retroactiveInvoice": False,
    }


def _total(voucher: Voucher) -> dict[str, Any]:
    return {
        "currency": "EUR",
        "totalNetAmount": Exact(voucher.net),
        "totalGrossAmount": Exact(voucher.gross),
        "totalTaxAmount": Exact(voucher.tax),
    }


def _tax_amounts(voucher: Voucher) -> list[dict[str, Any]]:
    return [
        {"taxRatePercentage": each.rate, "taxAmount": Exact(each.tax), "netAmount": Exact(each.net)}
        for each in voucher.rates
    ]


def _tax_conditions(tax_type: str) -> dict[str, Any]:
    return {"taxType": tax_type, "taxTypeNote": _NOTES.get(tax_type)}


def _payment_conditions(voucher: Voucher) -> dict[str, Any]:
    label = "Zahlbar sofort, rein netto" if voucher.term == 0 else f"Zahlbar innerhalb von {voucher.term} Tagen"
    discount = None
    if voucher.skonto:
        percent, days = voucher.skonto
        label = f"{days} Tage -{percent} %, {voucher.term} Tage netto"
        discount = {"discountPercentage": percent, "discountRange": days}
    return {
        "paymentTermLabel": label,
        "paymentTermLabelTemplate": label,
        "paymentTermDuration": voucher.term,
        "paymentDiscountConditions": discount,
    }


def _shipping(voucher: Voucher) -> dict[str, Any]:
    # Services are dated with the voucher; now and then over the weeks before it, or not at all.
    kind = _PERIODS[0] if voucher.gross % 7 else _PERIODS[voucher.gross % 5]
    if kind == "none":
        return {"shippingType": kind}
    if kind.endswith("period"):
        begin = voucher.day - timedelta(20)
        return {"shippingDate": midnight(begin), "shippingEndDate": midnight(voucher.day), "shippingType": kind}
    return {"shippingDate": midnight(voucher.day), "shippingType": kind}


def _settlement(voucher: Voucher) -> Mapping[str, Any]:
    if voucher.kind == "downpaymentinvoice":
        return {"closingInvoiceId": voucher.closed_by}
    if voucher.kind != "invoice":
        return {}
    return {
        "closingInvoice": voucher.closing,
        "claimedGrossAmount": Exact(voucher.claimed) if voucher.closing else None,
        "downPaymentDeductions": [_deduction(each) for each in voucher.deductions] if voucher.closing else None,
    }


def _deduction(deduction: Deduction) -> dict[str, Any]:
    return {
        "id": deduction.id,
        "voucherType": "downpaymentinvoice",
        "title": _TITLES["downpaymentinvoice"],
        "voucherNumber": deduction.number,
        "voucherDate": midnight(deduction.day),
        "receivedGrossAmount": Exact(deduction.gross),
        "receivedNetAmount": Exact(deduction.net),
        "receivedTaxAmount": Exact(deduction.tax),
        "taxRatePercentage": deduction.rate,
    }


def _related(related: Related) -> dict[str, Any]:
    return {"id": related.id, "voucherNumber": related.number, "voucherType": related.kind}


def _line(item: Item, tax_type: str, kind: str) -> dict[str, Any]:
    service = item.service
    if item.kind == "text":
        return {"type": "text", "name": service.name}
    rate = 0 if tax_type in TAX_FREE else service.rate
    if tax_type == "gross":
        net, gross = Exact(half_up(service.price * 100 * 100, 100 + rate), 4), Exact(service.price)
    else:
        net, gross = Exact(service.price), Exact(service.price * (100 + rate), 4)
    choices = {}
    if kind == "quotation":
        parts = [_line(each, tax_type, kind) for each in item.parts]
        choices = {"subItems": parts, "alternative": item.alternative, "optional": item.optional}
    return {
        "id": item.article,
        "type": item.kind,
        "name": service.name,
        "quantity": item.quantity // 100 if item.quantity % 100 == 0 else Exact(item.quantity),
        "unitName": service.unit,
        "unitPrice": {"currency": "EUR", "netAmount": net, "grossAmount": gross, "taxRatePercentage": rate},
        "discountPercentage": item.discount,
        "lineItemAmount": Exact(item.amount),
        **choices,
    }
