"""Log-out at a certified provider: of the session (RFC 7009) and of the browser (RP-Initiated Logout 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import LoginError, SignedOut
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.session import LexofficeSession
from tests.certified.server import BASIC, POST, PUBLIC, Certified
from tests.certified.signing_in import attempt_at, logged_in, parameters_of, refused

if TYPE_CHECKING:
    from tests.certified.person import Person


@pytest.mark.parametrize("client_id", [PUBLIC, BASIC, POST])
@pytest.mark.case("real/09-log-out-order", "statement/30-revokes")
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


def test_the_link_to_sign_out_of_the_provider_says_who_we_are_and_carries_no_token(
    certified: Certified, person: Person
) -> None:
    session = LexofficeSession.from_login(logged_in(certified, person))
    url = session.end_session_url
    assert url is not None
    assert url.startswith(f"{certified.issuer}/session/end?")
    assert parameters_of(url) == {"client_id": PUBLIC, "ui_locales": "en"}
    session.logout()
    assert session.end_session_url == url


def test_after_log_out_alone_the_browser_is_signed_in_still(certified: Certified, person: Person) -> None:
    LexofficeSession.from_login(logged_in(certified, person)).logout()
    person.allow(attempt_at(certified).get_login_url())
    assert "Sign-in" not in person.pages


def test_the_link_signs_the_browser_out_of_the_provider(certified: Certified, person: Person) -> None:
    session = LexofficeSession.from_login(logged_in(certified, person))
    assert "Sign-in" in person.pages
    session.logout()
    assert session.end_session_url is not None
    person.sign_out(session.end_session_url)
    person.allow(attempt_at(certified).get_login_url())
    assert "Sign-in" in person.pages
