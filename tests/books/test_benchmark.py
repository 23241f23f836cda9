"""The benchmark of the books runs, with numbers that take seconds; how fast it is on this machine proves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import books  # noqa: E402
from benchmarks.peers import books as peer  # noqa: E402
from benchmarks.peers import invoices  # noqa: E402


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_the_benchmark_of_the_books_runs_and_what_does_not_depend_on_time_is_reached() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "books.py", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for part in ("to the cent: reached", "peak under 400 MB: reached", "at most 41: reached", "at most 12: reached"):
        assert part in said, said
    assert said.count("the same answer\n") == 2, said
    assert "  NO\n" not in said, said
    assert "250 MB over the idle kernel: reached" in said, said
    assert "of the pace, 0 refused" in said, said


@pytest.mark.soak
@pytest.mark.timeout(360)
def test_the_list_step_of_many_vouchers_takes_little_memory() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "books.py", "--only", "memory", "--vouchers", "200000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=340, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 MB over the idle kernel: reached" in done.stdout, done.stdout


def test_each_way_of_flattening_gives_the_same_cents(tmp_path: Path) -> None:
    invoices.write(tmp_path / peer.INVOICES, 300)
    assert peer.bodies(tmp_path) == {"count": 300}
    ways = (peer.flatten_ours, peer.flatten_unbounded, peer.rebuild_ours, peer.flatten_direct, books.flatten_by_hand)
    assert [peer.timed(way, tmp_path)["exact"] for way in ways] == [True] * len(ways)


def test_each_way_of_the_reports_gives_the_same_answers(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    peer.make_books(folder, 5_000)  # some in each month: by hand one without any has no row
    answers = {json.dumps(peer.report(way, folder, 1)["answers"]) for way in ("ours", "by-hand", "polars", "pandas")}
    assert len(answers) == 1
