"""The books come completely, cheaply, and only once; whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider, progress
from lexoffice_nb.api import berlin
from lexoffice_nb.api.signing import MAX_ATTEMPTS
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.errors import BooksError, ServerTrouble, SignedOut
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from tests.books.conftest import CALLBACK, SCOPES
from tests.books.test_kills_store import is_amid_a_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.books.books import Books
    from lexoffice_nb.books.store import Store
    from lexoffice_nb.sandbox import Sandbox

KINDS = {"invoices", "down-payment-invoices", "credit-notes", "quotations", "order-confirmations", "delivery-notes"}
SEED = 20_261
FEW = 6  # vouchers of each class: type, status, archived or not


def ask(books: Books, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        books.store.connect(connection)
        return connection.execute(statement).fetchall()


def documents(paths: list[str]) -> list[str]:
    """Those of the paths that are documents: their ids."""
    return [path.split("/")[3] for path in paths if path.split("/")[2] in {*KINDS, "vouchers"} and path.count("/") == 3]


def ids_of(box: Sandbox) -> set[str]:
    rows = box.voucher_rows["demo"]
    return {row[0] for row in rows._db.execute("SELECT id FROM vouchers")}


@pytest.fixture
def box(make_box: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox with every class of voucher, but a quarter as many: these tests sync a hundred times."""
    box = make_box()
    rows = box.voucher_rows["demo"]
    classes = Counter(class_ for (class_,) in rows._db.execute("SELECT class FROM vouchers"))
    for id_, class_ in rows._db.execute("SELECT id, class FROM vouchers ORDER BY n").fetchall():
        if classes[class_] > FEW:
            rows.remove(id_)
            classes[class_] -= 1
    return box


def an_invoice(books: Books, status: str = "open", offset: int = 0) -> str:
    query = f"SELECT id FROM vouchers WHERE voucher_type = 'invoice' AND voucher_status = '{status}' ORDER BY id"
    return str(ask(books, query)[offset][0])


# --- what comes ---


def test_all_comes_and_is_counted(make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any) -> None:
    box = make_box()
    session, counted = signed_in(box), requests_of(box)
    done = session.books.sync(wait=True)
    paths = counted()
    assert done.state == "done"
    assert done.vouchers == len(ids_of(box))
    assert set(session.books.store.known("rows")) == ids_of(box)
    assert Counter(documents(paths)).most_common(1)[0][1] == 1
    assert done.documents == len(documents(paths)) == done.vouchers - done.skipped
    assert repr(done).startswith(f"{done.vouchers} vouchers, {done.documents} documents, 26 contacts; 0 missing")
    assert len(paths) == 2 + 1 + done.documents


def test_the_newest_documents_come_first(box: Sandbox, session: LexofficeSession, requests_of: Any) -> None:
    counted = requests_of(box)
    session.books.sync(wait=True)
    days = dict(ask(session.books, "SELECT id, voucher_date FROM vouchers"))
    order = [days[each] for each in documents(counted())]
    assert order == sorted(order, reverse=True)


def test_a_voucher_of_a_kind_that_nobody_knows_is_in_the_list_and_counted(session: LexofficeSession) -> None:
    done = session.books.sync(wait=True)
    assert done.skipped == 1
    assert any("1 voucher is of a kind" in note for note in done.notes)


def test_overdue_is_never_stored(box: Sandbox, session: LexofficeSession) -> None:
    assert len(session.voucherlist(voucherStatus="overdue")) > 0
    session.books.sync(wait=True)
    assert ask(session.books, "SELECT count(*) FROM vouchers WHERE voucher_status = 'overdue'") == [(0,)]
    stored = session.books.store.known("rows")
    late = session.voucherlist(voucherStatus="overdue").first().id
    assert late in stored
    assert ask(session.books, f"SELECT voucher_status FROM vouchers WHERE id = '{late}'") == [("open",)]


def test_the_list_of_9900_rows_takes_no_more_than_41_requests(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    box = make_box(9_900)
    session = signed_in(box)
    books, counted = session.books, requests_of(box)
    sync = books.sync()
    sync.stop()
    sync.join(10)
    assert len(counted("/v1/voucherlist")) <= 41
    assert len(books.store.known("rows")) == 9_900


@pytest.mark.soak
def test_12345_rows_come_completely_and_once_in_pages_and_three_requests_for_each_split(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    box = make_box(12_345)
    books, counted = signed_in(box).books, requests_of(box)
    sync = books.sync()
    sync.stop()
    sync.join(10)
    assert len(counted("/v1/voucherlist")) <= -(-12_345 // 250) + 3 + 1
    assert set(books.store.known("rows")) == ids_of(box)
    assert ask(books, "SELECT count(*), count(DISTINCT id) FROM vouchers") == [(12_345, 12_345)]


def test_10000_invoices_of_which_10_changed_cost_no_more_than_12_requests(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    box = make_box(10_400)
    books = signed_in(box).books
    books.sync().stop()
    books.latest.join(10)
    rows = ask(books, "SELECT id, updated_at FROM vouchers")
    books.store.add("documents", [{"id": id_, "kind": "invoices", "listedDate": listed} for id_, listed in rows])
    assert books.missing.documents == 0
    settled = ask(
        books, "SELECT id FROM vouchers WHERE voucher_type = 'invoice' AND voucher_status = 'paid' ORDER BY id"
    )
    assert len(ask(books, "SELECT id FROM vouchers WHERE voucher_type = 'invoice'")) > 5_000
    changed = [id_ for (id_,) in settled[:10]]
    for each in changed:
        box.voucher_rows["demo"].change_status(each, "open")
    counted = requests_of(box)
    done = books.sync(wait=True)
    paths = counted()
    assert sorted(documents(paths)) == sorted(changed)
    assert len([path for path in paths if path != "/v1/contacts"]) <= 12
    assert done.missing == 0


# --- increments ---


def test_a_second_sync_asks_for_two_pages_and_nothing_else(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    session.books.sync(wait=True)
    counted = requests_of(box)
    done = session.books.sync(wait=True)
    assert counted() == ["/v1/voucherlist"] * 2
    assert (done.read, done.missing) == (0, 0)


def test_what_changed_is_read_anew_and_once(box: Sandbox, session: LexofficeSession, requests_of: Any) -> None:
    books = session.books
    books.sync(wait=True)
    changed = an_invoice(books)
    box.voucher_rows["demo"].change_status(changed, "paid")
    counted = requests_of(box)
    books.sync(wait=True)
    assert documents(counted()) == [changed]
    assert ask(books, f"SELECT voucher_status FROM vouchers WHERE id = '{changed}'") == [("paid",)]
    books.sync(wait=True)
    assert documents(counted()) == []


def test_what_was_written_meanwhile_comes(box: Sandbox, signed_in: Any) -> None:
    session = signed_in(box, "openid profile invoice.read invoice.write contact.read")
    books = session.books
    books.sync(wait=True)
    before = set(books.store.known("documents"))
    written = session.invoices.create(
        voucherDate=berlin.here(berlin.datetime.now(berlin.UTC)),
        address={"name": "Neu GmbH", "countryCode": "DE"},
        lineItems=[
            {
                "type": "custom",
                "name": "Beratung",
                "quantity": 1,
                "unitName": "Stunde",
                "unitPrice": {"currency": "EUR", "netAmount": 100, "taxRatePercentage": 19},
            }
        ],
        totalPrice={"currency": "EUR"},
        taxConditions={"taxType": "net"},
        shippingConditions={"shippingType": "none"},
    )
    done = books.sync(wait=True)
    assert set(books.store.known("documents")) - before == {written.id}
    assert done.read == 1


def test_what_was_deleted_goes_by_itself(box: Sandbox, session: LexofficeSession, requests_of: Any) -> None:
    books = session.books
    books.sync(wait=True)
    gone = an_invoice(books)
    box.voucher_rows["demo"].remove(gone)
    counted = requests_of(box)
    done = books.sync(wait=True)
    assert set(books.store.known("rows")) == ids_of(box)
    assert gone not in books.store.known("documents")
    assert documents(counted()) == []
    assert done.missing == 0


def test_a_move_to_the_archive_that_no_date_shows_is_found(box: Sandbox, session: LexofficeSession) -> None:
    books, rows = session.books, box.voucher_rows["demo"]
    books.sync(wait=True)
    [(moved,)] = ask(books, "SELECT id FROM vouchers WHERE NOT archived AND voucher_type = 'invoice' LIMIT 1")
    rows.put({**rows.get(moved), "archived": True})
    books.sync(wait=True)
    assert ask(books, f"SELECT archived FROM vouchers WHERE id = '{moved}'") == [(True,)]


def test_a_change_that_no_date_shows_comes_with_the_whole_list(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    books, rows = session.books, box.voucher_rows["demo"]
    books.sync(wait=True)
    changed = an_invoice(books)
    rows.put({**rows.get(changed), "contactName": "Anders GmbH"})
    counted = requests_of(box)
    books.sync(full=True, wait=True)
    assert counted("/v1/voucherlist") == ["/v1/voucherlist"]
    assert ask(books, f"SELECT contact_name FROM vouchers WHERE id = '{changed}'") == [("Anders GmbH",)]


@pytest.mark.soak
def test_more_changes_than_a_page_has_come_all(make_box: Callable[..., Sandbox], signed_in: Any) -> None:
    box = make_box(1_000)
    books, rows = signed_in(box).books, box.voucher_rows["demo"]
    books.sync().stop()
    books.latest.join(10)
    changed = [
        id_ for (id_,) in ask(books, "SELECT id FROM vouchers WHERE voucher_status = 'paid' ORDER BY id LIMIT 400")
    ]
    for each in changed:
        rows.change_status(each, "voided")
    books.sync().stop()
    books.latest.join(10)
    listed = ", ".join(f"'{each}'" for each in changed)
    assert ask(books, f"SELECT DISTINCT voucher_status FROM vouchers WHERE id IN ({listed})") == [("voided",)]
    assert len(books.store.known("rows")) == 1_000


# --- contacts ---


def test_contacts_come_once_a_day(box: Sandbox, session: LexofficeSession, requests_of: Any) -> None:
    books, counted = session.books, requests_of(box)
    books.sync(wait=True)
    books.sync(wait=True)
    assert len(counted("/v1/contacts")) == 1
    at = berlin.datetime.fromisoformat(books.store.state["contacts_at"])
    books.store.set_state(contacts_at=(at - timedelta(hours=25)).isoformat())
    books.sync(wait=True)
    assert len(counted("/v1/contacts")) == 1


def test_a_contact_that_nobody_knows_has_them_read_once(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    books, rows = session.books, box.voucher_rows["demo"]
    books.sync(wait=True)
    changed = an_invoice(books)
    rows.put({**rows.get(changed), "contactId": str(uuid.uuid4())})
    rows.change_status(changed, "open")
    counted = requests_of(box)
    books.sync(wait=True)
    books.sync(wait=True)
    assert len(counted("/v1/contacts")) == 1


def test_without_contact_read_it_goes_on_and_says_so_once(box: Sandbox, signed_in: Any) -> None:
    books = signed_in(box, "openid profile invoice.read").books
    done = books.sync(wait=True)
    assert done.state == "done"
    assert (done.missing, done.contacts) == (0, 0)
    assert any("Without contacts" in note for note in done.notes)
    assert not any("Without contacts" in note for note in books.sync(wait=True).notes)


# --- payments ---


def test_payments_come_on_request_and_only_of_what_has_any(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    books, counted = session.books, requests_of(box)
    books.sync(wait=True)
    assert counted("/v1/payments") == []
    done = books.sync(payments=True, wait=True)
    asked = {path.split("/")[3] for path in counted("/v1/payments")}
    drafts = {id_ for (id_,) in ask(books, "SELECT id FROM vouchers WHERE voucher_status = 'draft'")}
    assert asked
    assert not asked & drafts
    assert done.payments == len(asked)
    assert (done.unreadable, books.missing.payments) == (0, 0)
    books.sync(payments=True, wait=True)
    assert counted("/v1/payments") == []


def test_payments_of_a_range_of_days_are_those_of_its_vouchers(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    books = session.books
    books.sync(wait=True)
    [(day,)] = ask(books, "SELECT max(voucher_date) FROM vouchers WHERE voucher_status = 'paid'")
    counted = requests_of(box)
    books.sync(payments=(day - timedelta(60), day), wait=True)
    asked = [path.split("/")[3] for path in counted("/v1/payments")]
    listed = ", ".join(f"'{each}'" for each in asked)
    assert asked
    [(first, last)] = ask(books, f"SELECT min(voucher_date), max(voucher_date) FROM vouchers WHERE id IN ({listed})")
    assert day - timedelta(60) <= first <= last <= day


# --- trouble ---


def test_an_organisation_without_vouchers_works_and_says_so(box: Sandbox, session: LexofficeSession) -> None:
    for each in ids_of(box):
        box.voucher_rows["demo"].remove(each)
    done = session.books.sync(wait=True)
    assert (done.state, done.vouchers, done.missing) == ("done", 0, 0)
    assert any("no vouchers yet" in note for note in done.notes)
    assert session.books.sync(wait=True).state == "done"
    assert len(session.books.open_items()) == 0


def test_a_document_that_vanished_is_skipped_and_counted(box: Sandbox, session: LexofficeSession) -> None:
    rows = box.voucher_rows["demo"]
    one = next(iter(session.voucherlist(voucherType="invoice"))).id
    rows.put({**rows.get(one), "id": str(uuid.uuid4())})
    done = session.books.sync(wait=True)
    assert (done.state, done.vanished, done.missing) == ("done", 1, 1)
    assert any("1 documents were deleted" in note for note in done.notes)


def test_a_document_that_cannot_be_read_stops_nothing(box: Sandbox, session: LexofficeSession) -> None:
    one = next(iter(session.voucherlist(voucherType="invoice"))).id
    box.faults.next("503", 2 * MAX_ATTEMPTS, path=f"/v1/invoices/{one}")
    done = session.books.sync(wait=True)
    assert (done.state, done.missing, done.unreadable) == ("done", 1, 1)
    box.faults.clear()
    assert session.books.sync(wait=True).missing == 0


def test_an_api_in_trouble_is_given_up_after_a_while_and_what_is_missing_is_said(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    box.faults.next("503", None, path="/v1/invoices/*")
    box.faults.next("503", None, path="/v1/credit-notes/*")
    box.faults.next("503", None, path="/v1/vouchers/*")
    box.faults.next("503", None, path="/v1/quotations/*")
    done = session.books.sync(wait=True)
    assert done.state == "done"
    assert done.missing > 30
    assert done.notes
    box.faults.clear()
    counted = requests_of(box)
    stored = set(session.books.store.known("documents"))
    assert session.books.sync(wait=True).missing == 0
    assert not stored & set(documents(counted()))


def test_a_short_trouble_in_the_middle_is_waited_out(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.next("503", 8, path="/v1/voucherlist")
    box.faults.next("503", 14, path="/v1/invoices/*")
    done = session.books.sync(wait=True)
    assert (done.state, done.missing, done.unreadable) == ("done", 0, 0)


def test_under_a_storm_of_faults_all_comes_and_nothing_twice(box: Sandbox, session: LexofficeSession) -> None:
    books = session.books
    box.faults.share_500, box.faults.share_504 = 0.10, 0.05
    box.faults.share_429, box.faults.share_cut = 0.05, 0.05
    done = books.sync(wait=True)
    box.faults.clear()
    assert done.missing == 0
    assert set(books.store.known("rows")) == ids_of(box)


def test_a_list_that_does_not_come_is_an_error_and_what_came_is_kept(
    make_box: Callable[..., Sandbox], signed_in: Any
) -> None:
    box = make_box(1_000)
    session = signed_in(box)
    books = session.books
    with _after(box, 3, lambda: box.faults.next("503", None, path="/v1/voucherlist")), pytest.raises(ServerTrouble):
        books.sync(wait=True)
    assert books.latest.state == "failed"
    assert books.latest.problem is not None
    kept = set(books.store.known("rows"))
    assert len(kept) >= 250
    box.faults.clear()
    books.sync().stop()
    assert len(books.store.known("rows")) == 1_000


def test_a_sign_out_in_the_middle_ends_it_and_keeps_all(box: Sandbox, session: LexofficeSession) -> None:
    books = session.books
    with _after(box, 40, session._source.clear), pytest.raises(SignedOut) as caught:
        books.sync(wait=True)
    assert len(caught.value._render_traceback_()) == 2
    assert books.latest.state == "failed"
    assert len(books.store.known("documents")) >= 30
    with pytest.raises(SignedOut):
        session.books.sync()


def test_a_scope_that_is_lost_in_the_middle_is_named_and_all_is_kept(
    box: Sandbox, signed_in: Any, requests_of: Any
) -> None:
    books, counted = signed_in(box).books, requests_of(box)

    def lose() -> None:
        box._database.write("UPDATE access_tokens SET scope = 'openid profile contact.read'")

    with _after(box, 60, lose):
        done = books.sync(wait=True)
    assert done.state == "done"
    assert done.missing > 30
    assert len(books.store.known("documents")) == done.documents >= 40
    assert len(done.notes) <= 2
    assert "invoice.read" in done.notes[0]
    asked = documents(counted())
    assert len(asked) == len(set(asked)) <= done.read + len(KINDS) + 1
    box._database.write("UPDATE access_tokens SET scope = 'openid profile invoice.read contact.read'")
    assert books.sync(wait=True).missing == 0


def test_logging_out_stops_it(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.slow = 0.02
    books = session.books
    sync = books.sync()
    session.logout()
    sync.join(5)
    assert sync.ended
    assert sync.missing > 0
    assert sync.state in ("stopped", "failed")


# --- what the API, a clock or a disk may do to them ---


A, B = (f"00000000-0000-4000-8000-00000000000{each}" for each in "ab")


class Odd(ThreadingHTTPServer):
    """An API whose list has the rows that it is given; the sign-in is the sandbox's.

    Attributes:
        rows: the list.
        date: the header that says what time it is; the clock's where there is none.
        asked: the paths and queries that were asked for.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.rows: list[dict[str, Any]] = []
        self.date: str | None = None
        self.asked: list[str] = []

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """Gives the body of an answer."""
        if path == "/v1/profile":
            return {"organizationId": "00000000-0000-4000-8000-0000000000aa", "companyName": "Muster"}
        if path not in ("/v1/voucherlist", "/v1/contacts"):
            return {"id": path.split("/")[-1], "lineItems": []}
        rows = self.rows if path == "/v1/voucherlist" and "archived" not in query else []
        since = query.get("updatedDateFrom", [""])[0]
        content = [row for row in rows if str(row["updatedDate"]) >= since]
        if "updatedDate,DESC" in query.get("sort", []):
            content = sorted(content, key=lambda row: str(row["updatedDate"]), reverse=True)[:1]
        return {"content": content, "totalElements": len(rows), "last": len(content) == len(rows) or bool(since)}


class _Answer(BaseHTTPRequestHandler):
    server: Odd

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        address = urlsplit(self.path)
        body = json.dumps(self.server.answer(address.path, parse_qs(address.query))).encode()
        self.send_response_only(200)
        self.send_header("Date", self.server.date or self.date_time_string())
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def odd() -> Iterator[Odd]:
    with Odd() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def odd_books(odd: Odd, make_box: Callable[..., Sandbox]) -> Iterator[Books]:
    provider = replace(
        Provider.discover(make_box().url, name="sandbox"), api_base=f"http://127.0.0.1:{odd.server_port}"
    )
    login = LexofficeLogin("lexoffice-nb", CALLBACK, SCOPES.split(), provider)
    login.handle_callback(sign_in(login.get_login_url()))
    with LexofficeSession.from_login(login) as session:
        yield session.books


def a_row(name: object, changed: str = "2025-03-01T00:00:00.000+01:00", **members: Any) -> dict[str, Any]:
    created = "2025-03-01T00:00:00.000+01:00"
    usual = {"voucherType": "invoice", "voucherStatus": "open", "voucherDate": created, "totalAmount": 119}
    return {"id": name, **usual, "createdDate": created, "updatedDate": changed, **members}


def test_vouchers_without_an_id_that_is_one_are_counted_and_the_others_are_there(odd: Odd, odd_books: Books) -> None:
    odd.rows = [a_row(A), a_row("\ud800"), a_row(5), a_row(["b"]), a_row(B, changed="\ud800")]
    for _ in range(2):
        done = odd_books.sync(wait=True)
        assert (done.state, done.vouchers, done.documents) == ("done", 2, 2)
        assert any("without a usable id" in note for note in done.notes)
    assert len(odd_books.revenue("year")) == 1


def test_a_list_without_any_id_is_not_called_empty(odd: Odd, odd_books: Books) -> None:
    odd.rows = [a_row(None), a_row("\ud800")]
    done = odd_books.sync(wait=True)
    assert (done.state, done.vouchers) == ("done", 0)
    assert not any("no vouchers yet" in note for note in done.notes)
    for language, words in (("en", "without a usable id"), ("de", "ohne brauchbare ID")):
        use_language(language)
        assert any(words in note for note in done.notes)


def test_a_clock_of_the_server_that_is_wrong_once_loses_no_change(odd: Odd, odd_books: Books) -> None:
    odd.rows = [a_row(A), a_row(B)]
    odd.date = "Wed, 01 Jan 2099 00:00:00 GMT"
    odd_books.sync(wait=True)
    odd_books.sync(wait=True)
    odd.date = None
    assert datetime.fromisoformat(odd_books.store.state["listed"]) <= datetime.now(UTC)
    yesterday = (datetime.now(UTC) - timedelta(hours=3)).astimezone(berlin.BERLIN).isoformat(timespec="milliseconds")
    odd.rows = [a_row(A), a_row(B, changed=yesterday, totalAmount=1000)]
    odd_books.sync(wait=True)
    assert ask(odd_books, "SELECT total_amount FROM vouchers WHERE total_amount > 119")[0][0] == 1000


@pytest.mark.parametrize(
    "harm",
    [
        {"listed": 5},
        {"listed": "garbage"},
        {"listed": "2025-01-01T00:00:00"},
        {"listed": "2099-01-01T00:00:00+00:00"},
        {"listed": None, "cursor": "garbage", "began": 7},
        {"contacts_lost": 5},
        {"contacts_lost": [[1]]},
        {"contacts_at": 5},
        {"mended": "x"},
    ],
)
def test_a_state_that_somebody_has_changed_costs_requests_and_nothing_else(
    odd: Odd, odd_books: Books, harm: dict[str, Any]
) -> None:
    odd.rows = [a_row(A), a_row(B)]
    odd_books.sync(wait=True)
    path = odd_books.store.folder / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **harm}))
    odd.rows = [a_row(B)]
    done = odd_books.sync(wait=True)
    assert (done.state, done.vouchers, set(odd_books.store.known("rows"))) == ("done", 1, {B})
    assert odd_books.store.state["listed"]


def test_what_a_disk_has_harmed_is_said_set_right_or_fetched_again_by_the_next_sync(odd: Odd, odd_books: Books) -> None:
    odd.rows = [
        a_row(A),
        *(a_row(f"{number:08}{B[8:]}", voucherType="new", totalAmount=number) for number in range(120)),
    ]
    odd_books.sync(wait=True)
    folder = odd_books.store.folder
    before = read_all(odd_books.store)
    for pattern in ("raw_rows-*", "vouchers-*", "journal-*"):
        [path] = folder.glob(pattern)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        done = odd_books.sync(wait=True)
        assert (done.state, done.missing) == ("done", 0)
        assert any("damaged" in note for note in done.notes) == (pattern != "vouchers-*")
        assert read_all(odd_books.store) == before
        assert odd_books.store.unmended == 0
    assert len(list(folder.glob("damaged-*"))) == 3  # bodies, their table, a journal


def test_no_report_and_no_sync_writes_beside_the_notebook(odd: Odd, odd_books: Books) -> None:
    odd.rows = [a_row(A)]
    sync = odd_books.sync(wait=True)
    setting = "SELECT current_setting('temp_directory')"
    with odd_books._asking() as ask_books, sync._asking() as ask_sync:
        asked = [ask_books(setting), ask_sync(setting)]
    assert [Path(place).parent for [(place,)] in asked] == [odd_books.store.folder] * 2


# --- interrupts ---


@contextlib.contextmanager
def _after(box: Sandbox, requests: int, call: Callable[[], Any]) -> Iterator[None]:
    """Has something happen after so many more requests."""
    until, over = len(box.requests) + requests, threading.Event()

    def watch() -> None:
        while not over.is_set():
            if len(box.requests) >= until:
                call()
                return
            time.sleep(0.001)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that raise")
# Between two lines of a library even a `with` cannot close the connection that it has just opened (see `swept`).
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_random_instants_it_goes_on_and_fetches_nothing_twice(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any, swept: None
) -> None:
    box = make_box(420)
    books = signed_in(box).books
    draw, interrupts, counted = random.Random(SEED), 0, requests_of(box)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(6):
            stored = set(books.store.known("documents"))
            counted()
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.005, 0.6))
                done = books.sync(wait=True)
                signal.setitimer(signal.ITIMER_REAL, 0)
                if done.missing == 0:
                    break
            except KeyboardInterrupt:
                interrupts += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert not stored & set(documents(counted()))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts >= 2
    done = books.sync(wait=True)
    assert (done.missing, done.vouchers) == (0, 420)
    assert set(books.store.known("rows")) == ids_of(box)


def test_an_interrupted_first_list_goes_on_where_it_was(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    box = make_box(5_000)
    books = signed_in(box).books
    with _after(box, 12, lambda: books.stop()):
        sync = books.sync(wait=True)
    assert sync.state == "stopped"
    listed = len(books.store.known("rows"))
    assert 1_000 <= listed < 5_000
    counted = requests_of(box)
    second = books.sync()
    second.stop()
    assert second.vouchers == 5_000
    assert len(counted("/v1/voucherlist")) <= (5_000 - listed) / 250 + 1 + 1 + 2


def test_a_deletion_between_two_parts_of_the_first_list_is_found(
    make_box: Callable[..., Sandbox], signed_in: Any
) -> None:
    box = make_box(3_000)
    books = signed_in(box).books
    with _after(box, 6, lambda: books.stop()):
        books.sync(wait=True)
    gone = sorted(books.store.known("rows"))[0]
    box.voucher_rows["demo"].remove(gone)
    books.sync().stop()
    assert set(books.store.known("rows")) == ids_of(box)


PROGRAM = """
import sys
from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider, progress
from lexoffice_nb.sandbox.person import sign_in

provider = Provider.discover(sys.argv[1], name="sandbox")
scopes = ["openid", "profile", "invoice.read", "contact.read"]
login = LexofficeLogin("lexoffice-nb", "http://127.0.0.1:51234/callback", scopes, provider)
login.handle_callback(sign_in(login.get_login_url()))
books = LexofficeSession.from_login(login).books
progress.watch(lambda each: print(each.what, each.done, flush=True))
print("ready", flush=True)
books.sync(wait=True)
print("done", flush=True)
"""


# Small parts, so that journals become parts and parts are merged all the time. It says when it makes one of all.
KILLED = f"""
from lexoffice_nb.books import parts, store
store._JOURNAL_RECORDS, store._SCATTERED, parts._MERGED_AT = 20, 0, 4
compact = store.Store.compact
def say_and_compact(*arguments, **more):
    print("compacts", flush=True)
    compact(*arguments, **more)
store.Store.compact = say_and_compact
{PROGRAM}
"""
# The word that a step begins with, and after how many more lines and seconds a sync is killed at the latest.
STEPS = {"list": ("ready", 10, 0.2), "documents": ("progress.documents", 200, 0.1), "compaction": ("compacts", 0, 0.12)}


def kill_a_sync(url: str, begins: str, lines: int, seconds: float) -> list[str]:
    """Kills a sync so long after it has said a word, if it is not done by then; gives what it said."""
    said: list[str] = []
    command = [sys.executable, "-c", KILLED, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        for line in program.stdout:
            said.append(line.strip())
            lines -= any(each.startswith(begins) for each in said)
            if lines < 0:
                break
        time.sleep(seconds)
        program.kill()
        said += program.stdout.read().splitlines()
        assert program.stderr.read() == ""
    assert "done" in said or program.returncode == -signal.SIGKILL
    return said


def step_of(said: list[str]) -> str:
    """The step in which it was killed."""
    if "done" in said:
        return "done"
    if "compacts" in said:
        return "compaction"
    return "documents" if any(line.startswith("progress.documents") for line in said) else "list"


def pages_of_the_list(paths: list[str]) -> int:
    return sum(path.startswith("/v1/voucherlist") for path in paths)


def most_pages(rows: int) -> float:
    """How many it takes at most where so many rows are left: the page that came last once more, and what changed."""
    return rows / 250 + 2 + 3


def read_all(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Reads every column of every row."""
    with duckdb.connect() as connection:
        store.connect(connection)
        return {name: connection.execute(f'FROM "{name}" ORDER BY ALL').fetchall() for name in TABLES}


def kill_at_random_instants(
    box: Sandbox, store: Store, requests_of: Any, steps: list[str], draw: random.Random
) -> Counter[str]:
    """Kills a sync in each of the steps, one after the other, and looks at what is left each time.

    Returns:
        How many were killed in which step, and how many amid a part.
    """
    counted, all_rows = requests_of(box), len(ids_of(box))
    killed: Counter[str] = Counter()
    for step in steps:
        stored, rows = set(store.known("documents")), set(store.known("rows"))
        counted()
        begins, lines, seconds = STEPS[step]
        said = kill_a_sync(box.url, begins, draw.randint(0, lines), draw.uniform(0.0, seconds))
        killed[step_of(said)] += 1
        killed["amid a part"] += is_amid_a_part(store.folder)
        paths = counted()
        asked, known = documents(paths), set(store.known("documents"))
        assert stored <= known
        assert rows <= set(store.known("rows"))
        # Nothing twice, and all that was stored before the next was asked for is there.
        assert not stored & set(asked)
        assert len(asked) == len(set(asked))
        assert known - stored <= set(asked)
        assert set(asked[:-1]) <= known
        done = [int(line.split()[1]) for line in said if line.startswith("progress.documents")]
        assert set(asked[: max(done, default=0)]) <= known
        pages = [int(line.split()[1]) for line in said if line.startswith("progress.rows")]
        assert len(store.known("rows")) >= max(pages, default=0) - 250  # a page is read, then stored
        assert pages_of_the_list(paths) <= most_pages(all_rows - len(rows))
        tables = read_all(store)
        assert {row[0] for row in tables["documents"]} == known
        assert len(tables["documents"]) == len(known)
        assert store.damaged == 0
    return killed


def test_killed_at_3_random_instants_the_books_are_whole_and_nothing_is_fetched_twice(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    box = make_box()
    books = signed_in(box).books
    steps = ["list", "documents", "compaction"]
    killed = kill_at_random_instants(box, books.store, requests_of, steps, random.Random(SEED))
    assert killed["done"] < 3
    stored, counted = set(books.store.known("documents")), requests_of(box)
    assert books.sync(wait=True).missing == 0
    assert not stored & set(documents(counted()))
    assert set(books.store.known("rows")) == ids_of(box)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_at_50_random_instants_the_books_are_whole_and_nothing_is_fetched_twice(
    make_box: Callable[..., Sandbox], signed_in: Any, requests_of: Any
) -> None:
    """Twenty in a long list, forty over all steps; then they are as books that nobody has ever interrupted."""
    draw, killed = random.Random(SEED), Counter[str]()
    box = make_box(7_500)
    books = signed_in(box).books
    for _ in range(5):
        killed += kill_at_random_instants(box, books.store, requests_of, ["list"] * 4, draw)
        rows, counted = len(books.store.known("rows")), requests_of(box)
        books.sync().stop()
        books.latest.join(30)
        assert pages_of_the_list(counted()) <= most_pages(7_500 - rows)
        assert set(books.store.known("rows")) == ids_of(box)
        books.forget()
    box = make_box(700)
    books = signed_in(box).books
    steps = ["list", "documents", "documents", "compaction", "compaction"]
    for _ in range(8):
        books.forget()
        killed += kill_at_random_instants(box, books.store, requests_of, steps, draw)
        stored, counted = set(books.store.known("documents")), requests_of(box)
        assert books.sync(wait=True).missing == 0
        assert not stored & set(documents(counted()))
    assert sum(killed[step] for step in STEPS) >= 50, killed  # some are done before
    assert all(killed[step] >= 5 for step in (*STEPS, "amid a part")), killed
    found = read_all(books.store)
    books.forget()
    books.sync(wait=True)
    assert read_all(books.store) == found


# --- beside the person's cells ---


def test_in_the_background_the_list_is_there_at_once_and_cells_go_on(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.slow = 0.02
    sync = session.books.sync()
    assert sync.listed
    assert sync.state == "running"
    assert sync.vouchers == len(ids_of(box))
    assert session.get("/v1/profile").json()["companyName"]
    assert sync.missing > 0
    box.faults.clear()
    assert sync.wait() is sync
    assert (sync.state, sync.missing) == ("done", 0)


def test_it_can_be_held_and_taken_up_and_stopped(box: Sandbox, session: LexofficeSession, requests_of: Any) -> None:
    box.faults.slow = 0.01
    sync = session.books.sync()
    sync.pause()
    assert sync.state == "paused"
    time.sleep(0.3)
    counted = requests_of(box)
    time.sleep(0.3)
    assert counted() == []
    sync.resume()
    assert sync.state == "running"
    time.sleep(0.3)
    assert counted()
    sync.stop()
    sync.join(5)
    assert sync.state == "stopped"
    assert "stopped" in repr(sync)


def test_a_second_call_in_the_same_kernel_is_the_same_sync(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.slow = 0.005
    sync = session.books.sync()
    assert session.books.sync() is sync
    assert session.books.sync(wait=True) is sync
    assert sync.state == "done"


def test_a_second_notebook_says_that_somebody_is_at_it_and_reads_on(
    box: Sandbox, session: LexofficeSession, signed_in: Any
) -> None:
    box.faults.slow = 0.02
    first = session.books.sync()
    other = signed_in(box).books
    assert other.store is not session.books.store
    second = other.sync(wait=True)
    assert second.state == "failed"
    assert isinstance(second.error, BooksError)
    assert second.error.code == "books_busy"
    assert second.vouchers == first.vouchers
    assert "Another notebook" in repr(second)
    assert len(other.open_items()) > 0
    first.stop()


def test_another_account_that_the_session_takes_meanwhile_gets_into_no_others_books(
    box: Sandbox, session: LexofficeSession
) -> None:
    box.faults.slow = 0.005
    books = session.books
    sync = books.sync()
    other = session.signed_in_by_key(_secret(box.make_api_key("kanzlei")), session.provider, "kanzlei")
    session.adopt(other)
    assert session.books is not books
    assert sync.wait().missing == 0
    assert set(books.store.known("documents")) <= set(books.store.known("rows")) == ids_of(box)


def _secret(key: str) -> Any:
    from lexoffice_nb import Secret

    return Secret(key)


def test_who_watches_is_told_how_far_it_is_and_of_the_run(make_box: Callable[..., Sandbox], signed_in: Any) -> None:
    session = signed_in(make_box())  # a list of two pages: one page is there before anybody could look
    seen: list[progress.Progress] = []
    runs: list[tuple[progress.Run, str]] = []
    ends = [progress.watch(seen.append), progress.watch_runs(lambda run: runs.append((run, run.state)))]
    sync = session.books.sync(wait=True)
    for end in ends:
        end()
    assert {each.what for each in seen} == {"progress.rows", "progress.documents"}
    assert all(each.run is sync for each in seen)
    assert seen[-1].finished
    assert seen[-1].done == seen[-1].total == sync.documents
    assert runs == [(sync, "running"), (sync, "done")]
    assert sync.summary()["vouchers"] == str(sync.vouchers)


def test_at_the_end_of_the_interpreter_it_stops_by_itself(box: Sandbox, own_books: Path) -> None:
    program = PROGRAM.replace("books.sync(wait=True)", "books.sync()")
    box.faults.slow = 0.02
    done = subprocess.run([sys.executable, "-c", program, box.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] != "ready"
