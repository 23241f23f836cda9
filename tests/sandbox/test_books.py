"""The API against the books it was drawn from, to the cent."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest

from lexoffice_nb.sandbox.ledger import BERLIN, build_ledgers

ANY = "/v1/voucherlist?voucherType=any&voucherStatus=any"
INVOICES = "/v1/voucherlist?voucherType=invoice&voucherStatus=any"


@pytest.fixture(scope="module")
def key(shared_box) -> str:
    return shared_box.make_api_key()


@pytest.fixture
def rows(client, key) -> list[dict]:
    return json.loads(client.api(f"{INVOICES}&size=250", key).text, parse_float=Decimal)["content"]


def cents(amount: Decimal | int) -> int:
    exact = Decimal(amount) * 100
    assert exact == int(exact)
    return int(exact)


PATHS = {
    "invoice": "invoices",
    "creditnote": "credit-notes",
    "downpaymentinvoice": "down-payment-invoices",
    **dict.fromkeys(("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote"), "vouchers"),
}
REVENUE = {"invoice": 1, "downpaymentinvoice": 1, "salesinvoice": 1, "creditnote": -1, "salescreditnote": -1}
BOOKED = {"open", "overdue", "paid", "paidoff", "sepadebit", "transferred"}


@pytest.fixture
def all_rows(client, key) -> list[dict]:
    pages = [client.api(f"{ANY}&size=250&page={number}", key).text for number in (0, 1)]
    return [row for page in pages for row in json.loads(page, parse_float=Decimal)["content"]]


def documents(client, key, rows) -> list[dict]:
    return [
        json.loads(client.api(f"/v1/{PATHS[row['voucherType']]}/{row['id']}", key).text, parse_float=Decimal)
        for row in rows
    ]


def taxes(document: dict) -> dict[int, tuple[Decimal, Decimal]]:
    """Net and tax per rate, of what is left after down payments."""
    sums = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for each in document.get("taxAmounts", ()):
        sums[each["taxRatePercentage"]][0] += each["netAmount"]
        sums[each["taxRatePercentage"]][1] += each["taxAmount"]
    for each in document.get("downPaymentDeductions", ()):
        sums[each["taxRatePercentage"]][0] -= each["receivedNetAmount"]
        sums[each["taxRatePercentage"]][1] -= each["receivedTaxAmount"]
    for each in document.get("voucherItems", ()):
        net = each["amount"] - (each["taxAmount"] if document["taxType"] == "gross" else 0)
        sums[each["taxRatePercent"]][0] += net
        sums[each["taxRatePercent"]][1] += each["taxAmount"]
    return {rate: (net, tax) for rate, (net, tax) in sums.items()}


def test_revenue_and_tax_per_month_equal_what_the_ledger_wrote_down(client, key, all_rows):
    gross, net, customers, tax = defaultdict(int), defaultdict(int), defaultdict(int), defaultdict(int)
    sold = [row for row in all_rows if row["voucherType"] in REVENUE and row["voucherStatus"] in BOOKED]
    for row, document in zip(sold, documents(client, key, sold), strict=True):
        sign, month = REVENUE[row["voucherType"]], row["voucherDate"][:7]
        left = cents(document.get("claimedGrossAmount", row["totalAmount"]))
        gross[month] += sign * left
        customers[row.get("contactId", "collective")] += sign * left
        for rate, (untaxed, its_tax) in taxes(document).items():
            net[month] += sign * cents(untaxed)
            tax[month, rate] += sign * cents(its_tax)
    expected = client.box.ledger.expected
    assert gross == expected.revenue_gross
    assert net == expected.revenue_net
    assert customers == expected.revenue_by_customer
    assert tax == expected.tax
    assert len(gross) == 24


def test_what_customers_owe_by_age_equals_what_the_ledger_wrote_down(client, all_rows):
    today, found, owed = datetime.now(BERLIN).date(), Counter(), 0
    for row in all_rows:
        if row.get("openAmount") and row["voucherType"] in REVENUE:
            if REVENUE[row["voucherType"]] < 0:
                owed += cents(row["openAmount"])
                continue
            late = (today - date.fromisoformat(row["dueDate"][:10])).days
            bucket = next(
                (n for n, last in (("current", 0), ("1-30", 30), ("31-60", 60), ("61-90", 90)) if late <= last), "90+"
            )
            found[bucket] += cents(row["openAmount"])
    assert found == client.box.ledger.expected.ageing(today)
    assert owed == client.box.ledger.expected.open_credits
    assert all(found.values())


def test_tax_by_the_day_of_payment_equals_what_the_ledger_wrote_down(client, key, all_rows):
    found, spent = defaultdict(int), defaultdict(int)
    booked = [row for row in all_rows if row["voucherType"] in PATHS and row["voucherStatus"] in BOOKED]
    for row, document in zip(booked, documents(client, key, booked), strict=True):
        if row["voucherType"] not in REVENUE:
            sign = 1 if row["voucherType"] == "purchaseinvoice" else -1
            for rate, (_, tax) in taxes(document).items():
                spent[row["voucherDate"][:7], rate] += sign * cents(tax)
            continue
        answer = json.loads(client.api(f"/v1/payments/{row['id']}", key).text, parse_float=Decimal)
        claimed, paid = document.get("claimedGrossAmount", row["totalAmount"]), Decimal(0)
        shares = dict.fromkeys(taxes(document), 0)
        for item in answer["paymentItems"]:
            if item["paymentItemType"] not in ("cashDiscount", "irrecoverableReceivable", "partPaymentCreditNote"):
                paid += item["amount"]
                for rate, (_, tax) in taxes(document).items():
                    share = cents((tax * paid / claimed).quantize(Decimal("0.01"), ROUND_HALF_UP))
                    found[item["postingDate"][:7], rate] += REVENUE[row["voucherType"]] * (share - shares[rate])
                    shares[rate] = share
    assert found == client.box.ledger.expected.tax_when_paid
    assert spent == client.box.ledger.expected.input_tax


def test_payments_and_what_is_open_come_to_what_was_claimed(client, key, all_rows):
    kinds, statuses, as_text, items = Counter(), set(), [], 0
    for row in all_rows:
        if row["voucherType"] not in PATHS or row["voucherStatus"] not in BOOKED:
            continue
        payment = json.loads(client.api(f"/v1/payments/{row['id']}", key).text, parse_float=Decimal)
        if isinstance(payment["openAmount"], str):
            as_text.append(row["id"])
        assert Decimal(payment["openAmount"]) == row["openAmount"]
        statuses.add((payment["voucherType"][:8] == "purchase", payment["paymentStatus"]))
        kinds.update(item["paymentItemType"] for item in payment["paymentItems"])
        items += len(payment["paymentItems"])
        deducted = sum(
            each["receivedGrossAmount"]
            for document in (documents(client, key, [row]) if row["voucherType"] == "invoice" else ())
            for each in document.get("downPaymentDeductions", ())
        )
        settled = sum(item["amount"] for item in payment["paymentItems"])
        assert settled + row["openAmount"] == row["totalAmount"] - deducted
        assert ("paidDate" in payment) == (row["voucherStatus"] in ("paid", "paidoff"))
    assert as_text == [client.box.ledger.amount_as_text]
    assert items == len(client.box.ledger.expected.payments)
    assert kinds.keys() == {
        *("partPaymentFinancialTransaction", "partPaymentCashBox", "manualPayment"),
        *("cashDiscount", "irrecoverableReceivable", "partPaymentCreditNote"),
    }
    assert statuses == {(False, "balanced"), (True, "balanced"), (False, "openRevenue"), (True, "openExpense")}


def test_every_invoice_adds_up_by_rate(client, key, rows):
    rates = Counter()
    for document in documents(client, key, rows[:120]):
        total = document["totalPrice"]
        assert total["totalNetAmount"] + total["totalTaxAmount"] == total["totalGrossAmount"]
        assert sum(each["netAmount"] for each in document["taxAmounts"]) == total["totalNetAmount"]
        assert sum(each["taxAmount"] for each in document["taxAmounts"]) == total["totalTaxAmount"]
        columns = defaultdict(Decimal)
        for line in document["lineItems"]:
            if line["type"] == "text":
                continue
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
    text = client.api(f"{INVOICES}&size=250", key).text
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
    ledger = client.box.ledgers["kanzlei"]
    assert theirs["totalElements"] == len(client.box.voucher_rows["kanzlei"])
    assert {row["id"] for row in theirs["content"]} >= {invoice.id for invoice in ledger.invoices}
    assert client.api(f"/v1/invoices/{ledger.invoices[0].id}", other).status_code == 200
    assert client.api(f"/v1/invoices/{ledger.invoices[0].id}", demo).status_code == 404


def test_what_is_changed_in_one_sandboxs_figures_is_in_no_others() -> None:
    one, other = (build_ledgers(1, date(2026, 3, 1))["demo"].expected for _ in range(2))
    before = dict(other.revenue_gross), list(other.payments)
    one.revenue_gross["1999-01"] += 1
    one.payments.clear()
    assert (dict(other.revenue_gross), list(other.payments)) == before
