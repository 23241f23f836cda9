"""What the relying-party plans want accepted. Each login differs from the plainest one in exactly one field."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import UserinfoError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.session import LexofficeSession
from tests.conformance.marking import case
from tests.conformance.signing_in import answering, api_of, logged_in
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    REDIRECT_URI,
    Raw,
    as_json,
    ec_key,
    public,
    rsa_key,
    signed,
)
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oauth.conftest import StartProvider
    from tests.oauth.misbehaving import Provider as Misbehaving

ES256 = {"header": {"alg": "ES256", "kid": "ec-P-256"}, "key": ec_key(), "jwks": [public(ec_key())]}


def test_the_plainest_login_is_good(start: StartProvider) -> None:
    assert logged_in(start()).claims["sub"] == "person-1"


@pytest.mark.case("accept/code-with-openid")
def test_the_request_is_for_a_code_with_the_scope_openid_and_gives_an_id_token(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server, scopes=("openid",))
    url = attempt.get_login_url()
    sent = parameters_of(url)
    assert (sent["response_type"], sent["scope"]) == ("code", "openid")
    tokens = attempt.handle_callback(server.authorize(url))
    assert tokens.id_token is not None
    assert (tokens.claims["iss"], tokens.claims["aud"]) == (server.issuer, CLIENT_ID)


@pytest.mark.parametrize(
    "difference",
    [
        case("accept/aud-array-of-one", {"claims": {"aud": [CLIENT_ID]}}),
        case("accept/rs256", {"header": {"alg": "RS256"}}),
        case("accept/es256", ES256),
        case("accept/no-kid-one-key", {"header": {"kid": LEFT_OUT}}),
        case("accept/no-kid-one-key", {"header": {"kid": LEFT_OUT}, "jwks": [public(ec_key()), public(rsa_key())]}),
        case("accept/unknown-members", {"metadata": {"x_of_theirs": {"y": [1]}}}),
        case("accept/unknown-members", {"token": {"x_of_theirs": {"y": [1]}}}),
        case("accept/unknown-members", {"header": {"x_of_theirs": {"y": [1]}}}),
        case("accept/unknown-members", {"claims": {"x_of_theirs": {"y": [1]}}}),
        case("accept/unknown-members", {"jwks": [public(rsa_key(), x_of_theirs={"y": [1]})]}),
        case("accept/token-type-any-case", {"token": {"token_type": "bearer"}}),
        case("accept/token-type-any-case", {"token": {"token_type": "BEARER"}}),
        case("accept/token-type-any-case", {"token": {"token_type": "bEARER"}}),
        case("accept/at-hash-absent", {"claims": {"at_hash": LEFT_OUT}}),
        case("accept/clock-skew", {"claims": {"exp": lambda: time.time() - 57}}),
        case("accept/clock-skew", {"claims": {"iat": lambda: time.time() + 57}}),
        case("accept/clock-skew", {"claims": {"nbf": lambda: time.time() + 57}}),
    ],
)  # fmt: skip
def test_a_login_is_accepted_with(start: StartProvider, difference: dict[str, Any]) -> None:
    now = {name: value() for name, value in difference.get("claims", {}).items() if callable(value)}
    claims = {**difference.get("claims", {}), **now}
    tokens = logged_in(start(**{**difference, "claims": claims}))
    assert tokens.claims["sub"] == "person-1"
    assert tokens.access_token


@pytest.mark.parametrize(
    ("method", "header", "form"),
    [
        case(
            "accept/client-secret-basic",
            "client_secret_basic",
            "Basic " + base64.b64encode(b"lexoffice-nb:a-secret").decode(),
            {},
        ),
        case(
            "accept/client-secret-post",
            "client_secret_post",
            None,
            {"client_id": "lexoffice-nb", "client_secret": "a-secret"},
        ),
    ],
)
def test_a_confidential_client_authenticates_by(
    start: StartProvider, method: str, header: str | None, form: dict[str, str]
) -> None:
    server = start()
    provider = Provider.discover(server.issuer, client_authentication=method)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, "a-secret")
    assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"
    sent = next(headers for headers in server.headers if "Content-Type" in headers)
    assert sent.get("Authorization") == header
    assert {name: value for name, value in server.forms[0].items() if name.startswith("client")} == form


@pytest.mark.case("accept/bearer-in-header")
def test_userinfo_is_asked_with_the_bearer_token_in_the_header(start: StartProvider) -> None:
    server = start(raw={"/userinfo": as_json({"sub": "person-1", "name": "P"}), "/v1/profile": as_json({})})
    with LexofficeSession.from_login(api_of(server)) as session:
        server.headers.clear()
        assert session.userinfo()["name"] == "P"
        assert [sent.get("Authorization") for sent in server.headers] == [
            f"Bearer {session.tokens.access_token.reveal()}"
        ]


@pytest.mark.case("accept/expires-in-missing")
def test_without_expires_in_the_life_is_unknown_and_a_renewal_comes_only_after_a_401(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(token={"expires_in": LEFT_OUT}, raw={"/v1/profile": as_json({}), "/v1/x": as_json({"a": 1})})
    with LexofficeSession.from_login(api_of(server)) as session:
        assert session.tokens.expires_at is None
        server.claims = {"nonce": LEFT_OUT}
        in_a_year(monkeypatch)
        assert session.get("/v1/x").status_code == 200
        assert server.token_requests == 1
        answering(server, "/v1/x", Raw(401), as_json({"a": 2}))
        assert session.get("/v1/x").status_code == 200
        assert server.token_requests == 2


def in_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=365)

    monkeypatch.setattr("lexoffice_nb.oauth.token_source.datetime", Later)


@pytest.mark.case("accept/expires-in-string")
def test_expires_in_may_be_a_string(start: StartProvider) -> None:
    expires_at = logged_in(start(token={"expires_in": "3600"})).expires_at
    assert expires_at is not None
    assert abs(expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=10)


@pytest.mark.case("accept/keys-rotated-between-logins")
def test_the_keys_of_the_second_login_may_be_others(start: StartProvider) -> None:
    server = start()
    assert logged_in(server).claims["sub"] == "person-1"
    server.key, server.jwks, server.header = rsa_key("two"), [public(rsa_key("two"))], {"kid": "two"}
    assert logged_in(server).claims["sub"] == "person-1"


@pytest.mark.case("accept/keys-rotated-before-signing")
def test_keys_that_change_just_before_signing_are_fetched_once_more(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    callback = server.authorize(attempt.get_login_url())
    server.key, server.jwks, server.header = rsa_key("two"), [public(rsa_key("two"))], {"kid": "two"}
    assert attempt.handle_callback(callback).claims["sub"] == "person-1"
    assert server.counts["/jwks"] == 2


def userinfo_of(server: Misbehaving, key: Any) -> Callable[[str], Raw]:
    claims = {"iss": server.issuer, "aud": CLIENT_ID, "sub": "person-1", "name": "P"}
    token = signed({"alg": "RS256", "kid": "one"}, claims, key)
    return lambda _: Raw(200, token.encode(), {"Content-Type": "application/jwt"})


@pytest.mark.case("accept/userinfo-signed")
def test_userinfo_may_come_signed_by_a_key_of_the_issuer(start: StartProvider) -> None:
    server = start(userinfo=lambda _: as_json({"sub": "person-1"}), raw={"/v1/profile": as_json({})})
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    with LexofficeSession.from_login(attempt) as session:
        server.userinfo = userinfo_of(server, rsa_key())
        assert session.userinfo()["name"] == "P"
        server.userinfo = userinfo_of(server, rsa_key("evil"))
        with pytest.raises(UserinfoError) as caught:
            session.userinfo()
        assert (caught.value.stage, caught.value.code) == ("userinfo", "userinfo_signature")
        assert caught.value.remedy
