"""The state machine of a sign-in, against the sandbox over real HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from lexoffice_nb.errors import CallbackError
from lexoffice_nb.notebook import login_flow
from lexoffice_nb.notebook.callback_catcher import PASTE_ONLY_REDIRECT_URI, can_be_caught
from lexoffice_nb.notebook.sign_in_request import GivenSecrets
from lexoffice_nb.oauth import transport
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox import Sandbox, openid
from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import browse, eventually, our_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lexoffice_nb.notebook.login_flow import LoginFlow


@pytest.fixture
def flow(new_flow: Callable[..., LoginFlow]) -> LoginFlow:
    """One that waits for its callback."""
    flow = new_flow()
    flow.prepare()
    assert flow.state == "waiting", flow.problem
    return flow


@contextlib.contextmanager
def held_port() -> Iterator[socket.socket]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_of(flow: LoginFlow) -> int:
    return urlsplit(flow.redirect_uri).port or 80


def exchanges(box: Sandbox) -> int:
    return sum(r.grant_type == "authorization_code" for r in box.requests)


def code_of(flow: LoginFlow) -> str | None:
    return flow.problem.code if flow.problem else None


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/12-closes-after-the-answer")
def test_a_caught_callback_signs_in_and_leaves_no_port_and_no_thread(flow: LoginFlow) -> None:
    port = port_of(flow)
    status, page = browse(sign_in(flow.link))
    assert status == 200
    assert "You are signed in" in page
    assert flow.state == "signed_in"
    assert flow.session.get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"
    eventually(lambda: not our_threads(), 5)
    assert is_free(port)


def test_a_pasted_callback_signs_in_and_leaves_no_port_and_no_thread(flow: LoginFlow) -> None:
    port = port_of(flow)
    flow.paste(Secret(sign_in(flow.link)))
    eventually(lambda: flow.state == "signed_in")
    eventually(lambda: not our_threads(), 5)
    assert is_free(port)
    assert (flow.link, flow.host, flow.listening, flow.problem) == ("", "", False, None)


def test_a_wrong_state_is_refused_on_its_page_and_the_right_one_still_works(flow: LoginFlow) -> None:
    right = sign_in(flow.link)
    status, page = browse(right.replace("state=", "state=x"))
    assert status == 400
    assert "Invalid state parameter" in page
    assert (flow.state, code_of(flow)) == ("waiting", "state_mismatch")
    assert browse(right)[0] == 200
    assert flow.state == "signed_in"


def test_a_refusal_is_said_and_a_new_link_on_the_same_port_can_be_allowed(flow: LoginFlow) -> None:
    first, port = flow.link, port_of(flow)
    status, page = browse(sign_in(flow.link, allow=False))
    assert status == 400
    assert "refused" in page
    assert "Go back to the notebook; it has a new login link." in page
    assert (flow.state, code_of(flow)) == ("failed", "access_denied")
    assert flow.link != first
    assert port_of(flow) == port
    assert browse(sign_in(flow.link))[0] == 200
    assert flow.state == "signed_in"


def test_two_callbacks_at_once_are_exchanged_once(flow: LoginFlow, box: Sandbox) -> None:
    box.settings.slow = 0.3
    callback, before = sign_in(flow.link), exchanges(box)
    states, pages = set(), []
    flow.observe(lambda _: states.add(flow.state), names="version")
    ways = [lambda: flow.answer(Secret(callback))] * 2 + [lambda: pages.append(browse(callback)[0])] * 2
    threads = [threading.Thread(target=way) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert flow.state == "signed_in"
    assert exchanges(box) == before + 1
    assert states == {"exchanging", "signed_in"}, "nobody is told that it failed"
    # A tab that comes after the port was given back learns that nothing waits there any more.
    assert len(pages) == 2
    assert set(pages) <= {200, 410}


def test_a_slow_provider_gives_the_browser_a_word_and_the_sign_in_still_ends(
    flow: LoginFlow, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_flow, "PAGE_WAITS_SECONDS", 0.1)
    box.settings.slow = 0.5
    status, page = browse(sign_in(flow.link))
    assert status == 200
    assert "is finishing the sign-in" in page
    eventually(lambda: flow.state == "signed_in")


# --- what goes wrong, each with its own word and a way on -------------------------------------------------------------


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("", "callback_empty"),
        ("hello there", "callback_no_url"),
        ("SplxlOBeZQQYbYS6WxSbIA", "callback_bare_code"),
        ("https://elsewhere.example/callback?code=1&state=2", "callback_elsewhere"),
        ("http://127.0.0.1:9/callback?code=1&state=2", "callback_other_port"),
        ("x" * 16_001, "callback_too_long"),
        ("LINK", "callback_is_login_url"),
        ("REDIRECT", "callback_without_answer"),
    ],
)
def test_a_wrong_paste_is_named_and_the_link_stays(flow: LoginFlow, pasted: str, code: str) -> None:
    link = flow.link
    flow.answer(Secret({"LINK": link, "REDIRECT": flow.redirect_uri}.get(pasted, pasted)))
    assert (flow.state, code_of(flow), flow.link) == ("waiting", code, link)
    flow.answer(Secret(sign_in(link)))
    assert flow.state == "signed_in"


@pytest.mark.parametrize(
    ("switch", "value", "code"),
    [
        ("html_token_endpoint", True, "token_not_json"),
        ("fail_token_endpoint", 503, "token_temporarily_unavailable"),
        ("slow", 1.0, "timeout"),
    ],
)
def test_a_token_endpoint_in_trouble_is_named_and_a_new_link_works(
    flow: LoginFlow, box: Sandbox, monkeypatch: pytest.MonkeyPatch, switch: str, value: object, code: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(transport, "DEADLINE_SECONDS", 0.5)
        setattr(box.settings, switch, value)
        link = flow.link
        flow.answer(Secret(sign_in(link)))
    expected = {code, "token_server"} if switch == "fail_token_endpoint" else {code}
    assert flow.state == "failed"
    assert code_of(flow) in expected
    assert flow.link not in ("", link)
    box.settings.html_token_endpoint, box.settings.fail_token_endpoint, box.settings.slow = False, None, 0.0
    flow.answer(Secret(sign_in(flow.link)))
    assert flow.state == "signed_in"


def test_a_provider_that_is_down_is_named_and_again_works_when_it_is_up(
    new_flow: Callable[..., LoginFlow], tmp_path: Path
) -> None:
    with held_port() as holder:
        port = holder.getsockname()[1]
    flow = new_flow(issuer=f"http://127.0.0.1:{port}", client_id="lexoffice-nb")
    flow.prepare()
    assert (flow.state, code_of(flow), flow.link) == ("failed", "unreachable", "")
    flow.again()
    eventually(lambda: flow.state == "failed")
    assert code_of(flow) == "unreachable"
    with Sandbox(port=port, data_dir=tmp_path / "sandbox"):
        flow.again()
        eventually(lambda: flow.state == "waiting")
        flow.answer(Secret(sign_in(flow.link)))
        assert flow.state == "signed_in"


def test_a_provider_that_answers_with_a_page_is_named(new_flow: Callable[..., LoginFlow]) -> None:
    with held_port() as holder:

        def serve() -> None:
            for _ in range(2):
                connection, _ = holder.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>Hotel WLAN</h1>")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        flow = new_flow(issuer=f"http://127.0.0.1:{holder.getsockname()[1]}", client_id="x")
        flow.prepare()
        assert (flow.state, code_of(flow)) == ("failed", "metadata_not_json")


def test_an_unknown_provider_is_named_with_the_known_ones(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(provider="nobody")
    flow.prepare()
    assert (flow.state, code_of(flow)) == ("failed", "unknown_provider")
    assert "sandbox" in str(flow.problem)


def test_a_taken_port_is_named_and_again_works_when_it_is_free(new_flow: Callable[..., LoginFlow]) -> None:
    with held_port() as holder:
        uri = f"http://127.0.0.1:{holder.getsockname()[1]}/callback"
        flow = new_flow(redirect_uri=uri)
        flow.prepare()
        assert (flow.state, flow.asks, code_of(flow), flow.link) == ("waiting", "port", "port_taken", "")
    flow.again()
    eventually(lambda: flow.state == "waiting")
    assert (flow.asks, flow.problem) == ("callback", None)
    assert browse(sign_in(flow.link))[0] == 200
    assert flow.state == "signed_in"


@pytest.mark.parametrize(
    ("asked", "state", "code"),
    [
        ({"provider": "lexware", "client_id": "c"}, "waiting", None),  # for the client secret
        ({"provider": "lexware"}, "failed", "client_or_key"),
    ],
)
def test_what_has_no_link_yet_holds_no_port(
    new_flow: Callable[..., LoginFlow], asked: dict[str, str], state: str, code: str | None
) -> None:
    with held_port() as holder:
        port = holder.getsockname()[1]
    flow = new_flow(**asked, redirect_uri=f"http://127.0.0.1:{port}/callback")
    flow.prepare()
    assert (flow.state, code_of(flow), flow.link) == (state, code, "")
    assert is_free(port)
    eventually(lambda: not our_threads(), 3)


def test_a_redirect_uri_that_is_none_is_named(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(redirect_uri="ftp://example.org/callback")
    flow.prepare()
    assert (flow.state, code_of(flow)) == ("failed", "redirect_uri_not_allowed")


@pytest.mark.case("statement/12-closes-in-time")
def test_an_old_link_is_closed_with_its_port(
    new_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_flow, "ATTEMPT_SECONDS", 0.2)
    flow = new_flow()
    flow.prepare()
    port = port_of(flow)
    eventually(lambda: flow.state == "failed")
    assert (code_of(flow), flow.link) == ("link_expired", "")
    assert is_free(port)
    flow.answer(Secret("http://127.0.0.1/callback?code=1&state=2"))  # nothing is expected any more
    assert code_of(flow) == "link_expired"


def test_again_after_an_old_link_gives_a_new_one(
    new_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = new_flow()
    with monkeypatch.context() as patched:
        patched.setattr(login_flow, "ATTEMPT_SECONDS", 0.1)
        flow.prepare()
        old = flow.link
        eventually(lambda: flow.state == "failed")
    flow.again()
    eventually(lambda: flow.state == "waiting")
    assert flow.link not in ("", old)
    assert flow.problem is None
    flow.answer(Secret(sign_in(flow.link)))
    assert flow.state == "signed_in"


def test_the_end_of_an_old_link_does_not_take_the_new_one(flow: LoginFlow) -> None:
    """Its timer may have waited for the answer that made the new link."""
    old = flow.link
    flow.answer(Secret(sign_in(old, allow=False)))
    assert flow.link not in ("", old)
    flow._expire(old)
    assert (flow.state, code_of(flow)) == ("failed", "access_denied")
    assert flow.link


# --- races and ends ---------------------------------------------------------------------------------------------------


def test_a_callback_that_comes_to_a_closed_flow_is_not_exchanged(flow: LoginFlow, box: Sandbox) -> None:
    callback, before = sign_in(flow.link), exchanges(box)
    flow.close()
    flow.answer(Secret(callback))
    with pytest.raises(ConnectionRefusedError):
        browse(callback)
    assert flow.state == "closed"
    assert exchanges(box) == before
    assert not flow.session.signed_in
    eventually(lambda: not our_threads(), 3)


def test_tokens_that_come_after_the_close_are_revoked_and_kept_nowhere(flow: LoginFlow, box: Sandbox) -> None:
    box.settings.slow = 0.6
    callback, before = sign_in(flow.link), len(box.requests)
    flow.paste(Secret(callback))
    eventually(lambda: flow.state == "exchanging")
    begin = time.monotonic()
    flow.close()
    assert time.monotonic() - begin < 0.5, "closing waits for nobody"
    eventually(lambda: not our_threads())
    assert flow.state == "closed"
    assert not flow.session.signed_in
    assert [r.path for r in box.requests[before:]].count("/connect/revoke") == 2


def test_a_log_out_in_python_ends_a_sign_in_that_waits(flow: LoginFlow, box: Sandbox) -> None:
    callback, before = sign_in(flow.link), exchanges(box)
    flow.session.logout()
    assert (flow.state, flow.link) == ("closed", "")
    with pytest.raises(ConnectionRefusedError):
        browse(callback)
    flow.answer(Secret(callback))
    assert exchanges(box) == before
    assert not flow.session.signed_in
    eventually(lambda: not our_threads(), 3)


def test_a_log_out_in_python_while_the_code_is_exchanged_revokes_what_comes(flow: LoginFlow, box: Sandbox) -> None:
    box.settings.slow = 0.6
    before = len(box.requests)
    flow.paste(Secret(sign_in(flow.link)))
    eventually(lambda: flow.state == "exchanging")
    flow.session.logout()
    eventually(lambda: not our_threads())
    assert flow.state == "closed"
    assert not flow.session.signed_in
    assert [r.path for r in box.requests[before:]].count("/connect/revoke") == 2


def test_a_session_that_could_not_be_made_leaves_a_new_link(flow: LoginFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the flow itself forgets is no log-out of the person's."""

    def broken(*_: object) -> None:
        raise RuntimeError

    link = flow.link
    with monkeypatch.context() as patched:
        patched.setattr(flow.session, "signed_in_by", broken)
        flow.answer(Secret(sign_in(link)))
    assert (flow.state, code_of(flow)) == ("failed", "internal")
    flow.answer(Secret(sign_in(flow.link)))
    assert flow.state == "signed_in"


def test_a_second_visit_after_the_sign_in_says_that_it_is_done_already(flow: LoginFlow) -> None:
    callback = sign_in(flow.link)
    flow.answer(Secret(callback))
    page = flow._caught(callback)
    assert (page.status, page.ok, page.title) == (200, True, "You are signed in already")
    assert "as Muster & Söhne GmbH; nothing was changed" in page.text


def test_a_visit_to_a_sign_in_that_is_over_is_no_problem_of_the_persons(flow: LoginFlow) -> None:
    callback = sign_in(flow.link)
    flow.close()
    page = flow._caught(callback)
    assert (page.status, page.ok, page.title) == (410, True, "This sign-in is over")


def test_what_is_no_address_of_an_issuer_is_repeated_harmlessly(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(issuer="not\x1b[2Jan address" + "x" * 500)
    flow.prepare()
    assert (flow.state, code_of(flow)) == ("failed", "issuer_no_address")
    assert "'not [2Jan addressxx" in str(flow.problem)
    assert len(str(flow.problem)) < 200


def test_without_a_client_the_way_with_a_key_is_named(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(provider="lexware")
    flow.prepare()
    assert "%lexoffice_login --api-key --provider lexware" in str(flow.problem)


def test_closing_while_the_link_is_made_leaves_no_port(new_flow: Callable[..., LoginFlow]) -> None:
    for pause in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):
        flow = new_flow()
        flow.start()
        time.sleep(pause)
        flow.close()
        eventually(lambda: not our_threads())
        assert (flow.state, flow.link) == ("closed", "")


def test_a_double_click_on_try_again_is_one_try(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    links: list[str] = []
    with held_port() as holder:
        flow = new_flow(redirect_uri=f"http://127.0.0.1:{holder.getsockname()[1]}/callback")
        flow.prepare()
    flow.observe(lambda change: links.append(change["new"]), names="link")
    for _ in range(5):
        flow.again()
    eventually(lambda: flow.link)
    eventually(lambda: "lexoffice-nb sign-in" not in our_threads())
    assert links == [flow.link]


def test_again_leaves_a_link_alone_that_can_still_be_used(flow: LoginFlow) -> None:
    link = flow.link
    flow.again()
    assert (flow.state, flow.link) == ("waiting", link)


def test_a_view_that_fails_does_not_stop_the_sign_in(flow: LoginFlow, capfd: pytest.CaptureFixture[str]) -> None:
    """Threads must print nothing: it would land in whatever cell is running."""

    def broken(_: object) -> None:
        raise RuntimeError("the view is gone")

    flow.observe(broken, names="version")
    flow.paste(Secret("nonsense"))
    eventually(lambda: not [t for t in our_threads() if t.endswith("sign-in")])
    flow.unobserve(broken, names="version")
    assert capfd.readouterr() == ("", "")


# --- redirect URIs ----------------------------------------------------------------------------------------------------


def test_without_the_loopback_the_redirect_uri_is_a_port_that_no_browser_opens(
    new_flow: Callable[..., LoginFlow],
) -> None:
    flow = new_flow(loopback=False)
    flow.prepare()
    assert flow.redirect_uri == PASTE_ONLY_REDIRECT_URI
    assert not flow.listening
    flow.answer(Secret(sign_in(flow.link)))
    assert flow.state == "signed_in"


@pytest.mark.parametrize(
    ("uri", "caught"),
    [
        ("http://127.0.0.1:8765/callback", True),
        ("http://localhost:8765/callback", True),
        ("http://localhost.evil.example:8765/callback", False),
        ("http://[::1]:8765/callback", False),
        ("https://127.0.0.1:8765/callback", False),
        ("https://hub.example/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("nonsense", False),
    ],
)
def test_only_what_the_listener_serves_is_caught(uri: str, caught: bool) -> None:
    assert can_be_caught(uri) is caught


def test_a_redirect_uri_of_localhost_is_caught_there(new_flow: Callable[..., LoginFlow]) -> None:
    with held_port() as holder:
        port = holder.getsockname()[1]
    flow = new_flow(redirect_uri=f"http://localhost:{port}/callback")
    flow.prepare()
    assert flow.listening
    assert parse_qs(urlsplit(flow.link).query)["redirect_uri"] == [f"http://localhost:{port}/callback"]
    assert browse(sign_in(flow.link))[0] == 200
    assert flow.state == "signed_in"


def test_a_redirect_uri_on_another_machine_is_pasted(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    flow = new_flow(redirect_uri="https://hub.example/callback")
    flow.prepare()
    assert (flow.state, flow.listening) == ("waiting", False)
    assert not [name for name in our_threads() if name.startswith("loopback")]


def test_a_link_with_control_characters_is_never_shown(
    new_flow: Callable[..., LoginFlow], box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Printed in a terminal, it could do anything there. The issuer's description is what names it."""
    described = openid.metadata(box.url)
    hostile = {**described, "authorization_endpoint": f"{box.url}/\x1b[2Jconnect/authorize"}
    monkeypatch.setattr(openid, "metadata", lambda issuer: hostile)
    flow = new_flow(issuer=box.url, client_id="lexoffice-nb")
    flow.prepare()
    assert (flow.state, code_of(flow), flow.link) == ("failed", "endpoint_not_allowed", "")
    eventually(lambda: not our_threads(), 3)


# --- API keys ---------------------------------------------------------------------------------------------------------


def test_a_key_of_the_environment_signs_in_at_once(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    flow = new_flow(GivenSecrets(api_key=Secret(f" {box.make_api_key()}\n")), api_key=True)
    flow.prepare()
    assert flow.state == "signed_in"
    assert flow.session.kind == "key"
    eventually(lambda: not our_threads(), 3)


@pytest.mark.parametrize(
    ("pasted", "code"),
    [("", "key_empty"), ("   ", "key_empty"), ("two words", "key_malformed"), ("schlüssel", "key_malformed")],
)
def test_what_is_no_key_is_named_and_never_sent(
    new_flow: Callable[..., LoginFlow], box: Sandbox, pasted: str, code: str
) -> None:
    flow = new_flow(api_key=True)
    flow.prepare()
    before = len(box.requests)
    flow.try_key(Secret(pasted))
    assert (flow.state, code_of(flow)) == ("waiting", code)
    assert len(box.requests) == before


def test_a_wrong_key_names_the_provider_and_the_next_step_and_the_right_one_then_works(
    new_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    flow = new_flow(api_key=True)
    flow.prepare()
    flow.try_key(Secret("not-a-key-of-anybody"))
    assert (flow.state, code_of(flow)) == ("waiting", "key_wrong")
    assert "Sandbox on this machine" in str(flow.problem)
    assert "--provider lexware" in str(flow.problem)
    assert not flow.session.signed_in
    flow.try_key(Secret(box.make_api_key()))
    assert flow.state == "signed_in"


def test_a_problem_of_a_callback_is_a_value_error_too(flow: LoginFlow) -> None:
    flow.answer(Secret("nonsense"))
    assert isinstance(flow.problem, CallbackError)
    assert isinstance(flow.problem, ValueError)
