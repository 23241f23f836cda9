"""Userinfo (OpenID Connect Core section 5.3), plain and signed: each wrong answer has one fault."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import LoginError, SignedOut, UserinfoError
from lexoffice_nb.oauth.id_token import IssuerKeys
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.userinfo import USERINFO_LIMIT, userinfo
from lexoffice_nb.session import LexofficeSession
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    Raw,
    as_json,
    at_hash,
    base64url,
    changed,
    ec_key,
    okp_key,
    public,
    rsa_key,
    signed,
)
from tests.oauth.signing_in import attempt_at, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

ACCESS = "access-token-of-this-test"
PERSON = {"sub": "person-1", "name": "Petra Prüfer"}


def now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def as_jwt(token: str, kind: str = "application/jwt") -> Raw:
    return Raw(200, token.encode(), {"Content-Type": kind})


def signed_by(server: misbehaving.Provider, *, key: Any = None, header: Any = None, **claims: object) -> str:
    """Good signed userinfo, with what is to differ."""
    good = {**PERSON, "iss": server.issuer, "aud": CLIENT_ID}
    head = changed({"alg": "RS256", "kid": "one"}, header or {})
    return signed(head, changed(good, claims), rsa_key() if key is None else key)


def ask(server: misbehaving.Provider, answer: Raw | None = None, **changes: Any) -> Mapping[str, Any]:
    """Asks as the package does after a sign-in."""
    server.userinfo = lambda _: answer or as_json(PERSON)
    provider = replace(Provider.discover(server.issuer), userinfo_endpoint=f"{server.origin}/userinfo")
    keys = IssuerKeys(f"{server.origin}/jwks")
    given = {"provider": provider, "keys": keys, "client_id": CLIENT_ID, "subject": "person-1", **changes}
    return userinfo(access_token=Secret(ACCESS), **given)


def refused_for(code: str, server: misbehaving.Provider, answer: Raw, **changes: Any) -> LoginError:
    return refused(UserinfoError, "userinfo", code, lambda: ask(server, answer, **changes))


class TestPlain:
    @pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain"])
    def test_userinfo_of_the_person_who_signed_in_is_believed(self, start: StartProvider, kind: str) -> None:
        answer = Raw(200, json.dumps(PERSON).encode(), {"Content-Type": kind})
        assert ask(start(), answer) == PERSON

    def test_userinfo_is_asked_for_with_the_bearer_in_the_header(self, start: StartProvider) -> None:
        server = start()
        ask(server)
        assert server.counts["/userinfo"] == 1
        assert server.headers[-1]["Authorization"] == f"Bearer {ACCESS}"
        assert server.headers[-1]["Accept"] == "application/json, application/jwt"
        assert [h.get("Authorization") for h in server.headers[:-1]] == [None] * (len(server.headers) - 1)

    @pytest.mark.parametrize("sub", ["person-2", "PERSON-1", "", None, 7, ["person-1"], LEFT_OUT])
    def test_userinfo_of_another_subject_is_refused(self, start: StartProvider, sub: object) -> None:
        refused_for("userinfo_sub", start(), as_json(changed(PERSON, {"sub": sub})))

    def test_an_empty_subject_is_nobody_even_if_ours_is_empty(self, start: StartProvider) -> None:
        refused_for("userinfo_sub", start(), as_json({"sub": ""}), subject="")

    @pytest.mark.parametrize(
        "answer",
        [
            Raw(200, b"<html>", {"Content-Type": "text/html"}),
            as_json([PERSON]),
            as_json("person-1"),
            Raw(200, b""),
            Raw(200, b'{"sub": "person-1", "updated_at": NaN}'),
            as_json(PERSON, 201),
            as_json(PERSON, 403),
            as_json(PERSON, 500),
            Raw(204),
        ],
    )
    def test_what_is_no_userinfo_is_refused(self, start: StartProvider, answer: Raw) -> None:
        error = refused_for("userinfo_unreadable", start(), answer)
        assert error.values == {"host": "127.0.0.1", "status": answer.status}

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_threat_23_no_redirect_is_followed_and_the_bearer_stays(self, start: StartProvider, status: int) -> None:
        other = start(userinfo=lambda _: as_json(PERSON))
        server = start()
        refused_for("userinfo_unreadable", server, Raw(status, headers={"Location": f"{other.origin}/userinfo"}))
        assert (server.counts["/userinfo"], other.counts["/userinfo"]) == (1, 0)

    def test_userinfo_longer_than_its_limit_is_not_read(self, start: StartProvider) -> None:
        answer = as_json({**PERSON, "about": "x" * USERINFO_LIMIT})
        refused(LoginError, "userinfo", "too_large", lambda: ask(start(), answer))

    @pytest.mark.parametrize("kind", ["application/json", "application/jwt"])
    def test_threat_24_a_gzip_bomb_stops_at_the_limit(self, start: StartProvider, kind: str) -> None:
        bomb = gzip.compress(bytes(100 * 1024 * 1024))
        server = start()
        tracemalloc.start()
        try:
            answer = Raw(200, bomb, {"Content-Type": kind, "Content-Encoding": "gzip"})
            refused(LoginError, "userinfo", "too_large", lambda: ask(server, answer))
            assert tracemalloc.get_traced_memory()[1] < 30 * 1024 * 1024
        finally:
            tracemalloc.stop()

    def test_without_an_endpoint_there_is_none_and_nothing_is_sent(self, start: StartProvider) -> None:
        server = start()
        provider = Provider.discover(server.issuer)
        before = server.counts.total()
        assert provider.userinfo_endpoint is None
        refused(
            UserinfoError,
            "userinfo",
            "userinfo_none",
            lambda: userinfo(provider, None, CLIENT_ID, Secret(ACCESS), "person-1"),
        )
        assert server.counts.total() == before


class TestSigned:
    @pytest.mark.parametrize(
        ("algorithm", "key"),
        [("RS256", rsa_key()), ("PS256", rsa_key()), ("ES256", ec_key()), ("EdDSA", okp_key())],
        ids=["RS256", "PS256", "ES256", "EdDSA"],
    )
    def test_userinfo_signed_with_a_key_of_the_provider_is_believed(
        self, start: StartProvider, algorithm: str, key: Any
    ) -> None:
        server = start(jwks=[public(rsa_key()), public(ec_key()), public(okp_key())])
        token = signed_by(server, key=key, header={"alg": algorithm, "kid": key.kid})
        assert ask(server, as_jwt(token))["name"] == "Petra Prüfer"

    @pytest.mark.parametrize(
        "kind", ["application/jwt", "Application/JWT", "application/jwt; charset=utf-8", "application/jwt ;x=y"]
    )
    def test_the_media_type_counts_without_case_and_parameters(self, start: StartProvider, kind: str) -> None:
        server = start()
        assert ask(server, as_jwt(signed_by(server), kind))["sub"] == "person-1"

    def test_the_name_of_the_header_counts_without_case(self, start: StartProvider) -> None:
        server = start()
        answer = Raw(200, signed_by(server).encode(), {"content-type": "application/jwt"})
        assert ask(server, answer)["sub"] == "person-1"

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": LEFT_OUT},
            {"aud": LEFT_OUT},
            {"aud": [CLIENT_ID]},
            {"aud": ["another", CLIENT_ID]},
        ],
    )
    def test_what_the_standard_only_recommends_may_be_left_out(
        self, start: StartProvider, claims: dict[str, object]
    ) -> None:
        server = start()
        assert ask(server, as_jwt(signed_by(server, **claims)))["sub"] == "person-1"

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"sub": "person-2"}, "userinfo_sub"),
            ({"sub": LEFT_OUT}, "userinfo_sub"),
            ({"sub": ["person-1"]}, "userinfo_sub"),
            ({"iss": "https://evil.example"}, "userinfo_iss"),
            ({"iss": None}, "userinfo_iss"),
            ({"aud": "another"}, "userinfo_aud"),
            ({"aud": []}, "userinfo_aud"),
            ({"aud": None}, "userinfo_aud"),
            ({"aud": CLIENT_ID + "-2"}, "userinfo_aud"),
            ({"aud": {CLIENT_ID: True}}, "userinfo_aud"),
            ({"exp": now(-3600)}, "userinfo_times"),
            ({"exp": None}, "userinfo_times"),
            ({"exp": "4102444800"}, "userinfo_times"),
            ({"exp": float("nan")}, "userinfo_times"),
            ({"iat": 4102444800}, "userinfo_times"),
            ({"nbf": 4102444800}, "userinfo_times"),
        ],
    )
    def test_claims_that_do_not_fit_are_refused(
        self, start: StartProvider, claims: dict[str, object], code: str
    ) -> None:
        server = start()
        refused_for(code, server, as_jwt(signed_by(server, **claims)))

    @pytest.mark.parametrize(("ends", "begins"), [(300, 0), (-30, 30)])
    def test_times_that_fit_within_a_minute_are_believed(self, start: StartProvider, ends: int, begins: int) -> None:
        server = start()
        token = signed_by(server, exp=now(ends), iat=now(begins), nbf=now(begins))
        assert ask(server, as_jwt(token))["sub"] == "person-1"

    @pytest.mark.parametrize(("claim", "moment"), [("exp", -70), ("iat", 70), ("nbf", 70)])
    def test_times_that_miss_by_more_than_a_minute_are_refused(
        self, start: StartProvider, claim: str, moment: int
    ) -> None:
        server = start()
        refused_for("userinfo_times", server, as_jwt(signed_by(server, **{claim: now(moment)})))

    def test_userinfo_signed_by_another_key_is_refused(self, start: StartProvider) -> None:
        server = start()
        refused_for("userinfo_signature", server, as_jwt(signed_by(server, key=rsa_key("evil"))))

    def test_claims_that_were_changed_are_refused(self, start: StartProvider) -> None:
        server = start()
        head, _, signature = signed_by(server).split(".")
        body = base64url(json.dumps({**PERSON, "name": "Eve"}).encode())
        refused_for("userinfo_signature", server, as_jwt(f"{head}.{body}.{signature}"))

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
    def test_alg_none_is_refused(self, start: StartProvider, algorithm: str) -> None:
        server = start()
        unsigned = signed({"alg": algorithm}, PERSON, None)
        for token in (unsigned, unsigned + base64url(b"signature")):
            code = "userinfo_malformed" if token.endswith(".") else "userinfo_alg"
            refused_for(code, server, as_jwt(token))

    def test_hs256_keyed_with_a_public_key_is_refused(self, start: StartProvider) -> None:
        server = start()
        token = signed({"alg": "HS256", "kid": "one"}, PERSON, rsa_key().as_pem(private=False))
        refused_for("userinfo_alg", server, as_jwt(token))

    @pytest.mark.parametrize(
        "header",
        [{"jwk": public(rsa_key("evil"))}, {"jku": "https://evil.example"}, {"crit": ["exp"]}, {"typ": "at+jwt"}],
    )
    def test_a_header_that_wants_more_is_refused(self, start: StartProvider, header: dict[str, object]) -> None:
        server = start()
        refused_for("userinfo_header", server, as_jwt(signed_by(server, header=header)))

    def test_the_type_may_be_jwt(self, start: StartProvider) -> None:
        server = start()
        assert ask(server, as_jwt(signed_by(server, header={"typ": "JWT"})))["sub"] == "person-1"

    def test_a_key_that_the_provider_does_not_publish_is_refused(self, start: StartProvider) -> None:
        server = start()
        refused_for("userinfo_key", server, as_jwt(signed_by(server, header={"kid": "two"})))

    def test_without_keys_of_the_provider_nothing_signed_is_believed(self, start: StartProvider) -> None:
        server = start()
        refused_for("userinfo_key", server, as_jwt(signed_by(server)), keys=None)

    def test_keys_that_cannot_be_read_are_an_error_of_this_stage(self, start: StartProvider) -> None:
        server = start(raw={"/jwks": Raw(500)})
        refused_for("jwks_unreadable", server, as_jwt(signed_by(server)))

    def test_encrypted_userinfo_is_refused(self, start: StartProvider) -> None:
        parts = [base64url(json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM"}).encode()), "a", "b", "c", "d"]
        refused_for("userinfo_encrypted", start(), as_jwt(".".join(parts)))

    @pytest.mark.parametrize("body", ["", "a.b", "a.b.c", "....", "ä.ö.ü", json.dumps(PERSON), "x" * 70_000])
    def test_what_is_no_jwt_is_refused(self, start: StartProvider, body: str) -> None:
        code = "userinfo_encrypted" if body.count(".") == 4 else "userinfo_malformed"
        refused_for(code, start(), as_jwt(body))

    def test_a_jwt_that_calls_itself_json_is_not_read(self, start: StartProvider) -> None:
        server = start()
        refused_for("userinfo_unreadable", server, as_jwt(signed_by(server), "application/json"))

    @pytest.mark.parametrize("status", [400, 403, 500])
    def test_a_signed_error_is_no_userinfo(self, start: StartProvider, status: int) -> None:
        server = start()
        refused_for("userinfo_unreadable", server, replace(as_jwt(signed_by(server)), status=status))

    def test_an_error_shows_no_token_and_no_frame_that_holds_one(self, start: StartProvider) -> None:
        server = start()
        error = refused_for("userinfo_signature", server, as_jwt(signed_by(server, key=rsa_key("evil"))))
        traceback, names = error.__traceback__, []
        while traceback:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert names[-1] == "shield"
        assert error.__context__ is None
        assert ACCESS not in f"{error!r} {error} {error.values}"


class TestA401:
    """A token can die before its time: one renewal, one more try, as for the API."""

    def session_at(self, server: misbehaving.Provider) -> LexofficeSession:
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        session = LexofficeSession.from_login(attempt)
        server.counts.clear()
        server.forms.clear()
        return session

    def test_is_answered_by_one_renewal_and_one_more_try(self, start: StartProvider) -> None:
        server = start(userinfo=lambda _: as_json(PERSON))
        session = self.session_at(server)
        old = session.tokens.access_token.reveal()
        bearers: list[str] = []

        def good_unless_old(bearer: str) -> Raw:
            bearers.append(bearer)
            return Raw(401) if bearer == old else as_json(PERSON)

        server.userinfo = good_unless_old
        assert session.userinfo() == PERSON
        assert bearers == [old, session.tokens.access_token.reveal()]
        assert [form["grant_type"] for form in server.forms] == ["refresh_token"]

    def test_that_stays_is_an_error_after_one_renewal(self, start: StartProvider) -> None:
        server = start(userinfo=lambda _: Raw(401))
        session = self.session_at(server)
        error = refused(UserinfoError, "userinfo", "userinfo_unreadable", session.userinfo)
        assert error.values["status"] == 401
        assert (server.counts["/userinfo"], server.token_requests) == (2, 1)
        assert session.signed_in

    def test_without_a_refresh_token_is_an_error_and_signs_nobody_out(self, start: StartProvider) -> None:
        server = start(userinfo=lambda _: Raw(401), token={"refresh_token": LEFT_OUT})
        session = self.session_at(server)
        refused(UserinfoError, "userinfo", "userinfo_unreadable", session.userinfo)
        assert (server.counts["/userinfo"], server.token_requests) == (1, 0)
        assert session.signed_in

    def test_whose_renewal_is_refused_is_the_end_of_the_sign_in(self, start: StartProvider) -> None:
        server = start(userinfo=lambda _: Raw(401))
        session = self.session_at(server)
        server.raw["/token"] = as_json({"error": "invalid_grant"}, 400)
        refused(SignedOut, "refresh", "signed_out_ended", session.userinfo)
        assert server.counts["/userinfo"] == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
    def test_is_the_only_answer_that_renews(self, start: StartProvider, status: int) -> None:
        server = start(userinfo=lambda _: Raw(status))
        session = self.session_at(server)
        refused(UserinfoError, "userinfo", "userinfo_unreadable", session.userinfo)
        assert (server.counts["/userinfo"], server.token_requests) == (1, 0)

    def test_while_signing_in_renews_nothing(self, start: StartProvider) -> None:
        server = start(userinfo=lambda _: Raw(401))
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        server.raw["/token"] = as_json({"error": "invalid_grant"}, 400)
        assert LexofficeSession.from_login(attempt).signed_in
        assert (server.counts["/userinfo"], server.token_requests) == (1, 1)


def test_a_session_asks_the_provider_that_its_tokens_are_from(start: StartProvider) -> None:
    """Whatever a session is told about its provider, the token goes to where it came from."""
    one, two = start(userinfo=lambda _: as_json(PERSON)), start(userinfo=lambda _: as_json(PERSON))
    attempt = attempt_at(one)
    attempt.handle_callback(one.authorize(attempt.get_login_url()))
    session = LexofficeSession.from_login(attempt)
    assert session._signed_in
    session._signed_in = replace(session._signed_in, provider=Provider.discover(two.issuer))
    assert session.userinfo() == PERSON
    assert two.counts["/userinfo"] == 0


def test_signed_userinfo_names_the_person_of_the_session(start: StartProvider) -> None:
    server = start()
    server.userinfo = lambda bearer: as_jwt(signed_by(server, at_hash=at_hash(bearer, hashlib.sha256)))
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    assert LexofficeSession.from_login(attempt).account.person == "Petra Prüfer"
