"""The token bucket of the API, with a clock of the test's own, and over real HTTP where nothing needs a wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox import SandboxSettings
from lexoffice_nb.sandbox.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


def limited(clock: Clock, rate: float | None = 2.0, **settings: int) -> RateLimit:
    return RateLimit(SandboxSettings(rate_limit=rate, **settings), clock)


def taken(limit: RateLimit, times: int, organisation: str = "demo") -> int:
    return sum(limit.take(organisation) for _ in range(times))


def test_a_burst_is_let_in_and_no_more(clock):
    assert taken(limited(clock), 20) == 5
    assert taken(limited(clock, burst=3), 20) == 3


def test_the_bucket_fills_at_the_rate_and_never_above_the_burst(clock):
    limit = limited(clock)
    taken(limit, 20)
    clock.now += 1
    assert taken(limit, 20) == 2
    clock.now += 0.25
    assert taken(limit, 20) == 0
    clock.now += 0.25
    assert taken(limit, 20) == 1
    clock.now += 3600
    assert taken(limit, 20) == 5


def test_a_refused_request_takes_nothing(clock):
    limit = limited(clock)
    taken(limit, 20)
    for _ in range(10):
        clock.now += 0.1
        limit.take("demo")
    assert taken(limit, 20) == 0  # two came back in that second, and were taken in it
    clock.now += 0.5
    assert taken(limit, 20) == 1


def test_a_client_at_the_rate_is_never_refused(clock):
    limit = limited(clock)
    for _ in range(200):
        assert limit.take("demo")
        clock.now += 0.5


def test_each_organisation_has_a_bucket_of_its_own(clock):
    limit = limited(clock)
    assert taken(limit, 20) == 5
    assert taken(limit, 20, "kanzlei") == 5


def test_without_a_limit_everything_is_let_in(clock):
    assert taken(limited(clock, rate=None), 1000) == 1000


def test_threads_share_a_bucket_without_winning_a_token(clock):
    limit = limited(clock, burst=50)
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: limit.take("demo"), range(2000))) == 50


def test_the_settings_count_at_each_request(clock):
    settings = SandboxSettings(rate_limit=2.0)
    limit = RateLimit(settings, clock)
    assert taken(limit, 20) == 5
    settings.rate_limit = None
    assert taken(limit, 20) == 20
    settings.rate_limit, settings.burst = 2.0, 9
    clock.now += 60
    assert taken(limit, 20) == 9


def test_over_http_the_answer_is_the_gateways_and_says_nothing_about_when(own):
    own.box.settings.rate_limit = 0.001
    key = own.box.make_api_key()
    paths = ["/v1/profile", "/v1/contacts", "/v1/voucherlist?voucherType=any&voucherStatus=any"]
    answers = [own.api(paths[number % 3], key) for number in range(8)]
    assert [each.status_code for each in answers] == [200] * 5 + [429] * 3
    assert answers[-1].json() == {"message": "Rate limit exceeded"}
    assert not [name for name in answers[-1].headers if "retry" in name.lower() or "ratelimit" in name.lower()]
    assert [each.status for each in own.box.requests[-8:]] == [200] * 5 + [429] * 3
