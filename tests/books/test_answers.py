"""What the reports look like to a person: titles, headings, and what stands in the page about the books."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pandas
import pytest
from IPython.lib.pretty import pretty

from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.books import answers, formats
from lexoffice_nb.books.books import Books
from lexoffice_nb.books.drawings import drawing
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.books.reports.reconcile import _SAME, CHECKS
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.books.store import Store
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import text, use_language

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb import LexofficeSession
    from lexoffice_nb.books.books import Account


def today() -> date:
    """In Berlin, now: a long run may pass midnight."""
    return datetime.now(BERLIN).date()


PAGE = Path(__file__).parents[2] / "docs" / "books.md"


_synced: dict[str, tuple[Account, Path]] = {}


@pytest.fixture
def books(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Books:
    """The books of the demo, which are read once; each test has a copy of its own."""
    if not _synced:
        session: LexofficeSession = request.getfixturevalue("session")
        session.books.sync(wait=True)
        kept = tmp_path_factory.mktemp("synced") / "books"
        shutil.copytree(session.books.store.folder, kept)
        _synced["demo"] = (session.books._account, kept)
    account, kept = _synced["demo"]
    shutil.copytree(kept, tmp_path / "copy")
    return Books(account, Store(tmp_path / "copy"))


def headings(report: Report) -> list[str]:
    return [column.heading() for column in report.columns]


def test_customers_and_open_items_show_names_and_keep_the_ids_in_their_rows(books: Books) -> None:
    for report in (books.customers(), books.open_items()):
        assert "contact_id" not in headings(report)
        assert {"customer", "contact_id"} <= set(report[0])


def test_the_headings_of_open_items_are_short_so_that_they_fit_a_notebook(books: Books) -> None:
    report = books.open_items()
    assert headings(report)[:6] == ["Customer", "Not due", "1–30", "31–60", "61–90", "> 90"]
    assert sum(max(len(each), 12) for each in headings(report)[1:]) < 100
    assert books.ageing()[4]["late"] == "Over 90 days"


def test_the_title_of_tax_names_its_period(books: Books) -> None:
    assert books.vat("2025-Q1").title == books.vat(" 2025-q1").title == "VAT on sales · 2025-Q1 · Accrual"
    days = (date(2025, 1, 1), date(2025, 2, 14))
    use_language("de")
    assert books.vat(days).title == "Umsatzsteuer · 01.01.2025–14.02.2025 · Soll"


def test_the_share_has_two_places(books: Books) -> None:
    report = books.customers(3)
    assert {row["share"].as_tuple().exponent for row in report} == {-2}
    assert all(report.shown(row, report.columns[-1])[-5] == "." for row in report)


# --- what is asked for, as people type it ---


@pytest.mark.parametrize(
    "asked",
    [
        date(2026, 6, 30), "2026-06-30", "30.06.2026", " 30.6.2026 ", datetime(2026, 6, 30, 23, 59),  # noqa: DTZ001
        datetime(2026, 6, 29, 22, 30, tzinfo=UTC), pandas.Timestamp("2026-06-30 12:00"),
    ],
)  # fmt: skip
def test_a_day_may_be_given_as_people_write_it(asked: object) -> None:
    assert answers.day("on", asked) == date(2026, 6, 30)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    "asked", ["soon", "", "2026-02-30", "31.02.2026", "2026-06", 20260630, pandas.NaT, "0001-01-01"]
)
def test_what_is_no_day_is_refused_with_how_to_write_one(asked: object, language: str) -> None:
    use_language(language)
    with pytest.raises(BooksError, match=r"2026-06-30 .+ 30\.06\.2026") as caught:
        answers.day("on", asked)
    assert caught.value.code == "books_day"
    assert caught.value.what().startswith("on=")
    assert len(caught.value._render_traceback_()) == 2


@pytest.mark.parametrize("top", [-3, 0, "5", 2.5, True])
def test_no_number_of_rows_is_refused(books: Books, top: object) -> None:
    for ask in (books.customers, books.articles):
        with pytest.raises(BooksError, match="top=None") as caught:
            ask(top)  # type: ignore[arg-type]
        assert caught.value.code == "books_top"
        assert f"top={top!r} " in caught.value.what()
    assert len(books.customers(1)) == 1


@pytest.mark.parametrize(
    ("period", "code"),
    [
        (("2026-03-31", "2026-01-01"), "books_order"),
        ((date(2026, 3, 31), date(2026, 3, 30)), "books_order"),
        (("2026-01-01", "later"), "books_day"),
        (("2026-01-01",), "books_period"),
        ("2026-Q5", "books_period"),
        (None, "books_period"),
    ],
)
def test_a_period_that_is_none_is_refused(books: Books, period: object, code: str) -> None:
    ways: list[Callable[[], object]] = [lambda: books.vat(period)]  # type: ignore[arg-type]
    if isinstance(period, tuple):
        ways.append(lambda: books.sync(payments=period))  # type: ignore[arg-type]
    for ask in ways:
        with pytest.raises(BooksError) as caught:
            ask()
        assert caught.value.code == code


def test_a_pair_of_days_may_be_text(books: Books) -> None:
    asked = [books.vat(("2026-01-01", "31.03.2026")), books.vat((date(2026, 1, 1), date(2026, 3, 31)))]
    assert list(asked[0]) == list(asked[1]) == list(books.vat("2026-q1"))
    assert asked[0].title == asked[1].title
    with pytest.raises(BooksError, match=re.escape('vat(("2026-01-01", "2026-03-31"), basis="cash")')):
        books.vat(("2026-01-01", "31.03.2026"), basis="cash")


def test_sql_takes_the_values_that_stand_behind_it(books: Books) -> None:
    asked = "SELECT count(*) AS n FROM vouchers WHERE voucher_date < $until AND voucher_type = $statement"
    assert books.sql(asked, until=date(2100, 1, 1), statement="invoice")[0]["n"] > 100
    for language, words in (("en", "no value for it"), ("de", "kein Wert")):
        use_language(language)
        with pytest.raises(BooksError) as caught:
            books.sql("SELECT $since")
        assert words in caught.value.what()
        assert caught.value.next().endswith("books.sql(…, since=…)")
        assert caught.value.__context__ is None
    with pytest.raises(BooksError) as caught:
        books.sql("SELECT $since", since=object())
    assert caught.value.code == "sql_parameter_type"


# --- what a reader must know ---


@pytest.mark.parametrize(
    ("language", "titles", "note"),
    [
        ("en", ["Open items · {}", "Open items by age · {}"], "open today ({})"),
        ("de", ["Offene Posten · {}", "Offene Posten nach Alter · {}"], "heutige Bestand ({})"),
    ],
)
def test_what_is_owed_says_on_which_day_and_that_a_day_to_come_has_todays_stock(
    books: Books, language: str, titles: list[str], note: str
) -> None:
    use_language(language)
    tomorrow = today() + timedelta(1)
    said = note.format(formats.day(today()))
    for ask, title in zip((books.open_items, books.ageing), titles, strict=True):
        assert ask().title == ask(datetime.now(BERLIN)).title == title.format(formats.day(today()))
        assert ask(f"{tomorrow}").title == title.format(formats.day(tomorrow))
        assert [said in " ".join(ask(on).notes) for on in (None, today(), tomorrow)] == [False, False, True]
        with pytest.raises(BooksError, match=rf'\(on="{today() - timedelta(9)}"\)'):
            ask(today() - timedelta(9))


@pytest.mark.parametrize(
    ("language", "one", "two"),
    [
        ("en", "1 unchecked voucher ({}) does not count.", "2 unchecked vouchers ({}) do not count."),
        ("de", "1 ungeprüfter Beleg ({}) zählt nicht mit.", "2 ungeprüfte Belege ({}) zählen nicht mit."),
    ],
)
def test_what_is_not_checked_yet_counts_nowhere_and_each_report_says_so(
    books: Books, language: str, one: str, two: str
) -> None:
    use_language(language)
    ((there,),) = [
        (row,)
        for row in books.sql("FROM vouchers WHERE voucher_status = 'unchecked' AND voucher_type = 'salesinvoice'")
    ]
    day, amount = there["voucher_date"], there["total_amount"]
    said = one.format(formats.shown(amount, "money", "EUR"))
    before = books.revenue().total
    for report in (books.revenue(), books.customers(), books.open_items(), books.ageing(), books.vat((day, day))):
        assert report.notes == (said,)
        assert {"en": "unchecked", "de": "Ungeprüftes"}[language] in report.definition
    assert books.articles().notes == books.vat((day - timedelta(9), day - timedelta(1))).notes == ()
    credit = {
        "voucherType": "salescreditnote",
        "voucherStatus": "unchecked",
        "voucherDate": f"{day}T00:00:00.000+01:00",
    }
    books.store.add("rows", [credit | {"id": "credit", "totalAmount": Decimal("98.54")}])
    assert two.format(formats.shown(amount - Decimal("98.54"), "money", "EUR")) in books.open_items().notes
    assert books.revenue().total == before


@pytest.mark.parametrize(
    ("language", "net", "gross"),
    [("en", "documents are not here", "only for closing invoices"), ("de", "unvollständig", "nur Schlussrechnungen")],
)
def test_gross_figures_alarm_nobody_more_than_closing_invoices_do(
    books: Books, language: str, net: str, gross: str
) -> None:
    use_language(language)
    stray = {"voucherStatus": "paid", "voucherDate": f"{today()}T00:00:00.000+01:00", "totalAmount": Decimal(1)}
    books.store.add("rows", [stray | {"id": "credit", "voucherType": "creditnote"}])
    assert net in books.revenue(basis="net").notes[0]
    for report in (books.revenue(), books.customers(), books.open_items(today() - timedelta(1), incomplete=True)):
        assert not any(words in note for note in report.notes for words in (net, gross))
    books.store.add("rows", [stray | {"id": "invoice", "voucherType": "invoice"}])
    assert net in books.customers(basis="net").notes[0]
    for report in (books.revenue(), books.customers(), books.open_items(today(), incomplete=True)):
        assert not any(net in note for note in report.notes)
    assert gross in books.revenue().notes[0]
    assert gross in books.customers().notes[0]


@pytest.mark.parametrize(
    ("language", "agrees", "unpaid"),
    [("en", "All agrees. Vouchers checked: {}.", "not checked"), ("de", "Geprüfte Belege: {}.", "nicht geprüft")],
)
def test_books_that_agree_say_of_how_many_vouchers_and_that_payments_are_not_here(
    books: Books, language: str, agrees: str, unpaid: str
) -> None:
    use_language(language)
    report = books.reconcile()
    said = " ".join(Words(report._repr_html_()).found)
    assert agrees.format(len(books.store.known("rows"))) in said
    assert text("report.empty") not in said
    assert len(report.notes) == 1
    assert unpaid in report.notes[0]
    assert str(books.missing.payments) in report.notes[0]


@pytest.mark.parametrize(
    ("language", "unasked", "asked"),
    [
        ("en", "Payments were not asked for", "payments {}"),
        ("de", "Zahlungen wurden nicht angefordert", "Zahlungen {}"),
    ],
)
def test_payments_that_nobody_wanted_are_not_said_to_be_missing(
    books: Books, language: str, unasked: str, asked: str
) -> None:
    use_language(language)
    missing = books.missing
    assert (missing.documents, missing.payments_wanted) == (0, False)
    assert unasked in repr(missing)
    books.store.add("payments", [{"voucherId": "stray"}])
    assert repr(books.missing).endswith(asked.format(missing.payments))
    assert unasked not in repr(books.missing)


@pytest.mark.parametrize(("language", "words"), [("en", "Removed: "), ("de", "Entfernt: ")])
def test_to_forget_says_so_in_a_line_and_then_nothing_is_counted_as_missing(
    books: Books, language: str, words: str
) -> None:
    use_language(language)
    said = books.forget()
    assert said.startswith(words)
    assert repr(said) == pretty(said) == said
    assert str(books.store.folder) in said
    with pytest.raises(BooksError) as caught:
        books.missing  # noqa: B018
    assert caught.value.code == "books_never"
    assert not books.forget().startswith(words)


@pytest.mark.parametrize(("language", "words"), [("en", "(free line)"), ("de", "(freie Position)")])
def test_articles_of_one_name_are_told_apart(books: Books, language: str, words: str) -> None:
    use_language(language)
    rows = list(books.articles(None))
    assert len({row["article"] for row in rows}) == len(rows)
    free = [row for row in rows if row["article"].endswith(words)]
    assert free
    assert all(row["article_id"] is None for row in free)
    named = {row["article"] for row in rows}
    assert all(row["article"].removesuffix(f" {words}") in named for row in free)


def test_two_articles_of_one_name_have_their_ids_beside_it() -> None:
    ids = ["11111111-aaaa", "22222222-bbbb", None]
    rows = answers._told_apart([{"article": "Wartung", "article_id": each} for each in ids])
    assert [row["article"] for row in rows] == ["Wartung (11111111)", "Wartung (22222222)", "Wartung (free line)"]


def test_what_is_owed_in_all_stands_behind_the_customer_and_nothing_is_a_dash(books: Books) -> None:
    report = books.open_items()
    assert Words(report._repr_html_()).found[1:3] == ["Customer", "Total"]
    row = next(row for row in report if not row["credits"])
    shown = {column.name: report.shown(row, column) for column in report.columns}
    assert shown["credits"] == "–"
    assert shown["total"] != "–"


class Words(HTMLParser):
    """The texts of a page, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Finding", "Field", "Type", "Voucher", "Expected", "Found", "ID", "The document is missing"]),
        ("de", ["Befund", "Feld", "Belegart", "Beleg", "Erwartet", "Gefunden", "ID", "Dokument fehlt"]),
    ],
)
def test_what_does_not_agree_is_said_in_words(books: Books, language: str, words: list[str]) -> None:
    use_language(language)
    books.store.add(
        "rows", [{"id": "stray", "voucherType": "invoice", "voucherNumber": "RE1", "voucherStatus": "paid"}]
    )
    report = books.reconcile()
    assert [*headings(report), report[0]["finding"]] == words
    assert report[0]["check"] == "document_missing"  # for programs it is the same in each language


def test_each_finding_and_each_field_has_words() -> None:
    for language in ("en", "de"):
        assert all(text(f"report.finding.{check}", language) for check in CHECKS)
        assert all(text(f"report.field.{name}", language) for name in _SAME)


@pytest.mark.parametrize(("first", "shown"), [(12, ["Dec\n", "Jan\n2025"]), (11, ["Nov\n2024", "Dec\n"])])
def test_the_numbers_of_two_years_do_not_touch(first: int, shown: list[str]) -> None:
    months = [date(2024 + (first - 1 + n) // 12, (first - 1 + n) % 12 + 1, 1) for n in range(20)]
    rows = [{"month": month, "net": Decimal(1)} for month in months]
    drawn = drawing(Report("R", [Column("month", "month"), Column("net", "money")], rows))
    assert [tick for _, tick in drawn.ticks[:2]] == shown


def test_what_the_page_says_of_what_is_owed_is_the_total_of_open_items(books: Books) -> None:
    statement = PAGE.read_text("utf-8").partition("```sql\n")[2].partition("```")[0]
    total = books.open_items().total
    assert total is not None
    assert books.sql(statement)[0]["owed"] == total["total"]
    debits = books.sql("SELECT sum(open_amount) AS owed FROM vouchers WHERE voucher_status = 'sepadebit'")
    assert debits[0]["owed"] > 0  # which a look at `open` alone would miss


def test_the_page_about_the_books_lists_all_tables_and_columns() -> None:
    page = PAGE.read_text("utf-8")
    for name, table in TABLES.items():
        _, _, section = page.partition(f"\n#### `{name}`\n")
        section = section.partition("\n#### ")[0].partition("\n## ")[0]
        assert table.says[1:] in section, name
        for column, of in table.columns.items():
            assert f"| `{column}` | {of.type} | {of.says} |" in section, f"{name}.{column}"
