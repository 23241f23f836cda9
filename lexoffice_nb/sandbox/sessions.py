"""Signed-in browsers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.database import SESSION_LIFE, digest, new_secret

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.database import Database


@dataclass(frozen=True)
class BrowserSession:
    """A signed-in browser."""

    person: str
    auth_time: float


class Sessions:
    """The signed-in browsers of one sandbox, each known by the digest of its cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, person: str) -> str:
        """Sign a browser in; returns the value of its cookie."""
        cookie = new_secret()
        self._database.write("INSERT INTO sessions VALUES (?, ?, ?)", digest(cookie), person, time.time())
        return cookie

    def get(self, cookie: str) -> BrowserSession | None:
        """Who is signed in with this cookie."""
        row = self._database.row(
            "SELECT person, auth_time FROM sessions WHERE digest = ? AND auth_time > ?",
            *(digest(cookie), time.time() - SESSION_LIFE),
        )
        return None if row is None else BrowserSession(*row)

    def end(self, cookie: str) -> None:
        """Sign a browser out."""
        self._database.write("DELETE FROM sessions WHERE digest = ?", digest(cookie))
