"""The steps that the tests at the certified provider share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from lexoffice_nb.errors import LoginError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_source import TokenSource
from tests.certified.server import BASIC, POST, PUBLIC, REDIRECT_URI, Certified, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.certified.person import Person

SCOPES = ("openid", "profile", "email", "invoice.read")
METHODS = {BASIC: "client_secret_basic", POST: "client_secret_post"}


def attempt_at(server: Certified, client_id: str = PUBLIC, **options: Any) -> LexofficeLogin:
    settings = {"client_authentication": METHODS[client_id]} if client_id in METHODS else {}
    given = {
        "scopes": SCOPES,
        "provider": Provider.discover(server.issuer, **settings),
        "client_secret": server.client_secret if settings else None,
    }
    return LexofficeLogin(client_id, REDIRECT_URI, **{**given, **options})


def logged_in(server: Certified, person: Person, **options: Any) -> LexofficeLogin:
    """An attempt that has its tokens."""
    attempt = attempt_at(server, **options)
    attempt.handle_callback(person.allow(attempt.get_login_url()))
    return attempt


def source_of(attempt: LexofficeLogin) -> TokenSource:
    source = TokenSource()
    source.adopt(attempt)
    return source


def parameters_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), "a parameter twice"
    return dict(pairs)


def changed(url: str, **changes: str | None) -> str:
    """A URL with other parameters; None leaves one out."""
    parameters = {name: value for name, value in {**parameters_of(url), **changes}.items() if value is not None}
    return urlsplit(url)._replace(query=urlencode(parameters)).geturl()


def token_requests(seen: Iterable[Request]) -> list[Request]:
    return [request for request in seen if request.path == "/token"]


def refused(kind: type[LoginError], stage: str, code: str, act: Callable[[], object]) -> LoginError:
    """Asserts that `act` is refused for this very reason, and gives the error."""
    with pytest.raises(LoginError) as caught:
        act()
    error = caught.value
    assert (type(error), error.stage, error.code) == (kind, stage, code)
    return error
