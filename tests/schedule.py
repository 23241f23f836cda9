"""In which order `make test` hands out the tests to its workers.

A file stays on one worker, and the browser's files stay together: they share one JupyterLab and one Chromium. What
takes long begins first, so that no worker is left alone with it at the end. Without workers nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

TOGETHER = "tests/browser/"
LONGEST = (
    TOGETHER,
    "tests/books/test_sync.py",
    "tests/books/test_books.py",
    "tests/test_testing.py",
    "tests/test_session.py",
    "tests/books/test_reports.py",
    "tests/api/test_pacing.py",
    "tests/oauth/test_log_flows.py",
    "tests/oauth/test_interrupts.py",
    "tests/oauth/test_keyring_store.py",
    "tests/oauth/test_threats_client.py",
    "tests/soak_renewal/test_lost_answers.py",
    "tests/test_lab.py",
    "tests/test_build.py",
    "tests/workshop/test_notebooks.py",
    "tests/workshop/test_exercises.py",
    "tests/sandbox/test_workshop_world.py",
    "tests/books/test_store.py",
    "tests/api/test_listing.py",
)
"""What takes longest, the longest first; the others follow by the number of their tests."""


def unit(nodeid: str) -> str:
    """What a test is handed out with: its file, or the browser's whole folder."""
    path = nodeid.partition("::")[0]
    return TOGETHER if path.startswith(TOGETHER) else path


def in_order(nodeids: list[str]) -> list[str]:
    """The tests, unit by unit."""
    sizes = Counter(map(unit, nodeids))

    def place(nodeid: str) -> tuple[int, int, str]:
        its = unit(nodeid)
        return LONGEST.index(its) if its in LONGEST else len(LONGEST), -sizes[its], its

    return sorted(nodeids, key=place)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        place = {nodeid: number for number, nodeid in enumerate(in_order([item.nodeid for item in items]))}
        items.sort(key=lambda item: place[item.nodeid])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # not before: a run without workers has no need of it

    class ByUnit(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False  # by the number of tests; the workers have put them in order
    return ByUnit(config, log)
