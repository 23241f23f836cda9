"""Hands out a valid access token and renews it; one renewal at a time, whoever asks (RFC 6749 section 6).

A token is *fresh* at first. In the last quarter of its life, at most five minutes, it is *stale*: it is handed out
still, and renewed meanwhile, as long as somebody asks. Once it has *expired*, whoever asks waits for the renewal.
Renewals run in a thread of their own, so that an interrupt ends the waiting and never the renewal, whose answer would
be lost.

Where refresh tokens rotate, a second use of one ends the sign-in (RFC 9700 section 4.14.2). So over all threads and
processes one renews (`TokenStore.renewing`), and what is kept is read again under that lock. Before the request a mark
is kept: if no answer comes, the access token is used as long as it lives, and then the old refresh token is sent once
more.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import threading
import time
import weakref
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from lexoffice_nb.errors import InternalError, InvalidGrant, LexofficeError, LoginError, SignedOut, StoreError, shielded
from lexoffice_nb.log import log
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.token_store import Account, AccountName, Binding, Kept, MemoryStore
from lexoffice_nb.oauth.tokens import Secret, TokenSet

if TYPE_CHECKING:
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.token_endpoint import TokenAnswer, TokenEndpoint
    from lexoffice_nb.oauth.token_store import TokenStore

STALE = timedelta(minutes=5)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between renewals that fail; the second failure begins it
SLICE = 0.2  # of a wait, so that Ctrl-C is heard
# The server has said that it did not do anything, or could not: the refresh token is as good as before.
_NOT_DONE = frozenset({429, 503})


@dataclass(frozen=True)
class SignIn:
    """What renewal and log-out need of the sign-in that gave the tokens; an API key has neither."""

    endpoint: TokenEndpoint | None = None
    keys: IssuerKeys | None = None


class _Flight:
    """A renewal under way, and how it ended."""

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits  # for a renewal of another process; else that one is trusted to do it
        self.ended = threading.Event()
        self.error: LexofficeError | None = None


class TokenSource:
    """The tokens of one session. Empty until a sign-in is adopted, and again after log-out."""

    def __init__(self, store: TokenStore | None = None) -> None:
        self._store: TokenStore = store or MemoryStore()
        self._lock = threading.RLock()
        self._kept: Kept | None = None
        self._seen: object = None  # the store's stamp when `_kept` was read
        self._sign_in = SignIn()
        self._why_empty = "signed_out_waiting"
        self._flight: _Flight | None = None
        self._unsaved: Kept | None = None  # what came while the store could not keep it: the only copy
        self._failures = 0
        self._not_before = 0.0  # monotonic
        self._process = os.getpid()
        _sources.add(self)

    # --- whose tokens ---

    def adopt(
        self,
        attempt: LexofficeLogin,
        name: AccountName | None = None,
        remembered_until: datetime | None = None,
    ) -> None:
        """Takes over the tokens of a finished sign-in.

        Args:
            attempt: the sign-in.
            name: what the account is called, for a store that outlives this process.
            remembered_until: until when another notebook may use it without a click.

        Raises:
            SignedOut: if the attempt has no tokens yet.
            StoreError: if they cannot be kept where they should.
        """
        tokens = attempt.tokens
        if tokens is None:
            raise SignedOut("signed_out_unfinished")
        kept = Kept(
            name=name or AccountName(attempt.provider.name),
            binding=Binding.of(attempt.provider, attempt.client_id),
            kind="oauth",
            tokens=tokens,
            asked=attempt.scopes,
            stale_at=_stale_at(tokens),
            family=secrets.token_hex(8),
            remembered_until=remembered_until,
        )
        former = self._begin(kept, SignIn(attempt.endpoint, attempt.keys))
        log.debug("tokens: taken over from a sign-in, %s", "renewable" if self.renewable else "not renewable")
        if former is not None and former.kind == "oauth" and former.binding == kept.binding:
            _revoke(attempt.endpoint, former.tokens)  # nothing could reach them any more

    def adopt_key(
        self,
        key: Secret,
        binding: Binding | None = None,
        name: AccountName | None = None,
        remembered_until: datetime | None = None,
    ) -> None:
        """Takes an API key as an access token that nobody renews.

        Raises:
            StoreError: if it cannot be kept where it should.
        """
        kept = Kept(
            name=name or AccountName(""),
            binding=binding or Binding("", "", "", ""),
            kind="key",
            tokens=TokenSet(key),
            family=secrets.token_hex(8),
            remembered_until=remembered_until,
        )
        self._begin(kept, SignIn())
        log.debug("tokens: an API key taken, not renewable")

    def _begin(self, kept: Kept, sign_in: SignIn) -> Kept | None:
        """Keeps the tokens of a new sign-in; gives those that were kept under that name before."""
        with self._lock, self._store.changing():
            former = None
            with contextlib.suppress(StoreError):  # what is damaged is replaced, since the person has signed in anew
                former = self._store.load()
            self._store.save(kept)
            self._show(kept, self._store.stamp())
            self._sign_in = sign_in
        return former

    def adopt_kept(self, sign_in: SignIn, binding: Binding, where: str) -> Kept | None:
        """Takes over what the store keeps, if it is of this very client and its time is not over.

        Args:
            sign_in: what to renew it with.
            binding: what it has to belong to.
            where: the notebook, for the list of uses without a click.

        Returns:
            What was adopted, or None where there is nothing to adopt.

        Raises:
            SignedOut: `signed_out_binding` if what is kept belongs to another client or place; nothing was sent.
            StoreError: if it is there and cannot be used.
        """
        with self._lock, self._store.changing():
            kept = self._store.load()
            if kept is None:
                return None
            if kept.binding != binding:
                raise SignedOut("signed_out_binding")
            if kept.forgotten:
                self._store.delete()
                return None
            kept = kept.adopted_by(where)
            self._store.save(kept)
            self._show(kept, self._store.stamp())
            self._sign_in = sign_in
        log.debug("tokens: those that were kept are used")
        return kept

    def describe(self, who: Account) -> None:
        """Keeps with the tokens whose account it is.

        Raises:
            StoreError: if it cannot be kept.
        """
        with self._lock, self._store.changing():
            kept = self._store.load()
            if kept is not None and self._is_ours(kept):
                kept = replace(kept, who=who)
                self._store.save(kept)
                self._show(kept, self._store.stamp())

    def move_to(self, store: TokenStore, name: AccountName, remembered_until: datetime | None) -> None:
        """Keeps the tokens in another store from now on.

        Raises:
            StoreError: if that one cannot keep them; then they stay where they are.
        """
        # A renewal under way holds the right to renew in the old store, which says nothing to those of the new one.
        ends = time.monotonic() + LONGEST_PAUSE
        while (flight := self._flight) is not None and time.monotonic() < ends:
            flight.ended.wait(SLICE)
        with self._lock:
            kept = self._current()
            moved = replace(kept, name=name, remembered_until=remembered_until)
            with store.changing():
                store.save(moved)
                before, self._store = self._store, store
                self._show(moved, store.stamp())
            with before.changing():
                before.delete()

    @property
    def store(self) -> TokenStore:
        """Where the tokens are kept."""
        return self._store

    @property
    def kept(self) -> Kept | None:
        """What is kept, as it was read last; None where there is nothing."""
        return self._kept

    @property
    def tokens(self) -> TokenSet:
        """The tokens as they are now.

        Raises:
            SignedOut: if there are none.
            StoreError: if they are kept in a store that cannot be read any more.
        """
        return self._current().tokens

    @property
    def sign_in(self) -> SignIn:
        """The endpoint (with its provider and client) and the keys of the sign-in that gave the tokens."""
        return self._sign_in

    @property
    def signed_in(self) -> bool:
        """Whether there are tokens, as far as this process knows."""
        return self._kept is not None

    @property
    def confidential(self) -> bool:
        """Whether they are those of a client that has a secret (RFC 6749 section 2.1), as partners' clients have."""
        endpoint = self.sign_in.endpoint
        return endpoint is not None and endpoint.client_secret is not None

    @property
    def renewable(self) -> bool:
        """Whether the next access token comes without the person."""
        kept = self._kept
        return kept is not None and kept.tokens.refresh_token is not None and self._sign_in.endpoint is not None

    def _current(self) -> Kept:
        """Gives what is kept, read again if somebody has changed it: another process, most of the time."""
        kept = self._kept
        if kept is not None and self._store.stamp() != self._seen:
            with self._lock:
                kept = self._look()
        if kept is None:
            raise SignedOut(self._why_empty)
        return kept

    def _look(self) -> Kept | None:
        """Reads the store. What is not this sign-in's any more, or not there, ends it here as well."""
        if self._kept is None:
            return None  # it is known why
        stamp = self._store.stamp()
        kept = self._store.load()
        if kept is None:
            self._empty("signed_out_elsewhere")
        elif not self._is_ours(kept):
            self._empty("signed_out_other")
        else:
            self._show(kept, stamp)
        return self._kept

    def _is_ours(self, kept: Kept) -> bool:
        """Whether it is the account of this session: the same sign-in, or a later one of the same person."""
        mine = self._kept
        if mine is None or kept.binding != mine.binding:
            return False
        return kept.family == mine.family or kept.who == mine.who != Account()

    def _show(self, kept: Kept, stamp: object) -> None:
        self._kept, self._seen = kept, stamp

    def _empty(self, why: str) -> None:
        if self._kept is not None:
            log.debug("tokens: forgotten (%s)", why)
        self._kept, self._sign_in, self._why_empty, self._unsaved = None, SignIn(), why, None

    # --- a valid access token ---

    def access_token(self) -> Secret:
        """Gives an access token that is good by this machine's clock, renewed if need be.

        Raises:
            SignedOut: if there is none, and none can be had without the person.
            LoginError: if the provider did not answer; stage `refresh`.
            StoreError: if the tokens are kept in a store that cannot be used any more.
        """
        kept = self._current()
        now = datetime.now(UTC)  # the wall clock: it goes on while a laptop sleeps
        if kept.tokens.expires_at is not None and kept.tokens.expires_at <= now:
            log.debug("renewal: the access token has ended")
            return self.renew(kept.tokens.access_token)
        if kept.stale_at is not None and kept.stale_at <= now and self._sign_in.endpoint is not None:
            self._renew_meanwhile(kept)
        return kept.tokens.access_token

    @shielded
    def renew(self, rejected: Secret) -> Secret:
        """Gives an access token other than the rejected one; of all threads and processes that ask, one renews.

        Raises:
            SignedOut: if the provider wants the person to sign in again.
            LoginError: if it did not answer; the old tokens are kept.
            StoreError: if the tokens are kept in a store that cannot be used any more.
        """
        for _ in range(3):
            token = self._current().tokens.access_token
            if token != rejected:
                return token
            self._wait_for_the_pause()
            flight = self._fly(rejected, waits=True)
            while not flight.ended.wait(SLICE):
                pass
            # One that began in the background may have left the work to another process, which failed.
            if flight.error is not None and (flight.waits or not isinstance(flight.error, _LeftToAnotherError)):
                raise _copy(flight.error)
        return self._current().tokens.access_token

    def _renew_meanwhile(self, kept: Kept) -> None:
        """Has the token renewed without making anybody wait, unless that has just failed or is uncertain."""
        if kept.renewing_since is None and self._flight is None and time.monotonic() >= self._not_before:
            log.debug("renewal: the access token ends soon")
            with contextlib.suppress(RuntimeError):  # no thread to be had; this token is good still
                self._fly(kept.tokens.access_token, waits=False)

    def _wait_for_the_pause(self) -> None:
        """Waits after repeated failures, so that a server in trouble is left alone; never longer than a second.

        Raises:
            LoginError: if the pause is longer: the last failure again, without asking.
        """
        left = self._not_before - time.monotonic()
        if left > FIRST_PAUSE and self._last_error is not None:
            raise _copy(self._last_error)
        while (left := self._not_before - time.monotonic()) > 0 and self._flight is None:
            time.sleep(min(left, SLICE))

    _last_error: LoginError | None = None

    def _fly(self, rejected: Secret, *, waits: bool) -> _Flight:
        """Joins the renewal under way, or begins one."""
        with self._lock:
            if self._flight is not None:
                return self._flight
            flight = _Flight(waits=waits)
            threading.Thread(
                target=self._renew_in_thread, args=(flight, rejected), name="lexoffice-nb renewal", daemon=True
            ).start()
            self._flight = flight  # not before: if no thread can be had, nobody would ever end it
            return flight

    def _renew_in_thread(self, flight: _Flight, rejected: Secret) -> None:
        try:
            with self._store.renewing(wait=flight.waits) as held:
                if not held:
                    raise _LeftToAnotherError("renewal_elsewhere", stage="refresh")
                self._renew_alone(rejected)
            self._failures, self._not_before, self._last_error = 0, 0.0, None
        except LexofficeError as error:
            flight.error = error
            self._note_failure(error)
        except Exception as error:  # noqa: BLE001 - in a thread nobody would see it, and it would be printed
            where = str(error) if isinstance(error, InternalError) else type(error).__name__
            flight.error = LoginError("internal", stage="refresh", where=where)
            self._note_failure(flight.error)
        finally:
            with self._lock:
                if self._flight is flight:
                    self._flight = None
            flight.ended.set()

    def _note_failure(self, error: LexofficeError) -> None:
        if isinstance(error, (SignedOut, StoreError, _LeftToAnotherError)) or not isinstance(error, LoginError):
            return
        log.debug("renewal: failed (%s), the tokens are kept", error.code)
        self._failures += 1
        self._last_error = error
        # The first failure may be repeated at once: most are over by then.
        pause = 0.0 if self._failures == 1 else FIRST_PAUSE * 2.0 ** min(self._failures - 2, 6)
        self._not_before = time.monotonic() + min(pause, LONGEST_PAUSE)

    @shielded
    def _renew_alone(self, rejected: Secret) -> None:
        """Renews, as the only one. What is kept is read again first: somebody may have done it meanwhile."""
        with self._lock:
            kept = self._look()
            endpoint = self._sign_in.endpoint
        if kept is None:
            raise SignedOut(self._why_empty)
        if kept.tokens.access_token != rejected:
            log.debug("renewal: somebody else has renewed already")
            return
        late = self._unsaved
        if late is not None and (late.family, late.generation) == (kept.family, kept.generation + 1):
            if self._replace(kept, late):
                log.debug("renewal: what could not be kept at first is kept now")
            self._unsaved = None
            return
        refresh_token = kept.tokens.refresh_token
        if endpoint is None or refresh_token is None:
            log.debug("renewal: there is no refresh token to do it with")
            self._end(kept, "signed_out_expired")
        elif isinstance(self._store, MemoryStore) and self._store.process != os.getpid():
            # The parent has the same refresh token: of two uses, the second would end the sign-in for both.
            raise SignedOut("signed_out_forked")
        else:
            self._ask(kept, endpoint, refresh_token)

    def _ask(self, kept: Kept, endpoint: TokenEndpoint, refresh_token: Secret) -> None:
        uncertain = kept.renewing_since is not None
        marked = replace(kept, renewing_since=kept.renewing_since or datetime.now(UTC))
        if not self._replace(kept, marked):
            self._superseded()
            return
        log.debug("renewal: begins%s", ", once more, since the answer to the last one never came" if uncertain else "")
        try:
            answer = endpoint.refresh(refresh_token)
        except InvalidGrant:
            answer = None
        except LoginError as error:
            if _not_done(error) and not uncertain:
                self._replace(marked, kept)
            raise
        if answer is None:
            self._refused(marked, uncertain=uncertain)
            return
        self._take(marked, answer, endpoint)

    def _refused(self, marked: Kept, *, uncertain: bool) -> None:
        """Ends the sign-in, unless a sibling that shares no lock with us has kept newer tokens meanwhile."""
        with self._lock:
            kept = self._look()
        if kept is None or (kept.family, kept.generation) != (marked.family, marked.generation):
            self._superseded()
            return
        self._end(marked, "signed_out_rotation" if uncertain else "signed_out_ended")

    def _superseded(self) -> None:
        """Ends a renewal whose tokens are not the kept ones any more: newer ones are used, a log-out is told."""
        if self._kept is None:
            raise SignedOut(self._why_empty, stage="refresh")
        log.debug("renewal: somebody else has newer tokens, which are used")

    def _end(self, kept: Kept, why: str) -> None:
        with self._lock, self._store.changing():
            stored = self._store.load()
            if stored is not None and (stored.family, stored.generation) == (kept.family, kept.generation):
                self._store.delete()
            self._empty(why)
        raise SignedOut(why, stage="refresh")

    def _take(self, marked: Kept, answer: TokenAnswer, endpoint: TokenEndpoint) -> None:
        """Keeps what came before anybody gets it; the old refresh token is used up (RFC 9700 section 4.14)."""
        problem = None
        if answer.refresh_token is not None and answer.id_token is not None:
            # Believing an ID token may take a request for keys, and a crash meanwhile must not lose this one.
            secured = replace(
                marked,
                tokens=replace(marked.tokens, refresh_token=answer.refresh_token),
                generation=marked.generation + 1,
                renewing_since=None,
            )
            with contextlib.suppress(StoreError):  # it is said below, where everything is to be kept
                marked = secured if self._replace(marked, secured) else marked
        try:
            tokens = self._renewed(marked.tokens, answer, endpoint)
        except (LoginError, InternalError) as error:
            problem = error
            log.debug("renewal: its ID token is not to be believed (%s)", getattr(error, "code", "internal"))
            tokens = replace(marked.tokens, refresh_token=answer.refresh_token or marked.tokens.refresh_token)
        newer = replace(
            marked,
            tokens=tokens,
            stale_at=marked.stale_at if problem else _stale_at(tokens),
            generation=marked.generation + 1,
            renewing_since=None,
        )
        try:
            replaced = self._replace(marked, newer)
        except StoreError:
            if self._kept is None:  # signed out meanwhile: nothing is to be kept, and nothing left behind
                _revoke(endpoint, tokens)
            else:
                self._unsaved = newer
            raise
        if not replaced:
            # Signed out, or in anew, while the provider was asked: nothing is kept, nor left behind.
            log.debug("renewal: came too late; its tokens are revoked")
            _revoke(endpoint, tokens)
            self._superseded()
            return
        if problem:
            raise problem
        log.debug("renewal: done, the refresh token %s", "is a new one" if answer.refresh_token else "stays")

    def _replace(self, old: Kept, new: Kept) -> bool:
        """Replaces what is kept, if it still is the old one; else somebody has signed out, or in anew."""
        with self._lock, self._store.changing():
            stored = self._store.load()
            if stored is None or (stored.family, stored.generation) != (old.family, old.generation):
                self._look()
                return False
            # What others may have changed meanwhile: a description, a use elsewhere, another name.
            others = {key: getattr(stored, key) for key in ("name", "remembered_until", "who", "adoptions")}
            self._store.save(replace(new, **others))
            self._look()
            return True

    def _renewed(self, old: TokenSet, answer: TokenAnswer, endpoint: TokenEndpoint) -> TokenSet:
        claims, id_token = old.claims, old.id_token
        keys = self._sign_in.keys
        if answer.id_token is not None and keys is not None and old.id_token is not None:
            expected = ExpectedClaims(
                issuer=str(endpoint.provider.issuer),
                client_id=endpoint.client_id,
                nonce=str(old.claims.get("nonce")),
                access_token=answer.access_token,
                subject=str(old.claims.get("sub")),
                clock_ahead=answer.clock_ahead,
                auth_time=old.claims.get("auth_time"),
            )
            verified, id_token = verify_id_token(answer.id_token, keys, expected), answer.id_token
            # What a refreshed ID token may leave out is kept, since the one after it may say it again.
            kept = {name: old.claims[name] for name in ("nonce", "auth_time") if name in old.claims}
            claims = MappingProxyType({**kept, **verified})
        return TokenSet(
            access_token=answer.access_token,
            expires_at=answer.expires_at,
            scope=old.scope if answer.scope is None else answer.scope,
            refresh_token=answer.refresh_token or old.refresh_token,
            id_token=id_token,
            claims=claims,
        )

    # --- the end ---

    def revoke(self) -> list[LexofficeError]:
        """Forgets the tokens here and in the store, and revokes the refresh token, then the access token.

        Some servers end both with the first, so a failure of the second is no news (RFC 7009 section 2.1).

        Returns:
            What went wrong: at the provider, or where the tokens were kept.
        """
        endpoint, failures = self._sign_in.endpoint, []
        with self._lock:
            kept = self._kept
            try:
                with self._store.changing():
                    stored = self._store.load()
                    if stored is not None and self._is_ours(stored):
                        kept = stored
                        late = self._unsaved
                        if late is not None and (late.family, late.generation) == (kept.family, kept.generation + 1):
                            kept = late
                        self._store.delete()
            except StoreError as error:
                failures.append(error)
            self._empty("signed_out_logout")
        if kept is None or endpoint is None:
            log.debug("log-out: nothing to revoke")
            return [*failures]
        return [*failures, *_revoke(endpoint, kept.tokens)]

    def clear(self, why: str = "signed_out_logout") -> None:
        """Forgets everything in this process; what a store keeps for tomorrow stays. `why` is what later uses meet."""
        with self._lock:
            if isinstance(self._store, MemoryStore):
                self._store.delete()
            self._empty(why)

    # --- processes ---

    def _after_fork(self) -> None:
        """Makes the child's own locks: another thread may have held these, and threads are not forked."""
        self._lock, self._flight, self._process = threading.RLock(), None, os.getpid()
        if isinstance(self._store, MemoryStore):
            self._store.after_fork()

    def _settle(self) -> None:
        flight = self._flight
        if flight is not None and self._process == os.getpid():
            flight.ended.wait(LONGEST_PAUSE)


class _LeftToAnotherError(LoginError):
    """Another process renews at this moment."""


def _stale_at(tokens: TokenSet) -> datetime | None:
    if tokens.expires_at is None or tokens.refresh_token is None:
        return None
    return tokens.expires_at - min(STALE, (tokens.expires_at - datetime.now(UTC)) / 4)


def _not_done(error: LoginError) -> bool:
    """Whether it is certain that the refresh token was not used: not sent, or refused for another reason."""
    status = error.values.get("status")
    if isinstance(status, int):
        return status in _NOT_DONE or 400 <= status < 500
    return not error.sent


def _copy(error: LexofficeError) -> LexofficeError:
    """A fresh one for each thread that waited: raised twice, an error would collect the frames of both."""
    fresh = type(error)(error.code, **error.values)
    fresh.__dict__.update(error.__dict__)
    return fresh


def _revoke(endpoint: TokenEndpoint, tokens: TokenSet) -> list[LoginError]:
    failures: list[LoginError] = []
    if tokens.refresh_token is not None:
        failures += _attempt_revocation(endpoint, tokens.refresh_token, "refresh_token")
    second = _attempt_revocation(endpoint, tokens.access_token, "access_token")
    return failures or (second if tokens.refresh_token is None else [])


def _attempt_revocation(endpoint: TokenEndpoint, token: Secret, hint: str) -> list[LoginError]:
    try:
        endpoint.revoke(token, hint)
    except LoginError as error:
        log.debug("log-out: the %s was not revoked (%s)", hint, error.code)
        return [error]
    log.debug("log-out: the %s is revoked", hint)
    return []


_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


@atexit.register
def _finish_what_was_begun() -> None:
    """Lets a renewal under way end before the process does: the answer would be lost, and the sign-in with it."""
    for source in tuple(_sources):
        source._settle()


def _begin_anew_in_a_child() -> None:
    for source in tuple(_sources):
        source._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_in_a_child)
