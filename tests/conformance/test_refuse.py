"""What the relying-party plans want refused. Each fault differs from a good login in exactly one field.

Every refusal is told by type, stage and remedy, and nothing is sent on after it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from lexoffice_nb.errors import (
    CallbackError,
    DiscoveryError,
    IdTokenError,
    StateMismatch,
    TokenEndpointError,
    UserinfoError,
)
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.session import LexofficeSession
from tests.conformance.marking import case
from tests.conformance.signing_in import api_of, logged_in, refused, refused_callback, renewed, source_of
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    OAUTH_DOCUMENT,
    OPENID_DOCUMENT,
    Raw,
    as_json,
    at_hash,
    base64url,
    public,
    rsa_key,
)
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oauth.conftest import StartProvider

ACCESS = "access-token-of-this-test"
UNKNOWN_HASH = at_hash(ACCESS, hashlib.sha3_256)
PEM = rsa_key().as_pem(private=False)
NOW = int(time.time())
REGISTERED = "Check how the client is registered at the provider."
AGAIN = "Start again; if it happens again, tell the provider."
TELL = "Tell the provider; nothing was kept."
NEWEST = "Start again from the newest login link."


def header_part(token: str, **changes: object) -> str:
    """The same token under another header, its signature left as it was."""
    head, rest = token.split(".", 1)
    members = {**json.loads(base64.urlsafe_b64decode(head + "==")), **changes}
    return f"{base64url(json.dumps(members).encode())}.{rest}"


def one_bit_off(token: str) -> str:
    message, _, signature = token.rpartition(".")
    octets = bytearray(base64.urlsafe_b64decode(signature + "=="))
    octets[-1] ^= 1
    return f"{message}.{base64url(bytes(octets))}"


def unsigned(alg: str) -> Callable[[str], str]:
    """Under that alg, once with the signature of the good token: only alg can be the reason."""
    return lambda token: header_part(token, alg=alg)


def test_the_login_that_the_faults_are_made_of_is_good(start: StartProvider) -> None:
    assert logged_in(start()).claims["sub"] == "person-1"
    assert logged_in(start(token={"access_token": ACCESS})).access_token.reveal() == ACCESS


ID_TOKENS: list[Any] = [
    case("refuse/iss-other", {"claims": {"iss": "https://evil.example"}}, "iss_other", AGAIN),
    case("refuse/iss-missing", {"claims": {"iss": LEFT_OUT}}, "iss_other", AGAIN),
    case("refuse/sub-missing", {"claims": {"sub": LEFT_OUT}}, "sub_bad", AGAIN),
    case("refuse/sub-empty", {"claims": {"sub": ""}}, "sub_bad", AGAIN),
    case("refuse/sub-not-a-string", {"claims": {"sub": 7}}, "sub_bad", AGAIN),
    case("refuse/aud-other", {"claims": {"aud": "another-client"}}, "aud_other", AGAIN),
    case("refuse/aud-missing", {"claims": {"aud": LEFT_OUT}}, "aud_other", AGAIN),
    case("refuse/aud-empty", {"claims": {"aud": ""}}, "aud_other", AGAIN),
    case("refuse/aud-empty", {"claims": {"aud": []}}, "aud_other", AGAIN),
    case("refuse/aud-substring", {"claims": {"aud": f"not-{CLIENT_ID}"}}, "aud_other", AGAIN),
    case("refuse/aud-substring", {"claims": {"aud": CLIENT_ID[1:-1]}}, "aud_other", AGAIN),
    case("refuse/several-aud-without-azp", {"claims": {"aud": [CLIENT_ID, "another"]}}, "azp_other", AGAIN),
    case("refuse/azp-other", {"claims": {"azp": "another"}}, "azp_other", AGAIN),
    case("refuse/exp-past", {"claims": {"exp": NOW - 3600}}, "exp_past", "check this machine's clock"),
    case("refuse/exp-missing", {"claims": {"exp": LEFT_OUT}}, "times_missing", TELL),
    case("refuse/exp-not-a-number", {"claims": {"exp": str(NOW + 300)}}, "times_missing", TELL),
    case("refuse/exp-not-a-number", {"claims": {"exp": float("nan")}}, "times_missing", TELL),
    case("refuse/iat-missing", {"claims": {"iat": LEFT_OUT}}, "times_missing", TELL),
    case("refuse/iat-future", {"claims": {"iat": NOW + 3600}}, "iat_future", "Check this machine's clock"),
    case("refuse/nbf-future", {"claims": {"nbf": NOW + 3600}}, "iat_future", "Check this machine's clock"),
    case("refuse/nonce-other", {"claims": {"nonce": "n" * 43}}, "nonce_other", NEWEST),
    case("refuse/nonce-missing", {"claims": {"nonce": LEFT_OUT}}, "nonce_other", NEWEST),
    case("refuse/nonce-empty", {"claims": {"nonce": ""}}, "nonce_other", NEWEST),
    case("refuse/signature-bad", {"id_token": one_bit_off}, "signature_bad", AGAIN),
    case("refuse/alg-none", {"id_token": unsigned("none")}, "alg_not_allowed", "RS256, PS256, ES256 and EdDSA"),
    *(
        case("refuse/alg-none-any-spelling", {"id_token": unsigned(alg)}, "alg_not_allowed", "RS256, PS256")
        for alg in ("None", "NONE", "nOnE", "noNe")
    ),
    case("refuse/hs256-public-key", {"header": {"alg": "HS256"}, "key": PEM}, "alg_not_allowed", "RS256, PS256"),
    case("refuse/alg-not-of-the-key", {"id_token": unsigned("ES256")}, "key_unknown", "Start again in a minute"),
    case("refuse/alg-not-of-the-key", {"jwks": [public(rsa_key(), alg="PS256")]}, "key_unknown", "in a minute"),
    case("refuse/no-kid-several-keys", {"header": {"kid": LEFT_OUT}}, "key_ambiguous", TELL),
    case("refuse/header-jwk", {"header": {"jwk": public(rsa_key())}}, "header_key", TELL),
    case("refuse/header-jku", {"header": {"jku": "https://issuer.example/jwks"}}, "header_key", TELL),
    case("refuse/header-x5u", {"header": {"x5u": "https://issuer.example/cert"}}, "header_key", TELL),
    case("refuse/crit", {"header": {"crit": ["exp"]}}, "header_crit", TELL),
    case("refuse/b64-false", {"header": {"b64": False}}, "header_crit", TELL),
    case("refuse/use-enc", {"jwks": [public(rsa_key(), use="enc")]}, "key_unknown", "Start again in a minute"),
    case("refuse/not-three-parts", {"id_token": lambda t: t.rpartition(".")[0]}, "id_token_malformed", "tell the"),
    case("refuse/not-three-parts", {"id_token": lambda t: t + ".AAAA"}, "id_token_malformed", "tell the provider"),
    case("refuse/at-hash-wrong", {"claims": {"at_hash": at_hash("another token")}}, "at_hash_other", AGAIN),
    case("refuse/at-hash-unknown-alg", {"id_token": unsigned("RS999")}, "alg_not_allowed", "RS256, PS256"),
    case("refuse/at-hash-unknown-alg", {"claims": {"at_hash": UNKNOWN_HASH}}, "at_hash_other", AGAIN),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "code", "remedy"), ID_TOKENS)
def test_an_id_token_is_refused_and_no_token_is_used(
    start: StartProvider, fault: dict[str, Any], code: str, remedy: str
) -> None:
    keys = {"jwks": [public(rsa_key()), public(rsa_key("two"))]} if code == "key_ambiguous" else {}
    server = start(**{"token": {"access_token": ACCESS}, **keys, **fault})
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    refused(IdTokenError, "id_token", code, remedy, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None
    assert not attempt.open
    assert server.token_requests == 1
    assert set(server.counts) <= {OPENID_DOCUMENT, OAUTH_DOCUMENT, "/token", "/jwks"}
    assert [sent for sent in server.headers if "Authorization" in sent] == []


@pytest.mark.case("refuse/alg-none-advertised")
def test_alg_none_is_refused_although_the_metadata_offers_it(start: StartProvider) -> None:
    offered = {"id_token_signing_alg_values_supported": ["none", "RS256"]}
    assert logged_in(start(metadata=offered)).claims["sub"] == "person-1"
    server = start(metadata=offered, id_token=unsigned("none"))
    refused(IdTokenError, "id_token", "alg_not_allowed", "RS256, PS256", lambda: logged_in(server))
    server = start(metadata=offered, header={"alg": "none"}, key=None)  # with nothing for a signature
    refused(IdTokenError, "id_token", "id_token_malformed", "tell the provider", lambda: logged_in(server))


@pytest.mark.case("refuse/kid-unknown")
def test_an_unknown_kid_is_refused_after_the_keys_were_fetched_once_more(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    assert server.counts["/jwks"] == 1
    server.header = {"kid": "nobody-knows-it"}
    callback = server.authorize(attempt.get_login_url())
    refused(IdTokenError, "id_token", "key_unknown", "in a minute", lambda: attempt.handle_callback(callback))
    assert server.counts["/jwks"] == 2


@pytest.mark.parametrize("change", ["{}/", "{}x", "x{}", "{} "])
@pytest.mark.case("refuse/metadata-issuer")
def test_metadata_of_an_issuer_that_differs_by_one_character_is_refused(start: StartProvider, change: str) -> None:
    good, server = start(), start()
    assert Provider.discover(good.issuer).issuer == good.issuer
    server.metadata = {"issuer": change.format(server.issuer)}
    error = "Use the issuer exactly as the provider spells it"
    refused(DiscoveryError, "discovery", "issuer_differs", error, lambda: Provider.discover(server.issuer))
    assert server.counts.total() == 1


TOKENS: list[Any] = [
    case("refuse/token-type-missing", {"token": {"token_type": LEFT_OUT}}, "token_type", REGISTERED),
    *(
        case("refuse/token-type-other", {"token": {"token_type": kind}}, "token_type", REGISTERED)
        for kind in ("MAC", "DPoP", "N_A", "", "Bearer2")
    ),
    case("refuse/token-html", {"raw": {"/token": Raw(200, b"<!doctype html><title>hi</title>", {"Content-Type": "text/html"})}}, "token_not_json", "a proxy may stand in between"),  # noqa: E501
    case("refuse/token-array", {"raw": {"/token": as_json([{"access_token": "a", "token_type": "Bearer"}])}}, "token_not_json", "a proxy may stand in between"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("fault", "code", "remedy"), TOKENS)
def test_a_token_response_is_refused_and_no_token_is_used(
    start: StartProvider, fault: dict[str, Any], code: str, remedy: str
) -> None:
    server = start(**fault)
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    refused(TokenEndpointError, "token", code, remedy, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None
    assert (server.token_requests, server.counts["/jwks"]) == (1, 0)


@pytest.mark.case("refuse/id-token-missing")
def test_a_token_response_without_the_id_token_is_refused_where_openid_was_asked_for(start: StartProvider) -> None:
    server = start(token={"id_token": LEFT_OUT})
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    remedy = "leave openid out of the scopes"
    refused(IdTokenError, "id_token", "id_token_missing", remedy, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None
    assert server.counts["/jwks"] == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.case("refuse/token-redirect")
def test_after_a_redirect_of_the_token_endpoint_neither_code_nor_verifier_has_travelled(
    start: StartProvider, status: int
) -> None:
    elsewhere = start()
    server = start(raw={"/token": Raw(status, headers={"Location": f"{elsewhere.origin}/token"})})
    remedy = "Check the provider's address"
    refused(TokenEndpointError, "token", "token_redirect", remedy, lambda: logged_in(server))
    assert (elsewhere.counts, elsewhere.forms) == ({}, [])
    assert server.token_requests == 1


@pytest.mark.parametrize(
    ("changes", "kind", "code", "remedy"),
    [
        case("refuse/state-other", {"state": "s" * 43}, StateMismatch, "state_mismatch", "use the newest login link"),
        case("refuse/state-missing", {"state": LEFT_OUT}, StateMismatch, "state_missing", "Use the newest login link"),
        case("refuse/response-iss-other", {"iss": "https://evil.example"}, CallbackError, "iss_differs", AGAIN),
        case("refuse/response-iss-missing", {"iss": LEFT_OUT}, CallbackError, "iss_missing", AGAIN),
        case("refuse/code-and-error", {"error": "server_error"}, CallbackError, "callback_code_and_error", NEWEST),
        case("refuse/neither-code-nor-error", {"code": LEFT_OUT}, CallbackError, "code_missing", NEWEST),
    ],
)
def test_a_callback_is_refused_and_the_token_endpoint_is_never_called(
    start: StartProvider, changes: dict[str, object], kind: type[CallbackError], code: str, remedy: str
) -> None:
    refused_callback(start(), lambda server, url: server.authorize(url, **changes), kind, code, remedy)


@pytest.mark.case("refuse/code-twice")
def test_a_callback_with_two_codes_is_refused_and_the_token_endpoint_is_never_called(start: StartProvider) -> None:
    def twice(server: Any, url: str) -> str:
        callback: str = server.authorize(url)
        return f"{callback}&{urlencode({'code': parameters_of(callback)['code']})}"

    refused_callback(start(), twice, CallbackError, "callback_repeats", "Copy the address again")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        case("refuse/refreshed-iss", {"iss": "https://evil.example"}, "iss_other"),
        case("refuse/refreshed-sub", {"sub": "person-2"}, "sub_bad"),
        case("real/12-nonce-other", {"nonce": "n" * 43}, "nonce_other"),
        case("real/12-aud-other", {"aud": "another-client"}, "aud_other"),
    ],
)
def test_a_refreshed_id_token_is_refused_and_the_new_access_token_is_not_used(
    start: StartProvider, claims: dict[str, object], code: str
) -> None:
    server = start()
    assert renewed(server).claims["sub"] == "person-1"
    source = source_of(server)
    before = source.tokens
    server.claims = claims
    remedy = NEWEST if code == "nonce_other" else AGAIN
    refused(IdTokenError, "id_token", code, remedy, lambda: source.renew(before.access_token))
    assert (source.tokens.access_token, source.tokens.claims) == (before.access_token, before.claims)


@pytest.mark.case("refuse/userinfo-sub")
def test_userinfo_about_another_person_is_refused(start: StartProvider) -> None:
    server = start(raw={"/userinfo": as_json({"sub": "person-1", "name": "P"}), "/v1/profile": as_json({})})
    with LexofficeSession.from_login(api_of(server)) as session:
        assert session.userinfo()["name"] == "P"
        server.raw["/userinfo"] = as_json({"sub": "person-2", "name": "P"})
        refused(UserinfoError, "userinfo", "userinfo_sub", "Sign in again", session.userinfo)
        assert session.account.person == "P"
