"""`LexofficeLogin`: one attempt, from the login URL to the tokens (RFC 6749 section 4.1 with RFC 7636)."""

from __future__ import annotations

import hmac
import itertools
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.errors import CallbackError, IdTokenError, LoginError, shielded
from lexoffice_nb.log import log
from lexoffice_nb.oauth import callback
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.metadata import how_it_was_read
from lexoffice_nb.oauth.pkce import code_challenge, new_code_verifier
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenAnswer, TokenEndpoint
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.trace import Hidden, Recorder
from lexoffice_nb.oauth.transport import Origin, is_allowed
from lexoffice_nb.texts import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lexoffice_nb.oauth.trace import Step

ATTEMPT_SECONDS = 600.0
DEFAULT_SCOPES = ("openid", "profile", "invoice.read")
MOST_ATTEMPTS = 32  # that are remembered, to say which one an old answer belongs to


@dataclass
class _Attempt:
    """What one login URL is bound to. It serves once."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: Secret
    begun: float
    begun_at: datetime
    number: int
    used: bool = False

    @property
    def too_old(self) -> bool:
        return time.monotonic() - self.begun > ATTEMPT_SECONDS

    @property
    def open(self) -> bool:
        return not self.used and not self.too_old


class LexofficeLogin:
    """One sign-in of a person at a provider.

        attempt = LexofficeLogin("my-client", "http://127.0.0.1:8765/callback", provider=provider)
        print(attempt.get_login_url())
        tokens = attempt.handle_callback(input())

    Each login URL serves once and for ten minutes. Asking for another one leaves the earlier ones good: each callback
    is matched to its own by `state`, with the nonce and verifier of that one.
    """

    def __init__(
        self,
        client_id: str | None = None,
        redirect_uri: str | None = None,
        scopes: Iterable[str] | str | None = None,
        provider: Provider | None = None,
        client_secret: Secret | str | None = None,
        *,
        resource: Iterable[str] | str | None = None,
        max_age: int | None = None,
    ) -> None:
        """Prepares a sign-in; nothing is sent.

        Args:
            client_id: the client; the provider's own for this package where it has one.
            redirect_uri: where the provider sends the browser; compared exactly, trailing slash included.
            scopes: what is asked for; `openid profile invoice.read` unless the provider is a preset with its own.
            provider: where to sign in; the sandbox on this machine where none is given.
            client_secret: for a confidential client.
            resource: the APIs, as absolute URIs, that the access token is to be for (RFC 8707).
            max_age: the most seconds since the person's last sign-in at the provider (OpenID Connect Core section
                3.1.2.1); it asks again after them, and the ID token is refused if it did not.

        Raises:
            LoginError: if the client or the redirect URI is missing or not allowed, or `openid` is asked of a provider
                that gives no ID token, or `max_age` without it.
            DiscoveryError: if no provider is given and the sandbox is not running.
        """
        provider = provider or Provider.named("sandbox")
        secret = Secret(client_secret) if isinstance(client_secret, str) else client_secret
        if secret and provider.client_authentication == "none":
            provider = replace(provider, client_authentication=_confidential(provider))
        self.provider = provider
        self.client_id = _needed(client_id or provider.client_id, "client_id_missing")
        self.redirect_uri = _needed(redirect_uri or provider.redirect_uri, "redirect_uri_missing")
        if not (is_allowed(self.redirect_uri) and not urlsplit(self.redirect_uri).fragment):
            raise LoginError("redirect_uri_not_allowed")
        self.scopes = _words(scopes) or self._default_scopes()
        if "openid" in self.scopes and not provider.openid:
            raise LoginError("openid_not_offered", provider=provider.title)
        self.resource = _words(resource) or provider.resource
        if not all(is_allowed(uri) and not urlsplit(uri).fragment for uri in self.resource):
            raise LoginError("resource_not_allowed")
        if max_age is not None and (max_age < 0 or not self._openid):
            raise LoginError("max_age_without_openid")
        self.max_age = max_age
        if provider.client_authentication != "none" and not secret:
            raise LoginError("client_secret_missing", provider=provider.title)
        self._recorder = Recorder((*self.scopes, str(provider.issuer)), how_it_was_read(provider.issuer))
        self._made = itertools.count(1)
        self.endpoint = TokenEndpoint(provider, self.client_id, secret, self.resource, self._recorder)
        self.keys = IssuerKeys(provider.jwks_uri, self._recorder) if provider.jwks_uri else None
        self.tokens: TokenSet | None = None
        self._attempts: deque[_Attempt] = deque(maxlen=MOST_ATTEMPTS)  # the newest last
        self._doubted: Secret | None = None
        self._lock = threading.Lock()
        if provider.leaves_pkce_open:
            log.warning("%s does not say that it checks PKCE with S256", Origin.of(provider.token_endpoint).host)

    def _default_scopes(self) -> tuple[str, ...]:
        usual = DEFAULT_SCOPES if self.provider.source == "notebook" else self.provider.scopes
        return tuple(scope for scope in usual if scope != "openid" or self.provider.openid)

    @shielded
    def get_login_url(self) -> str:
        """Gives a fresh authorization request (RFC 6749 section 4.1.1): new state, nonce and challenge each time."""
        attempt = _Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=self._new_verifier(),
            begun=time.monotonic(),
            begun_at=datetime.now(UTC),
            number=next(self._made),
        )
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.scopes),
            "state": attempt.state,
            "code_challenge": code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        if not self.scopes:
            del parameters["scope"]  # left out, the server takes its own default (RFC 6749 section 3.3)
        if self._openid:
            parameters["nonce"] = attempt.nonce
        if self.max_age is not None:
            parameters["max_age"] = str(self.max_age)
        if "offline_access" in self.scopes:
            parameters["prompt"] = "consent"  # OpenID Connect Core section 11 demands it
        with self._lock:
            self._attempts.append(attempt)
        endpoint = urlsplit(self.provider.authorization_endpoint)
        resources = [("resource", uri) for uri in self.resource]
        pairs = [*parse_qsl(endpoint.query), *parameters.items(), *resources]
        self._recorder.login_url(attempt.number, self.provider.authorization_endpoint, pairs)
        query = urlencode(pairs)
        log.debug(
            "login URL made: host=%s client_id=%s redirect_uri=%s scope=%s S256",
            *(endpoint.hostname, self.client_id, self.redirect_uri, parameters.get("scope")),
        )
        return endpoint._replace(query=query).geturl()

    def _new_verifier(self) -> Secret:
        return new_code_verifier()

    def steps(self) -> tuple[Step, ...]:
        """Gives what was recorded of it until now, without a secret; the session's `trace()` draws it."""
        return self._recorder.steps()

    @property
    def _openid(self) -> bool:
        return self.provider.openid and "openid" in self.scopes

    @property
    def open(self) -> bool:
        """Whether the newest login URL can still be answered: it was not, and is younger than ten minutes."""
        return bool(self._attempts) and self._attempts[-1].open

    @property
    def open_seconds(self) -> float:
        """For how many seconds any of the login URLs can still be answered; 0 if none can."""
        lives = [a.begun + ATTEMPT_SECONDS - time.monotonic() for a in tuple(self._attempts) if a.open]
        return max(lives, default=0.0)

    @shielded
    def begun_at(self, callback_url: Secret, *, caught: bool = False) -> datetime | None:
        """Gives when the login URL was made that a callback answers; None if it is none of this sign-in's."""
        attempt = self._attempt_of(callback_url, caught=caught)
        return attempt.begun_at if attempt else None

    def retire(self) -> None:
        """Ends it for good: no login URL is good any more, and no secret is kept; only when each was made."""
        with self._lock:
            for attempt in self._attempts:
                attempt.used, attempt.verifier, attempt.nonce = True, Secret(""), ""
            self.tokens, self._doubted = None, None
            self.endpoint = replace(self.endpoint, client_secret=None)

    @shielded
    def handle_callback(self, callback_url: Secret | str, *, caught: bool = False) -> TokenSet:
        """Checks a callback URL and exchanges its code.

        The first callback that carries a login URL's state uses that one up, whatever else is in it. A callback with
        another state is refused and leaves all of them open.

        Args:
            callback_url: as it was pasted or caught. A `Secret` stays one even in the traceback of an interrupt that
                comes before the first line of this method.
            caught: that it came from the browser itself, so that nothing can have cut it off on its way.

        Raises:
            CallbackError: if the URL is refused; nothing was sent.
            TokenEndpointError: if the token endpoint refuses the code.
            IdTokenError: if the ID token is not to be believed.
            LoginError: if the provider does not answer.
        """
        pasted = callback_url if isinstance(callback_url, Secret) else Secret(callback_url)
        return self._exchange(*self._accept(pasted, caught=caught))

    def _accept(self, callback_url: Secret, *, caught: bool) -> tuple[_Attempt, Secret]:
        """Checks a callback URL; gives the login URL that it answers, and the code."""
        try:
            attempt, code = self._take(callback_url, caught=caught)
        except CallbackError as error:
            log.debug("callback refused: %s", error.code)
            self._recorder.callback(callback_url, self.redirect_uri, error=error.code)
            raise
        log.debug("callback accepted: state and issuer are those of the attempt")
        signed_in_at = self.provider.authorization_endpoint
        self._recorder.callback(callback_url, self.redirect_uri, login=attempt.number, endpoint=signed_in_at)
        return attempt, code

    def _exchange(self, attempt: _Attempt, code: Secret) -> TokenSet:
        """Exchanges the code of a callback that was accepted, and checks what comes."""
        answer = self.endpoint.exchange(code, attempt.verifier, self.redirect_uri)
        try:
            self.tokens = self._token_set(answer, attempt)
        except LoginError as error:
            self._recorder.id_token((), error=error.code)
            raise
        log.debug("signed in")
        return self.tokens

    def _attempt_of(self, callback_url: Secret, *, caught: bool) -> _Attempt | None:
        """Finds the login URL that a callback answers. Each state is compared, in constant time."""
        state = callback.state_of(callback_url.reveal(), caught=caught).encode("utf-8", "replace")
        found = [a for a in tuple(self._attempts) if hmac.compare_digest(a.state.encode(), state)]
        return found[0] if found else None

    def _take(self, callback_url: Secret, *, caught: bool) -> tuple[_Attempt, Secret]:
        """Reads the code and uses the attempt up, as one step, so that two callbacks cannot both have it."""
        with self._lock:
            if not self._attempts:
                raise CallbackError("no_login_url")
            # With none of its own, the newest one says what is wrong with it.
            attempt = self._attempt_of(callback_url, caught=caught) or self._attempts[-1]
            expected = callback.Expected(
                redirect_uri=self.redirect_uri,
                authorization_endpoint=self.provider.authorization_endpoint,
                state=attempt.state,
                issuer=self.provider.issuer,
                iss_required=self.provider.iss_in_response,
                caught=caught,
                whole=self._doubted is not None and self._doubted == callback_url,
            )
            refusal = None
            try:
                code = callback.read_callback(callback_url.reveal(), expected)
            except CallbackError as error:
                if not callback.ends_attempt(error):
                    self._doubted = callback_url if error.code == "callback_cut_off_code" else None
                    raise
                refusal = error
            if attempt.used:
                raise CallbackError("callback_used", time=clock(attempt.begun_at))
            attempt.used = True
            self._doubted = None
            if refusal:
                raise refusal
            if attempt.too_old:
                minutes = round(ATTEMPT_SECONDS / 60)
                raise CallbackError("attempt_expired", minutes=minutes, time=clock(attempt.begun_at))
            return attempt, code

    def _token_set(self, answer: TokenAnswer, attempt: _Attempt) -> TokenSet:
        claims: Mapping[str, Any] = {}
        if self._openid:
            if answer.id_token is None or self.keys is None:
                raise IdTokenError("id_token_missing")
            claims = verify_id_token(
                answer.id_token,
                self.keys,
                ExpectedClaims(
                    issuer=str(self.provider.issuer),
                    client_id=self.client_id,
                    nonce=attempt.nonce,
                    access_token=answer.access_token,
                    clock_ahead=answer.clock_ahead,
                    max_age=self.max_age,
                    begun=attempt.begun_at.timestamp(),
                ),
            )
            nonce = Hidden("nonce", len(attempt.nonce))
            ours = (("iss", str(self.provider.issuer)), ("aud", self.client_id), ("nonce", nonce))
            self._recorder.id_token((*ours, *((name, "") for name in ("exp", "iat", "at_hash") if name in claims)))
        return TokenSet(
            access_token=answer.access_token,
            expires_at=answer.expires_at,
            # A server that leaves `scope` out granted what was asked (RFC 6749 section 5.1).
            scope=self.scopes if answer.scope is None else answer.scope,
            refresh_token=answer.refresh_token,
            id_token=answer.id_token if claims else None,
            claims=claims,
        )

    def __repr__(self) -> str:
        return f"<LexofficeLogin {self.client_id} at {self.provider.title}>"


def _needed(value: str | None, code: str) -> str:
    if not value:
        raise LoginError(code)
    return value


def _words(given: Iterable[str] | str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given.split() if isinstance(given, str) else given or ()))


def _confidential(provider: Provider) -> str:
    """The way to authenticate where nobody says which: Basic, unless the provider takes only the other one."""
    methods = provider.metadata.get("token_endpoint_auth_methods_supported")
    basic = not isinstance(methods, list) or "client_secret_basic" in methods or "client_secret_post" not in methods
    return "client_secret_basic" if basic else "client_secret_post"
