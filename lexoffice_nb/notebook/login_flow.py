"""`LoginFlow`: the one state machine of a sign-in. The card, the terminal and the scripts without a person observe it.

ready -> waiting -> exchanging -> signed_in | failed. From `failed` it goes on with a fresh link, or with `again()`.
Nothing here waits in the main thread for a front end: the provider is asked in threads of its own, which print nothing.

Two locks. `_working` is held as long as one thing is done: a preparation, an answer, the end of a link; so of two
callbacks one is exchanged, and a port is given back before it is wanted again. `_changing` is held for the moment of a
change, never while the provider is asked: `close()` needs only this one and does not wait for anybody.

What a waiting flow waits for is in `asks`: the callback of its link, a key, or, before there can be a link, a client
secret, the word that an unverified host is meant, or what to do about a redirect port that somebody else holds.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from traitlets import Bool, Enum, HasTraits, Instance, Int, Unicode

from lexoffice_nb.errors import (
    CallbackError,
    IdTokenError,
    LexofficeError,
    LoginError,
    StateMismatch,
    StoreError,
    Unauthorized,
    shielded,
)
from lexoffice_nb.log import log
from lexoffice_nb.notebook import callback_catcher
from lexoffice_nb.notebook.callback_catcher import (
    CALLBACK_PATH,
    PASTE_ONLY_REDIRECT_URI,
    CallbackCatcher,
    can_be_caught,
)
from lexoffice_nb.notebook.port_holder import who_listens
from lexoffice_nb.notebook.problems import problem_of
from lexoffice_nb.notebook.sign_in_request import (
    GivenSecrets,
    Keeping,
    SignInRequest,
    find_provider,
    provider_shown,
)
from lexoffice_nb.oauth.accounts import is_kept, kept_account, open_store, where_this_runs
from lexoffice_nb.oauth.login import ATTEMPT_SECONDS, LexofficeLogin
from lexoffice_nb.oauth.metadata import forget_metadata
from lexoffice_nb.oauth.system_keyring import safe_title
from lexoffice_nb.oauth.token_store import Account, AccountName
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin, is_loopback
from lexoffice_nb.session import LexofficeSession, SignedIn
from lexoffice_nb.texts import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.loopback import Page
    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.oauth.token_store import TokenStore

PAGE_WAITS_SECONDS = 8.0
PAGE_ARRIVES_SECONDS = 2.0  # before the port is given back
MOST_EARLIER = 8  # sign-ins before this one whose links are remembered
LONGEST_SECRET = 1024
# Where these fail, what the provider said of itself may have changed since it was read.
_DOUBTS_METADATA = ("token_not_json", "token_redirect")


class LoginFlow(HasTraits):
    """One sign-in, from the cell that asks for it to the session.

    No trait ever holds a secret. `version` grows with every change, so that one observer is enough for a view.
    """

    state = Enum(("ready", "waiting", "exchanging", "signed_in", "failed", "closed"), default_value="ready")
    asks = Enum(
        ("callback", "key", "client_secret", "confirmation", "port", "account"),
        default_value="callback",
        help="what a waiting flow waits for",
    )
    version = Int(0)
    link = Unicode("", help="the authorization request to open, or empty")
    host = Unicode("", help="the host that the link leads to")
    redirect_uri = Unicode("", help="where the provider sends the browser")
    listening = Bool(False, help="whether the callback is caught on this machine")
    problem = Instance(LexofficeError, allow_none=True)
    remember = Bool(False, help="whether the person wants to stay signed in on this machine")

    def __init__(
        self,
        request: SignInRequest,
        secrets: GivenSecrets | None = None,
        variable: str = "",
        *,
        keeping: Keeping | None = None,
    ) -> None:
        super().__init__()
        self.request = request
        self.keeping = keeping or Keeping()
        self.remember = self.keeping.store != "memory"
        self._place: TokenStore | None = None  # where the secret will lie, once somebody wants it remembered
        self.candidate: SignedIn | None = None  # somebody else than before, until the person has confirmed it
        self._before = Account()
        self.variable = variable  # the session's name in the notebook, for the views
        self.session = LexofficeSession()
        self.session.when_forgotten(self._forgotten)
        self._undoing: threading.Thread | None = None
        self.provider: Provider | None = None
        self.asks = "key" if request.api_key else "callback"
        self._secrets = secrets or GivenSecrets()
        self._confirmed = False
        self._typed_for: Origin | None = None  # where a client secret that was typed may go
        self._paste_only = False
        self._holder = ""
        self._attempt: LexofficeLogin | None = None
        self._exchanging: LexofficeLogin | None = None
        # Those before it: of the same wishes, whose links are still good, and of others, to say which one it was.
        self._earlier: list[LexofficeLogin] = []
        self._replaced: list[LexofficeLogin] = []
        self._catcher = CallbackCatcher(self._caught, self._knows)
        self._not_kept: LexofficeError | None = None  # why the sign-in could not be remembered
        self._expiry: threading.Timer | None = None
        self._stays_open = 0.0  # monotonic; for older tabs after the sign-in
        self._working = threading.Lock()
        self._changing = threading.RLock()

    # --- what the views call ---

    @property
    def has_key(self) -> bool:
        """Whether the environment gives an API key, and one is asked for."""
        return self.request.api_key and self._secrets.api_key is not None

    @property
    def name(self) -> AccountName:
        """What the account is called, as far as that is known before the provider is asked."""
        return AccountName(self.request.issuer or self.request.provider, self.request.profile)

    @property
    def may_be_remembered(self) -> bool:
        """Whether something is kept under this name, so that no click may be needed."""
        return not self.keeping.fresh and is_kept(self.name)

    def want_remembered(self, wanted: bool) -> None:
        """Takes the tick of a view, which then says where the secret will lie."""
        with self._changing:
            if self.state in ("waiting", "failed", "ready"):
                self._change(self.state, remember=wanted)
        if wanted and not self._place:
            self._in_thread(self._find_place)

    def start(self) -> None:
        """Prepares in a thread, so that the cell ends at once."""
        self._in_thread(self.prepare)

    def prepare(self) -> None:
        """Finds the provider and makes the first link, or checks the key that the environment gives.

        What goes wrong becomes `problem`; nothing is raised, since there is nobody to catch it in a thread.
        """
        with self._working:
            if self.state != "ready":
                return  # an older tab has signed in meanwhile
            problem = problem_of(self._prepare)
            if problem is not None:
                self._fail(problem)
            if self._attempt is None:
                self._release_when_answered()

    def again(self) -> None:
        """Starts over after a failure that left no link, or looks whether the redirect port is free by now."""
        self._go_on(lambda: (self.state == "failed" and not self.link) or self._waits_for("port"))

    def confirm(self) -> None:
        """Takes the person's word that an unverified host is meant."""
        self._go_on(lambda: self._waits_for("confirmation"), confirmed=True)

    def paste_instead(self) -> None:
        """Goes on without the port that somebody else holds: the person pastes, and knows who listens there."""
        self._go_on(lambda: self._waits_for("port"), paste_only=True)

    @property
    def pastes_although_held(self) -> str:
        """Who listens at the redirect port while the person pastes; empty unless they chose that."""
        return self._holder if self._paste_only else ""

    def _waits_for(self, what: str) -> bool:
        return self.state == "waiting" and self.asks == what

    def _go_on(self, possible: Callable[[], bool], *, confirmed: bool = False, paste_only: bool = False) -> None:
        with self._changing:
            if not possible():
                return
            self._confirmed |= confirmed
            self._paste_only |= paste_only
            self._change("ready", problem=None)
        self.start()

    def follow(self, earlier: LoginFlow) -> None:
        """Takes over from a flow that the same cell began before: an older tab still works.

        Links to the same client at the same provider stay good, and its port stays held; of others, it is remembered
        when they were made.
        """
        before = [login for login in (earlier._attempt, *earlier._earlier) if login is not None]
        # What was signed in and is over must not come back: on a shared machine it may be another person's link.
        if self.request.same_client(earlier.request) and earlier.state not in ("signed_in", "closed"):
            self._earlier = before[:MOST_EARLIER]
            self._replaced = earlier._replaced[:MOST_EARLIER]
            self._catcher, earlier._catcher = earlier._catcher.handed_to(self._caught, self._knows), self._catcher
            earlier._attempt, earlier._earlier = None, []
        else:
            self._replaced = [*before, *earlier._replaced][:MOST_EARLIER]
            for login in before:
                login.retire()

    def paste(self, pasted: Secret) -> None:
        """Takes what was pasted into the box of a view, in a thread: whatever it is that the flow asks for."""
        takes = {"key": self.try_key, "client_secret": self.take_client_secret}
        self._in_thread(lambda: takes.get(self.asks, self.answer)(pasted))

    def answer(
        self,
        callback: Secret,
        told: Callable[[LexofficeError | None], None] = lambda _: None,
        *,
        caught: bool = False,
    ) -> None:
        """Takes a callback URL; the first valid answer wins. What is wrong with it becomes `problem`.

        Args:
            callback: the URL.
            told: is called with what was wrong, before the port is given back.
            caught: that it came from the browser itself.
        """
        with self._working:
            told(self._take(callback, caught=caught))
            if self.state in ("waiting", "failed") and self._attempt is None:
                self._release_when_answered()  # before anybody can try again on the same port
        if self.state in ("signed_in", "closed"):
            # Not under the lock: another callback may wait for it, and its page goes through this port as well.
            self._release_when_answered()

    def take_client_secret(self, secret: Secret) -> None:
        """Takes the client secret that the flow asks for; the link follows."""
        with self._working:
            if not self._waits_for("client_secret"):
                return
            problem = problem_of(lambda: self._keep_client_secret(secret))
            if problem is not None:
                self._change("waiting", problem=problem)
                return
            self._change("ready", problem=None)
        self.prepare()

    def try_key(self, key: Secret) -> None:
        """Takes an API key if the API knows it. What is wrong with it becomes `problem`."""
        with self._working:
            if self._waits_for("key"):
                self._take_key(key)

    def refuse(self, problem: LexofficeError) -> None:
        """Shows a problem without changing where the sign-in stands."""
        with self._changing:
            self._change(self.state, problem=problem)

    def refresh(self) -> None:
        """Has the views draw themselves again, after the session was signed out."""
        with self._changing:
            self.version += 1

    def _forgotten(self) -> None:
        """Follows a log-out in Python: a sign-in that still waits must not sign in again behind the person's back."""
        if self.state in ("signed_in", "closed"):
            self._release()  # which may have stayed for older tabs
            self._retire()
            self.refresh()
        elif self._undoing is not threading.current_thread():
            self.close()

    def close(self) -> None:
        """Ends the wait and gives the port back. A session that is signed in stays so."""
        with self._changing:
            self._retire()
            self._secrets = GivenSecrets()
            if self.candidate is not None:
                # No daemon: the program waits for it, or the tokens would stay good.
                threading.Thread(target=problem_of, args=(self._drop_candidate,), name="lexoffice-nb revokes").start()
            if self.state != "signed_in":
                self._change("closed", problem=None, link="", host="", listening=False)
        self._release()

    def _retire(self) -> None:
        """Ends all links for good; only when each was made is remembered."""
        self._remember(self._attempt)
        self._attempt = None
        for login in (*self._earlier, *self._replaced):
            if login is not self._exchanging:  # what comes of that one is revoked when it is here
                login.retire()

    # --- how it goes on ---

    def _prepare(self) -> None:
        if self.request.unverified and not self._confirmed:
            self._ask("confirmation")
            return
        self._find_provider()
        if self.remember and not self._place:
            self._in_thread(self._find_place)
        problem = problem_of(self._adopt_remembered) if self.may_be_remembered else None
        if self.session.signed_in:
            self._finish()
            return
        key = self._secrets.api_key
        if not self.request.api_key:
            self._make_link()
            if problem is not None and self.problem is None:
                self.refuse(problem)
        elif key is not None:
            if self.keeping.tick:
                self.remember = False  # nobody has seen the tick
            self._take_key(key)
        else:
            self._ask("key")

    @shielded
    def _adopt_remembered(self) -> None:
        """Signs in by what is kept, if it covers what is asked for. Nothing is sent."""
        provider, request = self.provider, self.request
        if provider is None:
            return
        found = self.session.remembered(
            provider, request.client_id, self._secrets.client_secret, request.profile, where_this_runs()
        )
        if found is None or (request.api_key and found.kind != "key"):
            return
        if found.kind == "key" and not request.api_key and (request.scopes or request.client_id):
            return  # a key may do more than what is asked for
        if found.kind == "oauth" and not set(request.scopes) <= set(found.asked):
            return
        self.session.adopt(found)

    def _find_place(self) -> None:
        store = self.keeping.store
        if store == "memory":
            store = "keyring" if safe_title() else "file"
        self.keeping = replace(self.keeping, store=store)
        self._place = open_store(store, self.name)
        self.refresh()

    @property
    def place(self) -> str:
        """Where the secret will lie, in words; empty until somebody wants it remembered."""
        return self._place.place() if self._place else ""

    def _ask(self, what: str, problem: LexofficeError | None = None) -> None:
        with self._changing:
            self._change("waiting", asks=what, problem=problem, link="", host="", listening=False)

    def _make_link(self) -> None:
        """Makes the first link, or asks for what is missing before there can be one."""
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        if provider.key_page and not (self.request.client_id or provider.client_id):
            raise LoginError("client_or_key", provider=provider_shown(self.request, provider), name=provider.name)
        if self._typed_for not in (None, Origin.of(provider.token_endpoint)):
            self._secrets = replace(self._secrets, client_secret=None)  # it was typed for another place
        if provider.client_authentication != "none" and self._secrets.client_secret is None:
            self._ask("client_secret", self._secrets.problem)
            return
        try:
            self._new_attempt()
        except LoginError as error:
            if error.code != "port_taken":
                raise
            held, self._holder = error, str(error.values["who"])
        else:
            self._change("waiting", asks="callback", problem=None)
            return
        self._ask("port", held)

    @shielded
    def _keep_client_secret(self, secret: Secret) -> None:
        plain = secret.reveal().strip()
        if not plain:
            raise LoginError("client_secret_empty")
        if not plain.isascii() or not plain.isprintable() or len(plain) > LONGEST_SECRET:
            raise LoginError("client_secret_malformed")
        self._secrets = replace(self._secrets, client_secret=Secret(plain))
        self._typed_for = Origin.of(self.provider.token_endpoint) if self.provider else None

    def _new_attempt(self) -> None:
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        with self._changing:
            if self.state == "closed":
                return  # nobody would give the port back
            redirect_uri = self._listen(self.request.redirect_uri or provider.redirect_uri)
            attempt = self._attempt
            if attempt is None or (attempt.provider, attempt.redirect_uri) != (provider, redirect_uri):
                secret = self._secrets.client_secret if provider.client_authentication != "none" else None
                scopes = self.request.scopes or provider.scopes
                self._remember(attempt)
                attempt = LexofficeLogin(self.request.client_id, redirect_uri, scopes, provider, secret)
            self._attempt, self.redirect_uri = attempt, redirect_uri
            self.link = attempt.get_login_url()
            self.host = str(Origin.of(self.link)).split("://", 1)[1]
            self._expire_later(self.link)
            if attempt.keys is not None:
                self._in_thread(attempt.keys.prefetch)  # while the person signs in

    def _remember(self, attempt: LexofficeLogin | None) -> None:
        """Keeps an attempt that is over or replaced, so that a late answer can be told which one it belongs to."""
        if attempt is not None:
            self._earlier = [attempt, *self._earlier][:MOST_EARLIER]

    def _listen(self, wanted: str | None) -> str:
        """Gives the redirect URI, and listens there where it is on this machine."""
        own = f"http://127.0.0.1:{self.request.port}{CALLBACK_PATH}" if self.request.port else PASTE_ONLY_REDIRECT_URI
        listening = self.request.loopback and not self._paste_only and (wanted is None or can_be_caught(wanted))
        uri = self._catcher.listen(wanted, self.request.port) if listening else wanted or own
        if not listening and not self._paste_only:
            _refuse_if_held(uri)
        self.listening = listening
        return uri

    def _knows(self, callback: Secret) -> bool:
        """Whether a caught callback answers a link of this flow, or of one that it follows."""
        return self._login_of(callback, caught=True) is not None

    def _login_of(self, callback: Secret, *, caught: bool) -> LexofficeLogin | None:
        logins = [login for login in (self._attempt, *self._earlier) if login is not None]
        return next((login for login in logins if login.begun_at(callback, caught=caught)), None)

    def _caught(self, url: str) -> Page:
        """Answers the browser: with how it ended, or, if the provider is slow, with a word that it is being checked."""
        callback = Secret(url)
        outcome: queue.SimpleQueue[LexofficeError | None] = queue.SimpleQueue()
        self._in_thread(lambda: self.answer(callback, outcome.put, caught=True))
        try:
            problem = outcome.get(timeout=PAGE_WAITS_SECONDS)
        except queue.Empty:
            return callback_catcher.page("checking", 200)
        if problem is not None and problem.code == "callback_signed_in":
            return callback_catcher.already(problem)
        if problem is not None:
            return callback_catcher.refusal(problem, self._where_it_goes_on())
        if self.candidate is not None:
            return callback_catcher.page("checking", 200)
        signed_in = self.state == "signed_in" and self.session.signed_in
        return callback_catcher.page("done" if signed_in else "over", 200 if signed_in else 410)

    def _where_it_goes_on(self) -> str:
        """What the browser says after a refusal, where the notebook has something new; else an empty text."""
        if self._waits_for("client_secret"):
            return "page.new_secret"
        return "page.new_link" if self.state == "failed" and self.link else ""

    def _take(self, callback: Secret, *, caught: bool) -> LexofficeError | None:
        """Exchanges the code in a callback; gives what was wrong with it."""
        before = str(self.state)
        if before == "signed_in":
            return self._signed_in_already(callback)
        attempt = self._attempt
        known = self._login_of(callback, caught=caught)
        answered = known or attempt
        if answered is None or before not in ("ready", "waiting", "failed") or self.candidate is not None:
            return None
        if caught and known is None:
            return self._stranger(answered, callback)
        self._change("exchanging", problem=None)
        self._exchanging = answered
        problem = problem_of(lambda: self._exchange(answered, callback, caught=caught))
        self._exchanging = None
        problem = self._in_our_words(problem, callback, caught=caught)
        if problem is None:
            self._finish()
        elif attempt is None or attempt.open:
            self._change(before, problem=problem)
        else:
            problem = self._next_attempt(problem)
        return problem

    def _stranger(self, answered: LexofficeLogin, callback: Secret) -> LexofficeError | None:
        """Refuses a caught callback of nobody's; any page can have a browser send one, so the card says it once."""
        problem = problem_of(lambda: answered.handle_callback(callback, caught=True))
        problem = self._in_our_words(problem, callback, caught=True)
        if problem is not None and (self.problem is None or self.problem.code != problem.code):
            self._change(str(self.state), problem=problem)
        return problem

    def _signed_in_already(self, callback: Secret) -> LexofficeError | None:
        """What the browser is told by an older tab after the sign-in: nothing changes, and no code is exchanged."""
        if not self.session.signed_in:
            return None  # the provider has ended it since
        if not (self._knows(callback) or self._login_of(callback, caught=False)):
            return StateMismatch("state_mismatch")
        account = self.session.account
        who = account.company or account.person or provider_shown(self.request, self.provider)
        return CallbackError("callback_signed_in", who=who)

    def _in_our_words(self, problem: LexofficeError | None, callback: Secret, *, caught: bool) -> LexofficeError | None:
        """Says more of a refused callback than the attempt itself can know."""
        if problem is None:
            return None
        begun = next(filter(None, (login.begun_at(callback, caught=caught) for login in self._replaced)), None)
        if begun is not None and problem.code in ("state_mismatch", "state_other_provider", "callback_elsewhere"):
            return CallbackError("callback_replaced", time=clock(begun))
        if problem.code == "callback_elsewhere" and problem.values["host"] == Origin.of(self.redirect_uri).host:
            # Naming the host alone, one would not see what is wrong.
            return CallbackError("callback_other_port", host=problem.values["host"], expected=self.redirect_uri)
        return problem

    def _take_key(self, key: Secret) -> None:
        self._change("exchanging", problem=None)
        problem = problem_of(lambda: self._check_key(key))
        if problem is None:
            self._finish()
        else:
            self._ask("key", problem)

    @shielded
    def _exchange(self, attempt: LexofficeLogin, callback: Secret, *, caught: bool) -> None:
        attempt.handle_callback(callback, caught=caught)
        self._use_or_ask(self.session.signed_in_by(attempt, self.request.profile))

    def _use_or_ask(self, signed_in: SignedIn) -> None:
        """Uses the account, unless it is another one than this profile had before: then the person is asked."""
        before = self._account_before()
        if before != Account() and signed_in.account.is_another(before):
            self.candidate, self._before = signed_in, before
        else:
            self._use(signed_in)

    def _use(self, signed_in: SignedIn) -> None:
        self.session.adopt(signed_in)
        self._not_kept = None
        if self.remember:
            self._not_kept = problem_of(self._keep)

    def _keep(self) -> None:
        if not self._place:
            self._find_place()
        self.session.remember(self.keeping.store, replaces=True)  # the person was asked

    def _account_before(self) -> Account:
        """Whose account this profile was last, as far as this machine knows."""
        if self.keeping.before != Account():
            return self.keeping.before
        found = None
        with contextlib.suppress(StoreError):  # what cannot be read says nothing
            found = kept_account(self.name)
        return found or Account()

    @property
    def before(self) -> str:
        """Whose account this profile was, in a word or two."""
        return _told_apart(self._before, self.candidate.account if self.candidate else Account())

    @property
    def now(self) -> str:
        """Who has signed in instead, in a word or two."""
        candidate = self.candidate
        return _told_apart(candidate.account, self._before, candidate.who) if candidate else "–"

    def use_account(self) -> None:
        """Takes the person's word that the other account is meant."""
        self._in_thread(self.use_account_now)

    def use_account_now(self) -> None:
        """Does it, for a view that waits for it."""
        with self._working:
            candidate = self.candidate
            if candidate is not None and self._waits_for("account"):
                self.candidate = None
                self._use(candidate)
                self._finish()
        self._release_when_answered()

    def another_account(self) -> LoginError:
        """Says that somebody else has signed in than before."""
        return LoginError("account_other", before=self.before, now=self.now)

    def refuse_account(self) -> None:
        """Signs the other account out again, and begins anew."""

        def refuse() -> None:
            with self._working:
                if self._waits_for("account"):
                    self._drop_candidate()
                    self._change("ready", problem=None)
            self.prepare()

        self._in_thread(refuse)

    def _drop_candidate(self) -> None:
        candidate, self.candidate = self.candidate, None
        if candidate is not None:
            candidate.source.revoke()

    @shielded
    def _check_key(self, key: Secret) -> None:
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        try:
            self._use_or_ask(
                self.session.signed_in_by_key(Secret(key.reveal().strip()), provider, self.request.profile)
            )
        except Unauthorized:
            raise LoginError("key_wrong", stage="token", provider=provider_shown(self.request, provider)) from None

    def _finish(self) -> None:
        if self.candidate is not None:
            self._ask("account")
            if self.state == "closed":
                self._drop_candidate()  # closed while the provider was being asked
            return
        with self._changing:
            open_until = max((login.open_seconds for login in (self._attempt, *self._earlier) if login), default=0.0)
            self._retire()  # the session has the tokens; whatever an older tab brings now is not exchanged
            self._stays_open = time.monotonic() + open_until
            self._secrets = GivenSecrets()
            problem, self._not_kept = self._not_kept, None
            self._change("signed_in", problem=problem, link="", host="", listening=False)
        if self.state == "closed":
            # Closed while the provider was being asked: nobody will use these tokens.
            self._undoing = threading.current_thread()
            problem_of(self.session.logout)
            self._undoing = None

    def _next_attempt(self, problem: LexofficeError) -> LexofficeError:
        """The attempt is used up: a fresh link at once, so that the person can go on. Gives what is shown."""
        if problem.code == "token_invalid_client" and self._secrets.client_secret is not None:
            self._remember(self._attempt)
            self._attempt, self._secrets = None, GivenSecrets()  # the secret may be the wrong one
            self._ask("client_secret", problem)
            return problem
        failure = problem_of(lambda: self._look_again(problem))
        if failure is None:
            self._change("failed", problem=problem)
            return problem
        with self._changing:
            self._remember(self._attempt)
            self._attempt = None
            self._change("failed", problem=failure, link="", host="", listening=False)
        return failure

    def _look_again(self, problem: LexofficeError) -> None:
        """Makes the next link, with what the provider says of itself by now."""
        issuer = self.provider.issuer if self.provider else None
        doubtful = isinstance(problem, IdTokenError) or problem.code in _DOUBTS_METADATA
        if issuer and doubtful:
            forget_metadata(issuer)
            problem_of(self._find_provider)  # without an answer, what is known stays
        self._new_attempt()

    def _find_provider(self) -> None:
        self.provider = find_provider(self.request, confirmed=self._confirmed)

    def _fail(self, problem: LexofficeError) -> None:
        """Ends with no link: the port is free by the time that a view offers to try again."""
        self._remember(self._attempt)
        self._attempt = None
        self._release()
        self._change("failed", problem=problem, link="", host="", listening=False)

    def _expire_later(self, link: str) -> None:
        self._later(ATTEMPT_SECONDS, lambda: self._expire(link))

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        if self._expiry:
            self._expiry.cancel()
        self._expiry = threading.Timer(seconds, call)
        self._expiry.daemon = True
        self._expiry.name = "lexoffice-nb link expiry"
        self._expiry.start()

    def _expire(self, link: str) -> None:
        with self._working:
            # The timer may have waited for an answer that was under way, and that made a new link.
            if self.link == link:
                self._fail(CallbackError("link_expired", minutes=round(ATTEMPT_SECONDS / 60)))

    def _release_when_answered(self) -> None:
        """Gives the port back; while an older link can still be answered, its tab is told that all is done."""
        with self._changing:
            seconds = max((login.open_seconds for login in self._earlier), default=0.0)
            if self.state == "signed_in":
                seconds = self._stays_open - time.monotonic()
            if self.state in ("ready", "waiting", "signed_in") and seconds > 0:
                self._later(seconds, self._release_if_idle)
                return
        self._release(PAGE_ARRIVES_SECONDS)

    def _release_if_idle(self) -> None:
        with self._working:
            if self._attempt is None:  # a new link may have come while the timer waited
                self._release()

    def _release(self, after: float = 0.0) -> None:
        """Gives the port back. Not under `_changing`, since closing waits for pages that are under way."""
        with self._changing:
            expiry, self._expiry = self._expiry, None
        if expiry:
            expiry.cancel()
        self._catcher.close(after)

    def _change(self, state: str, **traits: object) -> None:
        with self._changing, self.hold_trait_notifications():
            if self.state == "closed":
                return
            if state != self.state:
                log.debug("sign-in %s: %s", self.variable or "–", state)
            for name, value in {**traits, "state": state}.items():
                setattr(self, name, value)
            self.version += 1

    def _in_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            problem = problem_of(work)
            if problem is not None:
                problem_of(lambda: self.refuse(problem))  # raised, it would be printed into whatever cell is running

        threading.Thread(target=run, name="lexoffice-nb sign-in", daemon=True).start()


def _refuse_if_held(redirect_uri: str) -> None:
    """Refuses a redirect URI on this machine where a stranger listens, and would receive the answer.

    Raises:
        LoginError: `port_taken`.
    """
    port = Origin.of(redirect_uri).port
    if not is_loopback(redirect_uri) or redirect_uri == PASTE_ONLY_REDIRECT_URI or port is None:
        return
    if who := who_listens(port):
        raise LoginError("port_taken", port=port, who=who)


def _told_apart(account: Account, other: Account, otherwise: str = "–") -> str:
    """Names an account so that it is not taken for the other: by the person too, where the company is the same."""
    person = account.person or account.email
    if account.company and account.company == other.company and person:
        return f"{person} ({account.company})"
    return account.company or person or otherwise
