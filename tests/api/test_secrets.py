"""No token in a response, an exception or a traceback, whatever happens and whenever."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core import ultratb

from lexoffice_nb import LexofficeSession, Provider, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.usefixtures("swept"),
    # What is interrupted while it is made, a socket or http.client's response, is unmade by the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

INSIDE = ("lexoffice_nb.", "requests.", "urllib3.", "http.client")
NOT_DATA = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType)


def secrets_of(session: LexofficeSession) -> list[str]:
    tokens = session.tokens
    return [s.reveal() for s in (tokens.access_token, tokens.refresh_token, tokens.id_token) if s is not None]


def reachable(start: object) -> Iterator[object]:
    seen: set[int] = set()
    todo = [start]
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, NOT_DATA):
            continue
        seen.add(id(each))
        yield each
        todo += gc.get_referents(each)


def shown_by(error: BaseException | None) -> Iterator[str]:
    """All that a debugger or an error tracker would show of an exception: its values, and those of its frames."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield repr(each) + repr(vars(each)) + repr(each.args)
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_globals.get("__name__", "").startswith(("lexoffice_nb", "requests", "urllib3", "http")):
                yield from (f"{frame.f_code.co_qualname} {k}={_repr(v)}" for k, v in frame.f_locals.items())
        todo += [each.__context__, each.__cause__]


def _repr(value: object) -> str:
    try:
        return repr(value)
    except AttributeError:  # an object whose making was interrupted
        return str(vars(value))


def verbose(error: BaseException) -> str:
    kind = type(error)
    return ultratb.VerboseTB(theme_name="nocolor", tb_offset=0).text(kind, error, error.__traceback__)


def interrupted_at(event: int, work: Callable[[], Any]) -> BaseException | None:
    """Runs `work` and lets Ctrl-C come at the n-th line, call or return inside of us, requests or urllib3."""
    count = 0

    def trace(frame: types.FrameType, kind: str, arg: Any) -> Any:
        nonlocal count
        if not (frame.f_globals.get("__name__") or "").startswith(INSIDE):
            return None
        count += 1
        if count == event:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(before)
    except BaseException as error:
        return error
    return None


def events_of(work: Callable[[], Any]) -> int:
    count = 0

    def trace(frame: types.FrameType, kind: str, arg: Any) -> Any:
        nonlocal count
        if not (frame.f_globals.get("__name__") or "").startswith(INSIDE):
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except errors.LexofficeError:
        pass
    finally:
        sys.settrace(before)
    return count


class TestThreat07:
    @pytest.fixture(params=["plain", "redirect", "unfollowed", "renewed", "head", "stream", "own header"])
    def response(self, request, box, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/hop"})]
        server.answers["/hop"] = [answer(307, headers={"Location": "/v1/profile"})]
        server.answers["/v1/x"] = [answer(401), answer.of({"a": 1})]
        response = {
            "plain": lambda: elsewhere.get("/v1/profile"),
            "redirect": lambda: elsewhere.get("/go"),
            "unfollowed": lambda: elsewhere.get("/go", allow_redirects=False),
            "renewed": lambda: elsewhere.get("/v1/x"),
            "head": lambda: elsewhere.head("/go"),
            "stream": lambda: elsewhere.get("/v1/profile", stream=True),
            "own header": lambda: elsewhere.get(
                "/go", headers={"Authorization": f"Bearer {secrets_of(elsewhere)[0]}"}, allow_redirects=False
            ),
        }[request.param]()
        yield response
        response.close()

    def test_no_response_leads_to_a_token(self, response, elsewhere):
        secrets = secrets_of(elsewhere)
        found = list(reachable(response))
        assert response in found
        assert response.url in found
        for each in found:
            if isinstance(each, (str, bytes)):
                text = each if isinstance(each, str) else each.decode("latin-1")
                assert not any(secret in text for secret in secrets)

    def test_no_response_nor_its_history_holds_an_authorization_header(self, response):
        answers = [response, *response.history]
        requests_of = [each.request for each in answers] + [each.next for each in answers if each.next]
        assert requests_of
        for request in requests_of:
            assert {"authorization", "dpop", "cookie"}.isdisjoint(name.lower() for name in request.headers)

    def test_no_pickled_response_holds_a_token(self, response, elsewhere):
        pickled = pickle.dumps(response)
        assert b"Authorization" not in pickled
        assert not any(secret.encode() in pickled for secret in secrets_of(elsewhere))
        assert pickle.loads(pickled).url == response.url

    def test_no_error_leads_to_a_token(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer.of({"message": "no"}, 500)]
        with pytest.raises(errors.ServerTrouble) as refused:
            elsewhere.get("/v1/x")
        error = refused.value.with_traceback(None)
        for each in reachable(error):
            assert not (isinstance(each, str) and any(secret in each for secret in secrets_of(elsewhere)))
        assert not any(secret.encode() in pickle.dumps(error) for secret in secrets_of(elsewhere))

    def test_the_walk_would_find_one(self, elsewhere):
        response = elsewhere.get("/v1/profile")
        response.request.headers["Authorization"] = f"Bearer {secrets_of(elsewhere)[0]}"
        assert any(isinstance(each, str) and secrets_of(elsewhere)[0] in each for each in reachable(response))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ctrl-C inside urllib3 can come before it has its socket
class TestThreat08:
    @pytest.fixture(autouse=True)
    def sockets(self):
        yield
        gc.collect()

    def check(self, error: BaseException, secrets: list[str]) -> None:
        shown = "\n".join(shown_by(error))
        assert [secret for secret in secrets if secret in shown] == []
        text = verbose(error)
        assert [secret for secret in secrets if secret in text] == []

    def test_the_check_would_find_one(self, session):
        secret = secrets_of(session)[0]

        def leak(header: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            leak(f"Bearer {secret}")
        assert secret in verbose(caught.value)

    def test_an_interrupt_of_a_request_at_any_instant_shows_no_token(self, elsewhere):
        secrets = secrets_of(elsewhere)
        elsewhere.get("/v1/profile")  # what is imported or read once is out of the way
        events = events_of(lambda: elsewhere.get("/v1/profile"))
        assert events > 500
        interrupts = 0
        for event in range(1, events, 7):
            error = interrupted_at(event, lambda: elsewhere.get("/v1/profile"))
            if error is not None:
                interrupts += isinstance(error, KeyboardInterrupt)
                assert [s for s in secrets for shown in shown_by(error) if s in shown] == []
                if event % 5 == 0:
                    self.check(error, secrets)
        assert interrupts > 60

    def test_an_interrupt_of_a_renewal_at_any_instant_shows_no_token(self, box, elsewhere, server, answer, signed_in):
        profile = server.answers["/v1/profile"][0]

        def renewed(session: LexofficeSession) -> Callable[[], Any]:
            server.answers["/v1/x"] = [answer(401), profile]
            return lambda: session.get("/v1/x")

        renewed(elsewhere)()
        events = events_of(renewed(elsewhere))
        interrupts = 0
        for event in range(events // 3, events, events // 40):
            session = signed_in(box, api=server.url)  # a lost rotation ends a sign-in, so each has its own
            secrets = secrets_of(session)
            error = interrupted_at(event, renewed(session))
            secrets += secrets_of(session)
            if error is not None:
                interrupts += 1
                self.check(error, secrets)
        assert interrupts > 20

    def test_an_interrupt_while_an_error_is_handled_shows_no_token(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(0)]
        elsewhere.max_attempts = 2  # one retry is among what is interrupted
        secrets = secrets_of(elsewhere)

        def work() -> None:
            elsewhere.get("/v1/x")

        events = events_of(work)
        for event in range(max(1, events - 400), events, 5):
            error = interrupted_at(event, work)
            assert error is not None
            self.check(error, secrets)

    @pytest.mark.parametrize("what", ["hang up", "timeout", "500", "401", "json", "broken off", "redirect"])
    def test_no_error_shows_a_token(self, elsewhere, server, answer, what):
        secrets = secrets_of(elsewhere)
        server.answers["/v1/x"] = [
            {
                "hang up": answer(0),
                "timeout": answer(200, seconds=5),
                "500": answer(500),
                "401": answer(401),
                "json": answer(200, b"<"),
                "broken off": answer(200, promised=99),
                "redirect": answer(302, headers={"Location": "http://api.invalid/"}),
            }[what]
        ]
        with pytest.raises(errors.ApiError) as refused:
            elsewhere.get("/v1/x", timeout=0.2).json()
        self.check(refused.value, [*secrets, *secrets_of(elsewhere)])

    def test_an_interrupt_of_from_api_key_shows_no_key(self, box):
        key = box.make_api_key()
        provider = Provider.discover(box.url)
        assert LexofficeSession.from_api_key(key, provider).signed_in
        for event in range(1, 400, 9):
            # A caller who writes the key into a variable shows it; none of our frames does, past the very first step.
            error = interrupted_at(event + 3, lambda: LexofficeSession.from_api_key(key, provider))
            assert error is None or not any(key in shown for shown in shown_by(error))


class TestASessionStaysWhereItIs:
    @pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_it_is_neither_pickled_nor_copied(self, session, way):
        with pytest.raises(TypeError, match="sign in again"):
            way(session)

    def test_store_of_ipython_keeps_nothing(self, session, tmp_path, monkeypatch):
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell()
        try:
            shell.run_line_magic("load_ext", "storemagic")
            shell.user_ns["kept"] = session
            with pytest.raises(TypeError, match="sign in again"):
                shell.run_line_magic("store", "kept")
        finally:
            shell.history_manager.end_session()
            InteractiveShell.clear_instance()
        kept = b"".join(
            path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "data" not in path.parts
        )
        assert not any(secret.encode() in kept for secret in secrets_of(session))
