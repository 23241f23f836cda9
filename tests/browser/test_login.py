"""The sign-in as a person meets it, with what goes wrong on the way: a real JupyterLab and a real Chromium."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from lexoffice_nb.sandbox import person
from tests.browser.conftest import ROOT, Notebook
from tests.browser.signing_in import (
    LOAD,
    LOGIN,
    PASTE_ONLY,
    allow,
    answer_of,
    box,
    login_link,
    paste,
    refuse,
    sign_in,
    status,
)

FIRST_NOTEBOOK = ROOT / "notebooks" / "01_first_login.ipynb"


def test_three_clicks_and_no_typing_give_an_authenticated_session(notebook: Notebook) -> None:
    notebook.open(FIRST_NOTEBOOK, new_page=True)
    expect(notebook.page.get_by_text("Jupyter news")).to_have_count(0)  # the first click is not for a question
    notebook.run(2)
    link = login_link(notebook, 2)
    notebook.screenshot("first-login-1-card")
    tab = notebook.popup(link)  # the first click
    notebook.screenshot("first-login-2-login-page", tab)
    tab.get_by_role("button", name="Sign in as Erika Muster").click()  # the second
    notebook.screenshot("first-login-3-consent", tab)
    tab.get_by_role("button", name="Allow").click()  # the third
    expect(tab.get_by_role("status")).to_contain_text("go back to the notebook")
    notebook.screenshot("first-login-4-done", tab)
    expect(status(notebook, 2)).to_contain_text("Signed in")
    notebook.screenshot("first-login-5-receipt")
    for cell in (4, 6, 8, 9, 11):
        notebook.run(cell)
    notebook.screenshot("first-login-6-invoices")
    assert "Muster & Söhne GmbH" in notebook.output_text(4)
    assert "50 / 240" in notebook.output_text(6)
    assert "EUR together" in notebook.output_text(8)
    assert notebook.page_errors == []


def test_the_receipt_names_company_person_scopes_life_and_renewal(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    receipt = notebook.output_text(0)
    for said in (
        "Muster & Söhne GmbH",
        "Erika Muster",
        "invoice.read",
        "Access until",
        "automatic",
        "memory only",
        "Use it as lexoffice",
    ):
        assert said in receipt


def test_a_pasted_callback_signs_in_where_nothing_listens(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY, "lexoffice.get('/v1/profile').json()['companyName']"])
    notebook.run(0)
    paste(notebook, answer_of(notebook))
    expect(status(notebook)).to_contain_text("Signed in")
    expect(box(notebook)).to_have_count(0)
    notebook.run(1)
    assert "Muster & Söhne GmbH" in notebook.output_text(1)


def test_a_typed_callback_is_taken_with_enter(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY])
    notebook.run(0)
    url = answer_of(notebook)
    box(notebook).type(url)
    box(notebook).press("Enter")
    expect(status(notebook)).to_contain_text("Signed in")


def test_a_pasted_callback_wins_while_the_loopback_listens(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    link = login_link(notebook)
    # The person's browser is elsewhere: it never reaches the listener, so only the address is there to be pasted.
    paste(notebook, person.sign_in(str(link.get_attribute("href"))))
    expect(status(notebook)).to_contain_text("Signed in")


def test_a_wrong_state_is_explained_and_the_right_one_then_works(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY])
    notebook.run(0)
    url = answer_of(notebook)
    paste(notebook, url.replace("state=", "state=x"))
    card = notebook.output(0)
    expect(card).to_contain_text("Invalid state parameter – possible CSRF attack")
    expect(card).to_contain_text("use the newest login link")
    notebook.screenshot("wrong-state")
    paste(notebook, url)
    expect(status(notebook)).to_contain_text("Signed in")


def test_a_stray_request_to_the_loopback_does_not_end_the_wait(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    link = login_link(notebook)
    redirect_uri = link.evaluate("a => new URL(a.href).searchParams.get('redirect_uri')")
    stray = notebook.context.new_page()
    stray.goto(f"{redirect_uri}?code=made-up&state=made-up")
    expect(stray.get_by_role("status")).to_contain_text("Invalid state parameter")
    stray.close()
    tab = notebook.popup(link)
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")


def test_consent_refused_is_explained_and_a_new_link_can_be_allowed(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    first = login_link(notebook).get_attribute("href")
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    refuse(tab)
    expect(tab.get_by_role("status")).to_contain_text("refused")
    expect(tab.get_by_role("status")).to_contain_text("it has a new login link")
    expect(notebook.output(0)).to_contain_text("The permission was refused")
    notebook.screenshot("consent-refused")
    assert login_link(notebook).get_attribute("href") != first
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("hello there", "no address of a web page"),
        ("SplxlOBeZQQYbYS6WxSbIA-and-more", "looks like a code alone"),
        ("https://elsewhere.example/callback?code=1&state=2", "not to where this sign-in comes back"),
    ],
)
def test_a_wrong_paste_is_explained_and_the_card_goes_on(notebook: Notebook, pasted: str, said: str) -> None:
    notebook.open([PASTE_ONLY])
    notebook.run(0)
    login_link(notebook)
    paste(notebook, pasted)
    expect(notebook.output(0)).to_contain_text(said)
    expect(box(notebook)).to_have_value("")
    login_link(notebook)


def test_the_login_link_pasted_by_mistake_is_recognised(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY])
    notebook.run(0)
    paste(notebook, str(login_link(notebook).get_attribute("href")))
    expect(notebook.output(0)).to_contain_text("the address of the login page, from before the sign-in")


def test_the_cell_run_twice_shows_the_same_sign_in_again(notebook: Notebook) -> None:
    notebook.open([LOGIN, "%lexoffice_login"])
    notebook.run(0)
    href = login_link(notebook).get_attribute("href")
    tab = notebook.popup(login_link(notebook))
    notebook.run(1)
    assert login_link(notebook, 1).get_attribute("href") == href
    sign_in(tab)  # the older tab is still good
    allow(tab)
    expect(status(notebook, 0)).to_contain_text("Signed in")
    expect(status(notebook, 1)).to_contain_text("Signed in")
    notebook.run(0)
    assert "Muster & Söhne GmbH" in notebook.output_text(0)


def test_run_all_stops_after_the_card_with_two_lines_and_goes_on_when_run_again(notebook: Notebook) -> None:
    notebook.open([LOGIN, "lexoffice.get('/v1/profile').json()['companyName']", "print('the end')"])
    notebook.run_all()
    lines = notebook.output_text(1).strip().splitlines()
    assert lines == ["SignedOut: Nobody is signed in yet.", "→ Finish the sign-in above, then run this cell again."]
    assert notebook.output_text(2) == ""
    notebook.screenshot("run-all-stops")
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run_all()
    assert "Muster & Söhne GmbH" in notebook.output_text(1)
    assert "the end" in notebook.output_text(2)


def test_after_a_restart_of_the_kernel_the_cell_signs_in_anew(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    login_link(notebook)
    notebook.restart_kernel()
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")


def test_logging_out_closes_the_card_and_drops_the_name(notebook: Notebook) -> None:
    notebook.open([LOGIN, "%lexoffice_logout", "lexoffice", "%lexoffice_status"])
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1)
    assert "the provider has revoked the tokens" in notebook.output_text(1)
    expect(status(notebook)).to_contain_text("Signed out")
    expect(notebook.output(0)).to_contain_text("Run the cell again to sign in.")
    notebook.run(2)
    assert "NameError" in notebook.output_text(2)
    notebook.run(3)
    assert "Nobody is signed in" in notebook.output_text(3)


def test_logging_out_in_python_is_seen_on_the_card(notebook: Notebook) -> None:
    notebook.open([LOGIN, "lexoffice.logout()"])
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1)
    expect(status(notebook)).to_contain_text("Signed out")


def test_an_api_key_made_on_the_key_page_signs_in(notebook: Notebook) -> None:
    notebook.open([f"{LOAD}\n%lexoffice_login --api-key", "lexoffice.get('/v1/profile').json()['companyName']"])
    notebook.run(0)
    card = notebook.output(0)
    field = card.get_by_role("textbox", name="API key")
    expect(field).to_be_visible(timeout=30_000)
    notebook.screenshot("api-key-card")
    field.type("not-a-key-of-anybody")
    field.press("Enter")
    expect(card).to_contain_text("does not know this API key")
    tab = notebook.popup(card.get_by_role("link", name="Open key page"))
    sign_in(tab) if tab.get_by_role("button", name="Sign in as Erika Muster").is_visible() else None
    tab.get_by_role("textbox").first.fill("from a test")
    tab.get_by_role("button", name="Create key").click()
    notebook.screenshot("api-key-page", tab)
    key = tab.locator("code, output").first.inner_text().strip()
    field.fill(key)
    field.press("Enter")
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1)
    assert "Muster & Söhne GmbH" in notebook.output_text(1)
    notebook.save()
    assert key not in notebook.file_text()


@pytest.mark.parametrize(("theme", "locale"), [("light", "en-US"), ("dark", "de-DE")])
def test_card_and_receipt_in_both_themes_and_languages(
    new_notebook: Callable[..., Notebook], theme: str, locale: str
) -> None:
    notebook = new_notebook(theme=theme, locale=locale)
    german = locale == "de-DE"
    notebook.open([LOGIN])
    notebook.run(0)
    link = notebook.output(0).get_by_role("link", name="Anmeldeseite öffnen" if german else "Open login page")
    expect(link).to_be_visible(timeout=30_000)
    notebook.screenshot(f"card-{theme}-{locale[:2]}", notebook.output(0))
    tab = notebook.popup(link)
    notebook.screenshot(f"login-page-{theme}-{locale[:2]}", tab)
    tab.get_by_role("button", name="Erika Muster").click()
    expect(tab.get_by_role("button", name="Erlauben" if german else "Allow")).to_be_visible()
    notebook.screenshot(f"consent-{theme}-{locale[:2]}", tab)
    tab.get_by_role("button", name="Erlauben" if german else "Allow").click()
    expect(tab.get_by_role("status")).to_contain_text("Notebook" if german else "notebook")
    notebook.screenshot(f"done-{theme}-{locale[:2]}", tab)
    expect(status(notebook)).to_contain_text("Angemeldet" if german else "Signed in")
    notebook.screenshot(f"receipt-{theme}-{locale[:2]}", notebook.output(0))
    assert tab.locator("html").get_attribute("lang") == locale[:2]
