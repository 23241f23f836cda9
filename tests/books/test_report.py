"""The table of a report: figures as people write them, in both languages, and names that are markup."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.books import formats
from lexoffice_nb.books.report import MOST_LINES, MOST_ROWS, Column, Report
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKUP = "<img src=x onerror=alert(1)> & \"Co.\" 'KG'"
NB = formats.NO_BREAK


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


def revenue() -> Report:
    return Report(
        "Revenue",
        [Column("month", "month"), Column("net", "money"), Column("documents", "count")],
        [
            {"month": date(2025, 3, 1), "net": Decimal("1234567.8"), "documents": 1200},
            {"month": date(2025, 4, 1), "net": Decimal("-0.05"), "documents": None},
        ],
        total={"net": Decimal("1234567.75"), "documents": 1200},
        definition="Net amounts.",
        notes=["12 documents are missing."],
    )


class Reader(HTMLParser):
    """Reads a table as a browser does: its texts, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class TestAReportAsData:
    def test_has_a_length_rows_slices_and_columns(self) -> None:
        report = revenue()
        assert len(report) == 2
        assert report[0]["documents"] == 1200
        assert [row["month"].month for row in report] == [3, 4]
        assert report[1:] == [report.rows[1]]
        assert report["net"] == [Decimal("1234567.8"), Decimal("-0.05")]

    def test_says_which_column_it_does_not_have(self) -> None:
        with pytest.raises(KeyError, match="gross"):
            revenue()["gross"]

    def test_is_not_changed_through_the_rows_that_it_was_made_from(self) -> None:
        row = {"net": Decimal(1)}
        report = Report("x", [Column("net", "money")], [row])
        row["net"] = Decimal(2)
        assert report["net"] == [Decimal(1)]

    def test_is_true_even_without_rows(self) -> None:
        assert Report("x", [Column("net", "money")], [])

    def test_takes_no_column_of_an_unknown_kind(self) -> None:
        with pytest.raises(ValueError, match="'cash'"):
            Column("net", "cash")  # type: ignore[arg-type]


class TestFigures:
    @pytest.mark.parametrize(
        ("value", "kind", "english", "german"),
        [
            (Decimal("1234.5"), "money", f"1,234.50{NB}€", f"1.234,50{NB}€"),
            (Decimal("-1234567.005"), "money", f"−1,234,567.005{NB}€", f"−1.234.567,005{NB}€"),
            (Decimal("0"), "money", f"0.00{NB}€", f"0,00{NB}€"),
            (Decimal("-0.00"), "money", f"0.00{NB}€", f"0,00{NB}€"),
            (Decimal("1E+3"), "money", f"1,000.00{NB}€", f"1.000,00{NB}€"),
            (Decimal("19"), "percent", f"19{NB}%", f"19{NB}%"),
            (Decimal("12.50"), "percent", f"12.50{NB}%", f"12,50{NB}%"),
            (Decimal("5.5"), "percent", f"5.5{NB}%", f"5,5{NB}%"),
            (Decimal("119.70"), "number", "119.70", "119,70"),
            (Decimal("120.00"), "text", "120.00", "120,00"),
            (Decimal("2.5000"), "number", "2.5", "2,5"),
            (1200, "count", "1,200", "1.200"),
            (Decimal("0.0001"), "number", "0.0001", "0,0001"),
            (0.25, "number", "0.25", "0,25"),
            (float("nan"), "number", "nan", "nan"),
            (Decimal("Infinity"), "money", "Infinity", "Infinity"),
            (date(2025, 3, 17), "month", "Mar 2025", "Mär 2025"),
            (date(2025, 12, 31), "quarter", "Q4 2025", "Q4 2025"),
            (date(2025, 1, 1), "quarter", "Q1 2025", "Q1 2025"),
            (date(2025, 1, 1), "year", "2025", "2025"),
            (2025, "year", "2025", "2025"),
            ("2025-03", "month", "2025-03", "2025-03"),
            (date(2025, 5, 3), "date", "03 May 2025", "03.05.2025"),
            (datetime(2025, 3, 31, 22, 30, tzinfo=UTC), "date", "01 Apr 2025, 00:30", "01.04.2025, 00:30"),
            (None, "money", "", ""),
            (True, "count", "✓", "✓"),
            ("x", "money", "x", "x"),
        ],
    )
    def test_are_written_as_people_write_them(self, value: object, kind: str, english: str, german: str) -> None:
        assert formats.shown(value, kind, "EUR", "en") == english
        assert formats.shown(value, kind, "EUR", "de") == german

    def test_keep_every_digit(self) -> None:
        assert formats.decimal(Decimal("12345678901234567890.12"), "en") == "12,345,678,901,234,567,890.12"

    def test_say_the_month_in_the_persons_language_whatever_the_machine_speaks(self) -> None:
        assert [formats.month_name(month, "de") for month in (3, 5, 10, 12)] == ["Mär", "Mai", "Okt", "Dez"]

    @pytest.mark.parametrize(("currency", "shown"), [("CHF", f"1.00{NB}CHF"), (None, "1.00"), ("<b>", f"1.00{NB}")])
    def test_name_a_currency_and_nothing_that_is_none(self, currency: str | None, shown: str) -> None:
        assert formats.shown(Decimal(1), "money", currency, "en") == shown

    def test_of_a_row_have_the_currency_of_that_row(self) -> None:
        report = Report("x", [Column("net", "money")], [{"net": Decimal(1), "currency": "CHF"}, {"net": Decimal(1)}])
        assert [report.shown(row, report.columns[0]) for row in report] == [f"1.00{NB}CHF", f"1.00{NB}€"]


class TestTheTable:
    def test_says_what_a_screen_reader_needs(self) -> None:
        page = Reader(revenue()._repr_html_())
        assert page.named("section")[0]["aria-label"] == "Revenue"
        assert page.named("section")[0]["lang"] == "en"
        assert len(page.named("caption")) == 1
        assert [heading["scope"] for heading in page.named("th")] == ["col", "col", "col", "row", "row", "row"]

    def test_has_figures_at_the_right_with_a_total_notes_and_a_definition(self) -> None:
        page = Reader(revenue()._repr_html_())
        assert [("right" in str(cell["style"])) for cell in page.named("td")] == [True] * 6
        assert f"1,234,567.80{NB}€" in page.words
        assert page.words[-5:] == ["Total", f"1,234,567.75{NB}€", "1,200", "12 documents are missing.", "Net amounts."]
        assert len(page.named("tfoot")) == 1

    def test_speaks_german(self) -> None:
        use_language("de")
        page = Reader(revenue()._repr_html_())
        assert page.words[:4] == ["Revenue", "Monat", "Netto", "Belege"]
        assert "Mär 2025" in page.words
        assert f"1.234.567,80{NB}€" in page.words
        assert "Summe" in page.words

    def test_shows_50_rows_and_says_of_how_many(self) -> None:
        report = Report("x", [Column("n", "count")], [{"n": n} for n in range(1234)])
        page = Reader(report._repr_html_())
        assert len(page.named("td")) == MOST_ROWS
        assert "The first 50 of 1,234 rows." in page.words

    def test_says_that_there_is_nothing(self) -> None:
        report = Report("x", [Column("n", "count")], [])
        assert "There is nothing to show." in Reader(report._repr_html_()).words
        assert "There is nothing to show." in repr(report)

    def test_says_what_it_is_told_to_where_it_has_no_rows_and_has_no_headings_then(self) -> None:
        report = Report("x", [Column("n", "count", "of what")], [], empty="All agrees.", notes=["Or nearly."])
        assert Reader(report._repr_html_()).words == ["x", "All agrees.", "Or nearly."]
        assert repr(report).splitlines() == ["x", "All agrees.", "Or nearly."]
        assert "of what" in repr(Report("x", report.columns, [{"n": 1}], empty="All agrees."))

    def test_has_a_sum_behind_the_names_and_dashes_for_nothing_where_its_maker_says_so(self) -> None:
        rows = [{"who": "A", **{f"n{n}": Decimal(0) for n in range(6)}, "sum": Decimal("0.00")}]
        columns = [Column("who"), *(Column(f"n{n}", "money", dashed=n > 0) for n in range(6))]
        report = Report("x", [*columns, Column("sum", "money", early=True)], rows)
        page = Reader(report._repr_html_())
        assert page.words[1:4] == ["who", "sum", "n0"]
        assert page.words[9:] == ["A", f"0.00{NB}€", f"0.00{NB}€", *"–––––"]
        assert repr(report).splitlines()[1].split() == ["who", "sum", "n0", "n1", "n2", "n3", "n4", "n5"]
        assert [column.name for column in report.columns][-1] == "sum"  # as it was made, for exports and pictures

    def test_gives_many_columns_less_room_each_and_shows_where_it_goes_on(self) -> None:
        few, many = (Report("x", [Column(f"n{n}", "money") for n in range(count)], [{}]) for count in (6, 7))
        assert "padding:4px 5px" in str(Reader(many._repr_html_()).named("td")[0]["style"])
        assert "padding:4px 5px" not in str(Reader(few._repr_html_()).named("td")[0]["style"])
        box = str(Reader(many._repr_html_()).named("div")[0]["style"])
        assert "overflow-x:auto" in box
        assert (box.count(" local"), box.count(" scroll")) == (2, 2)  # shadows, and what hides them at either end

    def test_uses_the_colours_of_the_page(self) -> None:
        html = revenue()._repr_html_()
        assert "--jp-ui-font-color1" in html
        assert "--jp-border-color2" in html

    def test_threat_35_has_no_control_characters_and_no_halves_of_characters(self) -> None:
        odd = "a\x1b[31m\x00b\x07\x9b\ud800"
        report = Report(odd, [Column("name", label=odd)], [{"name": odd * 20}], definition=odd, notes=[odd])
        html = report._repr_html_()
        assert not [c for c in html if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
        html.encode()

    @pytest.mark.parametrize("text", [MARKUP, "</td></table><script>alert(1)</script>", "$x$", "' onload='x"])
    def test_threat_35_shows_every_text_literally_and_isolated(self, text: str) -> None:
        report = Report(
            text, [Column("who", label=text), Column(text)], [{"who": text}], total={text: text},
            definition=text, notes=[text],
        )  # fmt: skip
        page = Reader(report._repr_html_())
        assert {tag for tag, _ in page.tags} <= {
            "section", "div", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "bdi", "p",
        }  # fmt: skip
        assert page.words.count(text) == len(page.named("bdi")) - 2  # the empty cell, and the word Total
        assert {name for _, attributes in page.tags for name in attributes} <= {
            "class", "lang", "aria-label", "style", "scope", "title",
        }  # fmt: skip
        # JupyterLab would set what stands between dollar signs as a formula.
        assert page.named("section")[0]["class"] == "mathjax_ignore tex2jax_ignore"


class TestInATerminal:
    def test_is_a_table_with_rules(self) -> None:
        assert repr(revenue()).splitlines() == [
            "Revenue",
            "Month                Net  Documents",
            "───────────────────────────────────",
            "Mar 2025  1,234,567.80 €      1,200",
            "Apr 2025         −0.05 €",
            "───────────────────────────────────",
            "Total     1,234,567.75 €      1,200",
            "12 documents are missing.",
            "Net amounts.",
        ]

    def test_has_the_first_rows_and_says_of_how_many(self) -> None:
        report = Report("x", [Column("n", "count")], [{"n": n} for n in range(60)])
        assert len(repr(report).splitlines()) == MOST_LINES + 4
        assert repr(report).endswith("The first 20 of 60 rows.")

    @pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "a\nb", "\u202eabc", "https://www.example.org/x"])
    def test_threat_35_has_no_control_characters_marks_or_links(self, text: str) -> None:
        report = Report(text, [Column("who", label=text)], [{"who": text}], definition=text, notes=[text])
        shown = repr(report)
        assert all(line.isprintable() for line in shown.splitlines())
        assert "://" not in shown
        assert len(shown.splitlines()) == 6

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_leaves_out_the_columns_that_have_no_room_and_says_which(self, language: str) -> None:
        use_language(language)
        report = Report("x", [Column(f"c{n}") for n in range(6)], [{f"c{n}": "y" * 30 for n in range(6)}])
        assert max(map(len, repr(report).splitlines())) <= 120
        said = {"en": "… 3 more columns: c3, c4, c5", "de": "… 3 weitere Spalten: c3, c4, c5"}
        assert repr(report).splitlines()[-1] == said[language]
        one = Report("x", report.columns[:4], report.rows)
        assert repr(one).splitlines()[-1] == {"en": "… 1 more column: c3", "de": "… 1 weitere Spalte: c3"}[language]
        assert "…" not in repr(Report("x", report.columns[:3], report.rows))
        wide = Report("x", [Column(f"c{n:099}") for n in range(99)], [{}])
        assert max(map(len, repr(wide).splitlines())) <= 120

    def test_is_shown_by_ipython(self) -> None:
        from IPython.lib.pretty import pretty

        assert pretty(revenue()) == repr(revenue())


class TestHeadings:
    def test_are_in_the_persons_language_or_the_label_or_the_name(self) -> None:
        assert Column("net", "money").heading("de") == "Netto"
        assert Column("net", "money").heading("en") == "Net"
        assert Column("net", "money", "x").heading("de") == "x"
        assert Column("no_such").heading() == "no_such"
