"""The figures that follow from the books, added up in cents before there is any JSON."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lexoffice_nb.sandbox.books import MONEY, Voucher
from lexoffice_nb.sandbox.money import half_up

if TYPE_CHECKING:
    from datetime import date

AGEING_BUCKETS = ("current", "1-30", "31-60", "61-90", "90+")
_REVENUE = {"invoice": 1, "downpaymentinvoice": 1, "salesinvoice": 1, "creditnote": -1, "salescreditnote": -1}
_EXPENSE = {"purchaseinvoice": 1, "purchasecreditnote": -1}
_NOT_BOOKED = ("draft", "unchecked", "voided")
COLLECTIVE = "collective"


class OpenItem(NamedTuple):
    """What a customer owes on a voucher."""

    due: date
    cents: int
    contact: str


class Paid(NamedTuple):
    """A payment item of a voucher; the sign is that of the voucher in revenue or expense."""

    voucher: str
    kind: str
    day: date
    cents: int


def _sums() -> defaultdict[str, int]:
    return defaultdict(int)


def _by_rate() -> defaultdict[tuple[str, int], int]:
    return defaultdict(int)


@dataclass
class Expected:
    """The figures, in cents; months as `2025-03`; drafts, unchecked and voided vouchers are left out of all of them.

    A closing invoice counts with what is left of it after its down payments, in every figure.

    Attributes:
        revenue_gross: Invoices, down-payment invoices and sales invoices less credit notes of both kinds, per month of
            the voucher's date.
        revenue_net: The same without tax.
        revenue_by_customer: The same as `revenue_gross`, per contact's id; "collective" for those without a contact.
        tax: Tax on that revenue per month and rate, by the voucher's date.
        tax_when_paid: The same by the date of payment. Each payment bears its share, and all the tax is borne when all
            is paid; a discount, a write-off and a credit note that settles an invoice are no payments.
        input_tax: Tax on purchases less that on credit notes for them, per month and rate, by the voucher's date.
        count: Invoices per stored status, drafts and voided ones too.
        open_items: What customers owe on invoices, down-payment invoices and sales invoices.
        open_credits: What the organisation owes customers on credit notes.
        payables: What the organisation owes on purchases, less open credit notes for them.
        payments: Every payment item.
    """

    revenue_gross: dict[str, int] = field(default_factory=_sums)
    revenue_net: dict[str, int] = field(default_factory=_sums)
    revenue_by_customer: dict[str, int] = field(default_factory=_sums)
    tax: dict[tuple[str, int], int] = field(default_factory=_by_rate)
    tax_when_paid: dict[tuple[str, int], int] = field(default_factory=_by_rate)
    input_tax: dict[tuple[str, int], int] = field(default_factory=_by_rate)
    count: dict[str, int] = field(default_factory=_sums)
    open_items: list[OpenItem] = field(default_factory=list)
    open_credits: int = 0
    payables: int = 0
    payments: list[Paid] = field(default_factory=list)

    def ageing(self, today: date) -> dict[str, int]:
        """What customers owe per bucket of days past due, on a day."""
        buckets = dict.fromkeys(AGEING_BUCKETS, 0)
        for item in self.open_items:
            late = (today - item.due).days
            buckets[AGEING_BUCKETS[0] if late <= 0 else AGEING_BUCKETS[min(4, 1 + (late - 1) // 30)]] += item.cents
        return buckets

    def top_customers(self, count: int) -> list[tuple[str, int]]:
        """The contacts with the most revenue, largest first."""
        return sorted(self.revenue_by_customer.items(), key=lambda each: (-each[1], each[0]))[:count]

    def write_down(self, voucher: Voucher) -> None:
        """Add a voucher to the figures."""
        if voucher.kind == "invoice":
            self.count[voucher.status] += 1
        if voucher.status in _NOT_BOOKED:
            return
        month = f"{voucher.day:%Y-%m}"
        if sign := _EXPENSE.get(voucher.kind, 0):
            for each in voucher.rates:
                self.input_tax[month, each.rate] += sign * each.tax
            self.payables += sign * (voucher.open or 0)
        if sign := _REVENUE.get(voucher.kind, 0):
            self._sold(voucher, month, sign)
        sign = sign or _EXPENSE.get(voucher.kind, 0)
        self.payments += [Paid(voucher.id, each.kind, each.day, sign * each.amount) for each in voucher.payments]

    def _sold(self, voucher: Voucher, month: str, sign: int) -> None:
        contact = COLLECTIVE if voucher.customer is None else voucher.customer.id
        self.revenue_gross[month] += sign * voucher.claimed
        self.revenue_net[month] += sign * (voucher.net - sum(each.net for each in voucher.deductions))
        self.revenue_by_customer[contact] += sign * voucher.claimed
        collected, borne = 0, dict.fromkeys((each.rate for each in voucher.rates), 0)
        for rate, tax in _taxes(voucher).items():
            self.tax[month, rate] += sign * tax
        for payment in voucher.payments:
            if payment.kind not in MONEY:
                continue
            collected += payment.amount
            for rate, tax in _taxes(voucher).items():
                share = half_up(tax * collected, voucher.claimed)
                self.tax_when_paid[f"{payment.day:%Y-%m}", rate] += sign * (share - borne[rate])
                borne[rate] = share
        if voucher.open and voucher.due is not None and sign > 0:
            self.open_items.append(OpenItem(voucher.due, voucher.open, contact))
        if voucher.open and sign < 0:
            self.open_credits += voucher.open


def _taxes(voucher: Voucher) -> dict[int, int]:
    taxes = {each.rate: each.tax for each in voucher.rates}
    for each in voucher.deductions:
        taxes[each.rate] -= each.tax
    return taxes
