"""`LoginFlow`: the one state machine of a sign-in. The card, the terminal and the scripts without a person observe it.

ready -> waiting -> exchanging -> signed_in | failed. From `failed` it goes on with a fresh link, or with `again()`.
Nothing here waits in the main thread for a front end: the provider is asked in threads of its own, which print nothing.

Two locks. `_working` is held as long as one thing is done: a preparation, an answer, the end of a link; so of two
callbacks one is exchanged, and a port is given back before it is wanted again. `_changing` is held for the moment of a
change, never while the provider is asked: `close()` needs only this one and does not wait for anybody.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from traitlets import Bool, Enum, HasTraits, Instance, Int, Unicode

from lexoffice_nb.errors import CallbackError, LexofficeError, LoginError, Unauthorized, shielded
from lexoffice_nb.notebook import callback_catcher
from lexoffice_nb.notebook.callback_catcher import PASTE_ONLY_REDIRECT_URI, CallbackCatcher, can_be_caught
from lexoffice_nb.notebook.problems import problem_of
from lexoffice_nb.notebook.sign_in_request import (
    GivenSecrets,
    SignInRequest,
    find_provider,
    provider_shown,
)
from lexoffice_nb.oauth.login import ATTEMPT_SECONDS, LexofficeLogin
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.session import LexofficeSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.loopback import Page
    from lexoffice_nb.oauth.provider import Provider

PAGE_WAITS_SECONDS = 8.0
PAGE_ARRIVES_SECONDS = 2.0  # before the port is given back


class LoginFlow(HasTraits):
    """One sign-in, from the cell that asks for it to the session.

    No trait ever holds a secret. `version` grows with every change, so that one observer is enough for a view.
    """

    state = Enum(("ready", "waiting", "exchanging", "signed_in", "failed", "closed"), default_value="ready")
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
        self._secrets = secrets or GivenSecrets()
        self._attempt: LexofficeLogin | None = None
        self._catcher = CallbackCatcher(self._caught)
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
            problem = problem_of(self._prepare)
            if problem is not None:
                self._fail(problem)

    def again(self) -> None:
        """Starts over after a failure that left no link. In any other state there is something to go on with."""
        with self._changing:
            if self.state != "failed" or self.link:
                return
            self._change("ready", problem=None)
        self.start()

    def paste(self, pasted: Secret) -> None:
        """Takes a pasted callback URL, or a pasted key, in a thread."""
        self._in_thread(lambda: self.try_key(pasted) if self.request.api_key else self.answer(pasted))

    def answer(self, callback: Secret, told: Callable[[LexofficeError | None], None] = lambda _: None) -> None:
        """Takes a callback URL; the first valid answer wins. What is wrong with it becomes `problem`.

        Args:
            callback: the URL.
            told: is called with what was wrong, before the port is given back.
        """
        with self._working:
            told(self._take(callback))
            if self.state == "failed" and self._attempt is None:
                self._release(PAGE_ARRIVES_SECONDS)  # before anybody can try again on the same port
        if self._attempt is None:
            # Not under the lock: another callback may wait for it, and its page goes through this port as well.
            self._release(PAGE_ARRIVES_SECONDS)

    def try_key(self, key: Secret) -> None:
        """Takes an API key if the API knows it. What is wrong with it becomes `problem`."""
        with self._working:
            if self.state == "waiting":
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
        self.provider = find_provider(self.request)
        key = self._secrets.api_key
        if not self.request.api_key:
            self._new_attempt()
        elif key is not None:
            self._take_key(key)
            return
        self._change("waiting", problem=None)

    def _new_attempt(self) -> None:
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        if provider.key_page and not (self.request.client_id or provider.client_id):
            raise LoginError("client_or_key", provider=provider_shown(self.request, provider), name=provider.name)
        with self._changing:
            if self.state == "closed":
                return  # nobody would give the port back
            self.redirect_uri = self._listen(self.request.redirect_uri or provider.redirect_uri)
            self._attempt = LexofficeLogin(
                self.request.client_id,
                self.redirect_uri,
                self.request.scopes or provider.scopes,
                provider,
                self._secrets.client_secret,
            )
            self.link = self._attempt.get_login_url()
            self.host = str(Origin.of(self.link)).split("://", 1)[1]
            self._expire_later(self._attempt)

    def _listen(self, wanted: str | None) -> str:
        """Gives the redirect URI, and listens there where it is on this machine."""
        self.listening = self.request.loopback and (wanted is None or can_be_caught(wanted))
        if self.listening:
            return self._catcher.listen(wanted, self.request.port)
        return wanted or PASTE_ONLY_REDIRECT_URI

    def _caught(self, url: str) -> Page:
        """Answers the browser: with how it ended, or, if the provider is slow, with a word that it is being checked."""
        callback = Secret(url)
        outcome: queue.SimpleQueue[LexofficeError | None] = queue.SimpleQueue()
        self._in_thread(lambda: self.answer(callback, outcome.put))
        try:
            problem = outcome.get(timeout=PAGE_WAITS_SECONDS)
        except queue.Empty:
            return callback_catcher.page("checking", 200)
        if problem is not None:
            return callback_catcher.refusal(problem, new_link=self.state == "failed" and bool(self.link))
        signed_in = self.state == "signed_in"
        return callback_catcher.page("done" if signed_in else "over", 200 if signed_in else 410)

    def _take(self, callback: Secret) -> LexofficeError | None:
        """Exchanges the code in a callback; gives what was wrong with it."""
        attempt, before = self._attempt, str(self.state)
        if attempt is None or before not in ("waiting", "failed"):
            return None
        self._change("exchanging", problem=None)
        problem = self._in_our_words(problem_of(lambda: self._exchange(attempt, callback)))
        if problem is None:
            self._finish()
        elif attempt.open:
            self._change(before, problem=problem)
        else:
            problem = self._next_attempt(problem)
        return problem

    def _in_our_words(self, problem: LexofficeError | None) -> LexofficeError | None:
        """Says of an address with the right host what is wrong: naming the host alone, one would not see it."""
        if problem is None or problem.code != "callback_elsewhere":
            return problem
        host = Origin.of(self.redirect_uri).host
        if problem.values["host"] != host:
            return problem
        return CallbackError("callback_other_port", host=host, expected=self.redirect_uri)

    def _take_key(self, key: Secret) -> None:
        self._change("exchanging", problem=None)
        problem = problem_of(lambda: self._check_key(key))
        if problem is None:
            self._finish()
        else:
            self._change("waiting", problem=problem)

    @shielded
    def _exchange(self, attempt: LexofficeLogin, callback: Secret) -> None:
        attempt.handle_callback(callback)
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
            self._attempt = None
            self._secrets = GivenSecrets()
            self._change("signed_in", problem=None, link="", host="", listening=False)
        if self.state == "closed":
            # Closed while the provider was being asked: nobody will use these tokens.
            problem_of(self.session.logout)

    def _next_attempt(self, problem: LexofficeError) -> LexofficeError:
        """The attempt is used up: a fresh link at once, so that the person can go on. Gives what is shown."""
        failure = problem_of(self._new_attempt)
        if failure is None:
            self._change("failed", problem=problem)
            return problem
        with self._changing:
            self._attempt = None
            self._change("failed", problem=failure, link="", host="", listening=False)
        return failure

    def _fail(self, problem: LexofficeError) -> None:
        """Ends with no link: the port is free by the time that a view offers to try again."""
        self._attempt = None
        self._release()
        self._change("failed", problem=problem, link="", host="", listening=False)

    def _expire_later(self, attempt: LexofficeLogin) -> None:
        if self._expiry:
            self._expiry.cancel()
        self._expiry = threading.Timer(ATTEMPT_SECONDS, self._expire, (attempt,))
        self._expiry.daemon = True
        self._expiry.name = "lexoffice-nb link expiry"
        self._expiry.start()

    def _expire(self, attempt: LexofficeLogin) -> None:
        with self._working:
            # The timer may have waited for an answer that was under way, and that made a new link.
            if self._attempt is attempt:
                self._fail(CallbackError("link_expired", minutes=round(ATTEMPT_SECONDS / 60)))

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
            for name, value in {**traits, "state": state}.items():
                setattr(self, name, value)
            self.version += 1

    def _in_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            problem = problem_of(work)
            if problem is not None:
                problem_of(lambda: self.refuse(problem))  # raised, it would be printed into whatever cell is running

        threading.Thread(target=run, name="lexoffice-nb sign-in", daemon=True).start()
