"""Each report against the ledger's integer cents, on every engine; the figures were written down before any JSON."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars
import pytest

from lexoffice_nb.books import reports
from lexoffice_nb.books.reports import BUCKETS, Frames, collect
from lexoffice_nb.books.reports.vat import share
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.sandbox.books import MONEY
from lexoffice_nb.sandbox.expected import COLLECTIVE, Expected
from lexoffice_nb.sandbox.money import half_up
from tests.books.frames import DAYS, ENGINES, USUAL, Made, books, frames, only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lexoffice_nb.sandbox.books import Voucher

ROOT = Path(__file__).parents[2]
SIGNS = {"invoice": 1, "downpaymentinvoice": 1, "salesinvoice": 1, "creditnote": -1, "salescreditnote": -1}
NOT_BOOKED = ("draft", "unchecked", "voided")
WHOLE = [("demo", DAYS[0], 1), ("demo", DAYS[1], 7), ("kanzlei", DAYS[0], 1)]
EVER = (date(2000, 1, 1), date(2100, 1, 1))


@cache
def _frames(which: tuple[str, date, int], engine: str) -> Frames:
    return frames(books(*which).tables, engine)


# All engines on one set of books, all books on one engine; every pair in `make soak`.
PAIRS = [
    pytest.param(
        (which, engine),
        id=f"{which[0]}-{which[1]:%Y-%m}-{engine}",
        marks=[] if engine == ENGINES[0] or which == WHOLE[0] else pytest.mark.soak,
    )
    for which in WHOLE
    for engine in ENGINES
]


# Two engines that differ most; all four in `make soak`.
@pytest.fixture(params=[pytest.param(each, marks=[] if each in USUAL else pytest.mark.soak) for each in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=PAIRS)
def whole(request: pytest.FixtureRequest) -> tuple[Made, Frames]:
    """All books of an organisation, and the tables of them on an engine."""
    which, engine = request.param
    return books(*which), _frames(which, engine)


def cents(amount: Decimal) -> int:
    assert isinstance(amount, Decimal)
    assert amount.as_tuple().exponent == -2
    return int(amount * 100)


def filled(sums: dict[Any, int]) -> dict[Any, int]:
    """Without what came to nothing."""
    return {key: value for key, value in sums.items() if value}


def months(made: Made) -> list[str]:
    return sorted({f"{each.day:%Y-%m}" for each in _sold(made)} | {month for month, _ in made.expected.tax_when_paid})


def _sold(made: Made) -> list[Voucher]:
    return [each for each in made.vouchers if each.kind in SIGNS and each.status not in NOT_BOOKED]


def quarter(month: str) -> str:
    return f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"


def summed(sums: dict[str, int], of: Callable[[str], str]) -> dict[str, int]:
    result: dict[str, int] = defaultdict(int)
    for key, value in sums.items():
        result[of(key)] += value
    return result


# -- revenue


@pytest.mark.parametrize("basis", ["gross", "net"])
@pytest.mark.parametrize(("by", "of"), [("month", str), ("quarter", quarter), ("year", lambda month: month[:4])])
def test_revenue_over_time_equals_the_ledger(whole, by, of, basis):
    made, on = whole
    rows = collect(reports.revenue(on, by, basis))
    expected = made.expected.revenue_gross if basis == "gross" else made.expected.revenue_net
    assert filled({row["period"]: cents(row["revenue"]) for row in rows}) == filled(summed(expected, of))
    assert sum(row["count"] for row in rows) == len(_sold(made))


@pytest.mark.parametrize("basis", ["gross", "net"])
def test_revenue_by_customer_equals_the_ledger(whole, basis):
    made, on = whole
    rows = collect(reports.revenue(on, "customer", basis))
    expected = made.expected.revenue_by_customer
    if basis == "net":
        expected = defaultdict(int)
        for each in _sold(made):
            net = each.net - sum(one.net for one in each.deductions)
            expected[COLLECTIVE if each.customer is None else each.customer.id] += SIGNS[each.kind] * net
    assert {row["contact_id"] or COLLECTIVE: cents(row["revenue"]) for row in rows} == expected
    assert [row["revenue"] for row in rows] == sorted((row["revenue"] for row in rows), reverse=True)


def test_periods_without_revenue_are_there_with_nothing(engine):
    made = books()
    first, *_, last = sorted(_sold(made), key=lambda each: each.day)
    rows = collect(reports.revenue(frames(only(made, [first, last]).tables, engine), "month"))
    assert [row["period"] for row in (rows[0], rows[-1])] == [f"{first.day:%Y-%m}", f"{last.day:%Y-%m}"]
    between = (last.day.year - first.day.year) * 12 + last.day.month - first.day.month - 1
    assert [(row["revenue"], row["count"]) for row in rows[1:-1]] == [(Decimal("0.00"), 0)] * between


def test_gross_revenue_needs_the_list_alone_but_for_what_closing_invoices_deduct(whole, engine):
    made, _ = whole
    listed = {name: rows if name == "vouchers" else [] for name, rows in made.tables.items()}
    sums = {row["period"]: cents(row["revenue"]) for row in collect(reports.revenue(frames(listed, engine)))}
    for each in _sold(made):
        sums[f"{each.day:%Y-%m}"] -= SIGNS[each.kind] * sum(one.gross for one in each.deductions)
    assert filled(sums) == filled(made.expected.revenue_gross)


# -- customers and articles


def test_the_top_customers_equal_the_ledger(whole):
    made, on = whole
    rows = collect(reports.customers(on, 5))
    all_of_it = sum(made.expected.revenue_by_customer.values())
    assert [(row["contact_id"] or COLLECTIVE, cents(row["revenue"])) for row in rows] == made.expected.top_customers(5)
    for row in rows:
        assert row["share"] == (row["revenue"] * 100 / all_of_it).quantize(Decimal("0.0001"))
        of_this = [each for each in _sold(made) if (each.customer and each.customer.id) == row["contact_id"]]
        assert row["count"] == len(of_this)


def test_a_renamed_customer_is_one_under_the_newest_name(engine):
    made, on = books(), _frames(WHOLE[0], engine)
    renamed = next(each for each in made.ledger.customers if each.entry.former)
    former = [row for row in made.tables["vouchers"] if row["contact_name"] == renamed.entry.former]
    named = [row for row in collect(reports.customers(on, None)) if row["contact_id"] == renamed.id]
    assert former
    assert [row["customer"] for row in named] == [renamed.name]
    without = frames(made.tables | {"contacts": []}, engine)
    assert [row for row in collect(reports.customers(without, None)) if row["contact_id"] == renamed.id] == named


def test_the_collective_contact_has_the_name_that_lists_give_it(whole):
    _, on = whole
    for plan in (reports.revenue(on, "customer"), reports.customers(on, None)):
        assert {row["customer"] for row in collect(plan) if row["contact_id"] is None} <= {"Sammelkunde"}
    assert all(row["customer"] for row in collect(reports.customers(on, None)))


def test_names_with_markup_stay_the_text_that_they_are(engine):
    made = books()
    strange = [each for each in made.ledger.customers if "<" in each.name]
    names = {row["customer"] for row in collect(reports.customers(_frames(WHOLE[0], engine), None))}
    assert strange
    assert {each.name for each in strange} <= names


def test_articles_are_the_lines_that_were_sold_net(whole):
    made, on = whole
    settled = {one.id for each in _sold(made) for one in each.deductions}
    sums: dict[Any, int] = defaultdict(int)
    gross: dict[Any, int] = defaultdict(int)
    lines: dict[Any, int] = defaultdict(int)
    for each in _sold(made):
        for item in each.items if each.id not in settled else ():
            if item.kind != "text":
                key = (item.article, "" if item.article else item.service.name)
                sums[key] += SIGNS[each.kind] * item.amount
                lines[key] += 1
                if each.tax_type == "gross":
                    gross[key, item.service.rate] += SIGNS[each.kind] * item.amount
    for (key, rate), amount in gross.items():
        sums[key] -= half_up(amount * rate, 100 + rate)
    rows = collect(reports.articles(on, None))
    found = {(row["article_id"], "" if row["article_id"] else row["article"]): row for row in rows}
    assert {key: cents(row["revenue"]) for key, row in found.items()} == sums
    assert {key: row["count"] for key, row in found.items()} == lines
    assert [row["share"] for row in rows] == [
        (row["revenue"] * 100 / sum(sums.values())).quantize(Decimal("0.0001")) for row in rows
    ]
    assert collect(reports.articles(on, 3)) == rows[:3]
    named = {each.id: each.service.name for each in made.ledger.articles}
    assert all(row["article"] == named[row["article_id"]] for row in rows if row["article_id"])


# -- open items


@pytest.mark.parametrize("later", [0, 1, 40, 400])
def test_open_items_and_their_age_equal_the_ledger_today_and_later(whole, later):
    made, on = whole
    day = made.ledger.day + timedelta(later)
    expected = made.expected
    rows = collect(reports.open_items(on, day, made.ledger.day))
    ages = collect(reports.ageing(on, day, made.ledger.day))
    owed: dict[str, int] = defaultdict(int)
    for item in expected.open_items:
        owed[item.contact] += item.cents
    assert {r["contact_id"] or COLLECTIVE: cents(r["total"]) for r in rows if r["total"]} == owed
    assert [row["late"] for row in ages] == list(BUCKETS)
    assert [cents(row["amount"]) for row in ages] == list(expected.ageing(day).values())
    assert [sum(cents(row[one]) for row in rows) for one in BUCKETS] == list(expected.ageing(day).values())
    assert sum(row["count"] for row in rows) == sum(row["count"] for row in ages) == len(expected.open_items)
    assert sum(cents(row["credits"]) for row in rows) == expected.open_credits
    if not later:
        assert rows == collect(reports.open_items(on, today=day))


@pytest.mark.parametrize("back", [1, 30, 99, 200, 365, 500])
def test_open_items_of_a_day_before_follow_from_what_was_booked_until_then(whole, back):
    made, on = whole
    day = made.ledger.day - timedelta(back)
    owed: dict[str, int] = defaultdict(int)
    late: dict[str, int] = defaultdict(int)
    credit = count = 0
    for each in _sold(made):
        left = each.claimed - sum(one.amount for one in each.payments if one.day <= day)
        if each.day > day or not left:
            continue
        if SIGNS[each.kind] < 0:
            credit += left
            continue
        days = (day - (each.due or day)).days
        count += 1
        owed[COLLECTIVE if each.customer is None else each.customer.id] += left
        late[BUCKETS[0 if days <= 0 else min(4, 1 + (days - 1) // 30)]] += left
    rows = collect(reports.open_items(on, day, made.ledger.day))
    assert {r["contact_id"] or COLLECTIVE: cents(r["total"]) for r in rows if r["total"]} == owed
    ages = collect(reports.ageing(on, day, made.ledger.day))
    assert filled({row["late"]: cents(row["amount"]) for row in ages}) == late
    assert sum(row["count"] for row in rows) == sum(row["count"] for row in ages) == count
    assert sum(cents(row["credits"]) for row in rows) == credit


def test_an_item_is_late_from_the_day_after_it_is_due_and_never_without_a_due_date(engine):
    made = books()
    one = next(each for each in made.vouchers if each.kind == "invoice" and each.open and not each.deductions)
    tables = only(made, [one]).tables
    on = frames(tables, engine)
    without = frames(tables | {"vouchers": [tables["vouchers"][0] | {"due_date": None}]}, engine)
    for days, bucket in [(0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3), (91, 4)]:
        day = one.due + timedelta(days)
        for asked, place in ((on, bucket), (without, 0)):
            ages = collect(reports.ageing(asked, day, one.day))
            assert {row["late"]: cents(row["amount"]) for row in ages if row["amount"]} == {BUCKETS[place]: one.open}


def test_without_its_payments_a_voucher_counts_then_with_what_is_open_now(engine):
    made = books()
    one = next(each for each in made.vouchers if each.kind == "invoice" and each.open and each.payments)
    tables = only(made, [one]).tables | {"payments": [], "payment_items": []}
    rows = collect(reports.open_items(frames(tables, engine), one.day, made.ledger.day))
    assert [cents(row["total"]) for row in rows] == [one.open]


# -- tax


def test_tax_by_the_date_of_the_voucher_equals_the_ledger_per_month_and_rate(whole):
    made, on = whole
    tax, net = {}, {}
    for month in months(made):
        for row in collect(reports.vat(on, *reports.days(month))):
            tax[month, row["tax_rate"]], net[month, row["tax_rate"]] = cents(row["tax"]), cents(row["net"])
    assert filled(tax) == filled(made.expected.tax)
    expected: dict[Any, int] = defaultdict(int)
    for each in _sold(made):
        for rate, amount in nets(each).items():
            expected[f"{each.day:%Y-%m}", rate] += SIGNS[each.kind] * amount
    assert filled(net) == filled(expected)


def nets(voucher: Voucher) -> dict[int, int]:
    left = {each.rate: each.net for each in voucher.rates}
    for each in voucher.deductions:
        left[each.rate] -= each.net
    return left


def test_tax_by_the_date_of_payment_equals_the_ledger_per_month_and_rate(whole):
    made, on = whole
    tax, net = {}, {}
    for month in months(made):
        for row in collect(reports.vat(on, *reports.days(month), basis="cash")):
            tax[month, row["tax_rate"]], net[month, row["tax_rate"]] = cents(row["tax"]), cents(row["net"])
    assert filled(tax) == filled(made.expected.tax_when_paid)
    expected: dict[Any, int] = defaultdict(int)
    for each in _sold(made):
        collected, borne = 0, dict.fromkeys(nets(each), 0)
        for payment in each.payments:
            collected += payment.amount if payment.kind in MONEY else 0
            for rate, amount in nets(each).items():
                part = half_up(amount * collected, each.claimed)
                expected[f"{payment.day:%Y-%m}", rate] += SIGNS[each.kind] * (part - borne[rate])
                borne[rate] = part
    assert filled(net) == filled(expected)


@pytest.mark.parametrize("basis", ["accrual", "cash"])
def test_tax_of_a_quarter_is_that_of_its_months(engine, basis):
    made, on = books(), _frames(WHOLE[0], engine)
    for asked in sorted({quarter(month) for month in months(made)})[-3:]:
        begin = 3 * int(asked[-1]) - 2
        parts: dict[Decimal, Decimal] = defaultdict(Decimal)
        for month in range(begin, begin + 3):
            for row in collect(reports.vat(on, *reports.days(f"{asked[:4]}-{month:02}"), basis)):
                parts[row["tax_rate"]] += row["tax"]
        assert parts == {row["tax_rate"]: row["tax"] for row in collect(reports.vat(on, *reports.days(asked), basis))}


def test_a_voucher_never_bears_more_than_all_of_its_tax():
    assert share(Decimal("19.00"), Decimal("59.50"), Decimal("119.00")) == Decimal("9.50")
    assert share(Decimal("0.01"), Decimal("0.50"), Decimal("1.00")) == Decimal("0.01")
    assert share(Decimal("19.00"), Decimal("125.00"), Decimal("119.00")) == Decimal("19.00")
    assert share(Decimal("0.00"), Decimal("5.00"), Decimal("0.00")) == Decimal("0.00")
    assert share(Decimal("19.00"), None, Decimal("119.00")) == Decimal("0.00")


def test_a_voucher_that_claims_nothing_or_less_bears_its_tax_when_that_is_settled():
    assert share(Decimal("-19.00"), None, Decimal("-119.00")) == Decimal("0.00")
    assert share(Decimal("-19.00"), Decimal("59.50"), Decimal("-119.00")) == Decimal("-9.50")
    assert share(Decimal("-19.00"), Decimal("119.00"), Decimal("-119.00")) == Decimal("-19.00")
    assert share(Decimal("-19.00"), Decimal("-119.00"), Decimal("-119.00")) == Decimal("-19.00")
    assert share(Decimal("19.00"), None, Decimal("0.00")) == Decimal("0.00")
    assert share(Decimal("19.00"), Decimal("0.00"), Decimal("0.00")) == Decimal("19.00")
    assert share(Decimal("19.00"), Decimal("-5.00"), Decimal("119.00")) == Decimal("-0.80")


@pytest.mark.parametrize("factor", [-1, 0])
def test_tax_by_payment_of_a_voucher_that_claims_nothing_or_less_is_that_of_its_date(factor, engine):
    made = books()
    one = next(each for each in made.vouchers if each.kind == "invoice" and each.status == "paid" and each.payments
               and not each.deductions and each.tax_type == "net" and len(each.payments) == 1)  # fmt: skip
    tables = dict(only(made, [one]).tables)
    taxed = tables["tax_amounts"]
    rates = [row | {"net_amount": -row["net_amount"], "tax_amount": -row["tax_amount"]} for row in taxed]
    if not factor:  # the same once more at another rate, with the other sign: together nothing
        rates += [row | {"tax_rate": Decimal(5)} for row in taxed]
        tables["payment_items"] = [row | {"amount": Decimal("0.00")} for row in tables["payment_items"]]
    on = frames(tables | {"tax_amounts": rates}, engine)
    month = f"{one.payments[0].day:%Y-%m}"
    accrual = collect(reports.vat(on, *EVER))
    assert any(row["tax"] for row in accrual)
    assert collect(reports.vat(on, *EVER, "cash")) == accrual
    assert collect(reports.vat(on, *reports.days(month), "cash")) == accrual


# -- the cases that analyses stumble over, each alone


def _paid_by(kind: str) -> Callable[[Voucher], bool]:
    return lambda voucher: any(each.kind == kind for each in voucher.payments)


def _first_of(months_: Iterable[int]) -> Callable[[Voucher], bool]:
    return lambda voucher: voucher.kind == "invoice" and voucher.day.day == 1 and voucher.day.month in months_


CASES: dict[str, Callable[[Voucher], bool]] = {
    "skonto": _paid_by("cashDiscount"),
    "write-off": _paid_by("irrecoverableReceivable"),
    "paid in parts": lambda voucher: sum(each.kind in MONEY for each in voucher.payments) > 1,
    "partly paid": lambda voucher: bool(voucher.open and voucher.payments),
    "credit note": lambda voucher: voucher.kind == "creditnote",
    "credit note paid out": lambda voucher: voucher.kind == "creditnote" and _paid_by(MONEY[0])(voucher),
    "settled by a credit note": lambda voucher: (
        voucher.kind == "invoice" and _paid_by("partPaymentCreditNote")(voucher)
    ),
    "sales credit note": lambda voucher: voucher.kind == "salescreditnote",
    "sales invoice": lambda voucher: voucher.kind == "salesinvoice",
    "down payment": lambda voucher: voucher.kind == "downpaymentinvoice",
    "down payment and closing": lambda voucher: voucher.kind == "downpaymentinvoice" or voucher.closing,
    "closing": lambda voucher: voucher.closing,
    "reverse charge": lambda voucher: voucher.tax_type == "constructionService13b",
    "within the union": lambda voucher: voucher.tax_type == "intraCommunitySupply",
    "gross": lambda voucher: voucher.tax_type == "gross" and len(voucher.rates) > 1,
    "first of a month in winter": _first_of((1, 2, 3, 12)),
    "first of a month in summer": _first_of((5, 6, 7, 8)),
    "collective contact": lambda voucher: voucher.customer is None and voucher.kind in SIGNS,
    "draft": lambda voucher: voucher.status == "draft",
    "voided": lambda voucher: voucher.status == "voided",
    "unchecked": lambda voucher: voucher.status == "unchecked",
    "archived": lambda voucher: voucher.archived,
    "purchase": lambda voucher: voucher.kind.startswith("purchase"),
    "quotation": lambda voucher: voucher.kind == "quotation",
}
# In these books no month has tax, though there are vouchers.
NOTHING = ("draft", "voided", "unchecked", "purchase", "quotation")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "engine",
    [pytest.param(each, marks=[] if each == ENGINES[0] else pytest.mark.soak) for each in ENGINES],
    indirect=True,
)
def test_each_case_alone_comes_to_the_cents_that_the_ledger_gives_it(case, engine):
    made = books()
    part = only(made, [each for each in made.vouchers if CASES[case](each)])
    assert part.vouchers
    _holds(part, frames(part.tables, engine), "month" if case.startswith("first") else "year")
    assert bool(filled(part.expected.revenue_gross)) != (case in NOTHING)


def test_a_small_business_has_revenue_and_no_tax(engine):
    made, on = books("kanzlei"), _frames(WHOLE[2], engine)
    _holds(made, on, "year")
    for basis in ("accrual", "cash"):
        rows = collect(reports.vat(on, *EVER, basis))
        assert [(row["tax_rate"], row["tax"]) for row in rows] == [(0, Decimal("0.00"))]
        assert rows[0]["net"] > 0


def _holds(made: Made, on: Frames, by: str) -> None:
    """Every figure that the ledger knows, the taxes by month or year."""
    of: Callable[[str], str] = str if by == "month" else lambda month: month[:4]
    expected, today = made.expected, made.ledger.day
    for basis, figures in (("gross", expected.revenue_gross), ("net", expected.revenue_net)):
        rows = collect(reports.revenue(on, "month", basis))
        assert filled({row["period"]: cents(row["revenue"]) for row in rows}) == filled(figures)
    rows = collect(reports.customers(on, None))
    assert {row["contact_id"] or COLLECTIVE: cents(row["revenue"]) for row in rows} == expected.revenue_by_customer
    rows = collect(reports.ageing(on, today=today))
    assert [cents(row["amount"]) for row in rows] == list(expected.ageing(today).values())
    for basis, figures in (("accrual", expected.tax), ("cash", expected.tax_when_paid)):
        tax, should = {}, defaultdict(int)
        for period in sorted({of(month) for month in months(made)}):
            for row in collect(reports.vat(on, *reports.days(period), basis)):
                tax[period, row["tax_rate"]] = cents(row["tax"])
        for (month, rate), amount in figures.items():
            should[of(month), rate] += amount
        assert filled(tax) == filled(should)
    there = {each.id for each in made.vouchers}
    alone = {each.id for each in made.vouchers for one in each.deductions if one.id not in there}
    found = collect(reports.reconcile(on))
    assert {(row["check"], row["id"]) for row in found} == {("down_payment", each) for each in alone}


# -- what cannot be counted


def _ours(made: Made) -> dict[str, Any]:
    """The row in the list of an invoice that is open in part."""
    one = next(each for each in made.vouchers if each.kind == "invoice" and each.open and not each.deductions)
    return next(row for row in made.tables["vouchers"] if row["id"] == one.id)


def test_what_is_in_another_currency_counts_nowhere(engine):
    made = books()
    row, day = _ours(made), made.ledger.day
    tables = only(made, [each for each in made.vouchers if each.id == row["id"]]).tables
    for currency, count in (("EUR", 1), (None, 1), ("USD", 0)):
        on = frames(tables | {"vouchers": [row | {"currency": currency}]}, engine)
        for name, plan in every_plan(on, day).items():
            rows = [each for each in collect(plan) if each.get("count", 1)]
            # Days before the invoice, and months without a payment, have nothing either way.
            if name in ("missing", "reconcile", "vat cash", f"open items {day - timedelta(99)}") or "ageing" in name:
                continue
            assert bool(rows) == bool(count), (name, currency)
        assert sum(each["count"] for each in collect(reports.ageing(on, day, day))) == count
        found = [(each["check"], each["expected"], each["found"]) for each in collect(reports.reconcile(on))]
        assert found == ([] if count else [("currency", "EUR", "USD")])


@pytest.mark.parametrize("blank", ["voucher_date", "voucher_status", "total_amount"])
def test_what_cannot_be_read_counts_the_same_in_every_report_and_is_found(blank, engine):
    made = books()
    row = _ours(made)
    tables = only(made, [each for each in made.vouchers if each.id == row["id"]]).tables
    on = frames(tables | {"vouchers": [row | {blank: None}]}, engine)
    for basis in BASES:
        by_month = sum(each["revenue"] for each in collect(reports.revenue(on, "month", basis)))
        assert by_month == sum(each["revenue"] for each in collect(reports.revenue(on, "customer", basis)))
        assert bool(by_month) == (basis == "net" and blank == "total_amount")
    assert ("unreadable", blank) in {(each["check"], each["field"]) for each in collect(reports.reconcile(on))}


def test_a_rate_that_cannot_be_read_is_a_row_of_its_own(engine):
    made = books()
    rows = [row | ({"tax_rate": None} if n % 2 else {}) for n, row in enumerate(made.tables["tax_amounts"])]
    on = frames(made.tables | {"tax_amounts": rows}, engine)
    rates = [row["tax_rate"] for row in collect(reports.vat(on, *EVER))]
    assert rates[-1] is None
    assert sorted(rates[:-1]) == rates[:-1]
    lines = [row | {"tax_rate": None} for row in made.tables["line_items"]]
    assert collect(reports.articles(frames(made.tables | {"line_items": lines}, engine)))


# -- all reports


def every_plan(on: Frames, today: date) -> dict[str, reports.Plan]:
    plans = {f"revenue {by} {basis}": reports.revenue(on, by, basis) for by in ("month", "customer") for basis in BASES}
    days = (today, today - timedelta(99))
    plans |= {f"open items {day}": reports.open_items(on, day, today) for day in days}
    plans |= {f"ageing {day}": reports.ageing(on, day, today) for day in days}
    plans |= {f"vat {basis}": reports.vat(on, *EVER, basis) for basis in ("accrual", "cash")}
    others = {"customers": reports.customers, "articles": reports.articles, "reconcile": reports.reconcile}
    return plans | {name: report(on) for name, report in others.items()} | {"missing": reports.missing(on)}


BASES = ("gross", "net")


def test_no_binary_fraction_is_in_any_plan_or_result(whole):
    made, on = whole
    for name, plan in every_plan(on, made.ledger.day).items():
        for asked, frame in plan.frames.items():
            kinds = set(frame.collect_schema().values())
            assert not kinds & {nw.Float64(), nw.Float32()}, (name, asked)
            if frame.implementation.is_duckdb():
                told = f"{frame.to_native().explain()} {frame.to_native().sql_query()}"
                assert not any(word in told.upper() for word in ("DOUBLE", "FLOAT")), (name, asked)
        kept = {type(value) for row in collect(plan) for value in row.values()}
        assert kept <= {str, int, Decimal, date, type(None)}, name


def test_all_engines_give_the_same_rows(whole):
    made, on = whole
    which = next(each for each in WHOLE if books(*each) is made)
    plans, others = every_plan(on, made.ledger.day), every_plan(_frames(which, "duckdb"), made.ledger.day)
    for name, plan in plans.items():
        assert repr(collect(plan)) == repr(collect(others[name])), name


def test_empty_books_give_reports_without_rows(engine):
    on = frames({name: [] for name in TABLES}, engine)
    for name, plan in every_plan(on, DAYS[0]).items():
        rows = collect(plan)
        if name.startswith("ageing"):
            assert {(row["amount"], row["count"]) for row in rows} == {(Decimal("0.00"), 0)}
        elif name == "missing":
            assert rows == [{"vouchers": 0, "documents": 0, "payments": 0}]
        else:
            assert rows == [], name


def test_a_report_has_the_columns_that_its_plan_names(whole):
    made, on = whole
    for name, plan in every_plan(on, made.ledger.day).items():
        assert all(tuple(row) == plan.columns for row in collect(plan)), name


def test_missing_counts_the_vouchers_without_document_or_payments(engine):
    made = books()
    gone = {each.id for each in _sold(made)[:7]}
    tables = {
        name: [row for row in rows if row.get("document_id", row.get("voucher_id", row.get("id"))) not in gone]
        for name, rows in made.tables.items()
        if name != "vouchers"
    }
    on = frames(tables | {"vouchers": made.tables["vouchers"]}, engine)
    assert collect(reports.missing(on)) == [{"vouchers": len(_sold(made)), "documents": 7, "payments": 7}]
    assert sum(row["count"] for row in collect(reports.revenue(on, "year", "net"))) == len(_sold(made)) - 7
    assert sum(row["count"] for row in collect(reports.revenue(on, "year"))) == len(_sold(made))
    day = made.ledger.day
    here = [each for each in _sold(made) if each.day == day]
    assert collect(reports.missing(_frames(WHOLE[0], engine), day, day))[0]["vouchers"] == len(here)


def test_frames_with_binary_fractions_are_refused():
    made = books()
    tables = {
        name: polars.DataFrame(rows or {column: [] for column in TABLES[name].columns}, infer_schema_length=None)
        for name, rows in made.tables.items()
    }
    tables["vouchers"] = tables["vouchers"].with_columns(polars.col("open_amount").cast(polars.Float64))
    with pytest.raises(TypeError, match=r"vouchers\.open_amount is a binary fraction"):
        Frames.from_native(tables)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda on: reports.revenue(on, by="week"),
        lambda on: reports.revenue(on, basis="tax"),
        lambda on: reports.customers(on, basis="tax"),
        lambda on: reports.vat(on, *EVER, basis="net"),
        lambda on: reports.days("2025-13"),
        lambda on: reports.days("2025-Q5"),
        lambda on: reports.days("0000"),
        lambda on: reports.days("25"),
    ],
)
def test_a_word_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"'month'|'gross'|'accrual'|no period"):
        wrong(_frames(WHOLE[0], "duckdb"))


def test_a_period_has_its_first_and_last_day():
    assert reports.days("2024-02") == (date(2024, 2, 1), date(2024, 2, 29))
    assert reports.days("2025-Q4") == reports.days("2025-q4") == (date(2025, 10, 1), date(2025, 12, 31))
    assert reports.days("2026-3") == reports.days("2026-03") == (date(2026, 3, 1), date(2026, 3, 31))
    assert reports.days("2026-12") == (date(2026, 12, 1), date(2026, 12, 31))
    assert reports.days("2025") == (date(2025, 1, 1), date(2025, 12, 31))


_WITHOUT = """
import sys
for each in ("pyarrow", "pandas", "polars", "numpy"):
    sys.modules[each] = None
from datetime import date
import duckdb
from lexoffice_nb.books import reports
from lexoffice_nb.books.schema import TABLES
connection = duckdb.connect()
for name, table in TABLES.items():
    columns = ", ".join(f"{one} {each.type}" for one, each in table.columns.items())
    connection.execute(f"CREATE TABLE {name} ({columns})")
connection.execute("INSERT INTO vouchers (id, voucher_type, voucher_status, voucher_date, total_amount, open_amount) "
    "VALUES ('a', 'invoice', 'open', '2025-03-01', 119.70, 119.70)")
on = reports.Frames.of(connection)
print(reports.collect(reports.revenue(on)))
for plan in (reports.customers(on), reports.open_items(on), reports.open_items(on, date(2025, 3, 2)),
             reports.vat(on, date(2025, 1, 1), date(2025, 3, 31)), reports.articles(on), reports.reconcile(on)):
    reports.collect(plan)
"""


def test_duckdb_needs_neither_pyarrow_nor_pandas():
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[{'period': '2025-03', 'revenue': Decimal('119.70'), 'count': 1}]\n"


def test_expected_figures_cover_every_case():
    """What the tests above hold reports against is not empty anywhere."""
    expected: Expected = books().expected
    assert {each.kind for each in expected.payments} >= {*MONEY, "cashDiscount", "partPaymentCreditNote"}
    assert all(expected.ageing(books().ledger.day).values())
    assert {rate for _, rate in filled(expected.tax)} == {rate for _, rate in filled(expected.tax_when_paid)} == {7, 19}
    assert {each.day.month for each in _sold(books()) if each.day.day == 1} == set(range(1, 13))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_oldest_engine_that_is_supported_gives_the_same_cents(tmp_path):
    """DuckDB and Narwhals in the lowest versions that pyproject.toml allows, in a folder of their own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lowest = [each.replace(">=", "==") for each in project["dependencies"] if each.startswith(("duckdb", "narwhals"))]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path), *lowest]
    subprocess.run(install, check=True, timeout=300, capture_output=True)
    tests = [str(ROOT / "tests" / "books" / name) for name in ("test_reports.py", "test_reconcile.py")]
    # The books are compared on one engine alone: the lowest Narwhals knows no newer pandas.
    chosen = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    chosen += ["-k", "duckdb and not duckdb-pandas", *tests]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(chosen, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
