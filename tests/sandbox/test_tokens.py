"""Codes, access tokens, refresh tokens, ID tokens."""

from __future__ import annotations

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet


def error(response: requests.Response) -> tuple[int, str]:
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, response.json()["error"]


def claims(client, token: str) -> dict:
    keys = KeySet.import_key_set(client.open("/connect/jwks").json())
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


def alive(client, token: str) -> bool:
    return client.api("/v1/profile", token).status_code == 200


def test_a_code_becomes_tokens(client):
    response = client.exchange(client.code())
    assert response.headers["Cache-Control"] == "no-store"
    tokens = response.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == "openid profile email invoice.read contact.read"
    assert tokens["refresh_token"]
    assert len(base64.urlsafe_b64decode(tokens["access_token"] + "=")) >= 32
    assert alive(client, tokens["access_token"])


def test_the_id_token_names_issuer_subject_audience_times_nonce_and_access_token(client):
    tokens = client.tokens()
    found = claims(client, tokens["id_token"])
    now = time.time()
    assert (found["iss"], found["aud"], found["nonce"]) == (client.box.url, "lexoffice-nb", "n-0S6")
    assert abs(found["iat"] - now) < 10
    assert found["exp"] == found["iat"] + 3600
    assert found["iat"] - 10 <= found["auth_time"] <= found["iat"]
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert found["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert found["sub"] == client.api("/connect/userinfo", tokens["access_token"]).json()["sub"]


def test_the_published_key_is_the_public_half_only(client):
    (key,) = client.open("/connect/jwks").json()["keys"]
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert key["kid"]
    assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi"}
    assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256


def test_without_openid_there_is_no_id_token_and_no_userinfo(client):
    tokens = client.tokens(scope="profile.read")
    assert "id_token" not in tokens
    response = client.api("/connect/userinfo", tokens["access_token"])
    assert response.status_code == 403
    assert "insufficient_scope" in response.headers["WWW-Authenticate"]


def test_userinfo_gives_what_the_scope_opens(client):
    email = client.api("/connect/userinfo", client.tokens(scope="openid email")["access_token"]).json()
    assert "email" in email
    assert "name" not in email
    assert client.api("/connect/userinfo", "nonsense").status_code == 401
    assert client.open("/connect/userinfo").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "x" * 42}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:51235/callback"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "someone-else"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"code": None}, "invalid_request"),
        ({"code": "nonsense"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": 'ä"\n\\'}, "unsupported_grant_type"),
        ({"client_id": 'ä"\n\\'}, "invalid_client"),
        ({"code": 'ä"\n\\'}, "invalid_grant"),
    ],
)
def test_an_exchange_that_does_not_fit_the_code_is_refused(client, changes, expected):
    assert error(client.exchange(client.code(), **changes)) == (400, expected)


def test_the_challenge_itself_is_no_verifier(client):
    assert error(client.exchange(client.code(), code_verifier=client.challenge)) == (400, "invalid_grant")


def test_a_code_is_used_up_even_when_the_exchange_fails(client):
    code = client.code()
    assert error(client.exchange(code, code_verifier="x" * 43)) == (400, "invalid_grant")
    assert error(client.exchange(code)) == (400, "invalid_grant")


def test_token_requests_are_one_plain_form(client):
    url, code = f"{client.box.url}/connect/token", client.code()
    form = {"grant_type": "authorization_code", "code": code, "client_id": "lexoffice-nb"}
    assert error(requests.post(url, json=form)) == (400, "invalid_request")
    assert error(requests.post(url + "?client_id=lexoffice-nb", data=form)) == (400, "invalid_request")
    assert error(requests.post(url, data=[*form.items(), ("code", code)])) == (400, "invalid_request")
    assert error(requests.post(url, data=form, auth=("lexoffice-nb", "x"))) == (401, "invalid_client")
    assert error(requests.get(url, params=form)) == (405, "invalid_request")


def test_a_body_without_end_is_not_read(client):
    form = {"grant_type": "refresh_token", "refresh_token": "x" * (1 << 20), "client_id": "lexoffice-nb"}
    assert error(client.token(**form)) == (413, "invalid_request")


def test_a_code_expires(own):
    own.box.settings.code_life = 0
    assert error(own.exchange(own.code())) == (400, "invalid_grant")


def test_the_second_use_of_a_code_ends_its_tokens(client):
    code = client.code()
    tokens = client.exchange(code).json()
    assert alive(client, tokens["access_token"])
    assert error(client.exchange(code)) == (400, "invalid_grant")
    assert not alive(client, tokens["access_token"])
    assert error(client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


def test_of_eight_concurrent_exchanges_of_one_code_exactly_one_succeeds(client):
    code = client.code()
    with ThreadPoolExecutor(8) as threads:
        statuses = [each.status_code for each in threads.map(lambda _: client.exchange(code), range(8))]
    assert sorted(statuses) == [200] + [400] * 7


def test_a_refresh_rotates_and_keeps_subject_issuer_audience_and_nonce(client):
    first = client.tokens()
    second = client.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    before, after = claims(client, first["id_token"]), claims(client, second["id_token"])
    for name in ("iss", "sub", "aud", "nonce", "auth_time"):
        assert before[name] == after[name]
    assert before["at_hash"] != after["at_hash"]


def test_the_reuse_of_a_rotated_refresh_token_ends_the_family(client):
    first = client.tokens()
    second = client.refresh(first["refresh_token"]).json()
    assert error(client.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(client.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert not alive(client, second["access_token"])


def test_of_eight_concurrent_refreshes_exactly_one_succeeds_and_the_family_ends(client):
    tokens = client.tokens()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.refresh(tokens["refresh_token"]), range(8)))
    assert sorted(each.status_code for each in answers) == [200] + [400] * 7
    winner = next(each.json() for each in answers if each.ok)
    assert not alive(client, winner["access_token"])
    assert not alive(client, tokens["access_token"])


def test_of_two_that_both_found_a_refresh_token_alive_the_second_to_take_it_ends_the_family(client):
    # The same race, without luck: both have looked before either takes.
    tokens, grants = client.tokens(), client.box.grants
    first, second = (grants.find_refresh_token(tokens["refresh_token"]) for _ in range(2))
    assert first == second
    assert grants.use_refresh_token(tokens["refresh_token"], first.family) is True
    assert alive(client, tokens["access_token"])
    assert grants.use_refresh_token(tokens["refresh_token"], second.family) is False
    assert not alive(client, tokens["access_token"])


def test_one_family_does_not_end_another(client):
    kept, lost = client.tokens(), client.tokens()
    client.refresh(lost["refresh_token"])
    client.refresh(lost["refresh_token"])
    assert alive(client, kept["access_token"])


def test_a_refresh_may_narrow_its_scope_and_not_widen_it(client):
    tokens = client.tokens(scope="openid profile")
    assert error(client.refresh(tokens["refresh_token"], scope="openid invoice.read")) == (400, "invalid_scope")
    assert client.refresh(tokens["refresh_token"], scope="profile").json()["scope"] == "profile"


def test_revoking_a_refresh_token_ends_the_family(client):
    tokens = client.tokens()
    assert client.revoke(tokens["refresh_token"]).status_code == 200
    assert not alive(client, tokens["access_token"])
    assert error(client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


def test_revoking_an_access_token_ends_it_alone(client):
    tokens = client.tokens()
    assert client.revoke(tokens["access_token"]).status_code == 200
    assert not alive(client, tokens["access_token"])
    assert client.refresh(tokens["refresh_token"]).ok


def test_revoking_an_unknown_token_is_no_error_and_an_unknown_client_is_one(client):
    assert client.revoke("nonsense").status_code == 200
    response = requests.post(f"{client.box.url}/connect/revoke", data={"token": "x", "client_id": "y"})
    assert error(response) == (400, "invalid_client")


def test_switches_change_lives_clock_scopes_and_failures(own):
    settings = own.box.settings
    settings.access_token_life, settings.clock_offset, settings.drop_scopes = 7, 1000.0, ("contact.read",)
    tokens = own.tokens()
    assert tokens["expires_in"] == 7
    assert "contact.read" not in tokens["scope"].split()
    assert own.api("/v1/contacts", tokens["access_token"]).status_code == 403
    assert abs(claims(own, tokens["id_token"])["iat"] - time.time() - 1000) < 10
    settings.fail_token_endpoint = 503
    assert own.refresh(tokens["refresh_token"]).status_code == 503
    settings.fail_token_endpoint, settings.html_token_endpoint = None, True
    assert own.refresh(tokens["refresh_token"]).headers["Content-Type"] == "text/html"
    settings.html_token_endpoint, settings.slow = False, 0.3
    begun = time.monotonic()
    assert own.refresh(tokens["refresh_token"]).ok
    assert time.monotonic() - begun >= 0.3


def test_access_tokens_expire_and_everything_can_be_revoked(own):
    tokens, key = own.tokens(), own.box.make_api_key()
    own.box.expire_access_tokens()
    assert not alive(own, tokens["access_token"])
    assert alive(own, key)
    tokens = own.refresh(tokens["refresh_token"]).json()
    own.box.revoke_everything()
    assert not alive(own, tokens["access_token"])
    assert not alive(own, key)
    assert error(own.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
