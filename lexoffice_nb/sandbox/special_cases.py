"""Some of the drawn invoices become what analyses stumble over.

Tax-free ones, e-invoices, Skonto, the nights on which the clocks change, and invoices out of a recurring template.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.books import BERLIN, Item, Voucher, line, rates_of
from lexoffice_nb.sandbox.catalogue import SERVICES, Service
from lexoffice_nb.sandbox.drawing import touched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lexoffice_nb.sandbox.books import Article, Customer

TEMPLATE_SERVICE = next(each for each in SERVICES if each.name == "Softwarepflege")
_SKONTO = (2, 10)  # percent, days
_NOTE = Service("Leistungszeitraum wie vereinbart", "", 0, 0)


class SpecialCases:
    """Changes invoices in place, each at most once; those that are chosen are spread over the years.

    Args:
        invoices: Oldest first, without numbers.
        day: The day of the books.
        small_business: Nothing bears tax, so there is nothing special about taxes either.
    """

    def __init__(self, invoices: list[Voucher], day: date, small_business: bool) -> None:
        self._invoices = invoices
        self._day = day
        self._usual = "vatfree" if small_business else "net"
        self._used: set[int] = set()

    def make(self, customers: Sequence[Customer], articles: Sequence[Article], template: str, subscriber: str) -> None:
        """Make every case that the books have customers for; `subscriber` is whom the template is for."""
        self._clock_changes()
        self._from_template(template, next(each for each in customers if each.id == subscriber))
        for customer in customers:
            if customer.entry.buyer_reference:
                for n in self._take(4):
                    reference = customer.entry.buyer_reference
                    self._change(n, customer=customer, name=None, profile="XRechnung", buyer_reference=reference)
            if customer.entry.special and customer.entry.country != "DE":
                for n in self._take(3):
                    self._change(n, customer=customer, name=None, tax_type="intraCommunitySupply")
        if self._usual == "net":
            for n in self._take(3):
                self._change(n, tax_type="constructionService13b")
            for n in self._take(6):
                self._change(n, profile="EN16931")
        for n in self._take(max(2, len(self._invoices) // 20), lambda invoice: invoice.term > 0):
            self._change(n, skonto=_SKONTO)
        self._mention(articles)

    def _take(self, count: int, test: Callable[[Voucher], bool] = lambda _: True) -> list[int]:
        """Invoices of usual tax to companies that are paid, or open in full."""
        fit = [
            n
            for n, each in enumerate(self._invoices)
            if n not in self._used
            and each.tax_type == self._usual
            and each.customer is not None
            and each.customer.entry.person is None
            and not each.customer.entry.seldom
            and (each.status == "paid" or (each.status == "open" and each.open == each.gross))
            and test(each)
        ]
        taken = [fit[(2 * step + 1) * len(fit) // (2 * count)] for step in range(min(count, len(fit)))]
        self._used.update(taken)
        return taken

    def _change(self, n: int, **changes: Any) -> None:
        changed = replace(self._invoices[n], **changes)
        changed = replace(changed, rates=rates_of(changed.items, changed.tax_type))
        self._invoices[n] = replace(changed, open=0 if changed.status == "paid" else changed.gross)

    def _clock_changes(self) -> None:
        # The hour from two to three comes twice in one night and not at all in the other.
        for month, clock in ((10, datetime.min.time().replace(hour=2, minute=30, fold=1)), (3, time(3, 5))):
            day = _last_sunday(self._day - timedelta(30), month)
            created = datetime.combine(day, clock, BERLIN)
            for n in self._take(1, lambda each: each.status == "paid" and not each.archived and each.term > 0):
                moved = touched(created, day + timedelta(9), self._day, 30)
                due = day + timedelta(self._invoices[n].term)
                self._change(n, day=day, due=due, created=created, updated=moved)

    def _from_template(self, template: str, customer: Customer) -> None:
        for n in self._take(6, lambda each: each.day.day == 1):
            self._change(n, template=template, customer=customer, name=None, items=(line(TEMPLATE_SERVICE, 100),))

    def _mention(self, articles: Sequence[Article]) -> None:
        """Every third invoice takes its lines from the price list; some have a line that is only text."""
        known = {each.service: each.id for each in articles}
        for n, invoice in enumerate(self._invoices):
            items: list[Item] = list(invoice.items)
            if n % 3 == 0:
                kind = {True: "material", False: "service"}
                items = [
                    replace(each, kind=kind[each.service.unit == "Stück"], article=known[each.service])
                    for each in items
                    if each.service in known
                ]
                items = items if len(items) == len(invoice.items) else list(invoice.items)
            if n % 10 == 0:
                items.append(Item(_NOTE, 0, 0, 0, kind="text"))
            self._invoices[n] = replace(invoice, items=tuple(items))


def _last_sunday(before: date, month: int) -> date:
    """The last Sunday of a month, in the newest year in which it is before a day."""
    for year in (before.year, before.year - 1):
        last = date(year, month, 31)
        sunday = last - timedelta((last.weekday() + 1) % 7)
        if sunday < before:
            return sunday
    raise AssertionError("a year has every month")


def quotation_lines(items: tuple[Item, ...], extra: Service) -> tuple[Item, ...]:
    """The lines of a quotation: below the first something else instead of it, at the end something to choose."""
    instead = replace(line(SERVICES[1], 100), alternative=True)
    option = replace(line(extra, 100), optional=True)
    return (replace(items[0], parts=(instead,)), *items[1:], option)
