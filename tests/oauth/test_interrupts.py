"""An interrupt, at any instant, leaves no secret in what a traceback can show."""

from __future__ import annotations

import base64
import secrets
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.ultratb import VerboseTB

from lexoffice_nb import errors, oauth
from lexoffice_nb.oauth import pkce
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_source import TokenSource
from lexoffice_nb.oauth.tokens import Secret
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI, as_json
from tests.oauth.signing_in import parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

pytestmark = [
    pytest.mark.usefixtures("swept"),
    # What is interrupted while it is made, a socket or http.client's response, is unmade by the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OURS = str(Path(oauth.__file__).parent)
SHIELD = errors.__file__
LIBRARIES = ("requests.", "urllib3.")
# Run by the garbage collector or a weak reference, where no exception can get out
NOBODY_CATCHES = {"__del__", "_close_pool_connections", "close", "closed"}
POINTS = 60
ACCESS, REFRESH, CLIENT_SECRET = "access-s3cr3t", "refresh-s3cr3t", "client-s3cr3t"
VERIFIER = "verifier-s3cr3t-" * 5


class Tracer:
    """Counts the instants at which a program can be interrupted, and interrupts it at one of them.

    Instants are each line of the package's protocol and of `shielded`, and each call of a function of the libraries.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.instants: list[str] = []

    def __enter__(self) -> Tracer:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        file = frame.f_code.co_filename
        if file.startswith(OURS) or file == SHIELD:
            self._instant(file)
            return self._line
        if str(frame.f_globals.get("__name__")).startswith(LIBRARIES) and frame.f_code.co_name not in NOBODY_CATCHES:
            self._instant(file)
        return None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._instant(frame.f_code.co_filename)
        return self._line

    def _instant(self, file: str) -> None:
        if len(self.instants) == self.at:
            self.instants.append(file)
            raise KeyboardInterrupt
        self.instants.append(file)


class Run:
    """One fresh run of a flow, with the secrets that must not be seen."""

    def __init__(self, server: misbehaving.Provider, provider: Provider) -> None:
        self.server = server
        self.attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider, CLIENT_SECRET)
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        self.secrets = [ACCESS, REFRESH, CLIENT_SECRET, pair, VERIFIER]

    def link(self) -> Callable[[], object]:
        return self.attempt.get_login_url

    def callback(self, **changes: object) -> Callable[[], object]:
        url = self.server.authorize(self.attempt.get_login_url(), **changes)
        self.secrets.append(parameters_of(url)["code"])
        secret = Secret(url)
        return lambda: self.attempt.handle_callback(secret)

    def source(self) -> TokenSource:
        tokens = self.attempt.handle_callback(self.server.authorize(self.attempt.get_login_url()))
        assert tokens.id_token is not None
        self.secrets.append(tokens.id_token.reveal())
        source = TokenSource()
        source.adopt(self.attempt)
        return source


def login(run: Run) -> Callable[[], object]:
    return run.callback()


def login_of_another_state(run: Run) -> Callable[[], object]:
    return run.callback(state="x" * 43)


def login_with_a_used_code(run: Run) -> Callable[[], object]:
    act = run.callback()
    run.server._granted.clear()
    return act


def login_with_a_bad_id_token(run: Run) -> Callable[[], object]:
    run.server.claims = {"aud": "another"}
    return run.callback()


def renewal(run: Run) -> Callable[[], object]:
    source = run.source()
    return lambda: source.renew(source.tokens.access_token)


def renewal_that_is_refused(run: Run) -> Callable[[], object]:
    source = run.source()
    run.server.raw["/token"] = as_json({"error": "invalid_grant"}, 400)
    return lambda: source.renew(source.tokens.access_token)


def log_out(run: Run) -> Callable[[], object]:
    return run.source().revoke


def link(run: Run) -> Callable[[], object]:
    return run.link()


FLOWS = (
    link,
    login,
    login_of_another_state,
    login_with_a_used_code,
    login_with_a_bad_id_token,
    renewal,
    renewal_that_is_refused,
    log_out,
)


def interrupted(act: Callable[[], object], at: int | None = None) -> tuple[BaseException | None, list[str]]:
    """Gives what came out of `act`, and the instants it went through.

    In a thread of its own: an exception out of a trace function can leave another one as "being handled" there.
    """
    tracer = Tracer(at)
    came_out: list[BaseException] = []

    def run() -> None:
        try:
            with tracer:
                act()
        except BaseException as error:
            came_out.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return (came_out[0] if came_out else None), tracer.instants


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__context__, each.__cause__]


def frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback:
        if traceback.tb_frame.f_code.co_filename != __file__:
            yield traceback.tb_frame
        traceback = traceback.tb_next


def everything_shown(error: BaseException) -> str:
    shown = []
    for each in chain(error):
        shown += [repr(each), str(each), repr(each.args), repr(vars(each))]
        for frame in frames(each.__traceback__):
            shown += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
            shown += [repr(vars(value)) for value in frame.f_locals.values() if hasattr(value, "__dict__")]
    return "\n".join(shown)


def below_the_test(error: BaseException) -> TracebackType | None:
    traceback = error.__traceback__
    while traceback and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def leaks(shown: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if secret in shown]


# A connection that was being closed at that instant is closed by the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("flow", FLOWS, ids=[flow.__name__ for flow in FLOWS])
@pytest.mark.case("statement/09-tracebacks")
def test_threat_08_an_interrupt_at_any_instant_leaves_no_secret(
    start: StartProvider, monkeypatch: pytest.MonkeyPatch, flow: Any
) -> None:
    random = secrets.token_urlsafe
    # Known before it is made, so that it is found in the moment of its making
    monkeypatch.setattr(pkce.secrets, "token_urlsafe", lambda octets: VERIFIER if octets == 64 else random(octets))
    server = start(token={"access_token": ACCESS, "refresh_token": REFRESH})
    server.metadata = {"revocation_endpoint": server.origin + "/revoke"}
    provider = Provider.discover(server.issuer, client_authentication="client_secret_basic")

    def fresh() -> Run:
        server.raw, server.claims, server.counts = {}, {}, type(server.counts)()
        return Run(server, provider)

    interrupted(flow(fresh()))  # imports, once
    _, instants = interrupted(flow(fresh()))
    assert len(instants) > 20
    # Each line of the shield, where an error is on its way out, and an even sample of all others.
    points = {n for n, file in enumerate(instants) if file == SHIELD}
    points |= set(range(0, len(instants), max(1, len(instants) // POINTS)))
    rendered: set[tuple[int, ...]] = set()
    for point in sorted(points):
        run = fresh()
        error, passed = interrupted(flow(run), point)
        if len(passed) <= point:
            continue  # this run was shorter
        assert isinstance(error, KeyboardInterrupt), (point, instants[point])
        assert leaks(everything_shown(error), run.secrets) == [], (point, instants[point])
        below = below_the_test(error)
        lines = tuple(frame.f_lineno for frame in frames(below))
        if below is not None and lines not in rendered:
            rendered.add(lines)
            assert leaks(VerboseTB().text(type(error), error, below), run.secrets) == [], (point, instants[point])
    assert rendered


def test_threat_08_a_callback_that_is_no_secret_is_seen_in_no_frame_but_the_first(start: StartProvider) -> None:
    """The caller has the string anyway; what is below never shows it."""
    server = start()
    provider = Provider.discover(server.issuer)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider)
    url = server.authorize(attempt.get_login_url())
    _, instants = interrupted(lambda: attempt.handle_callback(url))
    for point in range(6, len(instants), 40):
        attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], provider)
        url = server.authorize(attempt.get_login_url())
        error, _ = interrupted(lambda u=url, a=attempt: a.handle_callback(u), point)
        assert isinstance(error, KeyboardInterrupt)
        assert leaks(everything_shown(error), [parameters_of(url)["code"]]) == [], point


def test_threat_08_an_attempt_that_was_interrupted_is_used_up_and_the_next_works(start: StartProvider) -> None:
    server = start()
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], Provider.discover(server.issuer))
    callback = server.authorize(attempt.get_login_url())
    _, instants = interrupted(lambda: attempt.handle_callback(callback))
    callback = server.authorize(attempt.get_login_url())
    error, _ = interrupted(lambda: attempt.handle_callback(callback), len(instants) // 2)
    assert isinstance(error, KeyboardInterrupt)
    assert not attempt.open
    assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"


def test_the_search_finds_a_secret_that_is_there() -> None:
    """A search that finds nothing anywhere would prove nothing."""
    namespace: dict[str, Any] = {}
    source = "def send(form):\n    body = form['code']\n    raise KeyboardInterrupt"
    exec(compile(source, "elsewhere.py", "exec"), namespace)
    error, _ = interrupted(lambda: namespace["send"]({"code": "s3cr3t"}))
    assert error is not None
    assert leaks(everything_shown(error), ["s3cr3t"]) == ["s3cr3t"]
    assert "s3cr3t" in VerboseTB().text(type(error), error, below_the_test(error))
    wrapped = ValueError()
    wrapped.__cause__ = error
    assert leaks(everything_shown(wrapped), ["s3cr3t"]) == ["s3cr3t"]


def test_no_thread_of_a_login_outlives_it(start: StartProvider) -> None:
    server = start()
    before = set(threading.enumerate())
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid"], Provider.discover(server.issuer))
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    for thread in set(threading.enumerate()) - before:
        if thread.name == "lexoffice-nb deadline":
            thread.join(5)
            assert not thread.is_alive()
