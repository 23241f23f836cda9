"""Hands out a valid access token and renews it; one renewal at a time, whoever asks (RFC 6749 section 6)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from lexoffice_nb.errors import InvalidGrant, LoginError, SignedOut, shielded
from lexoffice_nb.log import log
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.tokens import Secret, TokenSet

if TYPE_CHECKING:
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.token_endpoint import TokenAnswer, TokenEndpoint

# Renewed this long before the end, so that a request under way does not meet it; never more than a quarter of a life.
EARLY = timedelta(seconds=30)


@dataclass(frozen=True)
class _SignIn:
    """What renewal and log-out need of the sign-in that gave the tokens; an API key has neither."""

    endpoint: TokenEndpoint | None
    keys: IssuerKeys | None


class TokenSource:
    """The tokens of one session. Empty until a sign-in is adopted, and again after log-out."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tokens: TokenSet | None = None
        self._sign_in = _SignIn(None, None)
        self._why_empty = "signed_out_waiting"
        self._renew_at: datetime | None = None

    def adopt(self, attempt: LexofficeLogin) -> None:
        """Takes over the tokens of a finished sign-in.

        Raises:
            SignedOut: if the attempt has no tokens yet.
        """
        if attempt.tokens is None:
            raise SignedOut("signed_out_unfinished")
        with self._lock:
            self._keep(attempt.tokens)
            self._sign_in = _SignIn(attempt.endpoint, attempt.keys)
        log.debug("tokens: taken over from a sign-in, %s", "renewable" if self.renewable else "not renewable")

    def adopt_key(self, key: Secret) -> None:
        """Takes an API key as an access token that nobody renews."""
        with self._lock:
            self._keep(TokenSet(key))
            self._sign_in = _SignIn(None, None)
        log.debug("tokens: an API key taken, not renewable")

    def _keep(self, tokens: TokenSet) -> None:
        self._tokens, self._renew_at = tokens, None
        if tokens.expires_at is not None:
            life = tokens.expires_at - datetime.now(UTC)
            early = min(EARLY, life / 4) if tokens.refresh_token else timedelta(0)
            self._renew_at = tokens.expires_at - early

    @property
    def tokens(self) -> TokenSet:
        """The tokens as they are now.

        Raises:
            SignedOut: if there are none.
        """
        tokens = self._tokens
        if tokens is None:
            raise SignedOut(self._why_empty)
        return tokens

    @property
    def sign_in(self) -> _SignIn:
        """The endpoint (with its provider and client) and the keys of the sign-in that gave the tokens."""
        return self._sign_in

    @property
    def signed_in(self) -> bool:
        """Whether there are tokens."""
        return self._tokens is not None

    @property
    def renewable(self) -> bool:
        """Whether the next access token comes without the person."""
        return self._tokens is not None and self._tokens.refresh_token is not None

    def access_token(self) -> Secret:
        """Gives an access token that is good by this machine's clock, renewed if need be.

        Raises:
            SignedOut: if there is none, and none can be had without the person.
            LoginError: if the provider did not answer; stage `refresh`.
        """
        tokens = self.tokens
        renew_at = self._renew_at
        if renew_at is not None and renew_at <= datetime.now(UTC):
            log.debug("renewal: the access token ends soon, or has ended")
            return self.renew(tokens.access_token)
        return tokens.access_token

    @shielded
    def renew(self, rejected: Secret) -> Secret:
        """Gives an access token other than the rejected one; of many threads that ask, one renews.

        Raises:
            SignedOut: if the provider wants the person to sign in again.
            LoginError: if it did not answer; the old tokens are kept.
        """
        with self._lock:
            tokens = self.tokens
            if tokens.access_token != rejected:
                log.debug("renewal: another thread has renewed already")
                return tokens.access_token
            endpoint = self._sign_in.endpoint
            if endpoint is None or tokens.refresh_token is None:
                log.debug("renewal: there is no refresh token to do it with")
                self.clear("signed_out_expired")
                raise SignedOut("signed_out_expired")
            log.debug("renewal: begins")
            try:
                answer = endpoint.refresh(tokens.refresh_token)
            except InvalidGrant:
                answer = None
            except LoginError as error:
                log.debug("renewal: failed (%s), the tokens are kept", error.code)
                raise
            if answer is None:
                self.clear("signed_out_ended")
                raise SignedOut("signed_out_ended", stage="refresh")
            try:
                renewed = self._renewed(tokens, answer, endpoint)
            except LoginError as error:
                log.debug("renewal: its ID token is not to be believed (%s)", error.code)
                raise
            self._keep(renewed)
            log.debug("renewal: done, the refresh token %s", "is a new one" if answer.refresh_token else "stays")
            return renewed.access_token

    def _renewed(self, old: TokenSet, answer: TokenAnswer, endpoint: TokenEndpoint) -> TokenSet:
        # The rotated token is kept before anything can fail: the old one is used up (RFC 9700 section 4.14).
        refresh_token = answer.refresh_token or old.refresh_token
        self._tokens = TokenSet(old.access_token, old.expires_at, old.scope, refresh_token, old.id_token, old.claims)
        claims, id_token = old.claims, old.id_token
        if answer.id_token is not None and self._sign_in.keys is not None and old.id_token is not None:
            expected = ExpectedClaims(
                issuer=str(endpoint.provider.issuer),
                client_id=endpoint.client_id,
                nonce=str(old.claims.get("nonce")),
                access_token=answer.access_token,
                subject=str(old.claims.get("sub")),
                clock_ahead=answer.clock_ahead,
                auth_time=old.claims.get("auth_time"),
            )
            verified, id_token = verify_id_token(answer.id_token, self._sign_in.keys, expected), answer.id_token
            # What a refreshed ID token may leave out is kept, since the one after it may say it again.
            kept = {name: old.claims[name] for name in ("nonce", "auth_time") if name in old.claims}
            claims = MappingProxyType({**kept, **verified})
        return TokenSet(
            access_token=answer.access_token,
            expires_at=answer.expires_at,
            scope=old.scope if answer.scope is None else answer.scope,
            refresh_token=refresh_token,
            id_token=id_token,
            claims=claims,
        )

    def revoke(self) -> list[LoginError]:
        """Revokes the refresh token, then the access token, and forgets both; gives what went wrong.

        Some servers end both with the first, so a failure of the second is no news (RFC 7009 section 2.1).
        """
        with self._lock:
            tokens, endpoint = self._tokens, self._sign_in.endpoint
            self.clear("signed_out_logout")
            if tokens is None or endpoint is None:
                log.debug("log-out: nothing to revoke")
                return []
            failures: list[LoginError] = []
            if tokens.refresh_token is not None:
                failures += _attempt_revocation(endpoint, tokens.refresh_token, "refresh_token")
            second = _attempt_revocation(endpoint, tokens.access_token, "access_token")
            return failures or (second if tokens.refresh_token is None else [])

    def clear(self, why: str = "signed_out_logout") -> None:
        """Forgets everything; `why` is the code of the error that later uses meet."""
        with self._lock:
            if self._tokens is not None:
                log.debug("tokens: forgotten (%s)", why)
            self._tokens = None
            self._sign_in = _SignIn(None, None)
            self._why_empty = why


def _attempt_revocation(endpoint: TokenEndpoint, token: Secret, hint: str) -> list[LoginError]:
    try:
        endpoint.revoke(token, hint)
    except LoginError as error:
        log.debug("log-out: the %s is not revoked (%s)", hint, error.code)
        return [error]
    log.debug("log-out: the %s is revoked", hint)
    return []
