"""`LexofficeSession`: what the notebook gets. Joins the sign-in and the API."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.api.client import ApiSession
from lexoffice_nb.api.pacing import Pace
from lexoffice_nb.errors import (
    ApiError,
    BooksError,
    LexofficeError,
    LoginError,
    NotAllowed,
    SignedOut,
    StoreError,
    UserinfoError,
    shielded,
)
from lexoffice_nb.oauth.accounts import open_store, store_of, where_this_runs
from lexoffice_nb.oauth.id_token import IssuerKeys
from lexoffice_nb.oauth.token_endpoint import TokenEndpoint
from lexoffice_nb.oauth.token_source import SignIn, TokenSource
from lexoffice_nb.oauth.token_store import (
    DEFAULT_PROFILE,
    REMEMBERED,
    Account,
    AccountName,
    Binding,
    check_profile,
)
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.transport import Origin, is_allowed
from lexoffice_nb.oauth.userinfo import userinfo
from lexoffice_nb.receipt import Receipt, provider_title
from lexoffice_nb.texts import current_language, from_server
from lexoffice_nb.xray.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lexoffice_nb.books.books import Books
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.oauth.token_store import StoreName
    from lexoffice_nb.oauth.trace import Recorder

LONGEST_KEY = 4096
_sessions: weakref.WeakSet[LexofficeSession] = weakref.WeakSet()


@dataclass(frozen=True)
class SignedIn:
    """One account, ready to be used: its tokens, and what they are for."""

    source: TokenSource
    provider: Provider
    client_id: str | None
    account: Account
    asked: tuple[str, ...] = ()
    kind: str = "oauth"
    profile: str = DEFAULT_PROFILE
    recorder: Recorder | None = field(default=None, compare=False, repr=False)  # where it was signed in here

    @property
    def who(self) -> str:
        """Whose it is, in a word."""
        return self.account.company or self.account.person or self.provider.title

    @property
    def pace(self) -> Pace:
        """The pace of its requests: that of the organisation, whoever uses it, as far as it is known."""
        return pace_of(self.provider, self.account.organisation or self.account.subject or self.profile)


@dataclass(frozen=True)
class BooksReader:
    """One account as the books read it, whoever the session signs in later."""

    signed_in: SignedIn
    organisation: str
    session: ApiSession

    @classmethod
    def of(cls, signed_in: SignedIn, session: ApiSession) -> BooksReader:
        """Makes one; the API is asked whose account it is where that is not known yet.

        Raises:
            ApiError: if it does not answer.
            BooksError: `books_whose` if it does not say.
        """
        organisation = signed_in.account.organisation
        if not organisation:
            answer: Any = {}
            with suppress(NotAllowed):
                answer = session.read_briefly("/v1/profile")
            organisation = _account(answer, {}).organisation
        if not organisation:
            raise BooksError("books_whose")
        return cls(signed_in, organisation, session)

    @property
    def key(self) -> tuple[TokenSource, str]:
        """Equal for the same account by the same sign-in."""
        return self.signed_in.source, self.organisation

    @property
    def api_base(self) -> str:
        """The API's address."""
        return self.signed_in.provider.api_base

    @property
    def company(self) -> str:
        """What the organisation is called."""
        return self.signed_in.account.company

    @property
    def interval(self) -> float:
        """Seconds between two requests."""
        return self.signed_in.pace.interval

    def open(self) -> ApiSession:
        """Gives a session of its own, which goes the same way, for this one account."""
        own = ApiSession(self.signed_in.source, self.api_base, self.signed_in.pace)
        own.proxies, own.verify, own.cert = self.session.proxies, self.session.verify, self.session.cert
        return own


class LexofficeSession(ApiSession):
    """An authenticated session for one account.

        session = LexofficeSession.from_login(attempt)
        session.get("/v1/profile").json()

    Until the sign-in is done, and after log-out, every use raises `SignedOut`. Numbers in `.json()` are `Decimal`.
    """

    def __init__(self) -> None:
        super().__init__(TokenSource())
        self._signed_in: SignedIn | None = None
        self._beneath: list[SignedIn] = []  # while another one is used: see `using`
        self._borrower: int | None = None  # the thread that uses another account for a while
        _sessions.add(self)
        self._when_forgotten: Callable[[], None] = lambda: None
        self._books: dict[tuple[TokenSource, str], Books] = {}

    @classmethod
    def from_login(
        cls, attempt: LexofficeLogin, *, profile: str = DEFAULT_PROFILE, store: StoreName = "memory"
    ) -> LexofficeSession:
        """Makes the session over a finished sign-in.

        Args:
            attempt: the sign-in, after its `handle_callback`.
            profile: what to call the account, beside others at the same provider.
            store: where its tokens are kept: memory (this process only), file or keyring (30 days, for all notebooks).

        Raises:
            SignedOut: if the attempt's `handle_callback` has not given tokens yet.
            StoreError: if that is no name for a profile, or the tokens cannot be kept there.
        """
        session = cls()
        session.adopt(session.signed_in_by(attempt, profile))
        session.remember(store)
        return session

    @classmethod
    @shielded
    def from_api_key(
        cls,
        key: Secret | str,
        provider: Provider,
        *,
        profile: str = DEFAULT_PROFILE,
        store: StoreName = "memory",
    ) -> LexofficeSession:
        """Makes a session over an API key, after asking the API whether it is good.

        Args:
            key: the key.
            provider: whose API it is for.
            profile: what to call the account.
            store: where the key is kept, as in `from_login`.

        Raises:
            LoginError: `key_empty` or `key_malformed`; nothing was sent.
            Unauthorized: if the API does not know the key.
            ApiError: if it does not answer.
            StoreError: if that is no name for a profile, or the key cannot be kept there.
        """
        session = cls()
        given = key if isinstance(key, Secret) else Secret(key.strip())
        session.adopt(session.signed_in_by_key(given, provider, profile))
        session.remember(store)
        return session

    def signed_in_by(self, attempt: LexofficeLogin, profile: str = DEFAULT_PROFILE) -> SignedIn:
        """Gives the account of a finished sign-in, without using it yet.

        Raises:
            SignedOut: if there are no tokens yet.
            StoreError: if that is no name for a profile.
        """
        profile = check_profile(profile)
        source = TokenSource()
        source.adopt(attempt, AccountName.of(attempt.provider, profile))
        recorder = attempt.endpoint.recorder
        account = self._account_of(source, attempt.provider, recorder)
        source.describe(account)
        if recorder:
            recorder.finish()
        return SignedIn(
            source, attempt.provider, attempt.client_id, account, attempt.scopes, profile=profile, recorder=recorder
        )

    def signed_in_by_key(self, key: Secret, provider: Provider, profile: str = DEFAULT_PROFILE) -> SignedIn:
        """Gives the account of an API key, if the API says that it is good; without using it yet.

        Raises:
            LoginError: `key_empty` or `key_malformed`; nothing was sent.
            Unauthorized: if the API does not know the key.
            ApiError: if it does not answer.
            StoreError: if that is no name for a profile.
        """
        _check_form(key)
        profile = check_profile(profile)
        source = TokenSource()
        source.adopt_key(key, Binding.of(provider, ""), AccountName.of(provider, profile))
        answer: Any = {}
        with self._probe(source, provider) as probe:
            try:
                answer = probe.read_briefly("/v1/profile")
            except NotAllowed as error:
                # The API knows the key; it was made without the permission to read the profile.
                if error.status != 403:
                    raise
        account = _account(answer, {})
        source.describe(account)
        return SignedIn(source, provider, None, account, kind="key", profile=profile)

    def adopt(self, signed_in: SignedIn) -> None:
        """Uses an account from now on (what the card does with the session that it handed out)."""
        self._point_to(signed_in.source, signed_in.provider.api_base, signed_in.pace)
        self._signed_in = signed_in

    def remember(self, store: StoreName, *, replaces: bool = False) -> None:
        """Keeps the tokens where other notebooks of this user find them, for 30 days; nothing for `memory`.

        Raises:
            SignedOut: if nobody is signed in.
            StoreError: if they cannot be kept there; then they stay where they are.
        """
        signed_in = self._signed_in
        if signed_in is None or store in ("memory", self._source.store.kind):
            return
        name = AccountName.of(signed_in.provider, signed_in.profile)
        former = None
        with suppress(StoreError):  # what is damaged is replaced
            there = store_of(name)
            former = there.load() if there else None
        if former is not None and not replaces and self.account.is_another(former.who):
            raise StoreError("profile_taken", profile=signed_in.profile, who=former.who.company or former.who.person)
        self._source.move_to(open_store(store, name), name, datetime.now(UTC) + REMEMBERED)
        kept, endpoint = self._source.kept, self._source.sign_in.endpoint
        if former is None or kept is None or endpoint is None or former.kind != "oauth":
            return
        if former.family != kept.family and former.binding == kept.binding:
            _end(endpoint, former.tokens)  # nothing could reach them any more

    def shares_what_is_kept(self, other: LexofficeSession) -> bool:
        """Whether both have their tokens outside of this process, under one name: a log-out of one is both's."""
        mine, theirs = self._source, other._source
        if "memory" in (mine.store.kind, theirs.store.kind) or mine.kept is None or theirs.kept is None:
            return False
        return (mine.kept.name, mine.kept.binding) == (theirs.kept.name, theirs.kept.binding)

    def remembered(
        self, provider: Provider, client_id: str | None, client_secret: Secret | None, profile: str, where: str
    ) -> SignedIn | None:
        """Gives the account that is kept under a profile, without using it yet and without asking anybody.

        Args:
            provider: where it is signed in; what is kept must be of this very one.
            client_id: the client, as above.
            client_secret: to renew it with, for a confidential client.
            profile: what it is called.
            where: the notebook that wants to use it, for the list of uses without a click.

        Returns:
            The account, or None where none is kept, or its time is over.

        Raises:
            SignedOut: `signed_out_binding` if what is kept belongs to another client or address.
            StoreError: if it cannot be read.
        """
        profile = check_profile(profile)
        name = AccountName.of(provider, profile)
        store = store_of(name)
        kept = store.load() if store else None
        if store is None or kept is None:
            return None
        sign_in, binding = SignIn(), Binding.of(provider, "")
        client = client_id or provider.client_id
        if kept.kind == "oauth" and provider.client_authentication != "none" and client_secret is None:
            return None  # it could not be renewed
        if kept.kind == "oauth" and client:
            endpoint = TokenEndpoint(provider, client, client_secret, provider.resource)
            sign_in = SignIn(endpoint, IssuerKeys(provider.jwks_uri) if provider.jwks_uri else None)
            binding = Binding.of(provider, client)
        source = TokenSource(store)
        kept = source.adopt_kept(sign_in, binding, where)
        if kept is None:
            return None
        client = None if kept.kind == "key" else client
        return SignedIn(source, provider, client, kept.who, kept.asked, kept.kind, profile)

    @contextmanager
    def using(self, profile: str) -> Iterator[LexofficeSession]:
        """Uses another account of the same provider inside a `with`, and this one again afterwards.

            with lexoffice.using("kanzlei-b"):
                lexoffice.get("/v1/profile")

        The account is one that is remembered on this machine, or that another session of this process has. Meanwhile
        the session belongs to this thread: requests of any other are refused, since nobody could tell whose books they
        would read. Threads take sessions of their own: `lexoffice_nb.login("b", profile="kanzlei-b")`.

        Raises:
            SignedOut: `signed_out_profile` if nobody is signed in under that profile; `signed_out_binding`;
                `session_in_use` if another thread uses another account.
            StoreError: if that is no name for a profile, or what is kept of it cannot be read.
        """
        before = self._signed_in
        if before is None:
            raise SignedOut("signed_out_waiting")
        other = self._other(check_profile(profile), before)
        self._require_this_thread()
        self._beneath.append(before)
        borrower, self._borrower = self._borrower, threading.get_ident()
        try:
            self.adopt(other)
            yield self
        finally:
            self._beneath.pop()
            self.adopt(before)
            self._borrower = borrower

    def _require_this_thread(self) -> None:
        if self._borrower not in (None, threading.get_ident()):
            raise SignedOut("session_in_use", profile=self.profile_name)

    def _require_sign_in(self) -> None:
        self._require_this_thread()
        super()._require_sign_in()

    def _other(self, profile: str, mine: SignedIn) -> SignedIn:
        for session in tuple(_sessions):
            for other in filter(None, (session._signed_in, *session._beneath)):
                same = AccountName.of(other.provider, other.profile) == AccountName.of(mine.provider, profile)
                if same and other.provider.api_base == mine.provider.api_base and other.source.signed_in:
                    return other
        endpoint = mine.source.sign_in.endpoint
        secret = endpoint.client_secret if endpoint else None
        kept = self.remembered(mine.provider, mine.client_id, secret, profile, where_this_runs())
        if kept is None:
            raise SignedOut("signed_out_profile", profile=profile, provider=mine.provider.title)
        return kept

    def _probe(self, source: TokenSource, provider: Provider) -> ApiSession:
        probe = ApiSession(source, provider.api_base, pace_of(provider))  # whose account it is, nobody knows yet
        probe.proxies, probe.verify, probe.cert = self.proxies, self.verify, self.cert
        return probe

    def _account_of(self, source: TokenSource, provider: Provider, recorder: Recorder | None) -> Account:
        """Asks whose account it is: the API, then, if no name has come, userinfo. No sign-in fails because of it."""
        answer: Any = {}
        claims = source.tokens.claims
        asked = f"{provider.api_base}/v1/profile", source.tokens.access_token
        recorded = recorder.api_call("profile", *asked) if recorder else nullcontext()
        with suppress(ApiError, LoginError), self._probe(source, provider) as probe, recorded:
            answer = probe.read_briefly("/v1/profile")
        account = _account(answer, claims)
        if not account.person and claims:
            # With the code flow most providers give names and e-mail here only (OpenID Connect Core section 5.4).
            # A 401 renews nothing here: a renewal that is refused would end the sign-in that has just been made.
            with suppress(LoginError):
                claims = {**_userinfo(source, source.access_token()), **claims}
            account = _account(answer, claims)
        return account

    @property
    def whose(self) -> object:
        """As in `ApiSession`; a later sign-in to the same organisation reads the same books."""
        mine = self._signed_in
        who = (mine.account.organisation or mine.account.subject) if mine else None
        return (mine.provider.api_base, who) if mine and who else self._source

    @property
    def books(self) -> Books:
        """The local copy of the books of whoever is signed in, which answers without asking the API.

        Raises:
            SignedOut: if nobody is signed in.
            BooksError: `books_whose` if the API does not say whose account it is.
        """
        from lexoffice_nb.books.books import Books

        self._require_sign_in()
        assert self._signed_in is not None  # noqa: S101 - somebody is signed in
        reader = BooksReader.of(self._signed_in, self)
        if reader.key not in self._books:
            self._books[reader.key] = Books(reader)
        return self._books[reader.key]

    @property
    def provider(self) -> Provider | None:
        """Where somebody is, or was last, signed in."""
        return self._signed_in.provider if self._signed_in else None

    @property
    def account(self) -> Account:
        """Whose account it is; empty where nobody is signed in."""
        return self._signed_in.account if self._signed_in and self.signed_in else Account()

    @property
    def asked(self) -> tuple[str, ...]:
        """The scopes that were asked for."""
        return self._signed_in.asked if self._signed_in else ()

    @property
    def kind(self) -> str:
        """How: oauth, or key for an API key."""
        return self._signed_in.kind if self._signed_in else "oauth"

    @property
    def profile_name(self) -> str:
        """What the account is called, beside others at the same provider."""
        return self._signed_in.profile if self._signed_in else DEFAULT_PROFILE

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
        client_id = self._signed_in.client_id if self._signed_in else None
        if not endpoint or not client_id or not is_allowed(endpoint):
            return None
        ours = {"client_id": client_id, "ui_locales": current_language()}
        parts = urlsplit(endpoint)
        theirs = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in ours]
        return parts._replace(query=urlencode([*theirs, *ours.items()]), fragment="").geturl()

    def logout(self) -> list[LexofficeError]:
        """Revokes the refresh token, then the access token, and forgets everything, here and where it was kept.

        Other notebooks with the same account notice at their next request.

        Returns:
            What went wrong, at the provider or where the tokens were kept; the session forgets them in any case.
        """
        self._stop_books()
        try:
            return self._source.revoke()
        finally:
            self._forget_this_one()  # the account beneath, in `using`, is not what is meant

    def forget(self) -> None:
        """Forgets everything in this process without telling the provider; what is remembered stays for tomorrow."""
        for account in self._beneath:
            account.source.clear()
        self._forget_this_one()

    def _stop_books(self) -> None:
        for (source, _), books in tuple(self._books.items()):
            if source is self._source:
                books.stop()

    def _forget_this_one(self) -> None:
        self._stop_books()
        self._source.clear()
        self.close()
        self._when_forgotten()

    def when_forgotten(self, call: Callable[[], None]) -> None:
        """Has `call` called after the session was signed out: the card that signed it in must not go on saying so."""
        self._when_forgotten = call

    def receipt(self) -> Receipt:
        """Says what was signed in to, what was granted, and until when."""
        try:
            tokens = self._source.tokens
        except (SignedOut, StoreError):
            tokens = None
        kept = self._source.kept
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
            profile="" if self.profile_name == DEFAULT_PROFILE else self.profile_name,
            place=self._source.store.place(),
            remembered_until=kept.remembered_until if kept else None,
        )

    def trace(self) -> Trace:
        """The X-ray of this sign-in: each step that it took, as a diagram, a table and files; without any secret.

            lexoffice.trace()                        # a sequence diagram in a notebook, a table in a terminal
            lexoffice.trace().steps                  # `lexoffice_nb.oauth.trace.Step`s, in the order of time
            lexoffice.trace().to_html("login.html")  # one page that needs nothing else
            lexoffice.trace().to_har("login.har")    # for the network tools of browsers

        It is as of now, and there after the log-out as well: renewals and revocations that come later are in the next
        one. Secrets were replaced by what they are and how long they are when each step was recorded.

        Raises:
            SignedOut: `trace_none` if nobody signed in here: the account was remembered, or is one of an API key.
        """
        mine = self._signed_in
        if mine is None or mine.recorder is None:
            raise SignedOut("trace_none")
        title = provider_title(mine.provider.name, mine.provider.title, shipped=mine.provider.shipped)
        return Trace(
            steps=mine.recorder.steps(),
            provider=from_server(title, 60),
            who=mine.who,
            left_out=mine.recorder.left_out,
        )

    def __repr__(self) -> str:
        return self.receipt().line()

    def _repr_html_(self) -> str:
        return self.receipt().html()


def pace_of(provider: Provider, account: str = "") -> Pace:
    """Gives the pace of an account at a provider's API."""
    return Pace(f"{Origin.of(provider.api_base)} {account}".strip(), provider.request_interval)


def _end(endpoint: TokenEndpoint, tokens: TokenSet) -> None:
    with suppress(LoginError):
        if tokens.refresh_token is not None:
            endpoint.revoke(tokens.refresh_token, "refresh_token")
        endpoint.revoke(tokens.access_token, "access_token")


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
    subject, recorder = subject if isinstance(subject, str) else "", sign_in.endpoint.recorder
    return userinfo(provider, sign_in.keys, client_id, token, subject, recorder)


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
        organisation=first(profile.get("organizationId")),
        subject=first(claims.get("sub")),
    )
