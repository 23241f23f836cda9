"""A writer that is killed at any instant, and readers beside one that works: what was acknowledged is there."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import duckdb
import pytest

from lexoffice_nb.books import parts
from lexoffice_nb.books.store import Store

if TYPE_CHECKING:
    from pathlib import Path

# Acknowledges each number on its output once the store has it. Pages and single documents by turns, small enough
# that journals become parts and parts are merged all the time.
WRITER = """
import os, sys
from pathlib import Path
from lexoffice_nb.books import parts, store as module
from lexoffice_nb.books.store import Store
module._JOURNAL_RECORDS, parts._MERGED_AT, parts._READERS_TIME = 7, 3, float(sys.argv[3])
store = Store(Path(sys.argv[1]))
number = int(sys.argv[2])
print("begins", flush=True)
with store.writing():
    while True:
        page = 100 if number % 5 == 0 else 1
        lines = [{"name": "one"}, {"name": "two"}]
        new = range(number, number + page)
        store.add("documents", [{"id": f"{n}", "kind": "invoices", "lineItems": lines} for n in new])
        store.add("documents", [{"id": f"{number}", "kind": "vouchers", "lineItems": lines}])
        number += page
        os.write(1, b"%d\\n" % number)
        if number % 7 == 0:
            store.compact()
"""

READER = """
import sys, time
from pathlib import Path
import duckdb
from lexoffice_nb.books.store import Store
store = Store(Path(sys.argv[1]))
ends = time.monotonic() + float(sys.argv[2])
seen = asked = 0
connection = duckdb.connect()
while time.monotonic() < ends:
    store.connect(connection)
    for _ in range(2):
        documents, lines, different = connection.execute(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM line_items), "
            "(SELECT count(DISTINCT id) FROM documents)").fetchone()
        assert lines == 2 * documents, (documents, lines)
        assert different == documents, (different, documents)
        assert documents >= seen, (documents, seen)
        seen = documents
    known = len(store.known("documents"))
    assert known >= seen, (known, seen)
    asked += 1
print(asked, seen)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(store: Store, acknowledged: int) -> int:
    """Checks that all is there up to what was acknowledged; gives how much there is."""
    known = {int(name) for name in store.known("documents")}
    assert known == set(range(len(known)))
    assert len(known) >= acknowledged
    with duckdb.connect() as connection:
        store.connect(connection)
        assert connection.execute(
            "SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM line_items) FROM documents"
        ).fetchall() == [(len(known), len(known), 2 * len(known))]
        late = connection.execute("SELECT count(*) FROM documents WHERE kind = 'vouchers'").fetchone()
        assert late is not None
        assert late[0] > 0 or not known
    assert store.damaged == 0
    return len(known)


def is_amid_a_part(folder: Path) -> bool:
    """Whether the writer was killed while it wrote a part, or before that counted: there are files of none."""
    manifest = parts.read_manifest(folder)
    named = {name for part in manifest.parts for name in part.names()} | set(manifest.left)
    return any(path.name not in named for path in folder.glob("*.parquet"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [8, pytest.param(50, marks=pytest.mark.soak)])
def test_what_was_acknowledged_is_there_after_a_kill_at_any_instant(tmp_path: Path, times: int) -> None:
    store = Store(tmp_path / "books")
    chance = random.Random(times)
    number = amid_a_part = 0
    for turn in range(times):
        with start(WRITER, store.folder, number, 0) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begins\n"
            if turn % 4:  # else it is killed while it opens the books, or not much later
                number = int(writer.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.5))
            writer.kill()
            acknowledged = [int(line) for line in writer.stdout.read().split()] or [number]
            assert writer.stderr is not None
            assert writer.stderr.read() == ""
        amid_a_part += is_amid_a_part(store.folder)
        number = check(store, acknowledged[-1])
    assert number > 100
    assert amid_a_part >= times // 4
    store.compact()
    assert check(store, number) == number
    store.forget()
    assert not store.folder.exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_readers_never_fail_and_never_see_less_while_a_writer_adds_and_compacts(tmp_path: Path, seconds: int) -> None:
    """Files that were merged are removed at once here, but for those that a reader says it reads."""
    store = Store(tmp_path / "books")
    with start(WRITER, store.folder, 0, 2) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begins\n"
        assert int(writer.stdout.readline()) > 0
        readers = [start(READER, store.folder, seconds) for _ in range(2)]
        said = [reader.communicate() for reader in readers]
        writer.kill()
        written = [int(line) for line in writer.stdout.read().split()]
    assert [error for _, error in said] == ["", ""]
    for output, _ in said:
        asked, seen = map(int, output.split())
        assert asked > 2
        assert seen > 0
    check(store, written[-1])


def test_a_forgotten_copy_leaves_nothing_of_a_writer_that_was_killed(tmp_path: Path) -> None:
    store = Store(tmp_path / "books")
    with start(WRITER, store.folder, 0, 60) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.kill()
    assert len(list(store.folder.iterdir())) > 10
    store.forget()
    assert list(tmp_path.iterdir()) == []
