"""The lesson: one real sign-in at the sandbox, taken apart into ten steps, each predict -> do -> see -> explain.

Nothing is played: the verifier is one, the link is opened by a person, the requests go over HTTP, and the checks are
those of `LexofficeLogin`. What is secret is shown by its kind and length; its value only for a moment, if asked for.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.errors import LoginError, shielded
from lexoffice_nb.notebook.callback_catcher import CallbackCatcher, page, refusal
from lexoffice_nb.notebook.problems import problem_of
from lexoffice_nb.notebook.sign_in_request import SignInRequest, find_provider
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.pkce import code_challenge, new_code_verifier
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.trace import observed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.notebook.loopback import Page
    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.oauth.trace import Step
    from lexoffice_nb.oauth.transport import Answer

STEPS = (
    *("verifier", "challenge", "url", "sign_in", "callback"),
    *("state", "exchange", "tokens", "renewal", "revocation"),
)
RIGHT: Mapping[str, str] = dict(zip(STEPS, "bcabbabbba", strict=True))
CHOICES = ("a", "b", "c")
EXAMPLE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
LONGEST_TRY = 128
_SPARE_SECONDS = 240.0  # a link with less time left than this is made anew before the person opens it
_ANSWER_LIMIT = 65_536
_PAGE_SECONDS = 2.0  # for the page that says thank you


class LessonLogin(LexofficeLogin):
    """A sign-in whose verifier was made in step 1, and whose two halves are two steps. It checks all that others do."""

    def __init__(self, verifier: Secret, redirect_uri: str, provider: Provider) -> None:
        super().__init__(redirect_uri=redirect_uri, provider=provider)
        self._own_verifier = verifier
        self._accepted: tuple[Any, Secret] | None = None

    def _new_verifier(self) -> Secret:
        return self._own_verifier

    @property
    def newest(self) -> tuple[str, str]:
        """State and nonce of the newest login URL; both are secret."""
        return self._attempts[-1].state, self._attempts[-1].nonce

    def forged(self, callback: Secret) -> LexofficeError | None:
        """Gives the refusal of a callback that an attacker made up; unrecorded, and it uses nothing up."""
        return problem_of(lambda: self._take(callback, caught=True))

    @shielded
    def asked_api(self, url: str, bearer: Secret) -> Answer:
        """Asks the API once, and has it recorded."""
        headers = {"Authorization": bearer}
        return observed(
            self._recorder, "GET", url, title="profile", stage="revocation", limit=_ANSWER_LIMIT, headers=headers
        )

    @shielded
    def accept(self, callback: Secret) -> None:
        """Checks a callback, as the first half of `handle_callback`."""
        self._accepted = self._accept(callback, caught=True)

    @shielded
    def exchange(self) -> TokenSet:
        """Exchanges the code of the callback that was accepted, as the second half."""
        if self._accepted is None:
            raise LoginError("no_login_url")
        return self._exchange(*self._accepted)


@dataclass(frozen=True)
class Forgery:
    """What the attacker tried in step 6, and what the notebook said."""

    code: str
    said: str


class Lesson:
    """Where a person stands in the lesson. Every change is told to those who watch."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._catcher: CallbackCatcher | None = None
        self.login: LessonLogin | None = None
        self._reset()

    def _reset(self) -> None:
        self.at = 0
        self.done: set[str] = set()
        self.chosen: dict[str, str] = {}
        self.busy = False
        self.problem: LexofficeError | None = None
        self.can_sign_in_again = False
        self.renewed_link = False
        self.verifier: Secret | None = None
        self.login = None
        self.url = ""
        self.callback: Secret | None = None
        self.forgery: Forgery | None = None
        self.tokens: TokenSet | None = None
        self.former_refresh_token: Secret | None = None
        self.api_status: int | None = None
        self.tried: str | None = None

    def watch(self, shown: Callable[[], None]) -> None:
        """Has a view told of every change, in whatever thread it happens."""
        self._watchers.append(shown)

    def unwatch(self, shown: Callable[[], None]) -> None:
        """Ends that."""
        if shown in self._watchers:
            self._watchers.remove(shown)

    def changed(self) -> None:
        """Tells it."""
        for shown in tuple(self._watchers):
            shown()

    @property
    def step(self) -> str:
        """The key of the step at hand."""
        return STEPS[self.at]

    @property
    def reached(self) -> int:
        """The number of the first step that is not done, from 0; as many as there are at the end."""
        return next((number for number, step in enumerate(STEPS) if step not in self.done), len(STEPS))

    # --- what a person does ---

    def predict(self, choice: str) -> None:
        """Takes the first prediction of a step; later ones change nothing."""
        with self._lock:
            if choice in CHOICES and self.step not in self.chosen:
                self.chosen[self.step] = choice
                if self.step == "sign_in":
                    self._freshen_link()
        self.changed()

    def go(self, number: int) -> None:
        """Goes to a step that was reached already."""
        with self._lock:
            if 0 <= number <= min(self.reached, len(STEPS) - 1) and not self.busy:
                self.at, self.problem = number, None
                if self.step == "sign_in":
                    self._freshen_link()
        self.changed()

    def try_verifier(self, given: str) -> None:
        """Takes a verifier to try out; it is nobody's."""
        self.tried = given[: LONGEST_TRY + 1]
        self.changed()

    def act(self, name: str) -> None:
        """Does what a button says, in a thread: no cell waits for it."""
        work = {"do": self._do, "forge": self._forge, "again": self._again, "restart": self.restart}.get(name)
        if name in ("next", "back"):
            self.go(self.at + (1 if name == "next" else -1))
            return
        with self._lock:
            if work is None or self.busy or (name == "do" and not self._can_do):
                return
            self.busy, self.problem, self.can_sign_in_again = True, None, False
        self.changed()
        threading.Thread(target=self._run, args=(work,), name="lexoffice-nb lesson", daemon=True).start()

    @property
    def _can_do(self) -> bool:
        # Twice would be a second use of what serves once: a code, a callback.
        return self.step in self.chosen and self.step not in self.done and self.step != "sign_in"

    def _run(self, work: Callable[[], None]) -> None:
        problem = problem_of(work)
        with self._lock:
            self.busy, self.problem = False, problem
            # A link or a code that was too old costs a new sign-in, and nothing else.
            self.can_sign_in_again = problem is not None and self.at >= STEPS.index("sign_in")
        self.changed()

    def _do(self) -> None:
        step = self.step
        getattr(self, f"_do_{step}")()
        self.done.add(step)

    def restart(self) -> None:
        """Begins anew; tokens that are still good are revoked."""
        self.close()
        with self._lock:
            self._reset()
        self.changed()

    def close(self) -> None:
        """Gives the port back, and ends what was granted. What the server does not answer is left to its end."""
        catcher, self._catcher = self._catcher, None
        if catcher:
            catcher.close()
        if self.login and self.tokens and "revocation" not in self.done:
            problem_of(self._revoke)
        if self.login:
            self.login.retire()
        # A view that is still there shows nothing of it any more.
        self.verifier, self.callback, self.tokens, self.former_refresh_token, self.url = None, None, None, None, ""

    def _again(self) -> None:
        """Back to the sign-in, with a new verifier and a new link: what was used or refused is over."""
        if self.login and self.tokens:
            problem_of(self._revoke)
        with self._lock:
            self.at = STEPS.index("sign_in")
            self.done -= set(STEPS[self.at :])
            self.callback = self.tokens = self.former_refresh_token = self.forgery = None
            self.renewed_link = False
            former, self.login, self.verifier = self.login, None, new_code_verifier()
        if former:
            former.retire()
        self._make_link()

    # --- the ten steps ---

    def _do_verifier(self) -> None:
        self.verifier = new_code_verifier()

    def _do_challenge(self) -> None:
        """Nothing to fetch: the challenge follows from the verifier."""

    def _do_url(self) -> None:
        self._make_link()

    def _make_link(self) -> None:
        if self.verifier is None:
            raise LoginError("no_login_url")
        provider = find_provider(SignInRequest())  # started again, if it has ended since
        if self.login is None or self._catcher is None or self.login.provider.issuer != provider.issuer:
            self._catcher = self._catcher or CallbackCatcher(self._caught, self._knows)
            self.login = LessonLogin(self.verifier, self._catcher.listen(None, 0), provider)
        self.url = self.login.get_login_url()

    def _freshen_link(self) -> None:
        if self.login and not self.callback and self.login.open_seconds < _SPARE_SECONDS:
            self.url, self.renewed_link = self.login.get_login_url(), True

    def _knows(self, callback: Secret) -> bool:
        return self.login is not None and self.login.begun_at(callback, caught=True) is not None

    def _caught(self, url: str) -> Page:
        """Takes the callback off the browser. It is judged in step 6, when the person asks for it."""
        callback, login = Secret(url), self.login
        if login is None or self.callback is not None:
            return page("over", 410)
        if not self._knows(callback):
            problem = login.forged(callback)
            return refusal(problem, "") if problem else page("over", 410)
        if any(name == "error" for name, _ in parse_qsl(urlsplit(url).query)):
            problem = problem_of(lambda: login.accept(callback))
            with self._lock:
                self.problem, self.can_sign_in_again = problem, True
            self.changed()
            return refusal(problem, "") if problem else page("over", 410)
        with self._lock:
            self.callback = callback
            self.done.add("sign_in")
            catcher, self._catcher = self._catcher, None
        if catcher:  # this one answer is all it waited for; the browser gets its page before the port is given back
            threading.Thread(target=catcher.close, args=(_PAGE_SECONDS,), daemon=True).start()
        self.changed()
        return page("checking", 200)

    def _do_sign_in(self) -> None:
        """The person does it, in the browser."""
        raise LoginError("no_login_url")

    def _do_callback(self) -> None:
        """Nothing to fetch: the listener has it."""

    def _do_state(self) -> None:
        if self.login is None or self.callback is None:
            raise LoginError("no_login_url")
        self.login.accept(self.callback)

    def _forge(self) -> None:
        if self.login is None:
            raise LoginError("no_login_url")
        made_up = urlencode({"code": secrets.token_urlsafe(32), "state": secrets.token_urlsafe(32)})
        problem = self.login.forged(Secret(f"{self.login.redirect_uri}?{made_up}"))
        if problem:
            self.forgery = Forgery(problem.code, f"{problem.what()} {problem.next()}")

    def _do_exchange(self) -> None:
        if self.login is None:
            raise LoginError("no_login_url")
        self.tokens = self.login.exchange()

    def _do_tokens(self) -> None:
        """Nothing to fetch: they are here."""

    def _do_renewal(self) -> None:
        if self.login is None or self.tokens is None or self.tokens.refresh_token is None:
            raise LoginError("no_login_url")
        answer = self.login.endpoint.refresh(self.tokens.refresh_token)
        self.former_refresh_token = self.tokens.refresh_token
        self.tokens = replace(
            self.tokens,
            access_token=answer.access_token,
            refresh_token=answer.refresh_token or self.tokens.refresh_token,
            expires_at=answer.expires_at,
        )

    def _do_revocation(self) -> None:
        if self.login is None or self.tokens is None:
            raise LoginError("no_login_url")
        self._revoke()
        bearer = Secret(f"Bearer {self.tokens.access_token.reveal()}")
        url = f"{self.login.provider.api_base}/v1/profile"
        answer = self.login.asked_api(url, bearer)
        self.api_status = answer.status

    def _revoke(self) -> None:
        if self.login is None or self.tokens is None:
            return
        if self.tokens.refresh_token:
            self.login.endpoint.revoke(self.tokens.refresh_token, "refresh_token")
        self.login.endpoint.revoke(self.tokens.access_token, "access_token")

    # --- what there is to see ---

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The parameters of the login URL; `state` and `nonce` among them are secret."""
        return parse_qsl(urlsplit(self.url).query)

    @property
    def came_back(self) -> dict[str, str]:
        """The parameters of the callback; `code` and `state` among them are secret."""
        return dict(parse_qsl(urlsplit(self.callback.reveal()).query)) if self.callback else {}

    def recorded(self) -> tuple[Step, ...]:
        """What the sign-in has recorded, without a secret."""
        return self.login.steps() if self.login else ()

    def secret(self, name: str) -> Secret | None:
        """Gives a secret of this sign-in for its five seconds on the screen; at the sandbox only."""
        if self.login is not None and self.login.provider.name != "sandbox":
            return None
        state, nonce = self.login.newest if self.login and self.url else ("", "")
        tokens = self.tokens
        there: dict[str, Secret | str | None] = {
            "code_verifier": self.verifier,
            "state": state,
            "nonce": nonce,
            "code": self.came_back.get("code"),
            "access_token": tokens.access_token if tokens else None,
            "refresh_token": tokens.refresh_token if tokens else None,
            "id_token": tokens.id_token if tokens else None,
        }
        found = there.get(name)
        return Secret(found) if isinstance(found, str) and found else found if isinstance(found, Secret) else None

    @property
    def id_token_header(self) -> dict[str, Any]:
        """The header of the ID token, decoded; its signature was checked in step 7."""
        if not self.tokens or not self.tokens.id_token:
            return {}
        part = self.tokens.id_token.reveal().partition(".")[0]
        decoded = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return decoded if isinstance(decoded, dict) else {}


def tried(given: str) -> tuple[str, int] | None:
    """Gives the challenge of a verifier that a person typed, and in how many characters it differs from the example's.

    Returns:
        None if it is no verifier (RFC 7636 section 4.1).
    """
    try:
        challenge = code_challenge(Secret(given))
    except ValueError:
        return None
    example = code_challenge(Secret(EXAMPLE))
    return challenge, sum(a != b for a, b in zip(challenge, example, strict=True))
