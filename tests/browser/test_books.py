"""The books as a person sees them come in JupyterLab: held, gone on with, cut off, and complete in the end."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.sandbox.faults import Faults
from tests.browser.conftest import THEMES, Notebook
from tests.browser.signing_in import allow, login_link, sign_in, status
from tests.browser.test_progress import AA, CONTRASTS, SPOKEN_BY_ITSELF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECOND_NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_explore_invoices.ipynb"
SIGN_IN = """import os
os.environ.update(XDG_DATA_HOME={folder!r}, LEXOFFICE_API_KEY=open({folder!r} + "/key").read())
%load_ext lexoffice_nb
%lexoffice_login --api-key"""
SYNC = "lexoffice.books.sync()"
OWN = "sum(range(1000))"
COUNT = 'lexoffice.books.sql("SELECT count(*) AS n FROM documents").rows[0]["n"]'
IN_FULL = re.compile(r"^/v1/(?!voucherlist|profile|contacts)[a-z-]+/[0-9a-f-]{36}$")
LEAST_HEIGHT = 200  # pixels, of a picture; a change of theme is a change of size for JupyterLab
SLOW = 0.08  # seconds for each answer


@pytest.fixture
def slow_books(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that answers slowly, announced as the one of whoever has `tmp_path` for their data."""
    folder = tmp_path / "lexoffice_nb" / "sandbox"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    with Sandbox(data_dir=folder, settings=SandboxSettings(faults=Faults(slow=SLOW))) as box:
        address = process.SandboxAddress(box.url, os.getpid(), box.instance)
        process.write_address(folder, address)
        (tmp_path / "key").write_text(box.make_api_key())  # nobody has to click
        yield box
        process.remove_address(folder, address)


def fetched(box: Sandbox) -> Counter[str]:
    """How often each document was asked for."""

    return Counter(each.path for each in box.requests if IN_FULL.match(each.path))


def show_theme(notebook: Notebook, theme: str) -> None:
    notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme])
    expect(notebook.page.locator("body")).to_have_attribute(
        "data-jp-theme-light", "true" if theme == "light" else "false"
    )


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


def test_a_sync_is_held_goes_on_survives_the_kernel_and_fetches_nothing_twice(
    notebook: Notebook, slow_books: Sandbox, tmp_path: Path
) -> None:
    notebook.open([SIGN_IN.format(folder=str(tmp_path)), SYNC, OWN, COUNT])
    notebook.run(0)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1)
    card = notebook.output(1)
    bar = card.get_by_role("progressbar", name="Documents read")
    expect(bar).to_be_visible()
    expect(card).to_contain_text(re.compile(r"\d+ of \d{3} documents · about \d+ s left"))
    assert bar.locator(SPOKEN_BY_ITSELF).count() == 0
    expect(bar).to_have_attribute("aria-valuetext", re.compile("of 357 documents"))
    expect(status(notebook, 1)).to_have_text("Fetching documents")
    try:
        for theme in ("light", "dark"):
            show_theme(notebook, theme)
            assert min(card.locator(".lxo-card").evaluate(CONTRASTS)) >= AA
            notebook.screenshot(f"sync-{theme}-fetching", notebook.cell(1))
        # The person's own cells run beside it, and their outputs are their own.
        notebook.run(2)
        assert notebook.output_text(2) == "499500"
        assert notebook.output(1).locator(".jp-OutputArea-child").count() == 1

        # Held and gone on with by the keyboard alone.
        button(card, "Pause").focus()
        notebook.page.keyboard.press("Enter")
        expect(status(notebook, 1)).to_have_text("Paused")
        expect(button(card, "Resume")).to_be_focused()
        time.sleep(2 * SLOW)  # what was under way
        before = len(slow_books.requests)
        notebook.screenshot("sync-dark-paused", notebook.cell(1))
        time.sleep(5 * SLOW)
        assert len(slow_books.requests) == before
        notebook.page.keyboard.press("Space")
        expect(status(notebook, 1)).to_have_text("Fetching documents")
    finally:
        show_theme(notebook, "light")
    expect(button(card, "Pause")).to_be_focused()

    # Another view of the same card, as another window has one.
    notebook.page.evaluate("() => { panel.content.activeCellIndex = 1; }")
    notebook.page.evaluate("() => jupyterapp.commands.execute('notebook:create-output-view')")
    expect(notebook.page.get_by_role("progressbar", name="Documents read")).to_have_count(2)
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget !== panel && jupyterapp.shell.currentWidget.close()")
    notebook.page.evaluate("() => jupyterapp.shell.activateById(panel.id)")

    # The kernel dies, and the card has nobody to ask.
    os.kill(int(notebook.execute("import os; os.getpid()")), signal.SIGKILL)
    stored = sum(fetched(slow_books).values())
    assert 0 < stored < 357
    dialog = notebook.page.locator(".jp-Dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button").last.click()
    notebook.wait_until_idle()
    expect(status(notebook, 1)).to_contain_text("Run the cell again")
    expect(bar).to_have_count(0)
    notebook.screenshot("sync-kernel-gone", notebook.cell(1))

    # The same two cells once more, and it is complete.
    slow_books.faults.slow = 0.01
    (tmp_path / "key").write_text(slow_books.make_api_key())
    notebook.run(0)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1)
    expect(status(notebook, 1)).to_have_text("Up to date")
    expect(card).to_contain_text("not encrypted")
    notebook.screenshot("sync-light-done", notebook.cell(1))
    notebook.run(3)
    assert notebook.output_text(3) == "357"
    times = fetched(slow_books)
    assert len(times) == 357
    # All but the one that was on its way when the kernel died came once.
    assert sum(times.values()) <= 358

    # Nothing has changed: a handful of requests, and the same answer at once.
    before = len(slow_books.requests)
    notebook.run(1)
    expect(status(notebook, 1)).to_have_text("Up to date")
    assert len(slow_books.requests) - before <= 12
    notebook.save()
    assert (tmp_path / "key").read_text() not in notebook.file_text()
    assert notebook.page_errors == []


@pytest.mark.soak  # tests/notebook/test_second_notebook.py runs it without a browser
@pytest.mark.timeout(300)
def test_the_second_notebook_gives_its_answers_and_pictures_after_three_clicks(
    new_notebook: Callable[..., Notebook],
) -> None:
    notebook = new_notebook()
    notebook.open(SECOND_NOTEBOOK)
    cells = [n for n, cell in enumerate(nbformat.read(SECOND_NOTEBOOK, as_version=4).cells) if cell.cell_type == "code"]
    login, sync, *questions = cells
    notebook.run(login)
    tab = notebook.popup(login_link(notebook, login))
    sign_in(tab)
    allow(tab)
    expect(status(notebook, login)).to_have_text("Signed in")
    notebook.run(sync)
    expect(status(notebook, sync)).to_have_text(re.compile("Fetching documents|Up to date"))
    for number in questions:
        notebook.run(number)
        assert "Error" not in notebook.output_text(number), notebook.output_text(number)
    expect(status(notebook, sync)).to_have_text("Up to date")
    try:
        for theme in ("light", "dark"):
            show_theme(notebook, theme)
            for number in cells:
                notebook.cell(number).scroll_into_view_if_needed()
                notebook.screenshot(f"explore-{number:02}-{theme}", notebook.cell(number))
                for picture in notebook.output(number).locator(".js-plotly-plot").all():
                    assert (picture.bounding_box() or {"height": 0})["height"] > LEAST_HEIGHT
    finally:
        show_theme(notebook, "light")
    pictures = [n for n in questions if notebook.output(n).locator(".js-plotly-plot, svg.main-svg").count()]
    assert len(pictures) == 3
    assert notebook.page_errors == []
