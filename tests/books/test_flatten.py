"""Rows of records: what goes in comes out, to the last digit."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from lexoffice_nb.api import exact_json
from lexoffice_nb.books import flatten, parts, schema

RUNS = [100, pytest.param(5_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]


def rows_of(table: str, *records: Any) -> list[dict[str, Any]]:
    source = schema.TABLES[table].source
    with duckdb.connect() as connection:
        bodies = [exact_json.encode(record).decode() for record in records]
        parts.load(
            connection, [(number, str(number), "", raw, flatten.plain(raw)) for number, raw in enumerate(bodies, 1)]
        )
        connection.execute(f"CREATE TABLE parsed AS {flatten.parsed(source, 'incoming')}")
        found = connection.execute(f"{flatten.rows(table, 'parsed')} ORDER BY ALL")
        names = [each[0] for each in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    largest = Decimal(10) ** (digits - places) - Decimal(1).scaleb(-places)
    return st.decimals(-largest, largest, places=places, allow_nan=False)


@pytest.mark.parametrize("runs", RUNS)
def test_every_amount_price_and_rate_is_exact_to_the_last_digit(runs: int) -> None:
    """15 digits before the point are the most that a number of the API may have; DECIMAL(18,4) has 14."""

    @settings(max_examples=runs, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(decimals(17, 2), decimals(18, 4), decimals(7, 4)), min_size=1, max_size=20),
    )
    def check(lines: list[tuple[Decimal, Decimal, Decimal]]) -> None:
        items = [
            {"lineItemAmount": amount, "quantity": price, "unitPrice": {"netAmount": price, "taxRatePercentage": rate}}
            for amount, price, rate in lines
        ]
        rows = rows_of("line_items", {"id": "a", "lineItems": items})
        assert [(row["amount"], row["quantity"], row["unit_net_amount"], row["tax_rate"]) for row in rows] == [
            (amount, price, price, rate) for amount, price, rate in lines
        ]
        assert all(isinstance(row["amount"], Decimal) for row in rows)

    check()


@pytest.mark.parametrize("runs", RUNS)
def test_every_text_comes_out_as_it_went_in(runs: int) -> None:
    """Half of a pair of surrogates is no text that anything else takes; it is shown as unknown."""

    @settings(max_examples=runs, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @example(["a\x00b", "\ud800", "a\udfff\ud800", "😀", "\\ud800", '"'])
    @given(st.lists(st.text(st.characters(exclude_categories=()), max_size=30), min_size=1, max_size=10))
    def check(names: list[str]) -> None:
        rows = rows_of("contacts", *({"id": name, "company": {"name": name}} for name in names))
        shown = [name.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for name in names]
        assert [row["company"] for row in rows] == shown or "\ufffd" in "".join(shown)
        assert [row["id"] for row in rows] == [row["company"] for row in rows]

    check()


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2025-03-01T00:00:00.000+01:00", datetime.date(2025, 3, 1)),
        ("2025-07-01T00:00:00.000+02:00", datetime.date(2025, 7, 1)),
        ("2025-12-31T23:59:59.999+01:00", datetime.date(2025, 12, 31)),
        ("2025-03-01", datetime.date(2025, 3, 1)),
        ("2024-02-29", datetime.date(2024, 2, 29)),
        ("2025-02-29", None),
        ("infinity", None),
        ("epoch", None),
        ("soon", None),
        ("", None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_a_day_is_the_first_ten_characters_of_its_timestamp(written: Any, day: datetime.date | None) -> None:
    assert rows_of("vouchers", {"id": "a", "voucherDate": written})[0]["voucher_date"] == day


def test_a_moment_in_berlin_is_a_day_in_berlin() -> None:
    from lexoffice_nb.api.berlin import BERLIN

    moment = datetime.datetime(2025, 7, 1, tzinfo=BERLIN)
    row = rows_of("vouchers", {"id": "a", "voucherDate": moment, "updatedDate": moment})[0]
    assert (row["voucher_date"], row["updated_at"]) == (moment.date(), "2025-07-01T00:00:00.000+02:00")


def test_of_several_places_the_first_that_is_there_counts() -> None:
    sales = {"id": "a", "totalPrice": {"totalGrossAmount": Decimal("119.00")}, "totalGrossAmount": Decimal(1)}
    voucher = {"id": "b", "totalGrossAmount": Decimal("11.90"), "type": "salesinvoice"}
    assert [row["gross_amount"] for row in rows_of("documents", sales, voucher)] == [
        Decimal("119.00"),
        Decimal("11.90"),
    ]


def test_lines_have_their_document_and_their_position() -> None:
    sales = {"id": "a", "kind": "invoices", "lineItems": [{"name": "one"}, {"name": "two"}]}
    voucher = {"id": "b", "kind": "vouchers", "voucherItems": [{"amount": Decimal("11.90"), "taxRatePercent": 19}]}
    found = [
        (row["document_id"], row["kind"], row["position"], row["name"], row["amount"], row["tax_rate"])
        for row in rows_of("line_items", sales, voucher)
    ]
    assert found == [
        ("a", "invoices", 1, "one", None, None),
        ("a", "invoices", 2, "two", None, None),
        ("b", "vouchers", 1, None, Decimal("11.90"), Decimal(19)),
    ]


def test_a_contacts_place_is_that_of_its_first_billing_address() -> None:
    contact = {"id": "a", "addresses": {"billing": [{"city": "Freiburg"}, {"city": "Köln"}]}}
    assert [row["city"] for row in rows_of("contacts", contact, {"id": "b", "addresses": {"billing": []}})] == [
        "Freiburg",
        None,
    ]


@pytest.mark.parametrize("strange", ["text", 3, True, None, [], {}, [None], [1, "x"], {"a": [1]}, [[[]]]])
@pytest.mark.parametrize("table", schema.TABLES)
def test_values_of_another_kind_than_promised_leave_a_gap_and_nothing_worse(table: str, strange: Any) -> None:
    members = {step for column in schema.TABLES[table].columns.values() for step in column.path.split("/")[1:2]}
    members |= {pointer.strip("/") for pointer in schema.TABLES[table].items.split()}
    record = dict.fromkeys((name.split()[0] for name in members), strange)
    good = {"id": "good", "voucherId": "good"}
    rows = rows_of(table, {**record, "id": "a", "voucherId": "a"}, good)
    if not schema.TABLES[table].items:
        assert len(rows) == 2


def test_only_what_some_duckdb_reads_otherwise_is_written_otherwise() -> None:
    """A number of 16 digits is text then, which DuckDB makes an amount of without a binary fraction between."""
    assert flatten.plain('{"id":"e9066f04-8cc7-4616-93f8-ac9ecc8479c8","amount":123456789012.34}') is None
    assert flatten.plain('{"amount":12345678901234.56}') == '{"amount":"12345678901234.56"}'
    assert flatten.plain('{"name":"1234567890123456"}') == '{"name":"1234567890123456"}'
    assert flatten.plain('{"name":"a\\ud800"}') == '{"name":"a\\ufffd"}'


def test_an_amount_that_came_as_text_is_one() -> None:
    assert rows_of("payments", {"voucherId": "a", "openAmount": "119.70"})[0]["open_amount"] == Decimal("119.70")


def test_all_columns_have_the_types_of_the_schema() -> None:
    for table in schema.TABLES:
        with duckdb.connect() as connection:
            parts.load(connection, [(1, "a", "", "{}", None)])
            source = schema.TABLES[table].source
            found = connection.execute(
                f"DESCRIBE {flatten.rows(table, '(' + flatten.parsed(source, 'incoming') + ')')}"
            ).fetchall()
            nothing = connection.execute(f"DESCRIBE {flatten.nothing(table)}").fetchall()
        wanted = [("n", "BIGINT"), *((name, column.type) for name, column in schema.TABLES[table].columns.items())]
        assert [row[:2] for row in found] == wanted
        assert [row[:2] for row in nothing] == wanted
