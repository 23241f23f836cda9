"""Value-added tax on what was sold, per rate."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Literal

import narwhals as nw

from lexoffice_nb.books.reports.frames import CENT, SIGNS, ZERO, Plan, money, sign, sold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from lexoffice_nb.books.reports.frames import Frames, Lazy, Row

# Payment items that move money; the others (discount, write-off, settled by a credit note) settle without any.
MONEY = ("partPaymentFinancialTransaction", "partPaymentCashBox", "manualPayment")
_COLUMNS = ("tax_rate", "net", "tax")
# Digits in which no product of two amounts is rounded.
_DIGITS = 80


def vat(frames: Frames, first: date, last: date, basis: Literal["accrual", "cash"] = "accrual") -> Plan:
    """Tax on sales in a period, and what it is on, per rate.

    Vouchers, signs and down payments are those of `revenue`: of a closing invoice what is left of each rate. It needs
    the documents; a voucher without one is left out (see `missing`). Reverse charge, supplies within the Union and
    small businesses are in the rate of 0. What was bought (input tax) is no part of it.

    `accrual` goes by the voucher's date. The law goes by the day of delivery: look at what was delivered in one
    period and written in another.

    `cash` goes by the day of payment and needs the payments. A voucher bears, of the net and the tax of each rate, the
    part that was paid of what it claims, rounded half up to cents for all its payments up to a day together, so that
    all of it is borne when all is paid, and never more. A period bears what all payments up to its end bear less what
    those before it did. Only money counts (bank, cash box, by hand): a discount for paying early, a write-off and a
    credit note that settles an invoice are no payments, and so lower net and tax for good. A credit note that is paid
    out takes its part off in the same way.

    Columns: `tax_rate` in percent, `net`, `tax`; lowest rate first.

    Args:
        frames: The books.
        first: The first day.
        last: The last day.
        basis: `accrual` (Soll) or `cash` (Ist).
    """
    if basis == "accrual":
        return Plan(_COLUMNS, _accrual(frames, first, last), _by_rate, frames)
    if basis == "cash":
        return Plan(_COLUMNS, _cash(frames, first, last), _when_paid, frames)
    raise ValueError(f"basis is 'accrual' or 'cash', not {basis!r}")


def _parts(frames: Frames, rows: Lazy, keys: tuple[str, ...]) -> dict[str, Lazy]:
    """Amounts and tax of vouchers (`document_id`, `voucher_type`), summed by keys, the rate and the types.

    What closing invoices deduct comes apart, and so do lines of bookkeeping vouchers, which are net or gross.
    """
    by = (*keys, "tax_rate", "voucher_type", "tax_type", "is_deducted")
    is_, is_not = nw.lit(value=True).alias("is_deducted"), nw.lit(value=False).alias("is_deducted")
    net = (nw.col("net_amount").alias("amount"), "tax_amount", nw.lit("net").alias("tax_type"))
    kinds = frames.documents.filter(nw.col("kind") == "vouchers").select("tax_type", document_id="id")
    lines = frames.line_items.filter(nw.col("kind") == "vouchers").join(kinds, on="document_id")
    # One question to the engine for all three, so that it looks for the vouchers once.
    parts = nw.concat(
        [
            frames.tax_amounts.select("document_id", "tax_rate", *net, is_not),
            frames.deductions.select("document_id", "tax_rate", *net, is_),
            lines.select("document_id", "tax_rate", "amount", "tax_amount", "tax_type", is_not),
        ]
    )
    sums = (nw.col("amount").sum(), nw.col("tax_amount").sum())
    return {"parts": parts.join(rows, on="document_id").group_by(*by).agg(*sums)}


def _net_and_tax(answers: Mapping[str, list[Row]]) -> list[tuple[Row, Decimal, Decimal]]:
    """Net and tax of each group, with a minus in front of what is deducted; not yet the sign of credit notes."""
    rows = []
    for row in answers["parts"]:
        amount, tax = money(row["amount"]), money(row["tax_amount"])
        net = amount if row["tax_type"] == "net" else amount - tax
        rows.append((row, -net, -tax) if row["is_deducted"] else (row, net, tax))
    return rows


def _accrual(frames: Frames, first: date, last: date) -> dict[str, Lazy]:
    return _parts(frames, sold(frames, first, last).select("voucher_type", document_id="id"), ())


def _by_rate(answers: Mapping[str, list[Row]]) -> list[Row]:
    sums: defaultdict[Decimal, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for row, net, tax in _net_and_tax(answers):
        sums[row["tax_rate"]][0] += sign(row) * net
        sums[row["tax_rate"]][1] += sign(row) * tax
    return _rows(sums)


def _rows(sums: Mapping[Decimal, list[Decimal]]) -> list[Row]:
    known = sorted(sums.items(), key=lambda each: (each[0] is None, each[0] or ZERO))
    return [{"tax_rate": percent(rate), "net": net, "tax": tax} for rate, (net, tax) in known]


def percent(rate: Decimal | None) -> Decimal | None:
    """A rate without the places that it does not need: 19 and 5.5; None if it could not be read."""
    if rate is None:
        return None
    return Decimal(int(rate)) if rate == int(rate) else rate.normalize()


def _cash(frames: Frames, first: date, last: date) -> dict[str, Lazy]:
    moved = frames.payment_items.filter(nw.col("type").is_in(MONEY), nw.col("posting_date") <= last).select(
        "amount", "posting_date", document_id="voucher_id"
    )
    within = moved.filter(nw.col("posting_date") >= first).group_by("document_id").agg(nw.col("amount").sum())
    vouchers = sold(frames).select("voucher_type", document_id="id")
    paid = within.join(vouchers, on="document_id")
    rows = paid.select("document_id", "voucher_type")
    before = moved.filter(nw.col("posting_date") < first).join(rows, on="document_id")
    before = before.group_by("document_id").agg(nw.col("amount").sum())
    return {"paid": paid, "before": before, **_parts(frames, rows, ("document_id",))}


def _when_paid(answers: Mapping[str, list[Row]]) -> list[Row]:
    parts: defaultdict[str, defaultdict[Decimal, list[Decimal]]]
    parts = defaultdict(lambda: defaultdict(lambda: [ZERO, ZERO]))
    for row, net, tax in _net_and_tax(answers):
        parts[row["document_id"]][row["tax_rate"]][0] += net
        parts[row["document_id"]][row["tax_rate"]][1] += tax
    before = {row["document_id"]: money(row["amount"]) for row in answers["before"]}
    sums: defaultdict[Decimal, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for row in answers["paid"]:
        rates = parts[row["document_id"]]  # none if its document is missing
        claimed = sum((amount for pair in rates.values() for amount in pair), ZERO)
        start = before.get(row["document_id"])
        end = (start or ZERO) + money(row["amount"])
        for rate, pair in rates.items():
            for place, amount in enumerate(pair):
                borne = share(amount, end, claimed) - share(amount, start, claimed)
                sums[rate][place] += SIGNS[row["voucher_type"]] * borne
    return _rows(sums)


def share(amount: Decimal, paid: Decimal | None, claimed: Decimal) -> Decimal:
    """What an amount of a voucher comes to when a part of what the voucher claims is paid; never more than all.

    Args:
        amount: net or tax of a rate.
        paid: what was paid; None if nothing was, which is less than a payment of 0.00: that settles a claim of 0.00.
        claimed: what the voucher claims. Less than nothing is paid out, and payments are positive all the same.
    """
    if paid is None:
        return ZERO
    if claimed < 0:
        paid, claimed = abs(paid), -claimed
    if paid >= claimed:
        return amount
    with localcontext(prec=_DIGITS):
        return (amount * paid / claimed).quantize(CENT, ROUND_HALF_UP)
