"""Paints a drawing: with plotly for a notebook, and with matplotlib as SVG for GitHub and for exports of a notebook.

The first one takes its text colours from the page that it stands in, as the tables do; the second one has a ground of
its own, light or dark as the reader prefers. So text has 4.5 : 1 and more (WCAG 2.2, 1.4.3) in each theme. Bars have
at least 3 : 1 on light and dark ground. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from decimal import Decimal
from functools import cached_property
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from lexoffice_nb.books import formats
from lexoffice_nb.books.drawings import Drawing, drawing
from lexoffice_nb.books.exports import needs
from lexoffice_nb.errors import BooksError

if TYPE_CHECKING:
    from lexoffice_nb.books.report import Report

PLOTLY = "application/vnd.plotly.v1+json"
SVG = "image/svg+xml"
GREY = "#797979"  # of lines; as far from white as from JupyterLab's dark
FAINT = "#80808040"
BLUE = "#3b82c4"
RED = "#d1495b"
# Of series that have nothing to do with each other.
COLOURS = ("#3b82c4", "#2a9187", "#a87d00", "#cf6a2c", "#c8415a", "#8b6fb5")
# Of ages: one ramp from calm to urgent.
AGES = ("#4f8cc0", "#8d86b0", "#b3778f", "#cb5c6c", "#d8343f")
# Text of the still picture on its own ground: light, and dark for who prefers that.
GROUND, INK, NOTE = ("#ffffff", "#111111"), ("#333333", "#dddddd"), ("#8f4700", "#ffb366")
# Text of plotly: the front end's own colour. There is none where JupyterLab makes an image of it for the file: then a
# grey that has 4.5 : 1 on white, and on JupyterLab's dark as much as one that has that can.
TEXT = "#767676"
_PAGE = f"var(--jp-ui-font-color1,var(--vscode-editor-foreground,{TEXT}))"
_INKED = f"<span style='color:{_PAGE}'>"
_NOTED = f"<span style='color:color-mix(in srgb,{_PAGE} 45%,#e07b00)'>"
_END = "</span>"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_SVG_FONT = _FONT.replace("'", "")
# In what matplotlib writes: a name from outside cannot begin a tag.
_FAMILY = re.compile(r"(<text style=\"[^\"]*?)'DejaVu Sans'[^;\"]*")
# What a reader who does not take this finds is the light picture, whole.
_DARK = (
    f"@media (prefers-color-scheme: dark) {{ .lxo-ground {{ fill: {GROUND[1]} }} "
    f".lxo-ink {{ fill: {INK[1]} !important }} .lxo-note {{ fill: {NOTE[1]} !important }} }}"
)
_ROOM = 0.2
_HEIGHT = 400
_LINE_HEIGHT = 17
_ROW_HEIGHT = 30
_DPI = 72
_WIDTH = 760


class Picture:
    """A picture of a report, as a notebook shows it.

    Attributes:
        alt: the picture in words.
    """

    def __init__(self, drawn: Drawing) -> None:
        self._drawn = drawn
        self.alt = " ".join((f"{drawn.title}. {drawn.words}".removeprefix(". "), *drawn.notes))

    @cached_property
    def figure(self) -> Any:
        """The figure of plotly, to change and to save.

        Raises:
            BooksError: if plotly is not installed.
        """
        data, layout = _plotly(self._drawn)
        return needs("plotly.graph_objects", "plot()", "plots").Figure(data=data, layout=layout)

    @cached_property
    def svg(self) -> str:
        """The still picture, as the text of an SVG file.

        Raises:
            BooksError: if matplotlib is not installed.
        """
        return _svg(self._drawn, self.alt)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        with contextlib.suppress(BooksError):
            bundle[SVG] = self.svg
        with contextlib.suppress(BooksError):
            figure = self.figure.to_plotly_json()
            bundle[PLOTLY] = {"data": figure["data"], "layout": figure["layout"], "config": _CONFIG}
        return bundle, {SVG: {"alt": self.alt}}

    def __repr__(self) -> str:
        return self.alt


def picture(report: Report, kind: str | None = None, column: str | None = None) -> Picture:
    """See `Report.plot`."""
    try:
        needs("plotly.graph_objects", "plot()", "plots")
    except BooksError:
        needs("matplotlib", "plot()", "plots")
    return Picture(drawing(report, kind, column))


def _colours(drawn: Drawing, number: int) -> list[str]:
    """Gives the colour of each bar: one for the series, another below zero where there is but one series."""
    values = drawn.series[number].values
    if len(drawn.series) > 1:
        return [_series_colour(drawn, number)] * len(values)
    if drawn.is_age:
        return [AGES[place % len(AGES)] for place in range(len(values))]
    return [RED if value is not None and value < 0 else BLUE for value in values]


def _series_colour(drawn: Drawing, number: int) -> str:
    palette = AGES if drawn.is_age else COLOURS
    return palette[number % len(palette)]


def _range(drawn: Drawing) -> tuple[float, float]:
    low, high = drawn.extent
    room = (high - low or 1.0) * (_ROOM if drawn.is_lying and len(drawn.series) == 1 else 0.06)
    return low - (room if low < 0 else 0), high + (room if high > 0 or low == 0 else 0)


def _thickness(drawn: Drawing) -> float:
    """How much of its place a bar takes: three bars would otherwise be three boards."""
    return 0.72 if drawn.is_lying else min(0.72, 0.16 + 0.08 * len(drawn.labels))


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


# --- plotly -----------------------------------------------------------------------------------------------------------

# JupyterLab fits the width by itself; what plotly fits, when a window or the theme changes, loses its height there.
# Its toolbar and its tips are English, lie over the title, and have a button that leads to its maker's server.
_CONFIG = {
    "responsive": False,
    "displayModeBar": False,
    "displaylogo": False,
    "showTips": False,
    "showLink": False,
    "plotlyServerURL": "",
}


def _plotly(drawn: Drawing) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data = [_trace(drawn, number) for number in range(len(drawn.series))]
    small = {"color": TEXT, "size": 12}
    suffix = formats.NO_BREAK + drawn.unit if drawn.unit else ""
    beneath = "<br>".join(_coloured(line, is_note=is_note) for line, is_note in drawn.beneath)
    low, high = _range(drawn)
    figures = {
        "range": [low, high],
        "tickformat": ",~f" if high - low >= 10 else ",.2~f",  # cents where there are no thousands
        "tickprefix": _INKED,
        "ticksuffix": suffix + _END,
        "gridcolor": FAINT,
        "zeroline": True,
        "zerolinecolor": GREY,
        "zerolinewidth": 1,
        "automargin": True,
        "nticks": 7,
    }
    labels: dict[str, Any] = {
        "type": "category",
        "tickmode": "array",
        "tickvals": [place for place, _ in drawn.ticks],
        "ticktext": [_coloured(words) for _, words in drawn.ticks],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        "tickangle": 0,
        "ticklabelstandoff": 6,
        "range": [-0.6, len(drawn.labels) - 0.4],
    }
    if drawn.is_lying:
        labels["range"] = labels["range"][::-1]
        figures |= {"showticklabels": False, "showgrid": False} if len(drawn.series) == 1 else {}
    legend = 26 if len(data) > 1 else 0
    layout: dict[str, Any] = {
        "title": {
            "text": f"<b>{_coloured(drawn.title)}</b>",
            "subtitle": {"text": beneath, "font": small},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 12, "t": 12},
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "font": {"color": TEXT, "size": 16},
        },
        "font": {"family": _FONT, "color": TEXT, "size": 12},
        "separators": ",." if drawn.language == "de" else ".,",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": _height(drawn),
        "margin": {"l": 12, "r": 16, "t": 76 + legend + _more(drawn), "b": 16 if drawn.is_lying else 44},
        "barmode": "relative",
        "showlegend": len(data) > 1,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        "hoverlabel": {"bgcolor": "#333333", "bordercolor": "#333333", "font": {"color": "#ffffff", "family": _FONT}},
        "hovermode": "closest",
        # Without the toolbar only a double click leads back from a part of the picture: where it is easy to find.
        "dragmode": "zoom" if drawn.kind == "line" else False,
        "xaxis": figures if drawn.is_lying else labels,
        "yaxis": labels if drawn.is_lying else figures,
        "template": {},
    }
    return data, layout


def _trace(drawn: Drawing, number: int) -> dict[str, Any]:
    series = drawn.series[number]
    places: list[int] = list(range(len(series.values)))
    values = [_float(value) for value in series.values]
    name = f"{_literal(series.name)}<br>" if len(drawn.series) > 1 else ""
    trace: dict[str, Any] = {
        "name": _coloured(series.name),
        # Places, not names: two customers may have the same one, and a name may look like a number.
        "x": values if drawn.is_lying else places,
        "y": places if drawn.is_lying else values,
        "customdata": [
            [_literal(label), shown] for label, shown in zip(drawn.labels, map(_literal, series.shown), strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>" + name + "<b>%{customdata[1]}</b><extra></extra>",
    }
    if drawn.kind == "line":
        return trace | {
            "type": "scatter",
            "mode": "lines+markers" if len(places) <= 60 else "lines",  # more dots make a band
            "line": {"color": _line_colour(drawn, number), "width": 2},
            "marker": {"size": 6},
        }
    trace |= {
        "type": "bar",
        "orientation": "h" if drawn.is_lying else "v",
        "width": _thickness(drawn),
        "marker": {"color": _colours(drawn, number), "line": {"width": 0}},
    }
    if drawn.is_lying and len(drawn.series) == 1:
        trace |= {
            "text": [_coloured(words) for words in series.brief],
            "textposition": "outside",
            "textfont": {"color": TEXT, "size": 12},
            "cliponaxis": False,
        }
    return trace


def _line_colour(drawn: Drawing, number: int) -> str:
    return _series_colour(drawn, number) if len(drawn.series) > 1 else BLUE


def _literal(words: str) -> str:
    """Text for plotly, which takes markup, links and formulas between dollar signs: here all of it is but text."""
    # A quote is left as it is: plotly knows no name for it, and would show that of HTML.
    return escape(words, quote=False).replace("$", "&#36;").replace("{", "&#123;").replace("\n", "<br>")


def _coloured(words: str, *, is_note: bool = False) -> str:
    """The same in the colour of the page's text, or of what is to be minded."""
    return (_NOTED if is_note else _INKED) + _literal(words) + _END


def _more(drawn: Drawing) -> int:
    """Pixels for the lines beneath the title that most pictures do not have."""
    return _LINE_HEIGHT * (len(drawn.beneath) - 1)


def _height(drawn: Drawing) -> int:
    return (110 + _ROW_HEIGHT * len(drawn.labels) if drawn.is_lying else _HEIGHT) + _more(drawn)


# --- matplotlib -------------------------------------------------------------------------------------------------------


def _svg(drawn: Drawing, alt: str) -> str:
    matplotlib = needs("matplotlib", "plot()", "plots")
    canvas = needs("matplotlib.backends.backend_svg", "plot()", "plots").FigureCanvasSVG
    height = _height(drawn)
    # Text stays text: the reader's own letters, which has those of every name, and a small file.
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "lexoffice_nb",
        "font.family": ["DejaVu Sans"],
        "font.size": 12,
        "axes.unicode_minus": True,
    }
    written = StringIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's own letters lack some, but it only measures with them
        figure = needs("matplotlib.figure", "plot()", "plots").Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI)
        canvas(figure)
        _paint(drawn, figure, height)
        figure.savefig(
            written,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Type": None, "Format": None},
        )
    return _described(written.getvalue(), drawn.title, alt)


def _paint(drawn: Drawing, figure: Any, height: int) -> None:
    widest = max((len(words) for _, words in drawn.ticks), default=0) if drawn.is_lying else 0
    legend = 26 if len(drawn.series) > 1 else 0
    left = max(0.03, widest * 7.2 / _WIDTH + 0.02) if drawn.is_lying else 0.12
    bottom = 20 if drawn.is_lying else 48
    top = 70 + legend + _more(drawn)
    axes = figure.add_axes((left, bottom / height, 0.98 - left, (height - bottom - top) / height))
    _bars(drawn, axes)
    _axes(drawn, axes)
    plain = {"parse_math": False, "ha": "left", "va": "top"}
    figure.text(0.015, 1 - 8 / height, drawn.title, fontsize=16, fontweight="bold", color=INK[0], **plain)
    for number, (line, is_note) in enumerate(drawn.beneath):
        from_top = 36 + _LINE_HEIGHT * number
        colour = NOTE[0] if is_note else INK[0]
        figure.text(0.015, 1 - from_top / height, line, fontsize=12, color=colour, **plain)
    if legend:
        _legend(drawn, figure, height)


def _bars(drawn: Drawing, axes: Any) -> None:
    above, below = [0.0] * len(drawn.labels), [0.0] * len(drawn.labels)
    for number, series in enumerate(drawn.series):
        values = [_float(value) for value in series.values]
        if drawn.kind == "line":
            axes.plot(
                range(len(values)),
                [math.nan if value is None else value for value in values],
                color=_line_colour(drawn, number),
                linewidth=2,
            )
            continue
        starts = []
        for place, value in enumerate(value or 0.0 for value in values):
            side = above if value >= 0 or drawn.kind != "stacked" else below
            starts.append(side[place] if drawn.kind == "stacked" else 0.0)
            side[place] += value
        sizes = [value or 0.0 for value in values]
        draw, start = (axes.barh, "left") if drawn.is_lying else (axes.bar, "bottom")
        draw(range(len(values)), sizes, _thickness(drawn), color=_colours(drawn, number), **{start: starts})


def _axes(drawn: Drawing, axes: Any) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=INK[0], length=0, pad=6)
    figures, labels = (axes.xaxis, axes.yaxis) if drawn.is_lying else (axes.yaxis, axes.xaxis)
    low, high = _range(drawn)
    places, words = [place for place, _ in drawn.ticks], [words for _, words in drawn.ticks]
    labels.set_ticks(places, words, parse_math=False)
    if not drawn.is_lying:
        for label in labels.get_ticklabels():  # all on one line, also those with dots above
            label.set_va("baseline")
        labels.set_tick_params(pad=18)
    ends = (-0.6, len(drawn.labels) - 0.4)
    if drawn.is_lying:
        axes.set(xlim=(low, high), ylim=ends[::-1])
        axes.axvline(0, color=GREY, linewidth=1)
    else:
        axes.set(xlim=ends, ylim=(low, high))
        axes.axhline(0, color=GREY, linewidth=1)
    if drawn.is_lying and len(drawn.series) == 1:
        figures.set_visible(False)
        _beside(drawn, axes, (high - low) * 0.008)
        return
    figures.set_major_locator(needs("matplotlib.ticker", "plot()", "plots").MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    figures.set_major_formatter(lambda value, _: _tick(drawn, value))
    figures.grid(visible=True, color=FAINT, linewidth=1)
    axes.set_axisbelow(True)


def _beside(drawn: Drawing, axes: Any, gap: float) -> None:
    for place, (value, words) in enumerate(zip(drawn.series[0].values, drawn.series[0].brief, strict=True)):
        if value is not None:
            side = "right" if value < 0 else "left"
            axes.text(
                float(value) + (-gap if value < 0 else gap),
                place,
                words,
                ha=side,
                va="center_baseline",
                color=INK[0],
                parse_math=False,
            )


def _tick(drawn: Drawing, value: float) -> str:
    # A tick is a round number: ten digits are more than it has.
    written = formats.decimal(Decimal(f"{value:.10g}"), drawn.language)
    return written + (formats.NO_BREAK + drawn.unit if drawn.unit else "")


def _legend(drawn: Drawing, figure: Any, height: int) -> None:
    patch = needs("matplotlib.patches", "plot()", "plots").Patch
    patches = [patch(color=_series_colour(drawn, n)) for n in range(len(drawn.series))]
    legend = figure.legend(
        patches,
        [series.name for series in drawn.series],
        loc="upper left",
        bbox_to_anchor=(0.005, 1 - (56 + _more(drawn)) / height),
        ncols=len(patches),
        frameon=False,
        labelcolor=INK[0],
        handlelength=1,
        handleheight=1,
        columnspacing=1.4,
    )
    for words in legend.get_texts():
        words.set_parse_math(False)


def _described(svg: str, title: str, alt: str) -> str:
    """Gives the picture a name for screen readers, the reader's own letters, and room to shrink with the page."""
    start = svg.index("<svg")
    end = svg.index(">", start)
    head = re.sub(r' (?:width|height)="[^"]*"', "", svg[start:end])
    size = f' style="width:100%;max-width:{_WIDTH}px;height:auto"'
    named = f' role="img" aria-label="{escape(alt, quote=True)}"'
    body = _FAMILY.sub(lambda match: f"{match[1]}{_SVG_FONT}", svg[end + 1 :])
    for name, colour in (("ink", INK[0]), ("note", NOTE[0])):
        body = re.sub(rf'<text (?=style="[^"]*fill: {colour})', f'<text class="lxo-{name}" ', body)
    ground = f'<rect class="lxo-ground" width="100%" height="100%" fill="{GROUND[0]}"/>'
    return f"{head}{size}{named}>\n<title>{escape(title)}</title>\n<style>{_DARK}</style>\n{ground}{body}"
