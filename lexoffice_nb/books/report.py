"""A report: rows of exact figures, with what they mean. Shows itself as a table, draws a picture, and is exported.

    report = Report(
        title="Revenue",
        columns=[Column("month", "month"), Column("net", "money")],
        rows=[{"month": date(2025, 3, 1), "net": Decimal("1234.56")}],
        total={"net": Decimal("1234.56")},
        definition="Net amounts of invoices, less credit notes, by the day of the document.",
    )

Names of customers and articles are other people's text: it is escaped, and isolated from its neighbours, which a mark
for the writing direction would turn round.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal, overload

from lexoffice_nb.books import formats
from lexoffice_nb.texts import from_server, has_text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lexoffice_nb.books.charts import Picture

Kind = Literal["money", "count", "number", "percent", "date", "month", "quarter", "year", "text"]

MOST_ROWS = 50
MOST_CHARACTERS = 500
LONG = 40
# In a terminal.
MOST_LINES = 20
MOST_WIDTH = 120
MOST_NAMES = 90

# Between dollar signs JupyterLab and exports of a notebook would set a formula.
_NO_FORMULAS = "mathjax_ignore tex2jax_ignore"
_QUIET = "color:var(--jp-ui-font-color2,#757575)"
_FONT = "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);"
_BOX = f"{_FONT}margin:0;max-width:100%;color:var(--jp-ui-font-color1,inherit);line-height:1.45"
_TABLE = f"{_FONT}border-collapse:collapse;margin:0;font-variant-numeric:tabular-nums;color:inherit"
_CAPTION = (
    "caption-side:top;text-align:left;padding:0 8px 6px;font-weight:600;white-space:nowrap;"
    "color:var(--jp-ui-font-color1,inherit);font-size:var(--jp-ui-font-size2,15px)"
)
# The rows' colours are the front end's own; only lines and weight are ours.
_ROW = "background:transparent"
_CELL = "padding:4px 8px;border:0;border-bottom:1px solid var(--jp-border-color2,#8884);vertical-align:top;"
_LINE = _CELL + "white-space:nowrap;max-width:24em;overflow:hidden;text-overflow:ellipsis;"
_HEAD = f"{_CELL}font-weight:600;vertical-align:bottom;white-space:nowrap;{_QUIET};"
_TOTAL = (
    "padding:5px 8px;border:0;border-top:2px solid var(--jp-border-color1,#8888);white-space:nowrap;font-weight:600;"
)
_NEGATIVE = "color:var(--jp-error-color0,#b71c1c);"
_SMALL = f"margin:6px 8px 0;max-width:46em;font-size:var(--jp-ui-font-size0,11px);{_QUIET}"
# A shadow at an edge behind which there is more; what covers it has the page's own colour and moves with the table.
_PAGE = "var(--jp-layout-color0,transparent)"
_EDGE = "var(--jp-border-color1,transparent)"
_SCROLLED = "overflow-x:auto;max-width:100%;background:" + ",".join(
    f"linear-gradient(to {other},{colour}{stop},transparent) {side}/{width} 100% no-repeat {moves}"
    for colour, stop, width, moves in ((_PAGE, " 30%", "40px", "local"), (_EDGE, "", "12px", "scroll"))
    for side, other in (("left", "right"), ("right", "left"))
)
# With so many columns there is room for all of them only when each has less.
_MANY = 7
_NARROW = "padding:4px 5px;"
_NARROW_NAME = (
    "padding:4px 5px 4px 8px;max-width:clamp(8em,16vw,15em);"  # on a narrow page the next column has room, too
)
_NARROW_LONG = 12
# What no page may have, and what no front end can send: control characters but for blanks, and halves of characters.
_NO_TEXT_OF_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOTE = "margin:6px 8px 0;max-width:46em;font-size:var(--jp-ui-font-size1,13px)"


@dataclass(frozen=True)
class Column:
    """A column of a report.

    Attributes:
        name: the key in the rows.
        kind: what its values are. `money` and `number`: Decimal; `count`: int; `percent`: Decimal, 19 is 19 %; `date`:
            date; `month`, `quarter` and `year`: any day of it, or the year's number; `text`: str, or anything.
        label: what stands above it; None for the text `report.column.<name>`, or the name where there is none.
        early: whether a table shows it right behind the first column, so that it is seen where not all have room.
        dashed: whether an amount of nothing is shown as a dash.
    """

    name: str
    kind: Kind = "text"
    label: str | None = None
    early: bool = False
    dashed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in formats.KINDS:
            raise ValueError(f"{self.kind!r} is no kind of column")

    def heading(self, language: str | None = None) -> str:
        """Gives what stands above the column, in a language."""
        if self.label is not None:
            return self.label
        key = f"report.column.{self.name}"
        return text(key, language) if has_text(key) else self.name

    @property
    def is_figure(self) -> bool:
        """Tells whether its values stand to the right."""
        return self.kind in formats.FIGURES


class Report:
    """Rows with a meaning. What it holds stays as it was made: iterate it, take `report[0]` or `report["net"]`.

    Attributes:
        title: one line above the table.
        columns: what the rows have, in order.
        rows: one dictionary a row, money as Decimal.
        total: the last row, or None; it is shown, and never exported: who sums up a column would count it twice.
        definition: what is counted, in a sentence or two, shown in small print.
        notes: what a reader must know to judge the figures, such as "12 documents are missing".
        empty: what it says where it has no rows; nothing for the usual sentence.
        currency: of all money, such as EUR; a row with a member `currency` has its own.
    """

    def __init__(
        self,
        title: str,
        columns: Iterable[Column],
        rows: Iterable[Mapping[str, Any]],
        *,
        total: Mapping[str, Any] | None = None,
        definition: str = "",
        notes: Iterable[str] = (),
        empty: str = "",
        currency: str | None = "EUR",
    ) -> None:
        self.title = title
        self.columns = tuple(columns)
        self.rows = [dict(row) for row in rows]
        self.total = None if total is None else dict(total)
        self.definition = definition
        self.notes = tuple(notes)
        self.empty = empty
        self.currency = currency

    # --- as data ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True  # an empty report is one, too

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: str | slice) -> list[Any]: ...
    def __getitem__(self, key: str | int | slice) -> Any:
        """A row by its number, rows by a slice, or all values of a column by its name."""
        if not isinstance(key, str):
            return self.rows[key]
        if key not in (column.name for column in self.columns):
            raise KeyError(key)
        return [row.get(key) for row in self.rows]

    def _ipython_key_completions_(self) -> list[str]:
        return [column.name for column in self.columns]

    def currency_of(self, row: Mapping[str, Any]) -> str | None:
        """Gives the currency of a row's money: its own, else the report's."""
        own = row.get("currency")
        return own if isinstance(own, str) else self.currency

    def shown(self, row: Mapping[str, Any], column: Column, language: str | None = None) -> str:
        """Writes a value of a row for the eye, as the table does."""
        value = row.get(column.name)
        if column.dashed and value == 0:
            return formats.NOTHING
        return formats.shown(value, column.kind, self.currency_of(row), language)

    @property
    def _shown(self) -> list[Column]:
        """The columns in the order of a table."""
        return sorted(self.columns, key=lambda column: (column is not self.columns[0], not column.early))

    # --- as a table ---------------------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        caption = f"<caption style='{_CAPTION}'>{_isolated(self.title)}</caption>" if self.title else ""
        head = "".join(
            f"<th scope='col' style='{_HEAD}{self._tight(n)}{_align(column)}'>{_isolated(column.heading())}</th>"
            for n, column in enumerate(self._shown)
        )
        head = "" if self._is_told else f"<thead><tr style='{_ROW}'>{head}</tr></thead>"
        body = "".join(f"<tr style='{_ROW}'>{self._cells(row)}</tr>" for row in self.rows[:MOST_ROWS])
        total = f"<tfoot><tr style='{_ROW}'>{self._total_cells(self.total)}</tr></tfoot>" if self.total else ""
        table = (
            f"<div style='{_SCROLLED}'><table style='{_TABLE}'>{caption}"
            f"{head}<tbody>{body}</tbody>{total}</table></div>"
        )
        below = "".join(f"<p style='{_NOTE}'>{_isolated(note)}</p>" for note in self._remarks(MOST_ROWS))
        if self.definition:
            below += f"<p style='{_SMALL}'>{_isolated(self.definition)}</p>"
        label = _escaped(self.title)
        return (
            f"<section class='{_NO_FORMULAS}' lang='{text('language')}' aria-label='{label}' style='{_BOX}'>"
            f"{table}{below}</section>"
        )

    def _tight(self, number: int) -> str:
        """Gives the style of a column in a table that has many; the names in front are cut where a sum stands next."""
        if len(self.columns) < _MANY:
            return ""
        return _NARROW_NAME if number == 0 and self._shown[1].early else _NARROW

    @property
    def _is_told(self) -> bool:
        """Tells whether a sentence of its own stands in place of rows; headings above it would be of nothing."""
        return bool(self.empty and not self.rows)

    def _remarks(self, most: int) -> list[str]:
        remarks = list(self.notes)
        if not self.rows:
            remarks.insert(0, self.empty or text("report.empty"))
        elif len(self.rows) > most:
            remarks.insert(0, _of_all(most, len(self.rows)))
        return remarks

    def _cells(self, row: Mapping[str, Any]) -> str:
        return "".join(self._cell(row, column, n) for n, column in enumerate(self._shown))

    def _cell(self, row: Mapping[str, Any], column: Column, number: int) -> str:
        written = self.shown(row, column)
        # What does not fit is cut by the style, so the whole of it is shown under the pointer.
        tight = self._tight(number)
        longest = _NARROW_LONG if tight == _NARROW_NAME else LONG
        whole = "" if len(written) <= longest else f" title='{_escaped(written[:MOST_CHARACTERS])}'"
        style = _LINE + tight + _align(column) + (_NEGATIVE if _is_negative(row, column) else "")
        inner = _isolated(_cut(written, MOST_CHARACTERS))
        if number == 0 and not column.is_figure:
            return f"<th scope='row' style='{style};font-weight:400'{whole}>{inner}</th>"
        return f"<td style='{style}'{whole}>{inner}</td>"

    def _total_cells(self, total: Mapping[str, Any]) -> str:
        cells = []
        for number, column in enumerate(self._shown):
            written = self._total_words(total, column, first=number == 0)
            style = _TOTAL + self._tight(number) + _align(column)
            style += _NEGATIVE if _is_negative(total, column) else ""
            tag, scope = ("th", " scope='row'") if number == 0 and not column.is_figure else ("td", "")
            cells.append(f"<{tag}{scope} style='{style}'>{_isolated(written)}</{tag}>")
        return "".join(cells)

    def _total_words(self, total: Mapping[str, Any], column: Column, *, first: bool) -> str:
        if first and total.get(column.name) is None:
            return text("report.total")
        return self.shown(total, column)

    # --- in a terminal ------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        columns = self._shown
        lines = [[_plain(column.heading()) for column in columns]]
        lines += [[_plain(self.shown(row, column)) for column in columns] for row in self.rows[:MOST_LINES]]
        if self.total:
            lines.append(
                [_plain(self._total_words(self.total, column, first=n == 0)) for n, column in enumerate(columns)]
            )
        table, fitting = _in_columns(lines, [column.is_figure for column in columns], has_total=bool(self.total))
        remarks = self._remarks(MOST_LINES)
        if self._is_told:
            table = []
        else:
            remarks = [*_left_out(lines[0][fitting:]), *remarks]
        below = [from_server(remark, MOST_CHARACTERS) for remark in (*remarks, self.definition)]
        return "\n".join(part for part in (from_server(self.title, MOST_WIDTH), *table, *below) if part)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("…" if cycle else repr(self))

    # --- as a picture -------------------------------------------------------------------------------------------------

    def plot(self, kind: str | None = None, column: str | None = None) -> Picture:
        """Draws the report: bars over time, lying bars for names, stacked ones for ages.

        Money becomes a binary fraction here and nowhere else: a picture has no cents.

        Args:
            kind: bar, barh, line or stacked; None for what suits the report.
            column: the name of the column of figures; None for the first of money, or all that add up to another.

        Returns:
            What a notebook shows: an interactive picture of plotly where that is installed, and beside it a still one
            (SVG, matplotlib) that GitHub and exports of the notebook show. `.figure` is plotly's.

        Raises:
            BooksError: if neither is installed, the report has nothing to draw or several currencies, or there is
                no such kind or column.
        """
        from lexoffice_nb.books import charts

        return charts.picture(self, kind, column)

    # --- exports ------------------------------------------------------------------------------------------------------

    def to_pandas(self) -> Any:
        """Gives a pandas DataFrame.

        Money and other fractions stay `Decimal`, days `datetime.date`, both in columns of dtype object: float64 would
        lose cents, and datetime64 would make a time of day of a day. Counts are int64 (Int64 where one is missing).
        A month or a quarter is its first day.

        Raises:
            BooksError: if pandas is not installed.
        """
        from lexoffice_nb.books import exports

        return exports.to_pandas(self)

    def to_polars(self) -> Any:
        """Gives a polars DataFrame: money as Decimal(38, 2) or with more places where there are any, days as Date.

        Raises:
            BooksError: if polars is not installed.
        """
        from lexoffice_nb.books import exports

        return exports.to_polars(self)

    def to_arrow(self) -> Any:
        """Gives a pyarrow Table: money as decimal128(38, 2) or with more places where there are any, days as date32.

        Raises:
            BooksError: if pyarrow is not installed.
        """
        from lexoffice_nb.books import exports

        return exports.to_arrow(self)

    def to_csv(self, path: str | Path, dialect: str = "de", *, overwrite: bool = False) -> Path:
        """Writes a file that a spreadsheet opens by a double click: UTF-8 with its mark, lines end with CR LF.

        Text that a spreadsheet would take for a formula gets an apostrophe in front; figures are never touched.
        Currencies are left away, and "%" stands in the heading; days are 31.03.2025 or 2025-03-31, months 2025-03,
        quarters 2025-Q1; True is WAHR or TRUE, as spreadsheets write it.

        Args:
            path: of the file; a person's home may be `~`.
            dialect: `de` for semicolons and 1234,56; `en` for commas and 1234.56. The headings are in that language.
            overwrite: whether a file that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            BooksError: if the file is there, or cannot be written, or there is no such dialect.
        """
        from lexoffice_nb.books import exports

        return exports.to_csv(self, path, dialect, overwrite=overwrite)

    def to_parquet(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes a Parquet file, by DuckDB: money as DECIMAL, days as DATE.

        Args:
            path: of the file.
            overwrite: whether a file that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            BooksError: if the file is there, or cannot be written.
        """
        from lexoffice_nb.books import exports

        return exports.to_parquet(self, path, overwrite=overwrite)

    def to_excel(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes an Excel workbook with one sheet: figures are numbers, texts are texts, never formulas or links.

        A figure of more than 15 digits, which Excel cannot hold, is a text. Headings are in the person's language.

        Args:
            path: of the file, `.xlsx`.
            overwrite: whether a file that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            BooksError: if openpyxl is not installed, the file is there or cannot be written, or there are more rows
                than a sheet has.
        """
        from lexoffice_nb.books import exports

        return exports.to_excel(self, path, overwrite=overwrite)


def _align(column: Column) -> str:
    return f"text-align:{'right' if column.is_figure else 'left'};"


def _is_negative(row: Mapping[str, Any], column: Column) -> bool:
    value = row.get(column.name)
    return column.kind == "money" and value is not None and not isinstance(value, str) and value < 0


def _of_all(shown: int, there: int) -> str:
    return text("report.first", shown=formats.shown(shown, "count"), total=formats.shown(there, "count"))


def _left_out(headings: list[str]) -> list[str]:
    if not headings:
        return []
    key = "report.more_columns.one" if len(headings) == 1 else "report.more_columns"
    return [text(key, count=len(headings), names=from_server(", ".join(headings), MOST_NAMES))]


def _isolated(words: str) -> str:
    return f"<bdi>{_escaped(words)}</bdi>"


def _escaped(words: str) -> str:
    return escape(_NO_TEXT_OF_HTML.sub(" ", words), quote=True)


def _cut(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _plain(words: str) -> str:
    return from_server(words, LONG)


def _in_columns(lines: list[list[str]], figures: list[bool], *, has_total: bool) -> tuple[list[str], int]:
    """Writes lines as a table, and says how many columns there is room for."""
    widths = [max(_width(line[n]) for line in lines) for n in range(len(figures))]
    while len(widths) > 1 and sum(widths) + 2 * (len(widths) - 1) > MOST_WIDTH:
        widths.pop()
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    written = [
        "  ".join(
            " " * (width - _width(words)) + words if right else words + " " * (width - _width(words))
            for words, width, right in zip(line, widths, figures, strict=False)
        ).rstrip()
        for line in lines
    ]
    written.insert(1, rule)
    if has_total:
        written.insert(-1, rule)
    return written, len(widths)


def _width(words: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in words)
