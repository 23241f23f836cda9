"""Bookkeeping vouchers, payments and articles in the vendor's JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.money import half_up
from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.shapes import Exact, midnight, timestamp

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.books import Article, Voucher
    from lexoffice_nb.sandbox.ledger import Ledger

_PAID = ("paid", "paidoff")


def bookkeeping_voucher(ledger: Ledger, voucher: Voucher) -> dict[str, Any]:
    """`GET /v1/vouchers/{id}`."""
    sale, net = voucher.kind.startswith("sales"), voucher.tax_type == "net"
    return {
        "id": voucher.id,
        "organizationId": ledger.organisation_id,
        "type": voucher.kind,
        "voucherStatus": voucher.status,
        "voucherNumber": voucher.number,
        "voucherDate": midnight(voucher.day),
        "shippingDate": midnight(voucher.day) if sale else None,
        "dueDate": None if voucher.due is None else midnight(voucher.due),
        "totalGrossAmount": Exact(voucher.gross),
        "totalTaxAmount": Exact(voucher.tax),
        "taxType": voucher.tax_type,
        "useCollectiveContact": voucher.customer is None,
        "contactName": None if voucher.customer is None else voucher.customer_name,
        "contactId": None if voucher.customer is None else voucher.customer.id,
        "remark": "Aus der Kasse übernommen" if sale else None,
        "voucherItems": [
            {
                "amount": Exact(each.net if net else each.gross),
                "taxAmount": Exact(each.tax),
                "taxRatePercent": each.rate,
                "categoryId": voucher.category,
            }
            for each in voucher.rates
        ],
        "files": [],
        "createdDate": timestamp(voucher.created),
        "updatedDate": timestamp(voucher.updated),
        "version": 1 if voucher.updated == voucher.created else 2,
    }


def payment_document(voucher: Voucher, amount_as_text: bool) -> dict[str, Any]:
    """`GET /v1/payments/{voucherId}`.

    Args:
        voucher: What was paid.
        amount_as_text: The open amount comes as a text, as it does here and there in the vendor's own examples.

    Raises:
        ApiProblem: 406 for what is not booked yet.
    """
    if voucher.open is None:
        raise ApiProblem(406, f"Requesting payments is not possible in state {voucher.status}.")
    waiting = "openExpense" if voucher.kind.startswith("purchase") else "openRevenue"
    last = max((each.day for each in voucher.payments), default=voucher.updated.date())
    return {
        "openAmount": str(Exact(voucher.open)) if amount_as_text else Exact(voucher.open),
        "currency": "EUR",
        "paymentStatus": waiting if voucher.open else "balanced",
        "voucherType": voucher.kind,
        "voucherStatus": voucher.status,
        "paidDate": midnight(last) if voucher.status in _PAID else None,
        "paymentItems": [
            {
                "paymentItemType": each.kind,
                "postingDate": midnight(each.day),
                "amount": Exact(each.amount),
                "currency": "EUR",
            }
            for each in voucher.payments
        ],
    }


def article_document(ledger: Ledger, article: Article) -> dict[str, Any]:
    """`GET /v1/articles/{id}`."""
    service = article.service
    rate = 0 if ledger.organisation.small_business else service.rate
    return {
        "id": article.id,
        "organizationId": ledger.organisation_id,
        "createdDate": timestamp(article.created),
        "updatedDate": timestamp(article.created),
        "archived": False,
        "title": service.name,
        "description": f"{service.name} je {service.unit}",
        "type": "PRODUCT" if service.unit == "Stück" else "SERVICE",
        "articleNumber": article.number,
        "gtin": "2000000000015" if service.name == "Ersatzteil M8" else None,
        "unitName": service.unit,
        "price": {
            "netPrice": Exact(service.price),
            "grossPrice": Exact(half_up(service.price * (100 + rate), 100)),
            "leadingPrice": "NET",
            "taxRate": rate,
        },
        "version": 1,
    }
