"""What surrounds the invoices: quotations and what they led to, down payments, credit notes, dunnings, templates.

Vouchers that came from one another name each other, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.books import Deduction, Item, Payment, Template, Voucher, at, line, make_id, rates_of
from lexoffice_nb.sandbox.catalogue import SERVICES, Service
from lexoffice_nb.sandbox.drawing import first_of_month, touched
from lexoffice_nb.sandbox.money import half_up
from lexoffice_nb.sandbox.special_cases import TEMPLATE_SERVICE, quotation_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox.books import Customer

_PREFIXES = {
    "creditnote": "GS",
    "downpaymentinvoice": "AR",
    "quotation": "AG",
    "orderconfirmation": "AB",
    "deliverynote": "LS",
    "dunning": "MA",
}
_REDUCED = 30  # percent of a project that each down payment asks for
_LARGE = (100_000, 20_000, 1)  # cents at 19 % from which an invoice is taken for a project, if there is one
_ADVICE = SERVICES[0]


@dataclass(frozen=True)
class Amounts:
    """How many there are of each kind of document around the invoices."""

    credits_of_a_part: int
    credits_alone: int
    projects: int
    accepted: int
    quotations: int
    dunnings: int


AMOUNTS = {"demo": Amounts(3, 3, 2, 5, 10, 4), "kanzlei": Amounts(1, 1, 0, 1, 2, 1)}


class SalesDocuments:
    """Makes the documents around an organisation's invoices, and notes in the invoices what they led to.

    Args:
        organisation: Its key.
        seed: Goes into the ids.
        day: The day of the books.
        invoices: Numbered, oldest first; they are replaced in place.
    """

    def __init__(self, organisation: str, seed: int, day: date, invoices: list[Voucher]) -> None:
        self.made: list[Voucher] = []
        self._organisation = organisation
        self._seed = seed
        self._day = day
        self._invoices = invoices
        self._amounts = AMOUNTS[organisation]
        self._used: set[int] = set()

    def make(self) -> list[Voucher]:
        """All of them."""
        for number in range(self._amounts.projects):
            self._project(paid=number == 0)
        for n in self._take(self._amounts.accepted, lambda each: each.status == "paid"):
            self._accepted(n)
        self._quotations()
        for n in self._take(self._amounts.credits_of_a_part, _open_in_full):
            self._credit(n, self._part_of(self._invoices[n]))
        for n in self._take(1, lambda each: _open_in_full(each) and not self._is_late(each)):
            self._credit(n, tuple(each for each in self._invoices[n].items if each.counts))
        self._credits_alone()
        for n in self._take(self._amounts.dunnings, lambda each: each.shown_status(self._day) == "overdue", again=True):
            self._dun(n)
        return self.made

    def _take(self, count: int, test: Callable[[Voucher], bool], again: bool = False) -> list[int]:
        fit = [
            n
            for n, each in enumerate(self._invoices)
            if test(each)
            and (again or n not in self._used)
            and each.customer is not None
            and not each.customer.entry.seldom
            and each.skonto is None
            and each.template is None
            and each.profile == "NONE"
        ]
        taken = [fit[(2 * step + 1) * len(fit) // (2 * count)] for step in range(min(count, len(fit)))]
        self._used.update(taken)
        return taken

    def _is_late(self, invoice: Voucher) -> bool:
        return invoice.due is not None and invoice.due < self._day

    def _like(self, model: Voucher, kind: str, day: date, status: str, items: tuple[Item, ...], **more: Any) -> Voucher:
        """A document for the same customer under the same tax conditions."""
        n = sum(each.kind == kind for each in self.made)
        day = min(day, self._day)
        created = at(day, time(0, 1) if day == self._day else time(9, n % 60))
        made = Voucher(
            id=make_id(self._organisation, self._seed, f"{self._day}/{kind}", n),
            number=f"{_PREFIXES[kind]}{1001 + n}",
            customer=model.customer,
            name=model.name,
            day=day,
            due=None,
            term=model.term,
            status=status,
            tax_type=model.tax_type,
            items=items,
            rates=rates_of(items, model.tax_type),
            open=None,
            created=created,
            updated=created,
            kind=kind,
        )
        made = replace(made, **more)
        self.made.append(made)
        return made

    def _relate(self, n: int, *others: Voucher, **changes: Any) -> None:
        invoice = self._invoices[n]
        related = (*invoice.related, *(each.reference for each in others))
        self._invoices[n] = replace(invoice, related=related, **changes)

    # -- down payments

    def _project(self, paid: bool) -> None:
        def fits(invoice: Voucher, status: str, least: int) -> bool:
            at_19 = sum(each.net for each in invoice.rates if each.rate == 19)
            right = _open_in_full(invoice) if status == "open" else invoice.status == status
            return right and invoice.tax_type == "net" and at_19 >= least and not invoice.archived

        statuses = ("paid",) if paid else ("open", "paid")
        choices = (self._take(1, partial(fits, status=status, least=least)) for status in statuses for least in _LARGE)
        for n in next(filter(None, choices), ()):
            invoice = self._invoices[n]
            price = half_up(_REDUCED * sum(each.net for each in invoice.rates if each.rate == 19), 100)
            items = (line(Service("Abschlag nach Baufortschritt", "pauschal", price, 19), 100),)
            parts = []
            for before in (60, 30) if paid else (45,):
                day = invoice.day - timedelta(before)
                part = self._like(
                    *(invoice, "downpaymentinvoice", day, "paid", items),
                    due=day + timedelta(invoice.term),
                    open=0,
                    related=(invoice.reference,),
                    closed_by=invoice.id,
                )
                parts.append(replace(part, updated=touched(part.created, day + timedelta(12), self._day, 15)))
                self.made[-1] = parts[-1]
            deductions = tuple(Deduction(each.id, each.number, each.day, 19, each.net, each.tax) for each in parts)
            left = 0 if invoice.status == "paid" else invoice.gross - sum(each.gross for each in deductions)
            self._relate(n, *parts, closing=True, deductions=deductions, open=left)
            if not paid:  # one for a project that goes on, and one that is not sent yet
                day = self._day - timedelta(5)
                due = day + timedelta(invoice.term)
                going_on = self._like(invoice, "downpaymentinvoice", day, "open", items, due=due)
                self.made[-1] = replace(going_on, open=going_on.gross)
                self._like(invoice, "downpaymentinvoice", self._day, "draft", items)

    # -- quotations and what follows them

    def _accepted(self, n: int) -> None:
        invoice = self._invoices[n]
        day = invoice.day - timedelta(40)
        lines = tuple(each for each in invoice.items if each.counts)
        made = [
            self._like(
                *(invoice, "quotation", day, "accepted", quotation_lines(lines, _ADVICE)),
                expires=day + timedelta(30),
                related=(invoice.reference,),
            )
        ]
        for kind, after in (("orderconfirmation", 7), ("deliverynote", 30)):
            related = (made[0].reference, invoice.reference)
            made.append(self._like(invoice, kind, day + timedelta(after), "open", lines, related=related))
        first = len(self.made) - len(made)
        self.made[first] = replace(made[0], related=tuple(each.reference for each in (*made[1:], invoice)))
        self._relate(n, *made)

    def _quotations(self) -> None:
        models = [self._invoices[n] for n in self._take(self._amounts.quotations, lambda each: each.status == "paid")]
        statuses = ("open", "rejected", "draft", "open", "accepted")
        for number, model in enumerate(models):
            day = max(model.day, self._day - timedelta(30 * number + 3))
            items = quotation_lines(tuple(each for each in model.items if each.counts), _ADVICE)
            self._like(model, "quotation", day, statuses[number % 5], items, expires=day + timedelta(30))
            if number % 3 == 0:
                for kind in ("orderconfirmation", "deliverynote"):
                    self._like(model, kind, day, "open" if number else "draft", model.items)

    # -- credit notes

    def _part_of(self, invoice: Voucher) -> tuple[Item, ...]:
        first = next(each for each in invoice.items if each.counts)
        if sum(each.counts for each in invoice.items) > 1:
            return (first,)
        return (
            replace(line(first.service, first.quantity // 2, first.discount), kind=first.kind, article=first.article),
        )

    def _credit(self, n: int, items: tuple[Item, ...]) -> None:
        """A credit note out of an invoice settles it, or a part of it, at once."""
        invoice = self._invoices[n]
        day = min(invoice.day + timedelta(6), self._day)
        note = self._like(invoice, "creditnote", day, "paidoff", items, open=0, related=(invoice.reference,))
        settled = Payment("partPaymentCreditNote", note.day, note.gross)
        self.made[-1] = replace(note, payments=(settled,))
        left = invoice.gross - note.gross
        moment = max(invoice.created, touched(invoice.created, day, self._day, 45))
        status = "open" if left else "paid"
        self._relate(n, note, status=status, open=left, payments=(settled,), updated=moment)

    def _credits_alone(self) -> None:
        models = self._take(self._amounts.credits_alone, lambda each: each.status == "paid" and not each.archived)
        for number, model in enumerate(self._invoices[n] for n in models):
            note = self._like(model, "creditnote", model.day + timedelta(50), "open", self._part_of(model))
            self.made[-1] = replace(note, open=note.gross)
            if number == 1:  # paid out
                day = min(note.day + timedelta(5), self._day)
                self.made[-1] = replace(
                    note,
                    status="paidoff",
                    open=0,
                    payments=(Payment("partPaymentFinancialTransaction", day, note.gross),),
                    updated=touched(note.created, day, self._day, 5),
                )
            for status, left in (("draft", None), ("voided", 0)) if number == 2 else ():
                self._like(model, "creditnote", self._day - timedelta(2), status, self._part_of(model), open=left)

    def _dun(self, n: int) -> None:
        invoice = self._invoices[n]
        day = min((invoice.due or invoice.day) + timedelta(10), self._day)
        self._relate(n, self._like(invoice, "dunning", day, "draft", invoice.items, related=(invoice.reference,)))


def _open_in_full(invoice: Voucher) -> bool:
    return invoice.status == "open" and invoice.open == invoice.gross


def make_templates(
    organisation: str, seed: int, day: date, customers: tuple[Customer, ...], small_business: bool
) -> tuple[Template, ...]:
    """The recurring templates; invoices come from the first."""
    templates = []
    start, following = first_of_month(day, 23), first_of_month(day, -1)
    services = (TEMPLATE_SERVICE, SERVICES[0], SERVICES[4])
    for n, (customer, service) in enumerate(zip(customers, services, strict=False)):
        items, tax_type = (line(service, 100),), "vatfree" if small_business else "net"
        created = at(start - timedelta(n + 1), time(11, n))
        voucher = Voucher(
            id=make_id(organisation, seed, f"{day}/template", n),
            number="",
            customer=customer,
            day=start,
            due=None,
            term=14,
            status="draft",
            tax_type=tax_type,
            items=items,
            rates=rates_of(items, tax_type),
            open=None,
            created=created,
            updated=created,
            kind="recurringtemplate",
        )
        templates.append(Template(voucher.id, voucher, start, following, first_of_month(day, 0) if n == 0 else None))
    return tuple(templates)
