"""The books of an organisation, drawn from a seed, and the figures they must lead to.

All money is integer cents. `Ledger.expected` is written down from the vouchers themselves, before any JSON exists, so
that a test can hold a client's figures against it without going through the code that serves them.
"""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import time, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.bookkeeping import draw_vouchers
from lexoffice_nb.sandbox.books import BERLIN, Article, Customer, Template, Voucher, at, make_id
from lexoffice_nb.sandbox.catalogue import CUSTOMERS, SERVICES, VENDORS
from lexoffice_nb.sandbox.drawing import draw_invoices
from lexoffice_nb.sandbox.expected import AGEING_BUCKETS, Expected
from lexoffice_nb.sandbox.payments import pay
from lexoffice_nb.sandbox.people import PEOPLE, Organisation
from lexoffice_nb.sandbox.sales_documents import SalesDocuments, make_templates
from lexoffice_nb.sandbox.special_cases import SpecialCases

if TYPE_CHECKING:
    from datetime import date

__all__ = ["AGEING_BUCKETS", "BERLIN", "Ledger", "build_ledger", "build_ledgers"]

_SUBSCRIBERS = 3


@dataclass(frozen=True)
class Ledger:
    """The books of one organisation, as of the day they were opened on.

    Attributes:
        customers: Contacts that buy; one of them may be a vendor too.
        vendors: Contacts that only sell to the organisation.
        invoices: Oldest first.
        others: Every other voucher: around the invoices (dunnings too, which no list shows), and bookkeeping.
        expected: The figures, without the extra vouchers.
        seed: What it all was drawn from.
        extra_vouchers: How many generated vouchers there are besides (`extra_vouchers.py`).
    """

    organisation: Organisation
    organisation_id: str
    day: date
    customers: tuple[Customer, ...]
    vendors: tuple[Customer, ...]
    articles: tuple[Article, ...]
    templates: tuple[Template, ...]
    invoices: tuple[Voucher, ...]
    others: tuple[Voucher, ...]
    expected: Expected
    seed: int = 1
    extra_vouchers: int = 0

    @property
    def contacts(self) -> tuple[Customer, ...]:
        """Everybody."""
        return (*self.customers, *self.vendors)

    @cached_property
    def by_id(self) -> dict[str, Voucher]:
        """Every voucher."""
        return {each.id: each for each in (*self.invoices, *self.others)}

    @cached_property
    def amount_as_text(self) -> str:
        """The voucher of whose payments the open amount is a text and not a number: one that is partly paid."""
        return next(each.id for each in self.invoices if each.open and each.payments and not each.deductions)


def build_ledgers(seed: int, day: date, extra_vouchers: int = 0) -> dict[str, Ledger]:
    """The books of every organisation; the demo one has the extra vouchers."""
    drawn = {person.organisation.key: build_ledger(seed, day, person.organisation) for person in PEOPLE.values()}
    # The figures are what could be changed: those who ask for one that is not there put it in.
    ledgers = {key: replace(ledger, expected=deepcopy(ledger.expected)) for key, ledger in drawn.items()}
    ledgers["demo"] = replace(ledgers["demo"], extra_vouchers=extra_vouchers)
    return ledgers


@lru_cache(maxsize=8)
def build_ledger(seed: int, day: date, organisation: Organisation) -> Ledger:
    """The books of one organisation; equal arguments give equal books, so they are drawn once."""
    key, small = organisation.key, organisation.small_business
    draw = random.Random(f"{seed}/{key}")  # noqa: S311 - invented books, no secret
    customers, vendors = _contacts(key, seed)
    articles = tuple(
        Article(make_id(key, seed, "article", n), f"A-{100 + n}", service, at(day - timedelta(800 - n), time(10)))
        for n, service in enumerate(SERVICES[:8])
    )
    regular = tuple(each for each in customers if not each.entry.special and not each.entry.seldom)
    subscribers = tuple(each for each in regular if each.entry.person is None)[-_SUBSCRIBERS:]
    templates = make_templates(key, seed, day, subscribers, small)
    drawn = draw_invoices(draw, day, key, customers, small)
    SpecialCases(drawn, day, small).make(customers, articles, templates[0].id, subscribers[0].id)
    drawn.sort(key=lambda invoice: invoice.day)
    # The day is part of the identity, because another day gives another invoice of the same number.
    invoices = [
        replace(invoice, id=make_id(key, seed, f"{day}/invoice", n), number=f"RE{1001 + n}")
        for n, invoice in enumerate(drawn)
    ]
    around = SalesDocuments(key, seed, day, invoices).make()
    booked = draw_vouchers(
        random.Random(f"{seed}/{key}/vouchers"),  # noqa: S311 - invented books, no secret
        *(seed, day, key, regular, (*vendors, *(each for each in regular if each.vendor_number)), small),
    )
    invoices, others = pay(invoices, day), pay([*around, *booked], day)
    expected = Expected()
    for voucher in (*invoices, *others):
        expected.write_down(voucher)
    return Ledger(
        organisation=organisation,
        organisation_id=make_id(key, 0, "organisation", 0),
        day=day,
        customers=customers,
        vendors=vendors,
        articles=articles,
        templates=templates,
        invoices=tuple(invoices),
        others=tuple(others),
        expected=expected,
        seed=seed,
    )


def _contacts(key: str, seed: int) -> tuple[tuple[Customer, ...], tuple[Customer, ...]]:
    """Customers are numbered from 10001, vendors from 70001."""
    entries = [*CUSTOMERS[key], *VENDORS[key]]
    sellers = {n: 70001 + place for place, n in enumerate(_places(key))}
    contacts = tuple(
        Customer(
            make_id(key, seed, "contact", n), 10001 + n if n < len(CUSTOMERS[key]) else None, entry, sellers.get(n)
        )
        for n, entry in enumerate(entries)
    )
    return contacts[: len(CUSTOMERS[key])], contacts[len(CUSTOMERS[key]) :]


def _places(key: str) -> list[int]:
    both = [n for n, entry in enumerate(CUSTOMERS[key]) if entry.vendor_too]
    return both + [len(CUSTOMERS[key]) + n for n in range(len(VENDORS[key]))]
