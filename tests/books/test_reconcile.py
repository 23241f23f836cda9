"""Reconciling finds nothing in books that agree, and every mistake that is put into them, on every engine."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.books import reports
from tests.books.frames import DAYS, ENGINES, USUAL, Made, Table, books, frames, only

if TYPE_CHECKING:
    from collections.abc import Callable

Tables = dict[str, Table]
CENT = Decimal("0.01")


# Two engines that differ most; all four in `make soak`.
@pytest.fixture(params=[pytest.param(each, marks=[] if each in USUAL else pytest.mark.soak) for each in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("which", [("demo", DAYS[0], 1), ("demo", DAYS[1], 7), ("kanzlei", DAYS[0], 1)])
def test_the_sandboxs_books_agree(which, engine):
    assert reports.collect(reports.reconcile(frames(books(*which).tables, engine))) == []


@cache
def _some() -> Made:
    """A part of the books that has every kind and status, and all projects."""
    made, seen = books(), Counter()
    kept = []
    for each in made.vouchers:
        seen[kind := (each.kind, each.status, each.tax_type, bool(each.payments))] += 1
        if each.customer and (seen[kind] <= 3 or each.closing):
            kept.append(each)
    here = {each.id for each in kept}
    deducted = {one.id for each in kept for one in each.deductions} - here
    kept += [each for each in made.vouchers if each.id in deducted]
    return only(made, kept)


def row(tables: Tables, name: str, **wanted: Any) -> dict[str, Any]:
    return next(each for each in tables[name] if all(each[one] == value for one, value in wanted.items()))


def booked(tables: Tables, kind: str, **wanted: Any) -> dict[str, Any]:
    """A document that counts, with a whole row beside it."""
    kept = {each["id"] for each in tables["vouchers"] if each["voucher_status"] in ("open", "paid", "paidoff")}
    return next(
        each
        for each in tables["documents"]
        if each["id"] in kept and each["kind"] == kind and all(each[one] == value for one, value in wanted.items())
    )


def change(name: str, column: str, by: Any, key: str = "document_id", kind: str = "invoices", **wanted: Any) -> Any:
    """A mistake: a value in a table, of the first row of the first document of a kind."""

    def put_in(tables: Tables) -> tuple[str, Any, Any]:
        document = booked(tables, kind, **wanted)
        changed = next(each for each in tables[name] if each[key] == document["id"] and each[column] is not None)
        before = changed[column]
        changed[column] = before + by if isinstance(by, Decimal) else by
        return document["id"], before, changed[column]

    return put_in


def lost(name: str, key: str = "document_id", kind: str = "invoices", **wanted: Any) -> Any:
    def put_in(tables: Tables) -> tuple[str, Any, Any]:
        document = booked(tables, kind, **wanted)
        tables[name] = [each for each in tables[name] if each[key] != document["id"]]
        return document["id"], None, None

    return put_in


MISTAKES: dict[str, tuple[Any, list[tuple[str, str | None]]]] = {
    "no document": (lost("documents", "id"), [("document_missing", None)]),
    "another currency": (change("vouchers", "currency", "USD", "id"), [("currency", None)]),
    "no day": (
        change("vouchers", "voucher_date", None, "id"),
        [("unreadable", "voucher_date"), ("row_and_document", "voucher_date")],
    ),
    "no status": (
        change("vouchers", "voucher_status", None, "id"),
        [("unreadable", "voucher_status"), ("row_and_document", "voucher_status")],
    ),
    "no row": (lost("vouchers", "id"), [("row_missing", None)]),
    "an old document": (
        change("documents", "updated_at", "2019-01-01T00:00:00.000+01:00", "id"),
        [("document_outdated", None)],
    ),
    "another total": (
        change("vouchers", "total_amount", CENT, "id"),
        [("row_and_document", "total_amount"), ("payments", None)],
    ),
    "another status": (change("vouchers", "voucher_status", "voided", "id"), [("row_and_document", "voucher_status")]),
    "another number": (change("vouchers", "voucher_number", "X1", "id"), [("row_and_document", "voucher_number")]),
    "another day": (change("vouchers", "voucher_date", DAYS[0], "id"), [("row_and_document", "voucher_date")]),
    "another contact": (change("vouchers", "contact_id", "nobody", "id"), [("row_and_document", "contact_id")]),
    "no contact": (change("vouchers", "contact_id", None, "id"), [("row_and_document", "contact_id")]),
    "another net": (
        change("documents", "net_amount", CENT, "id", tax_type="gross"),
        [("net_and_tax", None), ("net_by_rate", None)],
    ),
    "another tax": (
        change("documents", "tax_amount", -CENT, "id", tax_type="net"),
        [("net_and_tax", None), ("tax_by_rate", None)],
    ),
    "a line of a net invoice": (change("line_items", "amount", CENT, tax_type="net"), [("lines", None)]),
    "a line of a gross invoice": (change("line_items", "amount", CENT, tax_type="gross"), [("lines", None)]),
    "a line of a credit note": (change("line_items", "amount", CENT, kind="credit-notes"), [("lines", None)]),
    "a line of a voucher": (
        change("line_items", "amount", CENT, kind="vouchers", tax_type="gross"),
        [("lines", None)],
    ),
    "the tax of a gross voucher": (
        change("line_items", "tax_amount", CENT, kind="vouchers", tax_type="gross"),
        [("tax_by_rate", None)],
    ),
    "the tax of a net voucher": (
        change("line_items", "tax_amount", CENT, kind="vouchers", tax_type="net"),
        [("lines", None), ("tax_by_rate", None)],
    ),
    "no lines": (lost("line_items"), [("lines", None)]),
    "the net of a rate": (change("tax_amounts", "net_amount", CENT), [("net_by_rate", None)]),
    "the tax of a rate": (change("tax_amounts", "tax_amount", -CENT), [("tax_by_rate", None)]),
    "no rates": (
        lost("tax_amounts", tax_type="net", country_code="DE"),
        [("net_by_rate", None), ("tax_by_rate", None)],
    ),
    "a down payment deducted": (
        change("deductions", "gross_amount", CENT, closing_invoice=True),
        [("deductions", None), ("payments", None)],
    ),
    "what a closing invoice claims": (
        change("documents", "claimed_gross_amount", CENT, "id", closing_invoice=True),
        [("deductions", None)],
    ),
    "a payment": (change("payment_items", "amount", -CENT, "voucher_id", voucher_status="paid"), [("payments", None)]),
    "no payments": (lost("payment_items", "voucher_id", voucher_status="paid"), [("payments", None)]),
    "another open amount": (
        change("payments", "open_amount", CENT, "voucher_id"),
        [("open_amount", None), ("payments", None)],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_found_where_it_is(mistake, engine):
    put_in, expected = MISTAKES[mistake]
    tables = deepcopy(_some().tables)
    id_, before, after = put_in(tables)
    found = reports.collect(reports.reconcile(frames(tables, engine)))
    assert [(each["check"], each["field"]) for each in found] == expected
    assert {each["id"] for each in found} == {id_}
    if isinstance(before, Decimal) and isinstance(after, Decimal):
        assert all(abs(each["expected"] - each["found"]) == CENT for each in found)
    elif mistake.startswith("another"):
        assert {found[0]["expected"], found[0]["found"]} == {before, after}
    if mistake not in ("no row", "another number"):
        assert {each["voucher_number"] for each in found} == {row(tables, "vouchers", id=id_)["voucher_number"]}


@pytest.mark.parametrize("so", ["voided", "draft", "gone"])
def test_a_down_payment_that_does_not_count_is_found_where_it_is_deducted(so, engine):
    tables = deepcopy(_some().tables)
    closing = booked(tables, "invoices", closing_invoice=True)
    deducted = [each["down_payment_id"] for each in tables["deductions"] if each["document_id"] == closing["id"]]
    number = row(tables, "vouchers", id=deducted[0])["voucher_number"]
    if so == "gone":
        tables["vouchers"] = [each for each in tables["vouchers"] if each["id"] != deducted[0]]
    else:
        row(tables, "vouchers", id=deducted[0])["voucher_status"] = so
    found = reports.collect(reports.reconcile(frames(tables, engine)))
    here = [each for each in found if each["check"] == "down_payment"]
    assert [(each["id"], each["found"]) for each in here] == [(closing["id"], deducted[0] if so == "gone" else number)]
    # A draft is none of a closing invoice's down payments any more, however often it stands there.
    assert {each["id"] for each in found} <= {closing["id"], deducted[0]}


def _discounted(tables: Tables) -> None:
    document = booked(tables, "invoices", tax_type="net")
    row(tables, "line_items", document_id=document["id"])["amount"] += 5
    document["total_discount_absolute"] = Decimal(5)


def _dunned(tables: Tables) -> None:
    paid = booked(tables, "invoices", voucher_status="paid")
    item = row(tables, "payment_items", voucher_id=paid["id"])
    tables["payment_items"].append(item | {"type": "dunningCosts", "position": 9, "amount": Decimal(5)})


def _debited(tables: Tables) -> None:
    known = next(each for each in tables["documents"] if each["voucher_status"] == "sepadebit")
    row(tables, "vouchers", id=known["id"])["voucher_status"] = "open"


def _to_the_millisecond(tables: Tables) -> None:
    for each in tables["documents"]:
        each["updated_at"] = each["updated_at"].replace(".000", ".789")


def _newer_than_the_list(tables: Tables) -> None:
    document = booked(tables, "invoices")
    document |= {"updated_at": f"{date.max}T00:00:00.000+01:00", "voucher_status": "voided"}


@pytest.mark.parametrize("so", [_discounted, _dunned, _debited, _to_the_millisecond, _newer_than_the_list])
def test_what_is_no_mistake_is_no_finding(so: Callable[[Tables], None], engine):
    tables = deepcopy(_some().tables)
    so(tables)
    assert reports.collect(reports.reconcile(frames(tables, engine))) == []
