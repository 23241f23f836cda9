"""The provider has rotated, and its answer never arrives (statement 7): the network, not a crash."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import LoginError, SignedOut
from tests.certified.server import direct
from tests.soak_renewal.conftest import LONGER_SECONDS as LIFE
from tests.soak_renewal.load import CountAtCertified, run_load
from tests.soak_renewal.processes import Place, ask

if TYPE_CHECKING:
    from pathlib import Path

    from lexoffice_nb.oauth.token_source import TokenSource
    from tests.certified.person import Person
    from tests.certified.server import Certified, Request
    from tests.soak_renewal.proxy import Proxy

LOST = "a renewal was begun whose answer never came"
TIMES = [1, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]


@pytest.fixture
def place(certified_longer: Certified, longer_proxy: Proxy, tmp_path: Path) -> Place:
    return Place(
        certified_longer.issuer,
        str(tmp_path / "accounts"),
        "/me",
        api=certified_longer.issuer,
        token_endpoint=longer_proxy.url(f"{certified_longer.issuer}/token"),
    )


class _OneLost:
    """Loses the next answer and lets the others pass."""

    def __init__(self) -> None:
        self.lost = 0

    def __call__(self) -> bool:
        self.lost += 1
        return self.lost > 1


@pytest.mark.parametrize("times", TIMES)
def test_the_token_is_used_to_its_end_then_the_old_one_is_sent_once_more_and_the_loss_is_explained(
    certified_longer: Certified, longer_proxy: Proxy, person: Person, place: Place, times: int
) -> None:
    for _ in range(times):
        source = place.sign_in(person.allow)
        longer_proxy.on_answer = _OneLost()
        with certified_longer.watch() as seen:
            _lose(source)
            _use_as_long_as_it_lives(certified_longer, source)
            with pytest.raises(SignedOut) as caught:
                source.access_token()
            with pytest.raises(SignedOut):
                source.access_token()
        assert caught.value.code == "signed_out_rotation"
        assert LOST in str(caught.value)
        assert "%lexoffice_login" in caught.value.remedy
        assert _renewals(seen) == [(200, False), (400, True)]
        assert place.store().load() is None


def test_another_process_explains_it_as_well(
    certified_longer: Certified, longer_proxy: Proxy, person: Person, place: Place
) -> None:
    source = place.sign_in(person.allow)
    longer_proxy.on_answer = _OneLost()
    with certified_longer.watch() as seen:
        _lose(source)
        _sleep_until_it_has_ended(source)
        found = ask("look", place)
    assert (found["code"], found["kind"]) == ("signed_out_rotation", "SignedOut")
    assert LOST in found["says"]
    assert _renewals(seen) == [(200, False), (400, True)]


def test_a_request_that_the_provider_never_got_costs_nothing(
    certified_longer: Certified, longer_proxy: Proxy, person: Person, place: Place
) -> None:
    source = place.sign_in(person.allow)
    longer_proxy.on_request = _OneLost()
    with certified_longer.watch() as seen:
        _lose(source)
        _sleep_until_it_has_ended(source)
        token = source.access_token()
        assert _status(certified_longer, token.reveal()) == 200
    assert _renewals(seen) == [(200, False)]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param({"processes": 2, "threads": 2, "seconds": 6}, id="small"),
        pytest.param({"processes": 4, "threads": 8, "seconds": 10}, id="soak", marks=pytest.mark.soak),
    ],
)
def test_under_load_the_old_token_is_sent_once_more_by_one_process_and_by_nobody_else(
    certified_longer: Certified, longer_proxy: Proxy, person: Person, place: Place, size: dict[str, int]
) -> None:
    place.sign_in(person.allow)
    longer_proxy.on_answer = _OneLost()
    with certified_longer.watch() as seen:
        outcome = run_load(place, CountAtCertified(certified_longer), life=LIFE, **size)
    print(outcome)
    assert _renewals(seen) == [(200, False), (400, True)]
    assert outcome.ok > size["threads"] * size["processes"]
    assert outcome.errors["signed_out_rotation"] > 0
    assert set(outcome.errors) <= {"signed_out_rotation", "signed_out_elsewhere"}
    assert not outcome.signed_in


def _lose(source: TokenSource) -> None:
    with pytest.raises(LoginError) as caught:
        source.renew(source.tokens.access_token)
    assert (caught.value.code, caught.value.stage) == ("unreachable", "refresh")
    assert source.signed_in


def _use_as_long_as_it_lives(server: Certified, source: TokenSource) -> None:
    token, used = source.tokens.access_token, 0
    while (left := _left(source)) > 0.3:
        assert source.access_token() == token
        if left > 1.8:  # the server counts in whole seconds, so it ends a token up to a second before we do
            assert _status(server, token.reveal()) == 200
            used += 1
        time.sleep(0.05)
    assert used > 0
    _sleep_until_it_has_ended(source)


def _left(source: TokenSource) -> float:
    end = source.tokens.expires_at
    assert end is not None
    return (end - datetime.now(UTC)).total_seconds()


def _sleep_until_it_has_ended(source: TokenSource) -> None:
    time.sleep(max(0.0, _left(source)) + 0.05)


def _status(server: Certified, token: str) -> int:
    return direct("GET", f"{server.issuer}/me", headers={"Authorization": f"Bearer {token}"}).status_code


def _renewals(seen: list[Request]) -> list[tuple[int, bool]]:
    return [(r.status, r.refresh_token_seen_before) for r in seen if r.grant_type == "refresh_token"]
