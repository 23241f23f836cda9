"""Lists of any length: read page by page as they are needed, complete also while rows change underneath.

The vendor shows 10 000 rows of one query and no more. A longer list is read in windows: the days on which rows were
created are halved until each window has fewer. A row's day of creation never changes, so it stays in its window.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from lexoffice_nb.api.endpoints import WINDOW
from lexoffice_nb.api.records import BERLIN, Record, Records, read
from lexoffice_nb.api.table import page_html, page_text
from lexoffice_nb.errors import Invalid, LexofficeError, ServerTrouble, SignedOut, WrongCall
from lexoffice_nb.progress import Task
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lexoffice_nb.api.client import ApiSession
    from lexoffice_nb.api.endpoints import Operation
    from lexoffice_nb.progress import Run

MOST_READINGS = 6
FRESH_SECONDS = 60.0
MOST_KEPT = 8  # pages
_NEVER_MOVE_A_ROW = frozenset({"voucherType", "createdDateFrom", "createdDateTo"})
_TOO_LARGE = "search window size exceeded"


class ListingMoved(UserWarning):
    """Rows kept changing while a list was read: a few of them may be missing."""


class _Page(NamedTuple):
    rows: list[Record]
    total: int
    last: bool
    served_at: datetime


@dataclass(frozen=True)
class _Window:
    """A part of a list: days on each axis, both ends inclusive, None for an open end."""

    days: tuple[tuple[date | None, date | None], ...] = ()

    def with_days(self, axis: int, first: date | None, last: date | None) -> _Window:
        days = list(self.days)
        days[axis] = (first, last)
        return _Window(tuple(days))


class Listing(Iterable[Record]):
    """A list of the API, not read yet.

        rows = lexoffice.voucherlist(voucherStatus="open")
        len(rows)                        # how many there are: one request
        for row in rows: ...             # 250 rows with each request
        rows[:10]                        # the first ten

    Iterating it anew reads anew. `rows = iter(listing)` is one reading: interrupted, it goes on where it was.
    """

    def __init__(self, session: ApiSession, operation: Operation, path: str, query: Mapping[str, str]) -> None:
        self._session = session
        self._operation = operation
        self._path = path
        self._query = dict(query)
        self._whole = _Window(tuple((_day(query.get(f"{a}From")), _day(query.get(f"{a}To"))) for a in operation.axes))
        self._kept: dict[_Window, tuple[float, _Page]] = {}
        self._total: int | None = None
        self.windows: tuple[_Window, ...] = (self._whole,)
        self._counted_for: object = None

    @property
    def whose(self) -> object:
        """Whose rows they are just now; another's when the session uses another account."""
        return self._session.whose

    def _forget_of_others(self) -> None:
        """What was counted and kept of one account is not true of another."""
        if self._counted_for != self.whose:
            self._kept, self._total, self.windows = {}, None, (self._whole,)
            self._counted_for = self.whose

    @property
    def total(self) -> int:
        """How many rows there are; counted when first asked for, window by window where there are many.

        Raises:
            ApiError: if the API does not say.
        """
        self._forget_of_others()
        if self._total is None:
            count, windows, left = 0, [], [self._whole]
            while left:
                window = left.pop()
                page = self._peek(window)
                if page.total >= WINDOW:
                    self._kept.pop(window, None)
                    left += reversed(self.halves(window, page))
                else:
                    windows.append(window)
                    count += page.total
            self.windows, self._total = tuple(windows), count
        return self._total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Record]:
        return _Reading(self)

    def pages(self, run: Run | None = None) -> Pages:
        """Reads page by page: each is given before the next one is asked for.

        Args:
            run: what the reading is a step of, for whoever shows how far it is.
        """
        return Pages(self, run)

    def newest(self) -> _Page:
        """Gives the page of the rows that were changed last, the newest first, and how many rows there are in all.

        Raises:
            ApiError: if the API does not answer.
        """
        return self.page(self._whole, 0, sort="updatedDate,DESC")

    def first(self) -> Record | None:
        """Gives the first row, or None where there is none.

        Raises:
            ApiError: if the API does not answer.
        """
        return next(iter(self._peek(self._whole).rows), None)

    def __getitem__(self, part: slice) -> list[Record]:
        """Gives the first rows: `rows[:10]` asks for no more pages than it takes.

        Raises:
            WrongCall: for anything but a slice that counts from the beginning.
            ApiError: if the API does not answer.
        """
        bounds = (part.start, part.stop, part.step) if isinstance(part, slice) else (-1,)
        if not all(bound is None or (isinstance(bound, int) and bound >= 0) for bound in bounds) or 0 in bounds[2:]:
            raise WrongCall("listing_index")
        if part.stop is not None and part.stop <= self.rows_on_a_page:
            return Records(self._peek(self._whole).rows[part])
        return Records(itertools.islice(self, part.start, part.stop, part.step))

    @property
    def known_total(self) -> int | None:
        """How many rows there are, if they were counted."""
        return self._total

    @property
    def rows_on_a_page(self) -> int:
        """The most that come with one request."""
        return self._operation.page

    def identity(self, row: Record) -> object:
        """What tells a row from the others: its id, or all of it where it has none."""
        key = row.get(self._operation.key)
        return key if key and isinstance(key, str) else str(dict(row))

    @property
    def can_shift(self) -> bool:
        """Whether a change of a row can take it into or out of the list, and all rows behind it to another page."""
        filters = {name for name, value in self._query.items() if value != "any"}
        return bool(self._operation.axes) and not filters <= _NEVER_MOVE_A_ROW

    def read_page(self, window: _Window, number: int, *, anew: bool = False) -> _Page:
        """Gives one page; the first pages that were counted with are kept for a moment, for whoever reads then.

        Raises:
            ApiError: if the API refuses it, or its answer is no page.
        """
        self._forget_of_others()
        asked_at, kept = self._kept.pop(window, (0.0, None)) if number == 0 else (0.0, None)
        if kept is not None and time.monotonic() - asked_at < FRESH_SECONDS and not anew:
            return kept
        try:
            return self.page(window, number)
        except ServerTrouble as error:
            if number == 0 or _TOO_LARGE not in str(error).casefold():
                raise
        return self.page(window, 0)._replace(total=WINDOW)  # it has grown beyond what is shown

    def _peek(self, window: _Window) -> _Page:
        page = self.read_page(window, 0)
        if len(self._kept) < MOST_KEPT:
            self._kept[window] = (time.monotonic(), page)
        return page

    def halves(self, window: _Window, page: _Page) -> tuple[_Window, _Window]:
        """Splits a window in two by days, on the first axis on which it has more than one.

        Raises:
            Invalid: `listing_window` if there is none; `listing_sorted` if an order is asked for, which windows lose.
            ApiError: if the API does not answer.
        """
        if "sort" in self._query:
            raise Invalid("listing_sorted", limit=WINDOW)
        for axis, name in enumerate(self._operation.axes):
            first, last = window.days[axis]
            begins = first or (_day_of(page.rows, name) if axis == 0 else self._edge(window, name, "ASC"))
            ends = last or self._edge(window, name, "DESC")
            if begins and ends and begins < ends:
                middle = begins + (ends - begins) // 2
                return window.with_days(axis, first, middle), window.with_days(axis, middle + timedelta(1), last)
        raise Invalid("listing_window", limit=WINDOW)

    def _edge(self, window: _Window, axis: str, direction: str) -> date | None:
        return _day_of(self.page(window, 0, sort=f"{axis},{direction}").rows, axis)

    def page(self, window: _Window, number: int, **instead: str | None) -> _Page:
        """Asks for one page.

        Raises:
            ApiError: if the API refuses it, or its answer is no page.
        """
        query: dict[str, str | None] = {**self._query}
        for axis, (first, last) in zip(self._operation.axes, window.days, strict=True):
            query[f"{axis}From"] = first.isoformat() if first else None
            query[f"{axis}To"] = last.isoformat() if last else None
        query |= {
            "sort": self._query.get("sort") or self._operation.sort or None,
            "page": str(number),
            "size": str(self._operation.page),
            **instead,
        }
        sent = urlencode({name: value for name, value in query.items() if value is not None}, quote_via=quote)
        response = self._session.get(f"{self._path}?{sent}")
        return _page(response.json(), response.status_code, self._path, response.headers.get("Date"))

    def changed_since(self, moment: datetime) -> bool:
        """Asks whether any row of these types was changed since then, whatever else the list asks for."""
        others: dict[str, str | None] = dict.fromkeys(set(self._query) - _NEVER_MOVE_A_ROW)
        others |= {"voucherStatus": "any", "updatedDateFrom": moment.astimezone(BERLIN).date().isoformat()}
        newest = self.page(self._whole, 0, **others | {"sort": "updatedDate,DESC"}).rows[:1]
        return any(isinstance(row.get("updatedDate"), datetime) and row["updatedDate"] >= moment for row in newest)

    def __repr__(self) -> str:
        known = "" if self._total is None else f", {self._total} rows"
        return f"<{self._operation.resource}.{self._operation.name}{known}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        page = self._peek(self._whole)
        for number, line in enumerate((page_text(page.rows, self._told(page)) or repr(self)).split("\n")):
            if number:
                printer.break_()
            printer.text(line)

    def _repr_html_(self) -> str | None:
        try:
            page = self._peek(self._whole)
        except LexofficeError:
            return None  # a front end asks for the text as well, which says it
        return page_html(page.rows, self._told(page))

    def _told(self, page: _Page) -> int | str:
        """How many rows there are, as far as one page can say."""
        return self._total or (page.total if page.total < WINDOW else f"{WINDOW}+")


@dataclass(frozen=True)
class _State:
    """Where a reading is. It is replaced as one step, so an interrupt leaves the former or the next one.

    Attributes:
        windows: what is left; the first is being read.
        number: the next page of it.
        total: how many rows it had at the last page, None before the first.
        tries: how often it was begun.
        rounds: how often the whole list was.
        pages: how many pages were read.
        done: how many rows were read in all rounds.
        began: the server's clock when this round began.
        opened: the server's clock at the first page of this try.
        rows: what was read and not given yet.
        ids: of the last page; they are noted before the next one, however often that is begun.
        here: the ids that came in this try of the window.
        seen: the ids that were given before and could come again.
    """

    windows: tuple[_Window, ...]
    number: int = 0
    total: int | None = None
    tries: int = 1
    rounds: int = 1
    pages: int = 0
    done: int = 0
    began: datetime | None = None
    opened: datetime | None = None
    rows: deque[Record] = field(default_factory=deque)
    ids: tuple[object, ...] = ()
    here: set[object] = field(default_factory=set)
    seen: set[object] = field(default_factory=set)


class _Reading(Iterator[Record]):
    """One reading of a list. An interrupt loses nothing: the next call goes on with the page that was not there yet."""

    def __init__(self, listing: Listing, run: Run | None = None, *, warns: bool = True) -> None:
        self._listing = listing
        self._state = _State(listing.windows)
        self._whose: object = None
        self._task = Task("progress.rows", run)
        self._warns = warns
        self.moved = False
        self.opened: datetime | None = None

    def __next__(self) -> Record:
        if not self._read_on():
            raise StopIteration
        return self._state.rows.popleft()

    def next_page(self) -> list[Record]:
        """Gives the rows of one page, and none after the last; the page before is not needed any more."""
        self._state.rows.clear()
        return list(self._state.rows) if self._read_on() else []

    def _read_on(self) -> bool:
        """Asks for pages until there are rows to give; False at the end."""
        while not self._state.rows:
            if not self._state.windows:
                return False
            whose = self._listing.whose
            if self._whose not in (None, whose):
                raise SignedOut("listing_other_account")
            self._state = self._after(self._state)
            self._whose = whose
            self.opened = self.opened or self._state.began
            self._report(self._state)
        return True

    def _warn(self) -> None:
        self.moved = True
        if self._warns:
            warnings.warn(text("listing.moved", "en"), ListingMoved, stacklevel=5)

    def _report(self, state: _State) -> None:
        known = self._listing.known_total or (state.total if len(self._listing.windows) == 1 else None)
        if state.done > self._listing.rows_on_a_page or (state.done and state.windows):
            self._task.report(state.done, known, finished=not state.windows)

    def _after(self, state: _State) -> _State:
        """Reads one page; gives where the reading is then."""
        listing, window = self._listing, state.windows[0]
        state.here.update(state.ids)
        state.seen.update(state.ids)
        page = listing.read_page(window, state.number, anew=state.tries > 1 or state.rounds > 1)
        if page.total >= WINDOW:
            # It may have grown meanwhile: what was seen of it is not given twice.
            halves = listing.halves(window, page)
            listing.windows = tuple(each for one in listing.windows for each in (halves if one == window else (one,)))
            return replace(state, windows=(*halves, *state.windows[1:]), number=0, total=None, ids=(), here=set())
        ids = tuple(map(listing.identity, page.rows))
        opened = state.opened if state.number and state.opened else page.served_at
        moved = (state.number > 0 and state.total != page.total) or not state.here.isdisjoint(ids)
        # The total is the same, and a row came since the first page: another one left, and may have moved the rest.
        moved = moved or (state.number > 0 and _came_since(opened, page))
        came = len(state.here.union(ids))
        moved = moved or came > page.total or (page.last and came != page.total)
        if moved and state.tries < MOST_READINGS:
            return replace(state, number=0, total=None, ids=(), here=set(), tries=state.tries + 1)
        if moved and state.tries == MOST_READINGS:
            self._warn()
        rows = dict(zip(ids, page.rows, strict=True))
        fresh = deque(row for each, row in rows.items() if each not in state.seen)
        # A server that never ends its list is left once a page brings nothing new, or more than any query has.
        last = page.last or (moved and not fresh) or came > WINDOW
        following = replace(
            state,
            number=state.number + 1,
            total=page.total,
            tries=state.tries + moved,
            pages=state.pages + 1,
            began=state.began or page.served_at,
            opened=opened,
            done=state.done + len(fresh),
            rows=fresh,
            ids=ids,
        )
        return self._after_window(following) if last else following

    def _after_window(self, state: _State) -> _State:
        listing = self._listing
        # A set of its own: an interrupt during what follows has this page read again, and its rows are new then.
        seen = state.seen.union(state.ids)
        rest = replace(state, windows=state.windows[1:], number=0, tries=1, ids=(), here=set(), seen=seen)
        if rest.windows:
            # Rows never change windows by themselves: what was seen in the former ones cannot come again.
            return rest if listing.can_shift else replace(rest, seen=set())
        # One row left and another came: the total is the same, and still one can have slipped over a page's edge.
        if state.pages < 2 or not listing.can_shift or state.began is None or not listing.changed_since(state.began):
            return rest
        if state.rounds >= MOST_READINGS:
            self._warn()
            return rest
        return replace(rest, windows=listing.windows, rounds=state.rounds + 1, pages=0, began=None)


class Pages(Iterator["list[Record]"]):
    """One reading of a list, page by page."""

    def __init__(self, listing: Listing, run: Run | None = None) -> None:
        self._reading = _Reading(listing, run, warns=False)

    def __next__(self) -> list[Record]:
        if rows := self._reading.next_page():
            return rows
        raise StopIteration

    @property
    def began(self) -> datetime | None:
        """The server's clock at the first page, a second before at most."""
        return self._reading.opened

    @property
    def complete(self) -> bool:
        """False where rows kept changing underneath, so that a few of them may not have come."""
        return not self._reading.moved


def _came_since(opened: datetime, page: _Page) -> bool:
    """Whether a row of a page was made since then, and not in a future of which no clock can know."""
    created = [row.get("createdDate") for row in page.rows]
    ends = page.served_at + timedelta(seconds=2)
    return any(isinstance(each, datetime) and opened <= each <= ends for each in created)


def _day_of(rows: Sequence[Record], axis: str) -> date | None:
    moment = rows[0].get(axis) if rows else None
    return moment.date() if isinstance(moment, datetime) else None


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def _page(body: Any, status: int, path: str, served_at: str | None) -> _Page:
    """Reads an envelope; what is none is an error and no empty list."""
    envelope = body if isinstance(body, dict) else {}
    content, total, last = envelope.get("content"), envelope.get("totalElements"), envelope.get("last")
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ServerTrouble("listing_no_page", status=status, path=path)
    if not isinstance(total, Decimal) or total != total.to_integral_value() or total < 0 or not isinstance(last, bool):
        raise ServerTrouble("listing_no_page", status=status, path=path)
    # An empty page is the last one, whatever it says: else a server could be asked for ever.
    return _Page(read(content), int(total), last or not content, _served_at(served_at))


def _served_at(header: str | None) -> datetime:
    """The server's clock, which stamps the rows; it has whole seconds, so the second before is safe."""
    try:
        moment = parsedate_to_datetime(header or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(BERLIN) - timedelta(seconds=1)
    except (ValueError, OverflowError):  # none, or one of the year 99999
        return datetime.now(UTC) - timedelta(minutes=1)
