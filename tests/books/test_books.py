"""What `session.books` answers, and what it says where it cannot."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import threading
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pytest

from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.books import formats, sql, wanted
from lexoffice_nb.books import store as storage
from lexoffice_nb.books.store import Store
from lexoffice_nb.books.sync import Sync
from lexoffice_nb.errors import BooksError, SignedOut
from lexoffice_nb.session import BooksReader
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lexoffice_nb import LexofficeSession
    from lexoffice_nb.books.books import Books
    from lexoffice_nb.books.report import Report
    from lexoffice_nb.sandbox import Sandbox


def today() -> date:
    """In Berlin, now: a long run may pass midnight."""
    return datetime.now(BERLIN).date()


def euros(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


@pytest.fixture
def box(whole: tuple[Sandbox, Path]) -> Iterator[Sandbox]:
    yield whole[0]
    whole[0].faults.clear()


@pytest.fixture
def books(session: LexofficeSession, whole: tuple[Sandbox, Path]) -> Books:
    """Books that were synced a moment ago: a copy of the test's own."""
    shutil.copytree(whole[1], session.books.store.folder)
    return session.books


def test_they_are_the_same_as_long_as_somebody_is_signed_in(session: LexofficeSession) -> None:
    books = session.books
    assert session.books is books
    session.logout()
    with pytest.raises(SignedOut):
        session.books  # noqa: B018


def test_before_the_first_sync_they_say_what_to_do(session: LexofficeSession) -> None:
    with pytest.raises(BooksError, match=r"books\.sync\(\)") as caught:
        session.books.revenue()
    assert caught.value.code == "books_never"
    assert len(caught.value._render_traceback_()) == 2


def test_where_they_lie_is_said_and_that_they_are_not_encrypted(books: Books, own_books: Path) -> None:
    assert str(own_books) in books.where
    assert "not encrypted" in books.where
    assert books.where in repr(books)
    assert books.store.folder.parent == own_books
    if os.name == "posix":
        assert stat.S_IMODE(books.store.folder.stat().st_mode) == 0o700


def test_the_name_of_the_folder_is_no_organisations(books: Books) -> None:
    assert books._account.organisation not in str(books.store.folder)


def test_nothing_is_asked_of_the_api_for_an_answer(box: Sandbox, books: Books, requests_of: Any) -> None:
    counted = requests_of(box)
    books.revenue()
    books.open_items()
    books.ageing()
    books.customers()
    books.articles()
    books.vat(f"{today().year}")
    books.reconcile()
    books.sql("SELECT count(*) FROM vouchers")
    assert counted() == []


def test_revenue_is_the_ledgers(box: Sandbox, books: Books) -> None:
    expected = box.ledgers["demo"].expected
    for basis, cents in (("gross", expected.revenue_gross), ("net", expected.revenue_net)):
        report = books.revenue("month", basis)
        assert {f"{row['month']:%Y-%m}": row["revenue"] for row in report if row["count"]} == {
            month: euros(each) for month, each in cents.items()
        }
        assert report.total is not None
        assert report.total["revenue"] == euros(sum(cents.values()))
        assert len(report.notes) == 1
        assert "unchecked" in report.notes[0]


def test_what_customers_owe_is_the_ledgers(box: Sandbox, books: Books) -> None:
    expected = box.ledgers["demo"].expected.ageing(today())
    assert [row["amount"] for row in books.ageing()] == [euros(each) for each in expected.values()]
    items = books.open_items()
    assert items.total is not None
    assert items.total["total"] == euros(sum(expected.values()))


def test_tax_by_payment_is_the_ledgers(box: Sandbox, books: Books) -> None:
    books.sync(payments=True, wait=True)
    expected = box.ledgers["demo"].expected.tax_when_paid
    months = sorted({month for month, _ in expected})
    assert months
    for month in months[::4]:
        rows = {row["tax_rate"]: row["tax"] for row in books.vat(month, basis="cash")}
        taxed = {rate: cents for (when, rate), cents in expected.items() if when == month and cents}
        assert {int(rate): tax for rate, tax in rows.items() if tax} == {rate: euros(c) for rate, c in taxed.items()}
    whole = books.reconcile()  # with nothing that it did not look at
    assert (len(whole), whole.notes) == (0, ())
    assert repr(books.missing).endswith("payments 0")


def test_nothing_disagrees_in_whole_books(books: Books) -> None:
    assert len(books.reconcile()) == 0


@pytest.mark.parametrize("language", ["de"])
def test_a_past_day_without_payments_is_refused_with_the_requests_and_minutes(books: Books, language: str) -> None:
    use_language(language)
    with pytest.raises(BooksError) as caught:
        books.open_items(on=today() - timedelta(60))
    wanted = caught.value.values["requests"]
    assert caught.value.code == "books_payments"
    assert isinstance(wanted, int)
    assert wanted > 50
    assert str(wanted) in caught.value.what()
    assert " min" in caught.value.what()
    assert "books.sync(payments=True)" in caught.value.next()


def test_cash_basis_without_payments_is_refused_or_answered_with_a_note(books: Books) -> None:
    with pytest.raises(BooksError, match="payments"):
        books.vat("2026-Q1", basis="cash")
    report = books.vat("2026-Q1", basis="cash", incomplete=True)
    assert any("payments" in note for note in report.notes)


def test_the_minutes_are_those_of_the_accounts_pace(session: LexofficeSession) -> None:
    books = session.books
    books.sync(wait=True)
    signed_in = session._signed_in
    assert signed_in is not None
    slow = replace(signed_in, provider=replace(signed_in.provider, request_interval=1.0))
    books._account = BooksReader.of(slow, session)
    with pytest.raises(BooksError) as caught:
        books.vat("2026-Q3", basis="cash")
    wanted = caught.value.values["requests"]
    assert caught.value.values["minutes"] == -(-int(str(wanted)) // 60)


def test_a_report_over_incomplete_documents_says_what_is_missing(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.slow = 0.05
    running = session.books.sync()
    running.stop()
    running.join(5)
    report = session.books.revenue(basis="net")
    assert any("documents are not here" in note for note in report.notes)
    assert session.books.missing.documents > 200


def test_a_choice_that_there_is_not_is_refused_with_those_there_are(books: Books) -> None:
    with pytest.raises(BooksError, match="month, quarter, year, customer"):
        books.revenue(by="week")  # type: ignore[arg-type]
    with pytest.raises(BooksError, match="2025-Q1"):
        books.vat("first quarter")


def test_sql_answers_with_a_report(books: Books) -> None:
    report = books.sql("SELECT count(*) AS n FROM vouchers")
    assert report[0]["n"] == len(books.store.known("rows"))


def test_forget_removes_all_of_it_and_a_sync_begins_anew(box: Sandbox, books: Books, requests_of: Any) -> None:
    books.forget()
    assert not books.store.folder.exists()
    with pytest.raises(BooksError, match=r"books\.sync"):
        books.revenue()
    counted = requests_of(box)
    assert books.sync(wait=True).missing == 0
    assert len(counted()) > 300


def test_forget_ends_a_sync_first(box: Sandbox, session: LexofficeSession) -> None:
    box.faults.slow = 0.02
    running = session.books.sync()
    session.books.forget()
    assert running.state == "stopped"
    assert not session.books.store.folder.exists()


def test_an_organisation_that_the_session_does_not_know_is_asked_for(
    box: Sandbox, session: LexofficeSession, requests_of: Any
) -> None:
    signed_in = session._signed_in
    assert signed_in is not None
    session._signed_in = replace(signed_in, account=replace(signed_in.account, organisation=""))
    counted = requests_of(box)
    assert session.books._account.organisation == signed_in.account.organisation
    assert counted() == ["/v1/profile"]


def test_ranges_of_days_are_periods_too(books: Books) -> None:
    whole = books.vat((date(today().year - 1, 1, 1), date(today().year - 1, 12, 31)))
    assert list(whole) == list(books.vat(str(today().year - 1)))


def test_what_the_books_call_payable_is_what_counts_as_revenue_and_more() -> None:
    from lexoffice_nb.books.books import SALES
    from lexoffice_nb.books.reports.frames import SIGNS

    assert set(SALES) == set(SIGNS) <= set(wanted.PAYABLE)


def test_a_file_in_the_folder_says_whose_copy_it_is_and_that_it_is_not_encrypted(books: Books) -> None:
    said = (books.store.folder / "README.txt").read_text("utf-8")
    assert books._account.company in said
    assert "not encrypted" in said


def test_after_a_sync_there_are_few_files_however_many_it_wrote(
    session: LexofficeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_SCATTERED", 1)
    books = session.books
    books.sync(wait=True)
    assert len(list(books.store.folder.glob("raw_rows-*.parquet"))) > 1  # the old ones go later: somebody may read them
    manifest = storage._manifest(books.store.folder)
    assert {len(manifest.of(source)) for source in ("rows", "documents", "contacts")} == {1}
    assert books.articles().notes == ()


@pytest.mark.parametrize("full", [False, True])
def test_what_was_damaged_is_said_until_a_sync_has_fetched_it_again(books: Books, full: bool) -> None:
    before = books.store.known("documents")
    path = next(books.store.folder.glob("raw_documents-*.parquet"))
    content = path.read_bytes()
    # A file of another length is noticed at once; one of the same only by reading it.
    path.write_bytes(b"\0" * len(content) if full else content[:-9])
    if not full:
        assert any("damaged" in note for note in books.revenue().notes)
    sync = books.sync(full=full, wait=True)
    assert any("damaged" in note for note in sync.notes)
    assert books.store.known("documents") == before
    assert books.articles().notes == ()
    assert not any("damaged" in note for note in books.sync(wait=True).notes)


def test_who_writes_just_now_is_named(books: Books) -> None:
    for language in ("en", "de"):
        use_language(language)
        with Store(books.store.folder).writing():
            busy = books.sync(wait=True)
        assert busy.problem is not None
        assert re.search(rf"\(.+, (process|Prozess) {os.getpid()}, (since|seit) \d\d:\d\d\)", busy.problem[0])
        assert not busy.notes
    assert not (books.store.folder / storage.HOLDER).exists()


def test_what_stands_in_the_file_about_the_writer_is_never_trusted(books: Books) -> None:
    for told in ("", "[1]", '{"pid": "x", "since": 1}', '{"pid": 1, "since": 1e999}', "\0" * 2000):
        with Store(books.store.folder).writing():
            (books.store.folder / storage.HOLDER).write_text(told, "ascii")
            with pytest.raises(BooksError) as caught, books.store.writing(wait=0.05):
                pass
        assert caught.value.code == "books_busy", told
        assert caught.value.what().startswith("Another notebook or program writes"), told


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_while_the_books_are_read_is_an_interrupt(books: Books) -> None:
    # Seconds, not for ever: DuckDB does not listen while its other threads do all of the work.
    query = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(600) b"
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), books.store._guard(), duckdb.connect() as connection:
        connection.execute(query).fetchall()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_while_a_query_cannot_be_stopped_is_an_interrupt_all_the_same(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "PATIENCE", 0.1)
    # A single function over a long list: DuckDB does not listen meanwhile, and the connection cannot be closed.
    unheard = "SELECT list_sum(list_sort(list_transform(range(3000000), lambda x: hash(x) % 1000000)))"
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        books.sql(unheard)
    timer.join()


def _listed(number: str, **more: Any) -> dict[str, Any]:
    """A row of the list as it is stored: an invoice of 119 euros, unless it says otherwise."""
    row = {"id": f"odd-{number}", "voucherType": "invoice", "voucherStatus": "open", "voucherNumber": number}
    days = dict.fromkeys(("voucherDate", "dueDate", "updatedDate"), f"{today()}T00:00:00.000+01:00")
    return row | days | {"totalAmount": 119, "openAmount": 119, "currency": "EUR", "contactName": "Kunde"} | more


def _all_reports(books: Books) -> dict[str, Report]:
    reports = {"customers": books.customers(None), "open items": books.open_items(), "ageing": books.ageing()}
    reports |= {f"revenue {by} {basis}": books.revenue(by, basis) for by in ("month", "customer") for basis in BASES}
    return reports | {"articles": books.articles(None), "vat": books.vat(f"{today().year}")}


BASES: tuple[Literal["gross", "net"], ...] = ("gross", "net")


def test_other_currencies_are_left_out_with_a_note_and_reconcile_names_them(books: Books) -> None:
    before = {name: list(report) for name, report in _all_reports(books).items()}
    books.store.add("rows", [_listed("A", currency="USD"), _listed("D", currency="USD", voucherStatus="draft")])
    for name, report in _all_reports(books).items():
        assert list(report) == before[name], name
        assert any("1 voucher is not in euros" in note and "(USD)" in note for note in report.notes), name
    use_language("de")
    assert any("1 Beleg lautet nicht auf" in note and "reconcile" in note for note in books.revenue().notes)
    use_language("en")
    books.store.add("rows", [_listed("B", currency="JPY", totalAmount=1_000_000), _listed("C", currency="USD")])
    for name, report in {"revenue month gross": books.revenue()}.items():
        assert list(report) == before[name], name
        assert any(note.startswith("3 vouchers") and "(JPY, USD)" in note for note in report.notes), name
    found = [row for row in books.reconcile() if row["check"] == "currency"]
    assert [(row["voucher_number"], row["found"]) for row in found] == [("A", "USD"), ("B", "JPY"), ("C", "USD")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_cannot_be_read_has_a_note_and_is_in_reconcile(books: Books, language: str) -> None:
    use_language(language)
    odd = {"voucherDate": "01.03.2025", "voucherStatus": None, "totalAmount": "1.234,56"}
    books.store.add("rows", [_listed(name, **{name: value}) for name, value in odd.items()])
    books.store.add("rows", [_listed("beyond", totalAmount="1" + "0" * 20)])
    said = {"en": "4 vouchers have no readable", "de": "Bei 4 Belegen ist"}[language]
    for report in (books.revenue(), books.revenue("customer"), books.customers(), books.revenue(basis="net")):
        assert any(note.startswith(said) for note in report.notes)
    assert books.revenue().total["revenue"] == sum(books.revenue("customer")["revenue"])  # type: ignore[index]
    found = {(row["voucher_number"], row["finding"]) for row in books.reconcile() if row["check"] == "unreadable"}
    assert {number for number, _ in found} == {*odd, "beyond"}
    assert len({finding for _, finding in found}) == 1


def test_a_document_without_a_total_has_a_note_where_its_total_is_read(books: Books) -> None:
    row = books.store.known("documents")
    id_ = books.sql("SELECT id FROM documents WHERE kind = 'invoices' AND voucher_status = 'paid' ORDER BY id")[0]["id"]
    assert id_ in row
    listed = books.sql("SELECT updated_at FROM vouchers WHERE id = $id", id=id_)[0]["updated_at"]
    books.store.add("documents", [{"id": id_, "kind": "invoices", "listedDate": listed, "updatedDate": listed}])
    assert not any("no readable" in note for note in books.revenue().notes)
    assert any("1 voucher has no readable" in note for note in books.revenue(basis="net").notes)
    assert any(row["id"] == id_ for row in books.reconcile())


@pytest.mark.parametrize(("language", "said"), [("en", "The list is of"), ("de", "Die Liste ist vom")])
def test_of_a_list_that_is_older_than_a_day_the_day_is_said(books: Books, language: str, said: str) -> None:
    use_language(language)
    for hours, told in ((23, False), (25, True), (24 * 400, True)):
        read = datetime.now(BERLIN) - timedelta(hours=hours)
        books.store.set_state(listed=read.isoformat())
        every = (*_all_reports(books).values(), books.reconcile()) if hours == 25 and language == "en" else ()
        for report in every or (books.open_items(), books.revenue()):
            assert sum(f"{said} {formats.day(read.date())}:" in note for note in report.notes) == told


def _outdate(books: Books) -> None:
    number = books.sql("SELECT voucher_id FROM payments")[0]["voucher_id"]
    books.store.add("payments", [{"voucherId": number, "listedDate": "2000-01-01T00:00:00.000+01:00"}])


def test_payments_are_kept_up_to_date_until_somebody_says_no(books: Books) -> None:
    year = (date(today().year, 1, 1), today())
    books.sync(payments=year, wait=True)
    missing = books.missing.payments
    assert missing > 0
    books.sync(wait=True)  # a range of days was meant for once
    assert books.missing.payments == missing
    books.sync(payments=True, wait=True)
    _outdate(books)
    assert books.missing.payments == 1
    books.sync(wait=True)
    assert books.missing.payments == 0
    books.sync(payments=False, wait=True)
    _outdate(books)
    books.sync(wait=True)
    assert books.missing.payments == 1


@pytest.mark.parametrize(("count", "words"), [(1, "1 voucher is"), (2, "2 vouchers are")])
def test_one_voucher_is_one(session: LexofficeSession, count: int, words: str) -> None:
    sync = Sync(session.books._account.open(), session.books.store)
    sync.skipped = count
    sync._note_what_is_missing()
    assert sync.notes[0].startswith(words)
