"""Providers other than the sandbox's own contract, on the card: a secret, a word and a port that it has to ask for."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from tests.browser.conftest import Jupyter, Notebook
from tests.browser.signing_in import LOAD, PATIENCE, allow, box, login_link, sign_in, status

LOGIN = f"{LOAD}\n%lexoffice_login --provider lexware-here"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def partner(jupyter: Jupyter, tmp_path: Path) -> Iterator[Sandbox]:
    """The vendor's contract for partners, as a provider of the person's own: a fixed port and a client secret."""
    settings = SandboxSettings(partner_redirect_uri=f"http://127.0.0.1:{free_port()}/callback")
    own = jupyter.data.parent / "config" / "lexoffice_nb" / "providers.toml"
    with Sandbox(data_dir=tmp_path / "partner", settings=settings) as box:
        own.parent.mkdir(mode=0o700, exist_ok=True)
        own.write_text(
            f"""\
[lexware-here]
title = "Lexware Office on this machine"
based_on = "lexware"
authorization_endpoint = "{box.url}/oauth2/authorize"
token_endpoint = "{box.url}/oauth2/token"
revocation_endpoint = "{box.url}/oauth2/revoke"
api_base = "{box.url}"
client_id = "{box.partner_client.id}"
redirect_uri = "{settings.partner_redirect_uri}"
"""
        )
        own.chmod(0o600)
        yield box
        own.unlink()


def secret_box(notebook: Notebook) -> Locator:
    return notebook.output(0).get_by_role("textbox", name="Client secret", exact=True)


def give_secret(notebook: Notebook, secret: str) -> None:
    target = secret_box(notebook)
    expect(target).to_be_visible(timeout=PATIENCE)
    target.focus()
    notebook.page.keyboard.insert_text(secret)
    target.press("Enter")


@pytest.mark.parametrize(
    ("theme", "locale"), [pytest.param("light", "en-US", marks=pytest.mark.soak), ("dark", "de-DE")]
)
def test_a_confidential_client_signs_in_with_a_secret_that_is_typed_into_the_card(
    new_notebook: Callable[..., Notebook], partner: Sandbox, theme: str, locale: str
) -> None:
    notebook = new_notebook(theme=theme, locale=locale)
    notebook.open([LOGIN, "lexoffice.get('/v1/profile').json()['companyName']", "lexoffice"], save_widget_state=True)
    notebook.run(0)
    german = locale == "de-DE"
    target = notebook.output(0).get_by_role("textbox", name="Client-Secret" if german else "Client secret", exact=True)
    expect(target).to_be_visible(timeout=PATIENCE)
    notebook.screenshot(f"provider-secret-{theme}", notebook.output(0))
    target.focus()
    notebook.page.keyboard.insert_text(partner.partner_client.secret)
    assert target.evaluate("field => getComputedStyle(field).webkitTextSecurity") == "disc"
    target.press("Enter")
    name = "Anmeldeseite öffnen" if german else "Open login page"
    link = notebook.output(0).get_by_role("link", name=name)
    expect(link).to_be_visible()
    notebook.screenshot(f"provider-link-{theme}", notebook.output(0))
    tab = notebook.popup(link)
    tab.locator("button[name=person], button", has_text="Erika").first.click()
    tab.locator("button", has_text="Erlauben" if german else "Allow").first.click()
    expect(tab.get_by_role("status")).to_be_visible()
    expect(status(notebook)).to_contain_text("Angemeldet" if german else "Signed in")
    notebook.screenshot(f"provider-signed-in-{theme}", notebook.output(0))
    notebook.run(1)
    assert "Muster & Söhne GmbH" in notebook.output_text(1)
    notebook.run(2)
    notebook.save()
    saved = notebook.file_text()
    assert "Muster" in saved
    assert partner.partner_client.secret not in saved
    assert partner.partner_client.secret not in notebook.jupyter.log.read_text(errors="replace")


def test_a_wrong_secret_is_named_and_asked_for_again(notebook: Notebook, partner: Sandbox) -> None:
    notebook.open([LOGIN])
    notebook.run(0)
    give_secret(notebook, "wrong-secret")
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(secret_box(notebook)).to_be_visible()
    assert "secret is wrong" in notebook.output_text(0)
    notebook.screenshot("provider-secret-wrong", notebook.output(0))
    give_secret(notebook, partner.partner_client.secret)
    tab = notebook.popup(login_link(notebook))
    sign_in(tab)
    allow(tab)
    expect(status(notebook)).to_contain_text("Signed in")


def test_threat_16_a_port_that_another_program_holds_gives_no_link_until_the_person_chose(
    notebook: Notebook, partner: Sandbox
) -> None:
    port = partner.settings.partner_redirect_uri.split(":")[2].partition("/")[0]
    program = (
        "import socket, time\n"
        f"s = socket.create_server(('127.0.0.1', {port}))\n"
        "print('ready', flush=True)\n"
        "time.sleep(120)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        notebook.open([LOGIN])
        notebook.run(0)
        give_secret(notebook, partner.partner_client.secret)
        instead = notebook.output(0).get_by_role("button", name="Paste the address instead")
        expect(instead).to_be_visible()
        notebook.screenshot("provider-port-held", notebook.output(0))
        assert str(holder.pid) in notebook.output_text(0)
        expect(notebook.output(0).get_by_role("link")).to_have_count(0)
        expect(box(notebook)).to_have_count(0)
        instead.click()
        login_link(notebook)
        assert f"process {holder.pid}" in notebook.output_text(0)
        notebook.screenshot("provider-port-held-paste", notebook.output(0))
        holder.terminate()


@pytest.mark.parametrize(
    ("theme", "locale"), [("light", "de-DE"), pytest.param("dark", "en-US", marks=pytest.mark.soak)]
)
def test_a_provider_that_nobody_has_verified_waits_for_a_word(
    new_notebook: Callable[..., Notebook], theme: str, locale: str
) -> None:
    notebook = new_notebook(theme=theme, locale=locale)
    notebook.open([f"{LOAD}\n%lexoffice_login --provider paper --client-id me"])
    notebook.run(0)
    label = "Weiter zu diesem Rechner" if locale == "de-DE" else "Go on to that host"
    expect(notebook.output(0).get_by_role("button", name=label)).to_be_visible(timeout=PATIENCE)
    expect(notebook.output(0).get_by_role("link")).to_have_count(0)
    assert "login.lexoffice.io" in notebook.output_text(0)
    notebook.screenshot(f"provider-unverified-{theme}", notebook.output(0))
