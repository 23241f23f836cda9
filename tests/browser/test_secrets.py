"""What a notebook keeps after a sign-in: searched for the bytes of every secret, with *Save widget state* on."""

import json

from playwright.sync_api import expect

from tests.browser.conftest import Notebook
from tests.browser.signing_in import PASTE_ONLY, answer_of, box, login_link, parameter, paste, status

VERIFIER = (
    "from lexoffice_nb.notebook import sign_in\nsign_in._sign_ins['lexoffice'].flow._attempt._attempt.verifier.reveal()"
)
TOKENS = (
    "[t.reveal() for t in (lexoffice.tokens.access_token, lexoffice.tokens.refresh_token, lexoffice.tokens.id_token)]"
)


def kept_anywhere(notebook: Notebook) -> bytes:
    """Everything below the server's home: the notebook, its checkpoints, IPython's history, logs, settings."""
    folders = (notebook.jupyter.root, notebook.jupyter.home.parent)
    return b"".join(
        path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        # The sandbox is the other side of the sign-in; what it keeps is looked at in its own tests.
        if path.is_file() and "lexoffice_nb" not in path.parts
    )


def widget_state(notebook: Notebook) -> str:
    return json.dumps(json.loads(notebook.file_text())["metadata"]["widgets"])


def test_after_a_pasted_login_nothing_that_is_kept_holds_a_secret(notebook: Notebook) -> None:
    notebook.open(
        [PASTE_ONLY, "lexoffice", "lexoffice.tokens", "%xmode Verbose", "lexoffice.get('/v1/invoices/none')", "1/0"],
        save_widget_state=True,
    )
    notebook.run(0)
    login_link(notebook)
    verifier = notebook.execute(VERIFIER).strip("'")
    url = answer_of(notebook)
    paste(notebook, url)
    expect(status(notebook)).to_contain_text("Signed in")
    secrets = [parameter(url, "code"), verifier, *json.loads(notebook.execute(TOKENS).replace("'", '"'))]
    assert len(secrets) == 5
    assert all(len(secret) > 20 for secret in secrets)
    for cell in range(1, 6):
        notebook.run(cell)
    notebook.save()
    assert "lexoffice_nb" in widget_state(notebook)  # the card's state really was saved
    kept = kept_anywhere(notebook)
    assert b"lexoffice.get('/v1/invoices/none')" in kept  # the history really was looked at
    for secret in secrets:
        assert secret.encode() not in kept


def test_after_a_failed_login_the_saved_notebook_holds_no_code(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY], save_widget_state=True)
    notebook.run(0)
    url = answer_of(notebook)
    paste(notebook, url.replace("state=", "state=x"))
    expect(notebook.output(0)).to_contain_text("Invalid state parameter")
    notebook.save()
    assert "lexoffice_nb" in widget_state(notebook)
    assert parameter(url, "code").encode() not in kept_anywhere(notebook)


def test_while_the_box_is_filled_the_saved_notebook_holds_no_code(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY], save_widget_state=True)
    notebook.run(0)
    url = answer_of(notebook)
    box(notebook).fill(url)  # typed, and not yet sent with Enter
    notebook.save()
    assert "lexoffice_nb" in widget_state(notebook)
    assert parameter(url, "code").encode() not in kept_anywhere(notebook)
    expect(box(notebook)).to_have_value(url)


def test_threat_04_the_authorization_url_is_in_no_saved_widget_state(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY], save_widget_state=True)
    notebook.run(0)
    href = str(login_link(notebook).get_attribute("href"))
    notebook.save()
    state = widget_state(notebook)
    for name in ("state", "nonce", "code_challenge"):
        assert parameter(href, name) not in state
    assert parameter(href, "state").encode() not in kept_anywhere(notebook)


def test_threat_04_a_card_restored_from_a_file_shows_no_link_and_no_box(notebook: Notebook) -> None:
    notebook.open([PASTE_ONLY], save_widget_state=True, new_page=True)
    notebook.run(0)
    login_link(notebook)
    notebook.save()
    notebook.restart_kernel()  # as on another day: the card's kernel model is gone
    notebook.page.reload()
    card = notebook.output(0)
    expect(card).to_contain_text("Run the cell again", timeout=30_000)
    expect(card.get_by_role("link")).to_have_count(0)
    expect(card.get_by_role("textbox")).to_have_count(0)
    notebook.screenshot("restored-card", card)
