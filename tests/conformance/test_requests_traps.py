"""What `requests` does unless it is told otherwise: at the token, refresh and revocation requests."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import LoginError, TokenEndpointError
from lexoffice_nb.oauth import transport
from lexoffice_nb.oauth.token_endpoint import ANSWER_LIMIT
from tests.conformance.marking import case
from tests.conformance.signing_in import refused, source_of
from tests.oauth.misbehaving import LEFT_OUT, Raw
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oauth.conftest import StartProvider
    from tests.oauth.misbehaving import Provider

PATHS = {"token": "/token", "refresh": "/token", "revocation": "/revoke"}


def act_of(stage: str, server: Provider) -> Callable[[], object]:
    """The call that sends a request of that stage; all that comes before it has been done."""
    server.metadata = {"revocation_endpoint": f"{server.origin}/revoke"}
    if stage == "token":
        attempt = attempt_at(server)
        callback = server.authorize(attempt.get_login_url())
        return lambda: attempt.handle_callback(callback)
    source = source_of(server)
    tokens = source.tokens
    if stage == "refresh":
        return lambda: source.renew(tokens.access_token)
    endpoint = attempt_at(server).endpoint
    return lambda: endpoint.revoke(tokens.access_token, "access_token")


def each(problem: str) -> Any:
    return pytest.mark.parametrize("stage", [case(f"requests/{problem}-{stage}", stage) for stage in PATHS])


@pytest.mark.parametrize("stage", PATHS)
def test_without_a_problem_the_request_is_good(start: StartProvider, stage: str) -> None:
    server = start()
    act = act_of(stage, server)
    server.claims = {} if stage != "refresh" else {"nonce": LEFT_OUT}
    act()
    assert server.counts[PATHS[stage]] >= 1


@each("no-redirect")
def test_it_follows_no_redirect_and_what_it_carries_has_not_travelled(start: StartProvider, stage: str) -> None:
    elsewhere, server = start(), start()
    act = act_of(stage, server)
    before = server.counts[PATHS[stage]]
    server.raw[PATHS[stage]] = Raw(307, headers={"Location": elsewhere.origin + PATHS[stage]})
    refused(TokenEndpointError, stage, "token_redirect", "Check the provider's address", act)
    assert (elsewhere.counts, elsewhere.forms, elsewhere.revocations) == ({}, [], [])
    assert server.counts[PATHS[stage]] == before + 1


@each("time-out")
def test_it_ends_in_time(start: StartProvider, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    server = start()
    act = act_of(stage, server)
    drip = Raw(slowly=tuple(b" " for _ in range(200)), pause=0.05)  # each read is fast, all of them are not
    server.raw[PATHS[stage]] = drip
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", 0.3)
    begun = time.monotonic()
    refused(LoginError, stage, "timeout", "Try again in a minute", act)
    assert time.monotonic() - begun < 3


@each("size-limit")
def test_no_more_than_the_limit_is_read(start: StartProvider, stage: str) -> None:
    server = start()
    act = act_of(stage, server)
    server.raw[PATHS[stage]] = Raw(200, json.dumps({"x": "x" * ANSWER_LIMIT}).encode())
    refused(LoginError, stage, "too_large", "no answer that a provider gives", act)
