"""The steps that the tests of the cases share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.oauth.token_source import TokenSource
from tests.oauth import signing_in
from tests.oauth.misbehaving import LEFT_OUT
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.errors import LoginError
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.tokens import TokenSet
    from tests.oauth.misbehaving import Provider, Raw

logged_in = signing_in.log_in


def refused(kind: type[LoginError], stage: str, code: str, remedy: str, act: Callable[[], object]) -> LoginError:
    """Asserts that `act` is refused with this type, stage, reason and remedy, and gives the error."""
    error = signing_in.refused(kind, stage, code, act)
    assert remedy in error.remedy
    return error


def refused_callback(
    server: Provider, answer: Callable[[Provider, str], str], kind: type[LoginError], code: str, remedy: str
) -> None:
    """Asserts that a callback is refused and nothing was sent; that of an attempt with no fault is taken."""
    assert logged_in(server).claims["sub"] == "person-1"
    attempt = attempt_at(server)
    before = server.counts.copy()
    callback = answer(server, attempt.get_login_url())
    refused(kind, "callback", code, remedy, lambda: attempt.handle_callback(callback))
    assert server.counts == before
    assert server.token_requests == 1  # of the good one
    assert attempt.tokens is None


def source_of(server: Provider, **options: Any) -> TokenSource:
    """The tokens of a login."""
    attempt = attempt_at(server, **options)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    source = TokenSource()
    source.adopt(attempt)
    return source


def renewed(server: Provider) -> TokenSet:
    """The tokens of a login after one renewal. The nonce is left out of the second ID token, as most servers do."""
    source = source_of(server)
    claims, server.claims = server.claims, {**server.claims, "nonce": LEFT_OUT}
    source.renew(source.tokens.access_token)
    server.claims = claims
    return source.tokens


def api_of(server: Provider, **options: Any) -> LexofficeLogin:
    """A finished login at a provider that has userinfo, and an API at its own address."""
    server.metadata = {**server.metadata, "userinfo_endpoint": f"{server.origin}/userinfo"}
    attempt = attempt_at(server, **options)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    return attempt


def answering(server: Provider, path: str, *answers: Raw) -> None:
    """Has a path answered with these, one after the other, and then with the last."""
    left = list(answers)
    answer = server.answer

    def in_turn(method: str, asked: str, form: dict[str, str], headers: Mapping[str, str]) -> Raw:
        given = answer(method, asked, form, headers)
        if asked != path:
            return given
        return left.pop(0) if len(left) > 1 else left[0]

    server.answer = in_turn  # type: ignore[method-assign]
