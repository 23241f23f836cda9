"""The SQL that makes rows of records, written from the columns in `schema`. DuckDB runs it, with the types given.

Nothing is guessed from the data: an amount goes from its digits to DECIMAL, a day from the first ten characters of a
timestamp to DATE. DuckDB before 1.5 reads a number in JSON by way of a binary fraction, which keeps 15 digits; `plain`
writes longer ones as text, which every version reads digit by digit.
"""

# ruff: noqa: S608 - this module writes SQL, of the names in `schema` alone
from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api import exact_json
from lexoffice_nb.books import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIGITS_OF_A_FRACTION = 15
# What DuckDB could read otherwise than it is written: a number with many digits, and half of a pair of surrogates.
_UNUSUAL = re.compile(r"[0-9.]{16}|\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(raw: str) -> str | None:
    """Gives a body in a form that every DuckDB reads exactly, or None if it does so as it is.

    Args:
        raw: a body as `exact_json.encode` writes it.
    """
    if not _UNUSUAL.search(raw):
        return None
    return exact_json.encode(_readable(exact_json.decode(raw))).decode("ascii")


def _readable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f") if len(value.as_tuple().digits) > _DIGITS_OF_A_FRACTION else value
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_readable(name): _readable(part) for name, part in value.items()}
    return [_readable(part) for part in value] if isinstance(value, list) else value


def tables(source: str) -> list[str]:
    """Names the tables that are made of a source, the one with a row for each record first."""
    return sorted(
        (name for name, table in schema.TABLES.items() if table.source == source),
        key=lambda name: bool(schema.TABLES[name].items),
    )


def parsed(source: str, records: str) -> str:
    """Writes a query that reads bodies into typed structures, all that the tables of a source need, once.

    Args:
        source: rows, documents, payments or contacts.
        records: a relation with the columns n, raw and plain.

    Returns:
        A query with the columns n (the record's number) and r.
    """
    structure = _literal(json.dumps(_structure(source)))
    return f"SELECT n, json_transform(coalesce(plain, raw), {structure}) AS r FROM {records}"


def rows(name: str, records: str) -> str:
    """Writes a query that makes the rows of a table.

    Args:
        name: of the table.
        records: a relation as `parsed` gives it.

    Returns:
        A query with the record's number, n, and the table's columns.
    """
    table = schema.TABLES[name]
    columns = ", ".join(f'{_value(column, "item")} AS "{column_name}"' for column_name, column in table.columns.items())
    if not table.items:
        return f"SELECT n, {columns} FROM (SELECT n, r, r AS item FROM {records})"
    lists = _first(_at("r", pointer) for pointer in table.items.split())
    each = "SELECT n, r, unnest(items) AS item, unnest(range(1, len(items) + 1)) AS position_"
    return f"SELECT n, {columns} FROM ({each} FROM (SELECT n, r, {lists} AS items FROM {records}))"


def nothing(name: str) -> str:
    """Writes a query that gives no row, with the columns and types of a table and the record's number, n."""
    columns = ", ".join(f'NULL::{each.type} AS "{column}"' for column, each in schema.TABLES[name].columns.items())
    return f"SELECT NULL::BIGINT AS n, {columns} WHERE false"


def _value(column: schema.Column, item: str) -> str:
    if column.path == "#":
        return f"position_::{column.type}"
    found = _first(
        _at("r" if pointer[0] == "^" else item, pointer.removeprefix("^")) for pointer in column.path.split()
    )
    if column.type == schema.DAY:
        # Words such as infinity are dates to DuckDB.
        return f"try_cast(CASE WHEN left({found}, 1) BETWEEN '0' AND '9' THEN left({found}, 10) END AS DATE)"
    return f"try_cast({found} AS {column.type})"


def _first(expressions: Iterator[str]) -> str:
    each = list(expressions)
    return each[0] if len(each) == 1 else f"coalesce({', '.join(each)})"


def _at(start: str, pointer: str) -> str:
    """Writes what a JSON pointer (RFC 6901) names, in a structure; DuckDB counts the entries of a list from 1."""
    steps = (f"[{int(name) + 1}]" if name.isdigit() else f'."{name}"' for name in pointer.split("/")[1:])
    return start + "".join(steps)


def _structure(source: str) -> Any:
    tree: dict[str, Any] = {}
    for name in tables(source):
        table = schema.TABLES[name]
        for column in table.columns.values():
            for pointer in column.path.split():
                if pointer.startswith("^"):
                    _plant(tree, pointer.removeprefix("^"), schema.TEXT)
                elif pointer != "#":
                    # One structure for all lists, so that the first that is there can be taken.
                    for items in table.items.split() or [""]:
                        _plant(tree, f"{items}{'/0' if items else ''}{pointer}", _read_as(column.type))
    return _lists(tree)


def _plant(tree: dict[str, Any], pointer: str, kind: str) -> None:
    *way, last = pointer.split("/")[1:]
    for name in way:
        tree = tree.setdefault(name, {})
    # A member that is read as two types is text, and converted where it is a column.
    tree[last] = kind if tree.get(last, kind) == kind else schema.TEXT


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if any(name.isdigit() for name in tree):
        return [_lists(next(iter(tree.values())))]
    return {name: _lists(part) for name, part in tree.items()}


def _read_as(kind: str) -> str:
    return schema.TEXT if kind == schema.DAY else kind


def columns_of(source: str) -> Mapping[str, schema.Table]:
    """Gives the tables of a source by name."""
    return {name: schema.TABLES[name] for name in tables(source)}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
