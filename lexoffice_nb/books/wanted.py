"""What the books do not have yet: documents and payments that are not stored as of the voucher's last change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lexoffice_nb.books.schema import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import duckdb

    Days = tuple[date, date]

# The vendor's list of what has payments; a draft has none yet, and what is not booked neither.
PAYABLE = (
    *("invoice", "downpaymentinvoice", "creditnote"),
    *("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote"),
)
NOT_PAYABLE = ("draft", "unchecked", "blank")
_STORED = {"documents": "documents AS d WHERE d.id = v.id", "payments": "payments AS d WHERE d.voucher_id = v.id"}


class Ask:
    """Asks the books: takes an SQL statement and its values, and gives rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def __call__(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Gives the rows of an answer."""
        return self.connection.execute(statement, list(values)).fetchall()


class Wanted(NamedTuple):
    """Something that one request reads: a document, or the payments of a voucher.

    Attributes:
        kind: its endpoint.
        id: the voucher's.
        listed: what the list calls its last change.
        stored: whether an older one is stored.
    """

    kind: str
    id: str
    listed: str | None
    stored: bool


@dataclass(frozen=True)
class Search:
    """Looks for what is wanted.

    Attributes:
        source: documents or payments.
        days: the first and the last day of the vouchers that are meant; all where none are given.
        types: their types; all that have such, where none are given.
    """

    source: str
    days: Days | None = None
    types: Sequence[str] = ()

    def count(self, ask: Ask) -> int:
        """Counts what is wanted."""
        statement, values = self._query()
        return int(ask(f"SELECT count(*) {statement}", values)[0][0])

    def newest(self, ask: Ask, most: int, passed: int = 0) -> list[Wanted]:
        """Gives what is wanted, by the vouchers' date, the newest first.

        Args:
            ask: asks the books.
            most: how many at most.
            passed: how many are passed over.
        """
        statement, values = self._query()
        rows = ask(
            f"SELECT voucher_type, id, updated_at, EXISTS (SELECT 1 FROM {_STORED[self.source]}) {statement} "  # noqa: S608
            "ORDER BY voucher_date DESC NULLS LAST, updated_at DESC, id LIMIT ? OFFSET ?",
            [*values, most, passed],
        )
        return [
            Wanted(ENDPOINTS[type_] if self.source == "documents" else self.source, *others) for type_, *others in rows
        ]

    def _query(self) -> tuple[str, list[object]]:
        types = self.types or (tuple(ENDPOINTS) if self.source == "documents" else PAYABLE)
        without = NOT_PAYABLE if self.source == "payments" else ()
        stored = f"SELECT 1 FROM {_STORED[self.source]} AND d.listed_at IS NOT DISTINCT FROM v.updated_at"  # noqa: S608
        statement = (
            "FROM vouchers AS v WHERE list_contains(CAST(? AS VARCHAR[]), voucher_type) "
            "AND NOT list_contains(CAST(? AS VARCHAR[]), coalesce(voucher_status, '')) "
            f"AND NOT EXISTS ({stored})"
        )
        values: list[object] = [list(types), list(without)]
        if self.days:
            statement += " AND voucher_date BETWEEN CAST(? AS DATE) AND CAST(? AS DATE)"
            values += self.days
        return statement, values
