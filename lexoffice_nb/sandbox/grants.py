"""What people have granted: codes and tokens, in families that live and die together.

A family is all that came of one consent: its code, and every access and refresh token after it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.database import digest
from lexoffice_nb.sandbox.people import colleagues

if TYPE_CHECKING:
    import sqlite3

    from lexoffice_nb.sandbox.database import Database


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
    """Whom an accepted access token or API key speaks for, and by which client; an API key has none.

    `scope` is None for an API key, which may do all that is not kept for the partner's client.
    """

    person: str
    scope: frozenset[str] | None
    connection: str
    client_id: str | None = None


class Grants:
    """The grants of one sandbox, of all contracts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- authorization codes

    def issue_code(self, grant: Grant, code: str, life: float) -> None:
        """Put a new authorization code into force, for what a person allowed (RFC 6749, section 4.1.2)."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO families VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (grant.family, grant.client_id, grant.person, grant.scope, grant.nonce, grant.auth_time),
            )
            db.execute(
                "INSERT INTO codes VALUES (?, ?, ?, ?, ?, NULL)",
                (digest(code), grant.family, grant.redirect_uri, grant.code_challenge, time.time() + life),
            )

    def use_code(self, code: str, client_id: str) -> Grant | None:
        """Take a code for its one exchange; used up even if the exchange then fails.

        The second use of a code ends every token that came of it (RFC 6749, section 4.1.2; RFC 9700, section 4.5).
        """
        now = time.time()
        with self._database.transaction() as db:
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

    def issue_tokens(
        self, family: str, scope: str, access: tuple[str, float], refresh: tuple[str, float], only_pair: bool = False
    ) -> None:
        """Put new tokens of a family into force.

        Args:
            family: Which consent they come from.
            scope: What the access token opens.
            access: The access token and the seconds it lives.
            refresh: The refresh token and the seconds it lives unused.
            only_pair: End every other token that this client has for the same organisation.
        """
        now = time.time()
        with self._database.transaction() as db:
            if only_pair:
                self._end_the_former(db, family, now)
            db.execute(
                "INSERT INTO access_tokens VALUES (?, ?, ?, ?, NULL)",
                (digest(access[0]), family, scope, now + access[1]),
            )
            db.execute(
                "INSERT INTO refresh_tokens VALUES (?, ?, ?, NULL)", (digest(refresh[0]), family, now + refresh[1])
            )

    @staticmethod
    def _end_the_former(db: sqlite3.Connection, family: str, now: float) -> None:
        client_id, person, revoked_at = db.execute(
            "SELECT client_id, person, revoked_at FROM families WHERE id = ?", (family,)
        ).fetchone()
        if revoked_at is not None:
            return  # a later login overtook this renewal: its tokens are born dead and must not take the living along
        # The family's earlier refresh tokens are used up already, or there would be no new ones.
        db.execute("UPDATE access_tokens SET revoked_at = ? WHERE family = ? AND revoked_at IS NULL", (now, family))
        # A family without a refresh token is a login under way: its code is still good, and will end this pair in turn.
        for colleague in colleagues(person):
            db.execute(
                "UPDATE families SET revoked_at = ?"
                " WHERE client_id = ? AND person = ? AND id != ? AND revoked_at IS NULL"
                " AND EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.family = families.id)",
                (now, client_id, colleague, family),
            )

    def find_refresh_token(self, token: str) -> Grant | None:
        """What a live refresh token stands for; one that was used before ends its family (RFC 9700, section 4.14.2)."""
        with self._database.transaction() as db:
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
        with self._database.transaction() as db:
            first = db.execute(
                "UPDATE refresh_tokens SET used_at = ? WHERE digest = ? AND used_at IS NULL",
                (time.time(), digest(token)),
            ).rowcount
            if first != 1:
                self._revoke_family(db, family)
        return bool(first == 1)

    def revoke(self, token: str, client_id: str) -> None:
        """End a token: a refresh token with its whole family, an access token alone (RFC 7009, section 2.1)."""
        with self._database.transaction() as db:
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
        """Whom an access token speaks for, if it is alive (RFC 6750, section 3.1)."""
        row = self._database.row(
            "SELECT f.person, a.scope, f.id, f.client_id FROM access_tokens a JOIN families f ON f.id = a.family"
            " WHERE a.digest = ? AND a.expires > ? AND a.revoked_at IS NULL AND f.revoked_at IS NULL",
            *(digest(token), time.time()),
        )
        return None if row is None else Bearer(row[0], frozenset(row[1].split()), *row[2:])

    def expire_access_tokens(self) -> None:
        """Every access token is past its life from now on; refresh tokens live on."""
        self._database.write("UPDATE access_tokens SET expires = ?", time.time() - 1)

    def revoke_all(self) -> None:
        """Every token is dead from now on."""
        self._database.write("UPDATE families SET revoked_at = ? WHERE revoked_at IS NULL", time.time())
