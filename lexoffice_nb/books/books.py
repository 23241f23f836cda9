"""`Books`: an organisation's vouchers on this machine, as `session.books`; answers without asking the API."""

from __future__ import annotations

import atexit
import contextlib
import math
import weakref
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.books.store import interrupts
from lexoffice_nb.books.sync import Sync
from lexoffice_nb.books.wanted import Ask, Search
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
NOT_BOOKED = ("draft", "unchecked", "blank", "voided")  # as above
NEEDED = ("voucher_date", "total_amount")
FRESH = timedelta(days=1)  # for which nothing is said of the list's age
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
    """How many are not here as the list has them.

    Attributes:
        documents: of documents.
        payments: of vouchers whose payments are missing.
        payments_wanted: whether payments were ever asked for; where not, that they are missing is as it should be.
    """

    documents: int
    payments: int
    payments_wanted: bool = True

    def __repr__(self) -> str:
        return text(
            "books.not_here" if self.payments_wanted else "books.not_here.unasked",
            documents=self.documents,
            payments=self.payments,
        )


class _Told(str):
    """A sentence that a notebook shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


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

    def sync(
        self, full: bool = False, payments: Payments | tuple[str, str] | None = None, *, wait: bool = False
    ) -> Sync:
        """Brings the books up to date: the list, then the documents that are new or were changed, newest first.

        It can be interrupted at any instant; the next time it goes on, and fetches nothing that is here already.

        Args:
            full: reads the whole list again and checks all files. Deletions and moves to the archive are found by
                their number otherwise, as far as there are fewer than 10 000 vouchers.
            payments: reads payments as well, one request for each voucher: True for all, or a pair of days (also as
                `2026-06-30`) for the vouchers of these days, both inclusive. True is remembered: each later sync keeps
                them up to date, until it is False.
            wait: waits until all is there. Otherwise it waits for the list alone, and the documents come in the
                background, as long as this kernel or program runs.

        Returns:
            How far it is, with `pause()`, `resume()`, `stop()` and `wait()`. Where another notebook is at it just now,
            a note of it says so, and nothing was done.

        Raises:
            SignedOut: if nobody is signed in (any more).
            ApiError: if the API does not give the list, also after a while.
            BooksError: `books_day` or `books_order` if `payments` is no pair of days; if it cannot be stored.
        """
        if self.latest is not None and not self.latest.ended:  # this kernel is at it
            return self.latest.wait() if wait else self.latest
        if payments is not None and not isinstance(payments, bool):
            from lexoffice_nb.books import answers

            payments = answers.pair(payments)
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
        """How many documents and payments are not here as the list has them; a sync counts them for itself.

        Raises:
            BooksError: `books_never`; if the books cannot be read.
        """
        self._require_list()
        with self._asking() as ask:
            wanted = self.store.state.get("payments") is True or bool(ask("FROM payments LIMIT 1"))
            return Missing(Search("documents").count(ask), Search("payments").count(ask), wanted)

    def stop(self) -> None:
        """Stops a sync that is under way in this process, after the request that it is at."""
        if self.latest is not None:
            self.latest.stop()

    def forget(self) -> str:
        """Removes the whole local copy of this organisation.

        Returns:
            A sentence that says so, or that there was none.

        Raises:
            BooksError: `books_busy` if another process writes it just now; if it cannot be removed.
        """
        if self.latest is not None:
            self.latest.stop()
            self.latest.join(STOP_SECONDS)
        key = "books.forgotten" if self.store.folder.exists() else "books.nothing_to_forget"
        self.store.forget()
        return _Told(text(key, path=self.store.folder))

    # --- asking ---

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Gives a connection of DuckDB with the tables as they are now; nothing else can be read by it.

        Raises:
            BooksError: if the books cannot be read.
        """
        from lexoffice_nb.books import sql

        with interrupts():
            return sql.safe_connection(self.store)

    def sql(self, statement: str, /, **values: object) -> Report:
        """Answers a question in SQL.

            books.sql("SELECT count(*) FROM vouchers WHERE voucher_date >= $since", since=date(2026, 1, 1))

        Args:
            statement: one SELECT.
            values: for what is written `$name` in it: text, a number, a Decimal, a day, or a list of these.

        Raises:
            BooksError: if the statement is none, or reaches beyond the books; `sql_value_missing`.
        """
        from lexoffice_nb.books import sql

        try:
            with interrupts(), _closed(self.connection()) as connection:
                return sql.run(connection, statement, values)
        except BooksError as error:
            if error.code != "sql_parameter_missing":
                raise
            name = error.values["name"]  # here it is no variable of a notebook
        raise BooksError("sql_value_missing", name=name)

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
            notes = self._damage() + _notes(ask, closing=basis == "gross") + _uncounted(ask, net=basis == "net")
            return _report(lambda r: r.revenue(frames, by, basis), "revenue", notes, by=by, basis=basis)

    def customers(self, top: int | None = 10, basis: Basis = "gross") -> Report:
        """The customers with the most revenue, as `revenue` defines it.

        Args:
            top: how many; None for all.
            basis: gross or net.

        Raises:
            BooksError: `books_top`; as `revenue`.
        """
        from lexoffice_nb.books import answers

        _choose("basis", basis, ("gross", "net"))
        most = answers.most(top)
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask, closing=basis == "gross") + _uncounted(ask, net=basis == "net")
            return _report(lambda r: r.customers(frames, most, basis), "customers", notes, basis=basis)

    def articles(self, top: int | None = 10) -> Report:
        """What was sold the most, net, by the lines of the documents.

        Args:
            top: how many; None for all.

        Raises:
            BooksError: as `customers`.
        """
        from lexoffice_nb.books import answers

        most = answers.most(top)
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask) + _uncounted(ask, needed=("voucher_date",), net=True, unchecked=False)
            return _report(lambda r: r.articles(frames, most), "articles", notes)

    def open_items(self, on: date | str | None = None, *, incomplete: bool = False) -> Report:
        """What customers owe on a day, by how long it is due.

        For today the list is enough. For a day before, payments say what was paid by then. For a day to come it is
        what is open today, by how late it will be then.

        Args:
            on: the day, also as `2026-06-30` or `30.06.2026`; today, if it is None.
            incomplete: answers also where payments are missing, and says so.

        Raises:
            BooksError: `books_payments` for a day in the past, if payments are missing; `books_day`; as `revenue`.
        """
        return self._on_a_day("open_items", on, incomplete)

    def ageing(self, on: date | str | None = None, *, incomplete: bool = False) -> Report:
        """What all customers together owe on a day, by how long it is due; the figures of `open_items`.

        Args:
            on: as for `open_items`.
            incomplete: as for `open_items`.

        Raises:
            BooksError: as `open_items`.
        """
        return self._on_a_day("ageing", on, incomplete)

    def _on_a_day(self, what: Literal["open_items", "ageing"], on: date | str | None, incomplete: bool) -> Report:
        from lexoffice_nb.books import answers, formats

        today = datetime.now(BERLIN).date()
        day = today if on is None else answers.day("on", on)
        with self._open() as (frames, ask):
            notes = self._damage()
            if day < today:
                notes += _notes(ask, None, day, closing=True)
                notes += self._needs_payments(ask, f'{what}(on="{day}")', day, incomplete)
            elif day > today:
                notes.append(text("books.future", today=formats.day(today)))
            notes += _uncounted(ask, None, day, ("open_amount", *NEEDED) if day < today else ("open_amount",))
            span = formats.day(day)
            return _report(lambda r: getattr(r, what)(frames, day, today), what, notes, span=span)

    def vat(
        self,
        period: str | tuple[date | str, date | str],
        basis: Literal["accrual", "cash"] = "accrual",
        *,
        incomplete: bool = False,
    ) -> Report:
        """Tax on sales in a period, per rate.

        Args:
            period: `2025-03`, `2025-Q1`, `2025`, or the first and the last day as a pair.
            basis: accrual (by the voucher's date) or cash (by the day of payment, which needs the payments).
            incomplete: answers also where payments are missing, and says so.

        Raises:
            BooksError: `books_payments` for cash, if payments are missing; `books_period`, `books_day`, `books_order`;
                as `revenue`.
        """
        from lexoffice_nb.books import answers

        _choose("basis", basis, ("accrual", "cash"))
        try:
            first, last = answers.period(period)
        except ValueError:
            raise BooksError("books_period", period=from_server(period, 40)) from None
        with self._open() as (frames, ask):
            since = None if basis == "cash" else first
            notes = self._damage() + _notes(ask, since, last)
            if basis == "cash":
                what = f'vat({answers.in_python(period)}, basis="cash")'
                notes += self._needs_payments(ask, what, last, incomplete)
            notes += _uncounted(ask, since, last, net=True)
            span = answers.span(period)
            return _report(lambda r: r.vat(frames, first, last, basis), "vat", notes, span=span, basis=basis)

    def reconcile(self) -> Report:
        """What does not agree in the books; empty if all is well, and it says of how many vouchers.

        Where payments are not here, a note says that open amounts were not held against them.

        Raises:
            BooksError: as `revenue`.
        """
        with self._open() as (frames, ask):
            notes = self._damage() + _notes(ask)
            if unpaid := Search("payments").count(ask):
                notes.append(text("books.unreconciled", missing=unpaid))
            ((checked,),) = ask("SELECT count(*) FROM vouchers")
            empty = text("books.agrees", count=checked)
            return _report(lambda r: r.reconcile(frames), "reconcile", notes, empty=empty)

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
        return ([text("books.damaged", count=damaged)] if damaged else []) + self._age()

    def _age(self) -> list[str]:
        """Of which day the list is, where it is older than a day."""
        from lexoffice_nb.books import formats

        try:
            listed = datetime.fromisoformat(str(self.store.state.get("listed")))
        except ValueError:
            return []
        if listed.tzinfo is None or datetime.now(BERLIN) - listed <= FRESH:
            return []
        return [text("books.as_of", day=formats.day(listed.astimezone(BERLIN).date()))]

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
        with self.store.asking() as connection:
            yield Ask(connection)


@contextlib.contextmanager
def _closed(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Closes a connection at the end, unless a query that was interrupted still has it: then that closes it."""
    import duckdb

    try:
        yield connection
    finally:
        with contextlib.suppress(duckdb.Error):
            connection.close()


def _report(plan: Callable[[Any], Plan], what: str, notes: list[str], **more: str) -> Report:
    from lexoffice_nb.books import answers, reports

    return answers.report(plan(reports), what, notes, **more)


def _notes(ask: Ask, first: date | None = None, last: date | None = None, *, closing: bool = False) -> list[str]:
    """What is missing of the documents that count as revenue, in a range of days.

    Args:
        ask: asks the books.
        first: the first day.
        last: the last day.
        closing: whether documents say no more than what closing invoices deduct, which are invoices for the list.
    """
    days = (first or date.min, last or date.max)
    missing = Search("documents", days, ("invoice",) if closing else SALES).count(ask)
    return [text("books.missing_closing" if closing else "books.missing", missing=missing)] if missing else []


def _uncounted(
    ask: Ask,
    first: date | None = None,
    last: date | None = None,
    needed: Sequence[str] = NEEDED,
    *,
    net: bool = False,
    unchecked: bool = True,
) -> list[str]:
    """What is revenue and does not count in a range of days: it waits for a check, is not in euros, or is unreadable.

    Args:
        ask: asks the books, once for all of it.
        first: the first day.
        last: the last day.
        needed: the columns of the list that the report reads, besides the status.
        net: whether it reads the sums of the documents, too.
        unchecked: whether something is said of what waits for a check.
    """
    from lexoffice_nb.books import formats

    blank = [f"{name} IS NULL" for name in ("voucher_status", *needed)]
    if net:
        blank.append("id IN (SELECT id FROM documents WHERE gross_amount IS NULL)")
    rows = (
        "SELECT voucher_status = 'unchecked' AS unchecked, coalesce(currency, 'EUR') = 'EUR' AS euros, currency, "  # noqa: S608
        "NOT list_contains(CAST(? AS VARCHAR[]), coalesce(voucher_status, '')) AS booked, "
        f"({' OR '.join(blank)}) AS odd, "
        "CASE WHEN voucher_type LIKE '%creditnote' THEN -total_amount ELSE total_amount END AS amount FROM vouchers "
        "WHERE list_contains(CAST(? AS VARCHAR[]), voucher_type) "
        "AND (voucher_date IS NULL OR voucher_date BETWEEN CAST(? AS DATE) AND CAST(? AS DATE))"
    )
    ((waiting, amount, others, currencies, odd),) = ask(
        "SELECT count(*) FILTER (unchecked AND euros), sum(amount) FILTER (unchecked AND euros), "  # noqa: S608
        "count(*) FILTER (booked AND NOT euros), list(DISTINCT currency) FILTER (booked AND NOT euros), "
        f"count(*) FILTER (booked AND euros AND odd) FROM ({rows}) WHERE unchecked OR odd OR NOT euros",
        [list(NOT_BOOKED), list(SALES), first or date.min, last or date.max],
    )
    told: list[tuple[str, int, dict[str, object]]] = [
        ("books.unchecked", waiting if unchecked else 0, {"amount": formats.shown(amount, "money", "EUR")}),
        ("books.currencies", others, {"currencies": from_server(", ".join(sorted(currencies or ())), 60)}),
        ("books.blank", odd, {}),
    ]
    return [text(f"{key}.one" if count == 1 else key, count=count, **more) for key, count, more in told if count]


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
