"""The workshop with a real sandbox process, whose folder is the tests' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox import process
from lexoffice_nb.texts import use_language
from lexoffice_nb.workshop.workshop import Workshop
from lexoffice_nb.workshop.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _english_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_PROXY", "*")
    use_language("en")
    yield
    use_language(None)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One sandbox process for all tests that do not end it."""
    folder = tmp_path_factory.mktemp("workshop") / "data"
    yield World(folder)
    process.stop(folder=folder)


@pytest.fixture
def workshop(world: World) -> Iterator[Workshop]:
    """A learner who begins from nothing."""
    learner = Workshop(world)
    yield learner
    learner._forget_run()


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A learner with a process that the test may end."""
    folder = tmp_path_factory.mktemp("own") / "data"
    learner = Workshop(World(folder))
    yield learner
    learner._forget_run()
    process.stop(folder=folder)
