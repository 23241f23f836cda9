"""The steps that the tests of logins share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lexoffice_nb.errors import LoginError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.oauth.tokens import TokenSet
    from tests.oauth import misbehaving


def attempt_at(server: misbehaving.Provider, **options: Any) -> LexofficeLogin:
    return LexofficeLogin(
        CLIENT_ID, REDIRECT_URI, **{"scopes": ("openid",), "provider": Provider.discover(server.issuer), **options}
    )


def log_in(server: misbehaving.Provider, **options: Any) -> TokenSet:
    attempt = attempt_at(server, **options)
    return attempt.handle_callback(server.authorize(attempt.get_login_url()))


def parameters_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), "a parameter twice"
    return dict(pairs)


def refused(kind: type[LoginError], stage: str, code: str, act: Callable[[], object]) -> LoginError:
    """Asserts that `act` is refused for this very reason, and gives the error."""
    with pytest.raises(LoginError) as caught:
        act()
    error = caught.value
    assert (type(error), error.stage, error.code) == (kind, stage, code)
    return error
