"""What real servers do. Each of these was seen; a login at one that does nothing odd is proven first."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import CallbackError, SignedOut, TokenEndpointError, Unauthorized
from lexoffice_nb.notebook.loopback import LoopbackListener
from lexoffice_nb.notebook.loopback_page import Page
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.session import LexofficeSession
from tests.conformance.marking import case
from tests.conformance.signing_in import answering, api_of, logged_in, refused, refused_callback, source_of
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    OAUTH_DOCUMENT,
    OPENID_DOCUMENT,
    REDIRECT_URI,
    Raw,
    as_json,
)
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.oauth.tokens import Secret
    from tests.oauth.conftest import StartProvider
    from tests.oauth.misbehaving import Provider as Misbehaving

AGAIN = "Start again; if it happens again, tell the provider."
NO_NONCE = {"nonce": LEFT_OUT}


def test_a_login_and_a_renewal_at_an_ordinary_server_are_good(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    server.claims = NO_NONCE
    before = source.tokens.access_token
    assert source.renew(before) != before


@pytest.mark.case("real/01-single-flight-threads")
def test_of_eight_threads_with_one_rejected_token_one_renews(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    server.claims = NO_NONCE
    rejected = source.tokens.access_token
    together = threading.Barrier(8)
    given: list[Secret] = []

    def renew() -> None:
        together.wait()
        given.append(source.renew(rejected))

    threads = [threading.Thread(target=renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(given) == {source.tokens.access_token}
    assert len(given) == 8
    assert [form["grant_type"] for form in server.forms] == ["authorization_code", "refresh_token"]


@pytest.mark.case("real/02-no-replay", "statement/07-old-token-never-again")
def test_no_refresh_token_is_sent_a_second_time_while_answers_arrive(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    server.claims = NO_NONCE
    for _ in range(5):
        source.renew(source.tokens.access_token)
    sent = [form["refresh_token"] for form in server.forms if "refresh_token" in form]
    assert len(set(sent)) == len(sent) == 5


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("body", [b"", b'{"error": "invalid_grant"}', b"<html>"])
@pytest.mark.case("real/02-server-error-is-unknown")
def test_a_server_in_trouble_signs_nobody_out(start: StartProvider, status: int, body: bytes) -> None:
    server = start(raw={"/v1/profile": as_json({})})
    source = source_of(server)
    before = source.tokens
    server.raw["/token"] = Raw(status, body)
    remedy = "in a minute"
    refused(TokenEndpointError, "refresh", "token_server", remedy, lambda: source.renew(before.access_token))
    assert source.tokens == before


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case("real/03-empty-400", 400, b""),
        case("real/03-error-as-403", 403, b""),
        case("real/03-error-as-403", 403, b'{"error": "invalid_grant"}'),
        case("real/03-json-without-error", 400, b'{"message": "no", "code": 17}'),
        case("real/03-json-without-error", 401, b'{"message": "no", "code": 17}'),
        case("real/03-json-without-error", 403, b'{"message": "no", "code": 17}'),
    ],
)
def test_a_renewal_that_is_refused_in_an_odd_way_is_the_end_and_is_asked_for_once(
    start: StartProvider, status: int, body: bytes
) -> None:
    server = start()
    source = source_of(server)
    server.raw["/token"] = Raw(status, body)
    token = source.tokens.access_token
    refused(SignedOut, "refresh", "signed_out_ended", "Sign in again", lambda: source.renew(token))
    with pytest.raises(SignedOut):
        source.access_token()
    assert server.token_requests == 2


@pytest.mark.case("real/03-error-as-403")
def test_a_403_that_names_another_error_is_told_by_that_error(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.raw["/token"] = as_json({"error": "invalid_client"}, 403)
    with pytest.raises(TokenEndpointError) as caught:
        source.renew(before.access_token)
    assert (caught.value.stage, caught.value.code) == ("refresh", "token_invalid_client")
    assert source.tokens == before


SECRET = "a: b%c&d+e=f/g"


def basic_at(server: Misbehaving, **settings: str) -> str:
    """The pair that a client of an awkward name and secret sent."""
    provider = Provider.discover(server.issuer, client_authentication="client_secret_basic", **settings)
    server.claims = {"aud": "me:%"}
    attempt = LexofficeLogin("me:%", REDIRECT_URI, ["openid"], provider, SECRET)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    sent = next(headers["Authorization"] for headers in server.headers if "Authorization" in headers)
    return base64.b64decode(sent.removeprefix("Basic ")).decode()


@pytest.mark.case("real/04-basic-form-encoded")
def test_id_and_secret_are_form_encoded_for_basic(start: StartProvider) -> None:
    assert basic_at(start()) == "me%3A%25:a%3A+b%25c%26d%2Be%3Df%2Fg"


@pytest.mark.case("real/04-basic-raw")
def test_a_provider_that_is_set_up_so_gets_them_as_they_are(start: StartProvider) -> None:
    assert basic_at(start(), client_secret_encoding="raw") == f"me:%:{SECRET}"


@pytest.mark.case("real/05-revocation-only-in-rfc8414")
def test_a_revocation_endpoint_that_only_the_rfc_8414_document_names_is_found_and_used(start: StartProvider) -> None:
    assert Provider.discover(start().issuer).revocation_endpoint is None
    server = start()
    server.oauth_metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    source = source_of(server)
    assert source.revoke() == []
    assert [sent["token_type_hint"] for sent in server.revocations] == ["refresh_token", "access_token"]


@pytest.mark.case("real/05-overrides")
def test_a_setting_by_hand_goes_before_what_was_discovered(start: StartProvider) -> None:
    server = start(oauth_metadata={"revocation_endpoint": "http://127.0.0.1:1/revoke"})
    found = Provider.discover(server.issuer, revocation_endpoint=f"{server.origin}/revoke", title="Theirs")
    assert (found.revocation_endpoint, found.title) == (f"{server.origin}/revoke", "Theirs")


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        case("real/06-path-openid", {}, f"/tenant/a{OPENID_DOCUMENT}"),
        case("real/06-path-rfc8414", {"oauth_metadata": {}}, f"{OAUTH_DOCUMENT}/tenant/a"),
    ],
)
def test_the_document_of_an_issuer_with_a_path_is_found(
    start: StartProvider, document: Mapping[str, object], asked: str
) -> None:
    server = start(path="/tenant/a", **document)
    if document:  # the only one then
        server.raw[f"/tenant/a{OPENID_DOCUMENT}"] = Raw(404)
    found = Provider.discover(server.issuer)
    assert (found.issuer, found.token_endpoint) == (f"{server.origin}/tenant/a", f"{server.origin}/token")
    assert server.counts[asked] == 1
    assert logged_in(server).claims["iss"] == server.issuer


@pytest.mark.case("real/07-iss-not-advertised")
def test_iss_is_compared_though_nobody_announced_it(start: StartProvider) -> None:
    server = start(metadata={"authorization_response_iss_parameter_supported": LEFT_OUT})
    refused_callback(
        server,
        lambda server, url: server.authorize(url, iss="https://evil.example"),
        CallbackError,
        "iss_differs",
        AGAIN,
    )


@pytest.mark.case("real/07-iss-advertised")
def test_iss_must_come_with_a_code_where_it_was_announced(start: StartProvider) -> None:
    refused_callback(
        start(), lambda server, url: server.authorize(url, iss=LEFT_OUT), CallbackError, "iss_missing", AGAIN
    )


@pytest.mark.case("real/07-error-without-iss")
def test_an_error_without_iss_ends_the_attempt(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    url = attempt.get_login_url()
    callback = server.authorize(url, code=LEFT_OUT, error="server_error", iss=LEFT_OUT)
    with pytest.raises(CallbackError) as caught:
        attempt.handle_callback(callback)
    assert (caught.value.stage, caught.value.code) == ("callback", "authorize_server_error")
    assert caught.value.remedy
    assert not attempt.open
    remedy = "newest login link"
    right = server.authorize(url)
    refused(CallbackError, "callback", "callback_used", remedy, lambda: attempt.handle_callback(right))
    assert server.token_requests == 0


def revoking(start: StartProvider) -> Misbehaving:
    server = start()
    server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    return server


@pytest.mark.case("real/09-log-out-order", "statement/30-revokes")
def test_log_out_revokes_the_refresh_token_and_then_the_access_token(start: StartProvider) -> None:
    server = revoking(start)
    source = source_of(server)
    tokens = source.tokens
    assert source.revoke() == []
    assert tokens.refresh_token is not None
    assert [sent["token"] for sent in server.revocations] == [
        tokens.refresh_token.reveal(),
        tokens.access_token.reveal(),
    ]


@pytest.mark.case("real/09-second-failure")
def test_that_the_access_token_is_unknown_by_then_is_no_failure(start: StartProvider) -> None:
    server = revoking(start)
    source = source_of(server)
    answering(server, "/revoke", Raw(200), as_json({"error": "invalid_token"}, 400))
    assert source.revoke() == []
    assert len(server.revocations) == 2
    assert not source.signed_in


@pytest.mark.case("real/10-scope-dropped")
def test_a_scope_that_was_left_out_in_silence_is_named_to_the_person(start: StartProvider) -> None:
    server = start(token={"scope": "openid"}, raw={"/v1/profile": as_json({}), "/userinfo": Raw(404)})
    with LexofficeSession.from_login(api_of(server, scopes=("openid", "invoice.read"))) as session:
        assert session.tokens.scope == ("openid",)
        receipt = session.receipt()
        assert (receipt.asked, receipt.granted) == (("openid", "invoice.read"), ("openid",))
        assert "invoice.read" in receipt.html()


@pytest.mark.case("real/10-invalid-scope")
def test_invalid_scope_is_told_with_what_to_change(start: StartProvider) -> None:
    refused_callback(
        start(),
        lambda server, url: server.authorize(url, code=LEFT_OUT, error="invalid_scope"),
        CallbackError,
        "authorize_invalid_scope",
        "Name the right ones with --scope, or as scopes in the provider's entry.",
    )


@pytest.mark.case("real/11-consent-each-time")
def test_no_silent_sign_in_is_ever_asked_for_and_each_link_can_be_consented_to(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    for _ in range(2):
        url = attempt.get_login_url()
        assert parameters_of(url).get("prompt") != "none"
        assert "id_token_hint" not in parameters_of(url)
        assert attempt.handle_callback(server.authorize(url)).claims["sub"] == "person-1"


@pytest.mark.parametrize("kind", [case("real/12-nonce-kept", "kept"), case("real/12-nonce-left-out", "left out")])
def test_a_refreshed_id_token_is_taken_with_its_nonce(start: StartProvider, kind: str) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.claims = {"nonce": before.claims["nonce"] if kind == "kept" else LEFT_OUT, "exp": before.claims["exp"] + 9}
    source.renew(before.access_token)
    assert source.tokens.claims["exp"] == before.claims["exp"] + 9
    assert source.tokens.access_token != before.access_token


@pytest.mark.case("real/12-no-id-token")
def test_a_renewal_without_an_id_token_is_taken_and_who_signed_in_stays_known(start: StartProvider) -> None:
    server = start()
    source = source_of(server)
    before = source.tokens
    server.token = {"id_token": LEFT_OUT}
    source.renew(before.access_token)
    assert source.tokens.access_token != before.access_token
    assert source.tokens.claims == before.claims


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "bEARER"])
@pytest.mark.case("real/13-token-type-case")
def test_the_token_type_is_read_without_regard_to_case(start: StartProvider, token_type: str) -> None:
    assert logged_in(start(token={"token_type": token_type})).claims["sub"] == "person-1"


@pytest.mark.parametrize(
    "headers",
    [
        case("real/14-401-with-challenge", {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        case("real/14-401-without-challenge", {}),
    ],
)
def test_any_401_leads_to_one_renewal_and_one_more_try(start: StartProvider, headers: dict[str, str]) -> None:
    server = start(raw={"/v1/profile": as_json({}), "/userinfo": Raw(404)})
    with LexofficeSession.from_login(api_of(server)) as session:
        server.claims = NO_NONCE
        answering(server, "/v1/x", Raw(401, headers=headers), as_json({"a": 1}))
        assert session.get("/v1/x").json() == {"a": 1}
        assert (server.counts["/v1/x"], server.token_requests) == (2, 2)
        answering(server, "/v1/y", Raw(401, headers=headers))
        with pytest.raises(Unauthorized):
            session.get("/v1/y")
        assert (server.counts["/v1/y"], server.token_requests) == (2, 3)


@pytest.mark.case("real/15-literal-ip")
def test_the_listener_takes_a_free_port_and_names_the_literal_address(start: StartProvider) -> None:
    listeners = [LoopbackListener(lambda _: Page("", "")) for _ in range(2)]
    try:
        uris = [listener.redirect_uri for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
    assert len(set(uris)) == 2
    assert all(uri.startswith("http://127.0.0.1:") and not uri.startswith("http://127.0.0.1:0/") for uri in uris)
    server = start()
    provider = Provider.discover(server.issuer)
    attempt = LexofficeLogin(CLIENT_ID, uris[0], ["openid"], provider)
    url = attempt.get_login_url()
    assert parameters_of(url)["redirect_uri"] == uris[0]
    assert attempt.handle_callback(server.authorize(url)).claims["sub"] == "person-1"


@pytest.mark.case("real/15-fixed-port")
def test_a_port_can_be_fixed() -> None:
    first = LoopbackListener(lambda _: Page("", ""))
    port = int(first.redirect_uri.split(":")[2].split("/")[0])
    first.close()
    again = LoopbackListener(lambda _: Page("", ""), port=port)
    again.close()
    assert again.redirect_uri == first.redirect_uri
