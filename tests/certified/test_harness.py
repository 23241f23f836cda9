"""The harness itself: the provider is as strict as the tests suppose, and nothing of it is left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from lexoffice_nb.oauth.provider import Provider
from tests.certified.person import NoWayOn
from tests.certified.server import PUBLIC, SIGNED, Certified, direct
from tests.certified.signing_in import attempt_at, changed, logged_in, parameters_of

if TYPE_CHECKING:
    from lexoffice_nb.oauth.login import LexofficeLogin
    from tests.certified.person import Person

HERE = Path(__file__).parent


def exchange(server: Certified, attempt: LexofficeLogin, person: Person, **changes: str | None) -> dict[str, Any]:
    """A token request past our client, with parameters changed or left out."""
    callback = person.allow(attempt.get_login_url())
    form = {
        "grant_type": "authorization_code",
        "code": parameters_of(callback)["code"],
        "redirect_uri": attempt.redirect_uri,
        "code_verifier": attempt._attempts[-1].verifier.reveal(),
        "client_id": attempt.client_id,
        **changes,
    }
    answer: dict[str, Any] = direct("POST", f"{server.issuer}/token", data=form).json()
    return answer


def test_a_complete_token_request_is_taken(certified: Certified, person: Person) -> None:
    assert "access_token" in exchange(certified, attempt_at(certified), person)


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("code_verifier", None, "invalid_grant"),
        ("code_verifier", "another-verifier-of-43-characters-and-more-0123", "invalid_grant"),
        ("redirect_uri", None, "invalid_request"),
        ("client_id", None, "invalid_request"),
        ("client_id", SIGNED, "invalid_grant"),
    ],
)
def test_an_incomplete_token_request_is_not(
    certified: Certified, person: Person, parameter: str, value: str | None, error: str
) -> None:
    answer = exchange(certified, attempt_at(certified), person, **{parameter: value})
    assert (answer["error"], "access_token" in answer) == (error, False)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:51234/other", "http://127.0.0.2:51234/callback", "https://127.0.0.1:51234/callback"]
)
def test_another_redirect_uri_shows_an_error_and_leads_nowhere(certified: Certified, person: Person, uri: str) -> None:
    with pytest.raises(NoWayOn, match=r"400.*redirect_uri"):
        person.allow(changed(attempt_at(certified).get_login_url(), redirect_uri=uri))


def test_a_refresh_token_that_comes_twice_is_noticed(certified: Certified, person: Person) -> None:
    tokens = logged_in(certified, person).tokens
    assert tokens is not None
    assert tokens.refresh_token is not None
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.reveal(), "client_id": PUBLIC}
    with certified.watch() as seen:
        for _ in range(2):
            direct("POST", f"{certified.issuer}/token", data=form)
    assert [(r.status, r.error, r.refresh_token_seen_before) for r in seen] == [
        (200, None, False),
        (400, "invalid_grant", True),
    ]


def test_an_access_token_is_dead_to_the_second(certified_short: Certified, person: Person) -> None:
    """The package itself would take it for 15 s more (`clockTolerance`)."""
    tokens = logged_in(certified_short, person).tokens
    assert tokens is not None
    headers = {"Authorization": f"Bearer {tokens.access_token.reveal()}"}
    begun = time.monotonic()
    assert direct("GET", f"{certified_short.issuer}/me", headers=headers).status_code == 200
    while direct("GET", f"{certified_short.issuer}/me", headers=headers).status_code != 401:
        assert time.monotonic() - begun < 4
        time.sleep(0.1)


@pytest.mark.parametrize(("client_id", "kind"), [(PUBLIC, "application/json"), (SIGNED, "application/jwt")])
def test_userinfo_is_plain_or_signed_as_the_client_is_set_up(
    certified: Certified, person: Person, client_id: str, kind: str
) -> None:
    tokens = logged_in(certified, person, client_id=client_id).tokens
    assert tokens is not None
    headers = {"Authorization": f"Bearer {tokens.access_token.reveal()}"}
    answer = direct("GET", f"{certified.issuer}/me", headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)


def test_a_token_for_a_resource_is_not_for_userinfo(certified: Certified, person: Person) -> None:
    """RFC 8707: a token that was asked for with `resource` has the scopes of that API only."""
    attempt = attempt_at(certified)
    url = changed(attempt.get_login_url(), resource=certified.api)
    tokens = attempt.handle_callback(person.allow(url))
    assert tokens.scope == ("invoice.read",)
    headers = {"Authorization": f"Bearer {tokens.access_token.reveal()}"}
    assert direct("GET", f"{certified.issuer}/me", headers=headers).status_code == 403


def test_the_journal_is_for_those_with_its_key_and_holds_no_secret(certified: Certified, person: Person) -> None:
    tokens = logged_in(certified, person).tokens
    assert tokens is not None
    assert direct("GET", f"{certified.issuer}/-/journal").status_code == 404
    assert tokens.access_token.reveal() not in repr(certified.journal())


def test_the_provider_ends_with_the_tests_and_after_its_life() -> None:
    with Certified() as one:
        assert Provider.discover(one.issuer).local
    assert one.process.returncode == 0
    with pytest.raises(requests.ConnectionError):
        direct("GET", one.issuer)
    with Certified(life_seconds=1) as two:
        assert two.process.wait(timeout=5) == 0


def test_the_lock_file_names_no_registry() -> None:
    """Each machine asks the registry that it is set up for."""
    packages = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []
