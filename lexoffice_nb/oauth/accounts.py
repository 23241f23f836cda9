"""The accounts that are kept on this machine: which there are, and the store of each."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from lexoffice_nb.oauth.keyring_store import KeyringStore
from lexoffice_nb.oauth.token_store import AccountName, FileStore, MemoryStore
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from lexoffice_nb.oauth.token_store import Account, StoreName, TokenStore


def open_store(kind: StoreName, name: AccountName) -> TokenStore:
    """Gives the store of a kind for an account; nothing is opened yet."""
    if kind == "keyring":
        return KeyringStore(name)
    return FileStore(name) if kind == "file" else MemoryStore()


def where_this_runs() -> str:
    """Names the notebook or the program that runs, for the list of uses without a click: a name, not a path."""
    notebook = os.environ.get("JPY_SESSION_NAME") or sys.argv[0] or "Python"
    return from_server(PurePath(notebook).name, 80)


def is_kept(name: AccountName) -> bool:
    """Whether something is kept under a name; it is not read."""
    return os.path.lexists(FileStore(name).path)


def kept_account(name: AccountName) -> Account | None:
    """Gives whose account is kept under a name, or None; no secret is read.

    Raises:
        StoreError: if what is kept cannot be read.
    """
    return FileStore(name).kept_who() if is_kept(name) else None


def store_of(name: AccountName) -> TokenStore | None:
    """Gives the store that keeps an account, or None where nothing is kept under that name.

    Raises:
        StoreError: if what is kept cannot be read.
    """
    return open_store(FileStore(name).kept_in(), name) if is_kept(name) else None
