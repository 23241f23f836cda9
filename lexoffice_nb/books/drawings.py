"""What a picture of a report has in it: its kind, its series, its labels. Exact still, and pure.

`charts.py` paints it twice, with plotly and with matplotlib: so both say the same.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lexoffice_nb.books import formats
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexoffice_nb.books.report import Column, Report

# As a letter, not as a coloured picture; it says without a colour what the colour says.
WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-15}"
PICTURES = ("bar", "barh", "line", "stacked")
# More than these are added up in one: nobody reads sixty bars of names.
MOST_NAMES = 20
MOST_SERIES = 6
MOST_POINTS = 2_000
_MOST_BARS = 40
_MOST_TICKS = 12
_MOST_GAPS = 600
_SHORT = 14
_WIDE_TICK = 8
_AGES = frozenset({"late", "age"})
# Columns of amounts by how long they are due, from calm to urgent.
AGE_COLUMNS = ("not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90")
# What a picture of such rows is about, where it is not the first column of money.
_ABOUT = {"tax_rate": "tax"}
# Characters of a line beneath the title; nothing wraps there by itself.
_LINE = 100
_LONGEST_NOTE = 300
_FEWEST_PARTS = 2
_WHOLE_FROM = 1000
_FEW = 8
LONGEST_NAME = 32
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Series:
    """Figures of one name, one for each label; None where there is none."""

    name: str
    values: list[Decimal | None]
    # What a person reads: to the cent, and beside a bar.
    shown: list[str]
    brief: list[str]


@dataclass(frozen=True)
class Drawing:
    """A picture, before it is painted. Its texts are harmless already, and no markup.

    Attributes:
        kind: bar, barh, line or stacked.
        is_lying: whether the labels stand at the left, and the bars lie.
        title: what stands above it.
        words: the same in a sentence, for who sees it and who hears it.
        labels: of the bars or points, in order; whole.
        ticks: place and text of the labels that an axis has room for, perhaps in two lines.
        series: one or more.
        unit: what stands behind a figure, such as €.
        is_age: whether each label, or each of several series, is an age, which has a colour.
        notes: what a reader must know to judge the figures.
        language: en or de.
    """

    kind: str
    is_lying: bool
    title: str
    words: str
    labels: list[str]
    ticks: list[tuple[int, str]]
    series: list[Series]
    unit: str
    is_age: bool = False
    notes: tuple[str, ...] = ()
    language: str = field(default_factory=lambda: text("language"))

    @property
    def beneath(self) -> list[tuple[str, bool]]:
        """The lines beneath the title, and whether each is of a note."""
        words = [(line, False) for line in textwrap.wrap(self.words, _LINE)]
        return words + [(line, True) for note in self.notes for line in textwrap.wrap(f"{WARNING} {note}", _LINE)]

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the greatest figure, zero between them; stacks are added up. For a picture: binary floats."""
        if self.kind == "stacked":
            columns = list(zip(*(series.values for series in self.series), strict=True))
            above = [sum((v for v in column if v and v > 0), Decimal(0)) for column in columns]
            below = [sum((v for v in column if v and v < 0), Decimal(0)) for column in columns]
            figures = [*above, *below]
        else:
            figures = [value for series in self.series for value in series.values if value is not None]
        return float(min([*figures, Decimal(0)])), float(max([*figures, Decimal(0)]))


def drawing(report: Report, kind: str | None = None, column: str | None = None) -> Drawing:
    """Finds the picture that suits a report.

    Bars that stand for months, quarters and years (those that are missing in between have their place), lying bars for
    names, stacks where several columns of money add up or a second name splits the first; a line for days.

    Raises:
        BooksError: if there is nothing to draw, several currencies, no such column or kind.
    """
    if kind is not None and kind not in PICTURES:
        raise BooksError("report_plot_kind", kind=from_server(kind, 20), there=", ".join(PICTURES))
    figures = [c for c in report.columns if c.is_figure and any(formats.exact(v) is not None for v in report[c.name])]
    if not figures:
        raise BooksError("report_no_plot")
    money = [each for each in figures if each.kind == "money" or each.name == column] or figures[:1]
    chosen = [each for each in money if column in (None, each.name)]
    if not chosen:
        raise BooksError("report_no_column", column=from_server(column, 60), there=", ".join(c.name for c in figures))
    labels = [
        c
        for c in report.columns
        if c not in money and c.kind not in ("money", "count", "number") and c.name != "currency"
    ]
    periods = [c for c in labels if c.kind in (*formats.PERIODS, "date")]
    # A rate of tax may be what rows are about; beside a name a percentage is but a figure.
    names = [c for c in labels if c.kind != "percent"]
    label = next(iter(periods or names or labels), None)
    if column is None and label is not None:
        chosen = [c for c in chosen if c.name == _ABOUT.get(label.name)] or chosen
    return _Maker(report, chosen, label, [c for c in names if c is not label], kind).make()


class _Maker:
    def __init__(
        self, report: Report, money: list[Column], label: Column | None, others: list[Column], kind: str | None
    ) -> None:
        self.report = report
        self.figures = money
        self.label = label
        self.others = others
        self.asked = kind
        self.split = next((each for each in others if self._splits(each)), None)
        # Two customers of one name stay two.
        self.is_row = label is None or (self.split is None and label.kind not in (*formats.PERIODS, "date"))
        currencies = {report.currency_of(row) for row in report} if money[0].kind == "money" else {None}
        if len(currencies) > 1:
            raise BooksError("report_currencies", currencies=from_server(", ".join(sorted(map(str, currencies))), 60))
        self.currency = currencies.pop()

    def _splits(self, other: Column) -> bool:
        """Whether a second column of labels splits the bars of the first one, which has the same in several rows.

        Over time any name does. Names are split by names only where both make a table: one figure for each pair, and
        most of the first ones in several rows. What tells some rows of one name apart does not make one.
        """
        if self.label is None or other.name == "id" or other.name.endswith("_id"):
            return False
        pairs = [(str(row.get(self.label.name)), str(row.get(other.name))) for row in self.report]
        if len({name for name, _ in pairs}) == len(pairs):
            return False
        if self.label.kind in (*formats.PERIODS, "date"):
            return True
        times = Counter(name for name, _ in pairs)
        return len(set(pairs)) == len(pairs) and 2 * sum(each > 1 for each in times.values()) > len(times)

    def make(self) -> Drawing:
        keys = self._keys()
        table = self._table(keys)
        kind = self.asked or self._kind(keys, table)
        names = [self._name(key) for key in keys]
        is_period = self.label is not None and self.label.kind in (*formats.PERIODS, "date")
        is_lying = kind == "barh" or (kind == "stacked" and not is_period)
        if is_lying:
            names, table = self._few(names, table)
        ticks = list(enumerate(names)) if is_lying else self._ticks(keys, names)
        series = [
            Series(name, values, [self._shown(value) for value in values], [self._brief(value) for value in values])
            for name, values in self._few_series(table).items()
        ]
        return Drawing(
            kind=kind,
            is_lying=is_lying,
            title=from_server(self.report.title, 100),
            words=self._words(names, series),
            labels=names,
            ticks=ticks,
            series=series,
            unit=self._unit(),
            is_age=self._is_age(len(series)),
            notes=tuple(from_server(note, _LONGEST_NOTE) for note in self.report.notes),
        )

    def _is_age(self, series: int) -> bool:
        if series > 1:
            return self.split is None and self.figures[0].name in AGE_COLUMNS
        return self.label is not None and self.label.name in _AGES

    # --- rows and columns ---------------------------------------------------------------------------------------------

    def _keys(self) -> list[Any]:
        if self.label is None or self.is_row:
            return list(range(min(len(self.report), MOST_POINTS)))
        keys = list(dict.fromkeys(row.get(self.label.name) for row in self.report))
        if self.label.kind in (*formats.PERIODS, "date"):
            known = [key for key in keys if isinstance(key, (date, int))]
            keys = _without_gaps(sorted(known, key=str), self.label.kind)
        return keys[:MOST_POINTS]

    def _table(self, keys: list[Any]) -> dict[str, list[Decimal | None]]:
        """Gives the figures of each series, one for each key."""
        places = {key: n for n, key in enumerate(keys)}
        split = self.split
        summed = _parts(self.report, self.figures)
        figures = summed if summed and self.asked in (None, "stacked") and split is None else self.figures[:1]
        table: dict[str, list[Decimal | None]] = {}
        for number, row in enumerate(self.report):
            place = places.get(number if self.label is None or self.is_row else row.get(self.label.name))
            if place is None:
                continue
            for column in figures:
                name = _heading(column) if split is None else self.report.shown(row, split)
                values = table.setdefault(from_server(name, LONGEST_NAME), [None] * len(keys))
                figure = formats.exact(row.get(column.name))
                if figure is not None:
                    values[place] = (values[place] or Decimal(0)) + figure
        return table

    def _kind(self, keys: list[Any], table: dict[str, list[Decimal | None]]) -> str:
        if len(table) > 1:
            return "stacked"
        if self.label is None or self.label.kind == "date":
            return "line"
        if self.label.kind in formats.PERIODS:
            return "bar" if len(keys) <= _MOST_BARS else "line"
        return "bar" if len(keys) <= _FEW and all(len(self._name(key)) <= _SHORT for key in keys) else "barh"

    def _few(
        self, names: list[str], table: dict[str, list[Decimal | None]]
    ) -> tuple[list[str], dict[str, list[Decimal | None]]]:
        """Leaves the first names, and adds up the others."""
        if len(names) <= MOST_NAMES:
            return names, table
        rest = text("chart.others", count=len(names) - MOST_NAMES + 1)
        keep = MOST_NAMES - 1
        return [*names[:keep], rest], {name: [*v[:keep], _sum(v[keep:])] for name, v in table.items()}

    def _few_series(self, table: dict[str, list[Decimal | None]]) -> dict[str, list[Decimal | None]]:
        if len(table) <= MOST_SERIES:
            return table
        largest = sorted(table, key=lambda name: sum((abs(v) for v in table[name] if v), Decimal(0)), reverse=True)
        kept = {name: values for name, values in table.items() if name in largest[: MOST_SERIES - 1]}
        others = [values for name, values in table.items() if name not in kept]
        kept[text("chart.others", count=len(others))] = [_sum(list(each)) for each in zip(*others, strict=True)]
        return kept

    # --- words --------------------------------------------------------------------------------------------------------

    def _name(self, key: Any) -> str:
        if self.label is None:
            return str(key + 1)
        key = self.report[key].get(self.label.name) if self.is_row else key
        return from_server(formats.shown(key, self.label.kind, self.currency), LONGEST_NAME) or "–"

    def _ticks(self, keys: list[Any], names: list[str]) -> list[tuple[int, str]]:
        """Chooses the labels that have room. Of months, the year is said once: beneath the first of them."""
        if self.label is None or self.label.kind not in ("month", "quarter"):
            room = _MOST_TICKS if max(map(len, names), default=0) < _WIDE_TICK else _MOST_TICKS // 2
            step = -(-len(names) // room)
            return [(n, name) for n, name in enumerate(names) if n % step == 0]
        steps = (1, 2, 3, 6, 12) if self.label.kind == "month" else (1, 2, 4)
        step = next((each for each in steps if len(names) <= each * _MOST_TICKS * 2), steps[-1])
        ticks, year = [], None
        unit = _MONTHS[self.label.kind]
        for n, key in enumerate(keys):
            if ((key.month - 1) // unit) % step and step > 1:
                continue
            word = formats.month_name(key.month) if self.label.kind == "month" else names[n].split()[0]
            ticks.append((n, f"{word}\n{'' if key.year == year else key.year}"))
            year = key.year
        crowded = len(ticks) > _MOST_TICKS and not ticks[1][1].endswith("\n")
        if crowded:  # the next year's number stands beside the first one's, which tells what it is
            ticks[0] = (ticks[0][0], ticks[0][1].partition("\n")[0] + "\n")
        return ticks

    def _shown(self, value: Decimal | None) -> str:
        return formats.shown(value, self.figures[0].kind, self.currency) if value is not None else ""

    def _brief(self, value: Decimal | None) -> str:
        """The figure beside its bar: whole from a thousand on, where cents would only be in the way."""
        if value is None or abs(value) < _WHOLE_FROM:
            return self._shown(value)
        unit = self._unit()
        return formats.decimal(value.quantize(Decimal(1), ROUND_HALF_UP)) + (formats.NO_BREAK + unit if unit else "")

    def _unit(self) -> str:
        kind = self.figures[0].kind
        return formats.symbol(self.currency) if kind == "money" else "%" if kind == "percent" else ""

    def _words(self, names: list[str], series: list[Series]) -> str:
        sums = [_sum([one.values[n] for one in series]) for n in range(len(names))]
        there = [(value, name) for value, name in zip(sums, names, strict=True) if value is not None]
        if not there:
            raise BooksError("report_no_plot")
        (low, low_name), (high, high_name) = min(there), max(there)
        key = "chart.words" if len(there) > 1 else "chart.one"
        return text(
            key,
            what=from_server(self.figures[0].heading(), 60) if len(series) == 1 else text("report.total"),
            count=len(there),
            low=self._shown(low),
            low_name=low_name,
            high=self._shown(high),
            high_name=high_name,
        )


def _heading(column: Column) -> str:
    """What a series is called. Above a column of a table there may be no room for the word "days"; here there is."""
    return text(f"report.column.{column.name}") if column.name in AGE_COLUMNS else column.heading()


def _parts(report: Report, money: Sequence[Column]) -> list[Column]:
    """The columns of money that add up to the one behind them, in every row; none where there is no such column."""
    for end in range(_FEWEST_PARTS, len(money)):
        for start in range(end - _FEWEST_PARTS + 1):
            parts = money[start:end]
            if all(_sum([row.get(part.name) for part in parts]) == row.get(money[end].name) for row in report):
                return list(parts)
    return []


def _sum(values: Sequence[Decimal | None]) -> Decimal | None:
    there = [value for value in values if value is not None]
    return sum(there, Decimal(0)) if there else None


def _without_gaps(keys: list[Any], kind: str) -> list[Any]:
    """Puts the periods in that nothing happened in: an axis of time that leaves them out would tell another story."""
    if kind not in _MONTHS or not keys:
        return keys
    if all(isinstance(key, int) for key in keys):
        return list(range(keys[0], keys[-1] + 1)) if keys[-1] - keys[0] < _MOST_GAPS else keys
    step = _MONTHS[kind]
    if any(not isinstance(key, date) for key in keys) or any(
        _month(b) - _month(a) < step or (_month(b) - _month(a)) % step for a, b in pairwise(keys)
    ):
        return keys
    months = range(_month(keys[0]), _month(keys[-1]) + 1, step)
    if len(months) > _MOST_GAPS:
        return keys
    known = {_month(key): key for key in keys}
    return [known.get(month) or date(month // 12, month % 12 + 1, 1) for month in months]


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1
