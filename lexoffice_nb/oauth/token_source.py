"""Hands out a valid access token and renews it; one renewal at a time, whoever asks (RFC 6749 section 6)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lexoffice_nb.errors import InvalidGrant, LoginError, SignedOut, shielded
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

    def adopt_key(self, key: Secret) -> None:
        """Takes an API key as an access token that nobody renews."""
        with self._lock:
            self._keep(TokenSet(key))
            self._sign_in = _SignIn(None, None)

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
                return tokens.access_token
            endpoint = self._sign_in.endpoint
            if endpoint is None or tokens.refresh_token is None:
                self.clear("signed_out_expired")
                raise SignedOut("signed_out_expired")
            try:
                answer = endpoint.refresh(tokens.refresh_token)
            except InvalidGrant:
                answer = None
            if answer is None:
                self.clear("signed_out_ended")
                raise SignedOut("signed_out_ended", stage="refresh")
            renewed = self._renewed(tokens, answer, endpoint)
            self._keep(renewed)
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
            )
            claims, id_token = verify_id_token(answer.id_token, self._sign_in.keys, expected), answer.id_token
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
                return []
            failures: list[LoginError] = []
            if tokens.refresh_token is not None:
                failures += _attempt_revocation(endpoint, tokens.refresh_token, "refresh_token")
            second = _attempt_revocation(endpoint, tokens.access_token, "access_token")
            return failures or (second if tokens.refresh_token is None else [])

    def clear(self, why: str = "signed_out_logout") -> None:
        """Forgets everything; `why` is the code of the error that later uses meet."""
        with self._lock:
            self._tokens = None
            self._sign_in = _SignIn(None, None)
            self._why_empty = why


def _attempt_revocation(endpoint: TokenEndpoint, token: Secret, hint: str) -> list[LoginError]:
    try:
        endpoint.revoke(token, hint)
    except LoginError as error:
        return [error]
    return []
