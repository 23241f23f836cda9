"""Renewal and log-out (RFC 6749 section 6, RFC 7009, RFC 9700 section 4.14)."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from lexoffice_nb.errors import IdTokenError, LoginError, SignedOut, TokenEndpointError
from lexoffice_nb.oauth import transport
from lexoffice_nb.oauth.bearer import Bearer
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from tests.oauth.misbehaving import CLIENT_ID, LEFT_OUT, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import attempt_at, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

REVOKING = {"revocation_endpoint": "{}/revoke"}


def signed_in(server: misbehaving.Provider) -> TokenSource:
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    source = TokenSource()
    source.adopt(attempt)
    return source


def signed_in_at_box(box: Sandbox, attempt: LexofficeLogin) -> TokenSource:
    attempt.handle_callback(sign_in(attempt.get_login_url()))
    source = TokenSource()
    source.adopt(attempt)
    return source


def renewals(box: Sandbox) -> list[int]:
    return [r.status for r in box.requests if r.grant_type == "refresh_token"]


def in_threads(act: Callable[[], Secret], count: int = 8) -> list[Secret]:
    together, given = threading.Barrier(count), []

    def run() -> None:
        together.wait()
        given.append(act())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


class TestRenewalAtTheSandbox:
    @pytest.mark.case("real/01-single-flight-threads")
    def test_of_eight_threads_with_an_expired_token_one_renews_and_nobody_is_signed_out(
        self, box: Sandbox, box_attempt: LexofficeLogin
    ) -> None:
        box.settings.access_token_life = 1
        source = signed_in_at_box(box, box_attempt)
        box.settings.access_token_life = 3600
        box.settings.slow = 0.2
        time.sleep(1)
        given = in_threads(source.access_token)
        assert len(given) == 8
        assert len(set(given)) == 1
        assert renewals(box) == [200]
        assert box.grants.bearer(given[0].reveal()) is not None
        source.renew(given[0])
        assert renewals(box) == [200, 200]

    def test_of_eight_threads_with_a_rejected_token_one_renews(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        rejected = source.tokens.access_token
        box.expire_access_tokens()
        given = in_threads(lambda: source.renew(rejected))
        assert len(set(given)) == 1
        assert rejected not in given
        assert renewals(box) == [200]

    def test_keeps_the_rotated_token_and_goes_on_with_it(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        seen = [source.tokens.refresh_token]
        for _ in range(3):
            source.renew(source.tokens.access_token)
            seen.append(source.tokens.refresh_token)
        assert len(set(seen)) == 4
        assert renewals(box) == [200, 200, 200]
        assert box.grants.bearer(source.tokens.access_token.reveal()) is not None

    def test_sends_nothing_while_the_token_is_good(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        assert source.access_token() == source.tokens.access_token
        assert renewals(box) == []

    def test_after_the_person_withdrew_is_the_end(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        box.revoke_everything()
        token = source.tokens.access_token
        refused(SignedOut, "refresh", "signed_out_ended", lambda: source.renew(token))
        assert not source.signed_in
        refused(SignedOut, "authorize", "signed_out_ended", source.access_token)
        assert len(renewals(box)) == 1

    def test_keeps_who_signed_in(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        before = source.tokens
        source.renew(before.access_token)
        assert source.tokens.claims["sub"] == before.claims["sub"]
        assert source.tokens.id_token != before.id_token
        assert source.tokens.expires_at is not None
        assert source.tokens.expires_at > datetime.now(UTC) + timedelta(minutes=59)


class TestRenewal:
    def test_sends_these_parameters_and_no_others(self, start: StartProvider) -> None:
        server = start()
        source = signed_in(server)
        before = source.tokens.refresh_token
        source.renew(source.tokens.access_token)
        assert before is not None
        assert server.forms[1:] == [
            {"grant_type": "refresh_token", "refresh_token": before.reveal(), "client_id": CLIENT_ID}
        ]

    def test_keeps_the_old_refresh_token_where_the_server_does_not_rotate(self, start: StartProvider) -> None:
        server = start()
        source = signed_in(server)
        before = source.tokens
        server.token = {"refresh_token": LEFT_OUT}
        source.renew(before.access_token)
        assert source.tokens.refresh_token == before.refresh_token
        assert source.tokens.access_token != before.access_token

    @pytest.mark.parametrize(
        ("scope", "kept"), [(LEFT_OUT, ("openid",)), ("openid invoice.read", ("openid", "invoice.read"))]
    )
    def test_keeps_the_scope_unless_it_is_told_another(
        self, start: StartProvider, scope: object, kept: tuple[str, ...]
    ) -> None:
        server = start()
        source = signed_in(server)
        server.token = {"scope": scope}
        source.renew(source.tokens.access_token)
        assert source.tokens.scope == kept

    @pytest.mark.parametrize(
        "faults",
        [{"claims": {"nonce": LEFT_OUT}}, {"token": {"id_token": LEFT_OUT}}],
        ids=["no_nonce", "no_id_token"],
    )
    def test_takes_an_answer_with(self, start: StartProvider, faults: dict[str, Any]) -> None:
        server = start()
        source = signed_in(server)
        for name, value in faults.items():
            setattr(server, name, value)
        source.renew(source.tokens.access_token)
        assert source.tokens.claims["sub"] == "person-1"
        assert source.tokens.id_token is not None

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"sub": "person-2"}, "sub_bad"),
            ({"sub": LEFT_OUT}, "sub_bad"),
            ({"iss": "https://evil.example"}, "iss_other"),
            ({"aud": "another"}, "aud_other"),
            ({"nonce": "another"}, "nonce_other"),
            ({"nonce": ""}, "nonce_other"),
            ({"at_hash": "another"}, "at_hash_other"),
        ],
    )
    @pytest.mark.case("statement/07-rotated-token-first")
    def test_refuses_an_id_token_of_another_and_keeps_the_rotated_token(
        self, start: StartProvider, claims: dict[str, object], code: str
    ) -> None:
        server = start()
        source = signed_in(server)
        before = source.tokens
        server.claims, server.token = claims, {"refresh_token": "rotated"}
        refused(IdTokenError, "id_token", code, lambda: source.renew(before.access_token))
        assert source.tokens.access_token == before.access_token
        assert source.tokens.claims == before.claims
        assert source.tokens.refresh_token == Secret("rotated")
        server.claims = {"nonce": LEFT_OUT}
        source.renew(before.access_token)
        assert server.forms[-1]["refresh_token"] == "rotated"

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (Raw(500), "token_server"),
            (Raw(503), "token_server"),
            (Raw(429), "token_server"),
            (as_json({"error": "invalid_grant"}, 500), "token_server"),
            (as_json({"error": "invalid_client"}, 400), "token_invalid_client"),
            (Raw(200, b"<html>"), "token_not_json"),
            (Raw(307, headers={"Location": "/elsewhere"}), "token_redirect"),
        ],
    )
    @pytest.mark.case("real/02-server-error-is-unknown")
    def test_that_fails_without_a_word_about_the_grant_signs_nobody_out(
        self, start: StartProvider, answer: Raw, code: str
    ) -> None:
        server = start()
        source = signed_in(server)
        before = source.tokens
        server.raw["/token"] = answer
        refused(TokenEndpointError, "refresh", code, lambda: source.renew(before.access_token))
        assert source.tokens == before
        del server.raw["/token"]
        server.claims = {"nonce": LEFT_OUT}
        assert source.renew(before.access_token) != before.access_token
        assert server.counts["/elsewhere"] == 0

    def test_that_is_not_answered_signs_nobody_out(self, start: StartProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        server = start()
        source = signed_in(server)
        server.raw["/token"] = Raw(slowly=(b"late",), pause=20)
        monkeypatch.setattr(transport, "DEADLINE_SECONDS", 0.2)
        token = source.tokens.access_token
        refused(LoginError, "refresh", "timeout", lambda: source.renew(token))
        assert source.signed_in

    @pytest.mark.parametrize("status", [400, 401, 403])
    @pytest.mark.parametrize("body", [b'{"error": "invalid_grant"}', b"", b'{"code": 17, "message": "no"}', b"<html>"])
    @pytest.mark.case("real/03-empty-400", "real/03-error-as-403", "real/03-json-without-error")
    def test_that_is_refused_for_good_signs_out(self, start: StartProvider, status: int, body: bytes) -> None:
        server = start()
        source = signed_in(server)
        server.raw["/token"] = Raw(status, body)
        token = source.tokens.access_token
        refused(SignedOut, "refresh", "signed_out_ended", lambda: source.renew(token))
        assert not source.signed_in
        assert not source.renewable

    def test_without_a_refresh_token_is_the_end(self, start: StartProvider) -> None:
        server = start(token={"refresh_token": LEFT_OUT, "expires_in": 1})
        source = signed_in(server)
        assert source.access_token() == source.tokens.access_token  # good to the last moment
        time.sleep(1)
        refused(SignedOut, "refresh", "signed_out_expired", source.access_token)
        assert server.token_requests == 1


class TestLogOut:
    def test_at_the_sandbox_ends_both_tokens(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        source = signed_in_at_box(box, box_attempt)
        tokens = source.tokens
        assert source.revoke() == []
        assert box.grants.bearer(tokens.access_token.reveal()) is None
        assert tokens.refresh_token is not None
        assert box.grants.find_refresh_token(tokens.refresh_token.reveal()) is None
        for use in (source.access_token, lambda: source.tokens, lambda: source.renew(tokens.access_token)):
            refused(SignedOut, "authorize", "signed_out_logout", use)
        assert renewals(box) == []

    @pytest.mark.case("real/09-log-out-order", "statement/30-revokes")
    def test_revokes_the_refresh_token_first(self, start: StartProvider) -> None:
        server = revoking(start)
        source = signed_in(server)
        tokens = source.tokens
        assert source.revoke() == []
        assert tokens.refresh_token is not None
        assert server.revocations == [
            {"token": tokens.refresh_token.reveal(), "token_type_hint": "refresh_token", "client_id": CLIENT_ID},
            {"token": tokens.access_token.reveal(), "token_type_hint": "access_token", "client_id": CLIENT_ID},
        ]

    def test_forgets_even_if_the_provider_does_not_confirm(self, start: StartProvider) -> None:
        server = revoking(start, raw={"/revoke": Raw(503)})
        source = signed_in(server)
        failures = source.revoke()
        assert [(type(f), f.stage, f.code) for f in failures] == [(TokenEndpointError, "revocation", "token_server")]
        assert not source.signed_in
        assert len(server.revocations) == 2

    @pytest.mark.case("real/09-second-failure")
    def test_says_nothing_of_a_second_failure(self, start: StartProvider) -> None:
        """Many servers end the access token with the refresh token and then do not know it any more."""
        server = revoking(start)
        source = signed_in(server)
        answers = iter([Raw(200), as_json({"error": "invalid_request"}, 400)])
        answer = server.answer

        def first_good(method: str, path: str, form: dict[str, str], headers: Any) -> Raw:
            given = answer(method, path, form, headers)
            return next(answers) if path == "/revoke" else given

        server.answer = first_good  # type: ignore[method-assign]
        assert source.revoke() == []
        assert len(server.revocations) == 2

    def test_says_so_where_the_access_token_was_the_only_one(self, start: StartProvider) -> None:
        server = revoking(start, raw={"/revoke": Raw(503)}, token={"refresh_token": LEFT_OUT})
        assert [f.code for f in signed_in(server).revoke()] == ["token_server"]
        assert len(server.revocations) == 1

    def test_at_a_provider_without_revocation_sends_nothing(self, start: StartProvider) -> None:
        server = start()
        source = signed_in(server)
        assert source.revoke() == []
        assert server.counts["/revoke"] == 0
        assert not source.signed_in

    def test_carries_no_token_to_where_a_redirect_leads(self, start: StartProvider) -> None:
        elsewhere = start()
        server = revoking(start, raw={"/revoke": Raw(307, headers={"Location": elsewhere.origin + "/revoke"})})
        assert [f.code for f in signed_in(server).revoke()] == ["token_redirect"]
        assert elsewhere.counts == {}

    def test_twice_does_nothing(self, start: StartProvider) -> None:
        server = revoking(start)
        source = signed_in(server)
        source.revoke()
        assert source.revoke() == []
        assert len(server.revocations) == 2


def revoking(start: StartProvider, **faults: Any) -> misbehaving.Provider:
    server = start(**faults)
    server.metadata = {"revocation_endpoint": server.origin + "/revoke"}
    return server


class TestWithoutASignIn:
    def test_every_use_says_that_nobody_is_signed_in_yet(self) -> None:
        source = TokenSource()
        for use in (source.access_token, lambda: source.tokens, lambda: source.renew(Secret("x"))):
            refused(SignedOut, "authorize", "signed_out_waiting", use)
        assert not source.signed_in
        assert source.revoke() == []

    def test_an_unfinished_attempt_is_not_taken(self, start: StartProvider) -> None:
        attempt = attempt_at(start())
        attempt.get_login_url()
        refused(SignedOut, "authorize", "signed_out_unfinished", lambda: TokenSource().adopt(attempt))

    def test_an_api_key_is_used_as_it_is_and_neither_renewed_nor_revoked(self) -> None:
        source = TokenSource()
        source.adopt_key(Secret("key"))
        assert source.access_token() == Secret("key")
        assert not source.renewable
        refused(SignedOut, "refresh", "signed_out_expired", lambda: source.renew(Secret("key")))
        source.adopt_key(Secret("key"))
        assert source.revoke() == []


class TestBearer:
    @pytest.mark.parametrize(
        ("url", "is_signed"),
        [
            ("https://api.example/v1/profile", True),
            ("https://API.example:443/", True),
            ("http://api.example/", False),
            ("https://api.example:8443/", False),
            ("https://api.example.evil/", False),
            ("https://evil.example/?https://api.example", False),
            ("https://api.example@evil.example/", False),
        ],
    )
    @pytest.mark.case("requests/bearer-one-origin")
    def test_signs_for_one_origin_only(self, url: str, is_signed: bool) -> None:
        source = TokenSource()
        source.adopt_key(Secret("key"))
        request = requests.Request("GET", url).prepare()
        Bearer(source, "https://api.example")(request)
        assert request.headers.get("Authorization") == ("Bearer key" if is_signed else None)

    def test_signs_nothing_where_nobody_is_signed_in(self) -> None:
        request = requests.Request("GET", "https://api.example/").prepare()
        refused(
            SignedOut, "authorize", "signed_out_waiting", lambda: Bearer(TokenSource(), "https://api.example")(request)
        )


def test_a_session_without_openid_is_renewed_too(box: Sandbox) -> None:
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["invoice.read"], Provider.discover(box.url))
    source = signed_in_at_box(box, attempt)
    source.renew(source.tokens.access_token)
    assert source.tokens.id_token is None
    assert renewals(box) == [200]
