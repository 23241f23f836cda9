"""Judges an exercise by the sandbox's own request log, and by nothing else. Pure: events in, ticks out.

An exercise has two halves: with the defence off the attack has to succeed, with it on the same attack has to be tried
and to fail for the stated reason. A half is a list of steps. Steps that belong together are bound by the *grant*: the
consent that a code or a token came from. So a code that nobody was given proves nothing, and neither does the
attacker's own. A refusal counts only with the cause that the exercise is about: an OAuth error code has many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

VICTIM, ATTACKER = "demo", "kanzlei"
_REFUSED_CODE = ("invalid_grant", "invalid_request")
# The issuer's checks of which there are words, as `note.cause.<check>`; of any other there are `note.cause.other`.
CAUSES = (
    *("client", "redirect_uri", "redirect_uri_foreign", "response_type", "challenge_missing", "method", "challenge"),
    *("code_unknown", "code_used", "code_expired", "verifier"),
)


@dataclass(frozen=True)
class Event:
    """A request as the sandbox's log has it: who, where, what, and how it was answered. Nothing secret is in it.

    Attributes:
        check: At the issuer, which of its checks refused, as `verifier` or `code_used`.
        met: At the app, the address that was reached: `127.0.0.1` or `::1`.
        asked_by: Of a consent of the victim's, whose request it was: `app`, when her browser came straight from the
            app's own login, else `link`. It is not in the log, but follows from it.
    """

    n: int
    by: str
    at: str
    what: str
    path: str = ""
    status: int = 0
    error: str | None = None
    grant: str | None = None
    person: str | None = None
    grant_type: str | None = None
    pkce: str | None = None
    to: str | None = None
    session: str | None = None
    time: float = 0.0
    began: float | None = None
    check: str | None = None
    met: str | None = None
    asked_by: str | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Event:
        """Reads an entry of the log; members that are unknown here are passed over."""
        return cls(**{name: entry[name] for name in cls.__dataclass_fields__ if name in entry})

    @property
    def ok(self) -> bool:
        """Whether it was done: a page or a redirect without an error."""
        return 200 <= self.status < 400 and self.error is None


@dataclass(frozen=True)
class Tick:
    """One thing that has to have happened: `key` finds its words, `done` says whether it did."""

    key: str
    done: bool


@dataclass(frozen=True)
class Half:
    """One half of an exercise as the log shows it.

    Attributes:
        exercise: Its number.
        defence: Whether the defence was on.
        begun: Whether this half was begun at all.
        ticks: What has to happen, in order.
        notes: Keys of remarks on what was seen instead.
        refusal: A refused request: where, status, OAuth error code or the app's reason. Of a half that is done, the
            one by which the attack failed; else the attacker's last one.
    """

    exercise: int
    defence: bool
    begun: bool
    ticks: tuple[Tick, ...]
    notes: tuple[str, ...] = ()
    refusal: tuple[str, int, str] | None = None

    @property
    def done(self) -> bool:
        """Whether all of it happened."""
        return all(tick.done for tick in self.ticks)

    @property
    def count(self) -> int:
        """How much of it happened."""
        return sum(tick.done for tick in self.ticks)


@dataclass(frozen=True)
class Step:
    """What an event has to be like.

    Attributes:
        key: Names the step; its words are `tick.<exercise>.<off|on>.<key>`.
        test: Whether an event is the one.
        bound: Whether it has to be of the grant that is looked at.
        later: Whether it has to come after the event of the step before.
        never: It must *not* have happened. Counts only once all steps before it are done.
        cause: Which of the issuer's checks has to have refused; None where that does not matter.
        near: Finds the refusals that may have been meant for this one, but had another cause.
    """

    key: str
    test: Callable[[Event], bool]
    bound: bool = True
    later: bool = False
    never: bool = False
    cause: str | None = None
    near: Callable[[Event], bool] | None = None

    def fits(self, event: Event) -> bool:
        """Whether an event is the one, its cause included."""
        return self.test(event) and self.cause in (None, event.check)


def _is(by: str, at: str, what: str, **more: object) -> Callable[[Event], bool]:
    """A test for who sent what to whom; `more` are values, or tuples of the ones allowed."""
    wanted = {"by": by, "at": at, "what": what, **more}

    def test(event: Event) -> bool:
        return all(
            getattr(event, name) in value if isinstance(value, tuple) else getattr(event, name) == value
            for name, value in wanted.items()
        )

    return test


def _both(one: Callable[[Event], bool], other: Callable[[Event], bool]) -> Callable[[Event], bool]:
    return lambda event: one(event) and other(event)


def _either(one: Callable[[Event], bool], other: Callable[[Event], bool]) -> Callable[[Event], bool]:
    return lambda event: one(event) or other(event)


def _redirected_to(*hosts: str) -> Callable[[Event], bool]:
    return lambda event: any((event.to or "").startswith(f"http://{host}:") for host in hosts)


def _done(event: Event) -> bool:
    return event.ok


_STARTED = _is("browser", "app", "start")
_CONSENT = _both(_is("browser", "issuer", "consent", person=VICTIM), _done)
_EXCHANGED = _is("attacker", "issuer", "token", status=200, grant_type="authorization_code", person=VICTIM)
_READ = _is("attacker", "issuer", ("api", "userinfo"), status=200, person=VICTIM)  # type: ignore[arg-type]  # a tuple
_REFUSED = _is(
    "attacker", "issuer", "token", status=400, grant_type="authorization_code", person=VICTIM, error=_REFUSED_CODE
)
_APP_EXCHANGED = _is("app", "issuer", "token", status=200, grant_type="authorization_code")

_SIGNED_IN = Step("signed_in", _CONSENT)
# The victim's own sign-in: one that the attacker began, with a link, is another exercise.
_BEGUN = Step("started", _STARTED, bound=False)
_OWN_SIGN_IN = Step("signed_in", _both(_CONSENT, lambda event: event.asked_by == "app"))
_STOLEN = (Step("exchanged", _EXCHANGED), Step("read", _READ))
_SHOWN_TO_ME = _is("attacker", "app", "me", status=200, person=VICTIM)
# Of no grant: with the defence on she is to be safe, and not only from the attempt that failed.
_NOTHING_READ = Step("nothing_read", _either(_READ, _SHOWN_TO_ME), bound=False, never=True)
_SHOWN_AS_HERS = _is("browser", "app", "me", status=200, person=ATTACKER)
_ASKED = _is("attacker", "issuer", "token")
_OPENED = _is("browser", "issuer", "authorize")
_INJECTED = _is("app", "issuer", "token", session="attacker")

STEPS: dict[tuple[int, bool], tuple[Step, ...]] = {
    (1, False): (_BEGUN, _OWN_SIGN_IN, *_STOLEN),
    (1, True): (_BEGUN, _OWN_SIGN_IN, Step("refused", _REFUSED, cause="verifier", near=_ASKED), _NOTHING_READ),
    (2, False): (
        Step("stripped", _both(_is("browser", "issuer", "authorize", pkce="none"), _done), bound=False),
        _SIGNED_IN,
        *_STOLEN,
    ),
    (2, True): (
        Step(
            "refused",
            _both(_OPENED, lambda event: event.pkce == "none" and event.error == "invalid_request"),
            bound=False,
            cause="challenge_missing",
            near=_OPENED,
        ),
        _NOTHING_READ,
    ),
    (3, False): (
        _BEGUN,
        Step("plain", _both(_is("browser", "issuer", "authorize", pkce="plain"), _done), bound=False),
        _OWN_SIGN_IN,
        Step("exchanged", _both(_EXCHANGED, lambda event: event.pkce == "verifier")),
        Step("read", _READ),
    ),
    (3, True): (
        _BEGUN,
        Step("s256", _both(_is("browser", "issuer", "authorize", pkce="S256"), _done), bound=False),
        _OWN_SIGN_IN,
        Step(
            "refused",
            _both(_REFUSED, lambda event: event.pkce == "verifier" and event.error == "invalid_grant"),
            cause="verifier",
            near=_ASKED,
        ),
        _NOTHING_READ,
    ),
    (4, False): (
        Step("own_code", _both(_is("attacker", "issuer", "consent", person=ATTACKER), _done)),
        Step("exchanged", _both(_APP_EXCHANGED, lambda event: event.person == ATTACKER)),
        Step("used", _is("browser", "app", "me", status=200, session="victim")),
    ),
    (4, True): (
        Step("own_code", _both(_is("attacker", "issuer", "consent", person=ATTACKER), _done)),
        Step("refused", _is("browser", "app", "callback", error="state_mismatch")),
        Step(
            "not_exchanged",
            _either(_is("app", "issuer", "token", person=ATTACKER, session="victim"), _SHOWN_AS_HERS),
            bound=False,
            never=True,
        ),
    ),
    (5, False): (
        _SIGNED_IN,
        Step("own_login", _is("attacker", "app", "start", session="attacker"), bound=False),
        Step("exchanged", _both(_APP_EXCHANGED, lambda event: event.person == VICTIM)),
        Step("used", _is("attacker", "app", "me", status=200, session="attacker")),
    ),
    (5, True): (
        _SIGNED_IN,
        Step("own_login", _is("attacker", "app", "start", session="attacker"), bound=False),
        Step(
            "refused",
            _both(_INJECTED, _is("app", "issuer", "token", status=400, error=_REFUSED_CODE, person=VICTIM)),
            cause="verifier",
            near=_INJECTED,
        ),
        Step("not_used", _SHOWN_TO_ME, bound=False, never=True),
    ),
    (6, False): (
        Step("app_exchanged", _both(_APP_EXCHANGED, lambda event: event.person == VICTIM)),
        Step("exchanged", _EXCHANGED, later=True),
        Step("read", _READ),
    ),
    (6, True): (
        Step("app_exchanged", _both(_APP_EXCHANGED, lambda event: event.person == VICTIM)),
        Step(
            "refused",
            _both(_REFUSED, lambda event: event.error == "invalid_grant"),
            later=True,
            cause="code_used",
            near=_ASKED,
        ),
        Step("signed_out", _both(_is("browser", "app", "me"), lambda event: event.status != 200), False, later=True),
        _NOTHING_READ,
    ),
    (7, False): (
        _SIGNED_IN,
        Step("redirected", _both(_is("browser", "app", "redirector"), _done), bound=False),
        *_STOLEN,
    ),
    (7, True): (
        # A redirect URI that begins with the registered one: any other is refused with the defence off as well.
        Step(
            "refused",
            _both(_OPENED, lambda event: event.status == 400 and event.to is None),
            bound=False,
            cause="redirect_uri",
            near=_OPENED,
        ),
        Step("not_redirected", _is("browser", "app", "redirector"), bound=False, never=True),
        _NOTHING_READ,
    ),
    (8, False): (
        Step("localhost", _both(_CONSENT, _redirected_to("localhost"))),
        *_STOLEN,
        Step("not_delivered", _is("browser", "app", "callback"), never=True),
    ),
    (8, True): (
        Step("tried", _is("attacker", "app", "other", path="/", met="::1"), bound=False),
        Step("literal", _both(_CONSENT, _redirected_to("127.0.0.1"))),
        Step("delivered", _both(_APP_EXCHANGED, lambda event: event.person == VICTIM)),
        _NOTHING_READ,
    ),
    (9, False): (
        Step("forwarded", _both(_is("browser", "second", "authorize"), _done), bound=False),
        _SIGNED_IN,
        Step("posted", _is("app", "second", "token")),
        *_STOLEN,
    ),
    (9, True): (
        Step("forwarded", _both(_is("browser", "second", "authorize"), _done), bound=False),
        _SIGNED_IN,
        Step("refused", _is("browser", "app", "callback", error="issuer_mismatch")),
        Step("not_posted", _is("app", "second", "token"), bound=False, never=True),
        _NOTHING_READ,
    ),
    (10, False): (
        _SIGNED_IN,
        Step("renewed", _is("app", "issuer", "token", status=200, grant_type="refresh_token")),
        Step(
            "twice",
            _is("app", "issuer", "token", status=400, error="invalid_grant", grant_type="refresh_token"),
        ),
        Step("signed_out", _both(_is("browser", "app", "me"), lambda event: event.status != 200), False, later=True),
    ),
    (10, True): (
        _SIGNED_IN,
        Step("renewed", _is("app", "issuer", "token", status=200, grant_type="refresh_token")),
        Step("both_served", _is("browser", "app", "me", status=200)),
        Step("once", _is("app", "issuer", "token", status=400, grant_type="refresh_token"), never=True),
    ),
}
NUMBERS = tuple(range(1, 11))


def judge(exercise: int, defence: bool, events: Iterable[Event] | None, is_cut: bool = False) -> Half:
    """Judges one half of an exercise.

    Args:
        exercise: 1 to 10.
        defence: Whether the defence was on while these events happened.
        events: What the log has of it, oldest first; None if this half was not begun.
        is_cut: Whether the log has lost the first of them, since it keeps the newest ones only.
    """
    steps = STEPS[exercise, defence]
    if events is None:
        return Half(exercise, defence, False, tuple(Tick(step.key, False) for step in steps))
    log = with_askers(sorted(events, key=lambda event: event.n))
    grants: list[str | None] = list(dict.fromkeys(event.grant for event in reversed(log) if event.grant))
    tried = [_ticks(exercise, steps, log, grant) for grant in grants or [None]]
    # A person may try often: the attempt that came furthest counts, the newest of equals.
    best = max(tried, key=lambda ticks: sum(tick.done for tick in ticks))
    half = Half(exercise, defence, True, best)
    if half.done:
        return replace(half, refusal=_end_of_the_attack(steps, log))
    notes = (*(("log_is_cut",) if is_cut else ()), *_notes(log), *_notes_of(half, log))
    return replace(half, notes=tuple(dict.fromkeys(notes)), refusal=_refusal(log))


def with_askers(log: Sequence[Event]) -> list[Event]:
    """The log with each consent of the victim's saying whose authorization request it answered."""
    events: list[Event] = []
    before = asked_by = None
    for event in log:
        if event.by == "browser" and event.at == "issuer" and event.what == "authorize":
            asked_by = "app" if before is not None and _STARTED(before) else "link"
        if event.by == "browser" and event.at == "issuer" and event.what == "consent":
            events.append(replace(event, asked_by=asked_by))
        else:
            events.append(event)
        before = event if event.by == "browser" else before
    return events


def _ticks(exercise: int, steps: Sequence[Step], log: Sequence[Event], grant: str | None) -> tuple[Tick, ...]:
    ticks: list[Tick] = []
    last: Event | None = None
    for step in steps:
        found = [event for event in log if (not step.bound or (grant and event.grant == grant)) and step.fits(event)]
        if step.later:
            found = [event for event in found if last is not None and event.n > last.n]
        if step.never:
            ticks.append(Tick(step.key, not found and all(tick.done for tick in ticks)))
        elif step.key == "both_served":
            ticks.append(Tick(step.key, _at_once(found, log, grant)))
        else:
            ticks.append(Tick(step.key, bool(found)))
            last = found[0] if found else last
    return tuple(ticks)


def _at_once(pages: Sequence[Event], log: Sequence[Event], grant: str | None) -> bool:
    """Whether two pages waited for one and the same renewal: both had begun before it was answered."""
    renewals = [
        event for event in log if event.grant == grant and event.at == "issuer" and event.grant_type == "refresh_token"
    ]
    return any(
        sum(page.n > renewal.n and (page.began is None or page.began <= renewal.time) for page in pages) > 1
        for renewal in renewals
    )


def _end_of_the_attack(steps: Sequence[Step], log: Sequence[Event]) -> tuple[str, int, str] | None:
    for step in steps:
        for event in reversed(log):
            if step.key == "refused" and step.fits(event):
                return f"{event.at}.{event.what}", event.status, event.error or ""
    return None


def _refusal(log: Sequence[Event]) -> tuple[str, int, str] | None:
    for event in reversed(log):
        if event.by == "attacker" and event.status >= 400:
            return f"{event.at}.{event.what}", event.status, event.error or ""
    return None


def _notes(log: Sequence[Event]) -> tuple[str, ...]:
    """What was seen that cannot lead anywhere."""
    notes = []
    tokens = [event for event in log if event.by == "attacker" and event.at == "issuer" and event.what == "token"]
    if not any(event.by == "attacker" for event in log) and not any(event.by == "browser" for event in log):
        notes.append("nothing_yet")
    if tokens and tokens[-1].status >= 400 and tokens[-1].grant is None:
        notes.append("made_up_code")
    if tokens and tokens[-1].status == 200 and tokens[-1].person == ATTACKER:
        notes.append("own_code")
    return tuple(notes)


def _notes_of(half: Half, log: Sequence[Event]) -> tuple[str, ...]:
    """What was seen that leads past this very exercise, or that it does not count for a reason of its own."""
    notes = []
    done = {tick.key: tick.done for tick in half.ticks}
    steps = {step.key: step for step in STEPS[half.exercise, half.defence]}
    if (
        half.exercise in (1, 3)
        and not done["signed_in"]
        and any(_CONSENT(event) and event.asked_by == "link" for event in log)
    ):
        notes.append("own_link")
    if "refused" in done and not done["refused"]:
        notes += _cause(steps["refused"], log)
    if half.defence and any(_READ(event) or _SHOWN_TO_ME(event) for event in log):
        notes.append("read_all_the_same")
    if half.exercise == 8 and any(_is("attacker", "app", "callback", person=VICTIM)(event) for event in log):
        notes.append("handed_on")
    if "tried" in done and not done["tried"] and any(_is("attacker", "app", "other", path="/")(e) for e in log):
        notes.append("wrong_address")
    return tuple(notes)


def _cause(step: Step, log: Sequence[Event]) -> list[str]:
    """Why the issuer really refused, if the last refusal of that kind had another cause than the one of the step."""
    if step.near is None:
        return []
    last = next((event for event in reversed(log) if step.near(event) and event.check is not None), None)
    if last is None or step.fits(last):
        return []
    if last.check == step.cause:
        return ["no_verifier"] if last.what == "token" and last.pkce == "none" else []
    if last.check == "code_unknown" and last.by == "attacker":
        return []  # `made_up_code` says so
    return [f"cause.{last.check if last.check in CAUSES else 'other'}"]
