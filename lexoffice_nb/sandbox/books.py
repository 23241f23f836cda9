"""What the books of an organisation are made of. All money is integer cents, all days are days in Berlin."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from lexoffice_nb.sandbox.money import RateSum, half_up, sum_rates

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.catalogue import CustomerEntry, Service

BERLIN = ZoneInfo("Europe/Berlin")
_NAMESPACE = uuid.UUID("8d4f5c52-27a5-4d57-9f43-3f6c1d0e6a11")
_OVERDUE_FROM = ("open", "sepadebit")
# Payment items that move money; the others settle without any.
MONEY = ("partPaymentFinancialTransaction", "partPaymentCashBox", "manualPayment")


@dataclass(frozen=True)
class Customer:
    """A contact of the organisation: a customer, a vendor, or both, by the numbers it has."""

    id: str
    number: int | None
    entry: CustomerEntry
    vendor_number: int | None = None

    @property
    def name(self) -> str:
        """The name as lists show it: persons family name first."""
        return self.entry.name if self.entry.person is None else f"{self.entry.person[2]}, {self.entry.person[1]}"


@dataclass(frozen=True)
class Item:
    """A line of a sales document.

    Attributes:
        service: What is sold; for a `text` its name is the text.
        quantity: In hundredths.
        discount: In percent.
        amount: What it comes to, net or gross as the document is; nothing for a text, an option or an alternative.
        kind: `custom`, `service` or `material` (both with an article), or `text`.
        article: The article's id.
        parts: Lines below this one, in quotations; none of them counts.
        optional: Only if the customer wants it.
        alternative: Instead of another line.
    """

    service: Service
    quantity: int
    discount: int
    amount: int
    kind: str = "custom"
    article: str | None = None
    parts: tuple[Item, ...] = ()
    optional: bool = False
    alternative: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is part of the total."""
        return self.kind != "text" and not self.optional and not self.alternative


@dataclass(frozen=True)
class Payment:
    """A payment item: its type in the vendor's words, the day it was booked on, a positive amount."""

    kind: str
    day: date
    amount: int


@dataclass(frozen=True)
class Related:
    """Another voucher that one came from or led to."""

    id: str
    number: str
    kind: str


@dataclass(frozen=True)
class Deduction:
    """A down payment that a closing invoice takes off its total."""

    id: str
    number: str
    day: date
    rate: int
    net: int
    tax: int

    @property
    def gross(self) -> int:
        """Net and tax together."""
        return self.net + self.tax


@dataclass(frozen=True)
class Voucher:
    """A voucher of any kind; most attributes have a meaning for some kinds only.

    Attributes:
        kind: The voucher type of the voucherlist, or `dunning`.
        number: Drafts have one too.
        customer: None for the collective contact.
        status: The stored one: overdue is never stored.
        rates: Net and tax per rate; their sums are `net`, `tax` and `gross`.
        open: What is still to be paid; None where the vendor says nothing about it.
        name: The contact's name when it was written, if that has changed since.
        skonto: Percent and days of a discount for paying early.
        profile: `NONE`, `EN16931` (ZUGFeRD) or `XRechnung`; the latter with the buyer's reference.
        closing: A closing invoice, with what was paid before; `claimed` is the rest.
        closed_by: For a down-payment invoice, the closing invoice.
        template: The recurring template that an invoice was made from.
        expires: Last day of a quotation.
        category: Posting category of a bookkeeping voucher.
    """

    id: str
    number: str
    customer: Customer | None
    day: date
    due: date | None
    term: int
    status: str
    tax_type: str
    items: tuple[Item, ...]
    rates: tuple[RateSum, ...]
    open: int | None
    created: datetime
    updated: datetime
    archived: bool = False
    kind: str = "invoice"
    name: str | None = None
    payments: tuple[Payment, ...] = ()
    related: tuple[Related, ...] = ()
    skonto: tuple[int, int] | None = None
    profile: str = "NONE"
    buyer_reference: str | None = None
    closing: bool = False
    deductions: tuple[Deduction, ...] = ()
    closed_by: str | None = None
    template: str | None = None
    expires: date | None = None
    category: str | None = None

    @property
    def net(self) -> int:
        """Without tax."""
        return sum(each.net for each in self.rates)

    @property
    def tax(self) -> int:
        """The tax of all rates."""
        return sum(each.tax for each in self.rates)

    @property
    def gross(self) -> int:
        """With tax."""
        return self.net + self.tax

    @property
    def claimed(self) -> int:
        """What is to be paid in the end: of a closing invoice the rest after the down payments."""
        return self.gross - sum(each.gross for each in self.deductions)

    @property
    def customer_name(self) -> str:
        """Whom it is for, or whom it came from; without a contact it is the collective one."""
        if self.customer is None:
            return "Sammellieferant" if self.kind.startswith("purchase") else "Sammelkunde"
        return self.name or self.customer.name

    @property
    def reference(self) -> Related:
        """How another voucher names this one."""
        return Related(self.id, self.number, self.kind)

    def shown_status(self, today: date) -> str:
        """The status as lists show it: what is not paid when it is past its due date is overdue."""
        late = self.status in _OVERDUE_FROM and self.due is not None and self.due < today
        return "overdue" if late else self.status


@dataclass(frozen=True)
class Article:
    """Something on the price list."""

    id: str
    number: str
    service: Service
    created: datetime


@dataclass(frozen=True)
class Template:
    """A recurring template: what it repeats, since when, and the first of the month on which it does so next."""

    id: str
    voucher: Voucher
    start: date
    following: date
    last: date | None


def line(service: Service, quantity: int, discount: int = 0, kind: str = "custom", article: str | None = None) -> Item:
    """A line with its amount."""
    amount = half_up(quantity * service.price * (100 - discount), 100 * 100)
    return Item(service, quantity, discount, amount, kind, article)


def rates_of(items: tuple[Item, ...], tax_type: str) -> tuple[RateSum, ...]:
    """Net and tax of the lines that count."""
    return sum_rates(((each.service.rate, each.amount) for each in items if each.counts), tax_type)


def at(day: date, clock: time) -> datetime:
    """A moment in Berlin."""
    return datetime.combine(day, clock, BERLIN)


def make_id(organisation: str, seed: int, kind: str, number: int) -> str:
    """A UUID that the same books always give."""
    return str(uuid.uuid5(_NAMESPACE, f"{organisation}/{seed}/{kind}/{number}"))
