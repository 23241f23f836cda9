"""What a server writes is shown cut, printable, and with nothing in it that a front end would make a link of."""

from __future__ import annotations

import json
import re
import traceback
import unicodedata
from typing import TYPE_CHECKING

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from lexoffice_nb.errors import LoginError
from lexoffice_nb.texts import use_language
from tests.oauth.misbehaving import LEFT_OUT, Raw
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from tests.oauth.conftest import StartProvider

# JupyterLab makes a link of what this finds in an output (`webLinkRegex` in @jupyterlab/rendermime).
LINKED = re.compile(
    r"(?:[a-zA-Z][a-zA-Z0-9+.-]{2,40}://|data:|www\.)"
    r"[^\s\x00-\x20\x7f-\x9f\"]{2,}[^\s\x00-\x20\x7f-\x9f\"'(){}\[\],:;.!?]",
    re.IGNORECASE,
)
HOSTILE = {
    "escape_sequence": "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "bidirectional": "\u202egnirts desrever\u202c \u2066x\u2069 \u200f",
    "long": "0123456789" * 500,
    "url": "Sign in again at https://evil.example/login now",
    "www": "see www.evil.example/login",
    "html": "<img src=x onerror=alert(1)><a href='https://evil.example'>x</a>",
    "lines": "one\r\ntwo\u2028three\x00four",
    "format": "{0.__class__} {said} %s %(x)d",
    "url_at_the_cut": "x" * 190 + " https://evil.example/login",
}


def shown_by(error: LoginError) -> list[str]:
    shown = [str(error), *traceback.format_exception_only(error)]
    for language in ("en", "de"):
        use_language(language)
        lines = error._render_traceback_()
        assert len(lines) == 2
        assert all("\n" not in line for line in lines)
        shown += lines
    use_language("en")
    return shown


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place", ["error_description", "error"])
@pytest.mark.parametrize("where", ["callback", "token"])
@pytest.mark.case("statement/18-error-description")
def test_threat_26_server_text_is_cut_and_unlinkable(
    start: StartProvider, where: str, place: str, hostile: str
) -> None:
    members = {"error": "invalid_request", "error_description": "x", place: hostile}
    server = start(raw={"/token": Raw(400, json.dumps(members).encode())})
    attempt = attempt_at(server)
    changes = {"code": LEFT_OUT, **members} if where == "callback" else {}
    callback = server.authorize(attempt.get_login_url(), **changes)
    with pytest.raises(LoginError) as caught:
        attempt.handle_callback(callback)
    assert caught.value.stage == where
    for line in shown_by(caught.value):
        assert LINKED.search(line) is None
        assert {c for c in line.rstrip("\n") if unicodedata.category(c)[0] == "C"} == set()
        assert len(line) < 700
    assert all(len(str(value)) <= 200 for value in caught.value.values.values())


def test_threat_26_a_token_type_and_a_host_are_server_text_too(start: StartProvider) -> None:
    server = start(token={"token_type": HOSTILE["url"] + HOSTILE["escape_sequence"]})
    attempt = attempt_at(server)
    with pytest.raises(LoginError) as caught:
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
    assert caught.value.code == "token_type"
    for line in shown_by(caught.value):
        assert LINKED.search(line) is None
        assert "\x1b" not in line
    attempt.get_login_url()
    with pytest.raises(LoginError) as caught:
        attempt.handle_callback("https://www.evil\u202e.example/" + "x" * 300)
    assert caught.value.code == "callback_elsewhere"
    said = caught.value.values["host"]
    assert LINKED.search(str(said)) is None


@pytest.mark.parametrize("mode", ["Context", "Verbose"])
@pytest.mark.case("statement/18-error-description")
def test_threat_26_a_notebook_shows_two_lines(
    start: StartProvider, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    server = start(raw={"/token": Raw(400, json.dumps({"error_description": HOSTILE["url"]}).encode())})
    attempt = attempt_at(server)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.InteractiveTB.set_mode(mode)
    shell.user_ns.update(attempt=attempt, callback=server.authorize(attempt.get_login_url()))
    result = shell.run_cell("attempt.handle_callback(callback)", store_history=False)
    assert isinstance(result.error_in_exec, LoginError)
    shown = capsys.readouterr().out
    assert len(shown.strip().splitlines()) == 2
    assert LINKED.search(shown) is None
