"""Many threads of many processes on one account: everything is answered, and nobody renews without need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox.person import sign_in
from tests.soak_renewal.conftest import ACCESS_TOKEN_SECONDS as LIFE
from tests.soak_renewal.load import Count, CountAtCertified, CountAtSandbox, Outcome, run_load
from tests.soak_renewal.processes import Place

if TYPE_CHECKING:
    from pathlib import Path

    from lexoffice_nb.sandbox import Sandbox
    from tests.certified.person import Person
    from tests.certified.server import Certified

SIZES = [
    pytest.param({"processes": 2, "threads": 4, "seconds": 3}, id="small"),
    pytest.param({"processes": 4, "threads": 8, "seconds": 30}, id="soak", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("size", SIZES)
def test_at_the_certified_provider_every_request_is_good_and_one_process_renews(
    certified_short: Certified, person: Person, tmp_path: Path, size: dict[str, int]
) -> None:
    place = Place(certified_short.issuer, str(tmp_path / "accounts"), "/me", api=certified_short.issuer)
    place.sign_in(person.allow)
    _is_good(_load(place, CountAtCertified(certified_short), size))


@pytest.mark.parametrize("size", SIZES)
def test_at_the_sandbox_every_request_is_good_and_one_process_renews(
    short_box: Sandbox, tmp_path: Path, size: dict[str, int]
) -> None:
    place = Place(short_box.url, str(tmp_path / "accounts"), "/v1/profile")
    place.sign_in(sign_in)
    _is_good(_load(place, CountAtSandbox(short_box), size))


def _load(place: Place, count: Count, size: dict[str, int]) -> Outcome:
    return run_load(place, count, life=LIFE, **size)


def _is_good(outcome: Outcome) -> None:
    print(outcome)
    assert outcome.errors == {}
    assert outcome.reused == 0
    assert outcome.seconds / (2 * LIFE) < outcome.renewals <= outcome.most_renewals(LIFE)
    assert outcome.ok > 10 * outcome.seconds
    assert outcome.signed_in
