"""A process that renews is killed. Either the account goes on, or the provider has rotated and we say just that."""

from __future__ import annotations

import random
import stat
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.soak_renewal.processes import Place, Process, ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.certified.person import Person
    from tests.certified.server import Certified
    from tests.soak_renewal.proxy import Proxy

LOST = "a renewal was begun whose answer never came"
CYCLE = 0.15  # seconds: about one renewal, with the proxy's delays


@pytest.fixture
def place(certified: Certified, proxy: Proxy, tmp_path: Path) -> Place:
    return Place(
        certified.issuer,
        str(tmp_path / "accounts"),
        "/me",
        api=certified.issuer,
        token_endpoint=proxy.url(f"{certified.issuer}/token"),
    )


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_whenever_it_is_killed_the_account_goes_on_or_the_rotation_was_lost(
    certified: Certified, proxy: Proxy, person: Person, place: Place, kills: int
) -> None:
    drawn, ends = random.Random(8), Counter[str]()
    answered, killed = threading.Event(), threading.Event()
    # A request that was held up is lost with the process that sent it; an answer is lost in any case.
    proxy.on_request = lambda: _a_moment() and not killed.is_set()
    place.sign_in(person.allow)
    for kill in range(kills):
        # By turns the kills meet a slow provider at any moment, or the store in the moment after a quick answer.
        proxy.on_answer = _a_moment if kill % 2 == 0 else lambda: _passes_and(answered.set)
        before = len(_renewals(certified))
        answered.clear()
        with Process("renew", place) as renewer:
            assert renewer.says() == {"ready": True}
            if kill % 2:
                assert answered.wait(10)
            time.sleep(drawn.uniform(0, CYCLE if kill % 2 else 3 * CYCLE))
            renewer.kill()
            killed.set()
        time.sleep(0.1)  # what was on its way arrives
        proxy.settle()
        killed.clear()
        meanwhile = len(_renewals(certified))
        found = ask("look", place)
        ends[found["code"]] += 1
        print(f"{meanwhile - before} renewals, killed, then {found['code'] or 'goes on'}")
        assert found["status"] == 200, f"the access token is used as long as it lives, but: {found}"
        last = _renewals(certified)[meanwhile]
        _said_truly(found, replayed=last.refresh_token_seen_before)
        if found["code"]:
            place.sign_in(person.allow)
    print(dict(ends))
    _nothing_open_to_others(place)
    if kills >= 50:
        assert set(ends) == {"", "signed_out_rotation"}, "the kills have missed something"


def test_killed_before_the_provider_has_the_request_the_account_goes_on(
    certified: Certified, proxy: Proxy, person: Person, place: Place
) -> None:
    reached, killed = threading.Event(), threading.Event()

    def hold() -> bool:
        reached.set()
        killed.wait(10)
        return False

    place.sign_in(person.allow)
    proxy.on_request = hold
    _kill_when(reached, killed, place)
    proxy.on_request = _a_moment
    assert _renewals_of_look(certified, place) == ("", [(200, False)])


def test_killed_while_the_answer_is_on_its_way_the_rotation_was_lost_and_we_say_so(
    certified: Certified, proxy: Proxy, person: Person, place: Place
) -> None:
    reached, killed = threading.Event(), threading.Event()

    def hold() -> bool:
        reached.set()
        return killed.wait(10)

    place.sign_in(person.allow)
    proxy.on_answer = hold
    _kill_when(reached, killed, place)
    proxy.on_answer = _a_moment
    assert _renewals_of_look(certified, place) == ("signed_out_rotation", [(400, True)])
    assert place.store().load() is None
    place.sign_in(person.allow)
    assert ask("look", place)["code"] == ""


def _passes_and(then: Callable[[], None]) -> bool:
    then()
    return True


def _a_moment() -> bool:
    time.sleep(CYCLE / 5)
    return True


def _kill_when(reached: threading.Event, killed: threading.Event, place: Place) -> None:
    with Process("renew", place) as renewer:
        assert renewer.says() == {"ready": True}
        assert reached.wait(10)
        renewer.kill()
        killed.set()


def _renewals(certified: Certified) -> list[Any]:
    return [request for request in certified.journal() if request.grant_type == "refresh_token"]


def _renewals_of_look(certified: Certified, place: Place) -> tuple[str, list[tuple[int, bool]]]:
    before = len(_renewals(certified))
    found = ask("look", place)
    asked = _renewals(certified)[before:]
    assert found["status"] == 200
    if found["code"]:
        _said_truly(found, replayed=True)
    return found["code"], [(request.status, request.refresh_token_seen_before) for request in asked]


def _said_truly(found: dict[str, Any], *, replayed: bool) -> None:
    """The one sentence, if and only if the provider had taken the refresh token before."""
    expected = ("signed_out_rotation", "SignedOut") if replayed else ("", "")
    assert (found["code"], found.get("kind", "")) == expected, found
    assert (LOST in found.get("says", "")) is replayed


def _nothing_open_to_others(place: Place) -> None:
    folder = place.store().folder
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    print(f"{sum(name.startswith('.') for name in modes)} half-written files are left")
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
