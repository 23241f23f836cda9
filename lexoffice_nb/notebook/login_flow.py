"""`LoginFlow`: the one state machine of a sign-in. The card, the terminal and the scripts without a person observe it.

ready -> waiting -> exchanging -> signed_in | failed. From `failed` it goes on with a fresh link, or with `again()`.
Nothing here waits in the main thread for a front end: the provider is asked in threads of its own, which print nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from traitlets import Bool, Enum, HasTraits, Instance, Int, Unicode

from lexoffice_nb.errors import (
    CallbackError,
    InternalError,
    LexofficeError,
    LoginError,
    SandboxError,
    Unauthorized,
    shielded,
)
from lexoffice_nb.notebook.loopback import LoopbackListener, Page, PortTaken
from lexoffice_nb.oauth.login import ATTEMPT_SECONDS, LexofficeLogin, is_loopback_redirect
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import current_language, text

if TYPE_CHECKING:
    from collections.abc import Callable

CALLBACK_PATH = "/callback"
# A port that no browser connects to (the Fetch standard blocks it), so that nobody on this machine can be listening
# there for a callback that is meant to be pasted.
PASTE_ONLY_REDIRECT_URI = f"http://127.0.0.1:1{CALLBACK_PATH}"
PAGE_WAITS_SECONDS = 8.0


@dataclass(frozen=True)
class SignInRequest:
    """What a person asks for when running the login cell; equal requests share one flow."""

    provider: str = "sandbox"
    issuer: str | None = None
    client_id: str | None = None
    redirect_uri: str | None = None
    scopes: tuple[str, ...] = ()
    api_key: bool = False
    loopback: bool = True
    port: int = 0


@dataclass(frozen=True)
class GivenSecrets:
    """The secrets that the environment gives: each is None where it gives none."""

    client_secret: Secret | None = None
    api_key: Secret | None = None


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

    def __init__(self, request: SignInRequest, secrets: GivenSecrets | None = None) -> None:
        super().__init__()
        self.request = request
        self.session = LexofficeSession()
        self.provider: Provider | None = None
        self._secrets = secrets or GivenSecrets()
        self._attempt: LexofficeLogin | None = None
        self._listener: LoopbackListener | None = None
        self._expiry: threading.Timer | None = None
        self._answering = threading.Lock()
        self._changing = threading.RLock()
        self._settled = threading.Event()

    # --- what the views call ---

    def start(self) -> None:
        """Prepares the link in a thread, so that the cell ends at once."""
        self._in_thread(self.prepare)

    def prepare(self) -> None:
        """Finds the provider and makes the first link, or checks the key that the environment gives.

        What goes wrong becomes `problem`; nothing is raised, since there is nobody to catch it in a thread.
        """
        self._change("ready", problem=None)
        problem = None
        try:
            self.provider = self._find_provider()
            if not self.request.api_key:
                self._new_attempt()
                self._change("waiting")
                return
        except LexofficeError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - nobody would see it in a thread
            problem = _internal(error)
        if problem is not None:
            self._change("failed", problem=problem)
        elif self._secrets.api_key:
            self.try_key(self._secrets.api_key)
        else:
            self._change("waiting")

    def again(self) -> None:
        """Starts over after a failure or an expired link."""
        if self.state in ("failed", "waiting"):
            self.start()

    def paste(self, pasted: Secret) -> None:
        """Takes a pasted callback URL, or a pasted key, in a thread."""
        self._in_thread(lambda: self.try_key(pasted) if self.request.api_key else self.answer(pasted))

    def answer(self, callback: Secret) -> None:
        """Takes a callback URL; the first valid answer wins. What is wrong with it becomes `problem`."""
        self._answer(callback)
        self._release_if_done()

    def _answer(self, callback: Secret) -> None:
        with self._answering:
            attempt = self._attempt
            if self.state in ("signed_in", "closed", "ready") or attempt is None:
                return
            before = str(self.state)
            self._change("exchanging", problem=None)
            problem = _problem_of(lambda: self._exchange(attempt, callback))
            if problem is None:
                self._finish()
            elif attempt.open:
                self._change(before, problem=problem)
            else:
                self._next_attempt(problem)

    def try_key(self, key: Secret) -> None:
        """Takes an API key if the API knows it. What is wrong with it becomes `problem`."""
        with self._answering:
            if self.state in ("signed_in", "closed") or self.provider is None:
                return
            self._change("exchanging", problem=None)
            problem = _problem_of(lambda: self._check_key(key))
            if problem is None:
                self._finish()
            else:
                self._change("waiting", problem=problem)
        self._release_if_done()

    def refuse(self, problem: LexofficeError) -> None:
        """Shows a problem without changing where the sign-in stands."""
        with self._changing:
            self._change(self.state, problem=problem)

    @property
    def has_key(self) -> bool:
        """Whether the environment gives an API key, and one is asked for."""
        return self.request.api_key and self._secrets.api_key is not None

    def refresh(self) -> None:
        """Has the views draw themselves again, after the session was signed out."""
        with self._changing:
            self.version += 1

    def close(self) -> None:
        """Ends the wait and gives the port back. The session stays as it is."""
        with self._changing:
            self._attempt = None
            self._secrets = GivenSecrets()
            if self.state != "signed_in":
                self._change("closed", link="", host="")
        self._release()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits, in a thread that is not the kernel's main one, until it is signed in, failed or closed."""
        return self._settled.wait(seconds)

    # --- how it goes on ---

    def _find_provider(self) -> Provider:
        if self.request.issuer:
            return Provider.discover(self.request.issuer)
        if self.request.provider == "sandbox":
            _start_sandbox()
        return Provider.named(self.request.provider)

    def _new_attempt(self) -> None:
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        with self._changing:
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
            self._expire_later()

    def _listen(self, wanted: str | None) -> str:
        """Gives the redirect URI, and listens there where it is on this machine."""
        if not self.request.loopback or (wanted and not is_loopback_redirect(wanted)):
            self._release()
            return wanted or PASTE_ONLY_REDIRECT_URI
        taken = None
        listener = self._listener
        if listener is None or listener.closed:
            parts = urlsplit(wanted or f"http://127.0.0.1:{self.request.port}{CALLBACK_PATH}")
            try:
                listener = self._listener = LoopbackListener(
                    self._caught,
                    port=parts.port or 80 if wanted else self.request.port,
                    path=parts.path,
                    not_found=_page("not_found", 404),
                )
            except PortTaken as error:
                taken = error.port
        if listener is None or taken is not None:
            raise LoginError("port_taken", port=taken)
        self.listening = True
        return wanted or listener.redirect_uri

    def _caught(self, url: str) -> Page:
        """Answers the browser: with how it ended, or, if the provider is slow, with a word that it is being checked."""
        callback = Secret(url)
        answered = threading.Event()
        refused: list[LexofficeError | None] = []

        def answer() -> None:
            self._answer(callback)
            refused.append(self.problem)
            answered.set()
            # Only now: the browser still has to get its page through the listener.
            self._release_if_done(after=2.0)

        self._in_thread(answer)
        if not answered.wait(PAGE_WAITS_SECONDS):
            return _page("checking", 200)
        problem = refused[0]
        if self.state == "signed_in":
            return _page("done", 200)
        words = f"{problem.what()}\n{problem.next()}" if problem else text("page.not_found")
        return Page(text("page.refused.title"), words, ok=False, status=400, lang=current_language())

    @shielded
    def _exchange(self, attempt: LexofficeLogin, callback: Secret) -> None:
        attempt.handle_callback(callback.reveal())
        if self.state == "closed":
            # Closed while the provider was being asked: nobody will use these tokens.
            LexofficeSession.from_login(attempt).logout()
            raise CallbackError("callback_interrupted")
        self.session.adopt_login(attempt)

    @shielded
    def _check_key(self, key: Secret) -> None:
        plain = key.reveal().strip()
        if not plain:
            raise LoginError("key_empty", stage="token")
        if not plain.isascii() or not plain.isprintable() or " " in plain or len(plain) > 4096:
            raise LoginError("key_malformed", stage="token")
        provider = self.provider
        if provider is None:
            raise LoginError("sandbox_not_running")
        refused = False
        try:
            self.session.adopt_key(Secret(plain), provider)
        except Unauthorized:
            refused = True
        if refused:
            raise LoginError("key_wrong", stage="token", provider=provider.title)

    def _finish(self) -> None:
        with self._changing:
            self._attempt = None
            self._secrets = GivenSecrets()
            self._change("signed_in", problem=None, link="", host="")

    def _next_attempt(self, problem: LexofficeError) -> None:
        """The attempt is used up: a fresh link at once, so that the person can go on."""
        try:
            self._new_attempt()
        except LexofficeError as error:
            problem = error
            self._release()
        self._change("failed", problem=problem)

    def _expire_later(self) -> None:
        if self._expiry:
            self._expiry.cancel()
        self._expiry = threading.Timer(ATTEMPT_SECONDS, self._expire)
        self._expiry.daemon = True
        self._expiry.name = "lexoffice-nb link expiry"
        self._expiry.start()

    def _expire(self) -> None:
        with self._answering:
            if self.state not in ("waiting", "failed") or self._attempt is None:
                return
            self._attempt = None
            expired = CallbackError("attempt_expired", minutes=round(ATTEMPT_SECONDS / 60))
            self._change("failed", problem=expired, link="", host="")
        self._release()

    def _release_if_done(self, after: float = 0.0) -> None:
        if self.state == "signed_in":
            self._release(after)

    def _release(self, after: float = 0.0) -> None:
        """Gives the port back. Not under the lock, since closing waits for pages that are under way."""
        with self._changing:
            expiry, self._expiry = self._expiry, None
            listener, self._listener = self._listener, None
            self.listening = False
        if expiry:
            expiry.cancel()
        if listener:
            listener.close(after=after)

    def _change(self, state: str, **traits: object) -> None:
        with self._changing, self.hold_trait_notifications():
            if self.state == "closed":
                return
            for name, value in {**traits, "state": state}.items():
                setattr(self, name, value)
            self.version += 1
        if self.state in ("signed_in", "failed", "closed"):
            self._settled.set()
        else:
            self._settled.clear()

    @staticmethod
    def _in_thread(work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="lexoffice-nb sign-in", daemon=True).start()


def _page(key: str, status: int) -> Page:
    ok = key in ("done", "checking")
    return Page(text(f"page.{key}.title"), text(f"page.{key}"), ok=ok, status=status, lang=current_language())


def _problem_of(work: Callable[[], None]) -> LexofficeError | None:
    try:
        work()
    except LexofficeError as error:
        return error
    except Exception as error:  # noqa: BLE001 - nobody would see it in a thread
        return _internal(error)
    return None


def _internal(error: Exception) -> LexofficeError:
    # The text of any other error may hold anything.
    where = str(error) if isinstance(error, InternalError) else type(error).__name__
    return LoginError("internal", where=where)


def _start_sandbox() -> None:
    from lexoffice_nb.sandbox import process

    reason = None
    try:
        process.find_or_start()
    except process.SandboxError as error:
        reason = str(error)
    if reason is not None:
        raise SandboxError("sandbox_no_start", reason=reason)
