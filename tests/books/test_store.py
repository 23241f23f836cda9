"""The local copy of an organisation's books: what is stored, what is seen, and what goes wrong in plain words."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from lexoffice_nb.api.berlin import BERLIN
from lexoffice_nb.books import parts, readers, schema
from lexoffice_nb.books import store as store_module
from lexoffice_nb.books.store import Store
from lexoffice_nb.errors import BooksError
from lexoffice_nb.oauth import private_file
from lexoffice_nb.texts import LANGUAGES
from tests.modeless import ModelessFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

root_only = pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs to mount, or to give files away")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "books" / "copy")


def rows(count: int, start: int = 0, **members: Any) -> list[dict[str, Any]]:
    changed = datetime(2025, 3, 1, 10, tzinfo=BERLIN)
    return [
        {"id": f"row-{number}", "updatedDate": changed, "totalAmount": Decimal("119.70"), **members}
        for number in range(start, start + count)
    ]


def document(name: str, **members: Any) -> dict[str, Any]:
    return {"id": name, "kind": "invoices", "lineItems": [{"name": "one"}, {"name": "two"}], **members}


def ask(store: Store, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        store.connect(connection)
        return connection.execute(question).fetchall()


def count(store: Store, table: str) -> int:
    return int(ask(store, f"SELECT count(*) FROM {table}")[0][0])


@contextlib.contextmanager
def refusal(code: str) -> Iterator[None]:
    with pytest.raises(BooksError) as refused:
        yield
    assert refused.value.code == code
    for language in LANGUAGES:
        assert refused.value.what(language)
        assert refused.value.next(language)
    assert len(refused.value._render_traceback_()) == 2


def part_files(store: Store, table: str) -> list[Path]:
    return sorted(store.folder.glob(f"{table}-*.parquet"))


class TestWhatIsStored:
    def test_is_seen_at_once_whether_it_is_in_a_part_or_in_the_journal(self, store: Store) -> None:
        store.add("rows", rows(250))
        store.add("rows", rows(3, 250))
        store.add("documents", [document("a")])
        store.add("payments", [{"voucherId": "a", "paymentItems": [{"amount": Decimal("1.10")}]}])
        store.add("contacts", [{"id": "c"}])
        assert len(part_files(store, "vouchers")) == 1
        assert part_files(store, "documents") == []
        wanted = {"vouchers": 253, "documents": 1, "line_items": 2, "payments": 1, "payment_items": 1, "contacts": 1}
        assert {table: count(store, table) for table in schema.TABLES} == {
            **dict.fromkeys(schema.TABLES, 0),
            **wanted,
        }

    def test_is_the_same_for_another_program(self, store: Store) -> None:
        store.add("documents", [document("a")])
        asked = f"""
from pathlib import Path
from lexoffice_nb.books.store import Store
print(Store(Path({str(store.folder)!r})).known("documents"))
"""
        assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == (
            "{'a': ''}\n"
        )

    def test_has_its_tables_even_where_there_is_nothing(self, store: Store) -> None:
        assert {count(store, table) for table in schema.TABLES} == {0}
        assert not store.folder.exists()
        assert store.known("rows") == {}
        assert (store.state, store.size(), store.damaged) == ({}, 0, 0)

    def test_is_known_with_the_moment_of_its_last_change(self, store: Store) -> None:
        store.add("rows", rows(250))
        store.add("payments", [{"voucherId": "a"}])
        assert store.known("rows")["row-0"] == "2025-03-01T10:00:00.000+01:00"
        assert len(store.known("rows")) == 250
        assert store.known("rows", ["row-7", "none"]) == {"row-7": "2025-03-01T10:00:00.000+01:00"}
        assert store.known("rows", []) == {}
        assert store.known("payments") == {"a": ""}

    @pytest.mark.parametrize("places", [(1, 1), (250, 250), (1, 250), (250, 1)])
    @pytest.mark.parametrize("compacted", [False, True])
    def test_is_the_newest_of_each_id(self, store: Store, places: tuple[int, int], compacted: bool) -> None:
        store.add("rows", rows(places[0], totalAmount=Decimal(1)))
        if compacted:
            store.compact()
        store.add("rows", rows(places[1], totalAmount=Decimal(2)))
        if compacted:
            store.compact()
        found = ask(store, "SELECT total_amount, count(*) FROM vouchers GROUP BY ALL ORDER BY ALL")
        rest = places[0] - places[1]
        assert found == ([(Decimal(1), rest)] if rest > 0 else []) + [(Decimal(2), places[1])]

    def test_is_the_last_of_those_that_come_together(self, store: Store) -> None:
        for page in (1, 250):
            twice = [*rows(page, totalAmount=Decimal(1)), *rows(page, totalAmount=Decimal(2))]
            store.add("rows", twice)
            assert ask(store, "SELECT DISTINCT total_amount FROM vouchers") == [(Decimal(2),)]
            assert count(store, "vouchers") == page

    def test_takes_the_lines_of_the_newest_document_alone(self, store: Store) -> None:
        store.add("documents", [document(f"d{number}") for number in range(250)])
        store.add("documents", [document("d1", lineItems=[{"name": "other"}])])
        assert ask(store, "SELECT name FROM line_items WHERE document_id = 'd1'") == [("other",)]
        store.compact()
        assert ask(store, "SELECT name FROM line_items WHERE document_id = 'd1'") == [("other",)]

    @pytest.mark.parametrize("compacted", [False, True])
    def test_is_left_out_when_it_was_removed_until_it_comes_again(self, store: Store, compacted: bool) -> None:
        store.add("rows", rows(250))
        store.add("documents", [document("row-1"), document("row-2")])
        store.remove(["row-1", "never there"])
        if compacted:
            store.compact()
        assert "row-1" not in store.known("rows")
        assert (count(store, "vouchers"), count(store, "documents"), count(store, "line_items")) == (249, 1, 2)
        store.add("rows", rows(1, 1))
        assert (count(store, "vouchers"), count(store, "documents")) == (250, 1)

    def test_is_shown_table_by_table(self, store: Store) -> None:
        store.add("documents", [document("a")])
        store.add("rows", rows(250))
        with store.asking("documents", "vouchers") as connection:
            assert {name for (name,) in connection.execute("SHOW TABLES").fetchall()} == {"documents", "vouchers"}
            assert connection.execute("SELECT (FROM documents SELECT count(*)), count(*) FROM vouchers").fetchall() == [
                (1, 250)
            ]
        with store.asking() as connection:
            assert {name for (name,) in connection.execute("SHOW TABLES").fetchall()} == set(schema.TABLES)

    @pytest.mark.parametrize(("scattered", "many"), [(False, 1), (True, 25), (True, 24)])
    def test_is_parsed_from_the_journal_no_more_once_it_is_made_compact(
        self, store: Store, scattered: bool, many: int
    ) -> None:
        store.add("documents", [document(f"d{number}") for number in range(many)])
        store.compact(scattered=scattered)
        manifest, waiting = store._read()
        stays = scattered and many < 25  # a part for each sync would be many
        assert ([part.records for part in manifest.parts], len(waiting)) == (([], many) if stays else ([many], 0))
        assert count(store, "documents") == many

    @pytest.mark.parametrize("removed", [(), ("row-0", "row-1", "row-300")])
    @pytest.mark.parametrize("again", [1, 250])
    def test_is_told_apart_by_whether_it_came_again_since_a_mark(
        self, store: Store, again: int, removed: tuple[str, ...]
    ) -> None:
        store.add("rows", rows(250))
        store.add("contacts", [{"id": "c"}])
        store.add("rows", [*rows(2, 300)])
        store.remove(removed)
        store.add("rows", rows(1, 1))  # what is there again counts
        store.add("documents", [document("a")])
        mark = store.mark()
        assert store.unchanged("documents", mark) == ["a"]
        store.add("rows", rows(again, 2))
        wanted = {f"row-{number}" for number in (*range(250), 300, 301)} - {
            *removed,
            *(f"row-{2 + n}" for n in range(again)),
        }
        assert set(store.unchanged("rows", mark)) == wanted | {"row-1"}
        assert store.unchanged("contacts", mark) == ["c"]
        store.compact()
        assert set(store.unchanged("rows", mark)) == wanted | {"row-1"}
        store.remove(store.unchanged("rows", mark))
        assert store.unchanged("rows", mark) == []
        assert set(store.known("rows")) == {f"row-{2 + n}" for n in range(again)}

    @pytest.mark.parametrize("again", [1, 250])
    @pytest.mark.parametrize("harm", ["cut", "a bit", "away", "set aside"])
    def test_names_nothing_as_gone_where_what_came_since_a_mark_cannot_be_read(
        self, store: Store, again: int, harm: str
    ) -> None:
        store.add("rows", rows(250))
        store.compact()
        mark = store.mark()
        store.add("rows", rows(again))
        assert len(store.unchanged("rows", mark)) == 250 - again
        path = max(store.folder.glob("journal-*" if again == 1 else "raw_rows-*"))
        content = path.read_bytes()
        if harm == "away":
            path.rename(path.with_suffix(".away"))
        else:
            path.write_bytes(
                content[:-1] if harm == "cut" else content[:-30] + bytes([content[-30] ^ 1]) + content[-29:]
            )
        if harm == "set aside":
            with store.writing():
                store.check()
            store.add("rows", rows(1))
        assert store.unchanged("rows", mark) == []

    @pytest.mark.parametrize("connected", [False, True])
    def test_is_not_made_one_part_by_the_way_while_somebody_reads_it(self, store: Store, connected: bool) -> None:
        store.add("rows", rows(100))
        reader = duckdb.connect()
        if connected:
            store.connect(reader)
        with store.writing():
            for page in range(1, 20):
                store.add("rows", rows(100, page * 100))
            store.compact(scattered=True)
        assert len(parts.read_manifest(store.folder).parts) == (20 if connected else 1)
        reader.close()

    def test_becomes_a_part_when_the_journal_has_enough(self, store: Store) -> None:
        with store.writing():
            for number in range(251):
                store.add("documents", [document(f"d{number}")])
        assert len(part_files(store, "documents")) == 1
        assert count(store, "documents") == len(store.known("documents")) == 251

    def test_stays_few_files_however_much_comes(self, store: Store) -> None:
        with store.writing():
            for page in range(100):
                store.add("rows", rows(100, page * 100))
        manifest = parts.read_manifest(store.folder)
        assert len(manifest.parts) <= 3 + 100 - 96
        assert count(store, "vouchers") == 10_000

    def test_keeps_the_very_body(self, store: Store) -> None:
        store.add("rows", [{"id": "a", "totalAmount": Decimal("1.10"), "new": {"unknown": [None, True, "ü\ud800"]}}])
        store.compact()
        with duckdb.connect() as connection:
            store.connect(connection)
            raw = connection.execute(f"SELECT raw FROM {parts.INSIDE}.keys_rows").fetchall()
        assert raw == [('{"id":"a","totalAmount":1.10,"new":{"unknown":[null,true,"\\u00fc\\ud800"]}}',)]

    def test_passes_over_what_has_no_id(self, store: Store) -> None:
        assert store.add("rows", [{"totalAmount": Decimal(1)}, {"id": None}, {"id": "a"}]) == 1
        assert store.add("rows", []) == 0
        assert store.known("rows") == {"a": ""}

    def test_passes_over_an_id_that_no_engine_takes(self, store: Store) -> None:
        for more in (1, 250):  # into the journal, and into a part
            odd = [{"id": "\ud800"}, {"id": "a\udfff"}, {"id": 5}, {"id": ["b"]}]
            assert store.add("rows", [*odd, *rows(more), {"id": "c", "updatedDate": "\ud800"}]) == more + 1
            assert store.known("rows")["c"] == "?"
            assert store.known("rows", ["\ud800", "c"]) == {"c": "?"}
            assert count(store, "vouchers") == more + 1

    def test_is_of_a_known_source(self, store: Store) -> None:
        with pytest.raises(ValueError, match="invoices"):
            store.add("invoices", [])
        with pytest.raises(ValueError, match="invoices"):
            store.known("invoices")

    def test_may_be_much_more_than_a_page(self, store: Store) -> None:
        assert store.add("rows", iter(rows(2345))) == 2345
        assert count(store, "vouchers") == 2345


class TestTheFolder:
    def test_is_closed_to_others_with_all_that_is_in_it(self, store: Store) -> None:
        store.add("documents", [document(f"d{number}") for number in range(250)])
        store.add("documents", [document("a")])
        store.set_state(a=1)
        store.describe("Muster GmbH")
        with duckdb.connect() as connection:
            store.connect(connection)
            assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()}
        assert set(modes.values()) == {0o600}
        assert len(modes) > 8

    def test_has_a_name_that_tells_nothing_and_leads_nowhere_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Threat 36: the organisation's id becomes a path."""
        monkeypatch.setenv("XDG_DATA_HOME", "/data")
        hostile = ["../../x", "/etc/passwd", "", "\x00", "x" * 300, "NUL", "CON", "\ud800", "a/b", "A", "a"]
        names = [Store.folder_of("https://api.example", each) for each in hostile]
        assert len({name.name for name in names}) == len(hostile)
        assert {name.parent for name in names} == {store_module.books_folder()}
        assert all(name.name.isalnum() and len(name.name) == 32 for name in names)

    def test_is_one_for_each_origin_and_organisation(self) -> None:
        def name(base: str) -> str:
            return Store.folder_of(base, "o").name

        assert name("https://api.example/v1") == name("https://API.example/v2/")
        assert name("https://api.example") != name("http://api.example")
        assert name("https://api.example") != name("https://api.example:8443")

    def test_may_have_any_name(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "it's [a-z]*" / "year=2025 {x}?")
        store.add("rows", rows(250))
        store.add("rows", rows(250, 250))
        store.compact()
        store.add("rows", rows(1, 500))
        assert count(store, "vouchers") == len(store.known("rows")) == 501

    def test_is_not_mixed_up_with_one_whose_name_its_own_would_match_as_a_pattern(self, tmp_path: Path) -> None:
        for name in ("a*", "ab", "[b]", "b", "?", "c"):
            store = Store(tmp_path / name)
            store.add("rows", [{"id": f"{name}{number}", "contactName": name} for number in range(100)])
        for name in ("a*", "[b]", "?"):
            assert ask(Store(tmp_path / name), "SELECT DISTINCT contact_name FROM vouchers") == [(name,)]

    def test_says_whose_copy_it_is_and_that_it_is_not_encrypted(self, store: Store) -> None:
        store.describe("Muster\x1b[31m GmbH https://evil.example")
        said = (store.folder / "README.txt").read_text()
        assert "Muster [31m GmbH https[:]//evil.example" in said
        assert "not encrypted" in said

    def test_keeps_a_state(self, store: Store) -> None:
        store.set_state(listed="2025-03-01T10:00:00+01:00", contacts=None)
        store.set_state(contacts=[1, 2])
        assert Store(store.folder).state == {"listed": "2025-03-01T10:00:00+01:00", "contacts": [1, 2]}

    def test_forgets_of_a_state_what_it_never_kept(self, store: Store) -> None:
        moments: list[Any] = [
            5,
            "garbage",
            "2025-03-01T10:00:00",
            "2025-03-01",
            "2099-01-01T00:00:00+00:00",
            ["x"],
            None,
        ]
        odd: dict[str, list[Any]] = {
            "listed": moments,
            "began": [7, *moments],
            "contacts_at": moments,
            "cursor": ["garbage", 20250301, True],
            "contacts_lost": [5, "x", [[1]], ["\ud800"]],
            "payments": ["x", 1],
            "contacts_refused": [1],
            "mended": ["x", -1, 1.5, True],
        }
        good = {"listed": "2025-03-01T10:00:00+00:00", "cursor": "2025-03-01", "contacts_lost": ["a"], "mended": 1}
        store.set_state(**good, payments=True)
        store.set_state(payments=True)
        for name, values in odd.items():
            for value in values:
                (store.folder / "state.json").write_text(json.dumps({**good, name: value}))
                assert store.state == {each: good[each] for each in good if each != name}
        store.set_state(payments=True)
        assert store.state["payments"] is True

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 200_000])
    def test_does_without_a_state_that_is_damaged(self, store: Store, content: bytes) -> None:
        store.set_state(a=1)
        (store.folder / "state.json").write_bytes(content)
        assert store.state == {}
        store.set_state(b=1)
        assert store.state == {"b": 1}

    def test_is_gone_when_it_is_forgotten(self, store: Store) -> None:
        store.add("rows", rows(250))
        store.add("rows", rows(1))
        (store.folder / "spill").mkdir()
        (store.folder / "spill" / "left").write_bytes(b"x")
        (store.folder / "vouchers-000099.parquet").write_bytes(b"of a writer that was killed")
        store.forget()
        assert not store.folder.exists()
        store.forget()
        store.add("rows", rows(1))
        assert count(store, "vouchers") == 1


class TestOneWriter:
    HOLD = """
import sys
from pathlib import Path
from lexoffice_nb.books.store import Store
with Store(Path(sys.argv[1])).writing():
    print("holds", flush=True)
    sys.stdin.read()
"""

    @contextlib.contextmanager
    def elsewhere(self, store: Store) -> Iterator[subprocess.Popen[bytes]]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", self.HOLD, str(store.folder)], **pipes) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"holds\n"
            try:
                yield writer
            finally:
                writer.kill()

    def test_keeps_others_out_who_can_still_read(self, store: Store) -> None:
        store.add("rows", rows(1))
        with self.elsewhere(store):
            with refusal("books_busy"), store.writing(wait=0.1):
                pass
            with refusal("books_busy"):
                store.forget()
            assert count(store, "vouchers") == 1

    def test_lets_go_when_it_is_killed(self, store: Store) -> None:
        with self.elsewhere(store) as writer:
            writer.kill()
            writer.wait()
            store.add("rows", rows(1))
        assert count(store, "vouchers") == 1

    def test_keeps_other_threads_out(self, store: Store) -> None:
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with store.writing():
                held.set()
                done.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(20)
        with refusal("books_busy"), store.writing(wait=0.05):
            pass
        done.set()
        thread.join()
        store.add("rows", rows(1))

    def test_is_one_also_for_two_objects_of_a_process(self, store: Store) -> None:
        with store.writing(), refusal("books_busy"), Store(store.folder).writing(wait=0.05):
            pass

    def test_goes_on_after_an_error_within_it(self, store: Store) -> None:
        with store.writing():
            store.add("documents", [document("a")])
            with pytest.raises(Exception, match="NaN"):
                store.add("documents", [document("b", amount=Decimal("NaN"))])
            store.add("documents", [document("c")])
        assert set(store.known("documents")) == {"a", "c"}


class TestReaders:
    def test_keep_the_files_of_their_views_however_long_they_stay(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parts, "_READERS_TIME", -1.0)
        monkeypatch.setattr(readers, "_YOUNG", 0.0)
        for page in range(3):
            store.add("rows", rows(250, 250 * page))
        connection = duckdb.connect()
        store.connect(connection)
        store.compact()
        store.compact()
        assert connection.execute("SELECT count(*), sum(total_amount) FROM vouchers").fetchall()[0][0] == 750
        assert len(part_files(store, "vouchers")) > 1
        store.connect(connection)
        store.compact()
        assert connection.execute("SELECT count(*) FROM vouchers").fetchall() == [(750,)]
        assert len(list(store.folder.glob("reader-*"))) == 1
        connection.close()
        del connection
        store.compact()
        store.compact()
        assert not list(store.folder.glob("reader-*"))

    def test_that_were_killed_keep_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.add("rows", rows(1))
        left = store.folder / f"reader-{int(time.time() - 100) * 1000}-00000000.lease"
        left.touch(0o600)
        assert readers.oldest(store.folder) == float("inf")
        assert not left.exists()

    def test_see_what_came_since_when_they_connect_again(self, store: Store) -> None:
        store.add("documents", [document("a")])
        with duckdb.connect() as connection:
            store.connect(connection)
            store.add("documents", [document("b")])
            assert connection.execute("SELECT id FROM documents ORDER BY id").fetchall() == [("a",)]
            store.connect(connection)
            assert connection.execute("SELECT id FROM documents ORDER BY id").fetchall() == [("a",), ("b",)]

    def test_of_our_own_load_nothing_and_write_nowhere_but_into_the_folder(self, store: Store) -> None:
        store.add("rows", rows(3))
        names = ("temp_directory", "autoload_known_extensions", "autoinstall_known_extensions")
        with store.asking() as connection:
            asked = ", ".join(f"current_setting('{name}')" for name in names)
            [(spill, *loads)] = connection.execute(f"SELECT {asked}").fetchall()
            assert Path(spill).parent == store.folder
            assert loads == [False, False]
            assert len(list(store.folder.glob("reader-*"))) == 1
            connection.execute("SET memory_limit = '20MB'")
            connection.execute("CREATE TABLE many AS SELECT range AS n, hash(range) AS h FROM range(3_000_000)")
            assert any(Path(spill).iterdir())
        assert not list(store.folder.glob("reader-*"))

    def test_of_our_own_say_in_plain_words_what_the_engine_does(self, store: Store) -> None:
        store.add("rows", rows(250))
        with refusal("books_unusable"), store.asking() as connection:
            path = part_files(store, "vouchers")[0]
            path.write_bytes(b"PAR1" * 100)
            connection.execute("SELECT sum(total_amount) FROM vouchers").fetchall()

    def test_that_were_killed_leave_nothing_that_they_had_spilled(self, store: Store) -> None:
        store.add("rows", rows(1))
        left = store.folder / f"reader-{int(time.time() - 100) * 1000}-00000000.lease"
        left.touch(0o600)
        left.with_suffix(".spill").mkdir()
        (left.with_suffix(".spill") / "some").touch()
        assert readers.oldest(store.folder) == float("inf")
        assert not left.with_suffix(".spill").exists()

    def test_that_are_interrupted_while_they_end_keep_nothing(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readers, "_YOUNG", 0.0)
        store.add("rows", rows(1))
        instants = left = 0
        while interrupted(readers.Lease(store.folder).end, instants):
            instants += 1
            left += bool(list(store.folder.glob("reader-*")))
            assert readers.oldest(store.folder) == float("inf")
        assert left <= 4 < instants, (left, instants)  # before it does anything, and where it removes the file


def interrupted(call: Callable[[], object], instant: int) -> bool:
    """Calls with Ctrl-C at a line of this module; whether there were so many.

    Not at those of filelock: it has one lock for the whole process, and an interrupt between two lines of its own would
    leave that locked for all tests that follow.
    """
    left = instant

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if event == "line":
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            left -= 1
        return trace if frame.f_code.co_filename == readers.__file__ else None

    before = sys.gettrace()
    gc.disable()  # else it could be in the end of a lock of another test, where nobody catches it
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("filled") / "copy")
    for page in range(3):
        store.add("documents", [document(f"d{250 * page + number}") for number in range(250)])
    store.add("documents", [document("in the journal")])
    return store.folder


class TestDamage:
    @pytest.fixture
    def filled(self, store: Store, first: Path) -> Store:
        private_file.make_folder(store.folder.parent)
        shutil.copytree(first, store.folder)
        return store

    @pytest.mark.parametrize("harm", ["cut", "emptied", "gone", "overwritten"])
    def test_of_a_parts_bodies_leaves_the_other_parts_readable_and_its_records_unknown(
        self, filled: Store, harm: str
    ) -> None:
        self.harm(part_files(filled, "raw_documents")[1], harm)
        assert count(filled, "documents") == len(filled.known("documents")) == 501
        assert "d250" not in filled.known("documents")
        assert filled.damaged == 250
        filled.add("documents", [document(f"d{number}") for number in range(250, 500)])
        assert count(filled, "documents") == len(filled.known("documents")) == 751
        assert filled.damaged == 250
        filled.compact()
        assert count(filled, "line_items") == 1502

    @pytest.mark.parametrize("table", ["documents", "line_items"])
    @pytest.mark.parametrize("harm", ["cut", "emptied", "gone", "overwritten"])
    def test_of_a_parts_tables_is_mended_from_its_bodies(self, filled: Store, table: str, harm: str) -> None:
        self.harm(part_files(filled, table)[1], harm)
        assert count(filled, "documents") == 501
        with filled.writing():
            pass
        assert count(filled, "documents") == len(filled.known("documents")) == 751
        assert count(filled, "line_items") == 1502
        assert filled.damaged == 0

    def harm(self, path: Path, harm: str) -> None:
        content = path.read_bytes()
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "overwritten": b"x" * 100}[harm])

    @pytest.mark.parametrize("table", ["raw_documents", "line_items"])
    def test_that_only_reading_finds_is_found_by_a_check(self, filled: Store, table: str) -> None:
        path = part_files(filled, table)[1]
        content = path.read_bytes()
        path.write_bytes(content[:4] + b"\xff" * (len(content) // 2) + content[4 + len(content) // 2 :])
        with contextlib.suppress(duckdb.Error, BooksError):
            count(filled, table)
        lost = 250 if table == "raw_documents" else 0
        assert filled.check() == lost
        assert count(filled, "documents") == len(filled.known("documents")) == 751 - lost
        assert count(filled, "line_items") == 1502 - 2 * lost

    def test_that_only_reading_finds_stops_no_writer(self, filled: Store) -> None:
        path = part_files(filled, "raw_documents")[1]
        content = path.read_bytes()
        path.write_bytes(content[:4] + b"\xff" * (len(content) // 2) + content[4 + len(content) // 2 :])
        filled.compact()
        filled.compact()
        assert filled.damaged == 250
        assert count(filled, "documents") == len(filled.known("documents")) == 501

    @pytest.mark.parametrize("cut", [1, 5, 40])
    def test_of_the_journals_end_loses_only_what_was_not_acknowledged(self, filled: Store, cut: int) -> None:
        path = next(filled.folder.glob("journal-*"))
        whole = path.read_bytes()
        head, line = whole.splitlines(keepends=True)
        with path.open("ab") as file:
            file.write(line[:-cut])
        assert (len(filled.known("documents")), filled.damaged) == (751, 0)
        filled.add("documents", [document("after")])
        assert path.read_bytes()[len(head) : len(whole)] == line
        assert (len(filled.known("documents")), filled.damaged) == (752, 0)

    # What is left of three records, and how many are missed; of a journal that says nothing at least one.
    @pytest.mark.parametrize(
        ("harm", "left", "lost"),
        [
            (lambda content: content.replace(b'"id":"b"', b'"id":"x"'), {"a", "c"}, 1),
            (lambda content: content.replace(b'"id":"c"', b'"id":"x"'), {"a", "b"}, 1),
            (lambda content: content[: len(content) // 2], {"a"}, 2),
            (lambda content: b"".join(content.splitlines(keepends=True)[:-1]), {"a", "b"}, 1),
            (lambda content: content[:17], set(), 3),
            (lambda content: content[17:], {"a", "b", "c"}, 1),
            (lambda content: content[:10], set(), 1),
            (lambda content: b"", set(), 1),
            (lambda content: None, set(), 1),
        ],
    )
    def test_of_the_journal_is_said_and_a_copy_stays(
        self, store: Store, harm: Callable[[bytes], bytes | None], left: set[str], lost: int
    ) -> None:
        for name in "abc":
            store.add("documents", [document(name)])
        path = next(store.folder.glob("journal-*"))
        harmed = harm(path.read_bytes())
        path.unlink() if harmed is None else path.write_bytes(harmed)
        assert (set(store.known("documents")), store.damaged, store.unmended) == (left, lost, lost)
        assert count(store, "documents") == len(left)
        store.add("documents", [document("d")])
        store.add("documents", [document("e")])
        assert (set(store.known("documents")), store.damaged) == ({*left, "d", "e"}, lost)
        copies = [each.read_bytes() for each in store.folder.glob("damaged-journal-*")]
        assert copies == ([] if harmed is None else [harmed])
        store.forget()

    @pytest.mark.parametrize("table", ["documents", "line_items", "raw_documents"])
    def test_of_a_single_bit_is_found_by_a_check(self, store: Store, table: str) -> None:
        store.add("documents", [document(f"d{number}", remark=f"{number}") for number in range(250)])
        before = ask(store, "FROM documents ORDER BY id"), ask(store, "FROM line_items ORDER BY ALL")
        for place in range(3):
            path = part_files(store, table)[-1]
            content = bytearray(path.read_bytes())
            content[len(content) * place // 3] ^= 4
            path.write_bytes(content)
            lost = 250 if table == "raw_documents" else 0
            assert store.check() == lost * (place + 1)
            assert count(store, "documents") == 250 - lost
            if lost:
                store.add("documents", [document(f"d{number}", remark=f"{number}") for number in range(250)])
            assert (ask(store, "FROM documents ORDER BY id"), ask(store, "FROM line_items ORDER BY ALL")) == before

    def test_of_a_table_gets_into_no_part_that_is_made_of_it(self, store: Store) -> None:
        store.add("rows", rows(250))
        store.add("rows", rows(250, 250))
        [(before,)] = ask(store, "SELECT sum(total_amount) FROM vouchers")
        path, size = part_files(store, "vouchers")[0], part_files(store, "vouchers")[0].stat().st_size
        with duckdb.connect() as connection:  # the same but for an amount, which no reader can tell
            changed = (
                "SELECT * REPLACE (CASE id WHEN 'row-1' THEN total_amount + 1 ELSE total_amount END AS total_amount)"
            )
            connection.execute(f"COPY ({changed} FROM '{path}') TO '{path}.new' (FORMAT parquet, COMPRESSION zstd)")
        content = path.with_name(f"{path.name}.new").read_bytes()
        path.with_name(f"{path.name}.new").unlink()
        path.write_bytes(content)
        manifest = store.folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace(f'"vouchers": {size}', f'"vouchers": {len(content)}'))
        assert ask(store, "SELECT sum(total_amount) FROM vouchers") == [(before + 1,)]
        store.compact()
        store.compact()
        assert ask(store, "SELECT sum(total_amount) FROM vouchers") == [(before,)]
        assert (len(store.known("rows")), store.damaged) == (500, 0)

    @pytest.mark.parametrize("gone", ["manifest", "all but the state", "all but the journal"])
    def test_of_a_manifest_that_is_gone_is_said_and_nothing_is_removed(self, filled: Store, gone: str) -> None:
        filled.set_state(listed="2025-03-01T10:00:00+01:00")
        for path in filled.folder.iterdir():
            kept = {"all but the state": "state", "all but the journal": "journal"}.get(gone, "")
            if path.name == "manifest.json" or not path.name.startswith(kept):
                path.unlink()
        before = {path.name for path in filled.folder.iterdir()}
        if gone == "all but the state":  # nothing is there to be missed: all is read anew
            assert (filled.state, filled.damaged, filled.known("rows")) == ({}, 0, {})
            return
        for use in (
            lambda: count(filled, "documents"),
            lambda: filled.state,
            lambda: filled.add("documents", [document("x")]),
            filled.check,
        ):
            with refusal("books_damaged"):
                use()
        assert {path.name for path in filled.folder.iterdir()} >= before
        filled.forget()
        assert not filled.folder.exists()

    @pytest.mark.parametrize(
        "changed",
        [
            {"left": {"../../victim.txt": 0}},
            {"left": {"../victim-000001.parquet": 0}},
            {"left": {"manifest.json": 0}},
            {"left": {"vouchers-000001.parquet": "x"}},
            {"left": [1]},
            {"damaged": [1]},
            {"damaged": {"x": 1}},
            {"journal": "../x"},
            {"journal": -1},
            {"part": 1},
            {"following": None},
            {"parts": None},
            {"parts": [{"number": 1, "source": "rows", "records": 1, "files": 3}]},
            {"parts": [{"number": 1, "source": "rows", "records": 1, "files": {}}]},
            {"parts": [{"number": 1, "source": "../x", "records": 1, "files": {"raw_../x": 1}}]},
            {"parts": [{"number": 1, "source": "rows", "records": 1, "files": {"raw_rows": 1, "../../v": 1}}]},
            {"parts": [{"number": "1", "source": "rows", "records": 1, "files": {"raw_rows": 1}}]},
            {"parts": [{"number": 1, "source": "rows", "records": 1, "files": {"raw_rows": 1}, "sums": [1]}]},
        ],
    )
    def test_of_names_in_the_manifest_is_said_and_leads_nowhere(self, filled: Store, changed: dict[str, Any]) -> None:
        path, victims = filled.folder / "manifest.json", ["../../victim.txt", "../victim-000001.parquet", "state.json"]
        filled.set_state(listed=None)
        for victim in victims:
            (filled.folder / victim).touch(0o600)
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
        for use in (lambda: filled.add("rows", rows(250)), lambda: filled.known("rows"), filled.compact):
            with refusal("books_damaged"):
                use()
        assert all((filled.folder / victim).exists() for victim in victims)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"{}", b'{"version": 1}', b'{"version": "x"}', b"\xff", b"[" * 200_000]
    )
    def test_of_the_manifest_is_said(self, filled: Store, content: bytes) -> None:
        (filled.folder / "manifest.json").write_bytes(content)
        with refusal("books_damaged"):
            count(filled, "documents")
        with refusal("books_damaged"):
            filled.add("documents", [document("x")])
        filled.forget()
        assert not filled.folder.exists()


class TestVersions:
    def test_a_newer_one_is_left_alone(self, store: Store) -> None:
        store.add("rows", rows(250))
        path = store.folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": schema.VERSION + 1, "more": 1}))
        before = {each.name: each.read_bytes() for each in store.folder.iterdir()}
        for use in (lambda: count(store, "vouchers"), lambda: store.add("rows", rows(1)), lambda: store.known("rows")):
            with refusal("books_newer"):
                use()
        assert {each.name: each.read_bytes() for each in store.folder.iterdir()} == before

    @pytest.mark.parametrize("first", ["reads", "writes"])
    def test_an_older_one_is_made_anew_from_the_bodies(self, store: Store, first: str) -> None:
        for page in range(2):
            store.add("documents", [document(f"d{250 * page + number}") for number in range(250)])
        store.add("documents", [document("in the journal")])
        store.remove(["d1"])
        path = store.folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": schema.VERSION - 1}))
        for each in part_files(store, "line_items"):
            with duckdb.connect() as connection:  # as an older program would have had it
                connection.execute(f"COPY (SELECT 1 AS n, 2 AS other) TO '{each}'")
        if first == "writes":
            with store.writing():
                pass
        assert count(store, "line_items") == 1000
        assert parts.read_manifest(store.folder).version == schema.VERSION
        assert len(store.known("documents")) == 500

    @pytest.mark.parametrize("places", [(1, 0), (250, 0), (250, 1), (1, 250)])
    @pytest.mark.parametrize("first", ["reads", "writes"])
    def test_the_first_one_had_no_checksums_and_counted_no_journal(
        self, store: Store, places: tuple[int, int], first: str
    ) -> None:
        for number in (place for place in places if place):
            store.add("documents", [document(f"{number}-{each}") for each in range(number)])
        store.set_state(listed="2025-03-01T10:00:00+01:00")
        as_the_first_version(store.folder)
        if first == "writes":
            store.add("documents", [document("new")])
        assert store.state == {"listed": "2025-03-01T10:00:00+01:00"}
        assert count(store, "line_items") == 2 * (sum(places) + (first == "writes"))
        manifest = parts.read_manifest(store.folder)
        assert manifest.version == schema.VERSION
        assert all(part.sums.keys() == part.files.keys() for part in manifest.parts)
        assert store.check() == 0
        store.add("documents", [document("after")])
        assert len(store.known("documents")) == sum(places) + 1 + (first == "writes")

    def test_the_first_one_of_an_organisation_without_vouchers_is_read_again(self, store: Store) -> None:
        store.set_state(listed="2025-03-01T10:00:00+01:00")
        as_the_first_version(store.folder)
        assert (store.state, count(store, "vouchers")) == ({}, 0)
        store.add("rows", rows(1))


def as_the_first_version(folder: Path) -> None:
    """Makes of books what the first version would have written."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for part in manifest["parts"]:
        del part["sums"]
    if manifest["parts"]:
        path.write_text(json.dumps({**manifest, "version": 1}))
    else:
        path.unlink()
    for journal in folder.glob("journal-*"):
        _, *lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines)) if lines else journal.unlink()


class TestAFolderThatIsNotFit:
    def test_is_one_that_others_may_read(self, store: Store) -> None:
        store.add("rows", rows(1))
        store.folder.chmod(0o755)
        for use in (lambda: store.add("rows", rows(1)), lambda: count(store, "vouchers"), lambda: store.known("rows")):
            with refusal("books_mode"):
                use()

    def test_is_a_link_to_another(self, store: Store, tmp_path: Path) -> None:
        other = Store(tmp_path / "other")
        other.add("rows", rows(1))
        store.folder.parent.mkdir(mode=0o700)
        store.folder.symlink_to(other.folder)
        with refusal("books_kind"):
            store.add("rows", rows(1))
        with refusal("books_kind"):
            count(store, "vouchers")

    def test_is_a_file(self, store: Store) -> None:
        store.folder.parent.mkdir(mode=0o700)
        store.folder.touch(0o600)
        with refusal("books_kind"):
            store.add("rows", rows(1))

    def test_has_a_link_for_a_manifest(self, store: Store, tmp_path: Path) -> None:
        store.add("rows", rows(250))
        manifest = store.folder / "manifest.json"
        manifest.replace(tmp_path / "m")
        manifest.symlink_to(tmp_path / "m")
        with refusal("books_kind"):
            count(store, "vouchers")

    # Threat 36, and a pipe that is opened waits for ever.
    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("table", ["raw_rows", "vouchers"])
    @pytest.mark.parametrize("kind", ["pipe", "link", "second name", "open to others", "folder"])
    def test_has_something_else_than_files_of_ones_own(
        self, store: Store, tmp_path: Path, table: str, kind: str
    ) -> None:
        store.add("rows", rows(250))
        path = part_files(store, table)[0]
        if kind == "open to others":
            path.chmod(0o644)
        elif kind == "second name":
            os.link(path, tmp_path / "second")
        else:
            path.replace(tmp_path / "moved")
            {"pipe": os.mkfifo, "link": lambda at: at.symlink_to(tmp_path / "moved"), "folder": Path.mkdir}[kind](path)
        for use in (lambda: store.add("rows", rows(1)), lambda: count(store, "vouchers"), lambda: store.known("rows")):
            with refusal("books_mode" if kind == "open to others" else "books_kind"):
                use()
        with refusal("books_mode" if kind == "open to others" else "books_kind"), store.asking():
            pass
        store.forget()

    @root_only
    def test_has_a_file_of_somebody_elses(self, store: Store) -> None:
        store.add("rows", rows(250))
        os.chown(part_files(store, "vouchers")[0], 65534, 65534)
        with refusal("books_owner"):
            count(store, "vouchers")
        with refusal("books_owner"):
            store.add("rows", rows(1))

    @root_only
    def test_is_somebody_elses(self, store: Store) -> None:
        store.add("rows", rows(1))
        os.chown(store.folder, 65534, 65534)
        with refusal("books_owner"):
            store.add("rows", rows(1))
        with refusal("books_owner"):
            count(store, "vouchers")

    @root_only
    def test_is_on_a_file_system_that_keeps_no_modes(self, tmp_path: Path) -> None:
        for folders in (0o700, 0o755):
            place = tmp_path / f"stick{folders:o}"
            place.mkdir()
            try:
                mounted = ModelessFileSystem(place, folders=folders).__enter__()
            except OSError:
                pytest.skip("nothing can be mounted here")
            try:
                with refusal("books_no_modes"):
                    Store(place / "books").add("rows", rows(250))
                assert mounted.written == b""
            finally:
                mounted.__exit__()


@contextlib.contextmanager
def mounted(place: Path, size: str) -> Iterator[Callable[[], None]]:
    """A file system in memory; what it gives makes it read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    place.mkdir(mode=0o700)
    options = ctypes.c_char_p(f"size={size},mode=700".encode())
    if libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, options) != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield lambda: libc.mount(b"none", os.fsencode(place), b"tmpfs", 1 | 32, None)
    finally:
        libc.umount2(os.fsencode(place), 2)


@root_only
class TestADisk:
    def test_that_is_full_is_said_and_nothing_is_lost(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "2m") as _:
            store = Store(tmp_path / "disk" / "books")
            stored = 0
            with refusal("books_full"):
                while True:
                    store.add("rows", rows(100, stored, note=os.urandom(4000).hex()))
                    stored += 100
            assert stored >= 100
            assert count(store, "vouchers") == len(store.known("rows")) == stored
            with refusal("books_full"), store.writing():
                for _ in range(1000):
                    store.add("rows", rows(1, stored, note=os.urandom(4000).hex()))
                    stored += 1
            assert count(store, "vouchers") == len(store.known("rows")) == stored
            store.forget()
            store.add("rows", rows(250))

    def test_that_is_read_only_can_be_read(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "8m") as make_read_only:
            store = Store(tmp_path / "disk" / "books")
            store.add("rows", rows(250))
            store.add("rows", rows(1, 250))
            make_read_only()
            assert count(store, "vouchers") == len(store.known("rows")) == 251
            for use in (lambda: store.add("rows", rows(1)), store.compact, store.forget):
                with refusal("books_unusable"):
                    use()
            assert count(store, "vouchers") == 251


LIMITED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from lexoffice_nb.books.store import Store
from lexoffice_nb.errors import BooksError
from lexoffice_nb.oauth import private_file
import os, resource
store = Store(Path(sys.argv[1]))
store.add("documents", [{"id": "first"}])
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
for size in (1, 250):
    stored = 0
    try:
        for page in range(200):
            store.add("documents", [{"id": f"{size}-{page}-{n}", "note": os.urandom(500).hex()} for n in range(size)])
            stored += size
    except BooksError as error:
        print(size, stored, error.code)
"""


def test_a_file_that_may_not_grow_is_said_and_nothing_is_lost(store: Store) -> None:
    command = [sys.executable, "-c", LIMITED, str(store.folder), str(Path(__file__).parents[2])]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[2::3] == ["books_full", "books_full"]
    stored = int(said[1]) + int(said[4])
    assert int(said[1]) > 5
    assert len(store.known("documents")) == stored + 1
    store.add("documents", [document("after")])
    assert len(store.known("documents")) == stored + 2


def test_nothing_of_duckdb_is_loaded_with_the_package() -> None:
    code = "import sys, lexoffice_nb, lexoffice_nb.books.store; print('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_memory_stays_bounded_however_many_pages_come(store: Store) -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    store.add("rows", rows(250))
    before = peak()
    with store.writing():
        for page in range(150):
            store.add("rows", rows(250, 250 * page))
    assert peak() - before < 150
