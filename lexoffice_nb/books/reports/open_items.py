"""What customers owe, and for how long already."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import narwhals as nw

from lexoffice_nb.api.berlin import BERLIN
from lexoffice_nb.books.reports import names
from lexoffice_nb.books.reports.frames import ZERO, Plan, money, sign, sold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from lexoffice_nb.books.reports.frames import Frames, Lazy, Row

# Days past the due date.
BUCKETS = ("not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90")
_CREDITS = "credits"
_GROUP = ("contact_id", "contact_name", "bucket", "voucher_type")


def open_items(frames: Frames, on: date | None = None, today: date | None = None) -> Plan:
    """What customers owe on a day, for each of them by how long it is due, most first.

    Invoices, sales invoices and down-payment invoices, without drafts and what is unchecked or voided; of a closing
    invoice what is left of it. Open credit notes are not taken off: they have a column of their own.

    For today and later days the list alone is enough: what is open now. For a day before, it is what vouchers of up
    to that day claim (the list's total less the down payments that a closing invoice deducts) less what was booked on
    them until its end: payments, discounts, write-offs and credit notes that settle. That needs documents and
    payments; of a voucher whose payments are missing, what is open now is counted (see `missing`). What was voided
    since then is left out, because nothing says when that was.

    Columns: `customer` (the newest name), `contact_id` (None where there is none; the list's name then), `not_due`,
    `days_1_30`, `days_31_60`, `days_61_90`, `days_over_90`, `total` of these five, `count` of open vouchers in it, and
    `credits`. A voucher is late from the day after its due date; without one it is never late.

    Args:
        frames: The books.
        on: The day; today, if it is None.
        today: The day that is today, if it is not Berlin's.
    """

    def finish(rows: list[Row], known: dict[str, str]) -> list[Row]:
        made: dict[names.Key, Row] = {}
        named = names.newest(rows, "contact_id", "contact_name", known)
        for row in rows:
            one = names.key(row["contact_id"], row["contact_name"])
            empty = dict.fromkeys((*BUCKETS, "total", _CREDITS), ZERO)
            entry = made.setdefault(one, {"customer": named(one), "contact_id": one[0], "count": 0, **empty})
            if sign(row) < 0:
                entry[_CREDITS] += row["amount"]
            else:
                entry[BUCKETS[row["bucket"]]] += row["amount"]
                entry["total"] += row["amount"]
                entry["count"] += row["count"]
        return names.largest(list(made.values()), "total", None, ("customer", "contact_id"))

    columns = ("customer", "contact_id", *BUCKETS, "total", "count", _CREDITS)
    return _plan(frames, on, today, columns, finish)


def ageing(frames: Frames, on: date | None = None, today: date | None = None) -> Plan:
    """What all customers owe on a day together, by how long it is due; the same figures as `open_items`.

    Columns: `late` (`not_due`, `days_1_30`, …, in this order, each always there), `amount`, `count` of open vouchers.
    """

    def finish(rows: list[Row], _: dict[str, str]) -> list[Row]:
        sums: defaultdict[int, Decimal] = defaultdict(lambda: ZERO)
        counts: defaultdict[int, int] = defaultdict(int)
        for row in rows:
            if sign(row) > 0:
                sums[row["bucket"]] += row["amount"]
                counts[row["bucket"]] += row["count"]
        return [{"late": name, "amount": sums[n], "count": counts[n]} for n, name in enumerate(BUCKETS)]

    return _plan(frames, on, today, ("late", "amount", "count"), finish)


def _plan(
    frames: Frames,
    on: date | None,
    today: date | None,
    columns: tuple[str, ...],
    finish: Callable[[list[Row], dict[str, str]], list[Row]],
) -> Plan:
    """A plan whose `finish` gets rows with the members of `_GROUP`, `amount`, `count` and `last`."""
    today = today or datetime.now(BERLIN).date()
    day = on or today
    asked = _open_now(frames, day) if day >= today else _open_then(frames, day)
    prepare = _now if day >= today else _then

    def whole(answers: Mapping[str, list[Row]]) -> list[Row]:
        return finish(prepare(answers), names.of_contacts(answers["names"]))

    return Plan(columns, asked | {"names": names.contact_names(frames)}, whole, frames)


def _bucket(on: date) -> nw.Expr:
    bucket = nw.lit(0)
    for number, days in enumerate((0, 30, 60, 90), start=1):
        bucket = nw.when(nw.col("due_date") < on - timedelta(days)).then(nw.lit(number)).otherwise(bucket)
    return bucket.alias("bucket")


def _open_now(frames: Frames, on: date) -> dict[str, Lazy]:
    rows = sold(frames).filter(nw.col("open_amount") != 0).with_columns(_bucket(on))
    return {"open": rows.group_by(*_GROUP).agg(nw.col("open_amount").sum(), names.last_day(), count=nw.len())}


def _now(answers: Mapping[str, list[Row]]) -> list[Row]:
    return [row | {"amount": money(row["open_amount"])} for row in answers["open"]]


def _open_then(frames: Frames, on: date) -> dict[str, Lazy]:
    rows = sold(frames, last=on).with_columns(_bucket(on))
    rows = rows.select("id", "voucher_date", "total_amount", "open_amount", *_GROUP)
    booked = frames.payment_items.filter(nw.col("posting_date") <= on)
    paid = booked.group_by("voucher_id").agg(paid=nw.col("amount").sum())
    known = frames.payments.select("voucher_id", known=nw.col("open_amount"))
    # Most of all vouchers are paid in full, to the cent: these stay where they are.
    left = (
        rows.join(paid, left_on="id", right_on="voucher_id", how="left")
        .filter(nw.col("paid").is_null() | (nw.col("paid") != nw.col("total_amount")))
        .join(known, left_on="id", right_on="voucher_id", how="left")
    )
    deducted = frames.deductions.select("document_id", "gross_amount").join(
        left.select("id"), left_on="document_id", right_on="id"
    )
    return {"open": left, "deducted": deducted.group_by("document_id").agg(nw.col("gross_amount").sum())}


def _then(answers: Mapping[str, list[Row]]) -> list[Row]:
    deducted = {row["document_id"]: money(row["gross_amount"]) for row in answers["deducted"]}
    rows = []
    for row in answers["open"]:
        amount = money(row["total_amount"]) - deducted.get(row["id"], ZERO) - money(row["paid"])
        if row["known"] is None:
            amount = money(row["open_amount"])
        if amount:
            rows.append(row | {"amount": amount, "count": 1, "last": row["voucher_date"]})
    return rows
