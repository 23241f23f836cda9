"""The invoices of an organisation, drawn from a seed: how many, when, for whom, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.books import Customer, Item, Voucher, at, line, rates_of
from lexoffice_nb.sandbox.catalogue import SERVICES
from lexoffice_nb.sandbox.money import half_up

if TYPE_CHECKING:
    import random

_SIZES = {"demo": 240, "kanzlei": 36}
_TERMS = (0, 14, 14, 30)
_OVERDUE_DAYS = (15, 46, 75, 95)
_PARTLY_PAID = 46  # so that there is one for certain, whatever is drawn
_SELDOM = 3
_RENAMED_DAYS = 365


def draw_invoices(
    draw: random.Random, day: date, organisation: str, customers: tuple[Customer, ...], small_business: bool
) -> list[Voucher]:
    """All invoices, oldest first, without ids, numbers and payments; none is later than the day of the books."""
    regular = tuple(each for each in customers if not each.entry.seldom and not each.entry.special)
    plans = _plan(draw, day, _SIZES[organisation])
    drawn = [_draw_invoice(draw, day, plan, regular, small_business) for plan in plans]
    for customer in customers:
        if customer.entry.seldom:
            _give_small_ones(drawn, customer)
    drawn = [_under_its_name_then(each, day) for each in drawn]
    drawn.sort(key=lambda invoice: invoice.day)
    return drawn


def first_of_month(day: date, back: int) -> date:
    """The first day of the month so many months before a day."""
    months = day.year * 12 + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)


def touched(created: datetime, day: date, today: date, minute: int) -> datetime:
    """When something was updated that happened on a day, given that the books end with the first minutes of today."""
    return at(day, time(10, minute)) if created.date() < day < today else created


@dataclass(frozen=True)
class _Plan:
    day: date
    term: int
    status: str
    partly_paid: bool = False


def _plan(draw: random.Random, day: date, size: int) -> list[_Plan]:
    """When invoices are written and what becomes of them."""
    firsts = [first_of_month(day, back) for back in range(24)][: size // 3]
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


def _draw_invoice(
    draw: random.Random, day: date, plan: _Plan, customers: tuple[Customer, ...], small_business: bool
) -> Voucher:
    customer = None if draw.random() < 0.03 else draw.choice(customers)
    private = customer is None or customer.entry.person is not None
    tax_type = "gross" if private or draw.random() < 0.15 else "net"
    if small_business:
        tax_type = "vatfree"
    items = tuple(_draw_item(draw) for _ in range(draw.choice((1, 1, 2, 2, 3, 4))))
    rates = rates_of(items, tax_type)
    gross = sum(each.gross for each in rates)
    open_cents: int | None = {"open": gross, "paid": 0, "voided": 0}.get(plan.status)
    if plan.status == "open" and (plan.partly_paid or draw.random() < 0.15):
        open_cents = gross - half_up(gross * draw.choice((25, 50, 60)), 100)
    created = at(plan.day, time(0, 1) if plan.day == day else time(draw.randrange(8, 18), draw.randrange(60)))
    later = plan.day + timedelta(draw.randrange(1, 45))
    moved = plan.status in ("paid", "voided") and plan.day < later < day
    return Voucher(
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
        open=open_cents,
        created=created,
        updated=touched(created, later, day, draw.randrange(60)) if moved else created,
        archived=plan.status == "paid" and (day - plan.day).days > 600,
    )


def _give_small_ones(drawn: list[Voucher], customer: Customer) -> None:
    # A name that is made to be displayed wrongly should be met when reading invoices, and not lead every chart of
    # debtors or revenue.
    places = [n for n, each in enumerate(drawn) if each.status == "paid" and each.customer and not each.archived]
    small = sorted(places, key=lambda n: drawn[n].gross)
    # The newest of the small ones, so that it is on the first page of a list, and the smallest.
    newest = max(small[: 4 * _SELDOM], key=lambda n: drawn[n].day)
    for n in [newest, *(n for n in small if n != newest)][:_SELDOM]:
        drawn[n] = replace(drawn[n], customer=customer)


def _under_its_name_then(invoice: Voucher, day: date) -> Voucher:
    former = None if invoice.customer is None else invoice.customer.entry.former
    return replace(invoice, name=former) if former and (day - invoice.day).days > _RENAMED_DAYS else invoice


def _draw_item(draw: random.Random) -> Item:
    service = draw.choice(SERVICES)
    quantity = draw.choice((25, 50, 75, 150, 225, 350)) if service.unit == "Stunde" else 100 * draw.randrange(1, 9)
    return line(service, quantity, draw.choice((0, 0, 0, 0, 0, 5, 10)))
