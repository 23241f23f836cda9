"""A report in JupyterLab: its table and its pictures in both themes and languages, without a request to elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from nbformat.v4 import new_notebook as new_notebook_file
from playwright.sync_api import expect

from lexoffice_nb.texts import use_language
from tests.browser.conftest import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.conftest import Notebook

HOSTILE = "<img src=x onerror=alert(1)> & Co. KG"
REPORTS = """from datetime import date
from decimal import Decimal
from lexoffice_nb.books.report import Column, Report
from lexoffice_nb.texts import text, use_language
use_language({language!r})
sums = "12034.11 15900.5 9120.2 22011 -1820.4 18000 24010.9 13333.33 8000 19500 21000.4 26000 17000 14500".split()
months = [date(2024 + (m + 5) // 12, (m + 5) % 12 + 1, 1) for m in range(len(sums))]
rows = [{{"month": m, "net": Decimal(s), "documents": 1200 + m.month}} for m, s in zip(months, sums)]
revenue = Report("Revenue by month <i>2024</i>", [Column("month", "month"), Column("net", "money"),
                 Column("documents", "count")], rows,
                 total={{"net": sum(map(Decimal, sums)), "documents": sum(r["documents"] for r in rows)}},
                 definition="Net amounts of invoices, less credit notes, by the day of the document.",
                 notes=["12 documents are missing."])
names = ["Bäckerei Müller & Söhne GmbH", {hostile!r}, "$a$ {{x}} %{{y}} <b>x</b> <a href='https://example.org'>y</a>",
         "abc\\u202edcba Ltd", "Muster AG", "Gutschrift AG"]
customers = Report("Customers", [Column("customer"), Column("revenue", "money"), Column("share", "percent")],
                   [{{"customer": n, "revenue": Decimal(s), "share": Decimal(p)}} for n, s, p in
                    zip(names, "48210.50 31020 22010.1 9000 812.35 -4210.99".split(), "45 29 21 8.4 0.8 -3.9".split())])
ages = ["a", "b", "c", "d", "e"]
labels = ["not due", "1–30", "31–60", "61–90", "90+"]
owed = [[9000 * n, 4000, 1000 * (6 - n), 500 * n, 3000 * (n % 2)] for n in range(1, 6)]
ageing = Report("Open items by age", [Column("customer"), *(Column(a, "money", l) for a, l in zip(ages, labels)),
                Column("open", "money")],
                [{{"customer": f"Kunde {{n}}", **{{a: Decimal(s) for a, s in zip(ages, o)}}, "open": Decimal(sum(o))}}
                 for n, o in enumerate(owed, 1)])
"""
STILL = """from IPython.display import SVG
SVG(customers.plot().svg)"""
CELLS = ("revenue", "customers", "revenue.plot()", "customers.plot()", "ageing.plot()", STILL)


def elsewhere(notebook: Notebook) -> list[str]:
    """The addresses that a page asked for and that are not on this machine."""
    local = ("localhost", "127.0.0.1", None)
    return [url for url in notebook.urls if urlsplit(url).hostname not in local]


@pytest.mark.parametrize(("theme", "language"), [pytest.param("light", "en", marks=pytest.mark.soak), ("dark", "de")])
def test_threat_35_reports_and_pictures_show_markup_literally_and_ask_nobody_elsewhere(
    notebook: Notebook, theme: str, language: str
) -> None:
    notebook.open([REPORTS.format(language=language, hostile=HOSTILE), *CELLS])
    notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme])
    dialogs: list[str] = []
    notebook.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    try:
        for number in range(len(CELLS) + 1):
            notebook.run(number)
        expect(notebook.output(1).locator("caption")).to_have_text("Revenue by month <i>2024</i>")
        expect(notebook.output(1).locator("tfoot")).to_contain_text("Total" if language == "en" else "Summe")
        expect(notebook.output(1)).to_contain_text("12,034.11" if language == "en" else "12.034,11")
        expect(notebook.output(2)).to_contain_text(HOSTILE)
        # Time for JupyterLab to set a formula: it does so after the output is shown.
        notebook.page.wait_for_timeout(500)
        expect(notebook.output(2)).to_contain_text("$a$ {x}")
        assert notebook.output(2).locator("img").count() == 0
        for number in (3, 4, 5):
            notebook.cell(number).scroll_into_view_if_needed()
            expect(notebook.output(number).locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert notebook.output(2).locator("mjx-container").count() == 0
        words = "Revenue: 6 values, from −4,210.99" if language == "en" else "Umsatz: 6 Werte, von −4.210,99"
        expect(notebook.output(4)).to_contain_text(words)  # what a screen reader finds in the picture
        expect(notebook.output(4).locator(".js-plotly-plot")).to_contain_text("<img src=x onerror=alert(1)> & …")
        assert notebook.output(4).locator("img[src], a[href*='example']").count() == 0
        still = notebook.output(6).locator("img")
        expect(still).to_be_visible()
        assert still.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
        for number in range(1, len(CELLS) + 1):
            notebook.page.mouse.move(0, 0)
            notebook.screenshot(f"report-{number}-{theme}-{language}", notebook.cell(number))
        notebook.save()
        output = nbformat.reads(notebook.file_text(), 4).cells[3].outputs[0]
        # Plotly's part of JupyterLab adds an image/png of its own.
        assert set(output.data) >= {"text/plain", "image/svg+xml", "application/vnd.plotly.v1+json"}
    finally:
        notebook.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES["light"]
        )
    assert dialogs == []
    assert notebook.page_errors == []
    assert elsewhere(notebook) == []


def test_threat_35_opening_a_notebook_with_pictures_asks_nobody_elsewhere(
    new_notebook: Callable[..., Notebook], tmp_path: Path
) -> None:
    """As it comes from somebody else: JupyterLab does not trust it, and runs nothing."""
    written: dict[str, Any] = {}
    try:
        exec(REPORTS.format(language="en", hostile=HOSTILE), written)
        data, metadata = written["customers"].plot()._repr_mimebundle_()
    finally:
        use_language(None)
    cell = new_code_cell("customers.plot()", outputs=[new_output("display_data", data=data, metadata=metadata)])
    html = {"text/html": written["customers"]._repr_html_()}
    table = new_code_cell("customers", outputs=[new_output("display_data", html)])
    path = tmp_path / "pictures.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook_file(cells=[table, cell], metadata={"kernelspec": kernel}), path)
    notebook = new_notebook()
    notebook.open(path)
    expect(notebook.output(1).locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(notebook.output(0)).to_contain_text(HOSTILE)
    assert elsewhere(notebook) == []
    assert notebook.page_errors == []
