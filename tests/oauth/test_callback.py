"""Callback URLs, right and wrong: what is refused is refused before the token request, and for the reason named."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from lexoffice_nb.errors import AccessDenied, CallbackError, LoginError, StateMismatch, TokenEndpointError
from lexoffice_nb.oauth.callback import LIMIT
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.sandbox.person import sign_in
from tests.oauth import signing_in
from tests.oauth.misbehaving import CLIENT_ID, LEFT_OUT, REDIRECT_URI, as_json
from tests.oauth.signing_in import attempt_at, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider


@pytest.fixture
def server(start: StartProvider) -> misbehaving.Provider:
    return start()


@pytest.fixture
def attempt(server: misbehaving.Provider) -> LexofficeLogin:
    return attempt_at(server)


@pytest.fixture
def link(attempt: LexofficeLogin) -> str:
    return attempt.get_login_url()


@pytest.fixture
def callback(server: misbehaving.Provider, link: str) -> str:
    return server.authorize(link)


# What each refusal tells the person to do now: words of it that no other kind of refusal has a reason to say.
REMEDIES = {
    "callback_empty": "Copy the whole address of the page that the browser ends at",
    "callback_no_url": "from http to its end",
    "callback_too_long": "Copy the browser's address alone",
    "callback_bare_code": "Copy the whole address from the browser's address bar",
    "callback_elsewhere": f"Paste the address that begins with {REDIRECT_URI}",
    "callback_without_answer": "including everything after the question mark",
    "callback_has_tokens": "do not share that address",
    "callback_repeats": "Copy the address again",
    "callback_is_login_url": "Sign in there first",
    "callback_used": "Start again from the newest login link",
    "attempt_expired": "Use the new link",
    "no_login_url": "Call get_login_url() first",
    "state_missing": "Probably only a part was copied: copy the whole address",
    "state_mismatch": "Close older tabs and use the newest login link",
    "code_missing": "Start again from the newest login link",
    "callback_code_and_error": "Start again from the newest login link",
    "iss_differs": "tell the provider",
    "iss_missing": "tell the provider",
    "access_denied": "Open the new login link and allow it; or ask for less with --scope",
    "authorize_invalid_request": "Pass code_challenge_method=S256",
    "authorize_unauthorized_client": "match the registration exactly, slash at the end included",
    "authorize_unsupported_response_type": "Check how the client is registered",
    "authorize_invalid_scope": "Name the right ones with --scope",
    "authorize_server_error": "Try again in a minute",
    "authorize_temporarily_unavailable": "Try again in a few minutes",
    "authorize_interaction_required": "follow the page to its end",
    "authorize_login_required": "Open the new login link and sign in there",
    "authorize_account_selection_required": "choose the account",
    "authorize_consent_required": "Open the new login link and allow it.",
    "authorize_invalid_request_uri": "with no request_uri",
    "authorize_invalid_request_object": "with no request object",
    "authorize_request_not_supported": "leave out the parameter request.",
    "authorize_request_uri_not_supported": "leave out the parameter request_uri.",
    "authorize_registration_not_supported": "leave out the parameter registration.",
    "authorize_invalid_target": "Check the resource",
    "authorize_unmet_authentication_requirements": "Set up a second factor",
    "authorize_other": "look that word up in the provider's documentation",
}


def refused(kind: type[LoginError], stage: str, code: str, act: Callable[[], object]) -> LoginError:
    """Asserts that `act` is refused for this very reason, and with a remedy that fits it."""
    error = signing_in.refused(kind, stage, code, act)
    assert REMEDIES[code] in error.remedy
    return error


BASE = REDIRECT_URI
ORIGIN = "http://127.0.0.1:51234"

# What is pasted, made of the right callback -> the reason why it is refused. The attempt stays open.
LEFT_OPEN: dict[str, tuple[Callable[[str], str], str]] = {
    "nothing": (lambda _: "", "callback_empty"),
    "white_space": (lambda _: " \r\n\t ", "callback_empty"),
    "quotes_alone": (lambda _: '""', "callback_empty"),
    "words": (lambda _: "I clicked on allow", "callback_no_url"),
    "a_path": (lambda c: c.removeprefix(ORIGIN), "callback_no_url"),
    "no_scheme": (lambda c: c.removeprefix("http:"), "callback_no_url"),
    "another_scheme": (lambda c: c.replace("http:", "ftp:", 1), "callback_no_url"),
    "javascript": (lambda c: c.replace("http:", "javascript:", 1), "callback_no_url"),
    "a_broken_address": (lambda c: c.replace("127.0.0.1", "[127.0.0.1", 1), "callback_no_url"),
    "a_port_that_is_none": (lambda c: c.replace("51234", "99999", 1), "callback_no_url"),
    "too_long": (lambda c: c + "&x=" + "x" * LIMIT, "callback_too_long"),
    "too_many_parameters": (lambda c: c + "&x=1" * 200, "callback_no_url"),
    "a_bare_code": (lambda c: parameters_of(c)["code"], "callback_bare_code"),
    "a_bare_code_with_its_name": (lambda c: "code=" + parameters_of(c)["code"], "callback_bare_code"),
    "https": (lambda c: c.replace("http:", "https:", 1), "callback_elsewhere"),
    "another_port": (lambda c: c.replace("51234", "51235", 1), "callback_elsewhere"),
    "no_port": (lambda c: c.replace(":51234", "", 1), "callback_elsewhere"),
    "another_host": (lambda c: c.replace("127.0.0.1", "evil.example", 1), "callback_elsewhere"),
    "localhost": (lambda c: c.replace("127.0.0.1", "localhost", 1), "callback_elsewhere"),
    "a_longer_host": (lambda c: c.replace("127.0.0.1", "127.0.0.1.evil.example", 1), "callback_elsewhere"),
    "another_spelling_of_the_host": (lambda c: c.replace("127.0.0.1", "127.1", 1), "callback_elsewhere"),
    "userinfo_before_another_host": (lambda c: c.replace("127.0.0.1:51234", "127.0.0.1:51234@evil.example", 1), "callback_elsewhere"),  # noqa: E501
    "userinfo_before_the_right_host": (lambda c: c.replace("127.0.0.1", "me@127.0.0.1", 1), "callback_elsewhere"),
    "empty_userinfo": (lambda c: c.replace("127.0.0.1", "@127.0.0.1", 1), "callback_elsewhere"),
    "a_backslash": (lambda c: c.replace("127.0.0.1:51234", "evil.example\\@127.0.0.1:51234", 1), "callback_elsewhere"),
    "another_path": (lambda c: c.replace("/callback", "/elsewhere", 1), "callback_elsewhere"),
    "a_slash_more": (lambda c: c.replace("/callback", "/callback/", 1), "callback_elsewhere"),
    "a_longer_path": (lambda c: c.replace("/callback", "/callback/../evil", 1), "callback_elsewhere"),
    "another_case": (lambda c: c.replace("/callback", "/Callback", 1), "callback_elsewhere"),
    "an_escaped_path": (lambda c: c.replace("/callback", "/%63allback", 1), "callback_elsewhere"),
    "no_query": (lambda _: BASE, "callback_without_answer"),
    "an_answer_in_the_fragment": (lambda c: c.replace("?", "#", 1), "callback_without_answer"),
    "a_token_in_the_fragment": (lambda c: c + "#access_token=abc&token_type=bearer", "callback_has_tokens"),
    "a_token_in_the_query": (lambda c: c + "&access_token=abc", "callback_has_tokens"),
    "a_refresh_token_in_the_query": (lambda c: c + "&refresh_token=abc", "callback_has_tokens"),
    "an_id_token_in_the_fragment": (lambda c: c + "#id_token=abc", "callback_has_tokens"),
    "the_code_twice": (lambda c: c + "&code=other", "callback_repeats"),
    "the_same_code_twice": (lambda c: c + "&code=" + parameters_of(c)["code"], "callback_repeats"),
    "the_state_twice": (lambda c: c + "&state=", "callback_repeats"),
    "an_unknown_parameter_twice": (lambda c: c + "&x=1&x=2", "callback_repeats"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_it_is_refused_before_the_token_request_and_the_right_one_still_works(
    server: misbehaving.Provider, attempt: LexofficeLogin, callback: str, change: Callable[[str], str], code: str
) -> None:
    error = refused(CallbackError, "callback", code, lambda: attempt.handle_callback(change(callback)))
    assert isinstance(error, ValueError)
    assert parameters_of(callback)["code"] not in str(error)
    assert server.token_requests == 0
    assert attempt.open
    assert attempt.handle_callback(callback).claims["sub"] == "person-1"


def test_the_login_url_is_recognised(server: misbehaving.Provider, attempt: LexofficeLogin, link: str) -> None:
    refused(CallbackError, "callback", "callback_is_login_url", lambda: attempt.handle_callback(link))
    assert server.token_requests == 0
    assert attempt.open


@pytest.mark.parametrize("state", ["", LEFT_OUT])
def test_a_missing_state_is_refused_before_the_token_request(
    server: misbehaving.Provider, attempt: LexofficeLogin, link: str, state: object
) -> None:
    callback = server.authorize(link, state=state)
    error = refused(StateMismatch, "callback", "state_missing", lambda: attempt.handle_callback(callback))
    assert str(error).startswith("Invalid state parameter – possible CSRF attack")
    assert server.token_requests == 0
    assert attempt.open


@pytest.mark.parametrize("state", ["x" * 43, "x", "\x00", "ä\ud800".encode("utf-8", "surrogatepass"), "%", " "])
def test_the_state_of_another_attempt_is_refused_before_the_token_request_and_the_right_one_still_works(
    server: misbehaving.Provider, attempt: LexofficeLogin, link: str, callback: str, state: object
) -> None:
    forged = server.authorize(link, state=state)
    error = refused(StateMismatch, "callback", "state_mismatch", lambda: attempt.handle_callback(forged))
    assert "Invalid state parameter – possible CSRF attack" in str(error)
    assert isinstance(error, ValueError)
    assert server.token_requests == 0
    assert attempt.open
    assert attempt.handle_callback(callback).claims["sub"] == "person-1"


def test_a_prefix_of_the_state_is_refused(server: misbehaving.Provider, attempt: LexofficeLogin, link: str) -> None:
    cut = server.authorize(link, state=parameters_of(link)["state"][:-1])
    refused(StateMismatch, "callback", "state_mismatch", lambda: attempt.handle_callback(cut))
    assert server.token_requests == 0


# Parameters of the authorization response that end the attempt: it carries the right state.
ENDED: dict[str, tuple[dict[str, object], type[LoginError], str]] = {
    "no_code": ({"code": LEFT_OUT}, CallbackError, "code_missing"),
    "an_empty_code": ({"code": ""}, CallbackError, "code_missing"),
    "code_and_error": ({"error": "server_error"}, CallbackError, "callback_code_and_error"),
    "the_iss_of_another": ({"iss": "https://evil.example"}, CallbackError, "iss_differs"),
    "an_empty_iss": ({"iss": ""}, CallbackError, "iss_differs"),
    "no_iss_though_advertised": ({"iss": LEFT_OUT}, CallbackError, "iss_missing"),
    "an_error_of_another": ({"code": LEFT_OUT, "error": "access_denied", "iss": "x"}, CallbackError, "iss_differs"),
    "access_denied": ({"code": LEFT_OUT, "error": "access_denied"}, AccessDenied, "access_denied"),
    "access_denied_without_iss": (
        {"code": LEFT_OUT, "error": "access_denied", "iss": LEFT_OUT},
        AccessDenied,
        "access_denied",
    ),
    **{
        error: ({"code": LEFT_OUT, "error": error}, CallbackError, f"authorize_{error}")
        for error in (
            "invalid_request",
            "unauthorized_client",
            "unsupported_response_type",
            "invalid_scope",
            "server_error",
            "temporarily_unavailable",
            "interaction_required",
            "login_required",
            "account_selection_required",
            "consent_required",
            "invalid_request_uri",
            "invalid_request_object",
            "request_not_supported",
            "request_uri_not_supported",
            "registration_not_supported",
            "invalid_target",
            "unmet_authentication_requirements",
        )
    },
    # What a server makes up must not reach a text of ours that is meant for something else.
    **{
        f"made_up_{error!r}": ({"code": LEFT_OUT, "error": error}, CallbackError, "authorize_other")
        for error in ("other", "invalid_request.next", "made_up", "../x", "{0}", "https://evil.example")
    },
}


@pytest.mark.parametrize(("answer", "kind", "code"), ENDED.values(), ids=ENDED)
def test_it_ends_the_attempt_before_the_token_request(
    server: misbehaving.Provider,
    attempt: LexofficeLogin,
    link: str,
    callback: str,
    answer: dict[str, object],
    kind: type[LoginError],
    code: str,
) -> None:
    refused(kind, "callback", code, lambda: attempt.handle_callback(server.authorize(link, **answer)))
    assert not attempt.open
    refused(CallbackError, "callback", "callback_used", lambda: attempt.handle_callback(callback))
    assert server.token_requests == 0


@pytest.mark.parametrize(
    ("code", "cause", "remedy", "cause_in_german", "remedy_in_german"),
    [
        (
            "authorize_invalid_request",
            "code_challenge_method is missing",
            "Pass code_challenge_method=S256",
            "fehlt code_challenge_method",
            "Übergeben Sie code_challenge_method=S256",
        ),
        (
            "authorize_unauthorized_client",
            "the redirect URI differs from the registration",
            "match the registration exactly, slash at the end included",
            "weicht die Redirect-URI von der registrierten ab",
            "genau der registrierten entsprechen, auch beim Schrägstrich am Ende",
        ),
        (
            "access_denied",
            "The permission was refused",
            "Open the new login link and allow it",
            "Die Berechtigung wurde beim Anbieter verweigert",
            "Öffnen Sie den neuen Anmeldelink und stimmen Sie zu",
        ),
        (
            "invalid_grant",
            "it was used already",
            "Codes serve once and for minutes: start again",
            "Er wurde schon verwendet",
            "Ein Code gilt nur einmal und nur wenige Minuten: Beginnen Sie noch einmal",
        ),
    ],
)
def test_the_errors_of_the_paper_come_with_its_cause_and_its_remedy(
    code: str, cause: str, remedy: str, cause_in_german: str, remedy_in_german: str
) -> None:
    error = LoginError(code, said="x")
    assert cause in error.what("en")
    assert remedy in error.next("en")
    assert cause_in_german in error.what("de")
    assert remedy_in_german in error.next("de")


def test_a_missing_code_is_told_in_the_words_of_the_paper(
    server: misbehaving.Provider, attempt: LexofficeLogin, link: str
) -> None:
    with pytest.raises(ValueError, match="No authorization code received"):
        attempt.handle_callback(server.authorize(link, code=LEFT_OUT))


def test_iss_may_be_missing_where_it_is_not_advertised(start: StartProvider) -> None:
    server = start(metadata={"authorization_response_iss_parameter_supported": LEFT_OUT}, callback={"iss": LEFT_OUT})
    attempt = attempt_at(server)
    assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"


def test_iss_is_compared_where_it_is_sent_though_not_advertised(start: StartProvider) -> None:
    server = start(metadata={"authorization_response_iss_parameter_supported": LEFT_OUT})
    attempt = attempt_at(server)
    forged = server.authorize(attempt.get_login_url(), iss=server.issuer + "/")
    refused(CallbackError, "callback", "iss_differs", lambda: attempt.handle_callback(forged))
    assert server.token_requests == 0


def test_without_a_login_url_no_callback_is_expected(server: misbehaving.Provider, attempt: LexofficeLogin) -> None:
    refused(CallbackError, "callback", "no_login_url", lambda: attempt.handle_callback(f"{BASE}?code=a&state=b"))
    assert server.token_requests == 0


def test_the_same_callback_again_is_refused_before_a_second_token_request(
    server: misbehaving.Provider, attempt: LexofficeLogin, callback: str
) -> None:
    attempt.handle_callback(callback)
    refused(CallbackError, "callback", "callback_used", lambda: attempt.handle_callback(callback))
    assert server.token_requests == 1


def test_of_many_equal_callbacks_at_once_one_is_taken(
    server: misbehaving.Provider, attempt: LexofficeLogin, callback: str
) -> None:
    codes: list[str] = []
    together = threading.Barrier(8)

    def answer() -> None:
        together.wait()
        try:
            attempt.handle_callback(callback)
        except CallbackError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=answer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["callback_used"] * 7
    assert server.token_requests == 1


def test_a_token_for_an_api_that_the_client_may_not_use_is_refused_with_a_remedy(start: StartProvider) -> None:
    server = start(raw={"/token": as_json({"error": "invalid_target"}, 400)})
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    error = signing_in.refused(
        TokenEndpointError, "token", "token_invalid_target", lambda: attempt.handle_callback(callback)
    )
    assert "Check the resource" in error.remedy


@pytest.mark.parametrize(("age", "taken"), [(590, True), (610, False)])
def test_an_attempt_older_than_ten_minutes_is_refused_before_the_token_request(
    server: misbehaving.Provider,
    attempt: LexofficeLogin,
    callback: str,
    monkeypatch: pytest.MonkeyPatch,
    age: float,
    taken: bool,
) -> None:
    later = time.monotonic() + age
    monkeypatch.setattr("lexoffice_nb.oauth.login.time.monotonic", lambda: later)
    if taken:
        attempt.handle_callback(callback)
    else:
        error = refused(CallbackError, "callback", "attempt_expired", lambda: attempt.handle_callback(callback))
        assert "older than 10 minutes" in str(error)
    assert server.token_requests == taken


PASTED: dict[str, Callable[[str], str]] = {
    "bracketed_paste": lambda c: f"\x1b[200~{c}\x1b[201~",
    "bracketed_paste_without_its_escape": lambda c: f"[200~{c}[201~",
    "double_quotes": lambda c: f'"{c}"',
    "single_quotes": lambda c: f"'{c}'",
    "typographic_quotes": lambda c: f"„{c}“",
    "angle_brackets": lambda c: f"<{c}>",
    "markdown": lambda c: f"`{c}`",
    "comma_after": lambda c: f"{c},",
    "blanks_around": lambda c: f"  \t{c} \u00a0",
    "line_breaks": lambda c: "\r\n".join(c[i : i + 40] for i in range(0, len(c), 40)),
    "indented_line_breaks": lambda c: "\n    ".join(c[i : i + 72] for i in range(0, len(c), 72)),
    "html": lambda c: c.replace("&", "&amp;"),
    "html_in_brackets_with_breaks": lambda c: "<" + c.replace("&", "&amp;\n") + ">\n",
    "upper_case_scheme": lambda c: c.replace("http", "HTTP", 1),
    "empty_fragment": lambda c: c + "#",
    "fragment_of_a_front_end": lambda c: c + "#_=_",
    "further_parameters": lambda c: c + "&session_state=abc&scope=openid&empty=",
    "byte_order_mark": lambda c: "\ufeff" + c,
    "zero_width_space": lambda c: c + "\u200b",
}


@pytest.mark.parametrize("paste", PASTED.values(), ids=PASTED)
def test_it_is_taken_with(attempt: LexofficeLogin, callback: str, paste: Callable[[str], str]) -> None:
    assert attempt.handle_callback(paste(callback)).claims["sub"] == "person-1"


def test_a_redirect_uri_without_a_path_is_met_by_the_slash_that_browsers_add(server: misbehaving.Provider) -> None:
    attempt = LexofficeLogin(CLIENT_ID, ORIGIN, ["openid"], Provider.discover(server.issuer))
    callback = server.authorize(attempt.get_login_url()).replace(ORIGIN, ORIGIN + "/", 1)
    assert attempt.handle_callback(callback).claims["sub"] == "person-1"


def test_a_code_with_any_characters_arrives_as_it_was(server: misbehaving.Provider, attempt: LexofficeLogin) -> None:
    code = "a+b/c=d%26 e&f"
    callback = server.authorize(attempt.get_login_url(), code=code)
    assert quote(code, safe="") not in callback
    with pytest.raises(LoginError):  # the server never gave out that code
        attempt.handle_callback(callback)
    assert server.forms[0]["code"] == code


def test_at_the_sandbox_a_person_who_refuses_is_an_access_denied(box: Sandbox, box_attempt: LexofficeLogin) -> None:
    callback = sign_in(box_attempt.get_login_url(), allow=False)
    refused(AccessDenied, "callback", "access_denied", lambda: box_attempt.handle_callback(callback))
    assert [r for r in box.requests if r.path == "/connect/token"] == []
