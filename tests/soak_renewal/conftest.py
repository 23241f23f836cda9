"""Two providers that rotate refresh tokens, and a proxy before one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.texts import use_language
from tests.certified.person import Person
from tests.certified.server import Certified
from tests.soak_renewal.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_TOKEN_SECONDS = 2
LONGER_SECONDS = 5
"""For what has to happen while an access token lives: the certified provider ends one up to a second early."""


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


@pytest.fixture(scope="session")
def certified_short() -> Iterator[Certified]:
    with Certified(access_token_seconds=ACCESS_TOKEN_SECONDS, life_seconds=3600) as provider:
        yield provider
        assert not [request for request in provider.journal() if request.status >= 500]


@pytest.fixture(scope="session")
def certified_longer() -> Iterator[Certified]:
    with Certified(access_token_seconds=LONGER_SECONDS, life_seconds=3600) as provider:
        yield provider
        assert not [request for request in provider.journal() if request.status >= 500]


@pytest.fixture(scope="session")
def certified() -> Iterator[Certified]:
    with Certified(life_seconds=3600) as provider:
        yield provider
        assert not [request for request in provider.journal() if request.status >= 500]


@pytest.fixture
def proxy(certified: Certified) -> Iterator[Proxy]:
    with Proxy(certified.port) as proxy:
        yield proxy


@pytest.fixture
def longer_proxy(certified_longer: Certified) -> Iterator[Proxy]:
    with Proxy(certified_longer.port) as proxy:
        yield proxy


@pytest.fixture
def short_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = SandboxSettings(access_token_life=ACCESS_TOKEN_SECONDS)
    with Sandbox(data_dir=tmp_path_factory.mktemp("box") / "data", settings=settings) as box:
        yield box


@pytest.fixture
def person() -> Iterator[Person]:
    with Person() as person:
        yield person
