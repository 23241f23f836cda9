"""Two providers that know nothing of our client, a person with a browser, and no proxy in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.texts import use_language
from tests.certified.path_issuer import PathIssuer
from tests.certified.person import Person
from tests.certified.server import Certified

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    use_language("en")
    yield
    use_language(None)


@pytest.fixture(scope="session")
def certified() -> Iterator[Certified]:
    """The certified provider, with access tokens for an hour."""
    with Certified() as provider:
        yield provider
        assert not [request for request in provider.journal() if request.status >= 500]


@pytest.fixture(scope="session")
def certified_short() -> Iterator[Certified]:
    """The certified provider, with access tokens for two seconds."""
    with Certified(access_token_seconds=2) as provider:
        yield provider
        assert not [request for request in provider.journal() if request.status >= 500]


@pytest.fixture
def path_issuer() -> Iterator[PathIssuer]:
    """A provider of another make, whose issuer has a path."""
    with PathIssuer() as provider:
        yield provider


@pytest.fixture
def person() -> Iterator[Person]:
    """Petra, with a fresh browser."""
    with Person() as person:
        yield person


@pytest.fixture
def other_person() -> Iterator[Person]:
    """Klaus, with a browser of his own."""
    with Person("klaus") as person:
        yield person
