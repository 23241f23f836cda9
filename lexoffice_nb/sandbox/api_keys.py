"""API keys: made on a page by the person whose data they open."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.database import digest, new_secret
from lexoffice_nb.sandbox.grants import Bearer

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.database import Database

API_KEY_LIFE = 730 * 24 * 3600


@dataclass(frozen=True)
class ApiKey:
    """An API key as the list shows it: never the key."""

    id: str
    label: str
    created: float
    tail: str


class ApiKeys:
    """The API keys of one sandbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, person: str, label: str) -> str:
        """A new API key; this is the only time that it can be seen."""
        key = new_secret()
        self._database.write(
            "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
            *(digest(key), str(uuid.uuid4()), person, label, key[-4:], time.time()),
        )
        return key

    def of(self, person: str) -> list[ApiKey]:
        """A person's live keys, the newest first."""
        rows = self._database.rows(
            "SELECT id, label, created, tail FROM api_keys WHERE person = ? AND revoked_at IS NULL"
            " ORDER BY created DESC",
            person,
        )
        return [ApiKey(*row) for row in rows]

    def delete(self, person: str, key_id: str) -> None:
        """End one of a person's own keys."""
        self._database.write(
            "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND person = ?", time.time(), key_id, person
        )

    def revoke_all(self) -> None:
        """Every API key is dead from now on."""
        self._database.write("UPDATE api_keys SET revoked_at = ? WHERE revoked_at IS NULL", time.time())

    def bearer(self, key: str) -> Bearer | None:
        """Whom a live key speaks for."""
        row = self._database.row(
            "SELECT person, id FROM api_keys WHERE digest = ? AND created > ? AND revoked_at IS NULL",
            *(digest(key), time.time() - API_KEY_LIFE),
        )
        return None if row is None else Bearer(row[0], None, row[1])
