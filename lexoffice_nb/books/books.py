"""`Books`: an organisation's vouchers on this machine, as `session.books`; answers without asking the API."""

from __future__ import annotations

import atexit
import contextlib
import math
import weakref
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.books.store import interrupts
from lexoffice_nb.books.sync import Sync
from lexoffice_nb.books.wanted import Search
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import duckdb

    from lexoffice_nb.api.client import ApiSession
    from lexoffice_nb.books.report import Report
    from lexoffice_nb.books.reports import Frames, Plan
    from lexoffice_nb.books.store import Store
    from lexoffice_nb.books.sync import Payments

Basis = Literal["net", "gross"]
By = Literal["month", "quarter", "year", "customer"]
# The types that count as revenue; the same as in `reports`, which is not imported before a report is asked for.
SALES = ("invoice", "salesinvoice", "downpaymentinvoice", "creditnote", "salescreditnote")
STOP_SECONDS = 3.0  # for which the end of the interpreter waits for the request that is under way
_all: weakref.WeakSet[Books] = weakref.WeakSet()


class Account(Protocol):
    """What the books need of a sign-in: whose they are, and how they are read."""

    @property
    def api_base(self) -> str:
        """The API's address."""

    @property
    def organisation(self) -> str:
        """The organisation's id."""

    @property
    def company(self) -> str:
        """What it is called."""

    @property
    def interval(self) -> float:
        """Seconds between two requests."""

    def open(self) -> ApiSession:
        """Gives a session of its own for this one account, whoever else signs in to the person's."""


class Missing(NamedTuple):
    """How many are not here as the list has them."""

    documents: int
    payments: int


class Books:
    """The local copy of an organisation's books, and what can be asked of it.

        books = lexoffice.books
        books.sync()                    # the list now, the documents behind it
        books.open_items()              # from here on nothing is asked of the API
        books.sql("SELECT …")

    Args:
        account: whose they are.
        store: where they are; the platform's folder where none is given.
    """

    def __init__(self, account: Account, store: Store | None = None) -> None:
        from lexoffice_nb.books.store import Store

        self._account = account
        self.store = store or Store(Store.folder_of(account.api_base, account.organisation))
        self.latest: Sync | None = None
        """The sync that was begun last in this process, or None."""
        _all.add(self)

    def __repr__(self) -> str:
        return f"<Books of {self._account.company or self._account.organisation}: {self.where}>"

    @property
    def where(self) -> str:
        """Where the copy lies, and who can read it."""
        return text("books.where", path=self.store.folder)

    # --- bringing them up to date ---

    def sync(self, full: bool = False, payments: Payments | None = None, *, wait: bool = False) -> Sync:
        """Brings the books up to date: the list, then the documents that are new or were changed, newest first.

        It can be interrupted at any instant; the next time it goes on, and fetches nothing that is here already.

        Args:
            full: reads the whole list again and checks all files. Deletions and moves to the archive are found by
                their number otherwise, as far as there are fewer than 10 000 vouchers.
            payments: reads payments as well, one request for each voucher: True for all, or a pair of days for the
                vouchers of these days, both inclusive. True is remembered: each later sync keeps them up to date,
                until it is False.
            wait: waits until all is there. Otherwise it waits for the list alone, and the documents come in the
                background, as long as this kernel or program runs.

        Returns:
            How far it is, with `pause()`, `resume()`, `stop()` and `wait()`. Where another notebook is at it just now,
            a note of it says so, and nothing was done.

        Raises:
            SignedOut: if nobody is signed in (any more).
            ApiError: if the API does not give the list, also after a while.
            BooksError: if it cannot be stored.
        """
        if self.latest is not None and not self.latest.ended:  # this kernel is at it
            return self.latest.wait() if wait else self.latest
        sync = Sync(self._account.open(), self.store, payments, full, who=self._account.company)
        self.latest = sync
        try:
            sync.run() if wait else sync.start()
        except BooksError as error:
            if error.code != "books_busy":
                raise
        return sync

    @property
    def missing(self) -> Missing:
        """How many documents and payments are not here as the list has them; a sync counts them for itself."""
        with self._asking() as ask:
            return Missing(Search("documents").count(ask), Search("payments").count(ask))

    def stop(self) -> None:
        """Stops a sync that is under way in this process, after the request that it is at."""
        if self.latest is not None:
            self.latest.stop()

    def forget(self) -> None:
        """Removes the whole local copy of this organisation.

        Raises:
            BooksError: `books_busy` if another process writes it just now; if it cannot be removed.
        """
        if self.latest is not None:
            self.latest.stop()
            self.latest.join(STOP_SECONDS)
        self.store.forget()

    # --- asking ---

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Gives a connection of DuckDB with the tables as they are now; nothing else can be read by it.

        Raises:
            BooksError: if the books cannot be read.
        """
        from lexoffice_nb.books import sql

        with interrupts():
            return sql.safe_connection(self.store)

    def sql(self, statement: str) -> Report:
        """Answers a question in SQL.

        Raises:
            BooksError: if the statement is none, or reaches beyond the books.
        """
        from lexoffice_nb.books import sql

        with interrupts(), contextlib.closing(self.connection()) as connection:
            return sql.run(connection, statement)

    def revenue(self, by: By = "month", basis: Basis = "gross") -> Report:
        """What was sold: invoices, sales invoices and down-payment invoices, less credit notes of both kinds.

        By the voucher's date, without drafts and voided ones; no down payment counts twice. Net needs the documents.

        Args:
            by: month, quarter, year or customer.
            basis: gross or net.

        Raises:
            BooksError: `books_never`; `books_choice`; if the books cannot be read.
        """
        _choose("by", by, ("month", "quarter", "year", "customer"))
        _choose("basis", basis, ("gross", "net"))
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask)
            return _report(lambda r: r.revenue(frames, by, basis), "revenue", notes, by=by, basis=basis)

    def customers(self, top: int | None = 10, basis: Basis = "gross") -> Report:
        """The customers with the most revenue, as `revenue` defines it.

        Args:
            top: how many; None for all.
            basis: gross or net.

        Raises:
            BooksError: as `revenue`.
        """
        _choose("basis", basis, ("gross", "net"))
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask)
            return _report(lambda r: r.customers(frames, top, basis), "customers", notes, basis=basis)

    def articles(self, top: int | None = 10) -> Report:
        """What was sold the most, net, by the lines of the documents.

        Args:
            top: how many; None for all.

        Raises:
            BooksError: as `revenue`.
        """
        with self._open() as (frames, ask):
            return _report(lambda r: r.articles(frames, top), "articles", self._damage() + _notes(ask))

    def open_items(self, on: date | None = None, *, incomplete: bool = False) -> Report:
        """What customers owe on a day, by how long it is due.

        For today the list is enough. For a day before, payments say what was paid by then.

        Args:
            on: the day; today, if it is None.
            incomplete: answers also where payments are missing, and says so.

        Raises:
            BooksError: `books_payments` for a day in the past, if payments are missing; as `revenue`.
        """
        today = datetime.now(BERLIN).date()
        with self._open() as (frames, ask):
            notes = self._damage()
            if on is not None and on < today:
                notes += _notes(ask, None, on) + self._needs_payments(ask, f"open_items(on={on})", on, incomplete)
            return _report(lambda r: r.open_items(frames, on, today), "open_items", notes)

    def ageing(self, on: date | None = None, *, incomplete: bool = False) -> Report:
        """What all customers together owe on a day, by how long it is due; the figures of `open_items`.

        Args:
            on: as for `open_items`.
            incomplete: as for `open_items`.

        Raises:
            BooksError: as `open_items`.
        """
        today = datetime.now(BERLIN).date()
        with self._open() as (frames, ask):
            notes = self._damage()
            if on is not None and on < today:
                notes += _notes(ask, None, on) + self._needs_payments(ask, f"ageing(on={on})", on, incomplete)
            return _report(lambda r: r.ageing(frames, on, today), "ageing", notes)

    def vat(
        self,
        period: str | tuple[date, date],
        basis: Literal["accrual", "cash"] = "accrual",
        *,
        incomplete: bool = False,
    ) -> Report:
        """Tax on sales in a period, per rate.

        Args:
            period: `2025-03`, `2025-Q1`, `2025`, or the first and the last day.
            basis: accrual (by the voucher's date) or cash (by the day of payment, which needs the payments).
            incomplete: answers also where payments are missing, and says so.

        Raises:
            BooksError: `books_payments` for cash, if payments are missing; `books_period`; as `revenue`.
        """
        from lexoffice_nb.books import answers

        _choose("basis", basis, ("accrual", "cash"))
        try:
            first, last = answers.period(period)
        except ValueError:
            raise BooksError("books_period", period=from_server(period, 40)) from None
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask, None if basis == "cash" else first, last)
            if basis == "cash":
                notes += self._needs_payments(ask, f'vat("{period}", basis="cash")', last, incomplete)
            span = answers.span(period)
            return _report(lambda r: r.vat(frames, first, last, basis), "vat", notes, span=span, basis=basis)

    def reconcile(self) -> Report:
        """What does not agree in the books; empty if all is well.

        Raises:
            BooksError: as `revenue`.
        """
        with self._open() as (frames, ask):
            return _report(lambda r: r.reconcile(frames), "reconcile", self._damage() + _notes(ask))

    def frames(self) -> Frames:
        """Gives the tables as lazy frames of Narwhals, over a connection of their own.

        Raises:
            BooksError: `books_never`; if the books cannot be read.
        """
        from lexoffice_nb.books.reports import Frames

        self._require_list()
        return Frames.of(self.connection())

    def _require_list(self) -> None:
        if not self.store.state.get("listed"):
            raise BooksError("books_never")

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Frames, Ask]]:
        from lexoffice_nb.books.reports import Frames

        self._require_list()
        with self._asking() as ask:
            yield Frames.of(ask.connection), ask

    def _damage(self) -> list[str]:
        damaged = self.store.unmended
        return [text("books.damaged", count=damaged)] if damaged else []

    def _needs_payments(self, ask: Ask, what: str, last: date, incomplete: bool) -> list[str]:
        """Refuses what needs payments that are not here, or gives a note of them."""
        wanted = Search("payments", (date.min, last), SALES).count(ask)
        if not wanted:
            return []
        if not incomplete:
            minutes = max(1, math.ceil(wanted * self._account.interval / 60))
            raise BooksError("books_payments", what=what, requests=wanted, minutes=minutes)
        return [text("books.missing_payments", missing=wanted)]

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Ask]:
        import duckdb

        with interrupts(), duckdb.connect() as connection:
            self.store.connect(connection)
            yield Ask(connection)


class Ask:
    """Asks the books: takes an SQL statement and its values, and gives rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def __call__(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Gives the rows of an answer."""
        return self.connection.execute(statement, list(values)).fetchall()


def _report(plan: Callable[[Any], Plan], what: str, notes: list[str], **more: str) -> Report:
    from lexoffice_nb.books import answers, reports

    return answers.report(plan(reports), what, notes, **more)


def _notes(ask: Ask, first: date | None = None, last: date | None = None) -> list[str]:
    """What is missing of the documents that count as revenue, in a range of days."""
    days = (first or date.min, last or date.max)
    missing = Search("documents", days, SALES).count(ask)
    return [text("books.missing", missing=missing)] if missing else []


def _choose(name: str, value: object, there: tuple[str, ...]) -> None:
    if value not in there:
        raise BooksError("books_choice", name=name, value=from_server(value, 40), there=", ".join(there))


@atexit.register
def _stop_all() -> None:
    """At the end of the interpreter, so that a request that is under way is stored or not begun."""
    syncs = [books.latest for books in tuple(_all) if books.latest is not None]
    for sync in syncs:
        sync.stop()
    for sync in syncs:
        sync.join(STOP_SECONDS)
