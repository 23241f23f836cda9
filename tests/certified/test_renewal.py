"""Renewal at a certified provider that rotates refresh tokens and ends a sign-in whose old one comes back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import InvalidGrant, SignedOut
from lexoffice_nb.session import LexofficeSession
from tests.certified.server import BASIC, POST, PUBLIC, SIGNED, Certified, direct
from tests.certified.signing_in import logged_in, refused, source_of, token_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.oauth.tokens import Secret
    from tests.certified.person import Person

THREADS = 8


@pytest.mark.parametrize("client_id", [PUBLIC, SIGNED, BASIC, POST])
def test_gives_another_access_token_and_another_refresh_token(
    certified: Certified, person: Person, client_id: str
) -> None:
    source = source_of(logged_in(certified, person, client_id=client_id))
    old = source.tokens
    renewed = source.renew(old.access_token)
    new = source.tokens
    assert renewed == new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    assert new.scope == old.scope
    assert new.claims["sub"] == old.claims["sub"]
    assert new.id_token is not None
    assert new.claims["nonce"] == old.claims["nonce"]


@pytest.mark.case("real/02-no-replay", "statement/07-old-token-never-again")
def test_never_sends_a_refresh_token_twice(certified: Certified, person: Person) -> None:
    source = source_of(logged_in(certified, person))
    with certified.watch() as seen:
        for _ in range(5):
            source.renew(source.tokens.access_token)
    assert [(request.grant_type, request.status) for request in seen] == [("refresh_token", 200)] * 5
    assert not any(request.refresh_token_seen_before for request in seen)


@pytest.mark.case("real/01-single-flight-threads")
def test_of_eight_threads_with_a_stale_token_one_renews(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person)
    assert attempt.tokens is not None
    attempt.tokens = replace(attempt.tokens, expires_at=datetime.now(UTC))
    source = source_of(attempt)
    with certified.watch() as seen:
        given = _at_once(source.access_token)
    assert len({token.reveal() for token in given}) == 1
    assert given[0] == source.tokens.access_token != attempt.tokens.access_token
    assert [request.grant_type for request in token_requests(seen)] == ["refresh_token"]
    assert certified.is_active(given[0].reveal())


@pytest.mark.case("real/01-single-flight-threads")
def test_of_eight_threads_with_a_rejected_token_one_renews(certified: Certified, person: Person) -> None:
    source = source_of(logged_in(certified, person))
    rejected = source.tokens.access_token
    with certified.watch() as seen:
        given = _at_once(lambda: source.renew(rejected))
    assert len({token.reveal() for token in given}) == 1
    assert [request.grant_type for request in token_requests(seen)] == ["refresh_token"]


def test_an_old_refresh_token_ends_the_sign_in_and_we_say_so(certified: Certified, person: Person) -> None:
    attempt = logged_in(certified, person)
    assert attempt.tokens is not None
    stolen = attempt.tokens.refresh_token
    assert stolen is not None
    source = source_of(attempt)
    source.renew(source.tokens.access_token)
    kept = source.tokens
    assert kept.refresh_token is not None
    refused(InvalidGrant, "refresh", "invalid_grant_refresh", lambda: attempt.endpoint.refresh(stolen))
    assert not certified.is_active(kept.access_token.reveal())
    assert not certified.is_active(kept.refresh_token.reveal())

    with certified.watch() as seen:
        error = refused(SignedOut, "refresh", "signed_out_ended", lambda: source.renew(kept.access_token))
        with pytest.raises(SignedOut):
            source.access_token()
    assert len(seen) == 1, "once it is over, nothing more is sent"
    assert "The provider has ended this sign-in." in str(error)
    assert "%lexoffice_login" in error.remedy


def test_signing_out_at_the_provider_ends_the_sign_in_here(certified: Certified, person: Person) -> None:
    """Without `offline_access` the tokens live as long as the browser's session."""
    attempt = logged_in(certified, person)
    source = source_of(attempt)
    person.sign_out(f"{certified.issuer}/session/end?client_id={PUBLIC}")
    refused(SignedOut, "refresh", "signed_out_ended", lambda: source.renew(source.tokens.access_token))


def test_with_offline_access_it_outlives_the_browsers_session(certified: Certified, person: Person) -> None:
    source = source_of(logged_in(certified, person, scopes=("openid", "offline_access")))
    person.sign_out(f"{certified.issuer}/session/end?client_id={PUBLIC}")
    renewed = source.renew(source.tokens.access_token)
    assert certified.is_active(renewed.reveal())


def test_an_access_token_is_renewed_when_its_two_seconds_are_over(certified_short: Certified, person: Person) -> None:
    session = LexofficeSession.from_login(logged_in(certified_short, person))
    with session:
        old = session.tokens
        assert old.expires_at is not None
        threading.Event().wait((old.expires_at - datetime.now(UTC)).total_seconds() + 1.1)
        assert old.expired
        assert _userinfo_status(certified_short, old.access_token) == 401
        assert session.userinfo()["sub"] == "petra"
        assert session.tokens.access_token != old.access_token


def _userinfo_status(server: Certified, token: Secret) -> int:
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    return direct("GET", f"{server.issuer}/me", headers=headers).status_code


def _at_once(act: Callable[[], Secret]) -> list[Secret]:
    start = threading.Barrier(THREADS)

    def run(_: int) -> Secret:
        start.wait()
        return act()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))
