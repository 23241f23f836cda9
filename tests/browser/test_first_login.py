"""The sign-in as a person does it: a real JupyterLab, a real Chromium, the sandbox's own pages."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Notebook

FIRST_NOTEBOOK = ROOT / "notebooks" / "01_first_login.ipynb"
LOAD = "%load_ext lexoffice_nb"


def sign_in_and_allow(page: Page) -> None:
    """The second and the third click."""
    page.get_by_role("button", name="Sign in as Erika Muster").click()
    page.get_by_role("button", name="Allow").click()


def test_three_clicks_and_no_typing_give_an_authenticated_session(notebook: Notebook) -> None:
    notebook.open(FIRST_NOTEBOOK)
    notebook.run(2)
    link = notebook.output(2).get_by_role("link", name="Open login page")
    expect(link).to_be_visible(timeout=30_000)
    notebook.screenshot("first-login-1-card")
    tab = notebook.popup(link)
    notebook.screenshot("first-login-2-login-page", tab)
    tab.get_by_role("button", name="Sign in as Erika Muster").click()
    notebook.screenshot("first-login-3-consent", tab)
    tab.get_by_role("button", name="Allow").click()
    expect(tab.get_by_role("status")).to_contain_text("go back to the notebook")
    notebook.screenshot("first-login-4-done", tab)
    expect(notebook.output(2).get_by_role("status")).to_contain_text("Signed in")
    notebook.screenshot("first-login-5-receipt")
    for cell in (4, 6, 8, 9, 11):
        notebook.run(cell)
    notebook.page.mouse.wheel(0, 600)
    notebook.screenshot("first-login-6-invoices")
    assert "Muster & Söhne GmbH" in notebook.output_text(4)
    assert "10 / 240" in notebook.output_text(6)
