"""When the person signed in at the provider (OpenID Connect Core sections 3.1.3.7 and 12.2), and early keys."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import IdTokenError
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.tokens import Secret
from tests.oauth.misbehaving import CLIENT_ID, LEFT_OUT, Raw, as_json, changed, public, rsa_key, signed
from tests.oauth.signing_in import attempt_at, log_in, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

HEADER = {"alg": "RS256", "kid": "one"}


def now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def check(server: misbehaving.Provider, auth_time: object, **expected: Any) -> Mapping[str, Any]:
    """Checks an ID token that is good but for its `auth_time`, perhaps."""
    claims = {
        "iss": server.issuer,
        "sub": "person-1",
        "aud": CLIENT_ID,
        "iat": now(),
        "exp": now(300),
        "nonce": "nonce",
        "auth_time": auth_time,
    }
    token = Secret(signed(HEADER, changed(claims, {"auth_time": auth_time}), rsa_key()))
    wanted = ExpectedClaims(server.issuer, CLIENT_ID, "nonce", Secret("access"), **expected)
    return verify_id_token(token, IssuerKeys(f"{server.origin}/jwks"), wanted)


def refused_for(code: str, server: misbehaving.Provider, auth_time: object, **expected: Any) -> None:
    refused(IdTokenError, "id_token", code, lambda: check(server, auth_time, **expected))


class TestMaxAge:
    @pytest.mark.parametrize(
        ("max_age", "ago"), [(0, 0), (0, 50), (1, 0), (3600, 3500), (3600, 3650), (60, -50), (60, 0.5)]
    )
    def test_a_sign_in_that_is_recent_enough_is_believed(self, start: StartProvider, max_age: int, ago: float) -> None:
        auth_time = time.time() - ago
        assert check(start(), auth_time, max_age=max_age)["auth_time"] == auth_time

    @pytest.mark.parametrize(("max_age", "ago"), [(0, 70), (1, 3600), (3600, 3670)])
    def test_a_sign_in_that_is_older_is_refused(self, start: StartProvider, max_age: int, ago: int) -> None:
        refused_for("auth_time_old", start(), now(-ago), max_age=max_age)

    @pytest.mark.parametrize("auth_time", [0, -1, -1e300])
    def test_a_sign_in_before_all_time_is_refused(self, start: StartProvider, auth_time: float) -> None:
        refused_for("auth_time_old", start(), auth_time, max_age=3600)

    @pytest.mark.parametrize(
        "auth_time",
        [LEFT_OUT, None, "", pytest.param(str(now()), id="as text"), True, [], {}, float("nan"), float("inf")],
    )
    def test_without_a_number_it_proves_nothing(self, start: StartProvider, auth_time: object) -> None:
        refused_for("auth_time_missing", start(), auth_time, max_age=3600)

    def test_a_sign_in_in_the_future_proves_nothing(self, start: StartProvider) -> None:
        refused_for("iat_future", start(), now(3600), max_age=3600)

    @pytest.mark.parametrize("auth_time", [LEFT_OUT, pytest.param(now(-86400), id="yesterday"), "a word"])
    def test_it_does_not_matter_where_nobody_asked(self, start: StartProvider, auth_time: object) -> None:
        assert check(start(), auth_time)["sub"] == "person-1"

    def test_it_counts_from_the_request_and_not_from_the_answer(self, start: StartProvider) -> None:
        """A person may take eight minutes to read what is asked for, after having signed in."""
        server = start()
        assert check(server, now(-480), max_age=0, begun=time.time() - 500)["sub"] == "person-1"
        refused_for("auth_time_old", server, now(-600), max_age=0, begun=time.time() - 500)

    @pytest.mark.parametrize(("ahead", "code"), [(600, "clock_fast"), (-600, "clock_slow"), (5, "auth_time_old")])
    def test_a_clock_that_is_wrong_is_named(self, start: StartProvider, ahead: float, code: str) -> None:
        refused_for(code, start(), now(-3600), max_age=0, clock_ahead=ahead)


class TestRefreshed:
    def signed_in(self, server: misbehaving.Provider) -> TokenSource:
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        source = TokenSource()
        source.adopt(attempt)
        server.claims = {**server.claims, "nonce": LEFT_OUT}
        return source

    def test_an_id_token_of_the_same_sign_in_is_believed(self, start: StartProvider) -> None:
        source = self.signed_in(start(claims={"auth_time": now(-86400)}))
        old = source.tokens.access_token
        assert source.renew(old) != old

    @pytest.mark.parametrize(
        ("before", "after"),
        [(now(-60), LEFT_OUT), (LEFT_OUT, now()), (LEFT_OUT, LEFT_OUT)],
        ids=["before", "after", "both"],
    )
    def test_it_may_be_left_out(self, start: StartProvider, before: object, after: object) -> None:
        server = start(claims={"auth_time": before})
        source = self.signed_in(server)
        server.claims = {**server.claims, "auth_time": after}
        source.renew(source.tokens.access_token)

    @pytest.mark.parametrize("after", [pytest.param(now(), id="later"), "now", float("nan"), [1]])
    def test_an_id_token_of_another_sign_in_is_refused(self, start: StartProvider, after: object) -> None:
        server = start(claims={"auth_time": now(-3600)})
        source = self.signed_in(server)
        old = source.tokens
        server.claims = {**server.claims, "auth_time": after}
        refused(IdTokenError, "id_token", "auth_time_other", lambda: source.renew(old.access_token))
        assert source.tokens.claims == old.claims

    def test_what_one_id_token_leaves_out_the_next_one_may_say_again(self, start: StartProvider) -> None:
        server = start(claims={"auth_time": now(-3600)})
        source = self.signed_in(server)
        first = source.tokens.claims
        said = {"nonce": first["nonce"], "auth_time": first["auth_time"]}
        for claims in ({"nonce": LEFT_OUT, "auth_time": LEFT_OUT}, said):
            server.claims = claims
            source.renew(source.tokens.access_token)
            assert said.items() <= source.tokens.claims.items()
        server.claims = {**said, "auth_time": now()}
        refused(IdTokenError, "id_token", "auth_time_other", lambda: source.renew(source.tokens.access_token))


class TestPrefetch:
    def test_keys_are_there_before_they_are_needed(self, start: StartProvider) -> None:
        server = start()
        attempt = attempt_at(server)
        assert attempt.keys is not None
        url = attempt.get_login_url()
        attempt.keys.prefetch()
        before = server.counts["/jwks"]
        attempt.handle_callback(server.authorize(url))
        assert (before, server.counts["/jwks"]) == (1, 1)

    def test_keys_that_are_there_are_not_fetched_again(self, start: StartProvider) -> None:
        server = start()
        keys = IssuerKeys(f"{server.origin}/jwks")
        for _ in range(3):
            keys.prefetch()
        assert server.counts["/jwks"] == 1

    @pytest.mark.parametrize("answer", [Raw(500), Raw(200, b"<html>"), as_json([]), as_json({"keys": 1}), Raw(302)])
    def test_a_failure_is_silent_and_the_next_need_asks_again(self, start: StartProvider, answer: Raw) -> None:
        server = start(raw={"/jwks": answer})
        keys = IssuerKeys(f"{server.origin}/jwks")
        keys.prefetch()
        refused(IdTokenError, "id_token", "jwks_unreadable", lambda: keys.key_for(HEADER))
        del server.raw["/jwks"]
        assert keys.key_for(HEADER)["kid"] == "one"

    def test_nobody_there_is_silent(self) -> None:
        IssuerKeys("http://127.0.0.1:1/jwks").prefetch()
        IssuerKeys("no address").prefetch()

    def test_a_need_in_the_middle_waits_and_does_not_fetch_twice(self, start: StartProvider) -> None:
        body = as_json({"keys": [public(rsa_key())]}).body
        server = start(raw={"/jwks": Raw(200, body[:5], slowly=(body[5:],), pause=0.3)})
        keys = IssuerKeys(f"{server.origin}/jwks")
        early = threading.Thread(target=keys.prefetch)
        early.start()
        while not server.counts["/jwks"]:
            time.sleep(0.01)
        assert keys.key_for(HEADER)["kid"] == "one"
        early.join()
        assert server.counts["/jwks"] == 1

    def test_keys_that_changed_after_it_are_fetched_once_more(self, start: StartProvider) -> None:
        server = start(jwks=[public(rsa_key("old"))])
        attempt = attempt_at(server)
        assert attempt.keys is not None
        attempt.keys.prefetch()
        server.jwks = [public(rsa_key())]
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        assert server.counts["/jwks"] == 2


def test_a_login_without_max_age_asks_for_none(start: StartProvider) -> None:
    assert log_in(start()).claims["sub"] == "person-1"
    assert "max_age" not in attempt_at(start()).get_login_url()
