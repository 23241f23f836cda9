"""The authorization request, and whole logins at the sandbox."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from lexoffice_nb.errors import CallbackError, IdTokenError, InvalidGrant, LoginError, StateMismatch
from lexoffice_nb.oauth import login as login_module
from lexoffice_nb.oauth.login import DEFAULT_SCOPES, LexofficeLogin
from lexoffice_nb.oauth.pkce import code_challenge
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import clock
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI
from tests.oauth.signing_in import attempt_at, parameters_of, refused

if TYPE_CHECKING:
    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth.conftest import StartProvider

REMOTE = Provider(
    name="remote",
    title="Remote",
    issuer="https://issuer.example",
    authorization_endpoint="https://issuer.example/authorize?tenant=7",
    token_endpoint="https://issuer.example/token",
    api_base="https://api.example",
    jwks_uri="https://issuer.example/jwks",
)


def attempt(**options: object) -> LexofficeLogin:
    return LexofficeLogin(**{"client_id": "me", "redirect_uri": REDIRECT_URI, "provider": REMOTE, **options})  # type: ignore[arg-type]


class TestAuthorizationRequest:
    def test_has_these_parameters_and_no_others(self) -> None:
        url = attempt().get_login_url()
        assert url.startswith("https://issuer.example/authorize?tenant=7&")
        sent = parameters_of(url)
        assert sent == {
            "tenant": "7",
            "response_type": "code",
            "client_id": "me",
            "redirect_uri": REDIRECT_URI,
            "scope": "openid profile invoice.read",
            "state": sent["state"],
            "nonce": sent["nonce"],
            "code_challenge": sent["code_challenge"],
            "code_challenge_method": "S256",
        }
        assert len(sent["state"]) == len(sent["nonce"]) == len(sent["code_challenge"]) == 43

    @pytest.mark.parametrize("name", ["state", "nonce", "code_challenge"])
    def test_is_fresh_every_time(self, name: str) -> None:
        one = attempt()
        values = [parameters_of(each.get_login_url())[name] for each in (one, one, one, attempt(), attempt())]
        assert len(set(values)) == 5

    def test_carries_the_challenge_of_the_verifier_that_is_kept_and_not_the_verifier(self) -> None:
        one = attempt()
        url = one.get_login_url()
        kept = one._attempts[-1]
        assert parameters_of(url)["code_challenge"] == code_challenge(kept.verifier)
        assert kept.verifier.reveal() not in url

    @pytest.mark.parametrize("secret", [None, "client-secret"])
    def test_uses_s256_for_confidential_clients_too(self, secret: str | None) -> None:
        provider = Provider.named("lexware") if secret else REMOTE
        url = attempt(provider=provider, client_secret=secret).get_login_url()
        assert parameters_of(url)["code_challenge_method"] == "S256"
        assert "client-secret" not in url

    def test_asks_for_consent_where_it_asks_for_offline_access(self) -> None:
        assert parameters_of(attempt(scopes=("openid", "offline_access")).get_login_url())["prompt"] == "consent"
        assert "prompt" not in parameters_of(attempt().get_login_url())

    def test_has_no_nonce_where_no_id_token_is_asked_for(self) -> None:
        assert "nonce" not in parameters_of(attempt(scopes=("invoice.read",)).get_login_url())

    def test_names_each_scope_once_and_in_order(self) -> None:
        assert parameters_of(attempt(scopes=("b", "a", "b")).get_login_url())["scope"] == "b a"

    def test_takes_scopes_as_one_string_too(self) -> None:
        assert attempt(scopes="openid invoice.read").scopes == ("openid", "invoice.read")

    def test_asks_for_the_default_scopes_where_none_are_named(self) -> None:
        assert attempt().scopes == DEFAULT_SCOPES
        assert attempt(provider=Provider.named("lexware"), client_secret="s").scopes[0] == "profile.read"

    def test_a_newer_link_leaves_the_earlier_one_good_with_its_own_nonce_and_verifier(
        self, start: StartProvider
    ) -> None:
        server = start()
        one = attempt_at(server)
        links = [one.get_login_url() for _ in range(3)]
        kept = list(one._attempts)
        for number in (1, 0, 2):  # the server checks the verifier, we the nonce
            assert one.handle_callback(server.authorize(links[number])).claims["sub"] == "person-1"
            assert server.forms[-1]["code_verifier"] == kept[number].verifier.reveal()

    def test_the_nonce_of_another_link_is_not_believed(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        old, new = one.get_login_url(), one.get_login_url()
        server.claims = {"nonce": parameters_of(new)["nonce"]}
        refused(IdTokenError, "id_token", "nonce_other", lambda: one.handle_callback(server.authorize(old)))

    def test_each_link_serves_once_and_a_later_visit_is_told_when_it_was_made(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        old, _ = one.get_login_url(), one.get_login_url()
        one._attempts[0].begun_at -= timedelta(minutes=7)
        callback = server.authorize(old)
        one.handle_callback(callback)
        error = refused(CallbackError, "callback", "callback_used", lambda: one.handle_callback(callback))
        assert error.values["time"] == clock(one._attempts[0].begun_at)
        assert server.token_requests == 1

    def test_an_answer_that_belongs_to_no_link_leaves_all_of_them_good(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        links = [one.get_login_url() for _ in range(2)]
        refused(
            StateMismatch,
            "callback",
            "state_mismatch",
            lambda: one.handle_callback(server.authorize(links[0], state="another")),
        )
        assert server.token_requests == 0
        for link in links:
            assert one.handle_callback(server.authorize(link)).claims["sub"] == "person-1"

    def test_as_many_links_as_32_are_remembered_and_no_more(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        links = [one.get_login_url() for _ in range(33)]
        refused(StateMismatch, "callback", "state_mismatch", lambda: one.handle_callback(server.authorize(links[0])))
        assert one.handle_callback(server.authorize(links[1])).claims["sub"] == "person-1"
        assert len(one._attempts) == 32

    def test_says_how_long_its_links_live(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        assert one.open_seconds == 0
        old = one.get_login_url()
        one.handle_callback(server.authorize(one.get_login_url()))
        assert 590 < one.open_seconds <= 600, "the older one lives on"
        assert one.begun_at(Secret(server.authorize(old))) == one._attempts[0].begun_at
        assert one.begun_at(Secret(server.authorize(old, state="another"))) is None
        one.handle_callback(server.authorize(old))
        assert one.open_seconds == 0


class TestSettingsThatAreRefused:
    def test_no_client(self) -> None:
        refused(LoginError, "authorize", "client_id_missing", lambda: attempt(client_id=None))

    def test_no_redirect_uri(self) -> None:
        refused(LoginError, "authorize", "redirect_uri_missing", lambda: attempt(redirect_uri=None))

    def test_openid_where_the_provider_gives_no_id_token(self) -> None:
        error = refused(
            LoginError,
            "authorize",
            "openid_not_offered",
            lambda: attempt(provider=replace(REMOTE, openid=False), scopes="openid invoice.read"),
        )
        assert "openid" in error.remedy

    def test_but_openid_is_asked_of_nobody_who_does_not_offer_it(self) -> None:
        without = replace(REMOTE, openid=False)
        assert attempt(provider=without).scopes == ("profile", "invoice.read")
        assert attempt(provider=replace(without, source="shipped")).scopes == ("profile",)

    def test_no_secret_for_a_provider_that_wants_one(self) -> None:
        wanted = Provider.named("lexware")
        refused(LoginError, "authorize", "client_secret_missing", lambda: attempt(provider=wanted))

    @pytest.mark.parametrize(
        "uri",
        [
            "http://example.org/callback",
            "http://127.0.0.1.example.org/callback",
            "http://127.0.0.1@example.org/callback",
            "http://me:secret@127.0.0.1:51234/callback",
            "https://app.example/callback#fragment",
            "https://app.example\\@127.0.0.1/callback",
            "https://app.example/call back",
            "https://app.example:99999/callback",
            "javascript:alert(1)",
            "urn:ietf:wg:oauth:2.0:oob",
            "/callback",
            "http://",
        ],
    )
    def test_a_redirect_uri_that_is_not_allowed(self, uri: str) -> None:
        refused(LoginError, "authorize", "redirect_uri_not_allowed", lambda: attempt(redirect_uri=uri))

    @pytest.mark.parametrize("uri", ["http://127.0.0.1:1/callback", "http://[::1]:8765/", "https://app.example/cb"])
    def test_but_not_these(self, uri: str) -> None:
        assert attempt(redirect_uri=uri).redirect_uri == uri


class TestLoginAtTheSandbox:
    def test_gives_tokens_scope_and_verified_claims(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        tokens = box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        assert box.grants.bearer(tokens.access_token.reveal()) is not None
        assert tokens.refresh_token is not None
        assert tokens.id_token is not None
        assert tokens.scope == ("openid", "profile", "invoice.read")
        assert tokens.claims["iss"] == box.url
        assert tokens.claims["aud"] == CLIENT_ID
        assert tokens.claims["name"]
        assert tokens.expires_at is not None
        assert abs(tokens.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=10)
        assert not tokens.expired
        assert box_attempt.tokens is tokens
        with pytest.raises(TypeError):
            tokens.claims["sub"] = "somebody else"  # type: ignore[index]

    def test_takes_a_callback_as_a_secret(self, box_attempt: LexofficeLogin) -> None:
        assert box_attempt.handle_callback(Secret(sign_in(box_attempt.get_login_url()))).claims["sub"]

    def test_says_what_was_granted_and_not_what_was_asked(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        box.settings.drop_scopes = ("invoice.read",)
        tokens = box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        assert tokens.scope == ("openid", "profile")

    def test_leaves_no_id_token_where_openid_is_not_asked_for(self, box: Sandbox) -> None:
        one = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["invoice.read"], Provider.discover(box.url))
        tokens = one.handle_callback(sign_in(one.get_login_url()))
        assert tokens.id_token is None
        assert dict(tokens.claims) == {}

    def test_serves_again_with_a_fresh_link(self, box_attempt: LexofficeLogin) -> None:
        first = box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        second = box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        assert first.access_token != second.access_token

    def test_a_code_that_the_server_saw_before_is_an_invalid_grant(
        self, box: Sandbox, box_attempt: LexofficeLogin
    ) -> None:
        """Another program was faster: the server refuses the second, and our error names that."""
        callback = sign_in(box_attempt.get_login_url())
        box.grants.use_code(parameters_of(callback)["code"], CLIENT_ID)
        refused(InvalidGrant, "token", "invalid_grant", lambda: box_attempt.handle_callback(callback))
        assert box_attempt.tokens is None

    def test_is_open_until_it_is_answered(self, box_attempt: LexofficeLogin) -> None:
        assert not box_attempt.open
        url = box_attempt.get_login_url()
        assert box_attempt.open
        box_attempt.handle_callback(sign_in(url))
        assert not box_attempt.open

    def test_is_open_for_ten_minutes(self, box_attempt: LexofficeLogin, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = time.monotonic()
        box_attempt.get_login_url()
        monkeypatch.setattr("lexoffice_nb.oauth.login.time.monotonic", lambda: begun + 590)
        assert box_attempt.open
        monkeypatch.setattr("lexoffice_nb.oauth.login.time.monotonic", lambda: begun + 610)
        assert not box_attempt.open

    def test_the_repr_names_client_and_provider_alone(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        box_attempt.get_login_url()
        assert repr(box_attempt) == f"<LexofficeLogin {CLIENT_ID} at {urlsplit(box.url).hostname}>"


def test_of_two_callbacks_at_once_one_is_exchanged(start: StartProvider) -> None:
    server = start()
    one = attempt_at(server)
    url = server.authorize(one.get_login_url())
    both = threading.Barrier(2)

    class Watched(login_module._Attempt):
        @property  # type: ignore[override]
        def used(self) -> bool:
            value = self.__dict__["used"]
            with suppress(threading.BrokenBarrierError):
                both.wait(0.5)  # the second has looked as well by now, unless it is kept out
            return bool(value)

        @used.setter
        def used(self, value: bool) -> None:
            self.__dict__["used"] = value

    kept = one._attempts.pop()
    one._attempts.append(Watched(kept.state, kept.nonce, kept.verifier, kept.begun, kept.begun_at, False))

    def answer(_: int) -> str:
        try:
            return str(one.handle_callback(url).claims["sub"])
        except CallbackError as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(answer, range(2))) == ["callback_used", "person-1"]
    assert server.token_requests == 1


class TestTokenRequest:
    def test_has_these_parameters_and_no_others(self, start: StartProvider) -> None:
        server = start()
        one = attempt_at(server)
        url = one.get_login_url()
        kept = one._attempts[-1]
        callback = server.authorize(url)
        one.handle_callback(callback)
        assert server.forms == [
            {
                "grant_type": "authorization_code",
                "code": parameters_of(callback)["code"],
                "redirect_uri": parameters_of(url)["redirect_uri"],
                "code_verifier": kept.verifier.reveal(),
                "client_id": CLIENT_ID,
            }
        ]

    @pytest.mark.parametrize("uri", ["http://127.0.0.1:8765/callback/", "https://app.example/cb?a=b%20c", REDIRECT_URI])
    def test_repeats_the_redirect_uri_to_the_letter(self, start: StartProvider, uri: str) -> None:
        server = start()
        one = LexofficeLogin(CLIENT_ID, uri, ["openid"], Provider.discover(server.issuer))
        url = one.get_login_url()
        one.handle_callback(server.authorize(url))
        assert parameters_of(url)["redirect_uri"] == server.forms[0]["redirect_uri"] == uri

    @pytest.mark.parametrize(
        ("method", "header", "form"),
        [
            ("client_secret_basic", "Basic bWUlM0E6cCUyNiUzRCslMkYlMjU=", {}),
            ("client_secret_post", None, {"client_id": "me:", "client_secret": "p&= /%"}),
        ],
    )
    def test_authenticates_a_confidential_client_in_one_way(
        self, start: StartProvider, method: str, header: str | None, form: dict[str, str]
    ) -> None:
        """RFC 6749 section 2.3.1: both parts are form-encoded before they are joined."""
        server = start(claims={"aud": "me:"})
        provider = Provider.discover(server.issuer, client_authentication=method)
        one = LexofficeLogin("me:", REDIRECT_URI, ["openid"], provider, "p&= /%")
        one.handle_callback(server.authorize(one.get_login_url()))
        sent = next(h for h in server.headers if h.get("Content-Type", "").startswith("application/x-www-form"))
        assert sent.get("Authorization") == header
        assert {name: value for name, value in server.forms[0].items() if name.startswith("client_")} == form
