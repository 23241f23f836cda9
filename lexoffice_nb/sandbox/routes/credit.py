"""What a final credit note does to the invoice it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.shapes import Exact

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.written import Books


def take_off(books: Books, invoice: dict[str, Any], note: dict[str, Any], now: str) -> None:
    """Lower the invoice's open amount by the credit note; with nothing left it is paid.

    Args:
        books: The books.
        invoice: The invoice's document; changed and kept.
        note: The credit note's document.
        now: The timestamp of the change.
    """
    row = books.rows.get(invoice["id"])
    owed = cents(row.get("openAmount"))
    taken = min(owed, cents(note["totalPrice"]["totalGrossAmount"]))
    if not taken:
        return
    left = owed - taken
    row |= {"openAmount": Exact(left), "updatedDate": now}
    if not left:
        row["voucherStatus"] = invoice["voucherStatus"] = "paid"
    books.keep("invoices", invoice)
    books.keep_row(row)
    items = [*_payment_items(books, invoice), _item(taken, now)]
    books.keep(
        "payments",
        {
            "openAmount": Exact(left),
            "currency": "EUR",
            "paymentStatus": "openRevenue" if left else "balanced",
            "voucherType": row["voucherType"],
            "voucherStatus": row["voucherStatus"],
            "paidDate": None if left else now,
            "paymentItems": items,
        },
        invoice["id"],
    )


def cents(amount: Exact | int | None) -> int:
    """An amount of a list's row in cents."""
    return amount * 100 if isinstance(amount, int) else 0 if amount is None else amount.value


def _payment_items(books: Books, invoice: dict[str, Any]) -> list[Any]:
    found = books.find("payments", invoice["id"], books.ledger.day)
    return list((found or {}).get("paymentItems") or ())


def _item(taken: int, now: str) -> dict[str, Any]:
    return {
        "paymentItemType": "partPaymentCreditNote",
        "postingDate": now,
        "amount": Exact(taken),
        "currency": "EUR",
    }
