"""Tokens in the operating system's keyring; and what is kept of all accounts, wherever their tokens are.

What is no secret lies in the account's file, as `FileStore` writes it, with `tokens` null. The tokens lie in the
keyring under the service `lexoffice_nb/accounts` and the account's key, with what they are bound to: a file that
somebody changed never sends them elsewhere.

The keyring is written first and the file then. Whatever ends the program in between, the newer refresh token is kept:
of the same sign-in, the higher generation is the true one.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lexoffice_nb.errors import StoreError, shielded
from lexoffice_nb.oauth import private_file, system_keyring
from lexoffice_nb.oauth.token_store import (
    Account,
    AccountName,
    FileStore,
    accounts_folder,
    described,
    description_of,
    entry_at,
    moment_text,
    place_of,
    plain,
    time_of,
    tokens_of,
    whole,
)
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from lexoffice_nb.oauth.token_store import Adoption, Binding, Kept, StoreName

SERVICE = "lexoffice_nb/accounts"
_OURS = re.compile(r"\.?([0-9a-f]{32})\.(?:json(?:\.[0-9a-f]{16})?|(?:renew|change)\.lock)|\.trial\.[0-9a-f]{16}")


class KeyringStore(FileStore):
    """Keeps the tokens in the keyring, and the rest in the file."""

    kind: StoreName = "keyring"

    def _complete(self, entry: Mapping[str, Any]) -> Kept:
        secret = system_keyring.find(SERVICE, self.name.key)
        if secret is None:
            raise StoreError("keyring_missing", path=self.path)
        kept = description_of(entry, self.name, self.path)
        whole_one = None
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            inner = json.loads(secret.reveal())
            generation = whole(inner["generation"])
            if inner["family"] == kept.family and inner["binding"] == asdict(kept.binding):
                tokens = tokens_of(inner["tokens"])
                if generation == kept.generation:
                    whole_one = replace(kept, tokens=tokens)
                elif generation > kept.generation:  # the file was not written any more
                    whole_one = replace(
                        kept,
                        tokens=tokens,
                        generation=generation,
                        stale_at=time_of(inner["stale_at"]),
                        renewing_since=None,
                    )
        if whole_one is None:
            raise StoreError("store_damaged", path=self.path)
        return whole_one

    @shielded
    def save(self, kept: Kept) -> None:
        """Replaces the tokens in the keyring, then the file.

        Where the file cannot be written, a renewal's tokens stay in the keyring, since the old ones are used up; those
        of a new sign-in are taken out again.
        """
        entry = self._entry_there()
        same = entry is not None and entry.get("family") == kept.family and place_of(entry) == self.kind
        before = None if same else system_keyring.find(SERVICE, self.name.key)
        system_keyring.keep(SERVICE, self.name.key, _secret_part(kept))
        problem = None
        try:
            self._write(described(kept) | {"tokens": None})
        except StoreError as error:
            problem = error
        if problem is None:
            return
        if not same:
            with contextlib.suppress(StoreError):
                if before is None:
                    system_keyring.forget(SERVICE, self.name.key)
                else:
                    system_keyring.keep(SERVICE, self.name.key, before)
        raise problem

    @shielded
    def delete(self) -> None:
        """Removes the tokens from the keyring, then the file; harmless where there is nothing."""
        system_keyring.forget(SERVICE, self.name.key)
        self._remove()

    def place(self) -> str:
        """Says in words where the secret lies, with the keyring's name."""
        return text("store.keyring", title=system_keyring.safe_title() or "–")


def forget_tokens(name: AccountName) -> None:
    """Removes an account's tokens from the keyring; harmless where there are none.

    Raises:
        StoreError: if the keyring cannot be used.
    """
    system_keyring.forget(SERVICE, name.key)


def _secret_part(kept: Kept) -> Secret:
    part = {
        "family": kept.family,
        "generation": kept.generation,
        "binding": asdict(kept.binding),
        "stale_at": moment_text(kept.stale_at),
        "tokens": plain(kept.tokens),
    }
    return Secret(json.dumps(part))


@dataclass(frozen=True)
class Listed:
    """An account that is kept, without its tokens.

    Attributes:
        path: its file.
        problem: why it cannot be used, or None; then the rest says nothing.
        name: what the person calls it.
        binding: what its tokens belong to.
        kind: oauth, or key for an API key.
        store: where the tokens lie: file or keyring.
        who: whose account it is.
        remembered_until: until when another notebook may use it without a click.
        adoptions: where it was used without a click, the newest last.
    """

    path: Path
    problem: StoreError | None = None
    name: AccountName | None = None
    binding: Binding | None = None
    kind: str = ""
    store: StoreName = "file"
    who: Account = field(default_factory=Account)
    remembered_until: datetime | None = None
    adoptions: tuple[Adoption, ...] = ()

    def place(self) -> str:
        """Says in words where the secret lies."""
        if self.store == "keyring":
            return text("store.keyring", title=system_keyring.safe_title() or "–")
        return text("store.file", path=self.path)


@shielded
def all_kept(folder: Path | None = None) -> list[Listed]:
    """Lists what is kept of every account, the damaged ones too. No keyring is asked.

    Raises:
        StoreError: if the folder itself cannot be used.
    """
    return [_listed(path) for path, _ in _ours(folder or accounts_folder()) if path.suffix == ".json"]


def _listed(path: Path) -> Listed:
    try:
        entry = entry_at(path)
        if entry is None:
            return Listed(path, StoreError("store_damaged", path=path))  # removed meanwhile
        name = _name_in(entry, path)
        place = place_of(entry)
        kept = description_of(entry, name, path)
    except StoreError as error:
        return Listed(path, StoreError(error.code, **error.values))
    return Listed(path, None, name, kept.binding, kept.kind, place, kept.who, kept.remembered_until, kept.adoptions)


def _name_in(entry: Mapping[str, Any], path: Path) -> AccountName:
    match entry.get("name"):
        case {"provider": str(provider), "profile": str(profile)}:
            name = AccountName(provider, profile)
            if path.name == f"{name.key}.json":
                return name
    raise StoreError("store_damaged", path=path)


def _ours(folder: Path) -> Iterator[tuple[Path, str]]:
    """Gives what lies in the folder and goes by a name of ours, with the account's key, in the order of the names."""
    reason, code = "", "store_unreadable"
    names: list[Path] = []
    try:
        private_file.check_folder(folder)
        names = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except private_file.NotPrivateError as error:
        code = f"store_{error.reason}"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    else:
        for path in names:
            if found := _OURS.fullmatch(path.name):
                yield path, found[1] or ""
        return
    raise StoreError(code, path=folder, reason=reason)


@shielded
def forget_everything(folder: Path | None = None) -> list[StoreError]:
    """Removes every account from this machine: tokens in the keyring, files, and locks. Nothing is revoked.

    Returns:
        What could not be removed, each with the reason. What is in a locked keyring can be removed later, so the
        description of such an account stays.

    Raises:
        StoreError: if the folder itself cannot be used.
    """
    folder = folder or accounts_folder()
    ours = list(_ours(folder))
    files = {key: path for path, key in ours if path.suffix == ".json"}
    in_keyring = {key for key, path in files.items() if _is_in_keyring(path)}
    failures: list[StoreError] = []
    kept_back: set[str] = set()
    try:
        system_keyring.forget_all(SERVICE, files)  # a damaged file may have been one of the keyring's
    except StoreError as error:
        # Without a keyring there is nothing in it; unless a file says so.
        if in_keyring or error.code != "keyring_none":
            failures.append(StoreError(error.code, **error.values))
        kept_back = in_keyring
    for path, key in ours:
        if key in kept_back and path.suffix == ".json":
            continue
        reason = ""
        try:
            private_file.remove(path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            failures.append(StoreError("store_unwritable", path=path, reason=reason))
    return failures


def _is_in_keyring(path: Path) -> bool:
    try:
        entry = entry_at(path)
    except StoreError:
        return False
    return entry is not None and place_of(entry) == "keyring"
