"""The X-ray's recorder: writes down what a sign-in did, with everything secret replaced when it is recorded.

Nothing that came from a server or a browser is kept as it is, unless it is one of the words known beforehand: of all
else, only what it is and how long it is (`Hidden`). So no secret, no part of one and no hash of one gets in here. The
PKCE challenge stays, since it is public: it went through the browser's address bar (RFC 7636 section 4.3).
"""

from __future__ import annotations

import json
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec
from urllib.parse import parse_qsl, urlencode, urlsplit

from lexoffice_nb.errors import ApiError, LoginError
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Answer, Origin, fetch
from lexoffice_nb.texts import has_text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

P = ParamSpec("P")
OTHERS = "…"  # the name that stands for all members that may not be named; its value is how many there are
BROWSER, NOTEBOOK, LEXOFFICE, ATTACKER = "browser", "notebook", "lexoffice", "attacker"
LANES = (BROWSER, NOTEBOOK, LEXOFFICE, ATTACKER)
MOST_STEPS = 64  # of the sign-in itself
MOST_LATER_STEPS = 40  # renewals and what else comes afterwards, the newest
MOST_PARAMETERS = 40
LONGEST_VALUE = 200
LONGEST_CALLBACK = 16_000

# What we send ourselves and anybody may see. Whatever is not listed here is hidden.
_PUBLIC = frozenset(
    {
        *("response_type", "client_id", "scope", "code_challenge", "code_challenge_method", "max_age", "prompt"),
        *("grant_type", "token_type_hint"),
    }
)
_PUBLIC_URLS = frozenset({"redirect_uri", "resource"})
# Names that may stand in an answer. Any other name could carry something itself, so it is only counted.
_NAMES = frozenset(
    {
        *("access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope", "issued_token_type"),
        *("error", "error_description", "error_uri", "code", "state", "iss", "session_state", "keys"),
        *("sub", "name", "given_name", "family_name", "preferred_username", "email", "email_verified", "locale"),
        *("updated_at", "organization", "org_name"),
    }
)
_ERRORS = frozenset(
    {
        # RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707 section 2, RFC 6750 section 3.1
        *("access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "invalid_target"),
        *("invalid_token", "insufficient_scope", "server_error", "temporarily_unavailable", "unauthorized_client"),
        *("unsupported_grant_type", "unsupported_response_type", "unsupported_token_type"),
        # OpenID Connect Core section 3.1.2.6
        *("interaction_required", "login_required", "account_selection_required", "consent_required"),
    }
)
_CONTENT_TYPES = frozenset(
    {
        *("application/json", "application/jwt", "application/jwk-set+json", "application/problem+json"),
        *("text/html", "text/plain"),
    }
)
_BEARER = "bearer"
_LONGEST_LIFE = 10**9  # seconds; a number that is longer is no life


@dataclass(frozen=True)
class Hidden:
    """What stands in place of a value: what it was, and its length in characters.

    Attributes:
        kind: `code`, `state`, `nonce`, `code_verifier`, `access_token`, …, or `value`.
        length: in characters.
    """

    kind: str
    length: int

    def words(self, language: str | None = None) -> str:
        """Says it in a language: `‹code, 43 characters›`."""
        kind = text(f"trace.kind.{self.kind}" if has_text(f"trace.kind.{self.kind}") else "trace.kind.value", language)
        return text("trace.hidden", language, kind=kind, count=self.length)

    def __str__(self) -> str:
        return self.words("en")


Parameter = tuple[str, "str | Hidden"]


@dataclass(frozen=True)
class Step:
    """One thing that happened in a sign-in, without a secret.

    Attributes:
        title: what it was: `discovery`, `login_url`, `sign_in`, `callback`, `callback_checked`, `token`, `jwks`,
            `id_token_checked`, `profile`, `userinfo`, `refresh` or `revocation`; its words are in the texts.
        at: when it began (UTC).
        sender: the lane it comes from: `browser`, `notebook`, `lexoffice` (the provider) or `attacker`.
        receiver: the lane it goes to; the same one where something was only checked.
        method: of the HTTP request, or empty.
        url: scheme, host and path; never a query.
        sent: what went along, by name: the query of a GET, the form of a POST, or what was compared.
        status: of the HTTP answer, or None.
        content_type: of the answer, where it is a usual one.
        received: what came back, by name.
        sent_octets: the length of the form, or None.
        received_octets: the length of the answer's body, or None.
        seconds: from the first octet sent to the last one received, or None.
        error: the code of the error that it ended with, or empty.
        seen: whether this program took part. What happens between the browser and the provider is concluded.
        login: which login URL it belongs to, from 1; 0 for all.
    """

    title: str
    at: datetime
    sender: str
    receiver: str
    method: str = ""
    url: str = ""
    sent: tuple[Parameter, ...] = ()
    status: int | None = None
    content_type: str = ""
    received: tuple[Parameter, ...] = ()
    sent_octets: int | None = None
    received_octets: int | None = None
    seconds: float | None = None
    error: str = ""
    seen: bool = True
    login: int = 0


def _harmless(record: Callable[P, None]) -> Callable[P, None]:
    """What cannot be recorded is lost: a sign-in never fails because somebody watches it."""

    @wraps(record)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> None:
        with suppress(Exception):
            record(*args, **kwargs)

    return recorded


class Recorder:
    """Collects the steps of one `LexofficeLogin` and of what its tokens are used for afterwards. Bounded in size."""

    def __init__(self, words: Iterable[str] = (), before: Iterable[Step] = ()) -> None:
        """Begins empty.

        Args:
            words: the scopes that are asked for, and the issuer: they may be shown where an answer repeats them.
            before: what happened already: how the provider was described.
        """
        self._words = frozenset((*words, "read", "write"))  # the vendor's names for all scopes
        self._login: deque[Step] = deque(before, maxlen=MOST_STEPS)
        self._later: deque[Step] = deque(maxlen=MOST_LATER_STEPS)
        self._left_out = 0
        self._answered = 0
        self._finished = False

    def steps(self) -> tuple[Step, ...]:
        """Gives what was recorded, in the order of time; of several login URLs the one that was answered last."""
        kept = [s for s in tuple(self._login) if not self._answered or s.login in (0, self._answered)]
        return tuple(sorted((*kept, *tuple(self._later)), key=lambda step: step.at))

    @property
    def left_out(self) -> int:
        """How many older steps were dropped, so that a session that renews itself for days does not grow."""
        return self._left_out

    def finish(self) -> None:
        """The sign-in is complete: from now on only the newest steps are kept beside it."""
        self._finished = True

    def _add(self, step: Step) -> None:
        # No lock: a deque takes a step as a whole, and a process that is forked would inherit a lock that is held.
        steps = self._later if self._finished else self._login
        self._left_out += len(steps) == steps.maxlen
        steps.append(step)

    # --- what a sign-in tells ---

    @_harmless
    def login_url(self, login: int, endpoint: str, parameters: Iterable[tuple[str, str]]) -> None:
        """Records a login URL: the authorization request that the browser is to make (RFC 6749 section 4.1.1)."""
        sent = tuple(_sent(name, value) for name, value in tuple(parameters)[:MOST_PARAMETERS])
        self._add(Step("login_url", _now(), NOTEBOOK, BROWSER, "GET", bare(endpoint), sent, login=login))

    @_harmless
    def callback(
        self, given: Secret, redirect_uri: str, *, login: int = 0, error: str = "", endpoint: str = ""
    ) -> None:
        """Records a callback and whether it was accepted.

        Args:
            given: the URL as it was pasted or caught.
            redirect_uri: where it should have led; the only address that is kept.
            login: the login URL that it answers; 0 for none.
            error: why it was refused.
            endpoint: where the person signed in, if the callback proves that somebody did.
        """
        now, came = _now(), self._callback_parameters(given.reveal())
        if login:
            self._answered = login
        if endpoint:
            self._add(Step("sign_in", now, BROWSER, LEXOFFICE, "GET", bare(endpoint), seen=False, login=login))
        self._add(Step("callback", now, BROWSER, NOTEBOOK, "GET", bare(redirect_uri), came, login=login))
        compared: list[Parameter] = [] if error else [("redirect_uri", bare(redirect_uri))]
        compared += [each for each in came if not error and each[0] in ("state", "iss")]
        step = Step("callback_checked", now, NOTEBOOK, NOTEBOOK, sent=tuple(compared), error=error, login=login)
        self._add(step)

    def _callback_parameters(self, url: str) -> tuple[Parameter, ...]:
        try:
            if len(url) > LONGEST_CALLBACK:
                raise ValueError
            pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            return ((OTHERS, Hidden("value", len(url))),)
        return self._received(pairs)

    @_harmless
    def id_token(self, checked: Iterable[Parameter], *, error: str = "") -> None:
        """Records the checks of an ID token (OpenID Connect Core section 3.1.3.7), and which one it did not pass."""
        step = Step("id_token_checked", _now(), NOTEBOOK, NOTEBOOK, sent=tuple(checked), error=error)
        self._add(self._of_this_login(step))

    @contextmanager
    def api_call(self, title: str, url: str, token: Secret) -> Iterator[None]:
        """Records a GET of the API; of its answer only whether there was one. Errors pass through."""
        at, begun = _now(), time.monotonic()
        status, error = None, "interrupted"
        try:
            yield
            status, error = 200, ""
        except ApiError as refusal:
            status, error = refusal.status, refusal.code
            raise
        except LoginError as refusal:
            error = refusal.code
            raise
        finally:
            sent = (("Authorization", Hidden("bearer", len(token.reveal()))),)
            passed = time.monotonic() - begun
            self._add(Step(title, at, NOTEBOOK, LEXOFFICE, "GET", bare(url), sent, status, seconds=passed, error=error))

    # --- requests ---

    def _of_this_login(self, step: Step) -> Step:
        return step if self._finished else Step(**{**step.__dict__, "login": self._answered})

    @_harmless
    def exchange(
        self,
        title: str,
        method: str,
        url: str,
        sent: Mapping[str, str | Secret],
        at: datetime,
        seconds: float,
        *,
        answer: Answer | None,
        error: str,
    ) -> None:
        """Records one request of ours, and how it ended: with an answer, or with the code of an error."""
        received: tuple[Parameter, ...] = ()
        if answer is not None:
            received = self._answer(answer)
            error = "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        form = {name: value for name, value in sent.items() if name != "Authorization"}
        step = Step(
            title,
            at,
            NOTEBOOK,
            LEXOFFICE,
            method,
            bare(url),
            tuple(_sent(name, value) for name, value in tuple(sent.items())[:MOST_PARAMETERS]),
            answer.status if answer is not None else None,
            _content_type(answer) if answer is not None else "",
            received,
            _octets(form) if method == "POST" else None,
            len(answer.body) if answer is not None else None,
            seconds,
            error,
        )
        self._add(self._of_this_login(step))

    def _answer(self, answer: Answer) -> tuple[Parameter, ...]:
        try:
            members = answer.json()
        except ValueError:
            return ()
        return self._received(members.items()) if isinstance(members, dict) else ()

    def _received(self, pairs: Iterable[tuple[str, Any]]) -> tuple[Parameter, ...]:
        """Gives the members of an answer that may be shown; how many others there were comes last."""
        pairs = tuple(pairs)
        known = [(name, self._came(name, value)) for name, value in pairs if name in _NAMES][:MOST_PARAMETERS]
        others = len(pairs) - len(known)
        return (*known, (OTHERS, str(others))) if others else tuple(known)

    def _came(self, name: str, value: Any) -> str | Hidden:
        if name == "expires_in" and type(value) is int and 0 <= value < _LONGEST_LIFE:
            return str(value)
        if name == "keys" and isinstance(value, list):
            return str(len(value))
        if not isinstance(value, str):
            return Hidden("value", len(json.dumps(value)))
        if name == "token_type" and value.lower() == _BEARER:
            return value
        if name == "error" and value in _ERRORS:
            return value
        if name == "iss" and value in self._words:
            return value
        if name == "scope" and value and self._words.issuperset(value.split(" ")):
            return value[:LONGEST_VALUE]
        return Hidden(name, len(value))


def observed(
    recorder: Recorder | None,
    method: str,
    url: str,
    *,
    title: str = "",
    stage: str,
    limit: int,
    form: Mapping[str, str | Secret] | None = None,
    headers: Mapping[str, str | Secret] | None = None,
) -> Answer:
    """Does what `fetch` does, and lets a recorder see it. The recorder decides nothing: what it cannot read is lost.

    Args:
        recorder: who sees it, or None.
        title: what the step is called; the stage where nothing is said.
        method: as all that follow, as for `fetch`.
        url: see there.
        stage: see there.
        limit: see there.
        form: see there.
        headers: see there.

    Raises:
        LoginError: as `fetch`.
    """
    at, begun = _now(), time.monotonic()
    sent = {**(form or {}), **{name: value for name, value in (headers or {}).items() if name == "Authorization"}}
    answer, code = None, "interrupted"
    try:
        answer = fetch(method, url, stage=stage, limit=limit, form=form, headers=headers)
        return answer
    except LoginError as error:
        code = error.code
        raise
    finally:
        if recorder is not None:
            passed = time.monotonic() - begun
            recorder.exchange(title or stage, method, url, sent, at, passed, answer=answer, error=code)


def bare(url: str) -> str:
    """Gives scheme, host and path of a URL: what else it has may be anything."""
    parts = urlsplit(url)
    return f"{Origin.of(url)}{parts.path}"[:LONGEST_VALUE]


def _now() -> datetime:
    return datetime.now(UTC)


def _sent(name: str, value: str | Secret) -> Parameter:
    if isinstance(value, Secret):
        plain = value.reveal()
        scheme, blank, rest = plain.partition(" ")
        if name == "Authorization" and blank and scheme in ("Basic", "Bearer"):
            return name, Hidden(scheme.lower(), len(rest))
        return name, Hidden(name, len(plain))
    if name in _PUBLIC_URLS:
        return name, bare(value)
    return name, value[:LONGEST_VALUE] if name in _PUBLIC else Hidden(name, len(value))


def _octets(form: Mapping[str, str | Secret]) -> int:
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
    return len(urlencode(plain))


def _content_type(answer: Answer) -> str:
    given = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    kind = given.partition(";")[0].strip().lower()
    return kind if kind in _CONTENT_TYPES else ""
