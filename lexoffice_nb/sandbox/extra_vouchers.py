"""As many vouchers as one likes, beyond the drawn books: each follows from its number, and none is kept in memory.

The list has a row for each; its document is made when somebody asks for it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from lexoffice_nb.sandbox.books import Item, Payment, Voucher, at, line, make_id, rates_of
from lexoffice_nb.sandbox.catalogue import EXPENSE, INCOME, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.sandbox.books import Customer
    from lexoffice_nb.sandbox.ledger import Ledger
    from lexoffice_nb.sandbox.money import RateSum

_YEARS = 8
_DAYS = _YEARS * 365
_TERM = 14
_YOUNG = 45  # days; what is older is settled
_MASK = (1 << 64) - 1
# Kind, prefix of its number; sixteen of equal share.
_KINDS = (
    *[("invoice", "RX")] * 9,
    *[("purchaseinvoice", "EX")] * 3,
    *[("salesinvoice", "KX")] * 2,
    ("creditnote", "GX"),
    ("quotation", "AX"),
)
_SETTLED = {"creditnote": "paidoff", "quotation": "accepted"}


class _Plan(NamedTuple):
    kind: str
    number: str
    status: str
    back: int
    second: int
    moved: int
    wares: int
    contact: int


class ExtraVouchers:
    """The extra vouchers of an organisation's books."""

    def __init__(self, ledger: Ledger) -> None:
        self._count = ledger.extra_vouchers
        self._day = ledger.day
        self._seed = ledger.seed
        self._prefix = make_id(ledger.organisation.key, ledger.seed, f"{ledger.day}/extra", 0)[:24]
        self._customers = tuple(each for each in ledger.customers if not each.entry.special and not each.entry.seldom)
        self._vendors = ledger.vendors
        self._wares = tuple(_ware(n) for n in range(64)) if self._count else ()

    def rows(
        self, number_of: Callable[[str, str], int]
    ) -> Iterator[tuple[str, int, str, int, int, int, int | None, str, str, int, int | None]]:
        """The rows of the list, as `voucher_rows.Stored` has them; `number_of` numbers a kind with a status."""
        if not self._count:
            return
        base = self._day.toordinal()
        midnights = [_midnight(self._day - timedelta(back)) for back in range(_DAYS + 2)]
        grosses = [sum(each.gross for each in rates) for _, rates in self._wares]
        names = [[(each.id, each.name) for each in group] for group in (self._customers, self._vendors)]
        for n in range(self._count):
            kind, number, status, back, second, moved, wares, contact = self._plan(n)
            group = names[kind == "purchaseinvoice"]
            who, name = group[contact % len(group)]
            gross, created = grosses[wares], midnights[back] + second
            yield (
                f"{self._prefix}{n:012x}",
                number_of(kind, status),
                number,
                base - back,
                created,
                midnights[back - moved] + second if moved else created,
                None if kind in _SETTLED or status == "draft" else base - back + _TERM,
                who,
                name,
                gross,
                _open(kind, status, gross),
            )

    def find(self, voucher_id: str) -> Voucher | None:
        """The voucher with an id, if it is one of these."""
        if not voucher_id.startswith(self._prefix) or not self._count:
            return None
        n = int(voucher_id[24:], 16)
        return self._voucher(n) if n < self._count and voucher_id == f"{self._prefix}{n:012x}" else None

    def _plan(self, n: int) -> _Plan:
        # What a number leads to: its bits, stirred.
        h = (n * 0x9E3779B97F4A7C15 + self._seed * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        h ^= h >> 27
        kind, prefix = _KINDS[h & 15]
        back = 1 + (h >> 4) % _DAYS
        moved = 1 + (h >> 16) % 30
        if back > _YOUNG or (h >> 21) & 1:
            status = _SETTLED.get(kind, "paid")
        else:
            status = "draft" if kind == "invoice" and not (h >> 22) & 7 else "open"
        if moved >= back or status in ("draft", "open"):
            moved = 0
        return _Plan(
            kind, f"{prefix}{n + 1:07}", status, back, 30_000 + (h >> 32) % 30_000, moved, (h >> 25) & 63, h >> 40
        )

    def _voucher(self, n: int) -> Voucher:
        plan = self._plan(n)
        bought, booked = plan.kind == "purchaseinvoice", plan.kind in ("purchaseinvoice", "salesinvoice")
        group: tuple[Customer, ...] = self._vendors if bought else self._customers
        day = self._day - timedelta(plan.back)
        items, rates = self._wares[plan.wares]
        gross = sum(each.gross for each in rates)
        updated = _moment(day + timedelta(plan.moved), plan.second)
        paid = plan.status in ("paid", "paidoff")
        payments = (Payment("partPaymentFinancialTransaction", updated.date(), gross),) if paid else ()
        return Voucher(
            id=f"{self._prefix}{n:012x}",
            number=plan.number,
            customer=group[plan.contact % len(group)],
            day=day,
            due=None if plan.kind in _SETTLED or plan.status == "draft" else day + timedelta(_TERM),
            term=_TERM,
            status=plan.status,
            tax_type="net",
            items=() if booked else items,
            rates=rates,
            open=_open(plan.kind, plan.status, gross),
            created=_moment(day, plan.second),
            updated=updated,
            kind=plan.kind,
            payments=payments,
            expires=day + timedelta(30) if plan.kind == "quotation" else None,
            category=EXPENSE if bought else INCOME if booked else None,
        )


def _ware(n: int) -> tuple[tuple[Item, ...], tuple[RateSum, ...]]:
    items = (line(SERVICES[n % 8], 100 * (1 + n // 8)),)
    return items, rates_of(items, "net")


def _open(kind: str, status: str, gross: int) -> int | None:
    if kind == "quotation" or status == "draft":
        return None
    return gross if status == "open" else 0


def _midnight(day: date) -> int:
    return int(at(day, time()).timestamp())


def _moment(day: date, second: int) -> datetime:
    return datetime.fromtimestamp(_midnight(day) + second, UTC)
