"""`LexofficeSession`: what the notebook gets. Joins the sign-in and the API."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.api.client import ApiSession
from lexoffice_nb.errors import ApiError, LoginError, NotAllowed, SignedOut, UserinfoError, shielded
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.transport import Origin, is_allowed
from lexoffice_nb.oauth.userinfo import userinfo
from lexoffice_nb.receipt import Receipt
from lexoffice_nb.texts import current_language, from_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.provider import Provider

LONGEST_KEY = 4096


@dataclass(frozen=True)
class Account:
    """Who is signed in, as far as the provider says. Text from outside, made harmless."""

    company: str = ""
    person: str = ""
    email: str = ""


class LexofficeSession(ApiSession):
    """An authenticated session for one account.

        session = LexofficeSession.from_login(attempt)
        session.get("/v1/profile").json()

    Until the sign-in is done, and after log-out, every use raises `SignedOut`. Numbers in `.json()` are `Decimal`.
    """

    def __init__(self) -> None:
        super().__init__(TokenSource())
        self.provider: Provider | None = None
        self.account = Account()
        self.asked: tuple[str, ...] = ()
        self.kind = "oauth"
        self._client_id: str | None = None
        self._when_forgotten: Callable[[], None] = lambda: None

    @classmethod
    def from_login(cls, attempt: LexofficeLogin) -> LexofficeSession:
        """Makes the session over a finished sign-in.

        Raises:
            SignedOut: if the attempt's `handle_callback` has not given tokens yet.
        """
        session = cls()
        session.adopt_login(attempt)
        return session

    @classmethod
    @shielded
    def from_api_key(cls, key: Secret | str, provider: Provider) -> LexofficeSession:
        """Makes a session over an API key, after asking the API whether it is good.

        Raises:
            LoginError: `key_empty` or `key_malformed`; nothing was sent.
            Unauthorized: if the API does not know the key.
            ApiError: if it does not answer.
        """
        session = cls()
        session.adopt_key(key if isinstance(key, Secret) else Secret(key.strip()), provider)
        return session

    def adopt_login(self, attempt: LexofficeLogin) -> None:
        """Takes over the tokens of a finished sign-in (what the card does with the session that it handed out)."""
        source = TokenSource()
        source.adopt(attempt)
        self._point_to(source, attempt.provider.api_base)
        self.provider, self.asked, self.kind = attempt.provider, attempt.scopes, "oauth"
        self._client_id = attempt.client_id
        self._identify()

    def adopt_key(self, key: Secret, provider: Provider) -> None:
        """Takes an API key, if the API says that it is good; else nothing changes.

        Raises:
            LoginError: `key_empty` or `key_malformed`; nothing was sent.
            Unauthorized: if the API does not know the key.
            ApiError: if it does not answer.
        """
        _check_form(key)
        source = TokenSource()
        source.adopt_key(key)
        probe = ApiSession(source, provider.api_base)
        probe.proxies, probe.verify, probe.cert = self.proxies, self.verify, self.cert
        profile: Any = {}
        with probe:
            try:
                profile = probe.read_briefly("/v1/profile")
            except NotAllowed as error:
                # The API knows the key; it was made without the permission to read the profile.
                if error.status != 403:
                    raise
        self._point_to(source, provider.api_base)
        self.provider, self.asked, self.kind = provider, (), "key"
        self._client_id = None
        self.account = _account(profile, {})

    def _identify(self) -> None:
        """Asks whose account it is: the API, then, if no name has come, userinfo. No sign-in fails because of it."""
        profile: Any = {}
        claims = self.tokens.claims
        with suppress(ApiError, LoginError):
            profile = self.read_briefly("/v1/profile")
        self.account = _account(profile, claims)
        if not self.account.person and claims:
            # With the code flow most providers give names and e-mail here only (OpenID Connect Core section 5.4).
            # A 401 renews nothing here: a renewal that is refused would end the sign-in that has just been made.
            with suppress(LoginError):
                claims = {**_userinfo(self._source, self._source.access_token()), **claims}
            self.account = _account(profile, claims)

    @property
    def tokens(self) -> TokenSet:
        """The tokens as they are now.

        Raises:
            SignedOut: if nobody is signed in.
        """
        return self._source.tokens

    @property
    def signed_in(self) -> bool:
        """Whether somebody is signed in."""
        return self._source.signed_in

    async def ready(self) -> LexofficeSession:
        """Waits, in a cell (`await lexoffice.ready()`), until the sign-in is done; gives the session.

        It works where the kernel handles messages inside an `await` (ipykernel 7) or the callback is caught.

        Raises:
            SignedOut: if the session was signed out meanwhile.
        """
        while True:
            try:
                self._source.tokens  # noqa: B018 - it says why there are none
            except SignedOut as error:
                if error.code != "signed_out_waiting":
                    raise
            else:
                return self
            await asyncio.sleep(0.1)

    @shielded
    def userinfo(self) -> Mapping[str, Any]:
        """Asks the provider who is signed in (OpenID Connect Core section 5.3); one renewal on a 401.

        Raises:
            SignedOut: if nobody is signed in.
            UserinfoError: if there is no such endpoint, or its answer is not to be believed.
            LoginError: if the provider does not answer.
        """
        source = self._source
        token = source.access_token()
        try:
            return _userinfo(source, token)
        except UserinfoError as error:
            if error.values.get("status") != 401 or not source.renewable:
                raise
        return _userinfo(source, source.renew(token))

    @property
    def end_session_url(self) -> str | None:
        """Where the person signs out of the provider itself (OpenID Connect RP-Initiated Logout 1.0 section 2).

        For a person to open, before or after `logout()`; None where the provider has no such page, or for an API key.
        It never carries an `id_token_hint`: that is a token, and a URL is seen by many. So the page may ask whether
        it is meant.
        """
        endpoint = self.provider.end_session_endpoint if self.provider else None
        if not endpoint or not self._client_id or not is_allowed(endpoint):
            return None
        ours = {"client_id": self._client_id, "ui_locales": current_language()}
        parts = urlsplit(endpoint)
        theirs = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in ours]
        return parts._replace(query=urlencode([*theirs, *ours.items()]), fragment="").geturl()

    def logout(self) -> list[LoginError]:
        """Revokes the refresh token, then the access token, and forgets everything.

        Returns:
            What went wrong at the provider; the session forgets its tokens in any case.
        """
        try:
            return self._source.revoke()
        finally:
            self.forget()

    def forget(self) -> None:
        """Forgets everything without telling the provider."""
        self._source.clear()
        self.account = Account()
        self.close()
        self._when_forgotten()

    def when_forgotten(self, call: Callable[[], None]) -> None:
        """Has `call` called after the session was signed out: the card that signed it in must not go on saying so."""
        self._when_forgotten = call

    def receipt(self) -> Receipt:
        """Says what was signed in to, what was granted, and until when."""
        try:
            tokens = self._source.tokens
        except SignedOut:
            tokens = None
        return Receipt(
            signed_in=tokens is not None,
            provider=self.provider.title if self.provider else "",
            provider_name=self.provider.name if self.provider else "",
            host=_host(self.provider),
            company=self.account.company,
            person=self.account.person,
            email=self.account.email,
            asked=self.asked,
            granted=tokens.scope if tokens else (),
            expires_at=tokens.expires_at if tokens else None,
            renewable=self._source.renewable,
            kind=self.kind,
            source=self.provider.source if self.provider else "notebook",
        )

    def __repr__(self) -> str:
        return self.receipt().line()

    def _repr_html_(self) -> str:
        return self.receipt().html()


def _host(provider: Provider | None) -> str:
    if provider is None:
        return ""
    return str(Origin.of(provider.api_base)).split("://", 1)[-1]


def _userinfo(source: TokenSource, token: Secret) -> Mapping[str, Any]:
    """Asks where the token came from, whoever else the session has signed in meanwhile."""
    sign_in, subject = source.sign_in, source.tokens.claims.get("sub")
    if sign_in.endpoint is None:
        raise UserinfoError("userinfo_none")
    provider, client_id = sign_in.endpoint.provider, sign_in.endpoint.client_id
    return userinfo(provider, sign_in.keys, client_id, token, subject if isinstance(subject, str) else "")


def _check_form(key: Secret) -> None:
    plain = key.reveal()
    if not plain:
        raise LoginError("key_empty", stage="token")
    # More of its shape is the vendor's own affair (RFC 6750 section 2.1).
    if not plain.isascii() or not plain.isprintable() or " " in plain or len(plain) > LONGEST_KEY:
        raise LoginError("key_malformed", stage="token")


def _account(answer: Any, claims: Mapping[str, Any]) -> Account:
    profile: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    created = profile.get("created")
    by = created if isinstance(created, dict) else {}

    def first(*values: object) -> str:
        return next((from_server(v, 120) for v in values if isinstance(v, str) and v.strip()), "")

    return Account(
        company=first(profile.get("companyName"), claims.get("organization"), claims.get("org_name")),
        person=first(claims.get("name"), by.get("userName"), claims.get("preferred_username")),
        email=first(claims.get("email"), by.get("userEmail")),
    )
