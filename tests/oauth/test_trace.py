"""The recorder of the X-ray: what it writes down of real sign-ins, and that nothing secret gets into it."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

from lexoffice_nb.errors import (
    AccessDenied,
    CallbackError,
    IdTokenError,
    InvalidGrant,
    LoginError,
    ServerTrouble,
    SignedOut,
    StateMismatch,
)
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.trace import (
    LANES,
    LONGEST_CALLBACK,
    MOST_LATER_STEPS,
    MOST_STEPS,
    OTHERS,
    Hidden,
    Recorder,
    Step,
    observed,
)
from lexoffice_nb.oauth.transport import Answer
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.session import LexofficeSession
from tests.oauth.misbehaving import CLIENT_ID, LEFT_OUT, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth.conftest import StartProvider

CODE_LOGIN = ["discovery", "login_url", "sign_in", "callback", "callback_checked", "token", "jwks", "id_token_checked"]


def recorder_of(attempt: LexofficeLogin) -> Recorder:
    assert attempt.endpoint.recorder is not None
    return attempt.endpoint.recorder


def steps_of(attempt: LexofficeLogin) -> tuple[Step, ...]:
    return recorder_of(attempt).steps()


def titles(attempt: LexofficeLogin) -> list[str]:
    """Each title once where the same request was made twice in a row (the two documents of discovery)."""
    given = [step.title for step in steps_of(attempt)]
    return [title for n, title in enumerate(given) if title not in given[max(0, n - 1) : n]]


def one(attempt: LexofficeLogin, title: str) -> Step:
    return next(step for step in steps_of(attempt) if step.title == title)


def forms_of(secret: str) -> list[bytes]:
    """A secret as it could stand in a file: plain, encoded for URLs or in base64, backwards, or as a hash."""
    raw = secret.encode()
    digests = [hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512")]
    hashes = [form for d in digests for form in (d.hex().encode(), base64.urlsafe_b64encode(d).rstrip(b"="), d)]
    encoded = [quote(secret).encode(), quote_plus(secret).encode(), base64.b64encode(raw).rstrip(b"=")]
    return [raw, raw[::-1], raw[:16], raw[-16:], *encoded, *hashes]


def assert_without(secrets: dict[str, str], *written: bytes | str, challenges: tuple[str, ...] = ()) -> None:
    for text in written:
        octets = text if isinstance(text, bytes) else text.encode()
        for challenge in challenges:
            octets = octets.replace(challenge.encode(), b"")  # public, and a hash of the verifier
        for name, secret in secrets.items():
            assert len(secret) >= 16, name
            assert not [form for form in forms_of(secret) if form in octets], name


class TestASignIn:
    def test_is_recorded_from_discovery_to_the_checks_of_the_id_token(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        assert titles(box_attempt) == CODE_LOGIN
        assert {step.error for step in steps_of(box_attempt)} == {""}

    def test_names_who_sent_what_to_whom(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        ways = {step.title: (step.sender, step.receiver) for step in steps_of(box_attempt)}
        assert ways["login_url"] == ("notebook", "browser")
        assert ways["sign_in"] == ("browser", "lexoffice")
        assert ways["callback"] == ("browser", "notebook")
        assert ways["token"] == ways["jwks"] == ways["discovery"] == ("notebook", "lexoffice")
        assert ways["callback_checked"] == ways["id_token_checked"] == ("notebook", "notebook")
        assert {lane for way in ways.values() for lane in way} <= set(LANES)

    def test_says_what_was_only_concluded(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        assert [step.title for step in steps_of(box_attempt) if not step.seen] == ["sign_in"]

    def test_shows_what_is_public_of_the_authorization_request(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        url = box_attempt.get_login_url()
        step = one(box_attempt, "login_url")
        asked = parameters_of(url)
        assert step.url == box_attempt.provider.authorization_endpoint
        assert dict(step.sent) == {**asked, "state": Hidden("state", 43), "nonce": Hidden("nonce", 43)}
        assert dict(step.sent)["code_challenge"] == asked["code_challenge"]

    def test_keeps_status_sizes_type_and_time_of_an_exchange(self, box_attempt: LexofficeLogin) -> None:
        begun = datetime.now(UTC)
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        step = one(box_attempt, "token")
        assert (step.method, step.status, step.content_type) == ("POST", 200, "application/json")
        assert step.url == box_attempt.provider.token_endpoint
        assert (step.sent_octets or 0) > 200
        assert (step.received_octets or 0) > 500
        assert 0 < (step.seconds or 0) < 30
        assert begun <= step.at <= datetime.now(UTC)

    def test_replaces_each_secret_by_what_it_is_and_its_length(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        step = one(box_attempt, "token")
        tokens = box_attempt.tokens
        assert tokens is not None
        assert dict(step.sent)["code_verifier"] == Hidden("code_verifier", 86)
        assert dict(step.received)["access_token"] == Hidden("access_token", len(tokens.access_token.reveal()))
        assert dict(step.received)["scope"] == "openid profile invoice.read"
        assert dict(step.received)["expires_in"] == "3600"

    def test_of_several_login_urls_shows_the_one_that_was_answered(self, box_attempt: LexofficeLogin) -> None:
        for _ in range(3):
            box_attempt.get_login_url()
        answered = box_attempt.get_login_url()
        box_attempt.get_login_url()
        assert [step.title for step in steps_of(box_attempt)].count("login_url") == 5
        box_attempt.handle_callback(sign_in(answered))
        assert titles(box_attempt) == CODE_LOGIN
        assert dict(one(box_attempt, "login_url").sent)["code_challenge"] == parameters_of(answered)["code_challenge"]

    def test_of_a_second_notebook_has_the_discovery_that_was_kept(self, box: Sandbox) -> None:
        first = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
        second = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
        assert steps_of(first) == steps_of(second) != ()


class TestAFailedSignIn:
    def test_ends_with_a_state_that_is_another_s(self, box_attempt: LexofficeLogin) -> None:
        url = box_attempt.get_login_url()
        callback = sign_in(url).replace(parameters_of(url)["state"], "x" * 43)
        with pytest.raises(StateMismatch):
            box_attempt.handle_callback(callback)
        assert titles(box_attempt) == ["discovery", "login_url", "callback", "callback_checked"]
        assert one(box_attempt, "callback_checked").error == "state_mismatch"
        assert one(box_attempt, "callback_checked").sent == ()

    def test_ends_with_a_person_who_says_no(self, box_attempt: LexofficeLogin) -> None:
        callback = sign_in(box_attempt.get_login_url(), allow=False)
        with pytest.raises(AccessDenied):
            box_attempt.handle_callback(callback)
        assert dict(one(box_attempt, "callback").sent)["error"] == "access_denied"
        assert one(box_attempt, "callback_checked").error == "access_denied"

    def test_ends_with_a_code_that_was_used(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        callback = sign_in(box_attempt.get_login_url())
        box.grants.use_code(parameters_of(callback)["code"], CLIENT_ID)
        with pytest.raises(InvalidGrant):
            box_attempt.handle_callback(callback)
        step = one(box_attempt, "token")
        assert (step.status, step.error, dict(step.received)["error"]) == (400, "HTTP 400", "invalid_grant")
        assert titles(box_attempt)[-1] == "token"

    def test_ends_with_a_token_endpoint_that_is_not_there(self, start: StartProvider) -> None:
        server = start(metadata={"token_endpoint": "http://127.0.0.1:1/token"})
        attempt = attempt_at(server)
        with pytest.raises(LoginError) as refused:
            attempt.handle_callback(server.authorize(attempt.get_login_url()))
        step = one(attempt, "token")
        assert (step.status, step.error) == (None, refused.value.code)
        assert step.received_octets is None

    def test_ends_with_an_id_token_of_another_sign_in(self, start: StartProvider) -> None:
        server = start(claims={"nonce": "another"})
        attempt = attempt_at(server)
        with pytest.raises(IdTokenError):
            attempt.handle_callback(server.authorize(attempt.get_login_url()))
        assert one(attempt, "id_token_checked").error == "nonce_other"

    def test_ends_with_a_redirect_that_is_not_followed(self, start: StartProvider) -> None:
        server = start(raw={"/token": Raw(302, headers={"Location": "https://evil.example/?" + "x" * 40})})
        attempt = attempt_at(server)
        with pytest.raises(LoginError):
            attempt.handle_callback(server.authorize(attempt.get_login_url()))
        assert one(attempt, "token").error == "HTTP 302"
        assert "evil" not in repr(steps_of(attempt))


class TestNoSecret:
    def test_is_in_what_is_recorded_of_a_whole_session(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        secrets: dict[str, str] = {}
        url = box_attempt.get_login_url()
        asked = parameters_of(url)
        secrets |= {"state": asked["state"], "nonce": asked["nonce"]}
        secrets["verifier"] = box_attempt._attempts[-1].verifier.reveal()
        callback = sign_in(url)
        secrets["code"] = parameters_of(callback)["code"]
        box_attempt.handle_callback(callback)
        session = LexofficeSession.from_login(box_attempt)
        for n in range(2):
            tokens = session.tokens
            for name in ("access_token", "refresh_token", "id_token"):
                if token := getattr(tokens, name):
                    secrets[f"{name} {n}"] = token.reveal()
            session.userinfo()
            session._source.renew(tokens.access_token)
        secrets["last"] = session.tokens.access_token.reveal()
        session.logout()
        trace = session.trace()
        assert {"profile", "userinfo", "refresh", "revocation"} <= {step.title for step in trace.steps}
        written = [
            repr(trace.steps),
            str(trace.steps),
            pickle.dumps(trace),
            json.dumps([vars(s) for s in trace.steps], default=str),
        ]
        assert_without(secrets, *written, challenges=(asked["code_challenge"],))
        assert len(secrets) >= 10

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_of_the_client_is_recorded(self, start: StartProvider, method: str) -> None:
        server = start()
        provider = Provider.discover(server.issuer, client_authentication=method)
        attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, "a-client-secret-of-32-characters")
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        secret = "a-client-secret-of-32-characters"
        basic = base64.b64encode(f"{CLIENT_ID}:{secret}".encode()).decode()
        assert_without({"secret": secret, "basic": basic}, repr(steps_of(attempt)), pickle.dumps(steps_of(attempt)))
        sent = dict(one(attempt, "token").sent)
        name = {"client_secret_basic": "Authorization", "client_secret_post": "client_secret"}[method]
        assert isinstance(sent[name], Hidden)

    def test_that_a_server_repeats_anywhere_in_its_answer_is_recorded(self, start: StartProvider) -> None:
        server = start()
        attempt = attempt_at(server)
        callback = server.authorize(attempt.get_login_url())
        code, state = (parameters_of(callback)[name] for name in ("code", "state"))
        verifier = attempt._attempts[-1].verifier.reveal()
        secrets = {"code": code, "state": state, "verifier": verifier, "token": "t" * 40}
        names = ("error", "error_description", "token_type", "scope", "expires_in", "error_uri", "iss", "keys")
        for secret in secrets.values():
            members: dict[str, Any] = dict.fromkeys(names, secret) | {secret: 1, "access_token": "t" * 40}
            members |= {"state": [secret], "code": {secret: secret}, "email": {"deep": [secret]}}
            headers = {"Content-Type": f"application/{secret}", "X-Echo": secret, "Server": secret}
            server.raw["/token"] = Raw(400, json.dumps(members).encode(), headers)
            with pytest.raises(LoginError):
                attempt.endpoint.exchange(Secret(code), Secret(verifier), REDIRECT_URI)
            server.raw["/token"] = as_json(members | {"scope": f"openid {secret} x", "token_type": "bearer"})
            attempt.endpoint.exchange(Secret(code), Secret(verifier), REDIRECT_URI)
        assert sum(step.title == "token" for step in steps_of(attempt)) == 8
        challenge = dict(one(attempt, "login_url").sent)["code_challenge"]
        assert_without(secrets, repr(steps_of(attempt)), pickle.dumps(steps_of(attempt)), challenges=(str(challenge),))

    @pytest.mark.parametrize(
        "callback",
        [
            "{uri}?code={secret}&state={secret}&iss={secret}&error={secret}&{secret}=1&session_state={secret}",
            "{uri}#access_token={secret}&id_token={secret}",
            "{secret}",
            "https://{secret}.example/{secret}?{secret}",
            "{uri}/{secret}?code={secret}",
            "http://[{secret}?{secret}={secret}",
            "{uri}?" + "&".join(f"a{n}={{secret}}" for n in range(200)),
            "{uri}?code={secret}" + "y" * LONGEST_CALLBACK,
        ],
        ids=["parameters", "fragment", "bare", "host", "path", "no_url", "many", "long"],
    )
    def test_of_a_callback_that_is_refused_is_recorded(self, box_attempt: LexofficeLogin, callback: str) -> None:
        secret = "s3cr3t" + "abcdefghijklmnopqrstuvwxyz0123456789"
        box_attempt.get_login_url()
        with pytest.raises(CallbackError):
            box_attempt.handle_callback(callback.format(uri=REDIRECT_URI, secret=secret))
        step = one(box_attempt, "callback")
        assert step.url == REDIRECT_URI
        assert one(box_attempt, "callback_checked").error
        assert_without({"secret": secret}, repr(steps_of(box_attempt)), pickle.dumps(steps_of(box_attempt)))

    def test_of_a_callback_that_is_endless_is_even_looked_for(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.get_login_url()
        for callback in (f"{REDIRECT_URI}?code=" + "y" * LONGEST_CALLBACK, f"{REDIRECT_URI}?" + "a=b&" * 200):
            recorder_of(box_attempt).callback(Secret(callback), REDIRECT_URI, error="callback_too_long")
            callbacks = [step for step in steps_of(box_attempt) if step.title == "callback"]
            assert callbacks[-1].sent == ((OTHERS, Hidden("value", len(callback))),)

    def test_of_the_person_is_recorded_from_userinfo(self, start: StartProvider) -> None:
        person = {"sub": "person-1", "name": "Erika Mustermann-Beispiel", "email": "erika.mustermann@example.org"}
        server = start(userinfo=lambda _: as_json(person | {"a-member-of-their-own": "with-a-value-of-their-own"}))
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        session = LexofficeSession.from_login(attempt)
        assert session.userinfo()["name"] == person["name"]
        step = next(step for step in session.trace().steps if step.title == "userinfo")
        assert dict(step.received) == {
            "sub": Hidden("sub", 8),
            "name": Hidden("name", 25),
            "email": Hidden("email", 28),
            OTHERS: "1",
        }

    def test_of_an_authorization_endpoint_s_own_query_is_recorded(self) -> None:
        provider = Provider(
            "p", "P", "https://p.example/a?key=abcdefghijklmnopqrst", "https://p.example/t", "https://p.example"
        )
        attempt = LexofficeLogin("me", REDIRECT_URI, provider=replace(provider, openid=False), scopes="x")
        attempt.get_login_url()
        step = one(attempt, "login_url")
        assert (step.url, dict(step.sent)["key"]) == ("https://p.example/a", Hidden("key", 20))


class TestItsSize:
    def test_is_bounded_however_often_a_session_renews_itself(self, start: StartProvider) -> None:
        server = start()
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        session = LexofficeSession.from_login(attempt)
        before = [step for step in session.trace().steps if step.title != "profile"]
        for _ in range(MOST_LATER_STEPS + 5):
            session._source.renew(session.tokens.access_token)
        trace = session.trace()
        assert trace.left_out > 0
        assert sum(step.title == "refresh" for step in trace.steps) <= MOST_LATER_STEPS
        assert len(trace.steps) <= MOST_STEPS + MOST_LATER_STEPS
        assert set(before) <= set(trace.steps), "the sign-in itself is kept"

    def test_is_bounded_however_many_callbacks_a_stranger_sends(self, box_attempt: LexofficeLogin) -> None:
        url = box_attempt.get_login_url()
        for n in range(MOST_STEPS * 2):
            with pytest.raises(StateMismatch):
                box_attempt.handle_callback(f"{REDIRECT_URI}?code={n}&state={n}", caught=True)
        assert len(steps_of(box_attempt)) == MOST_STEPS
        box_attempt.handle_callback(sign_in(url))
        assert titles(box_attempt)[-4:] == ["callback_checked", "token", "jwks", "id_token_checked"]

    def test_of_one_step_is_bounded_whatever_a_server_answers(self) -> None:
        recorder = Recorder()
        members = {"error": "x" * 10_000, "scope": "openid " * 10_000, **{f"name{n}": n for n in range(1000)}}
        answer = Answer(200, {}, json.dumps(members).encode(), None)
        now = datetime.now(UTC)
        recorder.exchange("token", "POST", "https://p.example/" + "x" * 1000, {}, now, 0.1, answer=answer, error="")
        assert len(pickle.dumps(recorder.steps())) < 2_000


class TestARecorder:
    def test_decides_nothing_and_stops_nothing_if_it_cannot_record(self) -> None:
        recorder = Recorder()
        recorder.callback(None, None)  # type: ignore[arg-type]
        recorder.login_url(1, None, None)  # type: ignore[arg-type]
        recorder.id_token(None)  # type: ignore[arg-type]
        recorder.exchange(None, None, None, None, None, None, answer=None, error="")  # type: ignore[arg-type]
        assert recorder.steps() == ()

    def test_is_not_needed_for_a_request(self, start: StartProvider) -> None:
        server = start()
        assert observed(None, "GET", f"{server.origin}/jwks", stage="id_token", limit=10_000).status == 200

    def test_lets_errors_of_the_api_pass(self) -> None:
        recorder = Recorder()
        with pytest.raises(ServerTrouble), recorder.api_call("profile", "https://p.example/v1/profile", Secret("t")):
            raise ServerTrouble("too_large", status=503, host="p.example", limit=1)
        (step,) = recorder.steps()
        assert (step.status, step.error, step.sent) == (503, "too_large", (("Authorization", Hidden("bearer", 1)),))

    def test_names_no_word_that_was_not_known_before(self, start: StartProvider) -> None:
        server = start(token={"scope": "openid strange-scope", "token_type": "BEARER", "expires_in": "soon"})
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        received = dict(one(attempt, "token").received)
        assert received["scope"] == Hidden("scope", 20)
        assert received["token_type"] == "BEARER"
        assert received["expires_in"] == Hidden("expires_in", 4)

    def test_counts_what_it_may_not_name(self, start: StartProvider) -> None:
        server = start(token={"x-one": 1, "x-two": {"deep": "value"}, "refresh_token": LEFT_OUT})
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        assert one(attempt, "token").received[-1] == (OTHERS, "2")


class TestTheSession:
    def test_has_a_trace_after_the_log_out_as_well(self, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        session = LexofficeSession.from_login(box_attempt)
        session.logout()
        assert [step.title for step in session.trace().steps][-2:] == ["revocation", "revocation"]

    def test_records_the_first_request_of_the_api(self, box: Sandbox, box_attempt: LexofficeLogin) -> None:
        box_attempt.handle_callback(sign_in(box_attempt.get_login_url()))
        step = LexofficeSession.from_login(box_attempt).trace().steps[-1]
        assert (step.title, step.url, step.status) == ("profile", f"{box.url}/v1/profile", 200)

    def test_has_none_before_the_sign_in_or_with_an_api_key(self, box: Sandbox) -> None:
        with pytest.raises(SignedOut) as refused:
            LexofficeSession().trace()
        assert refused.value.code == "trace_none"
        session = LexofficeSession.from_api_key(Secret(box.make_api_key()), Provider.discover(box.url))
        with pytest.raises(SignedOut):
            session.trace()
