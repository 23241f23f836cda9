"""`Store`: one organisation's part of the local books, in a folder of its own.

    store = Store(Store.folder_of("https://api.example", "9f2b…"))
    with store.writing():
        store.add("rows", page)             # on the disk when it returns
    store.known("rows")                     # {id: when it was changed last}
    store.connect(duckdb.connect())         # the tables of `schema`, as views

One process writes, any number read, and those see all of a change or nothing of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import json
import math
import os
import shutil
import threading
import time
import weakref
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from lexoffice_nb.api import berlin, exact_json
from lexoffice_nb.books import flatten, journal, parts, readers, schema
from lexoffice_nb.books.parts import INSIDE, REMOVED, SOURCES
from lexoffice_nb.errors import BooksError
from lexoffice_nb.oauth import private_file
from lexoffice_nb.texts import clock, from_server, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

STATE = "state.json"
HOLDER = "writing.json"
ABOUT = "README.txt"
LOCK = "writing.lock"
SPILL = "spill"
_STATE_LIMIT = 1 << 20
_HOLDER_LIMIT = 1 << 10
_JOURNAL_RECORDS = 250  # after which they become a part
_JOURNAL_OCTETS = 16 << 20
_MUCH = 25  # records in the journal at the end of a sync, from which on they become a part
_PAGE = 100  # records that come together and are at least so many are a part at once
_MOST = 1000  # records in a part as it is first written
_LOCK_SECONDS = 2.0
_SCATTERED = 16  # parts of a source, from which on it is worth while to make one of them
_MEMORY, _MEMORY_OF_REPORTS = "256MB", "1GB"
_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))
_ID = {"payments": "voucherId"}
_TOLERANCE = timedelta(days=1)  # by which a moment may be ahead of the clock; syncs look back as far


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Makes of what DuckDB says when Ctrl-C comes into a query what Python says everywhere else."""
    interrupted = False
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        interrupted = True
    if interrupted:
        raise KeyboardInterrupt


class Store:
    """One organisation's books.

    Args:
        folder: where; made when something is stored. Below `books_folder()` as a rule.
    """

    def __init__(self, folder: Path) -> None:
        # Links above it are followed here, once: DuckDB compares paths by their letters. One in its place is refused.
        self.folder = folder.absolute().parent.resolve() / folder.name
        self._mutex = threading.RLock()
        self._writer: _Writer | None = None
        self._held = False
        self._reading = threading.Lock()
        self._held_by: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    @staticmethod
    def folder_of(api_base: str, organisation: str) -> Path:
        """Gives the folder of an organisation. Its name is a hash, whatever the id is made of.

        Args:
            api_base: the API's address; only its origin counts.
            organisation: the organisation's id.
        """
        from urllib.parse import urlsplit

        parts_of = urlsplit(api_base)
        origin = f"{parts_of.scheme}://{parts_of.netloc}".lower()
        key = hashlib.sha256(f"{origin}\n{organisation}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return books_folder() / key

    # --- writing ---

    @contextlib.contextmanager
    def writing(self, wait: float = _LOCK_SECONDS) -> Iterator[None]:
        """Holds the right to write, over all processes of this machine; within one thread also again.

        Args:
            wait: seconds to wait for another writer.

        Raises:
            BooksError: `books_busy`, or if the folder is not fit to be written.
        """
        if not self._mutex.acquire(timeout=wait):
            raise BooksError("books_busy", path=self.folder, who=_holder(self.folder))
        try:
            if self._held:
                yield
                return
            with self._locked(wait):
                try:
                    with self._guard():
                        self._writer = _Writer(self.folder)
                    self._held = True
                    yield
                finally:
                    self._held = False
                    self._drop_writer()
        finally:
            self._mutex.release()

    @contextlib.contextmanager
    def _locked(self, wait: float) -> Iterator[None]:
        import filelock

        from lexoffice_nb.oauth.accounts import where_this_runs

        path = self.folder / LOCK
        ends = time.monotonic() + wait
        with self._guard():
            private_file.make_folder(self.folder)
        while True:
            lock = filelock.FileLock(path, mode=0o600, thread_local=False)
            with self._guard():
                private_file.make_folder(self.folder)
                private_file.prepare_lock(path)
                lock.acquire(timeout=max(0.0, ends - time.monotonic()), poll_interval=0.02)
            if path.exists():  # else somebody has forgotten these books while we waited
                break
            lock.release()
        holder = self.folder / HOLDER
        try:
            with contextlib.suppress(OSError, ValueError):  # without it the words are less, and nothing else
                told = {"where": where_this_runs(), "pid": os.getpid(), "since": int(time.time())}
                private_file.write(holder, json.dumps(told).encode())
            yield
        finally:
            try:
                with contextlib.suppress(OSError):
                    holder.unlink(missing_ok=True)
            finally:
                lock.release()

    def add(self, source: str, records: Iterable[Mapping[str, Any]]) -> int:
        """Stores records; they are on the disk when it returns.

        Args:
            source: rows, documents, payments or contacts.
            records: as the API gave them; a document with its endpoint as `kind`, a payment with its `voucherId`. One
                without an id is passed over.

        Returns:
            How many were stored.

        Raises:
            BooksError: if they could not be stored; what was there is as it was.
        """
        if source not in SOURCES:
            raise ValueError(source)
        stored = 0
        waiting = iter(records)
        with self.writing():
            while some := list(itertools.islice(waiting, _MOST)):
                keyed = [found for each in some if (found := _keyed(source, each))]
                with self._changing() as writer:
                    stored += writer.add(source, keyed)
        return stored

    def remove(self, ids: Iterable[str]) -> None:
        """Leaves out what is stored under these ids, of all sources, until it is added again.

        Raises:
            BooksError: as `add`.
        """
        with self._changing() as writer:
            writer.add(REMOVED, [(each, "", exact_json.encode({"id": each}).decode("ascii")) for each in ids])

    def compact(self, *, scattered: bool = False) -> None:
        """Makes one part of all there are, without what counts no more.

        Args:
            scattered: does so only where there are many, and nobody reads them; else much that is in the journal
                becomes a part, no more.

        Raises:
            BooksError: as `add`.
        """
        with self._changing() as writer:
            writer.settle(_MUCH if scattered else 1)
            # What somebody reads has to stay until they end: each time there would be one copy more.
            if not scattered or (writer.is_scattered and readers.oldest(self.folder) == math.inf):
                writer.compact()

    def check(self) -> int:
        """Reads all there is, and compares it with the checksums that it had when it was written.

        Tables that are damaged are made anew of the bodies. Bodies that are damaged are set aside, and their records
        count as not fetched.

        Returns:
            How many records were ever set aside.

        Raises:
            BooksError: as `add`.
        """
        with self._changing() as writer:
            writer.check()
        return self.damaged

    @property
    def damaged(self) -> int:
        """How many records were in files that were damaged, and set aside; the next sync fetches them again.

        Raises:
            BooksError: if it cannot be read.
        """
        with self._guard():
            manifest, found = self._look()
            torn = (part.records for part in manifest.parts if not parts.is_whole(self.folder, part))
            return sum(manifest.damaged.values()) + sum(torn) + found.lost

    @property
    def unmended(self) -> int:
        """How many of these no sync has fetched again yet.

        Raises:
            BooksError: if it cannot be read.
        """
        return max(0, self.damaged - int(self.state.get("mended", 0)))

    def forget(self) -> None:
        """Removes all of it, with what a writer that was killed has left.

        Raises:
            BooksError: `books_busy`, or if something could not be removed.
        """
        if not self.folder.exists():
            return
        with self._mutex, self._locked(_LOCK_SECONDS), self._guard():
            with contextlib.suppress(OSError):
                (self.folder / STATE).unlink(missing_ok=True)
                parts.write_manifest(self.folder, parts.Manifest())  # nothing is missed, whoever reads meanwhile
            for path in sorted(self.folder.iterdir(), key=lambda each: each.name == parts.MANIFEST):
                if path.name != LOCK:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=os.name != "posix")
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)  # on Windows the lock could not go before

    # --- what is known of it ---

    @property
    def state(self) -> dict[str, Any]:
        """What `set_state` has kept; what is not of its kind was never kept, nor anything where no books are.

        Raises:
            BooksError: if it cannot be read.
        """
        with self._guard():
            if not _manifest(self.folder).journal:
                return {}
            try:
                value = json.loads(private_file.read(self.folder / STATE, _STATE_LIMIT))
            except FileNotFoundError:
                return {}
            except private_file.NotPrivateError:
                raise
            except (ValueError, RecursionError):
                return {}  # it only saves requests
        if not isinstance(value, dict):
            return {}
        return {name: each for name, each in value.items() if _FITS.get(name, _fits_always)(each)}

    def set_state(self, **values: Any) -> None:
        """Keeps values (what JSON has words for), beside those of before, as one step.

        Raises:
            BooksError: as `add`.
        """
        with self.writing(), self._guard():
            content = json.dumps({**self.state, **values}).encode("ascii")
            private_file.write(self.folder / STATE, content)

    def describe(self, company: str) -> None:
        """Writes a file for people that says whose copy this is, and that it is not encrypted.

        Raises:
            BooksError: as `add`.
        """
        with self.writing(), self._guard():
            said = text("books.about", company=from_server(company, 100))
            private_file.write(self.folder / ABOUT, f"{said}\n".encode())

    def known(self, source: str, ids: Iterable[str] | None = None) -> dict[str, str]:
        """Tells what is stored: when each was changed last, by id; "" where the API does not say.

        Args:
            source: rows, documents, payments or contacts.
            ids: those that are asked for; all, where none are named.

        Raises:
            BooksError: if it cannot be read.
        """
        asked = None if ids is None else [each for each in ids if _is_text(each)]
        return dict(self._asked_of_parts(source, parts.changes, asked))

    def mark(self) -> Mark:
        """Gives a mark, for `unchanged`.

        Raises:
            BooksError: as `add`.
        """
        with self._changing() as writer:
            return Mark(writer.following, frozenset(writer.manifest.damaged))

    def unchanged(self, source: str, mark: Mark) -> list[str]:
        """Gives the ids that were stored before a mark, and not again since.

        A record that came since and cannot be read would make its id one of them. So where anything is damaged, or was
        set aside since, there are none: who removes what this names must be certain.

        Args:
            source: rows, documents, payments or contacts.
            mark: as `mark` gave it.

        Raises:
            BooksError: if it cannot be read.
        """

        def is_certain(manifest: parts.Manifest, found: journal.Journal, asked: Sequence[parts.Part]) -> bool:
            own = [part for part in manifest.parts if part.source in (source, REMOVED)]
            are_read = all(
                part in asked and parts.is_whole(self.folder, part, [f"raw_{part.source}"], deep=True) for part in own
            )
            return are_read and not found.lost and frozenset(manifest.damaged) == mark.damaged

        return [id_ for (id_,) in self._asked_of_parts(source, parts.unchanged, mark.number, is_certain)]

    def _asked_of_parts(
        self,
        source: str,
        query: Callable[[Path, Sequence[parts.Part], str], str],
        value: Any,
        is_certain: Callable[[parts.Manifest, journal.Journal, Sequence[parts.Part]], bool] = lambda *_: True,
    ) -> list[tuple[Any, ...]]:
        if source not in SOURCES:
            raise ValueError(source)
        with self._guard(), self._held_connection(_MEMORY) as connection:
            manifest, found = self._look()
            whole = [part for part in manifest.parts if parts.is_whole(self.folder, part)]
            if not is_certain(manifest, found, whole):
                return []
            waiting = [(kind, record) for kind, record in _loaded(found) if kind in (source, REMOVED)]
            own = [(n, key, at, kind == REMOVED) for kind, (n, key, at, *_) in waiting]
            columns = [list(column) for column in zip(*own, strict=True)] or [[]] * 4
            return connection.execute(query(self.folder, whole, source), [*columns, value]).fetchall()

    def size(self) -> int:
        """Gives how much room it takes, in octets."""
        total = 0
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    total += path.lstat().st_size
        return total

    # --- reading ---

    @contextlib.contextmanager
    def asking(self, *tables: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Gives a connection of our own with the tables of `schema`, as things are now.

        Args:
            tables: which are needed; all, where none are named.

        Raises:
            BooksError: if it cannot be read; also for what DuckDB says while it is used.
        """
        with self._guard(), self._held_connection(_MEMORY_OF_REPORTS) as connection:
            self._show(connection, tables or schema.TABLES)
            yield connection

    @contextlib.contextmanager
    def _held_connection(self, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
        lease = self._hold()
        try:
            with contextlib.closing(_connection(lease.spill if lease else self.folder / SPILL, memory)) as connection:
                yield connection
        finally:
            if lease:
                lease.end()

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes the tables of `schema` views of a connection: as things are now; again, to see what came since.

        Raises:
            BooksError: if it cannot be read.
        """
        lease = self._hold()
        end = weakref.finalize(connection, lease.end if lease else lambda: None)
        try:
            self._show(connection, schema.TABLES)
        except BaseException:
            end()
            raise
        with self._reading:
            before = self._held_by.pop(connection, None)
            self._held_by[connection] = end
        if before is not None:
            before()

    def _hold(self) -> readers.Lease | None:
        return readers.Lease(self.folder) if self.folder.exists() else None

    def _show(self, connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
        with self._guard():
            manifest, waiting = self._read()
            whole = [part for part in manifest.parts if parts.is_whole(self.folder, part)]
            parts.show(connection, self.folder, whole, waiting, tables)

    def _read(self) -> tuple[parts.Manifest, list[tuple[str, _Loaded]]]:
        manifest, found = self._look()
        return manifest, _loaded(found)

    def _look(self) -> tuple[parts.Manifest, journal.Journal]:
        if not self.folder.exists():
            return parts.Manifest(), journal.Journal()
        private_file.check_folder(self.folder)
        if _manifest(self.folder).version < schema.VERSION:
            with self.writing():  # which makes it anew
                pass
        while True:
            manifest = _manifest(self.folder)
            found = _journal(self.folder, manifest)
            if _manifest(self.folder).journal == manifest.journal:  # else it may be swept away by now
                return manifest, found

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Writer]:
        """Gives the writer; after an error the next one begins anew, from what is on the disk."""
        with self.writing(), self._guard():
            if self._writer is None:
                self._writer = _Writer(self.folder)
            try:
                yield self._writer
            except BaseException:
                self._drop_writer()
                raise

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turns what the system and DuckDB say into words."""
        import filelock

        code, reason = "", ""
        try:
            with interrupts():
                yield
        except filelock.Timeout:
            code = "books_busy"
        except private_file.NotPrivateError as error:
            code = self._code_of(error)
        except OSError as error:
            code = "books_full" if error.errno in _FULL else "books_unusable"
            reason = error.strerror or type(error).__name__
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
                raise
            code = "books_full" if any(os.strerror(each) in str(error) for each in _FULL) else "books_unusable"
            reason = from_server(str(error), 120)
        if code:
            who = _holder(self.folder) if code == "books_busy" else ""
            raise BooksError(code, path=self.folder, reason=reason, who=who)

    def _code_of(self, error: private_file.NotPrivateError) -> str:
        """Tells modes that somebody has changed from a file system that has none: there chmod is no help."""
        with contextlib.suppress(OSError):
            if error.reason == "mode" and not private_file.keeps_modes(self.folder):
                return "books_no_modes"
        return f"books_{error.reason}"


class Mark(NamedTuple):
    """How things stood at a moment.

    Attributes:
        number: of the record that was stored next.
        damaged: the files that had been set aside.
    """

    number: int
    damaged: frozenset[str]


class _Writer:
    """What the one process that writes knows; all of it is on the disk as well.

    Attributes:
        following: the number of the next record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        found = _journal(folder, self.manifest)
        self._whole, self._acknowledged, self._waiting = found.whole, len(found.entries), _loaded(found)
        self.following = max(self.manifest.following, *(loaded[0] + 1 for _, loaded in self._waiting), 0)
        shutil.rmtree(folder / SPILL, ignore_errors=True)  # of a writer that was killed
        self._connection = _connection(folder / SPILL, _MEMORY)
        try:
            parts.remove_strays(folder, self.manifest)
            if found.lost or not found.is_begun:
                self._empty_the_journal(found.lost)
            self._mend(self.manifest.version < schema.VERSION)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def add(self, source: str, records: list[_Keyed]) -> int:
        if not records:
            return 0
        numbered = [
            (number, *record, flatten.plain(record[2])) for number, record in enumerate(records, self.following)
        ]
        if len(numbered) >= _PAGE:
            self._commit([self._part(source, numbered)], following=self.following + len(numbered))
            self._merge_what_is_due(source)
        else:
            entries = [journal.Entry(source, number, raw) for number, _, _, raw, _ in numbered]
            self._acknowledged += len(entries)
            path = self.folder / self.manifest.journal_name
            self._whole = journal.append(path, entries, self._whole, self._acknowledged)
            self._waiting += [(source, record) for record in numbered]
        self.following += len(numbered)
        if len(self._waiting) >= _JOURNAL_RECORDS or self._whole >= _JOURNAL_OCTETS:
            self._empty_the_journal()
        return len(numbered)

    def check(self) -> None:
        """Reads all there is, and sets aside what cannot be read."""
        self._mend(deep=True)

    def _mend(self, everything: bool = False, deep: bool = False) -> None:
        """Makes tables anew from the bodies: all, or those that are damaged. Damaged bodies are set aside."""
        for part in self.manifest.parts:
            raw = [f"raw_{part.source}"]
            rest = [table for table in part.files if table not in raw]
            if not self._is_good(part, raw, deep or everything):
                self._set_aside(part)
            elif everything or not self._is_good(part, rest, deep):
                new = parts.rebuild(self._connection, self.folder, part, self.manifest.part)
                self._commit([new], [part], part=new.number + 1)
        if everything:
            self._commit([], version=schema.VERSION)

    def _is_good(self, part: parts.Part, tables: Iterable[str], deep: bool) -> bool:
        if not parts.is_whole(self.folder, part, tables, deep=deep):
            return False
        return not deep or bool(part.sums) or parts.is_readable(self._connection, self.folder, part, tables)

    def _set_aside(self, part: parts.Part) -> None:
        """Takes a part out of the books, whose records are then as if they had never been fetched."""
        for name in part.names():
            with contextlib.suppress(OSError):
                (self.folder / name).replace(self.folder / f"damaged-{name}")
        left = {name: since for name, since in self.manifest.left.items() if name not in part.names()}
        kept = tuple(each for each in self.manifest.parts if each.number != part.number)
        damaged = {**self.manifest.damaged, f"damaged-{part.raw}": part.records}
        manifest = dataclasses.replace(self.manifest, parts=kept, left=left, damaged=damaged)
        parts.write_manifest(self.folder, manifest)
        self.manifest = manifest

    def _part(self, source: str, records: list[_Loaded]) -> parts.Part:
        parts.load(self._connection, records)
        part = parts.write(self._connection, self.folder, source, self.manifest.part)
        self.manifest = dataclasses.replace(self.manifest, part=part.number + 1)
        return part

    def _commit(self, new: list[parts.Part], old: Iterable[parts.Part] = (), **changes: Any) -> None:
        """Makes parts count, or count no more: one step, on the disk when it returns."""
        numbers = {part.number for part in old}
        gone = [name for part in self.manifest.parts if part.number in numbers for name in part.names()]
        if "journal" in changes and self.manifest.journal:
            gone.append(self.manifest.journal_name)
        left = {**parts.sweep(self.folder, self.manifest), **dict.fromkeys(gone, time.time())}
        kept = [part for part in self.manifest.parts if part.number not in numbers]
        manifest = dataclasses.replace(self.manifest, parts=(*kept, *new), left=left, **changes)
        parts.write_manifest(self.folder, manifest)
        self.manifest = manifest

    def _empty_the_journal(self, lost: int = 0) -> None:
        """Makes parts of what is in the journal, and begins the next; of one that has lost records a copy stays."""
        damaged = dict(self.manifest.damaged)
        if lost:
            name = self.manifest.journal_name
            damaged[f"damaged-{name}"] = lost
            with contextlib.suppress(FileNotFoundError):
                content = private_file.read(self.folder / name, journal.LIMIT)
                private_file.write(self.folder / f"damaged-{name}", content)
        by_source: dict[str, list[_Loaded]] = {}
        for source, record in self._waiting:
            by_source.setdefault(source, []).append(record)
        new = [self._part(source, records) for source, records in by_source.items()]
        following = self.manifest.journal + 1
        begun = dataclasses.replace(self.manifest, journal=following).journal_name
        self._whole = journal.begin(self.folder / begun)
        self._commit(new, following=self.following, journal=following, damaged=damaged)
        self._waiting, self._acknowledged = [], 0
        for source in by_source:
            self._merge_what_is_due(source)

    def _merge_what_is_due(self, source: str) -> None:
        while due := parts.due(self.manifest, source):
            self._merge(source, due)

    def _merge(self, source: str, old: list[parts.Part]) -> None:
        """Makes one part of several, without what counts no more."""
        import duckdb

        if not all(self._is_good(part, part.files, deep=True) for part in old):
            self._mend(deep=True)
            return
        before = self.manifest
        try:
            self._merge_readable(source, old)
        except duckdb.Error:
            self._mend(deep=True)
            if self.manifest.parts == before.parts:  # it was nothing that can be set aside
                raise

    def _merge_readable(self, source: str, old: list[parts.Part]) -> None:
        dead = "(SELECT NULL::BIGINT AS n WHERE false)"
        if source in SOURCES:
            dead = f"{INSIDE}.dead_{source}"
            parts.hold(self._connection, self._waiting)
            parts.mark_dead(self._connection, self.folder, self.manifest.parts, source)
        number = self.manifest.part
        merged = parts.merge(self._connection, self.folder, old, number, dead)
        self._commit([merged] if merged.records else [], old, part=number + 1)

    @property
    def is_scattered(self) -> bool:
        return any(len(self.manifest.of(source)) > _SCATTERED for source in SOURCES)

    def settle(self, least: int) -> None:
        """Makes parts of what is in the journal, if it is so much: each question would have to parse it again."""
        if len(self._waiting) >= least:
            self._empty_the_journal()

    def compact(self) -> None:
        for source in SOURCES:
            if self.manifest.of(source):
                self._merge(source, self.manifest.of(source))
        if all(len(self.manifest.of(source)) < 2 for source in SOURCES):  # else one was damaged
            self._commit([], self.manifest.of(REMOVED))  # nothing is left that they would leave out


_Keyed = tuple[str, str, str]  # id, time of the last change, body
_Loaded = tuple[int, str, str, str, str | None]  # number, these, and the body made plain


def books_folder() -> Path:
    """Gives the folder in which the copies of all organisations lie."""
    import platformdirs

    return platformdirs.user_data_path("lexoffice_nb", appauthor=False) / "books"


def _holder(folder: Path) -> str:
    """Says who writes, as far as a file says so that the writer has put there; it may be an old one, or anybody's."""
    try:
        told = json.loads(private_file.read(folder / HOLDER, _HOLDER_LIMIT))
        pid, since = int(told["pid"]), datetime.fromtimestamp(int(told["since"]), UTC)
        return " " + text("books.holder", where=from_server(told["where"], 80), pid=pid, since=clock(since))
    except (OSError, OverflowError, ValueError, TypeError, KeyError):
        return ""


def _manifest(folder: Path) -> parts.Manifest:
    try:
        manifest = parts.read_manifest(folder)
    except private_file.NotPrivateError:
        raise
    except ValueError:
        raise BooksError("books_damaged", path=folder) from None
    if manifest.version > schema.VERSION:
        raise BooksError("books_newer", path=folder)
    return manifest


def _journal(folder: Path, manifest: parts.Manifest) -> journal.Journal:
    if not manifest.journal:
        return journal.Journal()
    return journal.read(folder / manifest.journal_name, may_lack_its_first_line=manifest.version == 1)


def _connection(spill: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """Opens a DuckDB of our own, in memory, that loads nothing from anywhere; what does not fit goes to `spill`."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
            "memory_limit": memory,
            "threads": "2",
            "temp_directory": str(spill),
        },
    )


def _keyed(source: str, record: Mapping[str, Any]) -> _Keyed | None:
    key = record.get(_ID.get(source, "id"))
    return (key, changed(record), exact_json.encode(record).decode("ascii")) if _is_text(key) else None


def _loaded(found: journal.Journal) -> list[tuple[str, _Loaded]]:
    loaded = []
    for entry in found.entries:
        record = exact_json.decode(entry.raw)
        if _is_text(key := record.get(_ID.get(entry.source, "id"))):  # the first version took others, too
            body = flatten.plain(entry.raw)
            loaded.append((entry.source, (entry.number, key, changed(record), entry.raw, body)))
    return loaded


def changed(record: Mapping[str, Any]) -> str:
    """Gives the time of a record's last change, as `Store.known` has it; "" where it has none."""
    moment = record.get("updatedDate")
    said = berlin.written(moment) if isinstance(moment, date) else str(moment or "")
    return said.encode(errors="replace").decode()


def _is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that the engine takes: half of a pair of surrogates is in none."""
    return isinstance(value, str) and not any("\ud800" <= each <= "\udfff" for each in value)


# --- what the state may have ---


def _fits_always(_: object) -> bool:
    return True


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) <= datetime.now(UTC) + _TOLERANCE
    except (TypeError, ValueError, OverflowError):  # without a time zone it cannot be compared
        return False


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_FITS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("listed", "began", "contacts_at"), _is_moment),
    **dict.fromkeys(("payments", "contacts_refused"), _is_flag),
    "contacts_lost": _are_texts,
    "cursor": _is_day,
    "mended": _is_count,
}
