"""Staying signed in, as a person meets it in JupyterLab: the tick, the next kernel, the next notebook."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Jupyter, Notebook
from tests.browser.signing_in import LOAD, LOGIN, PATIENCE, allow, login_link, sign_in, status

COMPANY = "lexoffice.get('/v1/profile').json()['companyName']"
LABELS = {"en-US": "Stay signed in on this machine", "de-DE": "Auf diesem Rechner angemeldet bleiben"}
OTHER = "Steuerkanzlei Beispiel PartG mbB"


@pytest.fixture(autouse=True)
def accounts(jupyter: Jupyter) -> Iterator[Path]:
    """The folder of what is kept; nothing of it is left for another test."""
    folder = jupyter.data / "lexoffice_nb" / "accounts"

    def empty() -> None:
        for file in folder.glob("*") if folder.exists() else ():
            file.unlink()

    empty()
    yield folder
    empty()


def tick(notebook: Notebook, locale: str = "en-US", cell: int = 0) -> Locator:
    return notebook.output(cell).get_by_role("checkbox", name=LABELS[locale])


def hint(box: Locator) -> Locator:
    """What a screen reader says after the name of the box."""
    described_by = box.get_attribute("aria-describedby")
    assert described_by
    return box.page.locator(f"[id='{described_by}']")


def sign_in_remembered(notebook: Notebook) -> None:
    """The tick, and the three clicks."""
    notebook.run(0)
    link = login_link(notebook)
    tick(notebook).check()
    expect(hint(tick(notebook))).to_contain_text("Until")
    tab = notebook.popup(link)
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")


def secrets_in(folder: Path) -> list[bytes]:
    """The tokens that are kept."""
    tokens = [json.loads(file.read_text())["tokens"] for file in folder.glob("*.json")]
    return [str(one[name]).encode() for one in tokens for name in ("access_token", "refresh_token", "id_token")]


def test_after_the_tick_a_restarted_kernel_is_signed_in_by_run_all_without_a_click(
    notebook: Notebook, accounts: Path
) -> None:
    notebook.open([LOGIN, COMPANY], save_widget_state=True)
    sign_in_remembered(notebook)
    secrets = secrets_in(accounts)
    assert len(secrets) == 3
    notebook.restart_kernel()
    pages = len(notebook.context.pages)
    notebook.run_all()
    assert "Muster & Söhne GmbH" in notebook.output_text(1)
    expect(status(notebook)).to_contain_text("Signed in")
    receipt = notebook.output_text(0)
    assert "Remembered" in receipt
    assert "until" in receipt
    assert str(accounts) in receipt
    assert "Muster & Söhne GmbH" in receipt
    assert len(notebook.context.pages) == pages
    notebook.save()
    kept = notebook.file_bytes()
    assert b"_esm" in kept, "the state of the widgets is saved"
    assert [secret for secret in secrets if secret in kept] == []
    assert notebook.page_errors == []


def test_a_second_notebook_is_signed_in_without_a_click(new_notebook: Callable[..., Notebook]) -> None:
    first, second = new_notebook(), new_notebook()
    first.open([LOGIN])
    sign_in_remembered(first)
    second.open([LOGIN, COMPANY, "%lexoffice_status"])
    second.run_all()
    assert "Muster & Söhne GmbH" in second.output_text(1)
    assert "Remembered" in second.output_text(0)
    assert f"({second.path.name})" in second.output_text(2), "which notebook used it"


def test_without_the_tick_a_restarted_kernel_shows_a_link(notebook: Notebook, accounts: Path) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    assert not list(accounts.glob("*.json"))
    notebook.restart_kernel()
    notebook.run(0)
    login_link(notebook)


def test_the_tick_is_reached_and_set_with_the_keyboard_alone(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    login_link(notebook).focus()
    box = tick(notebook)
    for _ in range(6):
        notebook.page.keyboard.press("Tab")
        if box.evaluate("node => node.getRootNode().activeElement === node"):
            break
    expect(box).to_be_focused()
    cells = notebook.page.locator(".jp-Notebook-cell").count()
    notebook.page.keyboard.press("Space")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(hint(box)).to_contain_text("Until")
    notebook.page.keyboard.press("Space")
    expect(box).not_to_be_checked()
    expect(hint(box)).not_to_contain_text("Until")
    assert notebook.page.locator(".jp-Notebook-cell").count() == cells, "the notebook took no key for a command"


def test_the_tick_has_a_name_and_a_description_and_its_words_tick_it(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    login_link(notebook)
    box = tick(notebook)
    expect(box).to_have_count(1)
    expect(box).not_to_be_checked()
    expect(box).to_have_accessible_name(LABELS["en-US"])
    expect(box).to_have_accessible_description("For 30 days, for your other notebooks too; signing out ends it.")
    notebook.output(0).get_by_text(LABELS["en-US"]).click()
    expect(box).to_be_checked()
    expect(hint(box)).to_have_attribute("aria-live", "polite")
    place = box.bounding_box()
    assert place is not None
    assert min(place["width"], place["height"]) >= 13


def test_a_tick_in_one_view_is_seen_in_the_other(notebook: Notebook) -> None:
    notebook.open([LOGIN, "%lexoffice_login"])
    notebook.run_all()
    login_link(notebook, 0)
    login_link(notebook, 1)
    tick(notebook, cell=1).check()
    expect(tick(notebook, cell=0)).to_be_checked()
    expect(hint(tick(notebook, cell=0))).to_contain_text("Until")


def sign_in_as_other(tab: Page, german: bool) -> None:
    tab.get_by_role("button", name="Jonas Beispiel").click()
    tab.get_by_role("button", name="Erlauben" if german else "Allow").click()


@pytest.mark.parametrize(
    ("theme", "locale"), [pytest.param("light", "en-US", marks=pytest.mark.soak), ("dark", "de-DE")]
)
def test_tick_receipt_and_the_question_for_the_right_account_in_both_themes_and_languages(
    new_notebook: Callable[..., Notebook], theme: str, locale: str
) -> None:
    notebook = new_notebook(theme=theme, locale=locale)
    german, suffix = locale == "de-DE", f"{theme}-{locale[:2]}"
    notebook.open([LOGIN, "%lexoffice_login --force", "lexoffice.signed_in"])
    notebook.run(0)
    link_name = "Anmeldeseite öffnen" if german else "Open login page"
    link = notebook.output(0).get_by_role("link", name=link_name)
    expect(link).to_be_visible(timeout=PATIENCE)
    notebook.screenshot(f"remember-unticked-{suffix}", notebook.output(0))
    box = tick(notebook, locale)
    box.check()
    expect(hint(box)).to_contain_text("Bis" if german else "Until")
    notebook.screenshot(f"remember-ticked-{suffix}", notebook.output(0))
    tab = notebook.popup(link)
    tab.get_by_role("button", name="Erika Muster").click()
    tab.get_by_role("button", name="Erlauben" if german else "Allow").click()
    expect(status(notebook)).to_contain_text("Angemeldet" if german else "Signed in")
    notebook.screenshot(f"remember-receipt-{suffix}", notebook.output(0))
    notebook.run(1)
    link = notebook.output(1).get_by_role("link", name=link_name)
    expect(link).to_be_visible(timeout=PATIENCE)
    notebook.context.clear_cookies(domain="127.0.0.1")  # another person sits there
    tab = notebook.popup(link)
    sign_in_as_other(tab, german)
    expect(tab.get_by_role("status")).to_be_visible()
    expect(status(notebook, 1)).to_contain_text("das richtige Konto?" if german else "the right account?")
    notebook.screenshot(f"remember-account-{suffix}", notebook.output(1))
    card = notebook.output(1)
    expect(card).to_contain_text("Muster & Söhne GmbH")
    notebook.run(2)
    assert notebook.output_text(2) == "False"
    card.get_by_role("button", name=OTHER).click()
    expect(status(notebook, 1)).to_contain_text("Angemeldet" if german else "Signed in")
    notebook.run(2)
    assert notebook.output_text(2) == "True"
    assert notebook.page_errors == []


def test_the_profile_and_the_organisation_are_on_the_receipt(notebook: Notebook) -> None:
    notebook.open([f"{LOAD}\n%lexoffice_login --profile kanzlei-a"])
    sign_in_remembered(notebook)
    receipt = notebook.output_text(0)
    assert "kanzlei-a" in receipt
    assert "Muster & Söhne GmbH" in receipt
