"""What RFC 9700, RFC 8252, RFC 9207, OAuth 2.1, OWASP's cheat sheet and RFC 8725 say of a client, as far as nobody
else's tests prove it."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from lexoffice_nb.errors import (
    AccessDenied,
    CallbackError,
    DiscoveryError,
    IdTokenError,
    InvalidGrant,
    LoginError,
    SignedOut,
    StateMismatch,
    TokenEndpointError,
)
from lexoffice_nb.notebook.loopback import LoopbackListener
from lexoffice_nb.notebook.loopback_page import Page
from lexoffice_nb.oauth import id_token, token_endpoint
from lexoffice_nb.oauth.login import DEFAULT_SCOPES, LexofficeLogin
from lexoffice_nb.oauth.metadata import METADATA_LIMIT
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.transport import fetch
from lexoffice_nb.session import LexofficeSession
from tests.conformance.marking import case
from tests.conformance.signing_in import api_of, logged_in, refused, refused_callback, source_of
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    OPENID_DOCUMENT,
    REDIRECT_URI,
    Raw,
    as_json,
    ec_key,
    okp_key,
    public,
    rsa_key,
    signed,
)
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from tests.oauth.conftest import StartProvider

AGAIN = "Start again; if it happens again, tell the provider."
TELL = "Tell the provider; nothing was kept."
NEWEST = "newest login link"


def test_the_login_that_these_differ_from_is_good(start: StartProvider) -> None:
    assert logged_in(start()).claims["sub"] == "person-1"


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/01-fresh-s256")
def test_each_request_has_a_challenge_of_its_own(start: StartProvider) -> None:
    attempt = attempt_at(start())
    sent = [parameters_of(attempt.get_login_url()) for _ in range(20)]
    assert len({each["code_challenge"] for each in sent}) == 20
    assert {each["code_challenge_method"] for each in sent} == {"S256"}


@pytest.mark.case("statement/01-verifier")
def test_a_verifier_comes_from_secrets_and_has_43_to_128_characters(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    original = secrets.token_urlsafe

    def noted(octets: int | None = None) -> str:
        given.append(original(octets))
        return given[-1]

    monkeypatch.setattr(secrets, "token_urlsafe", noted)
    server = start()
    attempt = attempt_at(server)
    url = attempt.get_login_url()
    of_the_attempt = list(given)
    attempt.handle_callback(server.authorize(url))
    verifier = server.forms[0]["code_verifier"]
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    assert verifier in of_the_attempt


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("offered", [["plain"], ["plain", "S256"], LEFT_OUT])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.case("statement/01-never-plain")
def test_the_challenge_is_never_plain_whatever_the_client_and_the_metadata_are(
    start: StartProvider, method: str, offered: object
) -> None:
    server = start(metadata={"code_challenge_methods_supported": offered})
    provider = Provider.discover(server.issuer, client_authentication=method)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, None if method == "none" else "secret")
    url = attempt.get_login_url()
    attempt.handle_callback(server.authorize(url))
    assert parameters_of(url)["code_challenge_method"] == "S256"
    assert parameters_of(url)["code_challenge"] != server.forms[0]["code_verifier"]


@pytest.mark.case("statement/06-no-implicit-grant")
def test_a_code_is_all_that_is_asked_for(start: StartProvider) -> None:
    sent = parameters_of(attempt_at(start()).get_login_url())
    assert sent["response_type"] == "code"
    assert "response_mode" not in sent


@pytest.mark.case("statement/06-no-password-grant")
def test_only_codes_and_refresh_tokens_are_exchanged(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    server.claims = {"nonce": LEFT_OUT}
    source.renew(source.tokens.access_token)
    assert {form["grant_type"] for form in server.forms} == {"authorization_code", "refresh_token"}
    assert not any({"username", "password"} & form.keys() for form in server.forms)
    written = Path(token_endpoint.__file__).read_text("utf-8")
    assert set(re.findall(r'"grant_type": "(\S+)"', written)) == {"authorization_code", "refresh_token"}


@pytest.mark.case("statement/08-least-scope")
def test_no_scope_is_asked_for_but_those_that_were_named_or_the_short_list(start: StartProvider) -> None:
    server = start()
    assert parameters_of(attempt_at(server, scopes=("openid",)).get_login_url())["scope"] == "openid"
    assert parameters_of(attempt_at(server, scopes=()).get_login_url())["scope"] == " ".join(DEFAULT_SCOPES)
    assert DEFAULT_SCOPES == ("openid", "profile", "invoice.read")


@pytest.mark.parametrize("listed", [["plain"], [], LEFT_OUT])
@pytest.mark.case("statement/02-s256-not-listed")
def test_metadata_without_s256_is_warned_about(
    start: StartProvider, caplog: pytest.LogCaptureFixture, listed: object
) -> None:
    server = start(metadata={"code_challenge_methods_supported": listed})
    with caplog.at_level(logging.WARNING):
        attempt_at(start())
        assert caplog.records == []
        attempt = attempt_at(server)
    (warning,) = caplog.records
    assert (warning.name, warning.levelname) == ("lexoffice_nb", "WARNING")
    assert "S256" in warning.getMessage()
    assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"


@pytest.mark.case("statement/08-resource")
def test_a_resource_is_sent_with_both_requests(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server, resource="https://api.example/v1")
    url = attempt.get_login_url()
    attempt.handle_callback(server.authorize(url))
    assert parameters_of(url)["resource"] == server.forms[0]["resource"] == "https://api.example/v1"
    assert "resource" not in parameters_of(attempt_at(server).get_login_url())


# --- the callback -----------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/03-state-single-use")
def test_a_callback_is_taken_once(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    attempt.handle_callback(callback)
    refused(CallbackError, "callback", "callback_used", NEWEST, lambda: attempt.handle_callback(callback))
    assert server.token_requests == 1


@pytest.mark.case("statement/03-state-bound", "statement/03-open-after-another")
def test_the_state_of_another_attempt_is_refused_and_leaves_this_one_open(start: StartProvider) -> None:
    server = start()
    other, attempt = attempt_at(server), attempt_at(server)
    theirs = server.authorize(other.get_login_url())
    right = server.authorize(attempt.get_login_url())
    refused(StateMismatch, "callback", "state_mismatch", NEWEST, lambda: attempt.handle_callback(theirs))
    assert server.token_requests == 0
    assert attempt.open
    assert attempt.handle_callback(right).claims["sub"] == "person-1"


@pytest.mark.case("statement/03-state-bound")
def test_under_the_state_of_one_link_the_code_of_another_is_not_exchanged(start: StartProvider) -> None:
    """Each state has a verifier of its own, so the server refuses the code."""
    server = start()
    attempt = attempt_at(server)
    one, two = attempt.get_login_url(), attempt.get_login_url()
    mixed = server.authorize(two, state=parameters_of(one)["state"])
    with pytest.raises(InvalidGrant) as caught:
        attempt.handle_callback(mixed)
    assert (caught.value.stage, caught.value.code) == ("token", "invalid_grant")
    assert caught.value.remedy
    assert attempt.tokens is None


@pytest.mark.case("statement/03-state-constant-time")
def test_the_state_is_compared_by_the_function_that_takes_the_same_time_for_all(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[object, ...]] = []
    original = hmac.compare_digest

    def noted(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    server = start()
    attempt = attempt_at(server)
    url = attempt.get_login_url()
    state = parameters_of(url)["state"]
    wrong = server.authorize(url, state="x" + state[1:])
    with pytest.raises(StateMismatch):
        attempt.handle_callback(wrong)
    assert (("x" + state[1:]).encode(), state.encode()) in [tuple(map(as_octets, pair)) for pair in compared]


def as_octets(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"iss": "https://evil.example"}, CallbackError, "iss_differs"),
        ({"code": LEFT_OUT}, CallbackError, "code_missing"),
        ({"error": "server_error"}, CallbackError, "callback_code_and_error"),
        ({"code": LEFT_OUT, "error": "access_denied"}, AccessDenied, "access_denied"),
    ],
    ids=["iss", "code", "code_and_error", "error"],
)
@pytest.mark.case("statement/03-void-after-its-callback")
def test_the_first_callback_with_its_state_ends_an_attempt(
    start: StartProvider, changes: dict[str, object], kind: type[CallbackError], code: str
) -> None:
    server = start()
    attempt = attempt_at(server)
    url = attempt.get_login_url()
    with pytest.raises(kind) as caught:
        attempt.handle_callback(server.authorize(url, **changes))
    assert (caught.value.stage, caught.value.code) == ("callback", code)
    right = server.authorize(url)
    refused(CallbackError, "callback", "callback_used", NEWEST, lambda: attempt.handle_callback(right))
    assert server.token_requests == 0


@pytest.mark.case("statement/04-one-issuer")
def test_a_code_goes_to_the_token_endpoint_of_the_issuer_that_its_attempt_began_at(start: StartProvider) -> None:
    one, other = start(), start()
    first, second = attempt_at(one), attempt_at(other)
    url = first.get_login_url()
    second.get_login_url()
    assert first.handle_callback(one.authorize(url)).claims["iss"] == one.issuer
    assert (one.token_requests, other.token_requests) == (1, 0)
    # The other issuer answers in its own name with the state of the first: a mix-up.
    mixed = attempt_at(one)
    link = mixed.get_login_url()
    remedy = AGAIN
    refused(CallbackError, "callback", "iss_differs", remedy, lambda: mixed.handle_callback(other.authorize(link)))
    assert (one.token_requests, other.token_requests) == (1, 0)


TOKENS = ("access_token", "refresh_token", "id_token")


@pytest.mark.parametrize(
    ("between", "name"),
    [
        *(case("statement/05-token-in-fragment", "#", name) for name in TOKENS),
        *(case("statement/05-token-in-query", "&", name) for name in TOKENS),
    ],
)
def test_a_pasted_url_with_a_token_is_refused(start: StartProvider, between: str, name: str) -> None:
    refused_callback(
        start(),
        lambda server, url: f"{server.authorize(url)}{between}{name}=a-token",
        CallbackError,
        "callback_has_tokens",
        "start again from the login page",
    )


@pytest.mark.parametrize("name", ["code", "state", "iss", "x"])
@pytest.mark.case("statement/17-repeated")
def test_a_repeated_parameter_is_refused(start: StartProvider, name: str) -> None:
    refused_callback(
        start(),
        lambda server, url: f"{server.authorize(url, x='1')}&{name}=again",
        CallbackError,
        "callback_repeats",
        "Copy the address again",
    )


@pytest.mark.parametrize("what", ["callback", "metadata", "token", "claims", "header"])
@pytest.mark.case("statement/17-unknown")
def test_an_unknown_member_is_ignored(start: StartProvider, what: str) -> None:
    assert logged_in(start(**{what: {"x_of_theirs": "1"}})).claims["sub"] == "person-1"


@pytest.mark.parametrize("hostile", ["<b>x</b>", "see https://evil.example/now", "javascript:alert(1)//x"])
@pytest.mark.case("statement/18-error-description")
def test_error_description_is_text_in_which_nothing_can_be_clicked(start: StartProvider, hostile: str) -> None:
    server = start()
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url(), code=LEFT_OUT, error="server_error", error_description=hostile)
    with pytest.raises(CallbackError) as caught:
        attempt.handle_callback(callback)
    shown = "\n".join([str(caught.value), *caught.value._render_traceback_()])
    assert "https://evil" not in shown
    assert not hasattr(caught.value, "_repr_html_")
    assert not hasattr(caught.value, "_repr_markdown_")


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/07-rotated-token-first")
def test_the_rotated_refresh_token_is_kept_even_if_what_comes_with_it_is_refused(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.token, server.claims = {"refresh_token": "rotated"}, {"sub": "person-2"}
    refused(IdTokenError, "id_token", "sub_bad", AGAIN, lambda: source.renew(before.access_token))
    assert source.tokens.access_token == before.access_token
    server.claims = {"nonce": LEFT_OUT}
    source.renew(before.access_token)
    assert server.forms[-1]["refresh_token"] == "rotated"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.case("statement/07-not-sent")
def test_after_a_renewal_that_was_put_off_the_same_token_serves_again(start: StartProvider, status: int) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.claims = {"nonce": LEFT_OUT}
    server.raw["/token"] = Raw(status)
    refused(TokenEndpointError, "refresh", "token_server", "minute", lambda: source.renew(before.access_token))
    del server.raw["/token"]
    assert source.renew(before.access_token) != before.access_token
    assert server.forms[-1]["refresh_token"] == server.forms[-2]["refresh_token"]


@pytest.mark.parametrize(("reason", "code"), [("refused", "unreachable"), ("name", "unreachable"), ("tls", "tls")])
@pytest.mark.case("statement/07-not-sent")
def test_after_a_renewal_that_was_never_sent_the_same_token_serves_again(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch, reason: str, code: str
) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.claims = {"nonce": LEFT_OUT}
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{bound.getsockname()[1]}/token"
        away = {
            "refused": closed,
            "name": "https://no-such-host.invalid/token",
            "tls": server.origin.replace("http:", "https:") + "/token",
        }[reason]
        if reason == "name":
            monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
        endpoint = source._sign_in.endpoint
        assert endpoint is not None
        provider = endpoint.provider
        right = provider.token_endpoint
        object.__setattr__(provider, "token_endpoint", away)
        with pytest.raises(LoginError) as caught:
            source.renew(before.access_token)
        assert (caught.value.stage, caught.value.code) == ("refresh", code)
        assert source.tokens == before
        object.__setattr__(provider, "token_endpoint", right)
    monkeypatch.undo()
    assert source.renew(before.access_token) != before.access_token
    assert before.refresh_token is not None
    assert server.forms[-1]["refresh_token"] == before.refresh_token.reveal()


def no_such_host(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "not known")


@pytest.mark.case("statement/09-urls", "statement/20-header-only")
def test_tokens_are_in_no_url_and_the_access_token_only_in_the_header(start: StartProvider) -> None:
    server = start(raw={"/v1/profile": as_json({}), "/userinfo": as_json({"sub": "person-1"})})
    server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    with LexofficeSession.from_login(api_of(server)) as session:
        server.claims = {"nonce": LEFT_OUT}
        first = session.tokens
        server.raw["/v1/x"] = as_json({})
        session._source.renew(first.access_token)
        second = session.tokens
        session.userinfo()
        assert session.get("/v1/x").url == f"{server.origin}/v1/x"
        assert f"Bearer {second.access_token.reveal()}" in [sent.get("Authorization") for sent in server.headers]
        session.logout()
    held = [t.reveal() for tokens in (first, second) for t in (tokens.access_token, tokens.refresh_token) if t]
    assert len(held) == 4
    assert len(server.targets) > 6
    assert [target for target in server.targets if any(token in target for token in held)] == []
    assert [form for form in server.forms if any(access in form.values() for access in held[::2])] == []


@pytest.mark.parametrize(
    "access_token", ["opaque", "a.b.c", "{}", signed({"alg": "none"}, {"iss": "x", "exp": 1}, None), "." * 5000]
)
@pytest.mark.case("statement/19-opaque")
def test_an_access_token_of_any_look_is_used_as_it_is(start: StartProvider, access_token: str) -> None:
    server = start(token={"access_token": access_token}, raw={"/v1/profile": as_json({}), "/userinfo": Raw(404)})
    with LexofficeSession.from_login(api_of(server)) as session:
        assert session.tokens.access_token.reveal() == access_token
        assert f"Bearer {access_token}" in [sent.get("Authorization") for sent in server.headers]


@pytest.mark.parametrize("uri", [REDIRECT_URI, "http://127.0.0.1:8765/callback/", "https://app.example/cb?a=b%20c"])
@pytest.mark.case("statement/15-redirect-uri")
def test_redirect_uri_is_in_the_token_request_to_the_letter(start: StartProvider, uri: str) -> None:
    server = start()
    attempt = LexofficeLogin(CLIENT_ID, uri, ["openid"], Provider.discover(server.issuer))
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    assert server.forms[0]["redirect_uri"] == uri


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.case("statement/16-one-authentication")
def test_each_request_authenticates_the_client_in_one_way(start: StartProvider, method: str) -> None:
    server = start()
    server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    provider = Provider.discover(server.issuer, client_authentication=method)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, None if method == "none" else "secret")
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    tokens = attempt.tokens
    assert tokens is not None
    assert tokens.refresh_token is not None
    server.claims = {"nonce": LEFT_OUT}
    attempt.endpoint.refresh(tokens.refresh_token)
    attempt.endpoint.revoke(tokens.access_token, "access_token")
    headers = [sent.get("Authorization", "").partition(" ")[0] for sent in server.headers if "Content-Type" in sent]
    forms = [*server.forms, *server.revocations]
    assert headers == ["Basic" if method == "client_secret_basic" else ""] * 3
    assert ["client_secret" in form for form in forms] == [method == "client_secret_post"] * 3
    assert ["client_id" in form for form in forms] == [method != "client_secret_basic"] * 3


@pytest.mark.case("statement/30-memory")
def test_after_log_out_nothing_of_the_sign_in_is_left(start: StartProvider) -> None:
    server = start(raw={"/v1/profile": as_json({}), "/userinfo": Raw(404)})
    session = LexofficeSession.from_login(api_of(server))
    token = session.tokens.access_token
    session.logout()
    sent = server.counts.copy()
    for use in (lambda: session.tokens, lambda: session.get("/v1/x"), lambda: session._source.renew(token)):
        refused(SignedOut, "authorize", "signed_out_logout", "%lexoffice_login", use)
    assert server.counts == sent


@pytest.mark.case("statement/30-says-what-failed")
def test_log_out_says_what_failed_and_forgets_all_the_same(start: StartProvider) -> None:
    server = start(raw={"/v1/profile": as_json({}), "/userinfo": Raw(404), "/revoke": Raw(503)})
    server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    session = LexofficeSession.from_login(api_of(server))
    failures = session.logout()
    assert [(type(f), f.stage, f.code) for f in failures] == [(TokenEndpointError, "revocation", "token_server")]
    assert failures[0].remedy
    assert not session.signed_in


# --- the listener -----------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/12-bound-to-loopback")
def test_the_listener_is_bound_to_127_0_0_1_alone() -> None:
    listener = LoopbackListener(lambda _: Page("", ""))
    try:
        port = urlsplit(listener.redirect_uri).port
        assert port is not None
        socket.create_connection(("127.0.0.1", port), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)
    finally:
        listener.close()


# --- https ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.case("statement/14-https")
def test_an_endpoint_over_http_is_for_this_machine_alone(start: StartProvider, name: str) -> None:
    server = start(metadata={name: "http://issuer.example/x"})
    remedy = "Ask the provider; nothing was sent."
    refused(DiscoveryError, "discovery", "endpoint_not_allowed", remedy, lambda: Provider.discover(server.issuer))
    remedy = "Check --issuer"
    refused(
        DiscoveryError, "discovery", "issuer_not_allowed", remedy, lambda: Provider.discover("http://issuer.example")
    )


@pytest.mark.case("statement/14-verification")
def test_a_certificate_that_nobody_vouches_for_is_refused_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONHTTPSVERIFY", "CURL_INSECURE", "REQUESTS_VERIFY", "SSL_VERIFY", "LEXOFFICE_VERIFY"):
        monkeypatch.setenv(name, "0")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    read: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(5)
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        read.append(secure.recv(1000))
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/token"
        form = {"code": "the-code"}
        with pytest.raises(LoginError) as caught:
            fetch("POST", url, stage="token", limit=1000, form=form)
        thread.join(5)
    assert (caught.value.stage, caught.value.code) == ("token", "tls")
    assert caught.value.remedy
    assert b"".join(read) == b""


def self_signed(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


# --- the ID token -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        case("statement/21-rs256", "RS256", rsa_key()),
        case("statement/21-ps256", "PS256", rsa_key()),
        case("statement/21-es256", "ES256", ec_key()),
        case("statement/21-eddsa", "EdDSA", okp_key()),
    ],
)
def test_an_algorithm_of_the_fixed_list_is_accepted(start: StartProvider, alg: str, key: Any) -> None:
    server = start(header={"alg": alg, "kid": key.kid}, key=key, jwks=[public(key)], claims={"at_hash": LEFT_OUT})
    assert logged_in(server).claims["sub"] == "person-1"


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS384", "PS512"])
@pytest.mark.case("statement/21-fixed-list")
def test_an_algorithm_beside_the_list_is_refused_though_header_metadata_and_key_name_it(
    start: StartProvider, alg: str
) -> None:
    server = start(
        header={"alg": alg},
        jwks=[public(rsa_key(), alg=alg)],
        metadata={"id_token_signing_alg_values_supported": [alg]},
        claims={"at_hash": LEFT_OUT},
    )
    refused(IdTokenError, "id_token", "alg_not_allowed", "RS256, PS256", lambda: logged_in(server))


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.case("statement/21-hs256")
def test_hs256_is_refused_for_a_confidential_client_too(start: StartProvider, method: str) -> None:
    server = start(header={"alg": "HS256"}, key=b"the-client-secret", jwks=[{"kty": "oct", "kid": "one", "k": "AAAA"}])
    provider = Provider.discover(server.issuer, client_authentication=method)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, "the-client-secret")
    callback = server.authorize(attempt.get_login_url())
    refused(IdTokenError, "id_token", "alg_not_allowed", "RS256", lambda: attempt.handle_callback(callback))


@pytest.mark.parametrize(
    ("ago", "code", "remedy"),
    [
        (0, None, ""),
        (3500, None, ""),
        (3700, "auth_time_old", "Sign out at the provider"),
        (LEFT_OUT, "auth_time_missing", "Tell the provider"),
    ],
)
@pytest.mark.case("statement/23-auth-time")
def test_auth_time_is_checked_where_max_age_was_sent(
    start: StartProvider, ago: Any, code: str | None, remedy: str
) -> None:
    server = start(claims={"auth_time": ago if ago is LEFT_OUT else time.time() - ago})
    assert logged_in(server).claims["sub"] == "person-1"  # nobody asked then
    attempt = attempt_at(server, max_age=3600)
    url = attempt.get_login_url()
    assert parameters_of(url)["max_age"] == "3600"
    callback = server.authorize(url)
    if code is None:
        assert attempt.handle_callback(callback).claims["sub"] == "person-1"
    else:
        refused(IdTokenError, "id_token", code, remedy, lambda: attempt.handle_callback(callback))
        assert attempt.tokens is None


@pytest.mark.parametrize(
    ("jwks", "code", "remedy"),
    [
        case("statement/22-kid", [public(rsa_key(), kid="another")], "key_unknown", "in a minute"),
        case("statement/22-kid", [public(rsa_key("evil"), kid="one")], "signature_bad", AGAIN),
        case("statement/22-kty", [public(ec_key(), kid="one")], "key_unknown", "in a minute"),
        case("statement/22-use", [public(rsa_key(), use="enc")], "key_unknown", "in a minute"),
        case("statement/22-alg", [public(rsa_key(), alg="PS256")], "key_unknown", "in a minute"),
    ],
)
def test_a_key_is_not_taken_that_differs_in(
    start: StartProvider, jwks: list[dict[str, Any]], code: str, remedy: str
) -> None:
    server = start(jwks=jwks)
    refused(IdTokenError, "id_token", code, remedy, lambda: logged_in(server))


@pytest.mark.parametrize("where", ["jwks", "right"])
@pytest.mark.case("statement/22-kid")
def test_of_several_keys_the_one_with_that_kid_is_taken(start: StartProvider, where: str) -> None:
    others = [public(rsa_key("two")), public(ec_key()), public(okp_key())]
    jwks = [public(rsa_key()), *others] if where == "right" else [*others, public(rsa_key())]
    assert logged_in(start(jwks=jwks)).claims["sub"] == "person-1"


@pytest.mark.parametrize(
    ("member", "code"), [("jwk", "header_key"), ("jku", "header_key"), ("x5u", "header_key"), ("x5c", "signature_bad")]
)
@pytest.mark.case("statement/22-keys-in-the-header")
def test_no_key_comes_out_of_the_header(start: StartProvider, member: str, code: str) -> None:
    evil = rsa_key("evil")
    elsewhere = start(jwks=[public(evil)])
    value = {
        "jwk": public(evil),
        "jku": f"{elsewhere.origin}/jwks",
        "x5u": f"{elsewhere.origin}/jwks",
        "x5c": ["AAAA"],
    }[member]
    server = start(key=evil, header={member: value})
    refused(IdTokenError, "id_token", code, TELL if code == "header_key" else AGAIN, lambda: logged_in(server))
    assert elsewhere.counts == {}


@pytest.mark.parametrize("crit", [["b64"], ["x"], []])
@pytest.mark.case("statement/22-crit")
def test_crit_is_refused_under_a_good_signature(start: StartProvider, crit: list[str]) -> None:
    server = start(header={"crit": crit})
    refused(IdTokenError, "id_token", "header_crit", TELL, lambda: logged_in(server))


@pytest.mark.parametrize(
    ("typ", "taken"), [("JWT", True), ("jwt", True), (LEFT_OUT, True), ("at+jwt", False), ("logout+jwt", False)]
)
@pytest.mark.case("statement/22-typ")
def test_typ_is_jwt_where_there_is_one(start: StartProvider, typ: object, taken: bool) -> None:
    server = start(header={"typ": typ})
    if taken:
        assert logged_in(server).claims["sub"] == "person-1"
    else:
        refused(IdTokenError, "id_token", "header_typ", TELL, lambda: logged_in(server))


@pytest.mark.case("statement/24-id-token")
def test_an_id_token_of_more_than_64_kib_is_refused(start: StartProvider) -> None:
    assert id_token.TOKEN_LIMIT == 64 * 1024
    fits = start(claims={"x": "x" * 40_000})
    assert logged_in(fits).claims["sub"] == "person-1"
    server = start(claims={"x": "x" * 50_000})
    with pytest.raises(IdTokenError) as caught:
        logged_in(server)
    assert (caught.value.stage, caught.value.code) == ("id_token", "id_token_too_long")
    assert caught.value.remedy
    assert server.counts["/jwks"] == 0


@pytest.mark.case("statement/24-metadata")
def test_metadata_of_more_than_256_kib_is_refused(start: StartProvider) -> None:
    assert METADATA_LIMIT == 256 * 1024
    assert Provider.discover(start(metadata={"x": "x" * 250_000}).issuer).openid
    server = start(metadata={"x": "x" * 262_144})
    remedy = "no answer that a provider gives"
    refused(DiscoveryError, "discovery", "too_large", remedy, lambda: Provider.discover(server.issuer))
    assert set(server.counts) == {OPENID_DOCUMENT}


@pytest.mark.case("statement/24-jwks")
def test_a_jwks_of_more_than_512_kib_is_refused(start: StartProvider) -> None:
    assert id_token.JWKS_LIMIT == 512 * 1024
    assert logged_in(start(jwks=[public(rsa_key(), x="x" * 500_000)])).claims["sub"] == "person-1"
    server = start(jwks=[public(rsa_key(), x="x" * 524_288)])
    remedy = "no answer that a provider gives"
    refused(LoginError, "id_token", "too_large", remedy, lambda: logged_in(server))


@pytest.mark.case("statement/25-refetch-once")
def test_the_keys_are_fetched_once_more_for_an_unknown_kid_and_then_not_for_a_while(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    for kid, fetched in (("two", 2), ("two", 2), ("three", 2)):
        server.header = {"kid": kid}
        callback = server.authorize(attempt.get_login_url())
        with pytest.raises(IdTokenError) as caught:
            attempt.handle_callback(callback)
        assert caught.value.code == "key_unknown"
        assert server.counts["/jwks"] == fetched


@pytest.mark.case("statement/25-old-keys-stay")
def test_the_old_keys_stay_when_that_fails(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    server.header, server.raw["/jwks"] = {"kid": "two"}, Raw(500)
    callback = server.authorize(attempt.get_login_url())
    remedy = "Start again in a minute."
    refused(IdTokenError, "id_token", "jwks_unreadable", remedy, lambda: attempt.handle_callback(callback))
    server.header = {}
    assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"
