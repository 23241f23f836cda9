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

import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from traitlets import Bool, Enum, HasTraits, Instance, Int, Unicode

from lexoffice_nb.errors import (
    CallbackError,
    IdTokenError,
    LexofficeError,
    LoginError,
    StateMismatch,
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
from lexoffice_nb.notebook.problems import problem_of
from lexoffice_nb.notebook.sign_in_request import (
    GivenSecrets,
    SignInRequest,
    find_provider,
    provider_shown,
)
from lexoffice_nb.oauth.login import ATTEMPT_SECONDS, LexofficeLogin
from lexoffice_nb.oauth.metadata import forget_metadata
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.loopback import Page
    from lexoffice_nb.oauth.provider import Provider

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
        ("callback", "key", "client_secret", "confirmation", "port"),
        default_value="callback",
        help="what a waiting flow waits for",
    )
    version = Int(0)
    link = Unicode("", help="the authorization request to open, or empty")
    host = Unicode("", help="the host that the link leads to")
    redirect_uri = Unicode("", help="where the provider sends the browser")
    listening = Bool(False, help="whether the callback is caught on this machine")
    problem = Instance(LexofficeError, allow_none=True)

    def __init__(self, request: SignInRequest, secrets: GivenSecrets | None = None, variable: str = "") -> None:
        super().__init__()
        self.request = request
        self.variable = variable  # the session's name in the notebook, for the views
        self.session = LexofficeSession()
        self.session.when_forgotten(self._forgotten)
        self._undoing: threading.Thread | None = None
        self.provider: Provider | None = None
        self.asks = "key" if request.api_key else "callback"
        self._secrets = secrets or GivenSecrets()
        self._confirmed = False
        self._paste_only = False
        self._holder = ""
        self._attempt: LexofficeLogin | None = None
        # Those before it: of the same wishes, whose links are still good, and of others, to say which one it was.
        self._earlier: list[LexofficeLogin] = []
        self._replaced: list[LexofficeLogin] = []
        self._catcher = CallbackCatcher(self._caught, self._knows)
        self._expiry: threading.Timer | None = None
        self._working = threading.Lock()
        self._changing = threading.RLock()

    # --- what the views call ---

    @property
    def has_key(self) -> bool:
        """Whether the environment gives an API key, and one is asked for."""
        return self.request.api_key and self._secrets.api_key is not None

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
        if self.request.same_client(earlier.request):
            self._earlier = before[:MOST_EARLIER]
            self._replaced = earlier._replaced[:MOST_EARLIER]
            if not earlier.session.signed_in:
                self._catcher, earlier._catcher = earlier._catcher.handed_to(self._caught, self._knows), self._catcher
        else:
            self._replaced = [*before, *earlier._replaced][:MOST_EARLIER]

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
            self.refresh()
        elif self._undoing is not threading.current_thread():
            self.close()

    def close(self) -> None:
        """Ends the wait and gives the port back. A session that is signed in stays so."""
        with self._changing:
            self._attempt = None
            self._secrets = GivenSecrets()
            if self.state != "signed_in":
                self._change("closed", problem=None, link="", host="", listening=False)
        self._release()

    # --- how it goes on ---

    def _prepare(self) -> None:
        if self.request.unverified and not self._confirmed:
            self._ask("confirmation")
            return
        self._find_provider()
        key = self._secrets.api_key
        if not self.request.api_key:
            self._make_link()
        elif key is not None:
            self._take_key(key)
        else:
            self._ask("key")

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
        self.listening = listening
        return uri

    def _knows(self, callback: Secret) -> bool:
        """Whether a callback answers a link of this flow, or of one that it follows."""
        return self._login_of(callback) is not None

    def _login_of(self, callback: Secret) -> LexofficeLogin | None:
        logins = [login for login in (self._attempt, *self._earlier) if login is not None]
        return next((login for login in logins if login.begun_at(callback)), None)

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
            return callback_catcher.refusal(problem, new_link=self.state == "failed" and bool(self.link))
        signed_in = self.state == "signed_in" and self.session.signed_in
        return callback_catcher.page("done" if signed_in else "over", 200 if signed_in else 410)

    def _take(self, callback: Secret, *, caught: bool) -> LexofficeError | None:
        """Exchanges the code in a callback; gives what was wrong with it."""
        before = str(self.state)
        if before == "signed_in":
            return self._signed_in_already(callback)
        attempt = self._attempt
        answered = self._login_of(callback) or attempt
        if answered is None or before not in ("ready", "waiting", "failed"):
            return None
        self._change("exchanging", problem=None)
        problem = problem_of(lambda: self._exchange(answered, callback, caught=caught))
        problem = self._in_our_words(problem, callback)
        if problem is None:
            self._finish()
        elif attempt is None or attempt.open:
            self._change(before, problem=problem)
        else:
            problem = self._next_attempt(problem)
        return problem

    def _signed_in_already(self, callback: Secret) -> LexofficeError | None:
        """What the browser is told by an older tab after the sign-in: nothing changes, and no code is exchanged."""
        if not self.session.signed_in:
            return None  # the provider has ended it since
        if not self._knows(callback):
            return StateMismatch("state_mismatch")
        account = self.session.account
        who = account.company or account.person or provider_shown(self.request, self.provider)
        return CallbackError("callback_signed_in", who=who)

    def _in_our_words(self, problem: LexofficeError | None, callback: Secret) -> LexofficeError | None:
        """Says more of a refused callback than the attempt itself can know."""
        if problem is None:
            return None
        begun = next(filter(None, (login.begun_at(callback) for login in self._replaced)), None)
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
        try:
            self.session.adopt_login(attempt)
        except BaseException:
            self._undoing = threading.current_thread()
            self.session.forget()
            self._undoing = None
            raise

    @shielded
    def _check_key(self, key: Secret) -> None:
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        try:
            self.session.adopt_key(Secret(key.reveal().strip()), provider)
        except Unauthorized:
            raise LoginError("key_wrong", stage="token", provider=provider_shown(self.request, provider)) from None

    def _finish(self) -> None:
        with self._changing:
            self._remember(self._attempt)
            self._attempt = None
            self._secrets = GivenSecrets()
            self._change("signed_in", problem=None, link="", host="", listening=False)
        if self.state == "closed":
            # Closed while the provider was being asked: nobody will use these tokens.
            problem_of(self.session.logout)

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
            if self.state in ("ready", "waiting", "signed_in") and seconds > 0:
                self._later(seconds, self._release)
                return
        self._release(PAGE_ARRIVES_SECONDS)

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
