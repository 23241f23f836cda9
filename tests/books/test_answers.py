"""What the reports look like to a person: titles, headings, and what stands in the page about the books."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.books.books import Books
from lexoffice_nb.books.drawings import drawing
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.books.reports.reconcile import _SAME, CHECKS
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.books.store import Store
from lexoffice_nb.texts import text, use_language

if TYPE_CHECKING:
    from lexoffice_nb import LexofficeSession
    from lexoffice_nb.books.books import Account

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
    assert books.vat("2025-Q1").title == "VAT on sales · 2025-Q1 · Accrual"
    days = (date(2025, 1, 1), date(2025, 2, 14))
    use_language("de")
    assert books.vat(days).title == "Umsatzsteuer · 01.01.2025–14.02.2025 · Soll"


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


def test_the_page_about_the_books_lists_all_tables_and_columns() -> None:
    page = PAGE.read_text("utf-8")
    for name, table in TABLES.items():
        _, _, section = page.partition(f"\n#### `{name}`\n")
        section = section.partition("\n#### ")[0].partition("\n## ")[0]
        assert table.says[1:] in section, name
        for column, of in table.columns.items():
            assert f"| `{column}` | {of.type} | {of.says} |" in section, f"{name}.{column}"
