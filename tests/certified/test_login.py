"""Logins at a certified provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import AccessDenied, CallbackError, InvalidGrant, TokenEndpointError
from lexoffice_nb.oauth.pkce import new_code_verifier
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from tests.certified.server import BASIC, POST, PUBLIC, REDIRECT_URI, SIGNED, Certified
from tests.certified.signing_in import (
    METHODS,
    SCOPES,
    attempt_at,
    changed,
    logged_in,
    parameters_of,
    refused,
    source_of,
    token_requests,
)

if TYPE_CHECKING:
    from lexoffice_nb.oauth.login import LexofficeLogin
    from tests.certified.person import Person


class TestDiscovery:
    def test_finds_everything_that_is_used(self, certified: Certified) -> None:
        provider = Provider.discover(certified.issuer)
        assert provider.authorization_endpoint == f"{certified.issuer}/auth"
        assert provider.token_endpoint == f"{certified.issuer}/token"
        assert provider.revocation_endpoint == f"{certified.issuer}/token/revocation"
        assert provider.userinfo_endpoint == f"{certified.issuer}/me"
        assert provider.jwks_uri == f"{certified.issuer}/jwks"
        assert (provider.openid, provider.iss_in_response, provider.s256, provider.local) == (True, True, True, True)


class TestLogin:
    @pytest.mark.parametrize("client_id", [PUBLIC, SIGNED, BASIC, POST])
    @pytest.mark.case("accept/code-with-openid")
    def test_gives_tokens_and_claims(self, certified: Certified, person: Person, client_id: str) -> None:
        """RS256 and ES256; no authentication, Basic and form, with a secret of reserved characters."""
        tokens = logged_in(certified, person, client_id=client_id).tokens
        assert tokens is not None
        assert (tokens.claims["iss"], tokens.claims["aud"]) == (certified.issuer, client_id)
        assert tokens.claims["sub"] == "petra"
        assert tokens.refresh_token is not None
        assert tokens.id_token is not None
        assert tokens.expires_at is not None
        assert abs(tokens.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=10)
        assert person.pages == ["Sign-in", "Authorize"]

    @pytest.mark.parametrize(("client_id", "way"), [(PUBLIC, ""), (BASIC, "Basic"), (POST, "form")])
    def test_authenticates_in_the_way_of_the_client(
        self, certified: Certified, person: Person, client_id: str, way: str
    ) -> None:
        with certified.watch() as seen:
            logged_in(certified, person, client_id=client_id)
        (request,) = token_requests(seen)
        assert (request.client_authentication, request.status, request.client_id) == (way, 200, client_id)

    @pytest.mark.parametrize("uri", ["http://127.0.0.1:1024/callback", "http://[::1]:65535/callback"])
    @pytest.mark.case("real/15-literal-ip")
    def test_a_loopback_redirect_uri_may_have_any_port(self, certified: Certified, person: Person, uri: str) -> None:
        attempt = attempt_at(certified)
        attempt.redirect_uri = uri
        callback = person.allow(attempt.get_login_url())
        assert callback.startswith(f"{uri}?")
        assert attempt.handle_callback(callback).claims["sub"] == "petra"

    @pytest.mark.case("real/10-scope-dropped")
    def test_says_what_was_granted_where_an_unknown_scope_was_dropped(
        self, certified: Certified, person: Person
    ) -> None:
        attempt = logged_in(certified, person, scopes=(*SCOPES, "payroll.read"))
        assert attempt.tokens is not None
        assert attempt.tokens.scope == SCOPES

    def test_without_openid_there_is_no_id_token(self, certified: Certified, person: Person) -> None:
        tokens = logged_in(certified, person, scopes=("invoice.read",)).tokens
        assert tokens is not None
        assert (tokens.id_token, dict(tokens.claims), tokens.scope) == (None, {}, ("invoice.read",))

    def test_two_people_at_two_browsers_get_their_own_tokens(
        self, certified: Certified, person: Person, other_person: Person
    ) -> None:
        one, two = logged_in(certified, person), logged_in(certified, other_person)
        assert one.tokens is not None
        assert two.tokens is not None
        assert (one.tokens.claims["sub"], two.tokens.claims["sub"]) == ("petra", "klaus")

    @pytest.mark.case("refuse/state-other")
    def test_a_callback_of_another_attempt_is_refused_before_the_token_request(
        self, certified: Certified, person: Person
    ) -> None:
        mine, theirs = attempt_at(certified), attempt_at(certified)
        mine.get_login_url()
        callback = person.allow(theirs.get_login_url())
        with certified.watch() as seen, pytest.raises(CallbackError) as caught:
            mine.handle_callback(callback)
        assert (caught.value.code, seen) == ("state_mismatch", [])


class TestConsent:
    @pytest.mark.case("real/11-consent-each-time")
    def test_a_native_client_is_asked_about_each_time(self, certified: Certified, person: Person) -> None:
        logged_in(certified, person)
        logged_in(certified, person)
        assert person.pages == ["Authorize"]

    def test_a_web_client_is_asked_about_once(self, certified: Certified, person: Person) -> None:
        logged_in(certified, person, client_id=BASIC)
        logged_in(certified, person, client_id=BASIC)
        assert person.pages == []

    def test_offline_access_asks_again_and_is_granted(self, certified: Certified, person: Person) -> None:
        """OpenID Connect Core section 11: without `prompt=consent` the provider drops the scope."""
        scopes = ("openid", "offline_access")
        logged_in(certified, person, client_id=BASIC, scopes=scopes)
        attempt = logged_in(certified, person, client_id=BASIC, scopes=scopes)
        assert person.pages == ["Authorize"]
        assert attempt.tokens is not None
        assert attempt.tokens.scope == scopes

    def test_a_refusal_is_access_denied_and_sends_nothing(self, certified: Certified, person: Person) -> None:
        attempt = attempt_at(certified)
        callback = person.deny(attempt.get_login_url())
        sent = parameters_of(callback)
        assert (sent["error"], sent["iss"]) == ("access_denied", certified.issuer)
        with certified.watch() as seen:
            error = refused(AccessDenied, "callback", "access_denied", lambda: attempt.handle_callback(callback))
        assert seen == []
        assert "End-User aborted" not in str(error)  # said in the person's own language instead
        assert not attempt.open

    def test_a_refusal_in_the_name_of_another_issuer_is_not_believed(
        self, certified: Certified, person: Person
    ) -> None:
        """RFC 9207 section 2.4: `iss` counts in error responses as well."""
        attempt = attempt_at(certified)
        callback = changed(person.deny(attempt.get_login_url()), iss="https://other.example")
        refused(CallbackError, "callback", "iss_differs", lambda: attempt.handle_callback(callback))

    @pytest.mark.parametrize(("iss", "code"), [(None, "iss_missing"), ("https://other.example", "iss_differs")])
    def test_a_code_without_the_promised_iss_is_not_sent(
        self, certified: Certified, person: Person, iss: str | None, code: str
    ) -> None:
        attempt = attempt_at(certified)
        callback = changed(person.allow(attempt.get_login_url()), iss=iss)
        with certified.watch() as seen:
            refused(CallbackError, "callback", code, lambda: attempt.handle_callback(callback))
        assert seen == []


class TestWhatTheProviderRefuses:
    @pytest.mark.parametrize(
        "changes",
        [
            {"code_challenge": None, "code_challenge_method": None},
            {"code_challenge": None},
            {"code_challenge_method": None},
            {"code_challenge_method": "plain"},
            {"code_challenge": "too-short"},
        ],
        ids=lambda changes: "&".join(f"{name}={value}" for name, value in changes.items()),
    )
    @pytest.mark.parametrize("client_id", [PUBLIC, BASIC])
    def test_a_login_url_without_pkce(
        self, certified: Certified, person: Person, client_id: str, changes: dict[str, str | None]
    ) -> None:
        attempt = attempt_at(certified, client_id)
        callback = person.allow(changed(attempt.get_login_url(), **changes))
        with certified.watch() as seen:
            refused(CallbackError, "callback", "authorize_invalid_request", lambda: attempt.handle_callback(callback))
        assert (person.pages, seen) == ([], [])

    @pytest.mark.parametrize(
        ("parameter", "value", "code"),
        [
            ("response_type", "none", "authorize_unsupported_response_type"),
            ("prompt", "none", "authorize_login_required"),
        ],
    )
    def test_what_it_does_not_do_comes_back_as_our_error(
        self, certified: Certified, person: Person, parameter: str, value: str, code: str
    ) -> None:
        attempt = attempt_at(certified)
        callback = person.allow(changed(attempt.get_login_url(), **{parameter: value}))
        refused(CallbackError, "callback", code, lambda: attempt.handle_callback(callback))

    def test_another_verifier(self, certified: Certified, person: Person) -> None:
        attempt = attempt_at(certified)
        code = _code(attempt, person)
        exchange = partial(attempt.endpoint.exchange, code, new_code_verifier(), REDIRECT_URI)
        refused(InvalidGrant, "token", "invalid_grant", exchange)

    def test_another_redirect_uri_at_the_token_endpoint(self, certified: Certified, person: Person) -> None:
        attempt = attempt_at(certified)
        code, verifier = _code(attempt, person), _verifier(attempt)
        exchange = partial(attempt.endpoint.exchange, code, verifier, "http://127.0.0.1:51235/callback")
        refused(InvalidGrant, "token", "invalid_grant", exchange)

    @pytest.mark.parametrize("client_id", METHODS)
    def test_another_secret(self, certified: Certified, person: Person, client_id: str) -> None:
        attempt = attempt_at(certified, client_id, client_secret="another secret")
        callback = person.allow(attempt.get_login_url())
        refused(TokenEndpointError, "token", "token_invalid_client", lambda: attempt.handle_callback(callback))

    def test_a_code_a_second_time_and_all_that_came_of_it(self, certified: Certified, person: Person) -> None:
        """RFC 6749 section 4.1.2: the tokens of a code that comes twice are revoked."""
        attempt = attempt_at(certified)
        callback = person.allow(attempt.get_login_url())
        code, verifier = Secret(parameters_of(callback)["code"]), _verifier(attempt)
        tokens = attempt.handle_callback(callback)
        assert tokens.refresh_token is not None
        assert certified.is_active(tokens.access_token.reveal())
        refused(InvalidGrant, "token", "invalid_grant", lambda: attempt.endpoint.exchange(code, verifier, REDIRECT_URI))
        assert not certified.is_active(tokens.access_token.reveal())
        assert not certified.is_active(tokens.refresh_token.reveal())


class TestKeys:
    @pytest.mark.case("accept/keys-rotated-between-logins")
    def test_changed_between_two_logins(self, person: Person) -> None:
        """The provider comes back under the same address, with other keys."""
        with Certified() as before:
            old = logged_in(before, person)
        with Certified(port=before.port) as after:
            assert after.issuer == before.issuer
            new = logged_in(after, person)
        assert old.tokens is not None
        assert new.tokens is not None
        assert new.tokens.claims["sub"] == old.tokens.claims["sub"] == "petra"

    def test_are_fetched_once_for_a_login_and_its_renewals(self, certified: Certified, person: Person) -> None:
        with certified.watch() as seen:
            attempt = logged_in(certified, person)
            source = source_of(attempt)
            source.renew(source.tokens.access_token)
            source.renew(source.tokens.access_token)
        assert [request.path for request in seen].count("/jwks") == 1


def _code(attempt: LexofficeLogin, person: Person) -> Secret:
    return Secret(parameters_of(person.allow(attempt.get_login_url()))["code"])


def _verifier(attempt: LexofficeLogin) -> Secret:
    return attempt._attempts[-1].verifier
