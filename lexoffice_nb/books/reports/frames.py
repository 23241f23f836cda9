"""What a report reads, and what it is before anybody has asked an engine: a few grouped sums, and how they end.

The engine only filters, joins, groups, sums and counts, which every engine does exactly with decimals. Signs, quotients
and what is left after a down payment are worked out afterwards, in Python's Decimal, on the few rows that come back:
a division on an engine leaves the decimals, and even a difference of two sums has more digits than some of them hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import narwhals as nw

if TYPE_CHECKING:
    from datetime import date

    import duckdb

Row = dict[str, Any]
Lazy = nw.LazyFrame[Any]
Finish = Callable[[Mapping[str, list[Row]]], list[Row]]

# What counts as revenue, and how: amounts are positive in credit notes too.
SIGNS: Mapping[str, int] = {
    "invoice": 1,
    "salesinvoice": 1,
    "downpaymentinvoice": 1,
    "creditnote": -1,
    "salescreditnote": -1,
}
# Statuses of what is not in the books: not yet, or no more.
NOT_BOOKED = ("draft", "unchecked", "blank", "voided")
# All that counts is in it: amounts of several currencies have no sum.
EURO = "EUR"
ZERO, CENT = Decimal("0.00"), Decimal("0.01")


@dataclass(frozen=True)
class Frames:
    """The tables of `schema.TABLES`, each as a lazy frame of Narwhals over whatever engine holds it.

    Attributes:
        held: What must live as long as the frames do: DuckDB 1.4 closes a connection of which only relations are left.
    """

    vouchers: Lazy
    documents: Lazy
    line_items: Lazy
    tax_amounts: Lazy
    deductions: Lazy
    related_vouchers: Lazy
    payments: Lazy
    payment_items: Lazy
    contacts: Lazy
    held: Any = None

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection) -> Frames:
        """The tables (or views) of a DuckDB connection, by their names."""
        return cls.from_native({name: connection.table(name) for name in _names()}, held=connection)

    @classmethod
    def from_native(cls, tables: Mapping[str, Any], held: Any = None) -> Frames:
        """The tables by name: DuckDB relations, Polars frames, pandas frames with Arrow's types, or Spark's.

        Raises:
            KeyError: a table is missing.
            TypeError: a column holds binary fractions, which no cent survives for long.
        """
        lazy: dict[str, Lazy] = {name: nw.from_native(tables[name]).lazy() for name in _names()}
        for name, frame in lazy.items():
            for column, kind in frame.collect_schema().items():
                if kind in (nw.Float64, nw.Float32):
                    raise TypeError(f"{name}.{column} is a binary fraction; the books keep decimals")
        return cls(**lazy, held=held)


def _names() -> list[str]:
    return [each.name for each in fields(Frames) if each.name != "held"]


@dataclass(frozen=True)
class Plan:
    """A report before it is computed.

    Attributes:
        columns: Of the rows it gives, in order.
        frames: What the engine has to answer, by name; nothing is computed yet.
        finish: Makes the report's rows of the answers.
        source: The books that it is about.
    """

    columns: tuple[str, ...]
    frames: Mapping[str, Lazy]
    finish: Finish
    source: Frames


def collect(asked: Plan | Lazy) -> list[Row]:
    """Compute a report, or a single frame.

    Returns:
        The rows; money, rates and shares are `Decimal`, days `date`, counts `int`, and what is absent is None.
    """
    if isinstance(asked, Plan):
        rows = asked.finish({name: collect(frame) for name, frame in asked.frames.items()})
        return [{name: row[name] for name in asked.columns} for row in rows]
    if asked.implementation.is_duckdb():  # by its own means, which need no pyarrow
        relation = asked.to_native()
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    whole = asked.collect()
    if whole.implementation.is_polars():
        return [dict(row) for row in whole.rows(named=True)]
    listed: list[Row] = whole.to_arrow().to_pylist()
    return listed


def sold(frames: Frames, first: date | None = None, last: date | None = None) -> Lazy:
    """The rows of the list that count as revenue: by type and status, and by the voucher's date if asked.

    Those in another currency than the euro do not (see `reconcile`), nor those of which no status could be read.
    """
    status, currency = nw.col("voucher_status"), nw.col("currency")
    meant = [nw.col("voucher_type").is_in(tuple(SIGNS)), ~status.is_in(NOT_BOOKED), ~status.is_null()]
    meant.append((currency == EURO) | currency.is_null())
    if first is not None:
        meant.append(nw.col("voucher_date") >= first)
    if last is not None:
        meant.append(nw.col("voucher_date") <= last)
    return frames.vouchers.filter(*meant)


def money(amount: Decimal | None) -> Decimal:
    """An amount with its two places; none is nothing."""
    return ZERO if amount is None else amount.quantize(CENT)


def sign(row: Row) -> int:
    """Whether a voucher adds to revenue (1) or takes from it (-1)."""
    return SIGNS[row["voucher_type"]]
