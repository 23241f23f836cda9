"""Userinfo and log-out at a certified provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import LoginError, SignedOut, UserinfoError
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.session import LexofficeSession
from tests.certified.server import BASIC, POST, PUBLIC, Certified
from tests.certified.signing_in import logged_in, refused

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


def test_userinfo_with_a_revoked_token_is_an_error_of_its_stage(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person)
    with LexofficeSession.from_login(attempt) as session:
        attempt.endpoint.revoke(session.tokens.access_token, "access_token")
        refused(UserinfoError, "userinfo", "userinfo_unreadable", session.userinfo)


@pytest.mark.parametrize("client_id", [PUBLIC, BASIC, POST])
def test_logout_revokes_the_refresh_token_and_then_the_access_token(
    certified: Certified, person: Person, client_id: str
) -> None:
    session = LexofficeSession.from_login(logged_in(certified, person, client_id=client_id))
    with certified.watch() as seen:
        assert session.logout() == []
    assert [(r.path, r.token_type_hint, r.status, r.client_id) for r in seen] == [
        ("/token/revocation", "refresh_token", 200, client_id),
        ("/token/revocation", "access_token", 200, client_id),
    ]
    refused(SignedOut, "authorize", "signed_out_logout", lambda: session.tokens)


def test_after_logout_the_provider_knows_neither_token(certified: Certified, person: Person) -> None:
    with LexofficeSession.from_login(logged_in(certified, person)) as session:
        tokens = session.tokens
        assert tokens.refresh_token is not None
        both = tokens.access_token.reveal(), tokens.refresh_token.reveal()
        assert [certified.is_active(token) for token in both] == [True, True]
        session.logout()
        assert [certified.is_active(token) for token in both] == [False, False]


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
def test_a_token_that_the_provider_does_not_know_is_revoked_already(
    certified: Certified, person: Person, hint: str
) -> None:
    """RFC 7009 section 2.2: an unknown token is no error."""
    endpoint = logged_in(certified, person).endpoint
    endpoint.revoke(Secret("nobody-knows-this-token-0123456789"), hint)


def test_a_revocation_with_another_secret_fails_at_its_stage(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person, client_id=BASIC)
    session = LexofficeSession.from_login(attempt)
    object.__setattr__(attempt.endpoint, "client_secret", Secret("another secret"))
    (problem,) = session.logout()
    assert isinstance(problem, LoginError)
    assert (problem.stage, problem.code) == ("revocation", "token_invalid_client")
    assert not session.signed_in
