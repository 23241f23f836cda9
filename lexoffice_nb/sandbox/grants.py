"""What the server has granted: codes, tokens, API keys and signed-in browsers, kept in SQLite.

Only SHA-256 digests of secrets reach the disk. All secrets have at least 256 random bits, so a plain digest is enough:
there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.private_files import create_private_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION_LIFE = 12 * 3600
API_KEY_LIFE = 730 * 24 * 3600

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
"""


@dataclass(frozen=True)
class Grant:
    """What a person allowed a client, with the binding of the code it came from (RFC 6749, section 4.1.3)."""

    family: str
    client_id: str
    person: str
    scope: str
    nonce: str | None
    auth_time: float
    redirect_uri: str = ""
    code_challenge: str = ""
    code_challenge_method: str = "S256"

    # The names below are the ones that Authlib's grants ask for.
    def get_redirect_uri(self) -> str:
        """The redirect URI of the authorization request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """The scope the person allowed."""
        return self.scope

    def check_client(self, client: Any) -> bool:
        """Whether the grant was given to this client."""
        return bool(client.get_client_id() == self.client_id)


@dataclass(frozen=True)
class Bearer:
    """Whom an accepted access token or API key speaks for. `scope` is None for an API key, which may do all."""

    person: str
    scope: frozenset[str] | None
    connection: str


@dataclass(frozen=True)
class BrowserSession:
    """A signed-in browser."""

    person: str
    auth_time: float


@dataclass(frozen=True)
class ApiKey:
    """An API key as the list shows it: never the key."""

    id: str
    label: str
    created: float
    tail: str


def new_secret(octets: int = 32) -> str:
    """A secret from the operating system's generator; no seed of the books comes near it."""
    return secrets.token_urlsafe(octets)


def digest(secret: str) -> str:
    """The only form in which a secret is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Grants:
    """The grants of one sandbox, in a file of mode 0600."""

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
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _forget_the_dead(self) -> None:
        # A used code or refresh token must be remembered as long as its reuse can be a sign of theft.
        long_ago = time.time() - 90 * 24 * 3600
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE auth_time < ?", (time.time() - SESSION_LIFE,))
            for table in ("codes", "access_tokens", "refresh_tokens"):
                db.execute(f"DELETE FROM {table} WHERE expires < ?", (long_ago,))  # noqa: S608 - fixed names

    # -- notes: small facts that survive a restart (port, instance, day of the books)

    def note(self, name: str) -> str | None:
        """A remembered fact, or None."""
        with self._lock:
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Keep a fact for the next start."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    # -- signed-in browsers

    def start_session(self, person: str) -> str:
        """Sign a browser in; returns the value of its cookie."""
        cookie = new_secret()
        with self._transaction() as db:
            db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (digest(cookie), person, time.time()))
        return cookie

    def session(self, cookie: str) -> BrowserSession | None:
        """Who is signed in with this cookie."""
        with self._lock:
            row = self._db.execute(
                "SELECT person, auth_time FROM sessions WHERE digest = ? AND auth_time > ?",
                (digest(cookie), time.time() - SESSION_LIFE),
            ).fetchone()
        return None if row is None else BrowserSession(*row)

    def end_session(self, cookie: str) -> None:
        """Sign a browser out."""
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE digest = ?", (digest(cookie),))

    # -- authorization codes

    def issue_code(self, grant: Grant, life: float) -> str:
        """A new authorization code for what a person allowed (RFC 6749, section 4.1.2)."""
        code = new_secret()
        with self._transaction() as db:
            db.execute(
                "INSERT INTO families VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (grant.family, grant.client_id, grant.person, grant.scope, grant.nonce, grant.auth_time),
            )
            db.execute(
                "INSERT INTO codes VALUES (?, ?, ?, ?, ?, NULL)",
                (digest(code), grant.family, grant.redirect_uri, grant.code_challenge, time.time() + life),
            )
        return code

    def use_code(self, code: str, client_id: str) -> Grant | None:
        """Take a code for its one exchange; used up even if the exchange then fails.

        The second use of a code ends every token that came of it (RFC 6749, section 4.1.2; RFC 9700, section 4.5).
        """
        now = time.time()
        with self._transaction() as db:
            # One statement decides who is first: reading and marking in two would let all of a race succeed.
            first = db.execute(
                "UPDATE codes SET used_at = ? WHERE digest = ? AND used_at IS NULL", (now, digest(code))
            ).rowcount
            row = db.execute(
                "SELECT f.id, f.client_id, f.person, f.scope, f.nonce, f.auth_time,"
                " c.redirect_uri, c.challenge, c.expires"
                " FROM codes c JOIN families f ON f.id = c.family WHERE c.digest = ?",
                (digest(code),),
            ).fetchone()
            if row is None:
                return None
            if first != 1:
                self._revoke_family(db, row[0])
                return None
        if row[8] <= now or row[1] != client_id:
            return None
        return Grant(*row[:8])

    # -- tokens

    def issue_tokens(self, family: str, scope: str, access_life: float, refresh_life: float) -> tuple[str, str]:
        """A new access token and a new refresh token of one family."""
        access, refresh, now = new_secret(), new_secret(48), time.time()
        with self._transaction() as db:
            db.execute(
                "INSERT INTO access_tokens VALUES (?, ?, ?, ?, NULL)",
                (digest(access), family, scope, now + access_life),
            )
            db.execute(
                "INSERT INTO refresh_tokens VALUES (?, ?, ?, NULL)", (digest(refresh), family, now + refresh_life)
            )
        return access, refresh

    def find_refresh_token(self, token: str) -> Grant | None:
        """What a live refresh token stands for; one that was used before ends its family (RFC 9700, section 4.14.2)."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT f.id, f.client_id, f.person, f.scope, f.nonce, f.auth_time, r.expires, r.used_at, f.revoked_at"
                " FROM refresh_tokens r JOIN families f ON f.id = r.family WHERE r.digest = ?",
                (digest(token),),
            ).fetchone()
            if row is None:
                return None
            if row[7] is not None:
                self._revoke_family(db, row[0])
                return None
        if row[8] is not None or row[6] <= time.time():
            return None
        return Grant(*row[:6])

    def use_refresh_token(self, token: str, family: str) -> bool:
        """Take a refresh token for its one use; False, and the end of its family, if another was first."""
        with self._transaction() as db:
            first = db.execute(
                "UPDATE refresh_tokens SET used_at = ? WHERE digest = ? AND used_at IS NULL",
                (time.time(), digest(token)),
            ).rowcount
            if first != 1:
                self._revoke_family(db, family)
        return bool(first == 1)

    def revoke(self, token: str, client_id: str) -> None:
        """End a token: a refresh token with its whole family, an access token alone (RFC 7009, section 2.1)."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT f.id FROM refresh_tokens r JOIN families f ON f.id = r.family"
                " WHERE r.digest = ? AND f.client_id = ?",
                (digest(token), client_id),
            ).fetchone()
            if row is not None:
                self._revoke_family(db, row[0])
                return
            db.execute(
                "UPDATE access_tokens SET revoked_at = ? WHERE digest = ?"
                " AND family IN (SELECT id FROM families WHERE client_id = ?)",
                (time.time(), digest(token), client_id),
            )

    @staticmethod
    def _revoke_family(db: sqlite3.Connection, family: str) -> None:
        db.execute("UPDATE families SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (time.time(), family))

    def bearer(self, token: str) -> Bearer | None:
        """Whom an access token or an API key speaks for, if it is alive (RFC 6750, section 3.1)."""
        now = time.time()
        with self._lock:
            row = self._db.execute(
                "SELECT f.person, a.scope, f.id FROM access_tokens a JOIN families f ON f.id = a.family"
                " WHERE a.digest = ? AND a.expires > ? AND a.revoked_at IS NULL AND f.revoked_at IS NULL",
                (digest(token), now),
            ).fetchone()
            if row is not None:
                return Bearer(row[0], frozenset(row[1].split()), row[2])
            key = self._db.execute(
                "SELECT person, id FROM api_keys WHERE digest = ? AND created > ? AND revoked_at IS NULL",
                (digest(token), now - API_KEY_LIFE),
            ).fetchone()
        return None if key is None else Bearer(key[0], None, key[1])

    def expire_access_tokens(self) -> None:
        """Every access token is past its life from now on; refresh tokens live on."""
        with self._transaction() as db:
            db.execute("UPDATE access_tokens SET expires = ?", (time.time() - 1,))

    def revoke_everything(self) -> None:
        """Every token and every API key is dead from now on."""
        with self._transaction() as db:
            db.execute("UPDATE families SET revoked_at = ? WHERE revoked_at IS NULL", (time.time(),))
            db.execute("UPDATE api_keys SET revoked_at = ? WHERE revoked_at IS NULL", (time.time(),))

    # -- API keys

    def make_api_key(self, person: str, label: str) -> str:
        """A new API key; this is the only time that it can be seen."""
        key = new_secret()
        with self._transaction() as db:
            db.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (digest(key), str(uuid.uuid4()), person, label, key[-4:], time.time()),
            )
        return key

    def api_keys(self, person: str) -> list[ApiKey]:
        """A person's live keys, the newest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, label, created, tail FROM api_keys WHERE person = ? AND revoked_at IS NULL"
                " ORDER BY created DESC",
                (person,),
            ).fetchall()
        return [ApiKey(*row) for row in rows]

    def delete_api_key(self, person: str, key_id: str) -> None:
        """End one of a person's own keys."""
        with self._transaction() as db:
            db.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND person = ?", (time.time(), key_id, person))
