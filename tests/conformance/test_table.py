"""The table of the cases: each has a test, and nothing that did not pass is called passed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conformance.plugin import CATALOGUE, FAILED, LATER, NOT_RUN, PASSED, folded, read_catalogue

if TYPE_CHECKING:
    from pathlib import Path

ROOT = CATALOGUE.parents[2]
COMMITTED = ROOT / "docs" / "conformance.md"
CASES = [case for section in read_catalogue() for case in section.cases]
ROW = re.compile(r"\| `(?P<id>[a-z]+/[a-z0-9-]+)` \| .+? \| (?P<result>[^|]+) \| (?P<tests>[^|]+) \| .+ \|")


def rows(table: str) -> dict[str, tuple[str, str]]:
    """Result and tests by case."""
    return {row["id"]: (row["result"], row["tests"]) for row in map(ROW.fullmatch, table.splitlines()) if row}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of all tests that there are, none of them run."""
    path = tmp_path_factory.mktemp("table") / "collected.md"
    files = sorted(str(f) for f in (ROOT / "tests").rglob("test_*.py") if "case(" in f.read_text("utf-8"))
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-m", "case and not soak", f"--conformance={path}"]
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return path.read_text("utf-8")


def test_no_case_is_listed_twice_and_each_says_what_holds_and_where_that_is_written() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    for section in read_catalogue():
        assert all(case.id.startswith(f"{section.key}/") for case in section.cases)
    for case in CASES:
        assert re.fullmatch(r"[a-z]+/[a-z0-9-]+", case.id)
        assert case.sentence.endswith(".")
        assert case.source
        assert case.later is None or case.later.startswith("comes with ")
        assert "|" not in case.sentence + case.source + (case.later or "")


def test_each_case_has_a_test(collected: str) -> None:
    found = rows(collected)
    assert found.keys() == {case.id for case in CASES}
    assert {found[case.id][0] for case in CASES if not case.later} == {NOT_RUN}
    assert [case.id for case in CASES if not case.later and found[case.id][1] == "–"] == []
    assert [case.id for case in CASES if case.later and found[case.id][1] != "–"] == []


def test_the_committed_table_is_that_of_these_cases_and_tests_and_all_have_passed(collected: str) -> None:
    """`make docs` writes it anew."""
    assert COMMITTED.read_text("utf-8") == collected.replace(f" | {NOT_RUN} | ", f" | {PASSED} | ")
    results = {result for result, _ in rows(COMMITTED.read_text("utf-8")).values()}
    assert {result for result in results if not result.startswith(f"{LATER}: ")} == {PASSED}


GOOD, OTHER = "requests/netrc", "refuse/alg-none"


class TestARun:
    @staticmethod
    def of(folder: Path, test: str, *options: str, code: int | None = None) -> dict[str, tuple[str, str]]:
        """The table of a run of one small file."""
        (folder / "pytest.ini").write_text("[pytest]\nmarkers = case\nxfail_strict = false\n")
        (folder / "test_it.py").write_text(f"import pytest\n\n{test}\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conformance.plugin"]
        arguments = [f"--rootdir={folder}", f"--conformance={folder / 'table.md'}", *options, str(folder)]
        alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # to load them takes longer than such a run
        done = subprocess.run([*command, *arguments], cwd=ROOT, env=alone, capture_output=True, text=True, timeout=60)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        if done.returncode > 1:
            return {"": (done.stdout + done.stderr, "")}
        table = (folder / "table.md").read_text("utf-8")
        assert str(folder) not in table
        return rows(table)

    @pytest.mark.parametrize(
        ("test", "result"),
        [
            ("def test_x(): pass", PASSED),
            ("def test_x(): assert False", FAILED),
            ("def test_x(): pytest.skip('not here')", NOT_RUN),
            ("@pytest.mark.skip(reason='x')\ndef test_x(): pass", NOT_RUN),
            ("@pytest.mark.xfail\ndef test_x(): assert False", NOT_RUN),
            ("@pytest.mark.xfail\ndef test_x(): pass", NOT_RUN),
            ("@pytest.fixture\ndef f(): raise OSError\n\ndef test_x(f): pass", FAILED),
            ("@pytest.fixture\ndef f():\n    yield\n    raise OSError\n\ndef test_x(f): pass", FAILED),
            ("@pytest.mark.parametrize('n', [1, 2])\ndef test_x(n): assert n == 1", FAILED),
            ("@pytest.mark.parametrize('n', [1, 2])\ndef test_x(n):\n    if n == 2: pytest.skip('x')", NOT_RUN),
        ],
        ids=[
            "passes",
            "fails",
            "skips",
            "is_skipped",
            "xfails",
            "xpasses",
            "setup",
            "teardown",
            "one_fails",
            "one_skips",
        ],
    )
    def test_calls_a_case_what_it_came_to(self, tmp_path: Path, test: str, result: str) -> None:
        marked = re.sub(r"^(@pytest.mark.\w+.*\n)?def test_x", rf"@pytest.mark.case('{GOOD}')\n\g<0>", test, flags=re.M)
        found = self.of(tmp_path, marked)
        assert found[GOOD] == (result, "`test_it.py::test_x`")
        assert found[OTHER] == (NOT_RUN, "–")
        assert all(found[case.id][0] == f"{LATER}: {case.later}" for case in CASES if case.later)

    def test_under_xdist_gives_the_same_table(self, tmp_path: Path) -> None:
        test = f"@pytest.mark.case('{GOOD}', '{OTHER}')\ndef test_x(): pass\n"
        test += f"@pytest.mark.case('{OTHER}')\ndef test_y(): assert False\n"
        alone = self.of(tmp_path, test, code=1)
        assert self.of(tmp_path, test, "-p", "xdist.plugin", "--numprocesses=2", code=1) == alone
        assert alone[GOOD] == (PASSED, "`test_it.py::test_x`")
        assert alone[OTHER] == (FAILED, "`test_it.py::test_x`<br>`test_it.py::test_y`")

    def test_that_is_the_same_gives_the_same_octets(self, tmp_path: Path) -> None:
        test = f"@pytest.mark.case('{GOOD}')\n@pytest.mark.parametrize('n', [1, 2])\ndef test_x(n): pass"
        self.of(tmp_path, test)
        before = (tmp_path / "table.md").read_bytes()
        self.of(tmp_path, test)
        assert (tmp_path / "table.md").read_bytes() == before

    @pytest.mark.parametrize("case", ["refuse/no-such-case", next(case.id for case in CASES if case.later)])
    def test_with_a_case_that_there_is_not_does_not_begin(self, tmp_path: Path, case: str) -> None:
        found = self.of(tmp_path, f"@pytest.mark.case('{case}')\ndef test_x(): pass", code=4)
        assert f"marked with '{case}'" in found[""][0]


def test_a_test_is_named_without_folders_and_parameters() -> None:
    assert folded("tests/oauth/test_x.py::TestY::test_z[a::b-c/d]") == "oauth/test_x.py::TestY::test_z"
