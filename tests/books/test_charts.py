"""The pictures of reports: what is drawn, said twice and alike; names that are markup; nothing from elsewhere."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.books import charts, formats
from lexoffice_nb.books.drawings import AGE_COLUMNS, MOST_NAMES, MOST_SERIES, WARNING, drawing
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.books.reports import BUCKETS
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

NB = formats.NO_BREAK
NAMES = [
    "<img src=x onerror=alert(1)> &", "<a href='//x.org'>y</a>", "$a^2$", "%{x} {y}", "<b>b</b><br>", "&lt;i&gt;",
    'style="font: \'DejaVu Sans\'"', "]]>", "\x00\x1b[31m\ud800", "株式会社",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


def months(*figures: tuple[int, int, str]) -> Report:
    rows = [{"month": date(year, month, 1), "net": Decimal(net), "documents": 3} for year, month, net in figures]
    return Report("Revenue", [Column("month", "month"), Column("net", "money"), Column("documents", "count")], rows)


def customers(names: list[str]) -> Report:
    rows = [{"customer": name, "net": Decimal(f"{1000 - n}.50"), "share": Decimal(5)} for n, name in enumerate(names)]
    return Report("Customers", [Column("customer"), Column("net", "money"), Column("share", "percent")], rows)


def ages() -> Report:
    names = ("a", "b", "c", "open", "credits")
    columns = [Column("customer"), *(Column(name, "money") for name in names), Column("contact_id")]
    rows = [
        {"customer": "K", "a": Decimal(n), "b": Decimal(2), "c": None, "open": Decimal(n + 2), "credits": Decimal(9)}
        for n in (1, 2)
    ]
    return Report("Open items", columns, rows)


def words_in(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


class TestWhatSuits:
    def test_months_is_bars_in_order(self) -> None:
        drawn = drawing(months((2025, 2, "2"), (2025, 1, "1")))
        assert (drawn.kind, drawn.is_lying, drawn.labels) == ("bar", False, ["Jan 2025", "Feb 2025"])
        assert drawn.series[0].values == [Decimal(1), Decimal(2)]

    def test_months_in_which_nothing_happened_keep_their_place(self) -> None:
        drawn = drawing(months((2024, 11, "1"), (2025, 2, "2")))
        assert drawn.labels == ["Nov 2024", "Dec 2024", "Jan 2025", "Feb 2025"]
        assert drawn.series[0].values == [Decimal(1), None, None, Decimal(2)]
        assert [tick for _, tick in drawn.ticks] == ["Nov\n2024", "Dec\n", "Jan\n2025", "Feb\n"]

    @pytest.mark.parametrize(
        ("kind", "keys", "labels"),
        [
            ("quarter", [date(2024, 10, 1), date(2025, 4, 1)], ["Q4 2024", "Q1 2025", "Q2 2025"]),
            ("year", [2022, 2024], ["2022", "2023", "2024"]),
            ("year", [date(2022, 1, 1), date(2024, 1, 1)], ["2022", "2023", "2024"]),
        ],
    )
    def test_quarters_and_years_do_so_as_well(self, kind: str, keys: list[object], labels: list[str]) -> None:
        rows = [{"period": key, "net": Decimal(1)} for key in keys]
        report = Report("x", [Column("period", kind), Column("net", "money")], rows)  # type: ignore[arg-type]
        assert drawing(report).labels == labels

    def test_many_months_is_a_line_with_few_ticks(self) -> None:
        drawn = drawing(months(*((2010 + n // 12, n % 12 + 1, "1") for n in range(120))))
        assert drawn.kind == "line"
        assert len(drawn.ticks) <= 24
        assert drawn.ticks[0] == (0, "Jan\n2010")

    def test_names_is_lying_bars_in_the_order_of_the_report(self) -> None:
        drawn = drawing(customers([f"Customer number {n}" for n in range(5)]))
        assert (drawn.kind, drawn.is_lying, drawn.labels[0]) == ("barh", True, "Customer number 0")

    def test_many_names_is_the_first_and_the_sum_of_the_others(self) -> None:
        drawn = drawing(customers([f"Customer number {n}" for n in range(50)]))
        assert len(drawn.labels) == MOST_NAMES
        assert drawn.labels[-1] == "… 31 others"
        assert sum(value or 0 for value in drawn.series[0].values) == sum(Decimal(f"{1000 - n}.50") for n in range(50))

    def test_two_customers_of_one_name_stay_two_bars(self) -> None:
        report = customers(["Müller", "Müller"])
        report.columns = (*report.columns[:2], Column("contact_id"))
        drawn = drawing(report, "barh")
        assert drawn.labels == ["Müller", "Müller"]
        assert drawn.series[0].values == [Decimal("1000.50"), Decimal("999.50")]

    def test_ages_is_bars_of_their_own_colours(self) -> None:
        rows = [{"late": f"{n} days", "amount": Decimal(n)} for n in range(5)]
        report = Report("Ageing", [Column("late"), Column("amount", "money")], rows)
        assert drawing(report).kind == "bar"
        assert tuple(report.plot().figure.data[0].marker.color) == charts.AGES
        assert all(colour in report.plot().svg for colour in charts.AGES)

    @pytest.mark.parametrize(("language", "name"), [("en", "1–30 days"), ("de", "1–30 Tage")])
    def test_ages_side_by_side_is_a_stack_of_the_same_colours_that_says_that_they_are_days(
        self, language: str, name: str
    ) -> None:
        use_language(language)
        columns = [Column("customer"), *(Column(age, "money", "1–30") for age in AGE_COLUMNS), Column("total", "money")]
        rows = [{"customer": "K", **dict.fromkeys(AGE_COLUMNS, Decimal(2)), "total": Decimal(10)}]
        picture = Report("Open items", columns, rows).plot()
        assert tuple(trace.marker.color[0] for trace in picture.figure.data) == charts.AGES
        assert name in words_in(picture.svg)

    def test_tax_is_the_tax_and_not_what_is_taxed(self) -> None:
        columns = [Column("tax_rate", "percent"), Column("net", "money"), Column("tax", "money")]
        rows = [{"tax_rate": Decimal(r), "net": Decimal(100), "tax": Decimal(r)} for r in (0, 7, 19)]
        drawn = drawing(Report("VAT", columns, rows))
        assert drawn.labels == ["0 %", "7 %", "19 %"]
        assert drawn.series[0].values == [Decimal(0), Decimal(7), Decimal(19)]
        assert drawn.words.startswith("VAT: 3 values")
        assert drawing(Report("VAT", columns, rows), column="net").series[0].values == [Decimal(100)] * 3

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"number": "1"},
            {"unit": "h"},
            {"number": None},
        ],
    )
    def test_names_that_are_equal_stay_bars_of_their_own_whatever_tells_them_apart(
        self, more: dict[str, object]
    ) -> None:
        names = ("Workshop on site", "Workshop on site", "Advice by the hour", "Travel")
        rows = [
            {"article": name, "revenue": Decimal(40 - n), "share": Decimal(10 * n), **more}
            for n, name in enumerate(names)
        ]
        if "number" in more:
            rows[0]["number"] = "A-17"
        columns = [Column("article"), *map(Column, more), Column("revenue", "money"), Column("share", "percent")]
        drawn = drawing(Report("Articles", columns, rows))
        assert (drawn.kind, drawn.labels) == ("barh", list(names))
        assert [series.values for series in drawn.series] == [[Decimal(n) for n in (40, 39, 38, 37)]]

    def test_columns_that_add_up_is_a_stack_without_their_sum(self) -> None:
        drawn = drawing(ages())
        assert (drawn.kind, drawn.is_lying) == ("stacked", True)
        assert [series.name for series in drawn.series] == ["a", "b"]

    def test_two_labels_is_a_stack_over_time(self) -> None:
        rows = [{"month": date(2025, m, 1), "rate": Decimal(r), "tax": Decimal(m)} for m in (1, 2) for r in range(9)]
        report = Report("VAT", [Column("rate"), Column("month", "month"), Column("tax", "money")], rows)
        drawn = drawing(report)
        assert (drawn.kind, drawn.is_lying, len(drawn.series)) == ("stacked", False, MOST_SERIES)
        assert sum(value or 0 for series in drawn.series for value in series.values) == 27

    def test_names_by_names_is_a_stack_where_they_make_a_table(self) -> None:
        rows = [{"city": city, "kind": kind, "net": Decimal(1)} for city in "AB" for kind in "xyz"]
        drawn = drawing(Report("x", [Column("city"), Column("kind"), Column("net", "money")], rows))
        assert (drawn.labels, [series.name for series in drawn.series]) == (["A", "B"], ["x", "y", "z"])

    def test_days_is_a_line(self) -> None:
        rows = [{"date": date(2025, 1, n), "net": Decimal(n)} for n in range(1, 29)]
        assert drawing(Report("x", [Column("date", "date"), Column("net", "money")], rows)).kind == "line"

    def test_another_column_or_kind_may_be_asked_for(self) -> None:
        drawn = drawing(months((2025, 1, "1"), (2025, 2, "2")), "line", "documents")
        assert (drawn.kind, drawn.series[0].values) == ("line", [Decimal(3), Decimal(3)])


class TestThereIsNoPicture:
    @pytest.mark.parametrize(
        ("report", "arguments", "code"),
        [
            (Report("x", [Column("a")], [{"a": "b"}]), {}, "report_no_plot"),
            (Report("x", [Column("net", "money")], []), {}, "report_no_plot"),
            (Report("x", [Column("net", "money")], [{"net": None}]), {}, "report_no_plot"),
            (customers(["a"]), {"kind": "pie"}, "report_plot_kind"),
            (customers(["a"]), {"column": "gross"}, "report_no_column"),
        ],
    )
    def test_where_nothing_suits(self, report: Report, arguments: dict[str, str], code: str) -> None:
        with pytest.raises(BooksError) as refused:
            report.plot(**arguments)
        assert refused.value.code == code

    def test_of_several_currencies(self) -> None:
        report = Report("x", [Column("net", "money")], [{"net": Decimal(1), "currency": c} for c in ("EUR", "CHF")])
        with pytest.raises(BooksError, match="CHF, EUR"):
            report.plot()

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_without_plotly_and_matplotlib(self, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("plotly", "plotly.graph_objects", "matplotlib"):
            monkeypatch.setitem(sys.modules, module, None)
        use_language(language)
        with pytest.raises(BooksError) as refused:
            customers(["a"]).plot()
        lines = refused.value._render_traceback_()
        assert len(lines) == 2
        assert 'pip install "lexoffice_nb[plots]"' in lines[1]


class TestAPicture:
    def test_is_plotly_and_a_still_one_and_words(self) -> None:
        bundle, metadata = months((2025, 1, "1234.5"), (2025, 2, "-5")).plot()._repr_mimebundle_()
        words = f"Revenue. Net: 2 values, from −5.00{NB}€ (Feb 2025) to 1,234.50{NB}€ (Jan 2025)."
        assert set(bundle) == {"text/plain", charts.SVG, charts.PLOTLY}
        assert bundle["text/plain"] == words
        assert metadata[charts.SVG]["alt"] == words
        assert json.loads(json.dumps(bundle)) == bundle

    @pytest.mark.parametrize(("missing", "left"), [("matplotlib", charts.PLOTLY), ("plotly.graph_objects", charts.SVG)])
    def test_is_one_of_them_where_the_other_is_missing(
        self, missing: str, left: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, missing, None)
        bundle, _ = customers(["a"]).plot()._repr_mimebundle_()
        assert set(bundle) == {"text/plain", left}

    @pytest.mark.parametrize(("language", "tick"), [("en", f"1,000{NB}€"), ("de", f"1.000{NB}€")])
    def test_has_the_languages_numbers_and_months(self, language: str, tick: str) -> None:
        use_language(language)
        picture = months((2025, 3, "3234.56"), (2025, 10, "-0.56")).plot()
        words = words_in(picture.svg)
        assert tick in words
        assert "Mar" in " ".join(words) if language == "en" else "Mär" in " ".join(words)
        assert picture.figure.layout.separators == (".," if language == "en" else ",.")
        hovers = [words for _, words in picture.figure.data[0].customdata]
        assert hovers[0] == (f"3,234.56{NB}€" if language == "en" else f"3.234,56{NB}€")

    def test_has_another_colour_below_zero(self) -> None:
        picture = months((2025, 1, "5"), (2025, 2, "-5")).plot()
        assert list(picture.figure.data[0].marker.color) == [charts.BLUE, charts.RED]
        assert charts.BLUE in picture.svg
        assert charts.RED in picture.svg

    def test_has_binary_fractions_in_its_last_step_alone(self) -> None:
        drawn = drawing(months((2025, 1, "9007199254740993.05")))
        assert drawn.series[0].values == [Decimal("9007199254740993.05")]
        assert drawn.series[0].shown == [f"9,007,199,254,740,993.05{NB}€"]

    def test_names_itself_for_screen_readers(self) -> None:
        picture = customers(["Müller & Söhne <GmbH>"]).plot()
        root = ElementTree.fromstring(picture.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.alt
        assert root.findtext(f"{SVG}title") == "Customers"
        assert "Müller & Söhne <GmbH>" in picture.alt

    def test_is_the_same_each_time(self) -> None:
        assert ages().plot().svg == ages().plot().svg

    def test_is_drawn_of_every_kind(self) -> None:
        for report in (months((2025, 1, "1"), (2025, 2, "-2")), customers(["a", "b"]), ages()):
            for kind in ("bar", "barh", "line", "stacked"):
                picture = report.plot(kind)
                assert ElementTree.fromstring(picture.svg) is not None
                assert picture.figure.data

    @pytest.mark.parametrize("kind", ["bar", "barh", "stacked"])
    def test_says_what_makes_its_figures_doubtful_in_its_words_and_in_both_pictures(self, kind: str) -> None:
        note = "195 documents are not here as the list has them, so the figures are incomplete. "
        report = customers(["a", "b"])
        report.notes = (note + "books.sync() fetches them <i>.", "Second.")
        plain, picture = customers(["a", "b"]).plot(kind), report.plot(kind)
        assert picture.alt == f"{plain.alt} {report.notes[0]} Second."
        said = " ".join(words_in(picture.svg))
        assert "figures are incomplete. books.sync() fetches them <i>." in said
        assert said.count(WARNING) == 2
        noted = [
            text for text in ElementTree.fromstring(picture.svg).iter(f"{SVG}text") if text.get("class") == "lxo-note"
        ]
        assert len(noted) == 3
        layout, before = picture.figure.layout, plain.figure.layout
        assert layout.title.subtitle.text.count(charts._NOTED) == 3
        # Room for what is said, none of it taken from the bars.
        assert layout.height - layout.margin.t == before.height - before.margin.t
        assert layout.margin.t > before.margin.t

    def test_has_no_toolbar_of_another_language_and_no_way_to_somebody_elses_server(self) -> None:
        bundle, _ = customers(["a"]).plot()._repr_mimebundle_()
        config = bundle[charts.PLOTLY]["config"]
        assert (config["displayModeBar"], config["showTips"], config["plotlyServerURL"]) == (False, False, "")

    def test_shows_a_quote_as_it_is(self) -> None:
        figure = customers(["\"Adler\" Apotheke & 'Söhne'"]).plot("barh").figure
        assert "\"Adler\" Apotheke &amp; 'Söhne'" in figure.layout.yaxis.ticktext[0]

    def test_leaves_matplotlibs_settings_alone(self) -> None:
        import matplotlib

        before = dict(matplotlib.rcParams)
        assert customers(["a"]).plot().svg
        assert dict(matplotlib.rcParams) == before


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_bars_stand_out_in_both_themes(ground: str) -> None:
    colours = (*charts.COLOURS, *charts.AGES, charts.BLUE, charts.RED, charts.GREY)
    assert min(contrast(colour, ground) for colour in colours) > 3


def test_text_of_plotly_can_be_read_also_where_the_page_has_no_colour_for_it() -> None:
    assert contrast(charts.TEXT, "#ffffff") >= 4.5
    assert contrast(charts.TEXT, "#111111") > 4.1


def test_ages_go_from_calm_to_urgent_in_one_ramp() -> None:
    rgb = [[int(colour[n : n + 2], 16) for n in (1, 3, 5)] for colour in charts.AGES]
    reds, blues = [red for red, _, _ in rgb], [blue for _, _, blue in rgb]
    assert reds == sorted(reds)
    assert blues == sorted(blues, reverse=True)
    assert len(charts.AGES) == len(AGE_COLUMNS) == len(BUCKETS)
    assert AGE_COLUMNS == BUCKETS


@pytest.mark.parametrize("report", [months((2025, 1, "1"), (2025, 2, "-2")), customers(["a", "b"]), ages()])
def test_all_text_of_the_still_picture_can_be_read_on_its_own_ground_light_or_dark(report: Report) -> None:
    report.notes = ("12 documents are missing.",)
    for kind in ("bar", "barh", "line", "stacked"):
        root = ElementTree.fromstring(report.plot(kind).svg)
        (ground,) = (each for each in root.iter(f"{SVG}rect") if each.get("class") == "lxo-ground")
        assert (ground.get("width"), ground.get("height")) == ("100%", "100%")
        written = next(style.text or "" for style in root if style.tag == f"{SVG}style")
        dark = dict(re.findall(r"[.]lxo-(\w+) { fill: (#\w{6})", written))
        for element in root.iter(f"{SVG}text"):
            (colour,) = re.findall(r"fill: (#\w{6})", element.get("style") or "")
            assert contrast(colour, ground.get("fill") or "") >= 4.5
            assert contrast(dark[(element.get("class") or "").removeprefix("lxo-")], dark["ground"]) >= 4.5


@pytest.mark.parametrize("report", [months((2025, 1, "1"), (2025, 2, "-2")), customers(["a", "b"]), ages()])
def test_all_text_of_plotly_has_the_colour_of_the_page_that_it_stands_in(report: Report) -> None:
    report.notes = ("12 documents are missing.",)
    for kind in ("bar", "barh", "line", "stacked"):
        figure = report.plot(kind).figure.to_plotly_json()
        layout = figure["layout"]
        texts = [layout["title"]["text"].removeprefix("<b>"), *layout["title"]["subtitle"]["text"].split("<br>")]
        for axis in (layout["xaxis"], layout["yaxis"]):
            texts += axis["ticktext"] if "ticktext" in axis else [axis["tickprefix"] + "0" + axis["ticksuffix"]]
        for trace in figure["data"]:
            texts += [trace["name"], *trace.get("text", [])]
        assert all(re.match(r"<span style='[^']*var\(--jp-ui-font-color1", words) for words in texts), texts


@pytest.mark.parametrize("name", NAMES)
class TestThreat35:
    def pictures(self, name: str) -> list[charts.Picture]:
        report = customers([name, "b"])
        report.title = name
        pairs = ((name, name), (name, "b"), ("z", name), ("z", "b"))
        stacked = Report(name, [Column("x", label=name), Column("y", label=name), Column("net", "money", name)],
                         [{"x": x, "y": y, "net": Decimal(1)} for x, y in pairs])  # fmt: skip
        return [report.plot("barh"), report.plot("bar"), stacked.plot("stacked")]

    def test_threat_35_the_still_picture_has_text_and_no_markup_of_a_name(self, name: str) -> None:
        for picture, times in zip(self.pictures(name), (3, 3, 4), strict=True):
            root = ElementTree.fromstring(picture.svg)
            kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
            assert kinds <= {"svg", "title", "defs", "style", "g", "path", "text", "tspan", "use", "clipPath", "rect"}
            shown = "".join(words_in(picture.svg)).replace("\xa0", " ")
            if name.isprintable():
                assert shown.count(name) == times  # the title, the words beneath it, a label; the legend of a stack
            # Nothing but what lies in the picture itself is referred to.
            links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
            assert all(link.startswith("#") for link in links)
            assert not re.findall(r"url\((?!#)", picture.svg)

    def test_threat_35_plotly_gets_no_markup_of_a_name(self, name: str) -> None:
        for picture in self.pictures(name):
            figure = picture.figure.to_plotly_json()
            layout = figure["layout"]
            axis = layout["xaxis"] if "ticktext" in layout["xaxis"] else layout["yaxis"]
            title = layout["title"]["text"].removeprefix("<b>").removesuffix("</b>")
            texts = [title, layout["title"]["subtitle"]["text"], *axis["ticktext"]]
            for trace in figure["data"]:
                texts += [
                    trace["name"],
                    *trace.get("text", []),
                    *(word for pair in trace["customdata"] for word in pair),
                ]
                assert (
                    re.sub(
                        r"%\{customdata\[[01]\]\}|<br>|</?b>|<extra></extra>|[$%{}]", "", trace["hovertemplate"]
                    ).count("<")
                    == 0
                )
            for words in (re.sub("<span style='[^'<>]*'>|</span>", "", each) for each in texts):
                assert not re.search(r"[<>${]", words.removesuffix("<br>")), words


def test_threat_35_a_picture_refers_to_nothing_on_the_net() -> None:
    bundle, _ = ages().plot()._repr_mimebundle_()
    written = json.dumps(bundle)
    addresses = set(re.findall(r"https?://[^\\\"\s]+", written))
    assert addresses <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}  # names, not addresses
    assert "<script" not in written
