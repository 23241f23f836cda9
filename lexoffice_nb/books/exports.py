"""A report as pandas, polars, arrow, CSV, Parquet, Excel: exact figures, and text that no spreadsheet takes for more.

A file is written aside and renamed, so that none is ever half there; one that is there is replaced only when asked.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.books import formats
from lexoffice_nb.errors import BooksError
from lexoffice_nb.oauth.private_file import give_name
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.books.report import Column, Report

PRECISION = 38
_CENTS = 2
_MOST_PLACES = 18
# So many rows go to DuckDB in one statement.
_CHUNK = 10_000
_EXTRAS = {"pandas": "plots", "polars": "files", "pyarrow": "files", "openpyxl": "files"}


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    point: str
    day: str
    # As spreadsheets of that language write, and so understand, them.
    true: str
    false: str


_DIALECTS = {
    "de": _Dialect(";", ",", "%d.%m.%Y", "WAHR", "FALSCH"),
    "en": _Dialect(",", ".", "%Y-%m-%d", "TRUE", "FALSE"),
}
# What begins a formula; the wide and the small forms are folded to these by some spreadsheets in East Asia.
_FORMULA = "=+\\-@＝＋－＠﹦﹢﹣﹫"
# Nobody sees these, and a program may leave them out before it looks what the text begins with.
_UNSEEN = (
    r"\s\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_BEGINS_FORMULA = re.compile(rf"[\t\r]|[{_UNSEEN}]*[{_FORMULA}]")
# A spreadsheet set to another country splits a line elsewhere, and what follows there begins a cell of its own.
_HIDDEN_FORMULA = re.compile(rf"([;,\t\r\n][{_UNSEEN}\"']*)(?=[{_FORMULA}])")
_NO_TEXT_OF_EXCEL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NO_TITLE_OF_EXCEL = re.compile(r"[\\/*?:\[\]\x00-\x1f\x7f]")
_LONGEST_CELL = 32_767
_LONGEST_TITLE = 31
# Excel counts in binary fractions: what has more digits stands there as text, so that no cent is lost silently.
_DIGITS_OF_EXCEL = 15
_EXACT = Context(prec=1000)
_MOST_EXCEL_ROWS = 1_048_576 - 1
_WIDEST = 48


@dataclass(frozen=True)
class _Typed:
    """A column with its values: one type for all of them, which is decimal, int, date, datetime, float, bool or str."""

    name: str
    type: str
    values: list[Any]
    places: int = 0


def needs(package: str, what: str, extra: str = "") -> Any:
    """Imports a package that an extra brings.

    Args:
        package: the package, or a module of it.
        what: the call that needs it, such as `to_polars()`.
        extra: the extra of ours that installs it.

    Raises:
        BooksError: if it is not there: which extra to install.
    """
    top = package.partition(".")[0]
    problem = BooksError("report_needs", what=what, package=top, extra=extra or _EXTRAS[top])
    try:
        return importlib.import_module(package)
    except ImportError:
        pass
    raise problem


# --- frames -----------------------------------------------------------------------------------------------------------


def to_pandas(report: Report) -> Any:
    """See `Report.to_pandas`."""
    pandas = needs("pandas", "to_pandas()")
    series = {}
    for column in _typed(report):
        dtype = {"int": "int64", "float": "float64", "bool": "bool"}.get(column.type, "object")
        if None in column.values:
            dtype = {"int64": "Int64", "bool": "boolean"}.get(dtype, dtype)
        series[column.name] = pandas.Series(column.values, dtype=dtype)
    return pandas.DataFrame(series)


def to_polars(report: Report) -> Any:
    """See `Report.to_polars`."""
    polars = needs("polars", "to_polars()")
    types = {
        "int": polars.Int64,
        "date": polars.Date,
        "float": polars.Float64,
        "bool": polars.Boolean,
        "datetime": polars.Datetime("us", "UTC"),
        "str": polars.String,
    }
    return polars.DataFrame(
        [
            polars.Series(
                column.name,
                column.values,
                dtype=polars.Decimal(PRECISION, column.places) if column.type == "decimal" else types[column.type],
            )
            for column in _typed(report)
        ]
    )


def to_arrow(report: Report) -> Any:
    """See `Report.to_arrow`."""
    arrow = needs("pyarrow", "to_arrow()")
    types = {
        "int": arrow.int64(),
        "date": arrow.date32(),
        "float": arrow.float64(),
        "bool": arrow.bool_(),
        "datetime": arrow.timestamp("us", "UTC"),
        "str": arrow.string(),
    }
    columns = _typed(report)
    return arrow.table(
        [
            arrow.array(
                column.values,
                type=arrow.decimal128(PRECISION, column.places) if column.type == "decimal" else types[column.type],
            )
            for column in columns
        ],
        names=[column.name for column in columns],
    )


def _typed(report: Report) -> list[_Typed]:
    return [_column(column, report[column.name]) for column in report.columns]


def _column(column: Column, values: list[Any]) -> _Typed:
    """Gives the values one type: the kind says which for an empty column, the values themselves for all others."""
    kinds = {_type(value) for value in values if value is not None}
    if kinds <= {"decimal", "int"} and (column.kind in ("money", "number", "percent") or "decimal" in kinds):
        exact = [None if value is None else Decimal(value) for value in values]
        places = max((_places(value) for value in exact if value is not None), default=0)
        least = _CENTS if column.kind in ("money", "percent") else 0
        if places <= _MOST_PLACES:
            return _Typed(column.name, "decimal", exact, max(places, least))
    if not kinds:
        # A year may be a number or a day; where there is none, the number is the simpler one.
        empty = {"count": "int", "year": "int", "date": "date", "month": "date", "quarter": "date"}
        return _Typed(column.name, empty.get(column.kind, "str"), values)
    if len(kinds) == 1 and (one := kinds.pop()) not in ("decimal", "str"):
        return _Typed(column.name, one, [_plain(value, column) for value in values])
    return _Typed(column.name, "str", [None if value is None else _sound(str(value)) for value in values])


def _type(value: Any) -> str:
    """Names the type of a value; text is what has no fixed form as a number, and a time of no time zone."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -(2**63) <= value < 2**63 else "str"
    if isinstance(value, Decimal):
        return "decimal" if value.is_finite() else "str"
    if isinstance(value, datetime):
        return "datetime" if value.tzinfo else "str"
    return next(
        (name for name, kind in (("bool", bool), ("float", float), ("date", date)) if isinstance(value, kind)), "str"
    )


def _plain(value: Any, column: Column) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return _first_day(value, column.kind)
    return value


def _first_day(value: date, kind: str) -> date:
    if kind == "month":
        return value.replace(day=1)
    if kind == "quarter":
        return value.replace(month=(value.month - 1) // 3 * 3 + 1, day=1)
    return value.replace(month=1, day=1) if kind == "year" else value


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _sound(words: str) -> str:
    """Text that every encoder takes: JSON may hold halves of characters."""
    return words.encode("utf-8", "replace").decode("utf-8")


# --- CSV --------------------------------------------------------------------------------------------------------------


def to_csv(report: Report, path: str | Path, dialect: str, *, overwrite: bool) -> Path:
    """See `Report.to_csv`."""
    if dialect not in _DIALECTS:
        raise BooksError("report_dialect", dialect=from_server(dialect, 20))
    form = _DIALECTS[dialect]

    def write(aside: Path) -> None:
        with aside.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
            written = csv.writer(file, delimiter=form.delimiter, lineterminator="\r\n")
            written.writerow([neutral(_heading(column, dialect)) for column in report.columns])
            for row in report:
                written.writerow([_field(row.get(column.name), column.kind, form) for column in report.columns])

    return _aside(path, write, overwrite=overwrite)


def _heading(column: Column, language: str) -> str:
    heading = column.heading(language)
    return f"{heading} (%)" if column.kind == "percent" else heading


def _field(value: Any, kind: str, form: _Dialect) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal) and value.is_finite():
        places = max(_places(value), _CENTS if kind == "money" else 0)
        return f"{value:.{places}f}".replace(".", form.point)
    if isinstance(value, bool):
        return form.true if value else form.false
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value).replace(".", form.point)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return _day(value, kind, form.day)
    return neutral(str(value))


def _day(value: date, kind: str, form: str) -> str:
    if kind == "month":
        return f"{value.year:04}-{value.month:02}"
    if kind == "quarter":
        return f"{value.year:04}-Q{(value.month + 2) // 3}"
    return f"{value.year:04}" if kind == "year" else value.strftime(form)


def neutral(words: str) -> str:
    """Puts an apostrophe before text that a spreadsheet would take for a formula, and before one hidden behind a comma.

    A CSV file says nothing of types: `=HYPERLINK(…)` as a customer's name would be run by who opens it. Control
    characters become blanks: at NUL some programs end a file.
    """
    words = _NO_TEXT_OF_EXCEL.sub(" ", words)
    words = _HIDDEN_FORMULA.sub(r"\1'", words)
    return f"'{words}" if _BEGINS_FORMULA.match(words) else words


# --- Parquet ----------------------------------------------------------------------------------------------------------


def to_parquet(report: Report, path: str | Path, *, overwrite: bool) -> Path:
    """See `Report.to_parquet`."""
    import duckdb

    columns = _typed(report)
    types = {
        "int": "BIGINT",
        "date": "DATE",
        "float": "DOUBLE",
        "bool": "BOOLEAN",
        "datetime": "TIMESTAMPTZ",
        "str": "VARCHAR",
    }
    sql = [
        f"DECIMAL({PRECISION}, {column.places})" if column.type == "decimal" else types[column.type]
        for column in columns
    ]
    table = ", ".join(f"{_quoted(column.name)} {kind}" for column, kind in zip(columns, sql, strict=True))
    # Lists of text, cast by the engine: exact, and one statement for many rows.
    chosen = ", ".join(f"unnest(CAST(${n} AS VARCHAR[]))::{kind}" for n, kind in enumerate(sql, start=1))

    def write(aside: Path) -> None:
        with duckdb.connect(config={"enable_external_access": True, "autoinstall_known_extensions": False}) as engine:
            engine.execute(f"CREATE TABLE report ({table})")
            for start in range(0, len(report), _CHUNK):
                engine.execute(
                    f"INSERT INTO report SELECT {chosen}",
                    [[_literal(value) for value in column.values[start : start + _CHUNK]] for column in columns],
                )
            target = str(aside).replace("'", "''")
            engine.execute(f"COPY report TO '{target}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)")

    return _aside(path, write, overwrite=overwrite)


def _literal(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _quoted(name: str) -> str:
    return '"' + _sound(name).replace('"', '""') + '"'


# --- Excel ------------------------------------------------------------------------------------------------------------


def to_excel(report: Report, path: str | Path, *, overwrite: bool) -> Path:
    """See `Report.to_excel`."""
    openpyxl = needs("openpyxl", "to_excel()")
    if len(report) > _MOST_EXCEL_ROWS:
        raise BooksError("report_rows", rows=len(report), limit=_MOST_EXCEL_ROWS)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = _sheet_title(report.title)
    bold = importlib.import_module("openpyxl.styles").Font(bold=True)
    right = importlib.import_module("openpyxl.styles").Alignment(horizontal="right")
    widths = []
    for number, column in enumerate(report.columns, start=1):
        _text_cell(sheet.cell(1, number), column.heading())
        sheet.cell(1, number).font = bold
        if column.is_figure:
            sheet.cell(1, number).alignment = right
        widest = len(column.heading())
        for place, row in enumerate(report, start=2):
            _fill(sheet.cell(place, number), row.get(column.name), column.kind, report.currency_of(row))
            widest = max(widest, len(report.shown(row, column)))
        widths.append(min(widest + 3, _WIDEST))
    for number, width in enumerate(widths, start=1):
        sheet.column_dimensions[openpyxl.utils.get_column_letter(number)].width = width
    sheet.freeze_panes = "A2"
    return _aside(path, book.save, overwrite=overwrite)


def _fill(cell: Any, value: Any, kind: str, currency: str | None) -> None:
    if value is None:
        return
    if isinstance(value, datetime):
        _text_cell(cell, value.isoformat(" "))
    elif isinstance(value, bool) or (isinstance(value, (Decimal, int)) and Decimal(value).is_finite()):
        if len(Decimal(value).normalize(_EXACT).as_tuple().digits) > _DIGITS_OF_EXCEL:
            _text_cell(cell, f"{value:f}" if isinstance(value, Decimal) else str(value))
            return
        cell.value = value
        cell.number_format = _number_format(value, kind, currency)
    elif isinstance(value, date):
        cell.value = _first_day(value, kind)
        cell.number_format = {"month": "mmm yyyy", "quarter": "mmm yyyy", "year": "yyyy"}.get(kind, "dd.mm.yyyy")
    else:
        _text_cell(cell, str(value))


def _number_format(value: Any, kind: str, currency: str | None) -> str:
    if kind == "money":
        sign = formats.symbol(currency)
        return "#,##0.00" + (f' "{sign}"' if sign else "")
    if kind == "year" or isinstance(value, bool):
        return "0"
    places = _places(Decimal(value))
    unit = ' "%"' if kind == "percent" else ""  # without quotation marks Excel would multiply by 100
    return "#,##0" + ("." + "0" * places if places else "") + unit


def _text_cell(cell: Any, words: str) -> None:
    cell.value = _NO_TEXT_OF_EXCEL.sub(" ", _sound(words))[:_LONGEST_CELL]
    # A text stays a text, also after a person has edited the cell.
    cell.data_type = "s"
    cell.quotePrefix = True


def _sheet_title(title: str) -> str:
    return _NO_TITLE_OF_EXCEL.sub(" ", _sound(title))[:_LONGEST_TITLE].strip("' ") or "Report"


# --- files ------------------------------------------------------------------------------------------------------------


def _aside(path: str | Path, write: Callable[[Path], object], *, overwrite: bool) -> Path:
    """Writes a file under another name, and gives it its own when it is whole.

    Readable for nobody else: it holds customers and sums.

    Raises:
        BooksError: if it is there already, or cannot be written.
    """
    reason = ""
    try:
        target = Path(path).expanduser()
        if not overwrite and os.path.lexists(target):
            raise BooksError("report_exists", file=_told(target))
        aside = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            write(aside)
            _flush(aside)
            give_name(aside, target, overwrite=overwrite)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()
        return target
    except FileExistsError:
        raise BooksError("report_exists", file=_told(target)) from None
    except (OSError, ValueError, RuntimeError) as error:  # NUL in a name; nobody's home; DuckDB's own
        reason = _reason(error)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
            raise
        reason = _reason(error)
    raise BooksError("report_unwritable", file=_told(path), reason=reason)


def _flush(file: Path) -> None:
    with file.open("rb+") as written:
        os.fsync(written.fileno())


def _reason(error: Exception) -> str:
    words = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
    return from_server(words, 80)


def _told(path: str | Path) -> str:
    return from_server(str(path), 120)
