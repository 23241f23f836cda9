"""The rows of the list of vouchers of one organisation, in a database of their own.

The drawn books, what is written through the API and a million generated rows are all kept the same way. SQLite's
unnamed database holds them: a file of mode 0600 in the folder for temporary files, which nobody can open by name and
which is gone when the server is, however that ends. What does not fit a small cache is on the disk, not in memory.
"""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging
from lexoffice_nb.sandbox.books import BERLIN
from lexoffice_nb.sandbox.extra_vouchers import ExtraVouchers
from lexoffice_nb.sandbox.shapes import row_of_a_new_kind, voucher_row
from lexoffice_nb.sandbox.stored_row import OVERDUE_FROM, Class, Stored, class_of, shown, stored
from lexoffice_nb.sandbox.voucherlist import RANGES, Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lexoffice_nb.sandbox.ledger import Ledger

# The vendor's own: rows beyond it cannot be read, nor are they counted.
WINDOW = 10_000
_CACHE_KIB = 32 * 1024
_NEVER = 1 << 60  # seconds
_UNLISTED = ("dunning", "recurringtemplate")

# Kind, status and whether archived are one number, `class`: there are a few dozen, and with it in front an index gives
# the rows of each in order.
_TABLES = """
CREATE TABLE vouchers (n INTEGER PRIMARY KEY, id TEXT NOT NULL, class INTEGER NOT NULL, number TEXT NOT NULL,
    day INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, due INTEGER, contact TEXT,
    name TEXT NOT NULL, total INTEGER, open INTEGER);
"""
_INDEXES = """
CREATE UNIQUE INDEX by_id ON vouchers (id);
CREATE INDEX by_day ON vouchers (class, day, n);
CREATE INDEX by_created ON vouchers (class, created, n);
CREATE INDEX by_updated ON vouchers (class, updated, n);
CREATE INDEX by_number ON vouchers (class, number, n);
CREATE INDEX by_contact ON vouchers (contact, class, day, n);
"""
_COLUMNS = "id, class, number, day, created, updated, due, contact, name, total, open"
_INSERT = f"INSERT INTO vouchers ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - fixed names
_SORT_COLUMNS = {"voucherdate": "day", "vouchernumber": "number", "createddate": "created", "updateddate": "updated"}


class VoucherRows:
    """The rows of one organisation; any thread may call it. The status of a row is the stored one, never overdue."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for pragma in (f"cache_size=-{_CACHE_KIB}", "journal_mode=MEMORY", "synchronous=OFF", "temp_store=FILE"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)
        self._numbers: dict[Class, int] = {}
        self._classes: dict[int, Class] = {}
        self._indexed = False

    @classmethod
    def of(cls, ledger: Ledger) -> VoucherRows:
        """The rows of an organisation's books: every kind that a list shows, and one of a kind that nobody knows."""
        rows = cls()
        rows.pour(ExtraVouchers(ledger).rows(rows.number_of))
        rows.put_many(voucher_row(each) for each in ledger.invoices)
        rows.put_many(voucher_row(each) for each in ledger.others if each.kind not in _UNLISTED)
        rows.put(row_of_a_new_kind(ledger))
        return rows

    def close(self) -> None:
        """Forget everything; the file goes with it."""
        with self._lock:
            self._db.close()

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM vouchers").fetchone()[0])

    def put(self, row: Mapping[str, Any]) -> None:
        """Add a row in the vendor's shape (see `shapes`), or replace the one with its id at its place."""
        self.put_many([row])

    def put_many(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add or replace rows, all of them at once."""
        with self._lock:
            self._index()
            every = [stored(row, self.number_of(*class_of(row))) for row in rows]
            self._db.execute("BEGIN")
            for values in every:
                changed = self._db.execute(
                    f"UPDATE vouchers SET ({_COLUMNS}) = (?,?,?,?,?,?,?,?,?,?,?) WHERE id = ?",  # noqa: S608
                    (*values, values.id),
                ).rowcount
                if not changed:
                    self._db.execute(_INSERT, values)
            self._db.execute("COMMIT")

    def pour(self, rows: Iterable[Stored | tuple[Any, ...]]) -> None:
        """Add very many new rows before the first use; the indexes are made afterwards, which is much faster."""
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, rows)
            self._db.execute("COMMIT")

    def number_of(self, type_: str, status: str, archived: bool = False) -> int:
        """The number that stands for a kind with a status, archived or not."""
        wanted = Class(type_, status, archived)
        with self._lock:
            number = self._numbers.setdefault(wanted, len(self._numbers) + 1)
            self._classes[number] = wanted
            return number

    def remove(self, voucher_id: str) -> None:
        """Take a row out.

        Raises:
            KeyError: There is none with this id.
        """
        with self._lock:
            self._index()
            if not self._db.execute("DELETE FROM vouchers WHERE id = ?", (voucher_id,)).rowcount:
                raise KeyError(voucher_id)

    def change_status(self, voucher_id: str, status: str, at: datetime | None = None) -> None:
        """Give a row another status; its `updatedDate` becomes `at`, or now, and nothing is open of a paid one.

        Raises:
            KeyError: There is no row with this id.
        """
        with self._lock:
            row = self._find(voucher_id)
            before = self._classes[row.number_of_class]
            moment = int((at or datetime.now(UTC)).timestamp())
            left = 0 if status in ("paid", "paidoff", "voided") else row.open
            self._db.execute(
                "UPDATE vouchers SET class = ?, updated = ?, open = ? WHERE id = ?",
                (self.number_of(before.type, status, before.archived), moment, left, voucher_id),
            )

    def get(self, voucher_id: str) -> dict[str, Any]:
        """A row with its stored status.

        Raises:
            KeyError: There is none with this id.
        """
        with self._lock:
            row = self._find(voucher_id)
        return shown(row, self._classes[row.number_of_class], None)

    def page(self, arguments: Mapping[str, str], today: date) -> dict[str, Any]:
        """A page of the list, in the vendor's envelope.

        Args:
            arguments: The query as it was sent.
            today: The day in Berlin on which it is asked; what is due before it is overdue.

        Raises:
            ApiProblem: 400 for a bad query, 500 for a page that reaches beyond row 10 000.
        """
        query = Query.of(arguments)
        offset = paging.offset_within(query.page, query.size, WINDOW)
        with self._lock:
            self._index()
            where, values, classes = self._conditions(query, today)
            total = self._count(classes, where, values)
            found = self._select(query, classes, where, values, offset, total) if offset < total else []
        content = [shown(row, self._classes[row.number_of_class], today) for row in found]
        return paging.envelope(content, total, query.page, query.size, query.property, query.ascending)

    def _conditions(self, query: Query, today: date) -> tuple[str, list[Any], list[int]]:
        conditions: list[str] = []
        values: list[Any] = []
        statuses = query.statuses
        if statuses == frozenset({"overdue"}):
            statuses = frozenset(OVERDUE_FROM)
            conditions.append("due < ?")
            values.append(today.toordinal())
        classes = [
            number
            for each, number in self._numbers.items()
            if (query.types is None or each.type in query.types)
            and (statuses is None or each.status in statuses)
            and query.archived in (None, each.archived)
        ]
        for name, column in RANGES.items():
            first, last = query.ranges[name]
            if first is not None:
                conditions.append(f"{column} >= ?")
                values.append(first.toordinal() if column == "day" else _begin(first))
            if last is not None:
                conditions.append(f"{column} < ?")
                values.append(last.toordinal() + 1 if column == "day" else _begin(last, 1))
        for column, value in (("contact", query.contact), ("number", query.number)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        return "".join(f" AND {each}" for each in conditions), values, classes

    def _count(self, classes: list[int], where: str, values: list[Any]) -> int:
        total = 0
        for each in classes:  # no further than the window: what lies beyond is not counted by the vendor either
            statement = f"SELECT count(*) FROM (SELECT 1 FROM vouchers WHERE class = ?{where} LIMIT ?)"  # noqa: S608
            total += self._db.execute(statement, (each, *values, WINDOW - total)).fetchone()[0]
            if total >= WINDOW:
                break
        return total

    def _select(
        self, query: Query, classes: list[int], where: str, values: list[Any], offset: int, total: int
    ) -> list[Stored]:
        column, way = _SORT_COLUMNS[query.property], "ASC" if query.ascending else "DESC"
        # Where much fits, an index by what is sorted by is read until the page is full. Where little does, the index is
        # the one that finds it best: a plus keeps SQLite from choosing by the order.
        key, hint = f"+{column}", ""
        if query.contact is not None or total == WINDOW:
            key, hint = column, f"INDEXED BY by_{column if query.contact is None else 'contact'} "
        # Each part comes in order, and SQLite merges them.
        one = f"SELECT {key} AS k, n FROM vouchers {hint}WHERE class = ?{where}"  # noqa: S608 - fixed names
        numbers = f"{' UNION ALL '.join([one] * len(classes))} ORDER BY k {way}, n {way} LIMIT ? OFFSET ?"
        bound = [value for each in classes for value in (each, *values)]
        keys = [n for _, n in self._db.execute(numbers, (*bound, query.size, offset))]
        rows = self._db.execute(
            f"SELECT n, {_COLUMNS} FROM vouchers WHERE n IN ({','.join('?' * len(keys))})",  # noqa: S608
            keys,
        )
        by_key = {n: row for n, *row in rows}
        return [Stored(*by_key[n]) for n in keys]

    def _find(self, voucher_id: str) -> Stored:
        self._index()
        found = self._db.execute(f"SELECT {_COLUMNS} FROM vouchers WHERE id = ?", (voucher_id,)).fetchone()  # noqa: S608
        if found is None:
            raise KeyError(voucher_id)
        return Stored(*found)

    def _index(self) -> None:
        if not self._indexed:
            self._db.executescript(_INDEXES)
            self._indexed = True


def _begin(day: date, later: int = 0) -> int:
    """The first second of a day in Berlin, or of a later one; of days that no calendar has, far enough away."""
    try:
        return int(datetime.combine(day + timedelta(later), time(), BERLIN).timestamp())
    except (OverflowError, ValueError):
        return _NEVER if later else -_NEVER
