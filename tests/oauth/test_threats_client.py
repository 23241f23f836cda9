"""Threats to the client, by number: what a hostile or broken provider can make of it (/docs/architecture.md).

Parts that are proved elsewhere are named beside the tests that are here.
"""

from __future__ import annotations

import functools
import gzip
import json
import socket
import time
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import DiscoveryError, IdTokenError, LoginError, SignedOut, TokenEndpointError, UserinfoError
from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.sign_in_request import SignInRequest
from lexoffice_nb.notebook.terminal import sign_in_terminal
from lexoffice_nb.oauth import metadata, presets, transport
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenEndpoint
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.token_store import Account
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.userinfo import userinfo
from lexoffice_nb.session import LexofficeSession, SignedIn
from lexoffice_nb.texts import use_language
from tests.oauth.misbehaving import CLIENT_ID, OPENID_DOCUMENT, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import attempt_at, log_in, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lexoffice_nb.notebook.terminal_reader import Wake
    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

# Every stage that talks to a provider, and where it asks.
STAGES = {
    "discovery": OPENID_DOCUMENT,
    "token": "/token",
    "id_token": "/jwks",
    "userinfo": "/userinfo",
    "refresh": "/token",
    "revocation": "/revoke",
}
NEAR = [
    *("http://127.0.0.1:8888/x", "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://127.1/x"),
    *("https://169.254.169.254/x", "https://[fe80::1]/x", "https://10.0.0.1/x", "https://192.168.0.1/x"),
    *("https://172.16.0.1/x", "https://[fd00::1]/x", "https://[::ffff:10.0.0.1]/x", "https://router/x"),
]
NO_LINK = [
    "javascript:alert(1)",
    "data:text/html,x",
    "https://you@a.example/x",
    "https://you:pw@a.example/x",
    "file:///x",
]


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the person's own file belongs; it is not there yet."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path)
    return tmp_path / "providers.toml"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A place of this machine that nobody may be led to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        yield listening


def was_asked(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


def with_all_endpoints(server: misbehaving.Provider, **more: object) -> misbehaving.Provider:
    server.metadata = {
        "revocation_endpoint": f"{server.origin}/revoke",
        "userinfo_endpoint": f"{server.origin}/userinfo",
        "end_session_endpoint": f"{server.origin}/out",
        **more,
    }
    return server


def at_stage(stage: str, server: misbehaving.Provider, answer: Raw) -> Callable[[], object]:
    """Has a provider answer so at one stage; gives what leads to that stage."""
    if stage == "discovery":
        server.raw[STAGES[stage]] = answer
        return lambda: Provider.discover(server.issuer)
    attempt = attempt_at(with_all_endpoints(server))
    callback = Secret(server.authorize(attempt.get_login_url()))
    server.raw[STAGES[stage]] = answer
    endpoint = TokenEndpoint(attempt.provider, CLIENT_ID)
    acts: dict[str, Callable[[], object]] = {
        "token": lambda: attempt.handle_callback(callback),
        "id_token": lambda: attempt.handle_callback(callback),
        "userinfo": lambda: userinfo(attempt.provider, attempt.keys, CLIENT_ID, Secret("bearer"), "person-1"),
        "refresh": lambda: endpoint.refresh(Secret("refresh")),
        "revocation": lambda: endpoint.revoke(Secret("refresh"), "refresh_token"),
    }
    return acts[stage]


# --- threat 6: who chose the provider ---

CHOSEN = {"en": "(chosen by this notebook)", "de": "(von diesem Notebook gewählt)"}
OWN = {"en": "(from your own file)", "de": "(aus Ihrer eigenen Datei)"}


def labels(flow: LoginFlow, server: misbehaving.Provider | None, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Signs in as in a terminal; gives what card, terminal and receipt said of the provider."""
    said: dict[str, str] = {}

    def read(_: str, __: Wake) -> Secret:
        said["card"] = _provider_row(card(flow)["rows"])
        said["terminal"] = capsys.readouterr().out.partition(flow.link)[0]
        if server is None:
            raise SignedOut("signed_out_no_person")
        return Secret(server.authorize(flow.link))

    try:
        session = sign_in_terminal(flow, read)
        said["receipt"] = next(row.value for row in session.receipt().rows() if row.label in ("Provider", "Anbieter"))
        said["receipt_html"] = session._repr_html_()
        said["signed_in_card"] = _provider_row(card(flow)["rows"])
        session.forget()
    except SignedOut:
        assert server is None
    finally:
        flow.close()
    return said


def _provider_row(rows: list[dict[str, Any]]) -> str:
    return next(row["value"] for row in rows if row["label"] in ("Provider", "Anbieter"))


def flow_of(**asked: Any) -> LoginFlow:
    return LoginFlow(
        SignInRequest(**{"client_id": CLIENT_ID, "loopback": False, "redirect_uri": REDIRECT_URI, **asked})
    )


@pytest.mark.parametrize("language", ["en", "de"])
def test_threat_06_an_issuer_that_a_notebook_names_is_labelled_everywhere(
    start: StartProvider, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    use_language(language)
    server = start()
    said = labels(flow_of(issuer=server.issuer), server, capsys)
    assert {place: CHOSEN[language] in words for place, words in said.items()} == dict.fromkeys(said, True)
    assert len(said) == 5


@pytest.mark.parametrize("by_name", [True, False], ids=["by_name", "by_issuer"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_threat_06_one_of_the_persons_own_file_is_labelled_as_such(
    start: StartProvider, own_file: Path, capsys: pytest.CaptureFixture[str], by_name: bool, language: str
) -> None:
    use_language(language)
    server = start()
    own_file.write_text(f"[mine]\nissuer = '{server.issuer}'\n")
    own_file.chmod(0o600)
    said = labels(flow_of(**({"provider": "mine"} if by_name else {"issuer": server.issuer})), server, capsys)
    assert {place: OWN[language] in words for place, words in said.items()} == dict.fromkeys(said, True)
    assert len(said) == 5
    assert all(CHOSEN[language] not in words for words in said.values())


def test_threat_06_a_shipped_one_has_neither_label(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the sign-in; `lexware` cannot be signed in to here, and the sandbox's receipt is that of test_receipt."""
    flow = flow_of(provider="lexware", redirect_uri=None)
    flow.prepare()
    flow.take_client_secret(Secret("secret"))
    assert flow.provider is not None
    assert flow.provider.source == "shipped"
    assert _provider_row(card(flow)["rows"]) == "Lexware Office (formerly lexoffice)"
    session = LexofficeSession()
    session._signed_in = SignedIn(TokenSource(), flow.provider, None, Account())
    assert replace(session.receipt(), signed_in=True).rows()[0].value == "Lexware Office (formerly lexoffice)"
    flow.close()
    assert not any(label in capsys.readouterr().out for label in (CHOSEN["en"], OWN["en"]))


LOOK_ALIKES = [
    "Sandbox on this machine",
    "Lexware Office (formerly lexoffice)",
    "lexware",
    "x" * 500,
    "Lexware Office" + " " * 400 + "x",
    "{provider}",
    "<b hidden>",
]


@pytest.mark.parametrize("title", LOOK_ALIKES)
def test_threat_06_no_title_of_an_own_entry_makes_the_label_vanish(
    start: StartProvider, own_file: Path, capsys: pytest.CaptureFixture[str], title: str
) -> None:
    server = start()
    own_file.write_text(f"[lexware-office]\nissuer = '{server.issuer}'\ntitle = '{title}'\n")
    own_file.chmod(0o600)
    said = labels(flow_of(provider="lexware-office"), server, capsys)
    assert {place: OWN["en"] in words for place, words in said.items()} == dict.fromkeys(said, True)
    assert said["card"].endswith(OWN["en"])


@pytest.mark.parametrize("name", ["sandbox", "lexware", "paper"])
def test_threat_06_no_description_makes_the_label_vanish(
    start: StartProvider, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    title = LOOK_ALIKES[1]
    claims = {"name": name, "title": title, "source": "shipped", "shipped": True, "service_name": title}
    server = start(metadata=claims, claims={"organization": title})
    said = labels(flow_of(issuer=server.issuer), server, capsys)
    assert said["card"] == f"127.0.0.1 {CHOSEN['en']}"
    assert {place: CHOSEN["en"] in words for place, words in said.items()} == dict.fromkeys(said, True)


# --- threat 22: where a provider may lead ---
# Each way of writing such an address is in test_transport.py, each endpoint of a description in test_discovery.py,
# each one of a person's own file in test_presets.py; what becomes a link in the card is in tests/browser.


@pytest.mark.parametrize("name", metadata.ENDPOINTS)
@pytest.mark.parametrize("url", [*NEAR, *NO_LINK])
def test_threat_22_no_remote_issuer_leads_to_this_machine_its_network_or_a_script(name: str, url: str) -> None:
    described = {f"{other}": f"https://a.example/{other}" for other in metadata.ENDPOINTS}
    assert metadata.fields_of(described, "https://a.example")["issuer"] == "https://a.example"
    act = lambda: metadata.fields_of({**described, name: url}, "https://a.example")  # noqa: E731
    refused(DiscoveryError, "discovery", "endpoint_not_allowed", act)


@pytest.mark.parametrize("url", NEAR[1:])
def test_threat_22_an_issuer_that_is_there_itself_may_lead_there(url: str) -> None:
    described = dict.fromkeys(("authorization_endpoint", "token_endpoint"), url)
    assert metadata.fields_of(described, "http://127.0.0.1:1")["token_endpoint"] == url


@pytest.mark.parametrize("url", NO_LINK)
@pytest.mark.parametrize("name", ["end_session_endpoint", "authorization_endpoint", "userinfo_endpoint"])
def test_threat_22_a_local_issuer_leads_to_no_script_either(start: StartProvider, name: str, url: str) -> None:
    server = start(metadata={name: url})
    refused(DiscoveryError, "discovery", "endpoint_not_allowed", lambda: Provider.discover(server.issuer))


@pytest.mark.parametrize("url", [*NO_LINK, "http://a.example/out"])
def test_threat_22_a_page_to_sign_out_at_is_checked_before_it_is_linked(start: StartProvider, url: str) -> None:
    """However the provider came to be: here somebody put it together by hand."""
    server = start()
    found = Provider.discover(server.issuer)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=replace(found, end_session_endpoint=url))
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    session = LexofficeSession.from_login(attempt)
    assert session.end_session_url is None
    assert session._signed_in
    good = replace(found, end_session_endpoint=f"{server.origin}/out")
    session._signed_in = replace(session._signed_in, provider=good)
    assert str(session.end_session_url).startswith(f"{server.origin}/out?")
    session.forget()


def test_threat_22_other_addresses_of_a_provider_are_neither_fetched_nor_drawn(
    start: StartProvider, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metadata, claims and errors hold many more (a policy, a picture, `error_uri`): nothing is made of them."""
    trap = f"http://127.0.0.1:{listener.getsockname()[1]}/trap"
    more = (
        "op_policy_uri",
        "op_tos_uri",
        "service_documentation",
        "registration_endpoint",
        "logo_uri",
        "check_session_iframe",
    )
    pictured = dict.fromkeys(("picture", "profile", "website", "jku", "_claim_sources"), trap)
    server = start(claims=pictured, token=pictured, userinfo=lambda _: as_json({"sub": "person-1", **pictured}))
    with_all_endpoints(server, **dict.fromkeys(more, trap))
    flow = flow_of(issuer=server.issuer)
    drawn: list[str] = []

    def read(_: str, __: Wake) -> Secret:
        drawn.append(json.dumps(card(flow)))
        return Secret(server.authorize(flow.link))

    session = sign_in_terminal(flow, read)
    session.userinfo()
    drawn += [json.dumps(card(flow)), session._repr_html_(), str(session.end_session_url), capsys.readouterr().out]
    session.logout()
    flow.close()
    assert "trap" not in "".join(drawn)
    assert not was_asked(listener)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_threat_22_the_address_in_an_error_is_neither_fetched_nor_drawn(
    start: StartProvider, listener: socket.socket, status: int
) -> None:
    trap = f"http://127.0.0.1:{listener.getsockname()[1]}/trap"
    answer = as_json({"error": "server_error", "error_description": "sorry", "error_uri": trap}, status)
    with pytest.raises(TokenEndpointError) as caught:
        at_stage("token", start(), answer)()
    assert "trap" not in str(caught.value)
    assert not was_asked(listener)


# --- threat 23: redirects ---
# The token endpoint's own are in test_token_endpoint.py.


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("stage", ["discovery", "id_token", "userinfo"])
def test_threat_23_no_redirect_leads_to_another_origin_or_scheme(
    start: StartProvider, listener: socket.socket, stage: str, status: int
) -> None:
    """Not even a connection is made there, so nothing can have travelled."""
    port = listener.getsockname()[1]
    for location in ("http://127.0.0.1:{}/x", "https://127.0.0.1:{}/x", "//127.0.0.1:{}/x", "http://localhost:{}/x"):
        headers = {"Location": location.format(port), "Refresh": f"0; url=http://127.0.0.1:{port}/x"}
        server = start()
        act = at_stage(stage, server, Raw(status, b"{}", headers))
        with pytest.raises(LoginError) as caught:
            act()
        assert caught.value.stage == stage
        assert server.counts[STAGES[stage]] == 1
        assert not was_asked(listener)


# --- threat 24: time and size ---

SHORT = 0.3
DRIPPING = Raw(slowly=(b" ",) * 400, pause=0.05)
SHAPES = {"a_body": DRIPPING, "headers": replace(DRIPPING, slowly=(b"X-A: b\r\n",) * 400, headers_end=False)}


@pytest.mark.parametrize("answer", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("stage", STAGES)
def test_threat_24_each_stage_ends_when_its_time_is_over(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch, stage: str, answer: Raw
) -> None:
    """Each octet comes in time, the whole does not."""
    act = at_stage(stage, start(), answer)
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", SHORT)
    begun = time.monotonic()
    kind = DiscoveryError if stage == "discovery" else LoginError
    refused(kind, stage, "timeout", act)
    assert SHORT <= time.monotonic() - begun < 3


@functools.cache
def bomb(*, twice: bool = False) -> bytes:
    packed = gzip.compress(bytes(200 * 1024 * 1024), 9)
    return gzip.compress(packed, 9) if twice else packed


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("stage", STAGES)
def test_threat_24_at_each_stage_a_gzip_bomb_stops_at_the_limit(start: StartProvider, stage: str, twice: bool) -> None:
    encoding = "gzip, gzip" if twice else "gzip"
    answer = Raw(200, bomb(twice=twice), {"Content-Encoding": encoding, "Content-Type": "application/json"})
    act = at_stage(stage, start(), answer)
    kind = DiscoveryError if stage == "discovery" else LoginError
    tracemalloc.start()
    try:
        refused(kind, stage, "too_large", act)
        assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
    finally:
        tracemalloc.stop()


DEEP = b'{"keys":' + b"[" * 100_000
SPOILT = {
    "deep": DEEP,
    "an_infinity": b'{"sub": "person-1", "keys": [], "access_token": "a", "x": Infinity}',
    "nan": b'{"x": NaN}',
}
SAID = {
    "discovery": (DiscoveryError, "metadata_not_json"),
    "token": (TokenEndpointError, "token_not_json"),
    "id_token": (IdTokenError, "jwks_unreadable"),
    "userinfo": (UserinfoError, "userinfo_unreadable"),
    "refresh": (TokenEndpointError, "token_not_json"),
}


@pytest.mark.parametrize("body", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("stage", SAID)
def test_threat_24_at_each_stage_deep_json_and_infinities_are_refused(
    start: StartProvider, stage: str, body: bytes
) -> None:
    kind, code = SAID[stage]
    refused(kind, stage, code, at_stage(stage, start(), Raw(200, body)))


@pytest.mark.parametrize("body", SPOILT.values(), ids=SPOILT)
def test_threat_24_a_refused_revocation_is_refused_whatever_its_body(start: StartProvider, body: bytes) -> None:
    """A confirmed one has a body that nobody reads (RFC 7009 section 2.2)."""
    act = at_stage("revocation", start(), Raw(400, body))
    with pytest.raises(LoginError) as caught:
        act()
    assert caught.value.stage == "revocation"


def test_every_stage_is_one_that_works(start: StartProvider) -> None:
    """So that what is refused above is refused for its fault."""
    server = with_all_endpoints(start(userinfo=lambda _: as_json({"sub": "person-1"})))
    assert log_in(server).claims["sub"] == "person-1"
    for stage in ("userinfo", "refresh", "revocation"):
        good = as_json({"sub": "person-1", "access_token": "a", "token_type": "Bearer"})
        at_stage(stage, start(), good)()
    assert presets.names() == presets.shipped()
