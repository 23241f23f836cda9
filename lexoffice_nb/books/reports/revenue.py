"""Revenue over time, by customer and by article."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Literal

import narwhals as nw

from lexoffice_nb.books.reports import names, periods
from lexoffice_nb.books.reports.frames import CENT, ZERO, Plan, money, sign, sold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.books.reports.frames import Frames, Lazy, Row

Basis = Literal["gross", "net"]
By = Literal["month", "quarter", "year", "customer"]
_CUSTOMER = ("contact_id", "contact_name")


def revenue(frames: Frames, by: By = "month", basis: Basis = "gross") -> Plan:
    """What was sold.

    Invoices, sales invoices written elsewhere and down-payment invoices, less credit notes of both kinds, by the
    voucher's date; drafts and what is unchecked or voided are left out, and so is what has no date or is in another
    currency than the euro. No down payment counts twice: a closing invoice counts with what is left of it after the
    down payments that it deducts.

    Gross is the list's total and needs no document, except that a closing invoice whose document is missing counts in
    full. Net needs the documents: a voucher without one is left out (see `missing`).

    Args:
        frames: The books.
        by: `month`, `quarter` or `year`: columns `period` (`2025-03`, `2025-Q1`, `2025`), `revenue` and `count` (of
            vouchers), oldest first, with a row of nothing for a period in between that had none. `customer`: columns
            `customer`, `contact_id`, `revenue` and `count`, largest first; a customer who was renamed is one, under
            the newest name, and what has no contact is named as in the list.
        basis: With tax (`gross`) or without (`net`).
    """
    if by != "customer" and by not in periods.LENGTHS:
        raise ValueError(f"by is 'month', 'quarter', 'year' or 'customer', not {by!r}")
    if by == "customer":
        return _by_customer(frames, basis, None, shares=False)
    months = {"year": nw.col("voucher_date").dt.year(), "month": nw.col("voucher_date").dt.month()}

    def finish(answers: Mapping[str, list[Row]]) -> list[Row]:
        sums: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        counts: defaultdict[str, int] = defaultdict(int)
        there = [(row["year"], row["month"]) for row in answers["sold"] if row["year"] is not None]
        for row in _signed(answers, basis):
            if row["year"] is not None:
                period = periods.label(row["year"], row["month"], by)
                sums[period] += row["amount"]
                counts[period] += row["count"]
        every = periods.between(min(there), max(there), by) if there else []
        return [{"period": each, "revenue": money(sums[each]), "count": counts[each]} for each in every]

    return Plan(("period", "revenue", "count"), _amounts(frames, months, basis), finish, frames)


def customers(frames: Frames, top: int | None = 10, basis: Basis = "gross") -> Plan:
    """The customers with the most revenue, as `revenue` defines it, largest first.

    Columns: `customer`, `contact_id`, `revenue`, `count` (of vouchers), `share` (of the revenue with all customers,
    from 0 to 1 with four places; None if that is nothing).

    Args:
        frames: The books.
        top: How many; None for all.
        basis: With tax (`gross`) or without (`net`).
    """
    return _by_customer(frames, basis, top, shares=True)


def articles(frames: Frames, top: int | None = 10) -> Plan:
    """What was sold the most, net, largest first.

    The amounts of the lines of invoices and down-payment invoices less those of credit notes, without lines of text;
    drafts and voided ones are left out. A line is net or gross as its document is; from gross ones the tax is taken
    out once for each article and rate. A down payment that a closing invoice deducts is left out, since the lines of
    the closing invoice count in full. Bookkeeping vouchers have no articles, and a discount on a whole document is
    not shared out among its lines: so the sum is near the net revenue, and seldom equal to it.

    Columns: `article` (its newest name), `article_id` (None for lines that were only written: these are put together
    by their text), `revenue`, `count` (of lines), `share` (of all lines, from 0 to 1; None if that is nothing).

    Args:
        frames: The books.
        top: How many; None for all.
    """
    rows = sold(frames).select("id", "voucher_type", "voucher_date")
    settled = frames.deductions.join(rows, left_on="document_id", right_on="id").select("down_payment_id").unique()
    rows = rows.join(settled, left_on="id", right_on="down_payment_id", how="anti")
    rows = rows.join(frames.documents.select("id", "tax_type"), on="id")
    lines = (
        frames.line_items.filter(nw.col("kind") != "vouchers", nw.col("type") != "text")
        .select("document_id", "article_id", "name", "tax_rate", "amount")
        .join(rows, left_on="document_id", right_on="id")
        .group_by("article_id", "name", "tax_rate", "tax_type", "voucher_type")
        .agg(nw.col("amount").sum(), names.last_day(), count=nw.len())
    )

    def finish(answers: Mapping[str, list[Row]]) -> list[Row]:
        sums: defaultdict[names.Key, Decimal] = defaultdict(lambda: ZERO)
        gross: defaultdict[tuple[names.Key, Decimal], Decimal] = defaultdict(lambda: ZERO)
        counts: defaultdict[names.Key, int] = defaultdict(int)
        for row in answers["lines"]:
            one, amount = names.key(row["article_id"], row["name"]), sign(row) * money(row["amount"])
            counts[one] += row["count"]
            sums[one] += amount
            if row["tax_type"] == "gross":
                gross[one, row["tax_rate"] or ZERO] += amount
        for (one, rate), amount in gross.items():
            sums[one] -= (amount * rate / (100 + rate)).quantize(CENT, ROUND_HALF_UP)
        named = names.newest(answers["lines"], "article_id", "name")
        made: list[Row] = [
            {"article": named(one), "article_id": one[0], "revenue": amount, "count": counts[one]}
            for one, amount in sums.items()
        ]
        return names.largest(names.with_shares(made, "revenue"), "revenue", top, ("article", "article_id"))

    return Plan(("article", "article_id", "revenue", "count", "share"), {"lines": lines}, finish, frames)


def _by_customer(frames: Frames, basis: Basis, top: int | None, shares: bool) -> Plan:
    def finish(answers: Mapping[str, list[Row]]) -> list[Row]:
        sums: defaultdict[names.Key, Decimal] = defaultdict(lambda: ZERO)
        counts: defaultdict[names.Key, int] = defaultdict(int)
        for row in _signed(answers, basis):
            one = names.key(row["contact_id"], row["contact_name"])
            sums[one] += row["amount"]
            counts[one] += row["count"]
        known = names.of_contacts(answers["names"])
        named = names.newest(answers["sold"], *_CUSTOMER, known)
        rows: list[Row] = [
            {"customer": named(one), "contact_id": one[0], "revenue": amount, "count": counts[one]}
            for one, amount in sums.items()
        ]
        return names.largest(names.with_shares(rows, "revenue"), "revenue", top, ("customer", "contact_id"))

    asked = _amounts(frames, {name: nw.col(name) for name in _CUSTOMER}, basis)
    columns = ("customer", "contact_id", "revenue", "count", *(("share",) if shares else ()))
    return Plan(columns, asked | {"names": names.contact_names(frames)}, finish, frames)


def _amounts(frames: Frames, keys: Mapping[str, nw.Expr], basis: Basis) -> dict[str, Lazy]:
    """The sums of vouchers and of what closing invoices deduct, by the keys and the type of voucher."""
    if basis not in ("gross", "net"):
        raise ValueError(f"basis is 'gross' or 'net', not {basis!r}")
    by = (*keys, "voucher_type")
    # One question to the engine for both: the list is by far the most of what it has to read.
    deducted = frames.deductions.group_by("document_id").agg(deducted=nw.col(f"{basis}_amount").sum())
    # What has no day is in no month; so that the sums are the same, it counts for no customer either.
    dated = sold(frames).filter(~nw.col("voucher_date").is_null())
    rows = dated.select("id", "voucher_date", "total_amount", "voucher_type", **keys)
    whole = rows.join(deducted, left_on="id", right_on="document_id", how="left")
    amounts = ["total_amount"]
    if basis == "net":
        amounts = ["net_amount", "tax_amount", "gross_amount"]
        # A bookkeeping voucher says nothing of its net total.
        totals = frames.documents.select("id", *amounts, without_net=nw.col("net_amount").is_null())
        whole = whole.join(totals, on="id")
        by = (*by, "without_net")
    sums = (nw.col(each).sum() for each in (*amounts, "deducted"))
    return {"sold": whole.group_by(*by).agg(*sums, names.last_day(), count=nw.len())}


def _signed(answers: Mapping[str, list[Row]], basis: Basis) -> list[Row]:
    """The groups with `amount`, as it adds to revenue."""
    signed = []
    for row in answers["sold"]:
        if basis == "gross":
            amount = money(row["total_amount"])
        elif row["without_net"]:
            amount = money(row["gross_amount"]) - money(row["tax_amount"])
        else:
            amount = money(row["net_amount"])
        signed.append(row | {"amount": sign(row) * (amount - money(row["deducted"]))})
    return signed
