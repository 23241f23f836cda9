"""What a report is exported as, read back by other programs: every cent is there, and nothing is run."""

from __future__ import annotations

import csv
import math
import os
import re
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from lexoffice_nb.books import exports
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The sum of these as binary fractions is another one, and so is the last of them.
NET = [Decimal("0.10"), Decimal("-0.20"), Decimal("9007199254740993.05"), None]
MONTHS = [date(2025, 3, 1), date(2025, 4, 1), date(2025, 5, 1), None]
FORMULAS = [
    '=HYPERLINK("http://example.org","x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", " =1+1", "＝1+1",
]  # fmt: skip
UNSEEN = ["\ufeff", "\u200b", "\u00ad", "\u2060\u200e", "\x00", "\x07 ", "\x85", "\U000e0020", "\ufe0f"]
HIDDEN = ["Meyer;=1+1", "Meyer,=1+1", 'Meyer;"=1+1', "Meyer\n=1+1", "Meyer\t@x", "Meyer; +1"]
WRITERS = ["to_csv", "to_parquet", "to_excel"]


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


def figures() -> Report:
    rows = [
        {"month": month, "customer": name, "net": net, "documents": count, "rate": rate}
        for month, name, net, count, rate in zip(
            MONTHS,
            ["Müller", "株式会社", 'a;b"c', None],
            NET,
            [1, 2, 3, None],
            map(Decimal, (19, 7, 0, 0)),
            strict=True,
        )
    ]
    columns = [
        Column("month", "month"),
        Column("customer"),
        Column("net", "money"),
        Column("documents", "count"),
        Column("rate", "percent"),
    ]
    return Report("Revenue [2025]: a/b", columns, rows, total={"net": sum(net for net in NET if net)})


def customers(names: list[str]) -> Report:
    return Report(
        "x", [Column("customer"), Column("net", "money")], [{"customer": n, "net": Decimal(-1)} for n in names]
    )


def read_csv(path: Path, delimiter: str) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


class TestFrames:
    def test_pandas_has_decimals_and_days_as_objects(self) -> None:
        frame = figures().to_pandas()
        assert list(frame["net"]) == NET
        assert list(frame["month"]) == MONTHS
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
            "month": "object", "customer": "object", "net": "object", "documents": "Int64", "rate": "object",
        }  # fmt: skip
        assert str(customers(["a"]).to_pandas()["net"].dtype) == "object"

    def test_polars_has_decimals_and_dates(self) -> None:
        frame = figures().to_polars()
        assert frame.schema == {
            "month": polars.Date,
            "customer": polars.String,
            "net": polars.Decimal(38, 2),
            "documents": polars.Int64,
            "rate": polars.Decimal(38, 2),
        }
        assert frame["net"].to_list() == NET
        assert frame["month"].to_list() == MONTHS

    def test_arrow_has_decimals_and_dates(self) -> None:
        table = figures().to_arrow()
        assert table.schema.types == [
            pyarrow.date32(), pyarrow.string(), pyarrow.decimal128(38, 2), pyarrow.int64(), pyarrow.decimal128(38, 2),
        ]  # fmt: skip
        assert table["net"].to_pylist() == NET

    def test_prices_keep_more_than_two_places(self) -> None:
        report = Report("x", [Column("price", "money")], [{"price": Decimal("1.2345")}, {"price": Decimal("2")}])
        assert report.to_arrow()["price"].to_pylist() == [Decimal("1.2345"), Decimal("2.0000")]
        assert report.to_polars()["price"].to_list() == [Decimal("1.2345"), Decimal("2.0000")]

    def test_an_empty_report_has_its_types(self) -> None:
        report = Report("x", figures().columns, [])
        assert report.to_arrow().schema == figures().to_arrow().schema
        assert report.to_polars().schema == figures().to_polars().schema
        assert list(report.to_pandas().columns) == [column.name for column in report.columns]

    def test_no_column_of_any_export_is_a_float(self, tmp_path: Path) -> None:
        report = figures()
        assert not [f for f in report.to_pandas().dtypes if "float" in str(f).lower()]
        assert not any(isinstance(value, float) for row in report.to_pandas().values.tolist() for value in row)
        assert not [f for f in report.to_polars().dtypes if f.is_float()]
        for schema in (
            report.to_arrow().schema,
            pyarrow.parquet.read_schema(report.to_parquet(tmp_path / "x.parquet")),
        ):
            assert not [each for each in schema.types if pyarrow.types.is_floating(each)]

    def test_what_sql_gave_keeps_its_type(self) -> None:
        moment = datetime(2025, 1, 1, 12, tzinfo=UTC)
        columns = [
            Column("f", "number"),
            Column("b"),
            Column("at"),
            Column("mixed"),
            Column("big", "count"),
            Column("s"),
        ]
        rows = [
            {"f": 0.5, "b": True, "at": moment, "mixed": 1, "big": 2**70, "s": "\ud800"},
            {"f": None, "b": None, "at": None, "mixed": "x", "big": None, "s": ["a"]},
        ]
        report = Report("SQL", columns, rows, currency=None)
        assert report.to_arrow().to_pylist() == [
            {"f": 0.5, "b": True, "at": moment, "mixed": "1", "big": str(2**70), "s": "?"},
            {"f": None, "b": None, "at": None, "mixed": "x", "big": None, "s": "['a']"},
        ]
        assert report.to_polars()["at"].to_list() == [moment, None]

    @pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), math.nan])
    def test_what_is_no_figure_stops_no_export(self, value: object, tmp_path: Path) -> None:
        report = Report("x", [Column("n", "number")], [{"n": value}])
        for export in (report.to_pandas, report.to_polars, report.to_arrow):
            assert len(export()) == 1
        for name in WRITERS:
            getattr(report, name)(tmp_path / f"{name}.xlsx")


class TestParquet:
    def test_is_read_back_by_arrow_to_the_cent(self, tmp_path: Path) -> None:
        (tmp_path / "it's").mkdir()
        path = figures().to_parquet(tmp_path / "it's" / "x.parquet")
        table = pyarrow.parquet.read_table(path)
        assert table.schema.types == figures().to_arrow().schema.types
        assert table.to_pylist() == figures().to_arrow().to_pylist()

    def test_takes_more_rows_than_one_statement(self, tmp_path: Path) -> None:
        rows = [{"n": n, "net": Decimal(n) / 100} for n in range(exports._CHUNK + 5)]
        report = Report("x", [Column("n", "count"), Column("net", "money")], rows)
        table = pyarrow.parquet.read_table(report.to_parquet(tmp_path / "x.parquet"))
        assert table["n"].to_pylist() == list(range(exports._CHUNK + 5))
        assert sum(table["net"].to_pylist()) == sum(report["net"])

    def test_needs_neither_arrow_nor_pandas(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.modules.update(dict.fromkeys(['pyarrow', 'pandas', 'polars', 'numpy']))\n"
            "from decimal import Decimal; from lexoffice_nb.books.report import *\n"
            "Report('x', [Column('n', 'money')], [{'n': Decimal('1.10')}]).to_parquet(sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.parquet")], check=True, timeout=60)
        assert pyarrow.parquet.read_table(tmp_path / "x.parquet")["n"].to_pylist() == [Decimal("1.10")]


class TestCsv:
    def test_in_german_has_semicolons_commas_and_the_mark_of_utf_8(self, tmp_path: Path) -> None:
        path = figures().to_csv(tmp_path / "x.csv")
        assert path.read_bytes().startswith(b"\xef\xbb\xbfMonat;Kunde;Netto;Belege;Satz (%)\r\n")
        assert read_csv(path, ";")[1:] == [
            ["2025-03", "Müller", "0,10", "1", "19"],
            ["2025-04", "株式会社", "-0,20", "2", "7"],
            ["2025-05", 'a;b"c', "9007199254740993,05", "3", "0"],
            ["", "", "", "", "0"],
        ]

    def test_in_english_has_commas_and_points(self, tmp_path: Path) -> None:
        path = figures().to_csv(tmp_path / "x.csv", dialect="en")
        assert path.read_bytes().startswith(b"\xef\xbb\xbfMonth,Customer,Net,Documents,Rate (%)\r\n")
        assert read_csv(path, ",")[3] == ["2025-05", 'a;b"c', "9007199254740993.05", "3", "0"]

    def test_has_days_and_periods(self, tmp_path: Path) -> None:
        columns = [Column("date", "date"), Column("quarter", "quarter"), Column("year", "year")]
        report = Report("x", columns, [{column.name: date(2025, 5, 3) for column in columns}])
        assert read_csv(report.to_csv(tmp_path / "de.csv"), ";")[1] == ["03.05.2025", "2025-Q2", "2025"]
        assert read_csv(report.to_csv(tmp_path / "en.csv", "en"), ",")[1] == ["2025-05-03", "2025-Q2", "2025"]

    def test_has_no_other_dialect(self, tmp_path: Path) -> None:
        with pytest.raises(BooksError) as refused:
            figures().to_csv(tmp_path / "x.csv", dialect="fr")
        assert refused.value.code == "report_dialect"
        assert list(tmp_path.iterdir()) == []

    def test_has_an_empty_field_and_a_question_mark_for_what_has_no_letter(self, tmp_path: Path) -> None:
        assert read_csv(customers(["a\ud800b"]).to_csv(tmp_path / "x.csv"), ";")[1] == ["a?b", "-1,00"]

    @pytest.mark.parametrize(
        ("dialect", "head", "row"),
        [
            ("de", ["Anteil (%)", "paid", "Monat", "Quartal", "Jahr"], ["9,81", "WAHR", "2024-12", "2024-Q4", "2024"]),
            ("en", ["Share (%)", "paid", "Month", "Quarter", "Year"], ["9.81", "TRUE", "2024-12", "2024-Q4", "2024"]),
        ],
    )
    def test_names_the_per_cent_above_and_has_truth_values_and_periods_as_spreadsheets_take_them(
        self, tmp_path: Path, dialect: str, head: list[str], row: list[str]
    ) -> None:
        day = date(2024, 12, 31)
        columns = [
            Column("share", "percent"), Column("paid"), Column("month", "month"), Column("quarter", "quarter"),
            Column("year", "year"),
        ]  # fmt: skip
        values = {"share": Decimal("9.81"), "month": day, "quarter": day, "year": day}
        report = Report("x", columns, [values | {"paid": paid} for paid in (True, False)])
        written = read_csv(report.to_csv(tmp_path / "x.csv", dialect), ";" if dialect == "de" else ",")
        assert written[:2] == [head, row]
        assert written[2][1] == {"de": "FALSCH", "en": "FALSE"}[dialect]

    @pytest.mark.parametrize("dialect", ["de", "en"])
    @pytest.mark.parametrize("name", FORMULAS)
    def test_threat_33_text_that_begins_a_formula_is_neutralised_and_figures_are_not(
        self, tmp_path: Path, name: str, dialect: str
    ) -> None:
        path = customers([name]).to_csv(tmp_path / "x.csv", dialect)
        row = read_csv(path, ";" if dialect == "de" else ",")[1]
        hidden = {"\t=1+1": "\t'=1+1", "\r=1+1": "\r'=1+1"}  # other programs end a cell at these
        assert row == ["'" + hidden.get(name, name), "-1,00" if dialect == "de" else "-1.00"]

    @pytest.mark.parametrize("dialect", ["de", "en"])
    @pytest.mark.parametrize("name", HIDDEN)
    def test_threat_33_no_formula_hides_behind_the_delimiter_of_another_country(
        self, tmp_path: Path, name: str, dialect: str
    ) -> None:
        text = customers([name]).to_csv(tmp_path / "x.csv", dialect).read_text(encoding="utf-8-sig")
        cells = [cell.strip(' "') for cell in re.split(r"[;,\t\r\n]", text)]
        assert [cell for cell in cells if re.match(r"[=+@]", cell)] == []

    @pytest.mark.parametrize("unseen", UNSEEN)
    def test_threat_33_no_formula_hides_behind_what_nobody_sees(self, tmp_path: Path, unseen: str) -> None:
        path = customers([f"{unseen}=1+1", f"Meyer,{unseen}=1+1", "﹦1+1"]).to_csv(tmp_path / "x.csv")
        first, second, third = (row[0] for row in read_csv(path, ";")[1:])
        assert first.startswith("'")
        assert second.endswith("'=1+1")
        assert third == "'﹦1+1"

    def test_threat_33_control_characters_become_blanks(self, tmp_path: Path) -> None:
        path = customers(["a\x00b\x1b[31mc\x07"]).to_csv(tmp_path / "x.csv")
        assert b"\x00" not in path.read_bytes()
        assert read_csv(path, ";")[1][0] == "a b [31mc "

    def test_threat_33_a_heading_is_text_as_well(self, tmp_path: Path) -> None:
        report = Report("x", [Column("=1+1")], [])
        assert read_csv(report.to_csv(tmp_path / "x.csv"), ";") == [["'=1+1"]]

    @pytest.mark.parametrize("name", ["Müller & Söhne", "Meyer-Schulze", "a=b", "O'Neill", "5 - 3", "x@example.org"])
    def test_leaves_other_text_alone(self, tmp_path: Path, name: str) -> None:
        assert read_csv(customers([name]).to_csv(tmp_path / "x.csv"), ";")[1][0] == name


class TestExcel:
    def sheet(self, path: Path) -> Any:
        return openpyxl.load_workbook(path)["Revenue  2025   a b"]

    def test_has_figures_as_numbers_with_two_places(self, tmp_path: Path) -> None:
        sheet = self.sheet(figures().to_excel(tmp_path / "x.xlsx"))
        assert [cell.value for cell in sheet[1]] == ["Month", "Customer", "Net", "Documents", "Rate"]
        assert [(cell.data_type, cell.number_format) for cell in sheet[2]] == [
            ("d", "mmm yyyy"), ("s", "General"), ("n", '#,##0.00 "€"'), ("n", "#,##0"), ("n", '#,##0 "%"'),
        ]  # fmt: skip
        assert sheet["A2"].value == datetime(2025, 3, 1)  # noqa: DTZ001 - Excel knows no zones
        assert sheet["E2"].value == 19

    def test_has_every_cent_and_what_excel_cannot_hold_as_text(self, tmp_path: Path) -> None:
        exact = [Decimal("0.10"), Decimal("-0.20"), Decimal("9999999999999.99"), Decimal("1.2345"), Decimal("1E+3")]
        report = Report("x", [Column("net", "money")], [{"net": net} for net in (*exact, NET[2])])
        cells = openpyxl.load_workbook(report.to_excel(tmp_path / "x.xlsx")).active["A"][1:]
        assert [Decimal(str(cell.value)) for cell in cells] == [*exact, NET[2]]
        assert [cell.data_type for cell in cells] == ["n"] * 5 + ["s"]

    @pytest.mark.parametrize("name", [*FORMULAS, "http://example.org", "mailto:x@example.org", "{=1+1}"])
    def test_threat_33_no_text_cell_is_a_formula_or_a_link(self, tmp_path: Path, name: str) -> None:
        path = Report(name, [Column("a", label=name)], [{"a": name}]).to_excel(tmp_path / "x.xlsx")
        sheet = openpyxl.load_workbook(path).active
        for cell in (sheet["A1"], sheet["A2"]):
            assert (cell.data_type, cell.hyperlink, cell.quotePrefix) == ("s", None, True)
            assert cell.value.strip() == name.strip()
        with zipfile.ZipFile(path) as parts:
            assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")
            assert not [part for part in parts.namelist() if "externalLink" in part or "sheet1.xml.rels" in part]

    def test_takes_what_excel_has_no_letter_for(self, tmp_path: Path) -> None:
        report = customers(["a\x00b\x1bc\ufffe", "x" * 40_000, "\ud800"])
        values = [cell.value for cell in openpyxl.load_workbook(report.to_excel(tmp_path / "x.xlsx")).active["A"]]
        assert values == ["Customer", "a b c ", "x" * 32_767, "?"]

    def test_refuses_more_rows_than_a_sheet_has(self, tmp_path: Path) -> None:
        report = Report("x", [Column("n", "count")], [])
        report.rows = [{}] * (2**20)
        with pytest.raises(BooksError, match="1048575"):
            report.to_excel(tmp_path / "x.xlsx")


@pytest.mark.parametrize("name", WRITERS)
class TestFiles:
    def test_are_never_overwritten_unless_asked(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "x.xlsx"
        path.write_text("mine")
        write: Callable[..., Path] = getattr(figures(), name)
        with pytest.raises(BooksError) as refused:
            write(path)
        assert refused.value.code == "report_exists"
        assert path.read_text() == "mine"
        assert write(str(path), overwrite=True) == path
        assert path.read_bytes() != b"mine"
        assert list(tmp_path.iterdir()) == [path]

    def test_are_for_their_owner_alone(self, name: str, tmp_path: Path) -> None:
        assert getattr(figures(), name)(tmp_path / "x").stat().st_mode & 0o777 == 0o600

    def test_go_through_no_link_that_leads_nowhere(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BooksError, match="exists"):
            getattr(figures(), name)(tmp_path / "link")
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("target", ["no/such/folder/x", "nul\0x", "x" * 300, "~nobody-of-that-name/x", "."])
    def test_that_cannot_be_written_are_said_so_and_leave_nothing(self, name: str, target: str, tmp_path: Path) -> None:
        path = target if target.startswith("~") else os.path.join(tmp_path, target)  # noqa: PTH118 - keeps NUL and dot
        with pytest.raises(BooksError) as refused:
            getattr(figures(), name)(path)
        assert refused.value.code in ("report_unwritable", "report_exists")
        assert list(tmp_path.iterdir()) == []

    def test_that_fail_half_way_leave_nothing(self, name: str, tmp_path: Path) -> None:
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "from lexoffice_nb.books.report import *; from lexoffice_nb.errors import BooksError\n"
            "report = Report('x', [Column('n')], [{'n': str(n) * 9} for n in range(999)])\n"
            "try: getattr(report, sys.argv[1])(sys.argv[2])\n"
            "except BooksError as error: print(error.code)"
        )
        command = [sys.executable, "-c", code, name, str(tmp_path / "x")]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert told.stdout.strip() == "report_unwritable", told.stderr
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [
        ("pandas", "to_pandas()", "plots"),
        ("polars", "to_polars()", "files"),
        ("pyarrow", "to_arrow()", "files"),
        ("openpyxl", "to_excel('x.xlsx')", "files"),
    ],
)
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_missing_extra_is_said_in_two_lines(
    package: str, call: str, extra: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    use_language(language)
    with pytest.raises(BooksError) as refused:
        eval(f"report.{call}", {"report": figures()})
    lines = refused.value._render_traceback_()
    assert len(lines) == 2
    assert package in lines[0]
    assert f'pip install "lexoffice_nb[{extra}]"' in lines[1]
    assert pandas  # imported already: what is missing is only hidden
