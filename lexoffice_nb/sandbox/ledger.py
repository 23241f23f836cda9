"""The books of an organisation, drawn from a seed: customers, invoices, and the figures they must lead to.

All money is integer cents. `Ledger.expected` is written down while the invoices are drawn, before any JSON exists, so
that a test can hold a client's figures against it without going through the code that serves them.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from lexoffice_nb.sandbox.catalogue import CUSTOMERS, SERVICES, CustomerEntry, Service
from lexoffice_nb.sandbox.people import PEOPLE, Organisation

BERLIN = ZoneInfo("Europe/Berlin")
_NAMESPACE = uuid.UUID("8d4f5c52-27a5-4d57-9f43-3f6c1d0e6a11")
_SIZES = {"demo": 240, "kanzlei": 36}
_TERMS = (0, 14, 14, 30)
_OVERDUE_DAYS = (15, 46, 75, 95)
_PARTLY_PAID = 46  # so that there is one for certain, whatever is drawn
_SELDOM = 3
AGEING_BUCKETS = ("current", "1-30", "31-60", "61-90", "90+")


@dataclass(frozen=True)
class Customer:
    """A contact of the organisation."""

    id: str
    number: int
    entry: CustomerEntry

    @property
    def name(self) -> str:
        """The name as lists show it: persons family name first."""
        return self.entry.name if self.entry.person is None else f"{self.entry.person[2]}, {self.entry.person[1]}"


@dataclass(frozen=True)
class Item:
    """A line of an invoice. The price is net or gross as the invoice is; `quantity` is in hundredths."""

    service: Service
    quantity: int
    discount: int
    amount: int


@dataclass(frozen=True)
class RateSum:
    """What one tax rate adds to an invoice."""

    rate: int
    net: int
    tax: int


@dataclass(frozen=True)
class Invoice:
    """An invoice; amounts in cents. `status` is the stored one: overdue is never stored."""

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
    net: int
    tax: int
    gross: int
    open: int | None
    created: datetime
    updated: datetime
    archived: bool = False

    @property
    def customer_name(self) -> str:
        """Whom the invoice is for; without a contact it is the collective one."""
        return "Sammelkunde" if self.customer is None else self.customer.name

    def shown_status(self, today: date) -> str:
        """The status as lists show it: an open invoice past its due date is overdue."""
        return "overdue" if self.status == "open" and self.due is not None and self.due < today else self.status


@dataclass
class Expected:
    """The figures that follow from the books, in cents; months as `2025-03`, drafts and voided invoices left out."""

    revenue_gross: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    revenue_net: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    tax: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    count: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    open_items: list[tuple[date, int]] = field(default_factory=list)

    def ageing(self, today: date) -> dict[str, int]:
        """Open amount per bucket of days past due, on a day."""
        buckets = dict.fromkeys(AGEING_BUCKETS, 0)
        for due, cents in self.open_items:
            late = (today - due).days
            buckets[AGEING_BUCKETS[0] if late <= 0 else AGEING_BUCKETS[min(4, 1 + (late - 1) // 30)]] += cents
        return buckets


@dataclass(frozen=True)
class Ledger:
    """The books of one organisation, as of the day they were opened on; newest invoice last."""

    organisation: Organisation
    organisation_id: str
    day: date
    customers: tuple[Customer, ...]
    invoices: tuple[Invoice, ...]
    expected: Expected


def half_up(numerator: int, denominator: int) -> int:
    """A quotient rounded half up, for amounts that are not negative."""
    return (2 * numerator + denominator) // (2 * denominator)


def build_ledgers(seed: int, day: date) -> dict[str, Ledger]:
    """The books of every organisation."""
    return {person.organisation.key: build_ledger(seed, day, person.organisation) for person in PEOPLE.values()}


def build_ledger(seed: int, day: date, organisation: Organisation) -> Ledger:
    """The books of one organisation; equal arguments give equal books."""
    draw = random.Random(f"{seed}/{organisation.key}")  # noqa: S311 - invented books, no secret
    customers = tuple(
        Customer(_id(organisation.key, seed, "contact", number), 10001 + number, entry)
        for number, entry in enumerate(CUSTOMERS[organisation.key])
    )
    regular = tuple(customer for customer in customers if not customer.entry.seldom)
    drawn = [_draw_invoice(draw, day, plan, regular) for plan in _plan(draw, day, _SIZES[organisation.key])]
    for customer in customers:
        if customer.entry.seldom:
            _give_small_ones(drawn, customer)
    drawn.sort(key=lambda invoice: invoice.day)
    # The day is part of the identity, because another day gives another invoice of the same number.
    invoices = tuple(
        replace(invoice, id=_id(organisation.key, seed, f"{day}/invoice", n), number=f"RE{1001 + n}")
        for n, invoice in enumerate(drawn)
    )
    expected = Expected()
    for invoice in invoices:
        _write_down(expected, invoice)
    return Ledger(organisation, _id(organisation.key, 0, "organisation", 0), day, customers, invoices, expected)


@dataclass(frozen=True)
class _Plan:
    day: date
    term: int
    status: str
    partly_paid: bool = False


def _plan(draw: random.Random, day: date, size: int) -> list[_Plan]:
    """When invoices are written and what becomes of them."""
    firsts = [_first_of_month(day, back) for back in range(24)][: size // 3]
    plans = [_Plan(first, 14, _fate(draw, first + timedelta(14), day)) for first in firsts]
    plans += [_Plan(day - timedelta(late + 14), 14, "open", late == _PARTLY_PAID) for late in _OVERDUE_DAYS]
    plans += [_Plan(day - timedelta(draw.randrange(12)), 14, "draft") for _ in range(size // 40)]
    plans += [_Plan(day - timedelta(draw.randrange(20, 600)), 14, "voided") for _ in range(size // 30)]
    while len(plans) < size:
        written, term = day - timedelta(draw.randrange(720)), draw.choice(_TERMS)
        plans.append(_Plan(written, term, _fate(draw, written + timedelta(term), day)))
    return plans


def _fate(draw: random.Random, due: date, day: date) -> str:
    late = (day - due).days
    paid = 0.99 if late > 120 else 0.9 if late > 60 else 0.75 if late > 0 else 0.3
    return "paid" if draw.random() < paid else "open"


def _draw_invoice(draw: random.Random, day: date, plan: _Plan, customers: tuple[Customer, ...]) -> Invoice:
    customer = None if draw.random() < 0.03 else draw.choice(customers)
    private = customer is None or customer.entry.person is not None
    tax_type = "gross" if private or draw.random() < 0.15 else "net"
    items = tuple(_draw_item(draw) for _ in range(draw.choice((1, 1, 2, 2, 3, 4))))
    rates = _sum_rates(items, tax_type)
    net, tax = sum(each.net for each in rates), sum(each.tax for each in rates)
    gross = net + tax
    open_cents: int | None = {"open": gross, "paid": 0, "voided": 0}.get(plan.status)
    if plan.status == "open" and (plan.partly_paid or draw.random() < 0.15):
        open_cents = gross - half_up(gross * draw.choice((25, 50, 60)), 100)
    created = _at(plan.day, time(0, 1) if plan.day == day else time(draw.randrange(8, 18), draw.randrange(60)))
    paid_after = draw.randrange(1, 45)
    touched = plan.day + timedelta(paid_after)
    moved = plan.status in ("paid", "voided") and plan.day < touched < day
    return Invoice(
        id="",
        number="",
        customer=customer,
        day=plan.day,
        due=None if plan.status == "draft" else plan.day + timedelta(plan.term),
        term=plan.term,
        status=plan.status,
        tax_type=tax_type,
        items=items,
        rates=rates,
        net=net,
        tax=tax,
        gross=gross,
        open=open_cents,
        created=created,
        updated=_at(touched, time(10, draw.randrange(60))) if moved else created,
        archived=plan.status == "paid" and (day - plan.day).days > 600,
    )


def _give_small_ones(drawn: list[Invoice], customer: Customer) -> None:
    # A name that is made to be displayed wrongly should be met when reading invoices, and not lead every chart of
    # debtors or revenue.
    places = [n for n, each in enumerate(drawn) if each.status == "paid" and each.customer and not each.archived]
    small = sorted(places, key=lambda n: drawn[n].gross)
    # The newest of the small ones, so that it is on the first page of a list, and the smallest.
    newest = max(small[: 4 * _SELDOM], key=lambda n: drawn[n].day)
    for n in [newest, *(n for n in small if n != newest)][:_SELDOM]:
        drawn[n] = replace(drawn[n], customer=customer)


def _draw_item(draw: random.Random) -> Item:
    service = draw.choice(SERVICES)
    quantity = draw.choice((25, 50, 75, 150, 225, 350)) if service.unit == "Stunde" else 100 * draw.randrange(1, 9)
    discount = draw.choice((0, 0, 0, 0, 0, 5, 10))
    amount = half_up(quantity * service.price * (100 - discount), 100 * 100)
    return Item(service, quantity, discount, amount)


def _sum_rates(items: tuple[Item, ...], tax_type: str) -> tuple[RateSum, ...]:
    """Tax per rate, rounded once on the sum of the column and not line by line."""
    columns: dict[int, int] = defaultdict(int)
    for item in items:
        columns[item.service.rate] += item.amount
    if tax_type == "net":
        return tuple(RateSum(rate, net, half_up(net * rate, 100)) for rate, net in sorted(columns.items()))
    taxes = {rate: half_up(gross * rate, 100 + rate) for rate, gross in columns.items()}
    return tuple(RateSum(rate, gross - taxes[rate], taxes[rate]) for rate, gross in sorted(columns.items()))


def _write_down(expected: Expected, invoice: Invoice) -> None:
    expected.count[invoice.status] += 1
    if invoice.status in ("draft", "voided"):
        return
    month = f"{invoice.day:%Y-%m}"
    expected.revenue_gross[month] += invoice.gross
    expected.revenue_net[month] += invoice.net
    for each in invoice.rates:
        expected.tax[month, each.rate] += each.tax
    if invoice.open and invoice.due is not None:
        expected.open_items.append((invoice.due, invoice.open))


def _first_of_month(day: date, back: int) -> date:
    months = day.year * 12 + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, BERLIN)


def _id(organisation: str, seed: int, kind: str, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{organisation}/{seed}/{kind}/{number}"))
