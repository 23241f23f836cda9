"""Bookkeeping vouchers: sales written elsewhere, and what the organisation bought."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.books import Payment, Voucher, at, make_id
from lexoffice_nb.sandbox.catalogue import EXPENSE, INCOME, INCOME_OF_SMALL_BUSINESS
from lexoffice_nb.sandbox.drawing import touched
from lexoffice_nb.sandbox.money import sum_rates

if TYPE_CHECKING:
    import random

    from lexoffice_nb.sandbox.books import Customer

# Kind, status, how many days ago (None: any time), in this order first; what follows is drawn.
_CERTAIN: tuple[tuple[str, str, int | None], ...] = (
    ("salesinvoice", "open", 5),
    ("salesinvoice", "open", 60),
    ("salesinvoice", "sepadebit", 3),
    ("salesinvoice", "sepadebit", 40),
    ("salesinvoice", "voided", None),
    ("salesinvoice", "unchecked", 2),
    ("salescreditnote", "paidoff", None),
    ("salescreditnote", "open", 20),
    ("purchaseinvoice", "open", 4),
    ("purchaseinvoice", "open", 50),
    ("purchaseinvoice", "transferred", 6),
    ("purchaseinvoice", "unchecked", 1),
    ("purchaseinvoice", "unchecked", 9),
    ("purchasecreditnote", "paidoff", None),
    ("purchasecreditnote", "open", 15),
)
_SIZES = {"demo": 70, "kanzlei": 20}
_RATES = ((19,), (19,), (19,), (7,), (19, 7), (0,), (19, 0))
_TERM = 14


def draw_vouchers(
    draw: random.Random,
    seed: int,
    day: date,
    organisation: str,
    customers: tuple[Customer, ...],
    vendors: tuple[Customer, ...],
    small_business: bool,
) -> list[Voucher]:
    """All bookkeeping vouchers, oldest first, without payments."""
    plans = list(_CERTAIN)
    while len(plans) < _SIZES[organisation]:
        plans.append((draw.choice(("salesinvoice", "purchaseinvoice", "purchaseinvoice")), "paid", None))
    drawn = []
    for kind, status, ago in plans:
        written = day - timedelta(draw.randrange(25, 700) if ago is None else ago)
        sale = kind.startswith("sales")
        contact = draw.choice(customers if sale else vendors)
        tax_type = draw.choice(("gross", "gross", "net")) if status != "unchecked" else "gross"
        rates = (0,) if sale and small_business else draw.choice(_RATES)
        sums = sum_rates(((rate, draw.randrange(500, 90_000)) for rate in rates), tax_type)
        created = at(written, time(0, 1) if written == day else time(12, draw.randrange(60)))
        gross = sum(each.gross for each in sums)
        left = {"paid": 0, "paidoff": 0, "voided": 0, "unchecked": None}.get(status, gross)
        later = touched(created, written + timedelta(draw.randrange(2, 25)), day, draw.randrange(60))
        collective = sale and draw.random() < 0.4
        drawn.append(
            Voucher(
                id="",
                number="",
                customer=None if collective else contact,
                day=written,
                due=written + timedelta(_TERM),
                term=_TERM,
                status=status,
                tax_type=tax_type,
                items=(),
                rates=sums,
                open=left,
                created=created,
                updated=later if status in ("paid", "paidoff", "voided") else created,
                kind=kind,
                category=EXPENSE if not sale else INCOME_OF_SMALL_BUSINESS if small_business else INCOME,
            )
        )
    drawn.sort(key=lambda voucher: voucher.day)
    named = [
        replace(each, id=make_id(organisation, seed, f"{day}/voucher", n), number=_number(each, n))
        for n, each in enumerate(drawn)
    ]
    return [_paid_off(each) for each in named]


def _number(voucher: Voucher, n: int) -> str:
    if voucher.kind == "salesinvoice" and n % 7 == 3:
        return f"Kasse & Café {n}"  # to be escaped by whoever looks for it
    return f"{voucher.day.year}-{4711 + n}" if voucher.kind.startswith("sales") else f"{voucher.day:%y%m}/{880 + 3 * n}"


def _paid_off(voucher: Voucher) -> Voucher:
    if voucher.status != "paidoff":
        return voucher
    item = Payment("partPaymentFinancialTransaction", voucher.updated.date(), voucher.gross)
    return replace(voucher, payments=(item,))
