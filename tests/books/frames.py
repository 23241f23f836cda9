"""The tables of the books as the sandbox's ledger gives them, by a reader of the tests' own, on every engine.

What a report gives on them can be held against the ledger's integer cents without going through our own store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from lexoffice_nb.books.reports import Frames
from lexoffice_nb.books.schema import DAY, ENDPOINTS, FLAG, TABLES, TEXT, WHOLE
from lexoffice_nb.sandbox import documents
from lexoffice_nb.sandbox.expected import Expected
from lexoffice_nb.sandbox.ledger import Ledger, build_ledger
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.shapes import to_json
from lexoffice_nb.sandbox.voucher_rows import VoucherRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lexoffice_nb.sandbox.books import Voucher

ENGINES = ("duckdb", "polars", "lazy polars", "pandas")
USUAL = ("duckdb", "pandas")
DAYS = (date(2026, 7, 8), date(2027, 1, 31))
_AT_ONCE = 200

Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """Books, what the reader made of their JSON, and the figures that their vouchers lead to."""

    ledger: Ledger
    tables: dict[str, Table]
    vouchers: list[Voucher]
    expected: Expected


@cache
def books(key: str = "demo", day: date = DAYS[0], seed: int = 1) -> Made:
    ledger = build_ledger(seed, day, PEOPLE[key].organisation)
    records = sources(ledger)
    tables = {name: list(_read(name, records[table.source])) for name, table in TABLES.items()}
    return Made(ledger, tables, [*ledger.invoices, *ledger.others], ledger.expected)


def only(made: Made, vouchers: list[Voucher]) -> Made:
    """The books as if they had nothing but some of their vouchers."""
    kept = {each.id for each in vouchers}
    whose = {"contacts": None, "vouchers": "id", "documents": "id"} | dict.fromkeys(
        ("payments", "payment_items"), "voucher_id"
    )
    tables = {}
    for name, rows in made.tables.items():
        column = whose.get(name, "document_id")
        tables[name] = rows if column is None else [row for row in rows if row[column] in kept]
    expected = Expected()
    for each in vouchers:
        expected.write_down(each)
    return Made(made.ledger, tables, vouchers, expected)


def sources(ledger: Ledger) -> dict[str, Table]:
    """The answers of the API: the list, all documents, payments and contacts, with Decimals."""
    rows = list(_listed(ledger))
    whole, paid = [], []
    for row in rows:
        if kind := ENDPOINTS.get(row["voucherType"]):
            whole.append(_plain(documents.find(ledger, kind, row["id"], ledger.day)) | {"kind": kind})
        try:
            payment = documents.find(ledger, "payments", row["id"], ledger.day)
        except ApiProblem:  # a draft
            continue
        if payment is not None:
            paid.append(_plain(payment) | {"voucherId": row["id"]})
    contacts = [_plain(each) for each in documents.listed(ledger, "contacts")]
    return {"rows": rows, "documents": whole, "payments": paid, "contacts": contacts}


def _listed(ledger: Ledger) -> Iterator[dict[str, Any]]:
    rows = VoucherRows.of(ledger)
    try:
        for number in range(100):
            asked = {"voucherType": "any", "voucherStatus": "any", "size": "250", "page": str(number)}
            page = _plain(rows.page(asked, ledger.day))
            for row in page["content"]:
                overdue = row["voucherStatus"] == "overdue"
                yield row | ({"voucherStatus": "open"} if overdue else {})
            if page["last"]:
                return
    finally:
        rows.close()


def _plain(document: Any) -> dict[str, Any]:
    return json.loads(to_json(document), parse_float=Decimal, parse_int=Decimal)


def _read(name: str, records: Table) -> Iterator[dict[str, Any]]:
    table = TABLES[name]
    for record in records:
        items = [record] if not table.items else _first(record, table.items) or []
        for number, item in enumerate(items, start=1):
            yield {
                column: _typed(number if each.path == "#" else _value(record, item, each.path), each.type)
                for column, each in table.columns.items()
            }


def _value(record: dict[str, Any], item: dict[str, Any], path: str) -> Any:
    return _first(record, path[1:]) if path.startswith("^") else _first(item, path)


def _first(record: Any, paths: str) -> Any:
    for path in paths.split():
        found = record
        for part in path[1:].split("/"):
            if isinstance(found, list):
                found = found[int(part)] if int(part) < len(found) else None
            else:
                found = None if found is None else found.get(part)
        if found is not None:
            return found
    return None


def _typed(value: Any, kind: str) -> Any:
    if value is None or kind in (TEXT, FLAG):
        return value
    if kind == DAY:
        return date.fromisoformat(value[:10])
    return int(value) if kind == WHOLE else Decimal(value)


def frames(tables: dict[str, Table], engine: str) -> Frames:
    """The tables on an engine, with the schema's types."""
    if engine == "duckdb":
        return Frames.of(_duckdb(tables))
    make = {"polars": _polars, "lazy polars": lambda *it: _polars(*it).lazy(), "pandas": _pandas}[engine]
    return Frames.from_native({name: make(name, rows) for name, rows in tables.items()})


def _duckdb(tables: dict[str, Table]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})  # so few rows want no second one
    for name, rows in tables.items():
        columns = TABLES[name].columns
        connection.execute(f"CREATE TABLE {name} ({', '.join(f'{one} {each.type}' for one, each in columns.items())})")
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(some))
            connection.execute(f"INSERT INTO {name} VALUES {marks}", [row[one] for row in some for one in columns])
    return connection


def _digits(kind: str) -> tuple[int, int]:
    precision, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return int(precision), int(scale)


def _polars(name: str, rows: Table) -> Any:
    import polars

    plain = {TEXT: polars.String, DAY: polars.Date, WHOLE: polars.Int32, FLAG: polars.Boolean}
    columns = TABLES[name].columns
    schema = {one: plain.get(each.type) or polars.Decimal(*_digits(each.type)) for one, each in columns.items()}
    return polars.DataFrame([tuple(row.values()) for row in rows], schema=schema, orient="row")


def _pandas(name: str, rows: Table) -> Any:
    import pandas
    import pyarrow

    plain = {TEXT: pyarrow.string(), DAY: pyarrow.date32(), WHOLE: pyarrow.int32(), FLAG: pyarrow.bool_()}
    columns = TABLES[name].columns
    kinds = [(one, plain.get(each.type) or pyarrow.decimal128(*_digits(each.type))) for one, each in columns.items()]
    return pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(kinds)).to_pandas(types_mapper=pandas.ArrowDtype)
