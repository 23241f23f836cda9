"""Every error of the package, as one tree. Each says what happened, why, and what to do now.

```
LexofficeError
├── LoginError              .stage says where: discovery, authorize, callback, token, …
│   ├── DiscoveryError      the provider could not be described
│   ├── CallbackError       the callback URL was refused (also a ValueError)
│   │   ├── StateMismatch   it belongs to another attempt
│   │   └── AccessDenied    the person, or the provider, said no
│   ├── TokenEndpointError  the token endpoint did not give what it should
│   │   └── InvalidGrant    the code or the refresh token is used up
│   ├── IdTokenError        the ID token is not to be believed
│   ├── UserinfoError       userinfo is not to be believed
│   └── SignedOut           there is no sign-in to work with
├── ApiError                .status, .path, .request_id, .issues, .may_have_been_applied
│   ├── Unauthorized        401
│   ├── NotAllowed          402, 403
│   ├── NotFound            404
│   ├── Conflict            409, or 406 because of the version
│   ├── Invalid             400, 405, 406, 415, 422
│   ├── RateLimited         429
│   └── ServerTrouble       5xx, no answer, or one that is none
├── StoreError              tokens, or a download, could not be kept or read
├── BooksError              the local copy
├── SandboxError            the lexoffice on this machine
├── NoMember                a record or a session has nothing of that name (also an AttributeError)
└── WrongCall               something was called in a way that it does not have (also a TypeError)
```

    try:
        tokens = attempt.handle_callback(url)
    except StateMismatch:
        ...                     # an old tab: ask for the newest one
    except LoginError as error:
        print(error.remedy)

The exercises have one of their own, `lexoffice_nb.workshop.WorkshopError`, with what can go wrong in class.

`str(error)` is English and stable. In a notebook and on the card the person's own language is used.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar

from lexoffice_nb.texts import text
from lexoffice_nb.texts.issues import issues_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


class LexofficeError(Exception):
    """The root. Made from a code of `lexoffice_nb.texts` and the values for it, which are never secrets."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.values = values
        super().__init__(f"{self.what('en')} {self.next('en')}")

    def what(self, language: str | None = None) -> str:
        """Says what happened and why, in one sentence or two."""
        return text(self.code, language, **self.values)

    def next(self, language: str | None = None) -> str:
        """Says what to do now."""
        return text(f"{self.code}.next", language, **self.values)

    @property
    def remedy(self) -> str:
        """What to do now, in English."""
        return self.next("en")

    def _render_traceback_(self) -> list[str]:
        """Two lines in a notebook instead of a traceback (IPython calls this)."""
        return [f"{type(self).__name__}: {self.what()}", f"→ {self.next()}"]

    def __reduce__(self) -> tuple[Callable[..., LexofficeError], tuple[object, ...], dict[str, object]]:
        return _rebuild, (type(self), self.code, self.values), self.__dict__


def _rebuild(kind: type[LexofficeError], code: str, values: Mapping[str, object]) -> LexofficeError:
    return kind(code, **values)


class LoginError(LexofficeError):
    """Signing in, staying signed in or signing out did not work.

    Attributes:
        stage: where: discovery, authorize, callback, token, id_token, userinfo, refresh or revocation.
        sent: whether a request that got no answer may have reached the provider all the same.
    """

    default_stage: ClassVar[str] = "authorize"
    sent: bool = True

    def __init__(self, code: str, *, stage: str | None = None, **values: object) -> None:
        self.stage = stage or self.default_stage
        super().__init__(code, **values)


class DiscoveryError(LoginError):
    """The provider could not be described."""

    default_stage = "discovery"


class CallbackError(LoginError, ValueError):
    """The callback URL was refused."""

    default_stage = "callback"


class StateMismatch(CallbackError):
    """The callback belongs to another attempt than this one (RFC 6749 section 10.12)."""


class AccessDenied(CallbackError):
    """The person, or the provider, said no (RFC 6749 section 4.1.2.1)."""


class TokenEndpointError(LoginError):
    """The token endpoint did not give what it should (RFC 6749 section 5.2)."""

    default_stage = "token"


class InvalidGrant(TokenEndpointError):
    """The code or the refresh token is used up, revoked or another client's."""


class IdTokenError(LoginError):
    """The ID token is not to be believed (OpenID Connect Core section 3.1.3.7)."""

    default_stage = "id_token"


class UserinfoError(LoginError):
    """Userinfo is not to be believed (OpenID Connect Core section 5.3)."""

    default_stage = "userinfo"


class SignedOut(LoginError):
    """There is no sign-in to work with."""


class ApiError(LexofficeError):
    """The API refused a request, or did not answer it.

    Attributes:
        status: the HTTP status, or None where no answer came.
        path: the path that was asked, without its query.
        request_id: the vendor's name of the request, for its support.
        issues: `(field, what is wrong with it)` pairs; the second is the vendor's code where it gave one.
        may_have_been_applied: whether a change that was asked for may have been made all the same. False for a
            request that only reads, and for one that was refused before anything was done.
    """

    def __init__(
        self,
        code: str,
        *,
        status: int | None = None,
        path: str = "",
        request_id: str | None = None,
        issues: Sequence[tuple[str, str]] = (),
        issues_said: Sequence[str] = (),
        may_have_been_applied: bool = False,
        **values: object,
    ) -> None:
        self.status = status
        self.path = path
        self.request_id = request_id
        self.issues = tuple(issues)
        self.may_have_been_applied = may_have_been_applied
        self._issues_said = tuple(issues_said)
        # All of it, since whoever unpickles makes the error anew from these.
        super().__init__(
            code,
            status=status,
            path=path,
            request_id=request_id,
            issues=self.issues,
            issues_said=self._issues_said,
            may_have_been_applied=may_have_been_applied,
            **values,
        )

    def what(self, language: str | None = None) -> str:
        """Says what happened and why, with what is wrong with up to three fields."""
        values = dict(self.values)
        if self.issues:
            values["said"] = issues_words(self.issues, self._issues_said, language)
        if because := values.get("because"):
            values["why"] = text(str(because), language, **values)
        return text(self.code, language, **values)

    def next(self, language: str | None = None) -> str:
        """Says what to do now, and by which name the vendor's support finds the request if the trouble is there."""
        now = super().next(language)
        if self.request_id and (self.status or 0) >= 500:
            now = f"{now} {text('api.request_id', language, request_id=self.request_id)}"
        return now


class Unauthorized(ApiError):
    """401: the credential is not (or no longer) good."""


class NotAllowed(ApiError):
    """402 or 403: the sign-in does not cover this."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409, or 406 because of the version: somebody else changed it in between, or it is not ready for this."""


class Invalid(ApiError):
    """400, 405, 406, 415 or 422: the request itself is wrong."""


class RateLimited(ApiError):
    """429: too many requests in too short a time."""


class ServerTrouble(ApiError):
    """5xx, no answer at all, or an answer that is none."""


class StoreError(LexofficeError):
    """Something could not be kept or read: tokens, or a file that was downloaded."""


class BooksError(LexofficeError):
    """The local copy of the books."""


class SandboxError(LexofficeError):
    """The lexoffice on this machine did not start or does not answer."""


class NoMember(LexofficeError, AttributeError):
    """A record or a session has nothing of that name; the API leaves out what is empty."""


class WrongCall(LexofficeError, TypeError):
    """Something was called, or taken apart, in a way that it does not have."""


class InternalError(RuntimeError):
    """A mistake in this package, met where secrets are: named by type and place alone, since its text is anybody's."""


def shielded(function: Callable[P, T]) -> Callable[P, T]:
    """Keeps secrets out of tracebacks: whatever ends `function` is raised anew, with no frame below this one.

    A traceback under `%xmode Verbose`, a debugger or an error tracker shows the local variables of every frame,
    here codes, verifiers and headers. Raising outside the `except` block leaves no context behind either. What is no
    error of ours and no interrupt comes out as an `InternalError`.

    An interrupt at the very first step of `function` still shows its arguments: pass secrets as `Secret`.
    """

    @functools.wraps(function)
    def shield(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            try:
                return function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt above all
                fresh = _without_frames(error)
        except BaseException as interrupt:  # noqa: BLE001 - it came while the error, its context, had its frames still
            fresh = _without_frames(interrupt)
        del args, kwargs
        try:
            raise fresh
        finally:
            fresh.__context__ = None  # whatever else was being handled, with frames of its own
            del fresh  # else the error and this frame keep each other alive

    return shield


def _without_frames(error: BaseException) -> BaseException:
    if isinstance(error, LexofficeError) or not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit, …
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return error
    return InternalError(f"{type(error).__name__} at {_place(error.__traceback__)}")


def _place(traceback: TracebackType | None) -> str:
    place = "an unknown place"
    while traceback:
        place = f"{traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
