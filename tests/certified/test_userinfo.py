"""Userinfo, plain and signed, `max_age` and `resource` at a certified provider."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import SignedOut, UserinfoError
from lexoffice_nb.oauth.userinfo import userinfo
from lexoffice_nb.session import LexofficeSession
from tests.certified.server import PUBLIC, SIGNED, Certified, direct
from tests.certified.signing_in import attempt_at, logged_in, parameters_of, refused

if TYPE_CHECKING:
    from tests.certified.person import Person


def test_userinfo_says_who_signed_in(certified: Certified, person: Person) -> None:
    with LexofficeSession.from_login(logged_in(certified, person)) as session:
        claims = session.userinfo()
    assert dict(claims) == {
        "sub": "petra",
        "name": "Petra Prüfer",
        "email": "petra@example.org",
        "email_verified": True,
    }


def test_userinfo_says_no_more_than_was_granted(certified: Certified, person: Person) -> None:
    with LexofficeSession.from_login(logged_in(certified, person, scopes=("openid",))) as session:
        assert dict(session.userinfo()) == {"sub": "petra"}


def test_userinfo_with_a_revoked_token_is_asked_again_after_one_renewal_or_not_at_all(
    certified: Certified, person: Person
) -> None:
    """This provider takes the refresh token along with the access token."""
    attempt = logged_in(certified, person)
    with LexofficeSession.from_login(attempt) as session:
        attempt.endpoint.revoke(session.tokens.access_token, "access_token")
        with certified.watch() as seen:
            refused(SignedOut, "refresh", "signed_out_ended", session.userinfo)
    assert [(r.path, r.status) for r in seen] == [("/me", 401), ("/token", 400)]


def test_userinfo_signed_with_es256_is_verified_and_says_the_same(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person, client_id=SIGNED)
    with LexofficeSession.from_login(attempt) as session:
        claims = session.userinfo()
        token = session.tokens.access_token
        assert (claims["sub"], claims["name"], session.account.person) == ("petra", "Petra Prüfer", "Petra Prüfer")
        assert (claims["iss"], claims["aud"]) == (certified.issuer, SIGNED)
    answer = direct("GET", f"{certified.issuer}/me", headers={"Authorization": f"Bearer {token.reveal()}"})
    assert answer.headers["Content-Type"].startswith("application/jwt")


def test_signed_userinfo_is_for_one_client_and_one_person(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person, client_id=SIGNED)
    assert attempt.tokens is not None
    provider, keys, token = attempt.provider, attempt.keys, attempt.tokens.access_token
    refused(UserinfoError, "userinfo", "userinfo_aud", lambda: userinfo(provider, keys, PUBLIC, token, "petra"))
    refused(UserinfoError, "userinfo", "userinfo_sub", lambda: userinfo(provider, keys, SIGNED, token, "klaus"))


@pytest.mark.parametrize("max_age", [0, 1])
def test_with_max_age_the_provider_asks_again_and_says_when(certified: Certified, person: Person, max_age: int) -> None:
    logged_in(certified, person)
    time.sleep(max_age + 1.1)
    before = int(time.time())
    attempt = logged_in(certified, person, max_age=max_age)
    assert attempt.tokens is not None
    assert "Sign-in" in person.pages
    assert before <= attempt.tokens.claims["auth_time"] <= time.time()


def test_with_a_long_max_age_the_provider_asks_for_nothing_and_says_when_all_the_same(
    certified: Certified, person: Person
) -> None:
    logged_in(certified, person)
    attempt = logged_in(certified, person, max_age=3600)
    assert attempt.tokens is not None
    assert "Sign-in" not in person.pages
    assert isinstance(attempt.tokens.claims["auth_time"], int)


def test_with_max_age_the_renewal_tells_of_the_same_sign_in(certified: Certified, person: Person) -> None:
    with LexofficeSession.from_login(logged_in(certified, person, client_id=SIGNED, max_age=3600)) as session:
        before = session.tokens
        session._source.renew(before.access_token)
        assert session.tokens.id_token != before.id_token
        assert session.tokens.claims["auth_time"] == before.claims["auth_time"]


def test_a_token_for_a_resource_has_the_scopes_of_that_api(certified: Certified, person: Person) -> None:
    attempt = attempt_at(certified, resource=certified.api)
    url = attempt.get_login_url()
    assert parameters_of(url)["resource"] == certified.api
    tokens = attempt.handle_callback(person.allow(url))
    assert tokens.scope == ("invoice.read",)
    assert tokens.claims["sub"] == "petra"


def test_a_resource_that_the_provider_does_not_know_is_an_invalid_target(certified: Certified, person: Person) -> None:
    attempt = attempt_at(certified, resource="https://other.example/")
    callback = person.allow(attempt.get_login_url())
    assert parameters_of(callback)["error"] == "invalid_target"
    assert "code" not in parameters_of(callback)
