"""The session that a notebook gets, from before the sign-in until after log-out, on a real sandbox."""

# ruff: noqa: F811 - the fixtures are those of the API's tests, imported

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider, Secret, errors
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from tests.api.conftest import (  # noqa: F401 - fixtures
    CALLBACK,
    Answer,
    box,
    quiet_box,
    server,
    session,
    signed_in,
    surroundings,
)
from tests.oauth.misbehaving import Provider as Provider_
from tests.oauth.misbehaving import Raw

HOSTILE = "<img src=x onerror=alert(1)> https://evil.example \x1b[31m\u202e"


@pytest.fixture
def provider(box):
    return Provider.discover(box.url, name="sandbox")


@pytest.fixture
def attempt(provider):
    return LexofficeLogin("lexoffice-nb", CALLBACK, ["openid", "profile", "invoice.read"], provider)


def token_paths(box):
    return [r.path for r in box.requests if r.path.startswith("/connect/") and r.method == "POST"]


def ask_at(session, url):
    """Has the provider that the tokens are from name another place for userinfo."""
    source = session._source
    endpoint = source.sign_in.endpoint
    provider = replace(endpoint.provider, userinfo_endpoint=url)
    source._sign_in = replace(source.sign_in, endpoint=replace(endpoint, provider=provider))


class TestFromLogin:
    def test_knows_whose_account_it_is(self, session):
        assert (session.account.company, session.account.person) == ("Muster & Söhne GmbH", "Erika Muster")
        assert session.signed_in

    def test_of_an_unfinished_login_is_signed_out(self, attempt):
        with pytest.raises(errors.SignedOut) as refused:
            LexofficeSession.from_login(attempt)
        assert refused.value.code == "signed_out_unfinished"

    def test_works_where_the_api_does_not_say_who_it_is(self, box, attempt, server):
        server.answers["/v1/profile"] = [Answer(500)]
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        attempt.provider = replace(attempt.provider, api_base=server.url)
        session = LexofficeSession.from_login(attempt)
        assert session.signed_in
        assert session.account.person == "Erika Muster"

    @pytest.mark.parametrize(
        "answer", [Answer.of([]), Answer.of({"companyName": 7, "created": "x"}), Answer(200, b"<")]
    )
    def test_works_with_an_odd_profile(self, box, signed_in, server, answer):
        server.answers["/v1/profile"] = [answer]
        assert signed_in(box, api=server.url).account.company == ""

    def test_with_an_api_that_is_not_safe_adopts_nothing(self, attempt):
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        attempt.provider = replace(attempt.provider, api_base="http://api.invalid")
        session = LexofficeSession()
        with pytest.raises(errors.DiscoveryError):
            session.adopt(session.signed_in_by(attempt))
        assert not session.signed_in

    def test_a_second_sign_in_sends_its_token_to_its_own_api_only(self, box, session, attempt, server):
        server.answers["/v1/profile"] = [Answer.of({})]
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        attempt.provider = replace(attempt.provider, api_base=server.url)
        session.adopt(session.signed_in_by(attempt))
        session.get(f"{server.url}/v1/profile")
        new = f"Bearer {session.tokens.access_token.reveal()}"
        assert [seen.headers.get("Authorization") for seen in server.seen] == [new] * 2
        with pytest.raises(errors.Unauthorized):
            session.get(f"{box.url}/v1/profile")


class TestFromApiKey:
    def test_a_good_key_signs_in(self, box, provider):
        session = LexofficeSession.from_api_key(Secret(box.make_api_key()), provider)
        assert session.account.company == "Muster & Söhne GmbH"
        assert session.receipt().kind == "key"
        assert session.logout() == []
        assert "/connect/revoke" not in token_paths(box)

    def test_a_pasted_key_may_have_white_space_around(self, box, provider):
        assert LexofficeSession.from_api_key(f" {box.make_api_key()}\n", provider).signed_in

    def test_a_wrong_key_is_unauthorized_and_nothing_is_adopted(self, box, session, provider):
        before = session.tokens, session.account, session.kind
        with pytest.raises(errors.Unauthorized):
            session.adopt(session.signed_in_by_key(Secret("wrong"), provider))
        assert (session.tokens, session.account, session.kind) == before
        assert session.get("/v1/profile").status_code == 200
        with pytest.raises(errors.Unauthorized):
            LexofficeSession.from_api_key("wrong", provider)

    @pytest.mark.parametrize(
        ("key", "code"),
        [("", "key_empty"), ("two words", "key_malformed"), ("a\r\nb", "key_malformed"), ("ü", "key_malformed")],
    )
    def test_what_is_no_key_is_sent_nowhere(self, box, provider, key, code):
        before = len(box.requests)
        with pytest.raises(errors.LoginError) as refused:
            LexofficeSession.from_api_key(key, provider)
        assert refused.value.code == code
        assert len(box.requests) == before

    def test_a_key_without_the_permission_for_the_profile_is_good(self, provider, server):
        server.answers["/v1/profile"] = [Answer.of({"message": "Forbidden"}, 403)]
        assert LexofficeSession.from_api_key("key", replace(provider, api_base=server.url)).signed_in

    def test_a_key_is_checked_through_the_proxy_of_the_session(self, provider, server):
        server.answers["api.invalid:443"] = [Answer(502)]
        session = LexofficeSession()
        session.proxies = {"https": server.url}
        with pytest.raises(errors.ServerTrouble):
            session.adopt(session.signed_in_by_key(Secret("key"), replace(provider, api_base="https://api.invalid")))
        assert [seen.method for seen in server.seen] == ["CONNECT"]

    @pytest.mark.parametrize("status", [402, 404, 429, 500])
    def test_any_other_answer_adopts_nothing(self, provider, server, status):
        server.answers["/v1/profile"] = [Answer(status)]
        session = LexofficeSession()
        with pytest.raises(errors.ApiError):
            session.adopt(session.signed_in_by_key(Secret("key"), replace(provider, api_base=server.url)))
        assert not session.signed_in


class TestAProfileThatHasNoEnd:
    """It is read before the person can do anything, so it has a deadline and a limit of its own."""

    @pytest.fixture(params=["a_body_that_drips", "headers_that_drip", "an_error_that_drips", "a_redirect_that_drips"])
    def dripping(self, request, monkeypatch):
        monkeypatch.setattr("lexoffice_nb.api.client.BRIEF_SECONDS", 0.3)
        status = {"an_error_that_drips": 500, "a_redirect_that_drips": 302}.get(request.param, 200)
        raw = Raw(
            status,
            headers={"Location": "/v1/profile"},
            slowly=(b"X-More: y\r\n",) * 200,
            pause=0.05,
            headers_end=request.param != "headers_that_drip",
        )
        with Provider_(raw={"/v1/profile": raw}) as provider:
            yield provider

    @pytest.fixture(params=[200, 302, 401, 500])
    def bombing(self, request):
        bomb = gzip.compress(bytes(200 * 1024 * 1024))
        headers = {"Content-Encoding": "gzip", "Location": "/v1/profile"}
        with Provider_(raw={"/v1/profile": Raw(request.param, bomb, headers)}) as provider:
            yield provider

    def test_does_not_hold_the_sign_in(self, attempt, dripping):
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        attempt.provider = replace(attempt.provider, api_base=dripping.origin)
        begun = time.monotonic()
        assert LexofficeSession.from_login(attempt).account.person == "Erika Muster"
        assert time.monotonic() - begun < 8  # what drips does so for ten seconds

    def test_does_not_hold_the_check_of_a_key(self, provider, dripping):
        begun = time.monotonic()
        with pytest.raises(errors.ServerTrouble) as refused:
            LexofficeSession.from_api_key("key", replace(provider, api_base=dripping.origin))
        assert time.monotonic() - begun < 8  # what drips does so for ten seconds
        assert refused.value.code == "api_timeout"

    def test_does_not_fill_the_memory(self, attempt, bombing):
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        attempt.provider = replace(attempt.provider, api_base=bombing.origin)
        tracemalloc.start()
        try:
            assert LexofficeSession.from_login(attempt).account.person == "Erika Muster"
            with pytest.raises(errors.ServerTrouble) as refused:
                LexofficeSession.from_api_key("key", attempt.provider)
            assert refused.value.code == "too_large"
            assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
        finally:
            tracemalloc.stop()


class TestRepr:
    def test_is_safe_before_during_and_after(self, box, attempt):
        box.settings.company_name = HOSTILE
        session = LexofficeSession()
        shown = [repr(session), session._repr_html_()]
        assert shown == ["Not signed in", "<p>Not signed in</p>"]
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        session.adopt(session.signed_in_by(attempt))
        tokens = [session.tokens.access_token.reveal(), session.tokens.refresh_token.reveal()]
        shown += [repr(session), session._repr_html_(), repr(session.tokens), repr(session.receipt())]
        assert "onerror" in repr(session)
        session.logout()
        assert [repr(session), session._repr_html_()] == shown[:2]
        for text in shown:
            assert "<img" not in text or not text.startswith("<")
            assert "://" not in text
            assert "\x1b" not in text
            assert not any(token in text for token in tokens)

    def test_holds_while_another_thread_signs_out(self, box, signed_in):
        session = signed_in(box)
        going = threading.Event()

        def look() -> int:
            looks = 0
            while not going.is_set():
                assert "igned in" in repr(session)
                looks += 1
            return looks

        with ThreadPoolExecutor(2) as pool:
            looking = pool.submit(look)
            time.sleep(0.02)
            session.logout()
            time.sleep(0.02)
            going.set()
            assert looking.result() > 0


class TestLogout:
    def test_revokes_the_refresh_token_then_the_access_token(self, box, session, server):
        source = session._source
        endpoint = source._sign_in.endpoint
        provider = replace(endpoint.provider, revocation_endpoint=f"{server.url}/revoke")
        server.answers["/revoke"] = [Answer(200)]
        source._sign_in = replace(source._sign_in, endpoint=replace(endpoint, provider=provider))
        tokens = session.tokens
        assert session.logout() == []
        sent = [seen.body.decode() for seen in server.seen]
        assert f"token={tokens.refresh_token.reveal()}" in sent[0]
        assert "token_type_hint=refresh_token" in sent[0]
        assert f"token={tokens.access_token.reveal()}" in sent[1]
        assert len(sent) == 2

    def test_is_in_the_log_of_the_sandbox_twice_and_ends_the_tokens(self, box, session):
        kept = session.tokens.access_token.reveal()
        assert session.logout() == []
        assert token_paths(box)[-2:] == ["/connect/revoke", "/connect/revoke"]
        assert box.grants.bearer(kept) is None

    def test_leaves_every_use_signed_out(self, session):
        session.logout()
        for use in (lambda: session.get("/v1/profile"), session.userinfo, lambda: session.tokens):
            with pytest.raises(errors.SignedOut) as refused:
                use()
            assert refused.value.code == "signed_out_logout"
        assert not session.signed_in
        assert session.account.company == ""

    def test_says_what_failed_and_forgets_all_the_same(self, box, session):
        box.stop()
        failures = session.logout()
        assert [(type(f), f.stage, f.code) for f in failures] == [(errors.LoginError, "revocation", "unreachable")]
        assert not session.signed_in

    def test_twice_is_harmless(self, box, session):
        session.logout()
        before = len(box.requests)
        assert session.logout() == []
        assert len(box.requests) == before

    def test_forget_tells_the_provider_nothing(self, box, session):
        before = len(box.requests)
        session.forget()
        assert len(box.requests) == before
        assert not session.signed_in


class TestEndSessionUrl:
    """RP-Initiated Logout 1.0 section 2, for a person to open."""

    @pytest.fixture
    def signing_out_at(self, attempt):
        """Makes a session whose provider has a sign-out page."""

        def make(endpoint):
            attempt.handle_callback(sign_in(attempt.get_login_url()))
            attempt.provider = replace(attempt.provider, end_session_endpoint=endpoint)
            return LexofficeSession.from_login(attempt)

        return make

    def test_says_who_we_are_and_in_which_language_and_nothing_else(self, signing_out_at):
        session = signing_out_at("https://idp.example/end")
        assert session.end_session_url == "https://idp.example/end?client_id=lexoffice-nb&ui_locales=en"
        use_language("de")
        assert session.end_session_url == "https://idp.example/end?client_id=lexoffice-nb&ui_locales=de"

    def test_carries_no_token(self, signing_out_at):
        session = signing_out_at("https://idp.example/end")
        tokens = session.tokens
        for secret in (tokens.id_token, tokens.access_token, tokens.refresh_token):
            assert secret.reveal() not in session.end_session_url
        assert "hint" not in session.end_session_url

    @pytest.mark.parametrize("forget", [LexofficeSession.logout, LexofficeSession.forget])
    def test_stays_after_log_out(self, signing_out_at, forget):
        session = signing_out_at("https://idp.example/end")
        before = session.end_session_url
        forget(session)
        assert session.end_session_url == before is not None

    def test_keeps_the_parameters_of_the_page_and_says_ours_once(self, signing_out_at):
        session = signing_out_at("https://idp.example/end?tenant=a%26b&empty=&client_id=x&ui_locales=tlh#part")
        assert session.end_session_url == (
            "https://idp.example/end?tenant=a%26b&empty=&client_id=lexoffice-nb&ui_locales=en"
        )

    @pytest.mark.parametrize(
        "endpoint",
        [None, "", "http://idp.example/end", "javascript:alert(1)", 'https://idp.example/"><script>', "https://a@b/"],
    )
    def test_is_none_where_there_is_no_page_that_may_be_opened(self, signing_out_at, endpoint):
        assert signing_out_at(endpoint).end_session_url is None

    def test_is_none_for_a_key_and_before_any_sign_in(self, box, provider):
        assert LexofficeSession().end_session_url is None
        there = replace(provider, end_session_endpoint="https://idp.example/end")
        assert LexofficeSession.from_api_key(box.make_api_key(), there).end_session_url is None

    def test_is_none_for_a_key_after_a_sign_in(self, box, signing_out_at):
        session = signing_out_at("https://idp.example/end")
        session.adopt(session.signed_in_by_key(Secret(box.make_api_key()), session.provider))
        assert session.end_session_url is None


class TestUserinfo:
    def test_says_who_is_signed_in(self, session):
        assert session.userinfo()["sub"] == session.tokens.claims["sub"]

    def test_of_an_api_key_there_is_none(self, box):
        provider = replace(Provider.discover(box.url), userinfo_endpoint=None)
        with pytest.raises(errors.UserinfoError) as refused:
            LexofficeSession.from_api_key(box.make_api_key(), provider).userinfo()
        assert refused.value.code == "userinfo_none"

    def test_of_an_api_key_is_not_asked_for(self, box, provider, server):
        there = replace(provider, userinfo_endpoint=f"{server.url}/userinfo")
        with pytest.raises(errors.UserinfoError) as refused:
            LexofficeSession.from_api_key(box.make_api_key(), there).userinfo()
        assert refused.value.code == "userinfo_none"
        assert server.seen == []

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (Answer.of({"sub": "somebody else"}), "userinfo_sub"),
            (Answer.of({}), "userinfo_sub"),
            (Answer.of({"sub": None}), "userinfo_sub"),
            (Answer.of([]), "userinfo_unreadable"),
            (Answer(200, b"<html>"), "userinfo_unreadable"),
            (Answer(403), "userinfo_unreadable"),
            (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), "userinfo_unreadable"),
        ],
    )
    def test_that_is_not_to_be_believed_is_refused(self, session, server, answer, code):
        server.answers["/userinfo"] = [answer]
        ask_at(session, f"{server.url}/userinfo")
        with pytest.raises(errors.UserinfoError) as refused:
            session.userinfo()
        assert refused.value.code == code
        assert len(server.seen) == 1

    @pytest.mark.parametrize("answer", [{}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "person-1"}])
    def test_is_not_believed_where_no_id_token_says_who_it_is(self, box, attempt, server, answer):
        """Without a subject of our own there is nothing that an answer could agree with."""
        attempt.scopes = ("profile", "invoice.read")
        attempt.handle_callback(sign_in(attempt.get_login_url()))
        session = LexofficeSession.from_login(attempt)
        server.answers["/userinfo"] = [Answer.of(answer)]
        ask_at(session, f"{server.url}/userinfo")
        with pytest.raises(errors.UserinfoError) as refused:
            session.userinfo()
        assert refused.value.code == "userinfo_sub"

    @pytest.mark.parametrize("sub", ["", 7, None, ["x"]])
    def test_whose_subject_is_no_name_is_not_believed_even_if_it_is_ours(self, session, server, sub):
        source = session._source
        source._tokens = replace(source.tokens, claims={"sub": sub})
        server.answers["/userinfo"] = [Answer.of({"sub": sub})]
        ask_at(session, f"{server.url}/userinfo")
        with pytest.raises(errors.UserinfoError) as refused:
            session.userinfo()
        assert refused.value.code == "userinfo_sub"


class TestReady:
    def test_waits_for_the_sign_in_and_gives_the_session(self, attempt):
        session = LexofficeSession()
        attempt.handle_callback(sign_in(attempt.get_login_url()))

        async def both() -> LexofficeSession:
            waiting = asyncio.create_task(session.ready())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await asyncio.to_thread(lambda: session.adopt(session.signed_in_by(attempt)))
            return await asyncio.wait_for(waiting, 5)

        assert asyncio.run(both()) is session

    def test_ends_where_the_session_was_signed_out(self, session):
        session.logout()
        with pytest.raises(errors.SignedOut):
            asyncio.run(asyncio.wait_for(session.ready(), 1))


def test_many_threads_share_one_session(session):
    def ask(number: int) -> str:
        return str(session.get("/v1/contacts", params={"size": 1, "page": number % 4}).json()["content"][0]["id"])

    alone = [ask(number) for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(32))) == alone * 8


@pytest.mark.parametrize("source", ["shipped", "notebook"])
def test_the_receipt_says_whether_the_provider_came_with_the_package(box, attempt, source):
    attempt.provider = replace(attempt.provider, source=source, title="Somebody")
    attempt.handle_callback(sign_in(attempt.get_login_url()))
    receipt = LexofficeSession.from_login(attempt).receipt()
    assert ("Somebody" in receipt.line()) is (source == "notebook")


def test_the_receipt_names_what_was_not_granted(box, signed_in):
    box.settings.drop_scopes = ("invoice.read",)
    assert signed_in(box).receipt().missing() == ["invoice.read"]
