"""Running the cell again keeps the earlier attempts: an older tab still works, or is told what became of it."""

from __future__ import annotations

import hashlib
import socket
import threading
from base64 import urlsafe_b64encode
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import psutil
import pytest

import lexoffice_nb
from lexoffice_nb.notebook import login_flow, sign_in
from lexoffice_nb.notebook.login_flow import MOST_EARLIER
from lexoffice_nb.oauth import login as login_module
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in as allow
from lexoffice_nb.texts import clock
from tests.notebook.conftest import browse, eventually, our_threads
from tests.oauth import misbehaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.sandbox import Sandbox

OTHER_SCOPES = ("openid", "profile")


@pytest.fixture
def notebook(loaded: InteractiveShell, box: Sandbox) -> InteractiveShell:
    """A shell that has a front end with cards and somebody in front of it."""
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    return loaded


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def count(box: Sandbox) -> Callable[[], int]:
    """Counts the ports that the process listens at since the test began."""
    before = listening_ports()
    return lambda: len(listening_ports() - before)


@pytest.fixture
def provider() -> Iterator[misbehaving.Provider]:
    with misbehaving.Provider() as running:
        yield running


def listening_ports() -> set[int]:
    sockets = psutil.Process().net_connections(kind="inet")
    return {found.laddr.port for found in sockets if found.status == psutil.CONN_LISTEN}


def run(name: str = "lexoffice", **wishes: object) -> LoginFlow:
    """Runs the cell and waits for the link on its card."""
    lexoffice_nb.login(name, **wishes)  # type: ignore[arg-type]
    flow = sign_in._sign_ins[name].flow
    eventually(lambda: flow.link or flow.state in ("failed", "signed_in"))
    return flow


def allow_not(link: str) -> str:
    return allow(link, allow=False)


def exchanges(box: Sandbox) -> int:
    return sum(r.grant_type == "authorization_code" for r in box.requests)


def port_of(flow: LoginFlow) -> int:
    return urlsplit(flow.redirect_uri).port or 80


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def listener_threads() -> list[str]:
    return [name for name in our_threads() if name.startswith("loopback")]


def code_of(flow: LoginFlow) -> str | None:
    return flow.problem.code if flow.problem else None


def made_earlier(flow: LoginFlow) -> str:
    """Makes the newest link seven minutes older, so that its time is not the present one; gives it."""
    assert flow._attempt is not None
    attempt = flow._attempt._attempts[-1]
    attempt.begun -= 7 * 60
    attempt.begun_at -= timedelta(minutes=7)
    return clock(attempt.begun_at)


# --- an older tab still works -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("again", [{"scopes": OTHER_SCOPES}, {"force": True}], ids=["other scopes", "force"])
def test_after_the_cell_was_run_again_the_older_tab_signs_the_new_session_in(
    box: Sandbox, count: Callable[[], int], again: dict[str, object]
) -> None:
    old = run()
    link, uri, before = old.link, old.redirect_uri, exchanges(box)
    new = run(**again)
    assert new is not old
    assert (new.redirect_uri, count(), len(listener_threads())) == (uri, 1, 2)
    status, page = browse(allow(link))
    assert (status, "You are signed in" in page) == (200, True)
    assert (old.state, old.session.signed_in, new.state) == ("closed", False, "signed_in")
    assert new.session.tokens.scope == ("openid", "profile", "invoice.read", "contact.read"), "what that tab asked for"
    assert new.session.get("/v1/profile").status_code == 200
    assert exchanges(box) == before + 1


def test_a_sign_in_in_the_terminal_takes_the_callback_of_the_cards_tab(
    notebook: InteractiveShell, box: Sandbox, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = run()
    callback, counted = allow(card.link), []

    def answer(_: str) -> str:
        counted.append((count(), len(listener_threads())))
        assert browse(callback)[0] == 200
        return ""

    monkeypatch.setattr("getpass.getpass", answer)
    session = lexoffice_nb.login(terminal=True)
    assert counted == [(1, 2)]
    assert session.signed_in
    assert not card.session.signed_in


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("way", ["caught", "pasted"])
def test_each_tab_is_answered_with_the_verifier_and_the_redirect_uri_of_its_own_link(
    provider: misbehaving.Provider, way: str
) -> None:
    """The server compares them, and its ID token has the nonce of the very request."""
    wishes = {"issuer": provider.issuer, "client_id": misbehaving.CLIENT_ID}
    link = run(**wishes, scopes=("openid", "a")).link
    run(**wishes, scopes=("openid", "b"))
    flow = run(**wishes, scopes=("openid", "c"))
    callback = provider.authorize(link)
    if way == "caught":
        assert browse(callback)[0] == 200
    else:
        flow.answer(Secret(callback))
    assert flow.state == "signed_in"
    asked, [sent] = dict(parse_qsl(urlsplit(link).query)), provider.forms
    challenge = urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert (challenge, sent["redirect_uri"]) == (asked["code_challenge"], asked["redirect_uri"])
    assert flow.session.tokens.claims["nonce"] == asked["nonce"]
    assert flow.session.tokens.scope == ("openid", "a")


@pytest.mark.usefixtures("notebook")
def test_an_older_tab_that_is_refused_leaves_the_newest_link_as_it_is(box: Sandbox) -> None:
    link = run().link
    flow = run(scopes=OTHER_SCOPES)
    newest = flow.link
    assert browse(allow_not(link))[0] == 400
    assert (flow.state, code_of(flow), flow.link) == ("waiting", "access_denied", newest)
    assert browse(allow(newest))[0] == 200
    assert flow.state == "signed_in"


@pytest.mark.usefixtures("notebook")
def test_the_tab_of_a_link_that_was_replaced_after_a_refusal_still_works(box: Sandbox) -> None:
    flow = run()
    first = flow.link
    flow.answer(Secret(allow_not(first)))
    second = flow.link
    flow = run(scopes=OTHER_SCOPES)
    assert browse(allow(second))[0] == 200
    assert flow.state == "signed_in"


@pytest.mark.usefixtures("notebook")
def test_a_callback_that_comes_while_the_cell_starts_again_is_not_lost(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the cell and its new link there is a moment in which the sign-in has not begun to prepare."""
    callback = allow(run().link)
    held = threading.Event()
    start = login_flow.LoginFlow.start

    def late(flow: LoginFlow) -> None:
        threading.Thread(target=lambda: (held.wait(10), start(flow)), daemon=True).start()

    monkeypatch.setattr(login_flow.LoginFlow, "start", late)
    lexoffice_nb.login(scopes=OTHER_SCOPES)
    flow = sign_in._sign_ins["lexoffice"].flow
    assert flow.state == "ready"
    status, _ = browse(callback)
    held.set()
    assert (status, flow.state) == (200, "signed_in")
    eventually(lambda: not our_threads())
    assert (flow.state, flow.link) == ("signed_in", "")


# --- or is told what became of it -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("notebook")
def test_after_the_sign_in_an_older_tab_is_told_who_is_signed_in_and_nothing_changes(box: Sandbox) -> None:
    older = allow(run().link)
    flow = run(scopes=OTHER_SCOPES)
    assert browse(allow(flow.link))[0] == 200
    token, before = flow.session.tokens.access_token, len(box.requests)
    for _ in range(2):
        status, page = browse(older)
        assert status == 200
        assert "You are signed in already" in page
        assert "as Muster &amp; Söhne GmbH; nothing was changed" in page
    assert (flow.state, flow.problem) == ("signed_in", None)
    assert flow.session.tokens.access_token is token
    assert len(box.requests) == before, "nothing was sent"


@pytest.mark.usefixtures("notebook")
def test_after_the_sign_in_a_strangers_callback_is_refused(box: Sandbox) -> None:
    older = allow(run().link)
    flow = run(scopes=OTHER_SCOPES)
    browse(allow(flow.link))
    status, page = browse(older.replace("state=", "state=x"))
    assert status == 400
    assert "Muster" not in page
    assert flow.problem is None


@pytest.mark.usefixtures("notebook")
def test_the_listener_closes_when_the_last_link_is_over(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (login_module, login_flow):
        monkeypatch.setattr(module, "ATTEMPT_SECONDS", 1.5)
    run()
    flow = run(scopes=OTHER_SCOPES)
    port = port_of(flow)
    assert browse(allow(flow.link))[0] == 200
    assert not is_free(port), "the older link is still good"
    eventually(lambda: is_free(port), 4)
    eventually(lambda: not our_threads(), 3)
    assert flow.state == "signed_in"


@pytest.mark.parametrize("way", ["magic", "python", "unload", "force elsewhere"])
def test_the_listener_closes_with_the_log_out_and_the_unloading(notebook: InteractiveShell, way: str) -> None:
    older = allow(run().link)
    flow = run(scopes=OTHER_SCOPES)
    port = port_of(flow)
    browse(allow(flow.link))
    assert not is_free(port)
    if way == "magic":
        notebook.run_line_magic("lexoffice_logout", "")
    elif way == "python":
        flow.session.logout()
    elif way == "unload":
        notebook.extension_manager.unload_extension("lexoffice_nb")
    else:
        run(provider="lexware", force=True)
    assert is_free(port)
    with pytest.raises(ConnectionRefusedError):
        browse(older)
    eventually(lambda: not our_threads(), 3)


@pytest.mark.usefixtures("notebook")
def test_a_tab_whose_link_was_used_is_told_of_which_attempt_it_is(box: Sandbox) -> None:
    first = run()
    refused, made_at = allow_not(first.link), made_earlier(first)
    browse(refused)
    flow = run(scopes=OTHER_SCOPES)
    link = flow.link
    status, page = browse(refused)
    assert status == 400
    assert f"belongs to the attempt of {made_at}, which is finished already" in page
    assert (flow.state, code_of(flow), flow.link) == ("waiting", "callback_used", link)


@pytest.mark.usefixtures("notebook")
def test_a_link_that_is_older_than_ten_minutes_is_refused_with_its_time(box: Sandbox) -> None:
    callback = allow(run().link)
    flow = run(scopes=OTHER_SCOPES)
    [old] = flow._earlier[0]._attempts
    old.begun -= 601
    old.begun_at -= timedelta(seconds=601)
    before = exchanges(box)
    status, page = browse(callback)
    assert status == 400
    assert f"belongs to the attempt of {clock(old.begun_at)}; its link is older than 10 minutes" in page
    assert (flow.state, code_of(flow), exchanges(box)) == ("waiting", "attempt_expired", before)
    assert browse(allow(flow.link))[0] == 200


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("other", ["client", "provider"])
def test_the_tab_of_another_client_or_provider_is_told_that_it_was_replaced(
    box: Sandbox, provider: misbehaving.Provider, free_port: int, other: str
) -> None:
    uri = f"http://127.0.0.1:{free_port}/callback"
    first = run(redirect_uri=uri)
    callback, made_at, before = allow(first.link), made_earlier(first), exchanges(box)
    if other == "client":
        flow = run(redirect_uri=uri, client_id="another-client")
    else:
        flow = run(redirect_uri=uri, issuer=provider.issuer, client_id=misbehaving.CLIENT_ID)
    link = flow.link
    status, page = browse(callback)
    assert status == 400
    assert f"belongs to the attempt of {made_at}, which was replaced by another sign-in" in page
    assert (flow.state, code_of(flow), flow.link) == ("waiting", "callback_replaced", link)
    assert (exchanges(box), provider.token_requests) == (before, 0)
    assert not flow.session.signed_in
    assert not first.session.signed_in


@pytest.mark.usefixtures("notebook")
def test_a_sign_in_that_was_replaced_never_signs_in_behind_the_persons_back(box: Sandbox) -> None:
    old = run()
    callback, before = allow(old.link), exchanges(box)
    flow = run(scopes=OTHER_SCOPES)
    old.answer(Secret(callback))
    old.again()
    old.paste(Secret(callback))
    eventually(lambda: "lexoffice-nb sign-in" not in our_threads())
    assert (old.state, old.session.signed_in, exchanges(box)) == ("closed", False, before)
    assert flow.state == "waiting"


@pytest.mark.usefixtures("notebook")
def test_what_a_replaced_sign_in_was_exchanging_is_revoked_and_kept_nowhere(box: Sandbox) -> None:
    box.settings.slow = 0.6
    old = run()
    before = len(box.requests)
    old.paste(Secret(allow(old.link)))
    eventually(lambda: old.state == "exchanging")
    flow = run(scopes=OTHER_SCOPES)
    eventually(lambda: [r.path for r in box.requests[before:]].count("/connect/revoke") == 2)
    assert (old.state, old.session.signed_in) == ("closed", False)
    assert (flow.state, flow.session.signed_in) == ("waiting", False)


@pytest.mark.usefixtures("notebook", "box")
def test_however_often_the_cell_is_run_one_listener_serves_and_the_memory_has_an_end(count: Callable[[], int]) -> None:
    links = [run(scopes=("openid", f"scope{number}")).link for number in range(MOST_EARLIER + 3)]
    flow = sign_in._sign_ins["lexoffice"].flow
    assert (count(), len(listener_threads())) == (1, 2)
    states = [dict(parse_qsl(urlsplit(link).query))["state"] for link in links]
    known = [flow._knows(Secret(f"{flow.redirect_uri}?code=1&state={state}")) for state in states]
    assert known == [False] * 2 + [True] * (MOST_EARLIER + 1)


# --- several names ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("at_once", [False, True])
def test_two_names_at_one_port_share_its_listener_and_each_gets_its_own_callback(
    box: Sandbox, free_port: int, count: Callable[[], int], at_once: bool
) -> None:
    uri = f"http://127.0.0.1:{free_port}/callback"
    flows = [run(name, redirect_uri=uri) for name in ("mine", "yours")]
    assert (count(), len(listener_threads())) == (1, 2)
    callbacks = [allow(flow.link, person) for flow, person in zip(flows, ("demo", "kanzlei"), strict=True)]
    pages: list[int] = []
    threads = [threading.Thread(target=lambda c=callback: pages.append(browse(c)[0])) for callback in callbacks]
    for thread in threads:
        thread.start()
        if not at_once:
            thread.join(10)
    for thread in threads:
        thread.join(10)
    assert pages == [200, 200]
    assert [flow.state for flow in flows] == ["signed_in", "signed_in"]
    assert flows[0].session.account.company == "Muster & Söhne GmbH"
    assert flows[1].session.account.company not in ("", "Muster & Söhne GmbH")
    eventually(lambda: is_free(free_port), 4)


@pytest.mark.usefixtures("notebook", "box")
def test_the_end_of_one_name_leaves_the_port_to_the_other(free_port: int) -> None:
    uri = f"http://127.0.0.1:{free_port}/callback"
    mine, yours = run("mine", redirect_uri=uri), run("yours", redirect_uri=uri)
    mine.close()
    assert browse(allow(yours.link))[0] == 200
    assert yours.state == "signed_in"
    eventually(lambda: is_free(free_port), 4)


@pytest.mark.usefixtures("notebook", "box")
def test_what_belongs_to_no_name_is_refused_by_the_newest(free_port: int) -> None:
    uri = f"http://127.0.0.1:{free_port}/callback"
    mine, yours = run("mine", redirect_uri=uri), run("yours", redirect_uri=uri)
    assert browse(f"{uri}?code=1&state=2")[0] == 400
    assert (code_of(mine), code_of(yours)) == (None, "state_mismatch")


@pytest.mark.usefixtures("notebook", "box")
def test_names_with_a_port_of_their_own_share_none(count: Callable[[], int]) -> None:
    mine, yours = run("mine"), run("yours")
    assert mine.redirect_uri != yours.redirect_uri
    assert (count(), len(listener_threads())) == (2, 4)
    assert browse(allow(yours.link))[0] == 200
    assert (mine.state, yours.state) == ("waiting", "signed_in")
