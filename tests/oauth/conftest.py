"""A good provider (the sandbox), providers with one fault each, and no proxy between us and our own machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.texts import use_language
from tests.boxes import with_a_key
from tests.oauth import misbehaving
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StartProvider = Callable[..., misbehaving.Provider]


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    use_language("en")
    yield
    use_language(None)


@pytest.fixture
def start() -> Iterator[StartProvider]:
    """Starts a provider with one fault; without any it is a good one."""
    running: list[misbehaving.Provider] = []

    def start_one(**faults: Any) -> misbehaving.Provider:
        running.append(misbehaving.Provider(**faults).__enter__())
        return running[-1]

    yield start_one
    for provider in running:
        provider.__exit__()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(data_dir=with_a_key(tmp_path / "sandbox")) as box:
        yield box


@pytest.fixture
def box_attempt(box: Sandbox) -> LexofficeLogin:
    """An attempt at the sandbox."""
    return LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
