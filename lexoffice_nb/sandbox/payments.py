"""How vouchers are paid: payment items that add up, with what is open, to what was claimed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.books import Payment, Voucher
from lexoffice_nb.sandbox.drawing import touched
from lexoffice_nb.sandbox.money import half_up

if TYPE_CHECKING:
    from datetime import date

_BANK, _CASH, _BY_HAND = "partPaymentFinancialTransaction", "partPaymentCashBox", "manualPayment"
_SETTLED = ("paid", "paidoff", "transferred", "open", "sepadebit")


def pay(vouchers: list[Voucher], day: date) -> list[Voucher]:
    """The same vouchers with their payments; what a credit note has settled already stays as it is."""
    paid = 0
    result = []
    for voucher in vouchers:
        if voucher.status not in _SETTLED or voucher.open is None:
            result.append(voucher)
            continue
        due = voucher.claimed - voucher.open - sum(each.amount for each in voucher.payments)
        if due <= 0:
            result.append(voucher)
            continue
        # In turn and not by chance, so that every way of paying is there for certain.
        paid += voucher.status == "paid"
        result.append(_settle(voucher, due, paid, day))
    return result


def _settle(voucher: Voucher, amount: int, turn: int, day: date) -> Voucher:
    last = voucher.updated.date()
    if voucher.status != "paid":
        last = voucher.day + (day - voucher.day) // 2
        return _with(voucher, day, (Payment(_BANK, last, amount),))
    if voucher.skonto:
        percent, days = voucher.skonto
        last = min(voucher.day + timedelta(days - 2), day)
        discount = half_up(amount * percent, 100)
        return _with(voucher, day, (Payment(_BANK, last, amount - discount), Payment("cashDiscount", last, discount)))
    first = voucher.day + (last - voucher.day) // 2
    if turn % 40 == 17 and voucher.kind == "invoice":
        part = half_up(amount * 40, 100)
        return _with(
            voucher, day, (Payment(_BANK, first, part), Payment("irrecoverableReceivable", last, amount - part))
        )
    if turn % 9 == 4:
        part = half_up(amount, 2)
        return _with(voucher, day, (Payment(_BANK, first, part), Payment(_BANK, last, amount - part)))
    kind = _CASH if turn % 11 == 5 else _BY_HAND if turn % 7 == 3 else _BANK
    return _with(voucher, day, (Payment(kind, last, amount),))


def _with(voucher: Voucher, day: date, payments: tuple[Payment, ...]) -> Voucher:
    last = payments[-1].day
    updated = max(touched(voucher.created, last, day, voucher.updated.minute), voucher.created)
    return replace(voucher, payments=(*voucher.payments, *payments), updated=updated)
