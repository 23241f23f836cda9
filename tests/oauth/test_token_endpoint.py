"""The token endpoint's answers, right and wrong (RFC 6749 sections 5.1 and 5.2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import IdTokenError, InvalidGrant, LoginError, TokenEndpointError
from lexoffice_nb.oauth.token_endpoint import ANSWER_LIMIT
from lexoffice_nb.sandbox.person import sign_in
from tests.conformance.marking import marked
from tests.oauth.misbehaving import LEFT_OUT, Raw, as_json
from tests.oauth.signing_in import attempt_at, log_in, refused

if TYPE_CHECKING:
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth.conftest import StartProvider

HTML = {"Content-Type": "text/html"}
ANSWERS: dict[str, tuple[Raw, type[LoginError], str]] = {
    "a_page": (Raw(200, b"<!doctype html><title>hi</title>", HTML), TokenEndpointError, "token_not_json"),
    "a_page_with_400": (Raw(400, b"<!doctype html>", HTML), TokenEndpointError, "token_other"),
    "a_page_with_502": (Raw(502, b"<!doctype html>", HTML), TokenEndpointError, "token_server"),
    "nothing": (Raw(200), TokenEndpointError, "token_not_json"),
    "an_array": (as_json([{"access_token": "abc", "token_type": "Bearer"}]), TokenEndpointError, "token_not_json"),
    "a_string": (as_json("abc"), TokenEndpointError, "token_not_json"),
    "null": (as_json(None), TokenEndpointError, "token_not_json"),
    "half_an_object": (Raw(200, b'{"access_token": "abc"'), TokenEndpointError, "token_not_json"),
    "no_utf_8": (Raw(200, b'{"access_token": "\xff"}'), TokenEndpointError, "token_not_json"),
    "a_constant_that_is_no_json": (Raw(200, b'{"expires_in": NaN}'), TokenEndpointError, "token_not_json"),
    "deep_arrays": (Raw(200, b"[" * 100_000), TokenEndpointError, "token_not_json"),
    "deep_objects": (Raw(200, b'{"a":' * 40_000), TokenEndpointError, "token_not_json"),
    "a_number_of_5000_digits": (
        Raw(200, b'{"expires_in": ' + b"9" * 5000 + b"}"),
        TokenEndpointError,
        "token_not_json",
    ),
    "201": (as_json({"access_token": "abc", "token_type": "Bearer"}, 201), TokenEndpointError, "token_other"),
    "400_with_nothing": (Raw(400), TokenEndpointError, "token_other"),
    "400_without_error": (as_json({"message": "no"}, 400), TokenEndpointError, "token_other"),
    "400_with_an_array": (as_json(["invalid_grant"], 400), TokenEndpointError, "token_other"),
    "400_with_an_error_that_is_an_object": (as_json({"error": {"code": 7}}, 400), TokenEndpointError, "token_other"),
    "401_with_nothing": (Raw(401), TokenEndpointError, "token_other"),
    "403": (as_json({"message": "Forbidden"}, 403), TokenEndpointError, "token_other"),
    "403_invalid_grant": (as_json({"error": "invalid_grant"}, 403), InvalidGrant, "invalid_grant"),
    "404": (Raw(404), TokenEndpointError, "token_other"),
    "429": (Raw(429), TokenEndpointError, "token_server"),
    "500": (Raw(500), TokenEndpointError, "token_server"),
    "503": (as_json({"error": "temporarily_unavailable"}, 503), TokenEndpointError, "token_server"),
    "a_500_that_says_nothing_about_the_grant": (
        as_json({"error": "invalid_grant"}, 500),
        TokenEndpointError,
        "token_server",
    ),
    **{
        f"400_{error}": (as_json({"error": error}, 400), kind, code)
        for error, kind, code in (
            ("invalid_grant", InvalidGrant, "invalid_grant"),
            ("invalid_client", TokenEndpointError, "token_invalid_client"),
            ("invalid_request", TokenEndpointError, "token_invalid_request"),
            ("unauthorized_client", TokenEndpointError, "token_unauthorized_client"),
            ("unsupported_grant_type", TokenEndpointError, "token_unsupported_grant_type"),
            ("invalid_scope", TokenEndpointError, "token_invalid_scope"),
            # What a server makes up must not reach a text of ours that is meant for something else.
            ("redirect", TokenEndpointError, "token_other"),
            ("not_json", TokenEndpointError, "token_other"),
            ("invalid_client.next", TokenEndpointError, "token_other"),
        )
    },
}


@pytest.mark.parametrize(
    ("answer", "kind", "code"), marked(ANSWERS, {"a_page": "refuse/token-html", "an_array": "refuse/token-array"})
)
def test_it_is_refused_and_no_tokens_are_kept(
    start: StartProvider, answer: Raw, kind: type[LoginError], code: str
) -> None:
    server = start(raw={"/token": answer})
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    refused(kind, "token", code, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None
    assert not attempt.open
    assert server.token_requests == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.case("refuse/token-redirect")
def test_a_redirect_carries_neither_code_nor_verifier_on(start: StartProvider, status: int) -> None:
    elsewhere = start()
    server = start(raw={"/token": Raw(status, headers={"Location": elsewhere.origin + "/token"})})
    refused(TokenEndpointError, "token", "token_redirect", lambda: log_in(server))
    assert elsewhere.counts == {}
    assert server.token_requests == 1


def test_a_redirect_to_itself_is_not_followed_either(start: StartProvider) -> None:
    server = start(raw={"/token": Raw(307, headers={"Location": "/token"})})
    refused(TokenEndpointError, "token", "token_redirect", lambda: log_in(server))
    assert server.token_requests == 1


def test_an_answer_that_is_too_large_is_refused(start: StartProvider) -> None:
    server = start(raw={"/token": Raw(200, json.dumps({"x": "x" * ANSWER_LIMIT}).encode())})
    error = refused(LoginError, "token", "too_large", lambda: log_in(server))
    assert str(ANSWER_LIMIT) in str(error)


MEMBERS: dict[str, tuple[dict[str, object], type[LoginError], str, str]] = {
    "no_access_token": ({"access_token": LEFT_OUT}, TokenEndpointError, "token", "token_missing"),
    "an_empty_access_token": ({"access_token": ""}, TokenEndpointError, "token", "token_missing"),
    "an_access_token_that_is_a_number": ({"access_token": 7}, TokenEndpointError, "token", "token_missing"),
    "an_access_token_with_a_header": ({"access_token": "a\r\nX: b"}, TokenEndpointError, "token", "token_missing"),
    "an_access_token_with_an_umlaut": ({"access_token": "ä"}, TokenEndpointError, "token", "token_missing"),
    "no_token_type": ({"token_type": LEFT_OUT}, TokenEndpointError, "token", "token_type"),
    "an_empty_token_type": ({"token_type": ""}, TokenEndpointError, "token", "token_type"),
    "null_for_a_token_type": ({"token_type": None}, TokenEndpointError, "token", "token_type"),
    "mac": ({"token_type": "MAC"}, TokenEndpointError, "token", "token_type"),
    "dpop": ({"token_type": "DPoP"}, TokenEndpointError, "token", "token_type"),
    "a_list_of_token_types": ({"token_type": ["Bearer"]}, TokenEndpointError, "token", "token_type"),
    "no_id_token": ({"id_token": LEFT_OUT}, IdTokenError, "id_token", "id_token_missing"),
    "an_id_token_that_is_an_object": ({"id_token": {}}, IdTokenError, "id_token", "id_token_missing"),
}


@pytest.mark.parametrize(
    ("members", "kind", "stage", "code"),
    marked(
        MEMBERS,
        {
            "no_token_type": "refuse/token-type-missing",
            "mac": "refuse/token-type-other",
            "dpop": "refuse/token-type-other",
            "no_id_token": "refuse/id-token-missing",
        },
    ),
)
def test_a_token_response_is_refused_with(
    start: StartProvider, members: dict[str, object], kind: type[LoginError], stage: str, code: str
) -> None:
    server = start(token=members)
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    refused(kind, stage, code, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", "bEARER"])
@pytest.mark.case("accept/token-type-any-case")
def test_the_token_type_is_bearer_in_any_case(start: StartProvider, token_type: str) -> None:
    assert log_in(start(token={"token_type": token_type})).claims["sub"] == "person-1"


@pytest.mark.parametrize("expires_in", [3600, "3600", 3600.0, " 3600 "])
def test_the_life_of_an_access_token_is_read_from(start: StartProvider, expires_in: object) -> None:
    expires_at = log_in(start(token={"expires_in": expires_in})).expires_at
    assert expires_at is not None
    assert abs(expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=10)


@pytest.mark.parametrize("expires_in", [LEFT_OUT, None, "", "soon", 0, -1, "-3600", True, [3600], {"seconds": 1}])
def test_the_life_of_an_access_token_is_unknown_with(start: StartProvider, expires_in: object) -> None:
    tokens = log_in(start(token={"expires_in": expires_in}))
    assert tokens.expires_at is None
    assert not tokens.expired


@pytest.mark.parametrize("expires_in", [10**12, "9" * 30, 1e18])
def test_no_life_is_so_long_that_it_has_no_date(start: StartProvider, expires_in: object) -> None:
    expires_at = log_in(start(token={"expires_in": expires_in})).expires_at
    assert expires_at is not None
    assert timedelta(days=3649) < expires_at - datetime.now(UTC) <= timedelta(days=3650)


def test_an_infinite_life_is_unknown(start: StartProvider) -> None:
    body = b'{"access_token": "abc", "token_type": "Bearer", "expires_in": 1e999}'
    assert log_in(start(raw={"/token": Raw(200, body)}), scopes=["invoice.read"]).expires_at is None


@pytest.mark.parametrize("refresh_token", [LEFT_OUT, None, "", 7, "a\nb"])
def test_what_is_no_refresh_token_is_none(start: StartProvider, refresh_token: object) -> None:
    assert log_in(start(token={"refresh_token": refresh_token})).refresh_token is None


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (LEFT_OUT, ("openid",)),
        (None, ("openid",)),
        (["profile"], ("openid",)),
        ("", ()),
        ("openid  profile", ("openid", "profile")),
    ],
)
def test_the_scope_is_what_was_granted_or_else_what_was_asked(
    start: StartProvider, scope: object, granted: tuple[str, ...]
) -> None:
    assert log_in(start(token={"scope": scope})).scope == granted


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (" ".join(f"s{n}" for n in range(20_000)), tuple(f"s{n}" for n in range(200))),
        ("openid " + "x" * 201, ("openid",)),
        ("x" * 200, ("x" * 200,)),
        ("openid \x1b[2J a\x00b p\u202er \x7f", ("openid",)),
        ("a " * 300 + "b", ("a", "b")),
    ],
)
def test_of_the_granted_scopes_no_more_is_kept_than_a_person_reads(
    start: StartProvider, scope: str, granted: tuple[str, ...]
) -> None:
    assert log_in(start(token={"scope": scope})).scope == granted


@pytest.mark.case("accept/unknown-members")
def test_unknown_members_are_ignored(start: StartProvider) -> None:
    assert log_in(start(token={"x": 1, "error": "none", "not_before_policy": None})).claims["sub"] == "person-1"


def test_the_sandbox_answering_with_a_page_is_no_token_answer(box: Sandbox, box_attempt: LexofficeLogin) -> None:
    box.settings.html_token_endpoint = True
    callback = sign_in(box_attempt.get_login_url())
    refused(TokenEndpointError, "token", "token_not_json", lambda: box_attempt.handle_callback(callback))


@pytest.mark.parametrize("status", [500, 503])
def test_the_sandbox_in_trouble_is_named(box: Sandbox, box_attempt: LexofficeLogin, status: int) -> None:
    box.settings.fail_token_endpoint = status
    callback = sign_in(box_attempt.get_login_url())
    refused(TokenEndpointError, "token", "token_server", lambda: box_attempt.handle_callback(callback))
