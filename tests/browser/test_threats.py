"""The statements about pages, each tried in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from tests.browser.conftest import ROOT, Notebook
from tests.browser.signing_in import LOAD, LOGIN, PASTE_ONLY, allow, login_link, parameter, paste, sign_in, status

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & <b>Söhne</b>"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(port=0, data_dir=tmp_path / "box", settings=SandboxSettings()) as box:
        yield box


def login_at(box: Sandbox) -> str:
    return f"{LOAD}\n%lexoffice_login --issuer {box.url} --client-id lexoffice-nb --scope openid profile invoice.read"


def test_threat_06_the_card_shows_the_host_that_the_link_leads_to_and_who_chose_it(
    notebook: Notebook, box: Sandbox
) -> None:
    notebook.open([login_at(box)])
    notebook.run(0)
    href = str(login_link(notebook).get_attribute("href"))
    card = notebook.output(0)
    expect(card).to_contain_text(f"leads to {box.url.removeprefix('http://')}")
    assert href.startswith(box.url)
    expect(card).to_contain_text("chosen by this notebook")


def test_threat_12_the_callback_carries_no_cookie_of_jupyter(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    with tab.expect_request("**/callback?*") as caught:
        allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    jupyters = {cookie["name"] for cookie in notebook.context.cookies(notebook.jupyter.url)}
    assert any("username-localhost" in name for name in jupyters)  # the browser does hold one
    sent = caught.value.all_headers().get("cookie", "")
    assert not any(name in sent for name in jupyters)


def test_threat_13_two_sandboxes_in_one_browser_keep_separate_sign_ins(
    notebook: Notebook, box: Sandbox, tmp_path: Path
) -> None:
    with Sandbox(port=0, data_dir=tmp_path / "other", settings=SandboxSettings()) as other:
        tab = notebook.context.new_page()
        for place, who in ((box, "Erika Muster"), (other, "Jonas Beispiel")):
            tab.goto(f"{place.url}/addons/public-api")
            tab.get_by_role("button", name=f"Sign in as {who}").click()
        for place, who in ((box, "Erika Muster"), (other, "Jonas Beispiel")):
            tab.goto(f"{place.url}/addons/public-api")
            expect(tab.get_by_text(who).first).to_be_visible()
        cookies = [c for c in notebook.context.cookies() if c["domain"] == "127.0.0.1"]
        assert len({c["name"] for c in cookies}) == len(cookies) >= 2
        assert all(c.get("httpOnly") and c.get("sameSite") == "Lax" for c in cookies)


def test_threat_14_the_login_page_cannot_be_framed(notebook: Notebook, box: Sandbox) -> None:
    tab = notebook.context.new_page()
    with tab.expect_console_message(lambda message: "frame-ancestors 'none'" in message.text):
        tab.set_content(f"<iframe src='{box.url}/addons/public-api'></iframe>")
    assert not any("Erika Muster" in frame.content() for frame in tab.frames[1:])


def test_threat_17_the_login_page_has_no_opener(notebook: Notebook) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    link = login_link(notebook)
    assert set(str(link.get_attribute("rel")).split()) >= {"noopener", "noreferrer"}
    tab = notebook.popup(link)
    assert tab.evaluate("window.opener") is None
    assert tab.evaluate("document.referrer") == ""


def test_threat_26_text_of_a_server_is_cut_and_nothing_in_it_is_clickable(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY, "raise lexoffice_nb.errors.CallbackError('authorize_server_error', said=said)"])
    notebook.run(0)
    href = str(login_link(notebook).get_attribute("href"))
    hostile = "see%20https://evil.example/a%20www.evil.example%20%1b[31m%e2%80%ae" + "x" * 5000
    answer = f"{parameter(href, 'redirect_uri')}?error=server_error&error_description={hostile}"
    paste(notebook, f"{answer}&state={parameter(href, 'state')}&iss={href.partition('/connect')[0]}")
    card = notebook.output(0)
    expect(card).to_contain_text("Something went wrong at the provider (see https[:]//evil")
    expect(card.get_by_role("link")).to_have_count(1)  # the new login link, and nothing else
    text = card.inner_text()
    assert "x" * 200 not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    notebook.execute(
        "import lexoffice_nb\nfrom lexoffice_nb.texts import from_server\n"
        "said = from_server('see https://evil.example/a www.evil.example')"
    )
    notebook.run(1)
    expect(notebook.output(1)).to_contain_text("CallbackError")
    expect(notebook.output(1).get_by_role("link")).to_have_count(0)


def test_threat_35_a_hostile_company_name_is_shown_literally(notebook: Notebook, box: Sandbox) -> None:
    box.settings.company_name = HOSTILE
    notebook.open(
        [
            login_at(box),
            "lexoffice",
            "lexoffice.get('/v1/profile')",
            "lexoffice.get('/v1/voucherlist?voucherType=invoice&voucherStatus=any&size=250')",
        ]
    )
    notebook.run(0)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    expect(tab.get_by_text("<img src=x").first).to_be_visible()
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")
    for cell in (0, 1, 2):
        notebook.run(cell) if cell else None
        expect(notebook.output(cell)).to_contain_text("<img src=x onerror=")
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("<img src=x onerror=alert(1)> & Co. KG")
    for page in (notebook.page, tab):
        assert _images(page) == 0
        assert page.title() != "owned"
    notebook.screenshot("hostile-company")


def _images(page: Page) -> int:
    return page.locator("img[src=x]").count()


def test_threat_35_opening_a_shipped_notebook_asks_nothing_off_this_machine(notebook: Notebook) -> None:
    asked: list[Request] = []
    notebook.context.on("request", lambda request: asked.append(request))
    notebook.open(ROOT / "notebooks" / "01_first_login.ipynb", new_page=True)
    notebook.run(2)
    login_link(notebook, 2)
    hosts = {request.url.split("/")[2].rpartition(":")[0] for request in asked if "://" in request.url[:8]}
    assert hosts <= {"localhost", "127.0.0.1"}


def test_the_paste_box_is_neither_completed_nor_spell_checked_and_no_page_asks_for_a_password(
    notebook: Notebook,
) -> None:
    notebook.open([PASTE_ONLY])
    notebook.run(0)
    link = login_link(notebook)
    field = notebook.output(0).get_by_role("textbox", name="Callback URL")
    assert field.get_attribute("autocomplete") == "off"
    assert field.get_attribute("spellcheck") == "false"
    tab = notebook.popup(link)
    assert tab.locator("input[type=password]").count() == 0
