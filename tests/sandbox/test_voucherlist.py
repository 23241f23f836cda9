"""The list of vouchers: every kind, its filters, the window of 10 000 rows, and rows that change meanwhile."""

from __future__ import annotations

import contextlib
import html
import os
import stat
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.sandbox.books import BERLIN
from lexoffice_nb.sandbox.ledger import build_ledgers
from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.shapes import NEW_KIND
from lexoffice_nb.sandbox.voucher_rows import VoucherRows
from lexoffice_nb.sandbox.voucherlist import TYPES

DAY = date(2025, 11, 20)
ANY = {"voucherType": "any", "voucherStatus": "any"}
MANY = 12_345


@pytest.fixture(scope="module")
def key(shared_box) -> str:
    return shared_box.make_api_key()


@pytest.fixture(scope="module")
def ledger():
    return build_ledgers(1, DAY)["demo"]


@pytest.fixture
def rows(ledger):
    rows = VoucherRows.of(ledger)
    yield rows
    rows.close()


@pytest.fixture(scope="module")
def many():
    rows = VoucherRows.of(build_ledgers(1, DAY, MANY)["demo"])
    yield rows
    rows.close()


@pytest.fixture(scope="module")
def large_box(tmp_path_factory):
    settings = SandboxSettings(extra_vouchers=MANY)
    with Sandbox(data_dir=tmp_path_factory.mktemp("large") / "data", settings=settings) as box:
        yield box


def listed(rows: VoucherRows, today: date = DAY, **query: str) -> list[dict]:
    """All rows that a query finds."""
    found: list[dict] = []
    while True:
        page = rows.page({**ANY, "size": "250", "page": str(len(found) // 250), **query}, today)
        found += page["content"]
        if page["last"]:
            assert len(found) == page["totalElements"]
            return found


def fetch(client, key, query: str) -> list[dict]:
    response = client.api(f"/v1/voucherlist?{query}&size=250", key)
    assert response.status_code == 200, response.text
    return response.json()["content"]


def test_every_kind_that_belongs_there_is_listed_and_found_by_its_name(client, key):
    for kind in TYPES:
        found = fetch(client, key, f"voucherType={kind}&voucherStatus=any")
        assert {row["voucherType"] for row in found} == {kind}
    two = fetch(client, key, "voucherType=creditnote,quotation&voucherStatus=any")
    assert {row["voucherType"] for row in two} == {"creditnote", "quotation"}
    assert len(fetch(client, key, "voucherType=invoice&voucherStatus=any")) == 240


def test_every_status_there_is_but_the_fleeting_one_occurs_and_is_found_by_its_name(rows):
    for status in ("draft", "open", "paid", "paidoff", "voided", "transferred", "sepadebit", "unchecked"):
        found = {row["voucherStatus"] for row in listed(rows, voucherStatus=status)}
        assert found - {"overdue"} == {status}
    assert {row["voucherType"] for row in listed(rows, voucherStatus="accepted,rejected")} == {"quotation"}
    assert listed(rows, voucherStatus="blank") == []


def test_one_row_of_an_unknown_kind_is_found_by_any_alone(client, key):
    everything = [
        row
        for page in (0, 1)
        for row in client.api(f"/v1/voucherlist?voucherType=any&voucherStatus=any&size=250&page={page}", key).json()[
            "content"
        ]
    ]
    assert Counter(row["voucherType"] for row in everything)[NEW_KIND] == 1
    assert client.api(f"/v1/voucherlist?voucherType={NEW_KIND}&voucherStatus=any", key).status_code == 400
    named = fetch(client, key, f"voucherType={','.join(TYPES)}&voucherStatus=any&sort=voucherNumber")
    assert NEW_KIND not in {row["voucherType"] for row in named}


@pytest.mark.parametrize(
    "query",
    [
        "voucherType=dunning&voucherStatus=any",
        "voucherType=recurringtemplate&voucherStatus=any",
        "voucherType=invoice,dunning&voucherStatus=any",
        "voucherType=any&voucherStatus=paymentordered",
        "voucherType=any&voucherStatus=overdue,sepadebit",
        "voucherType=any&voucherStatus=open,any",
        "voucherType=any&voucherStatus=any&size=251",
        "voucherType=any&voucherStatus=any&sort=contactName",
        "voucherType=any&voucherStatus=any&createdDateTo=tomorrow",
    ],
)
def test_what_cannot_be_asked_is_400(client, key, query):
    response = client.api(f"/v1/voucherlist?{query}", key)
    assert (response.status_code, response.json()["status"]) == (400, 400)


def test_overdue_is_what_is_open_or_being_debited_and_past_its_due_date(rows, ledger):
    overdue = listed(rows, voucherStatus="overdue")
    stored = {row["id"]: rows.get(row["id"])["voucherStatus"] for row in overdue}
    assert set(stored.values()) == {"open", "sepadebit"}
    assert {row["voucherStatus"] for row in overdue} == {"overdue"}
    assert max(row["dueDate"][:10] for row in overdue) < str(DAY)
    debited = listed(rows, voucherStatus="sepadebit")
    assert {row["voucherStatus"] for row in debited} == {"overdue", "sepadebit"}
    last = next(each for each in ledger.invoices if each.status == "open" and each.due >= DAY)
    for today, shown in ((last.due, "open"), (last.due + timedelta(1), "overdue")):
        (row,) = listed(rows, today, voucherNumber=last.number)
        assert row["voucherStatus"] == shown
    assert "overdue" not in {row["voucherStatus"] for row in listed(rows, date(1990, 1, 1))}


def test_a_number_is_found_exactly_and_only_html_escaped(client, key):
    number = next(each.number for each in client.box.ledger.others if "&" in each.number)
    found = fetch(client, key, f"voucherType=any&voucherStatus=any&voucherNumber={quote(html.escape(number))}")
    assert [row["voucherNumber"] for row in found] == [number]
    for other in (number, html.escape(number)[:-1], html.escape(number.lower())):
        assert fetch(client, key, f"voucherType=any&voucherStatus=any&voucherNumber={quote(other)}") == []


def test_days_are_days_in_berlin_on_the_nights_when_the_clocks_change(rows, ledger):
    nights = [each for each in ledger.invoices if each.created.hour in (2, 3)]
    assert [each.created.utcoffset() // timedelta(hours=1) for each in nights] in ([1, 2], [2, 1])
    for each in nights:
        day = {"createdDateFrom": str(each.day), "createdDateTo": str(each.day)}
        assert each.id in {row["id"] for row in listed(rows, **day)}
        (row,) = listed(rows, voucherNumber=each.number)
        assert datetime.fromisoformat(row["createdDate"]).timestamp() == each.created.timestamp()
        assert row["createdDate"][:19] == f"{each.created:%Y-%m-%dT%H:%M:%S}"
    model = rows.get(ledger.invoices[0].id)
    for number, moment in enumerate(("2025-07-01T00:30:00.000+02:00", "2025-06-30T23:30:00.000+02:00")):
        rows.put({**model, "id": str(number), "createdDate": moment, "updatedDate": moment})
    for name in ("createdDate", "updatedDate"):
        first = {row["id"] for row in listed(rows, **{f"{name}From": "2025-07-01", f"{name}To": "2025-07-01"})}
        last = {row["id"] for row in listed(rows, **{f"{name}From": "2025-06-30", f"{name}To": "2025-06-30"})}
        assert ("0" in first, "1" in first, "0" in last, "1" in last) == (True, False, False, True)
    edges = listed(rows, voucherDateFrom="2025-03-30", voucherDateTo="2025-03-30")
    assert {row["voucherDate"] for row in edges} == {"2025-03-30T00:00:00.000+01:00"}


@pytest.mark.parametrize("name", ["voucherDate", "createdDate", "updatedDate"])
def test_the_first_and_the_last_day_of_the_calendar_are_days_like_others(rows, name):
    assert len(listed(rows, **{f"{name}From": "0001-01-01", f"{name}To": "9999-12-31"})) == len(rows)
    assert listed(rows, **{f"{name}To": "0001-01-01"}) == listed(rows, **{f"{name}From": "9999-12-31"}) == []


def test_a_row_that_is_no_row_leaves_everything_as_it_was(rows, ledger):
    good = rows.get(ledger.invoices[0].id)
    for bad in ({"id": "x"}, {**good, "createdDate": "yesterday"}):
        with pytest.raises((KeyError, ValueError)):
            rows.put_many([{**good, "contactName": "Neu"}, bad])
    assert rows.get(ledger.invoices[0].id) == good
    rows.put({**good, "contactName": "Neu"})
    assert rows.get(ledger.invoices[0].id)["contactName"] == "Neu"


@pytest.mark.parametrize("name", ["voucherDate", "voucherNumber", "createdDate", "updatedDate"])
def test_rows_come_in_order_over_all_kinds_whichever_way(many, name):
    for window in ({"voucherDateFrom": "2025-06-01"}, {}):
        pages = 40 if not window else 3
        for way in ("ASC", "DESC"):
            found = [
                row
                for page in range(pages)
                for row in many.page({**ANY, **window, "size": "250", "page": str(page), "sort": f"{name},{way}"}, DAY)[
                    "content"
                ]
            ]
            keys = [row[name] if name == "voucherNumber" else datetime.fromisoformat(row[name]) for row in found]
            assert keys == sorted(keys, reverse=way == "DESC")
            assert len({row["id"] for row in found}) == len(found)


def test_no_row_beyond_ten_thousand_can_be_read_or_is_counted(large_box, client_of):
    client, key = client_of(large_box), large_box.make_api_key()
    path = "/v1/voucherlist?voucherType=any&voucherStatus=any"
    last = client.api(f"{path}&size=250&page=39", key).json()
    assert (last["totalElements"], last["totalPages"], last["last"]) == (10_000, 40, True)
    assert last["numberOfElements"] == len(last["content"]) == 250
    for beyond in ("size=250&page=40", "size=100&page=100", "size=240&page=41"):
        response = client.api(f"{path}&{beyond}", key)
        body = response.json()
        assert response.status_code == body["status"] == 500
        assert body["message"] == "Maximum search window size exceeded"
        assert {"timestamp", "error", "path", "traceId", "requestId"} <= body.keys()
    assert client.api(f"{path}&size=100&page=99", key).status_code == 200


def test_windows_of_days_give_every_row_once(many):
    found: list[dict] = []
    for year in range(2015, 2027):
        found += listed(many, voucherDateFrom=f"{year}-01-01", voucherDateTo=f"{year}-12-31")
    assert len(found) == len({row["id"] for row in found}) == len(many)
    extra = [row for row in found if row["voucherNumber"][1] == "X"]
    assert len(extra) == MANY
    assert len({row["voucherDate"][:4] for row in extra}) >= 8
    assert {row["voucherType"] for row in extra} == {
        *("invoice", "salesinvoice", "purchaseinvoice", "creditnote", "quotation")
    }


def test_extra_rows_and_their_documents_say_the_same(large_box, client_of):
    client, key = client_of(large_box), large_box.make_api_key()
    paths = {"invoice": "invoices", "creditnote": "credit-notes", "quotation": "quotations"}
    page = client.api("/v1/voucherlist?voucherType=any&voucherStatus=any&size=250&page=2", key).json()["content"]
    page += client.api("/v1/voucherlist?voucherType=any&voucherStatus=any&size=250", key).json()["content"]
    seen = Counter()
    for row in page:
        kind = row["voucherType"]
        if row["voucherNumber"][1] != "X" or seen[kind, row["voucherStatus"]] >= 2:
            continue
        seen[kind, row["voucherStatus"]] += 1
        document = client.api(f"/v1/{paths.get(kind, 'vouchers')}/{row['id']}", key).json()
        for name in ("id", "voucherNumber", "voucherDate", "createdDate", "updatedDate"):
            assert document[name] == row[name]
        assert document.get("dueDate") == row.get("dueDate")
        total = document["totalPrice"]["totalGrossAmount"] if "totalPrice" in document else document["totalGrossAmount"]
        assert total == row["totalAmount"]
        if "openAmount" in row:
            payment = client.api(f"/v1/payments/{row['id']}", key).json()
            assert payment["openAmount"] == row["openAmount"]
            paid = sum(item["amount"] for item in payment["paymentItems"])
            assert round(paid + row["openAmount"], 2) == row["totalAmount"]
        elif kind == "invoice":
            assert client.api(f"/v1/payments/{row['id']}", key).status_code == 406
    assert len({kind for kind, _ in seen}) == 5
    assert client.api(f"/v1/invoices/{page[0]['id'][:-6]}ffffff", key).status_code == 404


def test_equal_seeds_give_equal_rows(many):
    again, other = (VoucherRows.of(build_ledgers(seed, DAY, MANY)["demo"]) for seed in (1, 2))
    window = {"voucherDateFrom": "2024-01-01", "voucherDateTo": "2024-12-31"}
    assert listed(many, **window) == listed(again, **window)
    extra = [
        [row["totalAmount"] for row in listed(each, **window) if row["voucherNumber"][1] == "X"]
        for each in (many, other)
    ]
    assert extra[0] != extra[1]
    again.close()
    other.close()


def test_rows_can_be_added_changed_and_removed_while_a_list_is_read(own):
    key, rows = own.box.make_api_key(), own.box.voucher_rows["demo"]
    query = "voucherType=any&voucherStatus=any"
    first, second, third = fetch(own, key, query)[:3]
    before = len(rows)
    rows.change_status(first["id"], "voided", datetime(2025, 3, 30, 1, 30, tzinfo=UTC))
    rows.remove(second["id"])
    rows.put({**rows.get(third["id"]), "contactName": "Anders & Co."})
    rows.put({**rows.get(third["id"]), "id": "00000000-0000-4000-8000-000000000001", "voucherNumber": "Neu 1"})
    now = {row["id"]: row for row in fetch(own, key, query)}
    assert (now[first["id"]]["voucherStatus"], now[first["id"]]["openAmount"]) == ("voided", 0)
    assert now[first["id"]]["updatedDate"] == "2025-03-30T03:30:00.000+02:00"
    assert second["id"] not in now
    assert now[third["id"]]["contactName"] == "Anders & Co."
    assert now["00000000-0000-4000-8000-000000000001"]["voucherNumber"] == "Neu 1"
    assert len(rows) == before
    for change in (rows.remove, rows.get, lambda unknown: rows.change_status(unknown, "paid")):
        with pytest.raises(KeyError):
            change(second["id"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at open files in /proc")
def test_the_rows_lie_in_a_private_file_without_a_name_that_goes_with_the_server():
    def files() -> dict[int, str]:
        found = {}
        for each in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(each.readlink())
                if stat.S_ISREG(os.stat(int(each.name)).st_mode):  # noqa: PTH116 - an open file, not a path
                    found[int(each.name)] = target
        return found

    before = files()
    rows = VoucherRows.of(build_ledgers(1, DAY, 300_000)["demo"])
    made = {number: target for number, target in files().items() if before.get(number) != target}
    assert made
    for number, target in made.items():
        assert target.endswith("(deleted)")
        assert stat.S_IMODE(os.fstat(number).st_mode) == 0o600
    rows.close()
    assert not made.items() & files().items()


def test_a_bad_query_is_refused_before_the_window_is_looked_at(rows):
    with pytest.raises(ApiProblem) as refused:
        rows.page({**ANY, "page": "400", "size": "251"}, DAY)
    assert refused.value.status == 400
    with pytest.raises(ApiProblem) as refused:
        rows.page({**ANY, "page": "400", "size": "250"}, DAY)
    assert refused.value.status == 500


@pytest.mark.soak
def test_a_million_vouchers_are_made_in_seconds_and_a_page_of_them_in_milliseconds():
    # In seconds of processor time, for other programs may use the machine as well.
    begin = time.process_time()
    rows = VoucherRows.of(build_ledgers(1, DAY, 1_000_000)["demo"])
    assert time.process_time() - begin < 15
    assert len(rows) > 1_000_000
    queries = (
        {},
        {"page": "39"},
        {"voucherType": "invoice", "sort": "voucherNumber,ASC", "page": "39"},
        {"voucherStatus": "overdue"},
        {"voucherDateFrom": "2024-01-01", "voucherDateTo": "2024-01-20", "page": "20"},
        {"updatedDateFrom": str(DAY - timedelta(1))},
        {"archived": "true"},
        {"voucherNumber": "RE1001"},
    )
    for query in queries:
        begin = time.process_time()
        rows.page({**ANY, "size": "250", **query}, datetime.now(BERLIN).date())
        assert time.process_time() - begin < 0.1, query
    rows.close()
