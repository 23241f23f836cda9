"""What an organisation has: the drawn books, and over them what was written through the API.

Writes are kept as JSON in the sandbox's database, so that tomorrow's notebook meets them. No secret is among them.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import documents, shapes
from lexoffice_nb.sandbox.request_json import stored_json
from lexoffice_nb.sandbox.validation import is_uuid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from lexoffice_nb.sandbox.database import Database
    from lexoffice_nb.sandbox.ledger import Ledger
    from lexoffice_nb.sandbox.voucher_rows import VoucherRows

_ROWS = "voucherlist"
_FIRST_NUMBER = 1001


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        id: Its ID.
        content_type: What it is.
        voucher: The bookkeeping voucher it belongs to, or None.
        content: What is in it.
    """

    id: str
    content_type: str
    voucher: str | None
    content: bytes


class Books:
    """What one organisation has.

    Attributes:
        ledger: The drawn books.
        rows: The rows of its list of vouchers; what was written earlier is put among them.
        lock: Held by whoever writes, from the first look to the last change.
    """

    def __init__(self, ledger: Ledger, rows: VoucherRows, database: Database) -> None:
        self.ledger = ledger
        self.rows = rows
        self.lock = threading.RLock()
        self._database = database
        self._key = ledger.organisation.key
        for row in self.written(_ROWS):
            rows.put(row)

    def find(self, kind: str, id: str, today: date) -> dict[str, Any] | None:  # noqa: A002 - the API's word
        """A document as it is now, or None.

        Args:
            kind: The first part of its path, or a name that `keep` was given.
            id: Its ID; what is no UUID is found nowhere.
            today: The day in Berlin on which it is asked.

        Raises:
            ApiProblem: 406 for the payments of a draft.
        """
        if not is_uuid(id):
            return None
        row = self._database.row(
            "SELECT body FROM written WHERE organisation = ? AND kind = ? AND id = ?", self._key, kind, id.lower()
        )
        if row is not None:
            found: dict[str, Any] | None = stored_json(row[0])
            return found
        return documents.find(self.ledger, kind, id.lower(), today)

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """All documents of a kind as they are now; those that are new come last."""
        written = self._written(kind)
        drawn = [written.pop(each["id"], each) for each in documents.listed(self.ledger, kind)]
        return [each for each in (*drawn, *written.values()) if each is not None]

    def written(self, kind: str) -> list[dict[str, Any]]:
        """The documents of a kind that were written, in the order of their first writing."""
        return [each for each in self._written(kind).values() if each is not None]

    def keep(self, kind: str, document: Mapping[str, Any], id: str | None = None) -> None:  # noqa: A002
        """Write a document, new or changed, under its own ID or another."""
        self._write(kind, id or document["id"], document)

    def forget(self, kind: str, id: str) -> None:  # noqa: A002
        """Take a document away, also one of the drawn books."""
        self._write(kind, id, None)

    def keep_row(self, row: Mapping[str, Any]) -> None:
        """Put a row into the list of vouchers, with its stored status, for this and every later start."""
        self.rows.put(row)
        self._write(_ROWS, row["id"], row)

    def next_number(self, series: str) -> int:
        """The next number of a series, which no other document was given here."""
        name = f"{self._key} {series}"
        number = int(self._database.note(name) or _FIRST_NUMBER - 1) + 1
        self._database.remember(name, str(number))
        return number

    def start_series(self, series: str, first: int) -> None:
        """Have a series begin no earlier than with this number."""
        name = f"{self._key} {series}"
        if int(self._database.note(name) or 0) < first - 1:
            self._database.remember(name, str(first - 1))

    # -- files

    def upload(self, content: bytes, content_type: str, purpose: str, voucher: str | None) -> Upload:
        """Keep a file; its purpose is `voucher` or `attachment`."""
        new = Upload(str(uuid.uuid4()), content_type, voucher, content)
        self._database.write(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self._key, new.id, _digest(content), purpose, content_type, voucher, content),
        )
        return new

    def same_upload(self, content: bytes, purpose: str) -> Upload | None:
        """The file that was sent before with the same content for the same purpose."""
        row = self._database.row(
            "SELECT id, content_type, voucher, content FROM uploads WHERE organisation = ? AND digest = ? AND"
            " purpose = ?",
            *(self._key, _digest(content), purpose),
        )
        return None if row is None else Upload(*row)

    def find_upload(self, id: str) -> Upload | None:  # noqa: A002
        """A file that was sent, or None."""
        row = self._database.row(
            "SELECT id, content_type, voucher, content FROM uploads WHERE organisation = ? AND id = ?", self._key, id
        )
        return None if row is None else Upload(*row)

    def drop_upload(self, id: str) -> None:  # noqa: A002
        """Delete a file that was sent."""
        self._database.write("DELETE FROM uploads WHERE organisation = ? AND id = ?", self._key, id)

    def _written(self, kind: str) -> dict[str, dict[str, Any] | None]:
        rows = self._database.rows(
            "SELECT id, body FROM written WHERE organisation = ? AND kind = ? ORDER BY rowid", self._key, kind
        )
        return {id_: stored_json(body) for id_, body in rows}

    def _write(self, kind: str, id: str, document: Mapping[str, Any] | None) -> None:  # noqa: A002
        self._database.write(
            "INSERT INTO written VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            *(self._key, kind, id, shapes.to_json(document)),
        )


def all_books(ledgers: Mapping[str, Ledger], rows: Mapping[str, VoucherRows], database: Database) -> dict[str, Books]:
    """What every organisation has."""
    return {key: Books(ledger, rows[key], database) for key, ledger in ledgers.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
