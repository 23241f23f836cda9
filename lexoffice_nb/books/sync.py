"""Brings the local books up to date: the list first, in seconds, then the documents, newest first.

Whatever came is durable before the next request goes out, so it may end at any instant, and goes on where it was. After
the first time two requests say what has changed: the rows that were changed last, and how many there are in all; fewer
than are stored means that some were deleted, and the whole list is read.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from lexoffice_nb.api.endpoints import WINDOW
from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.books.schema import ENDPOINTS
from lexoffice_nb.books.store import changed, interrupts
from lexoffice_nb.books.wanted import Ask, Search
from lexoffice_nb.errors import (
    ApiError,
    BooksError,
    Invalid,
    LexofficeError,
    LoginError,
    NotAllowed,
    NotFound,
    RateLimited,
    ServerTrouble,
    SignedOut,
    Unauthorized,
)
from lexoffice_nb.log import log
from lexoffice_nb.progress import Task, announce, take_up
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lexoffice_nb.api.client import ApiSession
    from lexoffice_nb.api.listing import Pages
    from lexoffice_nb.api.records import Record
    from lexoffice_nb.books.store import Store
    from lexoffice_nb.books.wanted import Wanted
    from lexoffice_nb.progress import RunState


T = TypeVar("T")
Payments = bool | tuple[date, date]

OVERLAP = timedelta(days=1)
CONTACTS_EVERY = timedelta(days=1)
MOST_LOST_CONTACTS = 1000
SLICE = 0.2  # seconds of a wait, so that Ctrl-C and stop are heard
TROUBLES = 4  # one after the other, until it gives up; each is the end of several attempts already
LEAST_REST, LONGEST_REST = 0.01, 30.0  # seconds
BATCH = 1000  # documents that are looked for at once
_TROUBLE = (RateLimited, ServerTrouble, LoginError)


class _Stopped(Exception):
    """Somebody has asked to stop."""


class Sync:
    """One update of an organisation's books; a `progress.Run`.

    Args:
        session: signed in to that organisation, and to no other meanwhile.
        store: where its books are kept.
        payments: whether payments are read as well, one request for each voucher: of all, or of those of a range of
            days, both inclusive; None as it was said last. True and False are remembered.
        full: whether the whole list is read and all that is stored is checked, also where an increment would do.
        who: whose books they are, for people.
    """

    def __init__(
        self, session: ApiSession, store: Store, payments: Payments | None = None, full: bool = False, who: str = ""
    ) -> None:
        self.who = who
        self._waiting = 0
        self._session = session
        self._store = store
        self._full = full
        self._going, self._stopping = threading.Event(), threading.Event()
        self._listed, self._ended = threading.Event(), threading.Event()
        self._going.set()
        self._runner = threading.current_thread()
        self._final: RunState = "running"
        self.error: LexofficeError | None = None
        """Why it failed, or None."""
        self._notes: list[tuple[str, Mapping[str, object]] | LexofficeError] = []
        self._readers: dict[str, Callable[[str], Any]] = {}
        self._asked = payments
        self._has_nameless = False
        self._searches = [Search("documents")]
        self.vouchers = self.documents = self.contacts = self.payments = 0
        """How many are stored."""
        self.missing = 0
        """How many documents and payments are to be read."""
        self.read = 0
        """How many of these this run has read."""
        self.skipped = 0
        """Vouchers of kinds whose documents cannot be read."""
        self.vanished = 0
        """Documents that were deleted since the list was read."""
        self.unreadable = 0
        """Documents that the API does not give."""

    # --- what others see ---

    @property
    def state(self) -> RunState:
        """How it stands."""
        if self._final != "running":
            return self._final
        return "running" if self._going.is_set() else "paused"

    @property
    def waited_for(self) -> bool:
        """Whether the thread that asked for it waits for its end."""
        return self._waiting > 0

    @property
    def problem(self) -> tuple[str, str] | None:
        """Why it failed and what to do now, in the person's language; or None."""
        return (self.error.what(), self.error.next()) if self.error else None

    def summary(self) -> dict[str, str]:
        """What is there now, by the names of the texts that say what it is."""
        counts = {
            "vouchers": self.vouchers,
            "documents": self.documents,
            "payments": self.payments,
            "contacts": self.contacts,
        }
        where = text("books.where", path=self._store.folder)
        return {**{name: str(count) for name, count in counts.items()}, "where": where}

    @property
    def listed(self) -> bool:
        """Whether the list is up to date: the first step is done."""
        return self._listed.is_set()

    @property
    def removed(self) -> bool:
        """Whether it is over, and what it had stored is there no more."""
        return self.ended and self.vouchers > 0 and not self._store.folder.exists()

    @property
    def ended(self) -> bool:
        """Whether it is over, in whatever way: an interrupt at a bad moment may have kept it from saying so."""
        runner = self._runner
        return self._ended.is_set() or not runner.is_alive() or runner is threading.current_thread()

    @property
    def notes(self) -> list[str]:
        """What is to be known beside the counts, in the person's language."""
        return [each.what() if isinstance(each, LexofficeError) else text(each[0], **each[1]) for each in self._notes]

    def __repr__(self) -> str:
        line = text(
            "books.synced",
            vouchers=self.vouchers,
            documents=self.documents,
            contacts=self.contacts,
            missing=self.missing,
        )
        if self.state != "done":
            line += f" ({text(f'books.state.{self.state}')})"
        return "\n".join([line, *(self.problem or ()), *self.notes])

    def pause(self) -> None:
        """Holds it, after the request that is under way."""
        if self._final == "running":
            self._going.clear()
            announce(self)

    def resume(self) -> None:
        """Goes on."""
        self._going.set()
        announce(self)

    def stop(self) -> None:
        """Ends it, after the request that is under way; what has come is kept, and the next sync goes on from there."""
        self._stopping.set()
        self._going.set()

    def wait(self, seconds: float | None = None) -> Sync:
        """Waits until it is over; interrupted, only the waiting ends.

        Args:
            seconds: the longest that is waited.

        Raises:
            LexofficeError: why it failed.
        """
        ends = math.inf if seconds is None else time.monotonic() + seconds
        self._waiting += 1
        try:
            while not self._ended.wait(max(0.0, min(SLICE, ends - time.monotonic()))):
                if time.monotonic() >= ends:
                    return self
        finally:
            self._waiting -= 1
        if self.error is not None:
            raise self.error
        return self

    # --- the work ---

    def run(self) -> Sync:
        """Does both steps in this thread.

        Raises:
            BooksError: `books_busy` if somebody else does just now; if it cannot be stored.
            SignedOut: if the sign-in ended.
            ApiError: if the API does not give the list, also after a while.
        """
        self._waiting += 1
        try:
            announce(self)
            self._run()
        finally:
            self._waiting -= 1
        return self

    def start(self) -> Sync:
        """Does both steps in a thread of its own, and waits for the first; interrupted, it stops.

        Raises:
            LexofficeError: as `run`, about the first step; `error` and `wait` tell of the second.
        """
        self._waiting += 1
        try:
            announce(self)
            runner = threading.Thread(target=self._behind, name="lexoffice-nb books", daemon=True)
            runner.start()
            self._runner = runner
            while not self._listed.wait(SLICE) and not self.ended:
                pass
        except BaseException:
            self.stop()
            raise
        finally:
            self._waiting -= 1
        if not self.listed and self.error is not None:
            raise self.error
        return self

    def _behind(self) -> None:
        with contextlib.suppress(Exception):  # `error` says it
            self._run()

    def _run(self) -> None:
        with self._ending(), interrupts():
            self._choose_payments()
            with self._writing():  # which belongs to this thread
                self._begin()
                self._list()
                self._documents()
                self._tidy()

    def _choose_payments(self) -> None:
        asked = self._store.state.get("payments") is True if self._asked is None else self._asked
        if asked:
            self._searches.append(Search("payments", asked if isinstance(asked, tuple) else None))

    def _begin(self) -> None:
        """Says whose books these are, keeps what is to be done from now on, and looks for damage."""
        self._store.describe(self.who)
        if isinstance(self._asked, bool):
            self._store.set_state(payments=self._asked)
        self._store.check()
        damaged = self._store.unmended
        if damaged:
            self._note("books.damaged", count=damaged)
            self._full = True  # it may have been rows, or contacts

    def _tidy(self) -> None:
        if self._store.unmended:
            self._store.set_state(mended=self._store.damaged)
        try:
            self._store.compact(scattered=True)
        except BooksError as error:  # all is there; it only takes more room
            log.debug("books: not made compact: %s", error.code)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._store.writing())
            except BooksError as error:
                if error.code == "books_busy":
                    self._prepare()  # what somebody else has stored until now
                raise
            yield

    def join(self, seconds: float) -> None:
        """Waits for the thread of the second step, if there is one."""
        if self._runner is not threading.current_thread() and self._runner.daemon:
            self._runner.join(seconds)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Notes how it ends; a stop is no error, and an interrupt is one of the caller's."""
        final: RunState = "failed"
        try:
            yield
            final = "done"
        except _Stopped:
            final = "stopped"
        except LexofficeError as error:
            self.error = error
            raise
        except Exception as error:
            log.debug("books: the sync broke off: %s", type(error).__name__)
            self.error = BooksError("books_broke", kind=type(error).__name__)
            raise
        except BaseException:
            final = "stopped"
            raise
        finally:
            self._session.close()
            self._final = final
            self._ended.set()
            announce(self)

    def _gate(self) -> None:
        """Where it stops and pauses: before each request."""
        if not self._going.is_set():
            while not self._going.wait(SLICE):
                pass
            take_up()
        if self._stopping.is_set():
            raise _Stopped

    def _rest(self, troubles: int) -> None:
        """Waits after a trouble, longer after each."""
        pace = self._session._pace
        interval = max(pace.interval if pace else 0.0, LEAST_REST)
        ends = time.monotonic() + min(interval * 2.0 ** (troubles + 1), LONGEST_REST)
        while (left := ends - time.monotonic()) > 0:
            if self._stopping.wait(min(left, SLICE)):
                raise _Stopped

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Asks, and again after a while where the API or the sign-in's provider is in trouble."""
        troubles = 0
        while True:
            self._gate()
            try:
                return ask()
            except _TROUBLE as error:
                if isinstance(error, SignedOut) or troubles == TROUBLES:
                    raise
            self._rest(troubles)
            troubles += 1

    def _each(self, pages: Pages) -> Iterator[list[Record]]:
        while rows := self._patiently(lambda: next(pages, None)):
            yield rows

    @contextlib.contextmanager
    def _asking(self, *tables: str) -> Iterator[Ask]:
        with self._store.asking(*tables) as connection:
            yield Ask(connection)

    # --- the list ---

    def _list(self) -> None:
        reads_all = self._full or not self._store.state.get("listed")
        if not (self._whole_list() if reads_all else self._increment()):
            self._whole_list()
        self._contacts()
        self._prepare()
        if self._has_nameless:
            self._note("books.nameless")
        elif not self.vouchers:
            self._note("books.empty")
        self._listed.set()

    def _prepare(self) -> None:
        """Counts what is stored, and finds out what is to be read."""
        with self._asking("vouchers", "documents", "payments", "contacts") as ask:
            [(self.vouchers, self.skipped, self.documents, self.payments, self.contacts)] = ask(
                "SELECT count(*), count(*) FILTER (NOT list_contains(CAST(? AS VARCHAR[]), voucher_type)), "
                "(SELECT count(*) FROM documents), (SELECT count(*) FROM payments), (SELECT count(*) FROM contacts) "
                "FROM vouchers",
                [list(ENDPOINTS)],
            )
            self.missing = sum(each.count(ask) for each in self._searches)

    def _whole_list(self) -> bool:
        """Reads every row. The first time an interrupted one goes on at the day that it had come to.

        Returns:
            Whether it is all there; False where rows have gone since it was interrupted.
        """
        state = self._store.state
        first = not state.get("listed")
        cursor = state.get("cursor") if first else None
        began = state.get("began") if cursor else None
        listing = self._session.voucherlist(**({"createdDateFrom": cursor} if cursor else {}))
        pages = listing.pages(self)
        mark = self._store.mark()
        before: datetime | None = None
        in_order = True
        for rows in self._each(pages):
            self._has_nameless |= self._store.add("rows", [_stored(row) for row in rows]) < len(rows)
            if not first:
                continue
            began = began or _listed(pages.began)
            created = [row.get("createdDate") for row in rows]
            in_order = in_order and _is_sorted([before, *created] if before else created)
            before = created[-1] if in_order else None
            if before is not None:
                # All days before it are there; of its own day some may be missing.
                self._store.set_state(cursor=before.date().isoformat(), began=began)
        if not cursor and pages.complete:
            self._store.remove(self._store.unchanged("rows", mark))
        if not pages.complete:
            self._note("books.moved")
        listed = began or _listed(pages.began)
        self._store.set_state(listed=listed, cursor=None, began=None)
        return not cursor or self._increment()  # what was changed or deleted since it was begun

    def _increment(self) -> bool:
        """Reads what was changed since the last time; False where rows have gone, so that the whole list is needed."""
        since = datetime.fromisoformat(self._store.state["listed"]) - OVERLAP
        listing = self._session.voucherlist()
        page = self._patiently(listing.newest)
        stamps = [row.get("updatedDate") for row in page.rows]
        if _is_sorted(stamps[::-1]) and (page.last or (stamps and stamps[-1] < since)):
            self._add_changed(page.rows)
        else:
            changed = self._session.voucherlist(updatedDateFrom=since.astimezone(BERLIN).date())
            pages = changed.pages(self)
            for rows in self._each(pages):
                self._add_changed(rows)
            if not pages.complete:
                return False
        if not self._is_all(page.total):
            return False
        self._store.set_state(listed=_listed(page.served_at))
        return True

    def _add_changed(self, rows: Sequence[Record]) -> None:
        known = self._store.known("rows", _ids(rows))
        self._store.add("rows", [row for row in map(_stored, rows) if known.get(str(row.get("id"))) != changed(row)])

    def _is_all(self, total: int) -> bool:
        """Whether as many rows are stored as there are, as far as that is shown, and as many of them in the archive."""
        with self._asking("vouchers") as ask:
            [(stored, archived)] = ask("SELECT count(*), count(*) FILTER (archived) FROM vouchers")
        if total < WINDOW and total != stored:
            return False
        there = self._patiently(self._session.voucherlist(archived=True).newest).total
        return there in (archived, WINDOW)

    def _contacts(self) -> None:
        """Reads the contacts, once a day or when a voucher names one that is not there."""
        state = self._store.state
        with self._asking("vouchers", "contacts") as ask:
            known = {each for (each,) in ask("SELECT id FROM contacts")}
            named = {each for (each,) in ask("SELECT DISTINCT contact_id FROM vouchers")} - {None}
        lost = set(state.get("contacts_lost", ()))
        if not self._full and _is_fresh(state.get("contacts_at")) and not named - known - lost:
            return
        mark, seen = self._store.mark(), set[str]()
        pages = self._session.contacts().pages(self)
        try:
            for rows in self._each(pages):
                self._store.add("contacts", rows)
                seen |= _ids(rows)
        except NotAllowed:
            if not state.get("contacts_refused"):
                self._note("books.no_contacts")
            self._store.set_state(contacts_refused=True)
        except Invalid as error:  # more than one list shows
            self._notes.append(error)
        else:
            if pages.complete:
                self._store.remove(self._store.unchanged("contacts", mark))
            self._store.set_state(
                contacts_at=_listed(None),
                contacts_lost=sorted(named - seen)[:MOST_LOST_CONTACTS],
                contacts_refused=False,
            )

    # --- the documents ---

    def _documents(self) -> None:
        self._read_all()
        self._note_what_is_missing()

    def _read_all(self) -> None:
        total, done, troubles, needs = self.missing, 0, 0, ""
        refused: Counter[str] = Counter()
        aside: list[Wanted] = []
        task = Task("progress.documents", self)
        for each in self._all_wanted(aside):
            if each.kind in refused:
                refused[each.kind] += 1
                continue
            self._gate()
            try:
                self._read_one(each)
            except NotAllowed as error:
                refused[each.kind] += 1
                needs = str(error.values.get("scopes") or each.kind)
            except NotFound:
                self.vanished += 1
            except (SignedOut, Unauthorized):
                raise
            except _TROUBLE as error:
                troubles += 1
                if troubles > TROUBLES:
                    self._notes.append(error)
                    break
                if each in aside:
                    self.unreadable += 1
                else:
                    aside.append(each)
                self._rest(troubles)
                continue
            except ApiError:
                self.unreadable += 1
            troubles, done = 0, done + 1
            task.report(done, total)
        if total:
            task.report(done, total, finished=True)
        if refused:
            self._note("books.refused", kinds=", ".join(sorted(refused)), needs=needs, count=refused.total())

    def _all_wanted(self, aside: list[Wanted]) -> Iterator[Wanted]:
        """Gives all that is to be read, and at last once more what was put aside."""
        for search in self._searches:
            passed, left = 0, -1
            while left:
                with self._asking("vouchers", search.source) as ask:
                    # Bounded, so that nothing is read for ever if what was stored should not be found again.
                    left = search.count(ask) if left < 0 else left
                    batch = search.newest(ask, min(BATCH, left), passed)
                left = left - len(batch) if batch else 0
                for each in batch:
                    before = self.read
                    yield each
                    passed += self.read == before  # it is still wanted, and in front of those that follow
        yield from tuple(aside)

    def _read_one(self, wanted: Wanted) -> None:
        """Reads a document or the payments of a voucher, and has it stored when it returns."""
        body = self._reader(wanted.kind)(wanted.id)
        if not isinstance(body, dict):
            raise ServerTrouble("books_document", kind=wanted.kind)
        if wanted.kind == "payments":
            self._store.add("payments", [{**body, "voucherId": wanted.id, "listedDate": wanted.listed}])
            self.payments += not wanted.stored
        elif body.get("id") == wanted.id:
            self._store.add("documents", [{**body, "kind": wanted.kind, "listedDate": wanted.listed}])
            self.documents += not wanted.stored
        else:
            raise ServerTrouble("books_document", kind=wanted.kind)
        self.read += 1
        self.missing -= 1

    def _reader(self, kind: str) -> Callable[[str], Any]:
        if kind not in self._readers:
            self._readers[kind] = getattr(self._session, kind.replace("-", "_")).get
        return self._readers[kind]

    def _note_what_is_missing(self) -> None:
        if self.vanished:
            self._note("books.vanished", count=self.vanished)
        if self.unreadable:
            self._note("books.unreadable", count=self.unreadable)
        if self.skipped:
            self._note("books.skipped.one" if self.skipped == 1 else "books.skipped", count=self.skipped)

    def _note(self, key: str, **values: object) -> None:
        self._notes.append((key, values))


def _stored(row: Record) -> dict[str, Any]:
    """The row as it is stored. It was open or a debit on its way, and the day alone made it overdue: both are open."""
    return {**row, "voucherStatus": "open"} if row.get("voucherStatus") == "overdue" else dict(row)


def _ids(rows: Sequence[Record]) -> set[str]:
    return {each for row in rows if isinstance(each := row.get("id"), str)}


def _is_sorted(moments: Sequence[Any]) -> bool:
    """Whether they are moments, each no earlier than the one before."""
    if not all(isinstance(each, datetime) for each in moments):
        return False
    return all(one <= other for one, other in itertools.pairwise(moments))


def _listed(served_at: datetime | None) -> str:
    """When a list was read: as the server says, whose clock is that of the changes; a future one is not believed."""
    now = datetime.now(UTC)
    return min(served_at or now, now).isoformat()


def _is_fresh(moment: str | None) -> bool:
    """Whether it is less than a day ago; a moment in the future is not believed."""
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(moment or "")
    except (TypeError, ValueError):
        return False
    return timedelta(0) <= age < CONTACTS_EVERY
