"""What the log-out says about the browser, which may be signed in at the provider still."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from IPython.utils.capture import capture_output

from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import use_language
from tests.oauth.misbehaving import Provider
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import CapturedIO

PAGE = "https://idp.example:8443/end'x'/&amp;"
LINK = f"{PAGE}?client_id=lexoffice-nb&ui_locales="


class _Elements(HTMLParser):
    """The elements of a piece of HTML, each with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider(metadata={"end_session_endpoint": PAGE}) as provider:
        yield provider


def log_out(shell: InteractiveShell, server: Provider) -> CapturedIO:
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    shell.user_ns["mine"] = LexofficeSession.from_login(attempt)
    with capture_output() as said:
        shell.run_line_magic("lexoffice_logout", "mine")
    return said


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "At idp.example:8443 your browser may still be signed in; sign out there:"),
        ("de", "Bei idp.example:8443 ist Ihr Browser möglicherweise noch angemeldet; dort melden Sie sich ab:"),
    ],
)
def test_the_log_out_names_the_page_where_the_browser_signs_out(
    loaded: InteractiveShell, server: Provider, language: str, words: str
) -> None:
    use_language(language)
    (shown,) = log_out(loaded, server).outputs
    assert shown.data["text/plain"] == f"{words} {LINK}{language}"
    page = _Elements(shown.data["text/html"])
    attributes = {"href": LINK + language, "target": "_blank", "rel": "noopener noreferrer"}
    assert page.elements == [("p", {}), ("a", attributes)]
    assert page.text == shown.data["text/plain"]
    assert "'" not in shown.data["text/html"].replace("&#x27;", "")
    assert unescape(shown.data["text/html"]).count(LINK) == 2


def test_a_terminal_gets_the_link_as_a_line(
    loaded: InteractiveShell, server: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    loaded.user_ns["mine"] = LexofficeSession.from_login(attempt)
    loaded.run_line_magic("lexoffice_logout", "mine")
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"sign out there: {LINK}en")


def test_a_provider_without_such_a_page_is_not_spoken_of(loaded: InteractiveShell) -> None:
    with Provider() as server:
        said = log_out(loaded, server)
    assert said.outputs == []
    assert "browser" not in said.stdout


def test_a_log_out_that_the_provider_did_not_confirm_names_the_page_all_the_same(
    loaded: InteractiveShell, server: Provider
) -> None:
    server.metadata = {**server.metadata, "revocation_endpoint": f"{server.origin}/nothing-here"}
    said = log_out(loaded, server)
    assert "did not confirm" in said.stdout
    assert len(said.outputs) == 1
