"""What an endpoint `GET /v1/{kind}/{id}` gives, and the lists as a whole, both from the drawn books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import booking_shapes, contact_shapes, sales_shapes
from lexoffice_nb.sandbox.extra_vouchers import ExtraVouchers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from lexoffice_nb.sandbox.books import Voucher
    from lexoffice_nb.sandbox.ledger import Ledger

_SALES = {
    "invoices": "invoice",
    "credit-notes": "creditnote",
    "quotations": "quotation",
    "order-confirmations": "orderconfirmation",
    "delivery-notes": "deliverynote",
    "down-payment-invoices": "downpaymentinvoice",
    "dunnings": "dunning",
}
_BOOKKEEPING = ("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote")
_PAYABLE = (*_BOOKKEEPING, "invoice", "downpaymentinvoice", "creditnote")


def find(ledger: Ledger, kind: str, id: str, today: date) -> dict[str, Any] | None:  # noqa: A002 - the API's word
    """A document in the vendor's shape, or None if the organisation has none of this kind with this id.

    Args:
        ledger: The books.
        kind: The first part of the path: "invoices", "vouchers", "payments" (by a voucher's id), "contacts" and so on.
        id: A UUID; anything else is found nowhere.
        today: The day in Berlin on which it is asked.

    Returns:
        A dictionary with `shapes.Exact` for numbers with places; a member that is None is absent.

    Raises:
        ApiProblem: 406 for the payments of a draft.
    """
    if kind == "contacts":
        contact = next((each for each in ledger.contacts if each.id == id), None)
        return None if contact is None else contact_shapes.contact_document(ledger, contact)
    if kind == "articles":
        article = next((each for each in ledger.articles if each.id == id), None)
        return None if article is None else booking_shapes.article_document(ledger, article)
    if kind == "recurring-templates":
        template = next((each for each in ledger.templates if each.id == id), None)
        return None if template is None else sales_shapes.template_document(ledger, template)
    voucher = ledger.by_id.get(id) or ExtraVouchers(ledger).find(id)
    return None if voucher is None else _of_voucher(ledger, kind, voucher)


def listed(ledger: Ledger, kind: str) -> Sequence[dict[str, Any]]:
    """What a list holds, in the vendor's order: "contacts", "articles", "recurring-templates", "vouchers".

    Templates come in the short form that their list has. The extra vouchers are not among the vouchers.
    """
    if kind == "contacts":
        ordered = sorted(ledger.contacts, key=lambda each: each.name.casefold())
        return [contact_shapes.contact_document(ledger, each) for each in ordered]
    if kind == "articles":
        by_title = sorted(ledger.articles, key=lambda each: each.service.name.casefold())
        return [booking_shapes.article_document(ledger, each) for each in by_title]
    if kind == "recurring-templates":
        return [sales_shapes.template_row(ledger, each) for each in ledger.templates]
    if kind == "vouchers":
        booked = (each for each in ledger.others if each.kind in _BOOKKEEPING)
        return [booking_shapes.bookkeeping_voucher(ledger, each) for each in booked]
    return []


def _of_voucher(ledger: Ledger, kind: str, voucher: Voucher) -> dict[str, Any] | None:
    if kind == "payments" and voucher.kind in _PAYABLE:
        return booking_shapes.payment_document(voucher, amount_as_text=voucher.id == ledger.amount_as_text)
    if kind == "vouchers" and voucher.kind in _BOOKKEEPING:
        return booking_shapes.bookkeeping_voucher(ledger, voucher)
    if _SALES.get(kind) == voucher.kind:
        return sales_shapes.sales_document(ledger, voucher)
    return None
