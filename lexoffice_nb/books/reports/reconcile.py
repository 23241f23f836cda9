"""Do the books agree with themselves, and what is missing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from lexoffice_nb.books.reports.frames import EURO, NOT_BOOKED, SIGNS, ZERO, Plan, money, sold
from lexoffice_nb.books.schema import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from lexoffice_nb.books.reports.frames import Frames, Lazy, Row

CHECKS = (
    "document_missing",
    "row_missing",
    "currency",
    "unreadable",
    "document_outdated",
    "row_and_document",
    "net_and_tax",
    "lines",
    "net_by_rate",
    "tax_by_rate",
    "deductions",
    "down_payment",
    "open_amount",
    "payments",
)
_SALES = ("invoices", "down-payment-invoices", "credit-notes")
# Of these nothing says whether they add to what is claimed or take from it.
_EITHER_WAY = ("dunningCosts", "currencyConversion")
_VOUCHER = ("id", "voucher_type", "voucher_number")
_TO_THE_SECOND = 19  # characters; the list leaves out the milliseconds that documents have
_NEEDED = ("voucher_status", "voucher_date", "total_amount")
_SAME = ("voucher_status", "voucher_number", "voucher_date", "contact_id", "total_amount")


def reconcile(frames: Frames) -> Plan:
    """What does not agree in the books: a row for each finding, none if all is well.

    Checks, in this order:
        document_missing: A voucher of the list that has a document which is not here.
        row_missing: A document that is not in the list.
        currency: A voucher that would be revenue, but is in another currency (`found`) and so counts nowhere.
        unreadable: The same without a status, a date or a total that could be read; `field` names it. A number with
            more digits than its column has is no number either.
        document_outdated: The list knows of a later change (`expected`) than the document here (`found`).
        row_and_document: The list says (`expected`) something else than the document (`found`), though both are of
            the same second; `field` names it.
        net_and_tax: Net and tax of a document are not its gross total.
        lines: The lines of a document do not add up to its total, net or gross as it is; documents with a discount on
            the whole are left out, and of kinds other than these so are all: invoices, down-payment invoices, credit
            notes, bookkeeping vouchers.
        net_by_rate, tax_by_rate: Net or tax of all rates do not add up to the document's.
        deductions: What a closing invoice claims is not its total less the down payments it deducts.
        down_payment: A closing invoice deducts a down payment (`found`: its number, or its id) that does not count
            itself: it is not in the list, voided, or a draft.
        open_amount: The list has another open amount (`expected`) than the payments (`found`).
        payments: What was booked on a voucher and what is open of it are not what it claims. Vouchers with dunning
            costs or differences of currency are left out, voided ones too.

    Columns: `check`, `field` (None, or what differs), `id`, `voucher_type`, `voucher_number`, `expected`, `found`
    (amounts are `Decimal`, days `date`, else text).
    """
    rows, documents = frames.vouchers, frames.documents
    listed = rows.filter(nw.col("voucher_type").is_in(tuple(ENDPOINTS)))
    totals = ("tax_type", "net_amount", "tax_amount", "gross_amount")
    both = rows.select(*_SAME, "id", "voucher_type", "open_amount", row_updated="updated_at").join(
        documents.select(
            *totals,
            "id",
            "kind",
            "updated_at",
            "claimed_gross_amount",
            "closing_invoice",
            "total_discount_absolute",
            "total_discount_percentage",
            **{f"document_{name}": name for name in ("voucher_status", "voucher_number", "voucher_date", "contact_id")},
        ),
        on="id",
    )
    of_row, of_document = (nw.col(name).str.slice(0, _TO_THE_SECOND) for name in ("row_updated", "updated_at"))
    return Plan(
        ("check", "field", "id", "voucher_type", "voucher_number", "expected", "found"),
        {
            "document_missing": listed.join(documents.select("id"), on="id", how="anti").select(*_VOUCHER),
            "row_missing": documents.join(rows.select("id"), on="id", how="anti").select(*_VOUCHER),
            "document_outdated": both.filter(of_row > of_document),
            "row_and_document": _differing(both.filter(of_row == of_document)),
            "net_and_tax": both.filter((nw.col("net_amount") + nw.col("tax_amount")) != nw.col("gross_amount")),
            **_lines(frames, both),
            **_deductions(frames, both),
            **_not_counted(frames),
            **_payments(frames),
        },
        _findings,
        frames,
    )


def missing(frames: Frames, first: date | None = None, last: date | None = None) -> Plan:
    """How many vouchers of those that count as revenue have no document, and of how many the payments are not here.

    Columns: `vouchers`, `documents`, `payments` (all counts; of vouchers by whose date they are in the period); one
    row.
    """
    rows = sold(frames, first, last).select("id")
    asked = {
        "vouchers": rows,
        "documents": rows.join(frames.documents.select("id"), on="id", how="anti"),
        "payments": rows.join(frames.payments.select("voucher_id"), left_on="id", right_on="voucher_id", how="anti"),
    }
    asked = {name: frame.select(count=nw.len()) for name, frame in asked.items()}

    def finish(answers: Mapping[str, list[Row]]) -> list[Row]:
        return [{name: rows[0]["count"] for name, rows in answers.items()}]

    return Plan(tuple(asked), asked, finish, frames)


def _differing(current: Lazy) -> Lazy:
    pairs = [(nw.col(name), nw.col("gross_amount" if name == "total_amount" else f"document_{name}")) for name in _SAME]
    different = [(one != other) | (one.is_null() != other.is_null()) for one, other in pairs]
    return current.filter(nw.any_horizontal(*different, ignore_nulls=True))


def _lines(frames: Frames, documents: Lazy) -> dict[str, Lazy]:
    """Documents beside the sums of their lines and rates, those that differ at the first look."""
    undiscounted = documents.filter(
        nw.col("total_discount_absolute").is_null() | (nw.col("total_discount_absolute") == 0),
        nw.col("total_discount_percentage").is_null() | (nw.col("total_discount_percentage") == 0),
    )
    is_sale, is_booked = nw.col("kind").is_in(_SALES), nw.col("kind") == "vouchers"
    lines = frames.line_items.filter(~nw.col("amount").is_null())
    sales = lines.filter(is_sale).group_by("document_id").agg(sum_of_lines=nw.col("amount").sum())
    both = nw.col("amount") + nw.col("tax_amount")
    booked = (
        lines.filter(is_booked)
        .join(frames.documents.select(document_id="id", tax_type="tax_type"), on="document_id")
        .with_columns(gross=nw.when(nw.col("tax_type") == "net").then(both).otherwise(nw.col("amount")))
        .group_by("document_id")
        .agg(sum_of_lines=nw.col("gross").sum(), sum_of_tax=nw.col("tax_amount").sum())
    )
    rates = frames.tax_amounts.group_by("document_id").agg(
        sum_of_net=nw.col("net_amount").sum(), sum_of_tax=nw.col("tax_amount").sum()
    )
    total = nw.when(nw.col("tax_type") == "gross").then(nw.col("gross_amount")).otherwise(nw.col("net_amount"))
    of_sales = undiscounted.filter(is_sale).with_columns(should=total)
    of_booked = documents.filter(is_booked).with_columns(should=nw.col("gross_amount"))
    return {
        "lines": _unequal(_with(of_sales, sales), ("should", "sum_of_lines")),
        "booked": _unequal(_with(of_booked, booked), ("should", "sum_of_lines"), ("tax_amount", "sum_of_tax")),
        "rates": _unequal(
            _with(documents.filter(is_sale), rates), ("net_amount", "sum_of_net"), ("tax_amount", "sum_of_tax")
        ),
    }


def _with(documents: Lazy, sums: Lazy) -> Lazy:
    return documents.join(sums, left_on="id", right_on="document_id", how="left")


def _unequal(frame: Lazy, *pairs: tuple[str, str]) -> Lazy:
    tests = [(nw.col(one) != nw.col(other)) | nw.col(other).is_null() for one, other in pairs]
    return frame.filter(nw.any_horizontal(*tests, ignore_nulls=True))


def _deductions(frames: Frames, documents: Lazy) -> dict[str, Lazy]:
    sums = frames.deductions.group_by("document_id").agg(deducted=nw.col("gross_amount").sum())
    return {"deductions": _with(documents.filter(nw.col("closing_invoice")), sums)}


def _not_counted(frames: Frames) -> dict[str, Lazy]:
    status = nw.col("voucher_status")
    odd = [nw.col("currency") != EURO, *(nw.col(name).is_null() for name in _NEEDED)]
    settled = frames.deductions.select("down_payment_id", id="document_id").unique()
    others = frames.vouchers.select(down_payment_id="id", number="voucher_number", status="voucher_status")
    deducting = sold(frames).select(*_VOUCHER).join(settled, on="id").join(others, on="down_payment_id", how="left")
    return {
        "odd": frames.vouchers.filter(
            nw.col("voucher_type").is_in(tuple(SIGNS)),
            status.is_null() | ~status.is_in(NOT_BOOKED),
            nw.any_horizontal(*odd, ignore_nulls=True),
        ).select("id", "voucher_type", "voucher_number", "currency", *_NEEDED),
        "down_payment": deducting.filter(nw.col("status").is_null() | nw.col("status").is_in(NOT_BOOKED)),
    }


def _payments(frames: Frames) -> dict[str, Lazy]:
    rows = frames.vouchers.filter(~nw.col("voucher_status").is_in(NOT_BOOKED)).select(
        *_VOUCHER, "total_amount", "open_amount"
    )
    known = frames.payments.select(id="voucher_id", known="open_amount")
    odd = frames.payment_items.filter(nw.col("type").is_in(_EITHER_WAY)).select(id="voucher_id").unique()
    paid = frames.payment_items.group_by("voucher_id").agg(paid=nw.col("amount").sum())
    beside = rows.join(known, on="id")
    sums = beside.join(odd, on="id", how="anti").join(paid, left_on="id", right_on="voucher_id", how="left")
    in_full = (nw.col("known") == 0) & (nw.col("paid") == nw.col("total_amount"))
    untouched = nw.col("paid").is_null() & (nw.col("known") == nw.col("total_amount"))
    left = sums.filter(~(in_full.fill_null(value=False) | untouched.fill_null(value=False)))
    deducted = frames.deductions.select("gross_amount", id="document_id").join(left.select("id"), on="id")
    return {
        "open_amount": beside.filter(nw.col("open_amount") != nw.col("known")),
        "payments": left,
        "deducted": deducted.group_by("id").agg(nw.col("gross_amount").sum()),
    }


def _findings(answers: Mapping[str, list[Row]]) -> list[Row]:
    found: list[Row] = []

    def note(check: str, row: Row, expected: Any = None, is_: Any = None, field: str | None = None) -> None:
        if expected != is_ or expected is None:
            told = {"check": check, "field": field, "expected": expected, "found": is_}
            found.append(told | {name: row[name] for name in _VOUCHER})

    for check in ("document_missing", "row_missing"):
        for row in answers[check]:
            note(check, row)
    for row in answers["odd"]:
        note("currency", row, EURO, row["currency"] or EURO)
        for name in _NEEDED:
            if row[name] is None:
                note("unreadable", row, field=name)
    for row in answers["down_payment"]:
        note("down_payment", row, None, row["number"] or row["down_payment_id"])
    for row in answers["document_outdated"]:
        note("document_outdated", row, row["row_updated"], row["updated_at"])
    for row in answers["row_and_document"]:
        _compare(row, note)
    for row in answers["net_and_tax"]:
        note("net_and_tax", row, money(row["net_amount"]) + money(row["tax_amount"]), money(row["gross_amount"]))
    for row in (*answers["lines"], *answers["booked"]):
        note("lines", row, money(row["should"]), money(row["sum_of_lines"]))
    for row in answers["rates"]:
        note("net_by_rate", row, money(row["net_amount"]), money(row["sum_of_net"]))
    for row in (*answers["rates"], *answers["booked"]):
        note("tax_by_rate", row, money(row["tax_amount"]), money(row["sum_of_tax"]))
    for row in answers["deductions"]:
        note("deductions", row, money(row["gross_amount"]) - money(row["deducted"]), money(row["claimed_gross_amount"]))
    for row in answers["open_amount"]:
        note("open_amount", row, money(row["open_amount"]), money(row["known"]))
    deducted = {row["id"]: money(row["gross_amount"]) for row in answers["deducted"]}
    for row in answers["payments"]:
        claimed = money(row["total_amount"]) - deducted.get(row["id"], ZERO)
        note("payments", row, claimed, money(row["paid"]) + money(row["known"]))
    return sorted(found, key=lambda each: (CHECKS.index(each["check"]), each["voucher_number"] or "", each["id"]))


def _compare(row: Row, note: Any) -> None:
    for name in _SAME:
        one, other = row[name], row["gross_amount" if name == "total_amount" else f"document_{name}"]
        # What the list calls overdue is kept as open, though the document may know that a debit is on its way.
        if (name, one, other) == ("voucher_status", "open", "sepadebit"):
            continue
        if one != other:
            note("row_and_document", row, "" if one is None else one, "" if other is None else other, name)
