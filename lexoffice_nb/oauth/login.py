"""`LexofficeLogin`: one attempt, from the login URL to the tokens (RFC 6749 section 4.1 with RFC 7636)."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.errors import CallbackError, IdTokenError, LoginError, shielded
from lexoffice_nb.oauth import callback
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.pkce import code_challenge, new_code_verifier
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenAnswer, TokenEndpoint
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.transport import is_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ATTEMPT_SECONDS = 600.0
DEFAULT_SCOPES = ("openid", "profile", "invoice.read")


@dataclass
class _Attempt:
    """What one login URL is bound to. It serves once."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: Secret
    begun: float
    used: bool = False


class LexofficeLogin:
    """One sign-in of a person at a provider.

        attempt = LexofficeLogin("my-client", "http://127.0.0.1:8765/callback", provider=provider)
        print(attempt.get_login_url())
        tokens = attempt.handle_callback(input())

    Each login URL serves once and for ten minutes; asking for another one makes the earlier void.
    """

    def __init__(
        self,
        client_id: str | None = None,
        redirect_uri: str | None = None,
        scopes: Iterable[str] | str | None = None,
        provider: Provider | None = None,
        client_secret: Secret | str | None = None,
    ) -> None:
        """Prepares a sign-in; nothing is sent.

        Args:
            client_id: the client; the provider's own for this package where it has one.
            redirect_uri: where the provider sends the browser; compared exactly, trailing slash included.
            scopes: what is asked for; `openid profile invoice.read` unless the provider is a preset with its own.
            provider: where to sign in; the sandbox on this machine where none is given.
            client_secret: for a confidential client.

        Raises:
            LoginError: if the client or the redirect URI is missing or not allowed, or `openid` is asked of a provider
                that gives no ID token.
            DiscoveryError: if no provider is given and the sandbox is not running.
        """
        self.provider = provider or Provider.named("sandbox")
        self.client_id = _needed(client_id or self.provider.client_id, "client_id_missing")
        self.redirect_uri = _needed(redirect_uri or self.provider.redirect_uri, "redirect_uri_missing")
        if not (is_allowed(self.redirect_uri) and not urlsplit(self.redirect_uri).fragment):
            raise LoginError("redirect_uri_not_allowed")
        asked = tuple(dict.fromkeys(scopes.split() if isinstance(scopes, str) else scopes or ()))
        if "openid" in asked and not self.provider.openid:
            raise LoginError("openid_not_offered", provider=self.provider.title)
        self.scopes = asked or self._default_scopes()
        secret = Secret(client_secret) if isinstance(client_secret, str) else client_secret
        if self.provider.client_authentication != "none" and not secret:
            raise LoginError("client_secret_missing", provider=self.provider.title)
        self.endpoint = TokenEndpoint(self.provider, self.client_id, secret)
        self.keys = IssuerKeys(self.provider.jwks_uri) if self.provider.jwks_uri else None
        self.tokens: TokenSet | None = None
        self._attempt: _Attempt | None = None
        self._lock = threading.Lock()

    def _default_scopes(self) -> tuple[str, ...]:
        usual = self.provider.scopes if self.provider.shipped else DEFAULT_SCOPES
        return tuple(scope for scope in usual if scope != "openid" or self.provider.openid)

    @shielded
    def get_login_url(self) -> str:
        """Gives a fresh authorization request (RFC 6749 section 4.1.1): new state, nonce and challenge each time."""
        attempt = _Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=new_code_verifier(),
            begun=time.monotonic(),
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
        if self._openid:
            parameters["nonce"] = attempt.nonce
        if "offline_access" in self.scopes:
            parameters["prompt"] = "consent"  # OpenID Connect Core section 11 demands it
        with self._lock:
            self._attempt = attempt
        endpoint = urlsplit(self.provider.authorization_endpoint)
        query = urlencode([*parse_qsl(endpoint.query), *parameters.items()])
        return endpoint._replace(query=query).geturl()

    @property
    def _openid(self) -> bool:
        return self.provider.openid and "openid" in self.scopes

    @property
    def open(self) -> bool:
        """Whether the last login URL can still be answered: it was not, and is younger than ten minutes."""
        attempt = self._attempt
        return attempt is not None and not attempt.used and time.monotonic() - attempt.begun <= ATTEMPT_SECONDS

    @shielded
    def handle_callback(self, callback_url: Secret | str) -> TokenSet:
        """Checks a callback URL and exchanges its code.

        The first callback that carries this attempt's state uses it up, whatever else is in it. One with another
        state is refused and leaves it open.

        Args:
            callback_url: as it was pasted or caught. A `Secret` stays one even in the traceback of an interrupt that
                comes before the first line of this method.

        Raises:
            CallbackError: if the URL is refused; nothing was sent.
            TokenEndpointError: if the token endpoint refuses the code.
            IdTokenError: if the ID token is not to be believed.
            LoginError: if the provider does not answer.
        """
        attempt, code = self._take(callback_url if isinstance(callback_url, Secret) else Secret(callback_url))
        answer = self.endpoint.exchange(code, attempt.verifier, self.redirect_uri)
        self.tokens = self._token_set(answer, attempt)
        return self.tokens

    def _take(self, callback_url: Secret) -> tuple[_Attempt, Secret]:
        """Reads the code and uses the attempt up, as one step, so that two callbacks cannot both have it."""
        with self._lock:
            attempt = self._attempt
            if attempt is None:
                raise CallbackError("no_login_url")
            expected = callback.Expected(
                redirect_uri=self.redirect_uri,
                authorization_endpoint=self.provider.authorization_endpoint,
                state=attempt.state,
                issuer=self.provider.issuer,
                iss_required=self.provider.iss_in_response,
            )
            refusal = None
            try:
                code = callback.read_callback(callback_url.reveal(), expected)
            except CallbackError as error:
                if not callback.ends_attempt(error):
                    raise
                refusal = error
            if attempt.used:
                raise CallbackError("callback_used")
            attempt.used = True
            if refusal:
                raise refusal
            if time.monotonic() - attempt.begun > ATTEMPT_SECONDS:
                raise CallbackError("attempt_expired", minutes=round(ATTEMPT_SECONDS / 60))
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
                ),
            )
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
