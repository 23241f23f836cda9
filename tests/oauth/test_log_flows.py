"""Each flow at DEBUG, with all libraries at their most talkative: it is told, and no secret's bytes are in it.

The sandbox runs in this process, so that what Authlib and Werkzeug write on the server's side is searched as well, and
so is what the scripted person's browser sends and gets.
"""

from __future__ import annotations

import base64
import gc
import http.client
import io
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest

from lexoffice_nb.errors import ApiError, CallbackError, InvalidGrant, LoginError, SignedOut, StateMismatch
from lexoffice_nb.log import HIDDEN, log, redact_others, stop_redacting
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.session import LexofficeSession
from tests.oauth import misbehaving
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lexoffice_nb.sandbox import Sandbox

PARTNER_CALLBACK = "http://127.0.0.1:8765/callback"
SHORTEST = 12


class Ear:
    """Hears all that is logged and printed, and knows all the secrets there were."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.stream = io.StringIO()
        self.secrets: set[str] = set()
        self._capfd, self._printed = capfd, ""

    def note(self, *secrets: str) -> None:
        """Learns secrets, and each that a `Secret` of this process has in it now."""
        alive = [thing.reveal() for thing in gc.get_objects() if type(thing) is Secret]
        self.secrets |= {secret for secret in (*secrets, *alive) if len(secret) >= SHORTEST}

    def note_url(self, url: str) -> str:
        """Learns the secrets of a login URL or a callback; gives it back."""
        self.note(*(value for name, value in parse_qsl(urlsplit(url).query) if name in ("state", "nonce", "code")))
        return url

    @property
    def text(self) -> str:
        self._printed += "".join(self._capfd.readouterr())
        return self.stream.getvalue() + self._printed

    def found(self) -> list[str]:
        self.note()
        text = self.text
        return [f"{form[:6]}…" for secret in self.secrets for form in forms_of(secret) if form in text]


def forms_of(secret: str) -> set[str]:
    octets = secret.encode()
    words = secret.split(" ")[-1]  # of a header, what follows the scheme
    encoded = [base64.b64encode(octets), base64.urlsafe_b64encode(octets)]
    return {secret, words, quote(secret, safe=""), quote_plus(secret), *(each.decode().rstrip("=") for each in encoded)}


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Ear]:
    """The root logger at DEBUG, and each HTTP connection prints all that goes over it, into the log."""
    heard, root = Ear(capfd), logging.getLogger()
    handler, level = logging.StreamHandler(heard.stream), root.level
    handler.setFormatter(logging.Formatter("%(name)s|%(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    wire = logging.getLogger("http.client")
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    # The usual recipe to have it in the log and not on the screen.
    monkeypatch.setattr(http.client, "print", lambda *parts: wire.debug(" ".join(map(str, parts))), raising=False)
    stop_redacting()
    yield heard
    stop_redacting()
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def talkative_box(box: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, without its own filter that keeps Authlib silent."""
    silenced = [
        logging.getLogger(f"authlib.oauth2.rfc6749.grants.{name}") for name in ("authorization_code", "refresh_token")
    ]
    before = [(logger, logger.filters[:]) for logger in silenced]
    assert all(filters for _, filters in before)
    for logger in silenced:
        logger.filters[:] = []
    yield box
    for logger, filters in before:
        logger.filters[:] = filters


def told(ear: Ear, *lines: str) -> None:
    """Asserts that our lines say these things, in this order."""
    ours = [line for line in ear.stream.getvalue().splitlines() if line.startswith("lexoffice_nb|")]
    left = ours
    for line in lines:
        left = left[next((at for at, each in enumerate(left) if line in each), len(left)) :]
        assert left, f"{line!r} is not told, or not in this order:\n" + "\n".join(ours)


def partner_at(box: Sandbox) -> Provider:
    return Provider(
        name="partner",
        title="Partner",
        authorization_endpoint=f"{box.url}/oauth2/authorize",
        token_endpoint=f"{box.url}/oauth2/token",
        revocation_endpoint=f"{box.url}/oauth2/revoke",
        api_base=box.url,
        client_authentication="client_secret_basic",
        openid=False,
    )


def test_the_whole_life_of_a_sign_in_at_the_sandbox_is_told_without_a_secret(talkative_box: Sandbox, ear: Ear) -> None:
    box = talkative_box
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
    callback = ear.note_url(sign_in(ear.note_url(attempt.get_login_url())))
    with pytest.raises(StateMismatch):
        attempt.handle_callback(ear.note_url(callback.replace("state=", "state=x")))
    ear.note()
    attempt.handle_callback(callback)
    ear.note()
    with pytest.raises(CallbackError):
        attempt.handle_callback(callback)
    code = dict(parse_qsl(urlsplit(callback).query))["code"]
    with pytest.raises(InvalidGrant):
        attempt.endpoint.exchange(Secret(code), Secret("v" * 43), REDIRECT_URI)
    # The reused code ended the tokens (RFC 6749 section 4.1.2), so this is another sign-in.
    attempt.handle_callback(ear.note_url(sign_in(ear.note_url(attempt.get_login_url()))))
    with LexofficeSession.from_login(attempt) as session:
        ear.note()
        session.get("/v1/profile", params={"access_token": "in-a-query-of-the-caller"})
        session.userinfo()
        box.expire_access_tokens()
        session.get("/v1/voucherlist", params={"voucherType": "invoice", "voucherStatus": "any"})
        ear.note("in-a-query-of-the-caller")
        with pytest.raises(ApiError):
            session.get("/v1/nothing")
        session.logout()
        with pytest.raises(SignedOut):
            session.get("/v1/profile")

    assert len(ear.secrets) >= 2 * 4 + 3 * 3
    assert ear.found() == []
    told(
        ear,
        "[discovery] GET http://127.0.0.1:",
        "[token] the client authenticates with its name alone",
        "[token] POST http://127.0.0.1:",
        "[token] HTTP 200 in ",
        "[token] access_token and refresh_token and id_token for ",
        "[token] refused (invalid_grant), HTTP 400",
        "tokens: taken over from a sign-in, renewable",
        "api: GET /v1/profile: HTTP 200 in ",
        "[userinfo] GET ",
        "api: GET http://127.0.0.1:",
        "renewal: begins",
        "[refresh] POST ",
        "fields client_id grant_type refresh_token",
        "renewal: done, the refresh token is a new one",
        "api: GET /v1/voucherlist: HTTP 200 in ",
        "api: GET /v1/nothing: HTTP 403 in ",
        "tokens: forgotten (signed_out_logout)",
        "[revocation] POST ",
        "log-out: the refresh_token is revoked",
        "log-out: the access_token is revoked",
    )
    log_of = ear.stream.getvalue()
    assert "authlib.oauth2.rfc6749.grants.authorization_code|Issue token" in log_of, "Authlib was silent"
    assert "authlib.oauth2.rfc6749.grants.refresh_token|Issue token" in log_of
    assert "urllib3.connectionpool|" in log_of
    assert f"state={HIDDEN}" in log_of
    assert f"Location: {REDIRECT_URI}?code={HIDDEN}" in log_of, "http.client was silent"
    assert f"Set-Cookie: {HIDDEN}" in log_of


def test_a_partner_with_a_secret_in_basic_is_told_without_it(talkative_box: Sandbox, ear: Ear) -> None:
    box = talkative_box
    known = box.partner_client
    basic = base64.b64encode(f"{quote_plus(known.id)}:{quote_plus(known.secret)}".encode()).decode()
    ear.note(known.secret, basic)
    attempt = LexofficeLogin(
        known.id, PARTNER_CALLBACK, ("profile.read",), provider=partner_at(box), client_secret=known.secret
    )
    redact_others()  # here the person comes before our first request
    callback = ear.note_url(sign_in(ear.note_url(attempt.get_login_url())))
    ear.note()
    attempt.handle_callback(callback)
    with LexofficeSession.from_login(attempt) as session:
        ear.note()
        box.expire_access_tokens()
        session.get("/v1/profile")
        ear.note()
        session.logout()
    wrong = LexofficeLogin(
        known.id, PARTNER_CALLBACK, ("profile.read",), provider=partner_at(box), client_secret="not-the-secret-at-all"
    )
    callback = ear.note_url(sign_in(ear.note_url(wrong.get_login_url())))
    with pytest.raises(LoginError):
        wrong.handle_callback(callback)

    assert ear.found() == []
    told(
        ear,
        "[token] the client authenticates with Basic",
        "[token] POST ",
        "fields code code_verifier grant_type redirect_uri",
        "renewal: done",
        "log-out: ",
        "[token] refused (token_invalid_client), HTTP 401",
    )
    assert "authlib." in ear.stream.getvalue()


def test_an_api_key_is_told_without_it(talkative_box: Sandbox, ear: Ear) -> None:
    key, wrong = talkative_box.make_api_key(), "no-key-that-anybody-knows"
    ear.note(key, wrong)
    provider = Provider.discover(talkative_box.url)
    with LexofficeSession.from_api_key(key, provider) as session:
        session.get("/v1/profile")
        session.logout()
    with pytest.raises(ApiError):
        LexofficeSession.from_api_key(wrong, provider)

    assert ear.found() == []
    told(
        ear,
        "tokens: an API key taken",
        "api: GET /v1/profile: HTTP 200",
        "tokens: forgotten (signed_out_logout)",
        "log-out: nothing to revoke",
        "api: GET /v1/profile: HTTP 401",
    )


class Echoing(misbehaving.Provider):
    """A provider whose error answers have in them all that it was sent, in every place there is."""

    def __init__(self, status: int, kind: str, **faults: Any) -> None:
        self.echo, self.status, self.kind = False, status, kind
        super().__init__(**faults)

    def answer(self, method: str, path: str, form: dict[str, str], headers: Mapping[str, str]) -> Raw:
        usual = super().answer(method, path, form, headers)
        if not self.echo or method != "POST":
            return usual
        sent = " ".join([*form.values(), *headers.values()])
        if self.kind == "json":
            body = {"error": sent[:400], "error_description": sent, "scope": sent, "token_type": sent, **form}
            return as_json(body, self.status, **{"WWW-Authenticate": f"Bearer {quote(sent)}"})
        location = {"Location": f"{self.origin}/?code={quote(sent)}", "X-Echo": quote(sent)}
        return Raw(self.status, f"<p>{sent}".encode(), location)


@pytest.mark.parametrize("kind", ["json", "page"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
def test_answers_that_echo_secrets_leave_them_nowhere(status: int, kind: str, ear: Ear) -> None:
    with Echoing(status, kind, metadata={"revocation_endpoint": "{}/revoke"}) as server:
        server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
        good = attempt_at(server)
        good.handle_callback(ear.note_url(server.authorize(ear.note_url(good.get_login_url()))))
        source = TokenSource()
        source.adopt(good)
        ear.note()
        refused = attempt_at(server, client_secret="s3cret-of-a-confidential-client")
        callback = ear.note_url(server.authorize(ear.note_url(refused.get_login_url())))
        ear.note()
        server.echo = True
        with pytest.raises(LoginError) as at_the_exchange:
            refused.handle_callback(callback)
        with pytest.raises(LoginError) as at_the_renewal:
            source.renew(source.tokens.access_token)
        errors = [at_the_exchange.value, at_the_renewal.value, *source.revoke()]
        for form in (*server.forms, *server.revocations):
            ear.note(
                *(value for name, value in form.items() if name in ("code", "code_verifier", "refresh_token", "token"))
            )
        ear.note(*(each["Authorization"] for each in server.headers if "Authorization" in each))
        shown = "".join(f"{error!r}{error}{error.what('de')}{error.values}" for error in errors)
        for form in (*server.forms, *server.revocations):
            for name in ("code", "code_verifier", "refresh_token", "token", "client_secret"):
                assert name not in form or form[name] not in shown, name

    assert ear.found() == []
    told(
        ear,
        "[token] POST ",
        f"[token] HTTP {status} ",
        "renewal: begins",
        "[refresh] POST ",
        f"[refresh] HTTP {status} ",
    )


def test_no_answer_at_all_is_told_by_its_code(ear: Ear) -> None:
    with misbehaving.Provider() as server:
        attempt = attempt_at(server)
        callback = ear.note_url(server.authorize(ear.note_url(attempt.get_login_url())))
    with pytest.raises(LoginError):
        attempt.handle_callback(callback)
    assert ear.found() == []
    told(ear, "[token] POST ", "[token] no answer (unreachable) after ")


def test_a_scope_that_is_the_token_itself_is_not_told(ear: Ear, start: Any) -> None:
    server = start(token={"access_token": "t" * 40, "scope": f"openid {'t' * 40} xx{'t' * 40} profile"})
    attempt = attempt_at(server)
    attempt.handle_callback(ear.note_url(server.authorize(ear.note_url(attempt.get_login_url()))))
    line = next(each for each in ear.text.splitlines() if "granted scope" in each)
    assert "t" * 40 not in line
    told(ear, "granted scope: openid profile")


def test_others_are_hidden_from_where_our_http_begins(ear: Ear, start: Any) -> None:
    server, other = start(), logging.getLogger("urllib3.connectionpool")
    assert not other.filters
    Provider.discover(server.issuer)
    assert other.filters
    stop_redacting()
    assert not other.filters
    with LexofficeSession():
        assert other.filters


def test_the_search_itself_finds_what_is_not_hidden(ear: Ear) -> None:
    for way in (lambda s: s, quote_plus, lambda s: base64.b64encode(s.encode()).decode()):
        ear.stream.truncate(0)
        ear.secrets.clear()
        secret = Secret("a secret/of its own+kind")
        logging.getLogger("somebody").debug("here it is: %s", way(secret.reveal()))
        assert ear.found()


def test_a_switched_off_log_is_silent(capfd: pytest.CaptureFixture[str], start: Any) -> None:
    assert not log.isEnabledFor(logging.DEBUG)
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    assert "".join(capfd.readouterr()) == ""
