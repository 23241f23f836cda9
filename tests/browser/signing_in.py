"""What a person does to sign in, for the tests: clicks on the card and on the sandbox's pages."""

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Notebook

LOAD = "%load_ext lexoffice_nb"
LOGIN = f"{LOAD}\n%lexoffice_login"
PASTE_ONLY = f"{LOAD}\n%config LexofficeMagics.loopback = False\n%lexoffice_login"
PATIENCE = 30_000  # ms: the first login of a machine starts the sandbox


def login_link(notebook: Notebook, cell: int = 0) -> Locator:
    """The card's link, once it is there."""
    link = notebook.output(cell).get_by_role("link", name="Open login page")
    expect(link).to_be_visible(timeout=PATIENCE)
    return link


def status(notebook: Notebook, cell: int = 0) -> Locator:
    return notebook.output(cell).get_by_role("status")


def box(notebook: Notebook, cell: int = 0) -> Locator:
    return notebook.output(cell).get_by_role("textbox", name="Callback URL")


def sign_in(tab: Page) -> None:
    """The second click. Who is signed in at the sandbox already goes to the consent page at once."""
    button = tab.get_by_role("button", name="Sign in as Erika Muster")
    expect(button.or_(tab.get_by_role("button", name="Allow"))).to_be_visible()
    if button.is_visible():
        button.click()


def allow(tab: Page) -> None:
    tab.get_by_role("button", name="Allow").click()


def refuse(tab: Page) -> None:
    tab.get_by_role("button", name="Refuse").click()


def answer_of(notebook: Notebook, decide: object = allow, cell: int = 0) -> str:
    """Signs in where nothing listens, and gives what then stands in the address bar."""
    tab = notebook.popup(login_link(notebook, cell))
    sign_in(tab)
    with tab.expect_event("requestfailed", predicate=lambda r: "/callback?" in r.url) as failed:
        decide(tab)  # type: ignore[operator]
    url = failed.value.url
    tab.close()
    return url


def paste(notebook: Notebook, text: str, cell: int = 0) -> None:
    """Pastes with the keyboard, as a person does; the clipboard is the browser's own."""
    notebook.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    target = box(notebook, cell)
    target.focus()
    target.press("ControlOrMeta+V")


def parameter(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query)[name][0]
