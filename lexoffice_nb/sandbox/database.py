"""The file in which the server keeps what must survive a restart: SQLite, of mode 0600, with no secret in it.

Only SHA-256 digests of secrets reach the disk. All secrets have at least 256 random bits, so a plain digest is enough:
there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.private_files import create_private_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION_LIFE = 12 * 3600

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (digest TEXT PRIMARY KEY, person TEXT NOT NULL, auth_time REAL NOT NULL);
CREATE TABLE IF NOT EXISTS families (id TEXT PRIMARY KEY, client_id TEXT NOT NULL, person TEXT NOT NULL,
    scope TEXT NOT NULL, nonce TEXT, auth_time REAL NOT NULL, revoked_at REAL);
CREATE TABLE IF NOT EXISTS codes (digest TEXT PRIMARY KEY, family TEXT NOT NULL REFERENCES families(id),
    redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL, expires REAL NOT NULL, used_at REAL);
CREATE TABLE IF NOT EXISTS access_tokens (digest TEXT PRIMARY KEY, family TEXT NOT NULL REFERENCES families(id),
    scope TEXT NOT NULL, expires REAL NOT NULL, revoked_at REAL);
CREATE TABLE IF NOT EXISTS refresh_tokens (digest TEXT PRIMARY KEY, family TEXT NOT NULL REFERENCES families(id),
    expires REAL NOT NULL, used_at REAL);
CREATE TABLE IF NOT EXISTS api_keys (digest TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL,
    label TEXT NOT NULL, tail TEXT NOT NULL, created REAL NOT NULL, revoked_at REAL);
CREATE TABLE IF NOT EXISTS written (organisation TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (organisation, kind, id));
CREATE TABLE IF NOT EXISTS uploads (organisation TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL,
    purpose TEXT NOT NULL, content_type TEXT NOT NULL, voucher TEXT, content BLOB NOT NULL,
    PRIMARY KEY (organisation, id));
"""


def new_secret(octets: int = 32) -> str:
    """A secret from the operating system's generator; no seed of the books comes near it."""
    return secrets.token_urlsafe(octets)


def digest(secret: str) -> str:
    """The only form in which a secret is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Database:
    """The tables of one sandbox, one writer at a time."""

    def __init__(self, path: Path) -> None:
        create_private_file(path)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._forget_the_dead()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Statements that happen together or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # where the disk is full, SQLite may have ended it itself
                    self._db.execute("ROLLBACK")
                raise

    def write(self, statement: str, *values: Any) -> None:
        """One statement that changes something."""
        with self.transaction() as db:
            db.execute(statement, values)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row that a query finds."""
        return next(iter(self.rows(query, *values)), None)

    def _forget_the_dead(self) -> None:
        # A used code or refresh token must be remembered as long as its reuse can be a sign of theft.
        long_ago = time.time() - 90 * 24 * 3600
        with self.transaction() as db:
            db.execute("DELETE FROM sessions WHERE auth_time < ?", (time.time() - SESSION_LIFE,))
            for table in ("codes", "access_tokens", "refresh_tokens"):
                db.execute(f"DELETE FROM {table} WHERE expires < ?", (long_ago,))  # noqa: S608 - fixed names

    def note(self, name: str) -> str | None:
        """A small fact that survives a restart (port, instance, day of the books), or None."""
        row = self.row("SELECT value FROM notes WHERE name = ?", name)
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Keep a fact for the next start."""
        self.write("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, value)
