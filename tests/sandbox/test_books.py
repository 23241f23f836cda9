"""The API against the books it was drawn from, to the cent."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from lexoffice_nb.sandbox.ledger import BERLIN, build_ledgers

ANY = "/v1/voucherlist?voucherType=any&voucherStatus=any"


@pytest.fixture(scope="module")
def key(shared_box) -> str:
    return shared_box.make_api_key()


@pytest.fixture
def rows(client, key) -> list[dict]:
    return json.loads(client.api(f"{ANY}&size=250", key).text, parse_float=Decimal)["content"]


def cents(amount: Decimal | int) -> int:
    exact = Decimal(amount) * 100
    assert exact == int(exact)
    return int(exact)


def documents(client, key, rows) -> list[dict]:
    return [json.loads(client.api(f"/v1/invoices/{row['id']}", key).text, parse_float=Decimal) for row in rows]


def test_revenue_per_month_equals_what_the_ledger_wrote_down(client, key, rows):
    gross, net = defaultdict(int), defaultdict(int)
    for row, document in zip(rows, documents(client, key, rows), strict=True):
        if row["voucherStatus"] not in ("draft", "voided"):
            gross[row["voucherDate"][:7]] += cents(row["totalAmount"])
            net[row["voucherDate"][:7]] += cents(document["totalPrice"]["totalNetAmount"])
    assert gross == client.box.ledger.expected.revenue_gross
    assert net == client.box.ledger.expected.revenue_net
    assert len(gross) == 24


def test_open_amounts_by_age_equal_what_the_ledger_wrote_down(client, rows):
    today, found = datetime.now(BERLIN).date(), Counter()
    for row in rows:
        if row.get("openAmount"):
            late = (today - date.fromisoformat(row["dueDate"][:10])).days
            bucket = next(
                (n for n, last in (("current", 0), ("1-30", 30), ("31-60", 60), ("61-90", 90)) if late <= last), "90+"
            )
            found[bucket] += cents(row["openAmount"])
    assert found == client.box.ledger.expected.ageing(today)
    assert all(found.values())


def test_every_invoice_adds_up_by_rate(client, key, rows):
    rates = Counter()
    for document in documents(client, key, rows[:120]):
        total = document["totalPrice"]
        assert total["totalNetAmount"] + total["totalTaxAmount"] == total["totalGrossAmount"]
        assert sum(each["netAmount"] for each in document["taxAmounts"]) == total["totalNetAmount"]
        assert sum(each["taxAmount"] for each in document["taxAmounts"]) == total["totalTaxAmount"]
        columns = defaultdict(Decimal)
        for line in document["lineItems"]:
            columns[line["unitPrice"]["taxRatePercentage"]] += line["lineItemAmount"]
        gross = document["taxConditions"]["taxType"] == "gross"
        for each in document["taxAmounts"]:
            rate = each["taxRatePercentage"]
            rates[rate, gross] += 1
            assert columns[rate] == each["netAmount"] + (each["taxAmount"] if gross else 0)
            exact = columns[rate] * rate / (100 + rate if gross else 100)
            assert abs(exact - each["taxAmount"]) <= Decimal("0.005")
    assert {(rate, gross) for rate in (0, 7, 19) for gross in (True, False)} == set(rates)


def test_money_is_written_with_exact_places_and_never_as_a_string(client, key):
    text = client.api(f"{ANY}&size=250", key).text
    amounts = re.findall(r'"(?:totalAmount|openAmount)":([^,}]+)', text)
    assert len(amounts) > 240
    assert all(re.fullmatch(r"\d+\.\d\d", amount) for amount in amounts)


def test_nothing_is_null(client, key, rows):
    texts = [client.api(path, key).text for path in (f"{ANY}&size=250", "/v1/contacts?size=250", "/v1/profile")]
    texts += [client.api(f"/v1/invoices/{row['id']}", key).text for row in rows[:20]]
    assert not [text for text in texts if re.search(r"[:,\[]null", text)]
    draft = next(row for row in rows if row["voucherStatus"] == "draft")
    assert not {"dueDate", "openAmount"} & draft.keys()


def test_dates_carry_the_offset_that_berlin_had(rows):
    offsets = Counter()
    for row in rows:
        for name in ("voucherDate", "createdDate", "updatedDate", "dueDate"):
            if name in row:
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0[12]:00", row[name])
                moment = datetime.fromisoformat(row[name])
                assert moment.astimezone(ZoneInfo("Europe/Berlin")).isoformat() == moment.isoformat()
                offsets[row[name][-6:]] += 1
        assert "T00:00:00.000" in row["voucherDate"]
    assert set(offsets) == {"+01:00", "+02:00"}
    assert sum(row["voucherDate"][8:10] == "01" for row in rows) >= 24


def test_the_books_hold_what_analyses_stumble_over(client, rows):
    found = Counter(row["voucherStatus"] for row in rows)
    assert found.keys() == {"draft", "open", "overdue", "paid", "voided"}
    assert len(rows) == 240
    today = datetime.now(BERLIN).date()
    late = {(today - date.fromisoformat(row["dueDate"][:10])).days for row in rows if row["voucherStatus"] == "overdue"}
    assert {15, 46, 95} <= late
    assert any("contactId" not in row for row in rows)
    assert any(0 < row.get("openAmount", 0) < row["totalAmount"] for row in rows)
    names = {customer.name for customer in client.box.ledger.customers}
    assert "<img src=x onerror=alert(1)> & Co. KG" in names


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_customer_made_of_html_has_a_few_small_paid_invoices_only(seed):
    ledger = build_ledgers(seed, date(2025, 3, 30))["demo"]
    revenue, open_cents = Counter(), Counter()
    for invoice in ledger.invoices:
        revenue[invoice.customer_name] += invoice.gross
        open_cents[invoice.customer_name] += invoice.open or 0
    theirs = [each for each in ledger.invoices if each.customer_name == "<img src=x onerror=alert(1)> & Co. KG"]
    assert {each.status for each in theirs} == {"paid"}
    assert len(theirs) == 3
    assert max(each.gross for each in theirs) < 10_000
    assert ledger.invoices.index(theirs[-1]) >= len(ledger.invoices) - 50
    assert open_cents[theirs[0].customer_name] == 0
    assert theirs[0].customer_name == revenue.most_common()[-1][0]


def test_overdue_is_computed_when_asked_and_open_finds_it_too(client, key):
    def statuses(status: str) -> Counter:
        page = client.api(f"/v1/voucherlist?voucherType=invoice&voucherStatus={status}&size=250", key).json()
        return Counter(row["voucherStatus"] for row in page["content"])

    overdue, both = statuses("overdue"), statuses("open")
    assert overdue.keys() == {"overdue"}
    assert both.keys() == {"open", "overdue"}
    assert both["overdue"] == overdue["overdue"]
    assert statuses("paid,voided").keys() == {"paid", "voided"}
    invoice = next(each for each in client.box.ledger.invoices if each.status == "open")
    assert invoice.shown_status(invoice.due) == "open"
    assert invoice.shown_status(invoice.due + timedelta(days=1)) == "overdue"


def test_equal_seeds_give_equal_books_and_other_seeds_others():
    day = date(2025, 3, 30)
    first, again, other = build_ledgers(1, day), build_ledgers(1, day), build_ledgers(2, day)
    assert first == again
    assert first["demo"].invoices != other["demo"].invoices
    assert first["demo"].organisation_id != first["kanzlei"].organisation_id
    ids = [invoice.id for ledger in (*first.values(), *other.values()) for invoice in ledger.invoices]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("day", [date(2024, 2, 29), date(2025, 1, 1), date(2025, 3, 31), date(2025, 10, 26)])
def test_no_invoice_is_of_the_future(day):
    for ledger in build_ledgers(1, day).values():
        for invoice in ledger.invoices:
            assert invoice.day <= day
            assert invoice.created <= invoice.updated < datetime(day.year, day.month, day.day, 0, 2, tzinfo=BERLIN)


def test_each_organisation_sees_its_own_books_only(client):
    demo, other = client.box.make_api_key("demo"), client.box.make_api_key("kanzlei")
    theirs = client.api(f"{ANY}&size=250", other).json()
    assert theirs["totalElements"] == len(client.box.ledgers["kanzlei"].invoices)
    assert client.api(f"/v1/invoices/{theirs['content'][0]['id']}", demo).status_code == 404
