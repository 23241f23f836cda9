"""`@pytest.mark.case("id", …)`: which test proves which case of the checklist, and the table that a run makes of it.

The cases are in `cases.toml`. With `--conformance=PATH` the run writes the table as Markdown; with `--collect-only`,
too, where no case has been run. There is neither a time nor a place in it: the same run gives the same file.
"""

from __future__ import annotations

import functools
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

CATALOGUE = Path(__file__).with_name("cases.toml")
PASSED, FAILED, NOT_RUN, LATER = "passed", "FAILED", "not run", "comes later"


@dataclass(frozen=True)
class Case:
    """A case: what holds, where that is written down, and why it has no test yet where it has none."""

    id: str
    sentence: str
    source: str
    later: str | None = None


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    cases: tuple[Case, ...]


def read_catalogue(path: Path = CATALOGUE) -> tuple[Section, ...]:
    sections = tomllib.loads(path.read_text("utf-8"))["sections"]
    return tuple(Section(s["key"], s["title"], tuple(Case(**case) for case in s["cases"])) for s in sections)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", metavar="PATH", help="write the conformance table of this run to PATH")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(config.getoption("--conformance")), "conformance table")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Writes a test's cases down where its reports carry them, from a worker of xdist, too."""
    for marker in item.iter_markers("case"):
        for case in marker.args:
            if case not in _testable():
                raise pytest.UsageError(f"{item.nodeid} is marked with {case!r}, which is no case that has tests")
            item.user_properties.append(("case", case))


@functools.cache
def _testable() -> frozenset[str]:
    return frozenset(case.id for section in read_catalogue() for case in section.cases if not case.later)


def folded(nodeid: str) -> str:
    """The name of a test without its parameters and its folders."""
    path, _, name = nodeid.partition("[")[0].partition("::")
    return f"{path.removeprefix('tests/')}::{name}"


def cases_of(properties: Iterable[tuple[str, object]]) -> set[str]:
    return {str(value) for name, value in properties if name == "case"}


class Table:
    """Collects what the tests of each case came to."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._tests: dict[str, set[str]] = defaultdict(set)
        self._outcomes: dict[str, set[str]] = defaultdict(set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            for item in session.items:
                for case in cases_of(item.user_properties):
                    self._tests[case].add(folded(item.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for case in cases_of(report.user_properties):
            self._tests[case].add(folded(report.nodeid))
            if report.failed:
                self._outcomes[case].add(FAILED)
            elif report.skipped or hasattr(report, "wasxfail"):
                self._outcomes[case].add(NOT_RUN)
            elif report.when == "call":
                self._outcomes[case].add(PASSED)

    def pytest_sessionfinish(self) -> None:
        if self._path:
            Path(self._path).write_text(self.markdown(read_catalogue()), "utf-8")

    def result(self, case: Case) -> str:
        """What a case came to. One test that was skipped, or fails as expected, is one that proves nothing."""
        if case.later:
            return f"{LATER}: {case.later}"
        outcomes = self._outcomes[case.id] or {NOT_RUN}
        return next(outcome for outcome in (FAILED, NOT_RUN, PASSED) if outcome in outcomes)

    def markdown(self, sections: Iterable[Section]) -> str:
        """The table. Made of the run; nobody writes in it."""
        lines = ["# Conformance", "", *INTRODUCTION]
        for section in sections:
            lines += [
                "",
                f"## {section.title}",
                "",
                "| case | what holds | result | tests | source |",
                "|---|---|---|---|---|",
            ]
            for case in section.cases:
                tests = "<br>".join(f"`{test}`" for test in sorted(self._tests[case.id]))
                cells = (f"`{case.id}`", case.sentence, self.result(case), tests or "–", case.source)
                lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


INTRODUCTION = (
    "What the client must get right, case by case, and the tests that prove it. `make docs` runs them and writes this",
    "file; nobody edits it. The cases are in `tests/conformance/cases.toml`, and a test names its own with",
    '`@pytest.mark.case("…")`.',
    "",
    "*passed*: each of its tests ran and passed. *comes later*: there is nothing to test yet.",
)
