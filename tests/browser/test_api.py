"""What a session gives, as a person sees it in JupyterLab: lists, records, errors, names that are markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import THEMES

if TYPE_CHECKING:
    from tests.browser.conftest import Notebook

SIGN_IN = """import os
os.environ["LEXOFFICE_SANDBOX_PERSON"] = "demo"
%load_ext lexoffice_nb
%config LexofficeMagics.language = {language!r}
import lexoffice_nb
lexoffice = lexoffice_nb.login(interactive=False)"""
CELLS = (
    'lexoffice.voucherlist(voucherType="invoice", sort="voucherDate,DESC")',
    'lexoffice.invoices.get(lexoffice.voucherlist(voucherStatus="paid", voucherType="invoice").first().id)',
    'lexoffice.voucherlist(voucherStats="open")',
    'lexoffice.contacts(name="onerror").first()',
    "from lexoffice_nb.api.records import read\nread({'name': '$a_1$ und $b_2$ GmbH'})",
    "lexoffice.invoices",
)


@pytest.mark.parametrize(("theme", "language"), [pytest.param("light", "en", marks=pytest.mark.soak), ("dark", "de")])
def test_threat_35_lists_records_and_errors_read_well_and_show_markup_literally(
    notebook: Notebook, theme: str, language: str
) -> None:
    notebook.open([SIGN_IN.format(language=language), *CELLS])
    notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme])
    dialogs: list[str] = []
    notebook.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    try:
        for number in range(len(CELLS) + 1):
            notebook.run(number)
        rows = notebook.output(1).locator("tbody tr")
        expect(rows).to_have_count(50)
        expect(notebook.output(1).locator("caption")).to_contain_text("/ 240")
        expect(notebook.output(2)).to_contain_text("lineItems")
        says = "has no filter voucherStats" if language == "en" else "hat keinen Filter voucherStats"
        expect(notebook.output(3)).to_contain_text(says)
        expect(notebook.output(4)).to_contain_text("<img src=x onerror=alert(1)> & Co. KG")
        assert notebook.output(4).locator("img").count() == 0
        expect(notebook.output(5)).to_contain_text("$a_1$ und $b_2$ GmbH")  # no formula either
        expect(notebook.output(6)).to_contain_text("invoices")
        for number in range(1, len(CELLS) + 1):
            notebook.screenshot(f"api-{number}-{theme}-{language}", notebook.cell(number))
    finally:
        notebook.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES["light"]
        )
    assert dialogs == []
