"""The error tree: its shape, its words in both languages, and what it keeps out of tracebacks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import pickle
import re
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb import errors, texts
from lexoffice_nb.errors import (
    ApiError,
    InternalError,
    InvalidGrant,
    LexofficeError,
    LoginError,
    StateMismatch,
    shielded,
)
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = """
LexofficeError
  LoginError
    DiscoveryError
    CallbackError
      StateMismatch
      AccessDenied
    TokenEndpointError
      InvalidGrant
    IdTokenError
    UserinfoError
    SignedOut
  ApiError
    Unauthorized
    NotAllowed
    NotFound
    Conflict
    Invalid
    RateLimited
    ServerTrouble
  StoreError
  BooksError
  SandboxError
  NoMember
  WrongCall
"""
STAGES = {
    "DiscoveryError": "discovery",
    "CallbackError": "callback",
    "StateMismatch": "callback",
    "AccessDenied": "callback",
    "TokenEndpointError": "token",
    "InvalidGrant": "token",
    "IdTokenError": "id_token",
    "UserinfoError": "userinfo",
    "SignedOut": "authorize",
    "LoginError": "authorize",
}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


def all_kinds(kind: type[LexofficeError] = LexofficeError) -> list[type[LexofficeError]]:
    ours = [k for k in kind.__subclasses__() if k.__module__ == errors.__name__]
    return [kind, *(below for each in ours for below in all_kinds(each))]


def drawn(kind: type[LexofficeError] = LexofficeError, depth: int = 0) -> Iterator[str]:
    yield "  " * depth + kind.__name__
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from drawn(each, depth + 1)


class TestTree:
    def test_is_this(self) -> None:
        assert list(drawn()) == TREE.strip("\n").split("\n")

    def test_is_that_of_the_docstring(self) -> None:
        lines = re.findall(r"^([│├└─ ]*)(\w+)", re.search(r"```\n(.*?)```", errors.__doc__ or "", re.S)[1], re.M)  # type: ignore[index]
        assert [f"{'  ' * (len(branch) // 4)}{name}" for branch, name in lines] == TREE.strip("\n").split("\n")

    def test_says_in_each_docstring_what_happened(self) -> None:
        assert [kind for kind in all_kinds() if not inspect.getdoc(kind)] == []

    @pytest.mark.parametrize("kind", [errors.CallbackError, errors.StateMismatch, errors.AccessDenied])
    def test_of_callbacks_are_value_errors_too(self, kind: type[LexofficeError]) -> None:
        assert issubclass(kind, ValueError)

    def test_of_others_are_not(self) -> None:
        assert not issubclass(errors.TokenEndpointError, ValueError)
        assert not issubclass(errors.IdTokenError, ValueError)


class TestStage:
    @pytest.mark.parametrize(("name", "stage"), STAGES.items())
    def test_has_a_default(self, name: str, stage: str) -> None:
        assert getattr(errors, name)("token_missing").stage == stage

    def test_can_be_named(self) -> None:
        assert InvalidGrant("invalid_grant_refresh", stage="refresh", said="x").stage == "refresh"


class TestWords:
    def test_say_what_happened_and_what_to_do_now(self) -> None:
        error = InvalidGrant("invalid_grant", said="too old")
        assert str(error) == f"{error.what()} {error.next()}"
        assert error.what() == "The provider did not take the code (too old): it was used already, or is too old."
        assert error.remedy == "Codes serve once and for minutes: start again from the new login link."

    def test_of_str_and_remedy_are_english_whatever_the_language_is(self) -> None:
        english = StateMismatch("state_mismatch")
        use_language("de")
        german = StateMismatch("state_mismatch")
        assert str(german) == str(english)
        assert german.remedy == english.remedy
        assert german.what().startswith("Ungültiger state-Parameter – möglicher CSRF-Angriff")

    @pytest.mark.parametrize(
        ("language", "lines"),
        [
            (
                "en",
                [
                    "StateMismatch: Invalid state parameter – possible CSRF attack:"
                    " the answer belongs to another attempt (an older tab, perhaps).",
                    "→ Close older tabs and use the newest login link."
                    " If you did not start a sign-in yourself, ignore that page.",
                ],
            ),
            (
                "de",
                [
                    "StateMismatch: Ungültiger state-Parameter – möglicher CSRF-Angriff:"
                    " Die Antwort gehört zu einem anderen Anmeldeversuch (vielleicht aus einem älteren Tab).",
                    "→ Schließen Sie ältere Tabs und verwenden Sie den neuesten Anmeldelink."
                    " Haben Sie selbst keine Anmeldung begonnen, ignorieren Sie diese Seite.",
                ],
            ),
        ],
    )
    def test_in_a_notebook_are_two_lines_in_the_persons_language(self, language: str, lines: list[str]) -> None:
        use_language(language)
        assert StateMismatch("state_mismatch")._render_traceback_() == lines

    def test_are_two_lines_for_every_kind_in_both_languages(self) -> None:
        for kind in all_kinds():
            for language in texts.LANGUAGES:
                use_language(language)
                lines = kind("state_missing")._render_traceback_()
                assert [line.count("\n") for line in lines] == [0, 0]
                assert lines[0].startswith(f"{kind.__name__}: ")
                assert lines[1].startswith("→ ")


class TestPickle:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_keeps_code_stage_and_values(self, protocol: int) -> None:
        error = InvalidGrant("invalid_grant_refresh", stage="refresh", said="no")
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is InvalidGrant
        assert (again.code, again.stage, again.values) == ("invalid_grant_refresh", "refresh", {"said": "no"})
        assert (str(again), again.remedy) == (str(error), error.remedy)

    def test_keeps_status_path_request_id_and_issues(self) -> None:
        error = errors.Invalid(
            "api_invalid", status=406, path="/v1/x", request_id="r-1", issues=[("a", "b")], said="no", stage="x"
        )
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is errors.Invalid
        assert (again.status, again.path, again.request_id, again.issues) == (406, "/v1/x", "r-1", (("a", "b"),))
        assert (again.code, str(again)) == (error.code, str(error))

    def test_works_for_every_kind(self) -> None:
        for kind in all_kinds():
            again = pickle.loads(pickle.dumps(kind("state_missing")))
            assert (type(again), again.code) == (kind, "state_missing")


def test_an_api_error_without_an_answer_has_no_status() -> None:
    error = ApiError("api_unreachable", path="/v1/x", host="api.example")
    assert (error.status, error.path, error.request_id, error.issues) == (None, "/v1/x", None, ())


class TestShielded:
    """`secret` stands for what must not be seen."""

    @staticmethod
    def frames(error: BaseException) -> list[str]:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    def caught(self, function: Any, *args: object, **kwargs: object) -> BaseException:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - the kind is looked at by the caller
            function(*args, **kwargs)
        return caught.value

    def test_gives_what_the_function_gives_and_keeps_its_name_and_signature(self) -> None:
        @shielded
        def add(one: int, two: int = 2) -> int:
            """Adds."""
            return one + two

        assert add(1, two=3) == 4
        assert (add.__name__, add.__doc__) == ("add", "Adds.")
        assert str(inspect.signature(add)) == "(one: 'int', two: 'int' = 2) -> 'int'"

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
    def test_passes_an_interrupt_on_without_the_frames_below(self, kind: type[BaseException]) -> None:
        @shielded
        def work(secret: str) -> None:
            body = secret  # noqa: F841 - what a traceback would show
            raise kind

        error = self.caught(work, "secret")
        assert type(error) is kind
        assert self.frames(error) == ["caught", "shield"]
        assert error.__context__ is None

    def test_passes_an_error_of_ours_on_without_the_frames_below(self) -> None:
        fresh = LoginError("timeout", stage="token", host="h", seconds=1)

        @shielded
        def work() -> None:
            try:
                raise ValueError("secret")
            except ValueError:
                raise fresh from KeyError("secret")

        error = self.caught(work)
        assert error is fresh
        assert self.frames(error) == ["caught", "shield"]
        assert (error.__context__, error.__cause__) == (None, None)
        assert isinstance(error, LoginError)
        assert (error.code, error.stage) == ("timeout", "token")

    @pytest.mark.parametrize("kind", [ValueError, KeyError, RecursionError, MemoryError, UnicodeError])
    def test_names_any_other_error_by_type_and_place_alone(self, kind: type[Exception]) -> None:
        @shielded
        def work() -> None:
            raise kind("secret")

        error = self.caught(work)
        line = inspect.getsourcelines(work.__wrapped__)[1] + 2  # type: ignore[attr-defined]
        assert type(error) is InternalError
        assert str(error) == f"{kind.__name__} at {__name__}:{line}"
        assert self.frames(error) == ["caught", "shield"]
        assert (error.__context__, error.__cause__) == (None, None)

    def test_leaves_no_argument_in_its_own_frame(self) -> None:
        @shielded
        def work(*secrets: str, **more: str) -> None:
            raise KeyboardInterrupt

        error = self.caught(work, "secret", more="secret")
        traceback_ = error.__traceback__
        while traceback_ and traceback_.tb_next:
            traceback_ = traceback_.tb_next
        assert traceback_ is not None
        assert "secret" not in repr(list(traceback_.tb_frame.f_locals.values()))
        assert {"args", "kwargs", "fresh"} & set(traceback_.tb_frame.f_locals) == set()

    def test_leaves_nothing_of_what_was_being_handled_where_it_was_called(self) -> None:
        @shielded
        def work() -> None:
            raise KeyboardInterrupt

        def outer(secret: str) -> None:
            try:
                raise ValueError(secret)
            except ValueError:
                work()

        assert self.caught(outer, "secret").__context__ is None

    @pytest.mark.parametrize("first", [ValueError("secret"), LoginError("token_missing"), KeyboardInterrupt()])
    def test_holds_while_the_first_error_is_being_handled(
        self, monkeypatch: pytest.MonkeyPatch, first: BaseException
    ) -> None:
        """An interrupt that comes just then has the first error, with all its frames, as its context."""
        real, calls = errors._without_frames, []

        def interrupted_once(error: BaseException) -> BaseException:
            calls.append(error)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return real(error)

        @shielded
        def work(secret: str) -> None:
            raise first

        monkeypatch.setattr(errors, "_without_frames", interrupted_once)
        error = self.caught(work, "secret")
        assert type(error) is KeyboardInterrupt
        assert len(calls) == 2
        assert self.frames(error) == ["caught", "shield"]
        assert error.__context__ is None

    def test_nests(self) -> None:
        @shielded
        def inner(secret: str) -> None:
            raise LoginError("token_missing", stage="token")

        @shielded
        def outer(secret: str) -> None:
            inner(secret)

        error = self.caught(outer, "secret")
        assert self.frames(error) == ["caught", "shield"]

    def test_lets_the_error_go_without_the_garbage_collector(self) -> None:
        class Argument:
            pass

        @shielded
        def work(argument: Argument) -> None:
            raise KeyboardInterrupt

        def call() -> weakref.ref[Argument]:
            argument = Argument()
            with contextlib.suppress(KeyboardInterrupt):
                work(argument)
            return weakref.ref(argument)

        gc.disable()
        try:
            assert call()() is None
        finally:
            gc.enable()

    def test_leaves_nothing_in_the_last_exception_of_the_interpreter(self) -> None:
        @shielded
        def work(secret: str) -> None:
            raise LoginError("token_missing", stage="token")

        before = sys.exc_info()  # what a test that interrupts everywhere has left in this thread is no business of ours
        error = self.caught(work, "secret")
        assert sys.exc_info() == before
        shown = "".join(
            traceback.TracebackException.from_exception(
                error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None), capture_locals=True
            ).format()
        )
        assert "secret" not in shown
