"""Where the tokens of an account are kept: in memory, in files of mode 0600, or in the operating system's keyring.

A store keeps one `Kept` for each account, replaced as one step. What it is bound to (issuer, client, the origins of the
token endpoint and the API) is kept with it, so that tokens never follow a configuration that somebody changed.

Two locks for each account, over threads and processes: `renewing()` is held while the provider is asked, `changing()`
for the moment in which what is kept is compared and replaced. A log-out needs only the second and waits for nobody.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import threading
import unicodedata
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from lexoffice_nb.errors import StoreError, shielded
from lexoffice_nb.oauth import private_file
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lexoffice_nb.oauth.provider import Provider

FORMAT = 1
ENTRY_LIMIT = 256 * 1024
REMEMBERED = timedelta(days=30)
LOCK_SECONDS = 60.0  # no wait is longer, whatever is in a file
MOST_ADOPTIONS = 20
DEFAULT_PROFILE = "default"
StoreName = Literal["memory", "file", "keyring"]
_NO_TOKENS = TokenSet(Secret("none"))
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROFILE = re.compile(r"[^\W_](?:[\w .@+-]{0,62}[\w.@+-])?")


@dataclass(frozen=True)
class AccountName:
    """What a person calls an account: a profile at a provider."""

    provider: str
    profile: str = DEFAULT_PROFILE

    @classmethod
    def of(cls, provider: Provider, profile: str = DEFAULT_PROFILE) -> AccountName:
        """Gives the name of an account: of a provider that has no name but its host, by the whole issuer."""
        issuer = provider.issuer or ""
        return cls(issuer if issuer and provider.name == Origin.of(issuer).host else provider.name, profile)

    @property
    def key(self) -> str:
        """A name for files: hashed, so that no name can be a path."""
        return hashlib.sha256(f"{self.provider}\0{self.profile}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_profile(name: str) -> str:
    """Gives a profile's name back if it is one: letters of any language, digits, `- _ . @ +` and blanks; at most 64.

    Raises:
        StoreError: `profile_name`.
    """
    name = unicodedata.normalize("NFC", name)  # two ways to type ü are one name
    if not _PROFILE.fullmatch(name):
        raise StoreError("profile_name")
    return name


@dataclass(frozen=True)
class Binding:
    """What tokens belong to. Where any of these differs, they are another sign-in's, and none of them is sent."""

    issuer: str
    client_id: str
    token_origin: str
    api_origin: str
    revocation_origin: str = ""
    userinfo_origin: str = ""

    @classmethod
    def of(cls, provider: Provider, client_id: str) -> Binding:
        """Gives what the tokens of a client at a provider are bound to."""
        return cls(
            provider.issuer or "",
            client_id,
            str(Origin.of(provider.token_endpoint)),
            str(Origin.of(provider.api_base)),
            *(str(Origin.of(url)) if url else "" for url in (provider.revocation_endpoint, provider.userinfo_endpoint)),
        )


_BINDING = ("issuer", "client_id", "token_origin", "api_origin", "revocation_origin", "userinfo_origin")
_NAMES = ("organisation", "subject", "company", "person", "email")


@dataclass(frozen=True)
class Account:
    """Whose account it is, as far as the provider says. Text from outside, made harmless."""

    company: str = ""
    person: str = ""
    email: str = ""
    organisation: str = ""  # the organisation's id, where the API gives one
    subject: str = ""  # who signed in, as the provider numbers people

    def is_another(self, before: Account) -> bool:
        """Whether it is somebody else's, as far as both are known; a company's name may change, its id does not."""
        names = ("organisation", "subject", "email") if self.organisation and before.organisation else _NAMES
        pairs = [(getattr(self, name), getattr(before, name)) for name in names]
        known = [(mine, theirs) for mine, theirs in pairs if mine and theirs]
        # Where nothing can be compared, nobody knows who it is: then the person has to say.
        return any(mine != theirs for mine, theirs in known) or (not known and before != Account())


@dataclass(frozen=True)
class Adoption:
    """A sign-in without a click: when, and for which notebook."""

    at: datetime
    where: str


@dataclass(frozen=True)
class Kept:
    """All that is kept of one account.

    Attributes:
        name: what the person calls it.
        binding: what the tokens belong to.
        kind: oauth, or key for an API key.
        tokens: the tokens.
        family: a random name of the sign-in that they come from, the same after each renewal.
        asked: the scopes that were asked for.
        stale_at: from when on the access token is renewed in the background, or None where its life is unknown.
        generation: grows with every renewal; a late answer never replaces a newer one.
        renewing_since: when a renewal was begun whose answer has not come, or None.
        remembered_until: until when another notebook may use it without a click.
        who: whose account it is.
        adoptions: where it was used without a click, the newest last.
    """

    name: AccountName
    binding: Binding
    kind: str
    tokens: TokenSet
    family: str = ""
    asked: tuple[str, ...] = ()
    stale_at: datetime | None = None
    generation: int = 1
    renewing_since: datetime | None = None
    remembered_until: datetime | None = None
    who: Account = field(default_factory=Account)
    adoptions: tuple[Adoption, ...] = ()

    def adopted_by(self, where: str) -> Kept:
        """Gives it with one more use without a click."""
        others = tuple(one for one in self.adoptions if one.where != where)  # one that comes again pushes none off
        return replace(self, adoptions=(*others, Adoption(datetime.now(UTC), where))[-MOST_ADOPTIONS:])

    @property
    def forgotten(self) -> bool:
        """Whether the time is over for which the person wanted it remembered."""
        return self.remembered_until is not None and self.remembered_until <= datetime.now(UTC)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("What is kept of an account cannot be pickled or copied: it holds tokens.")


class TokenStore(Protocol):
    """Where one account's tokens are kept."""

    kind: StoreName

    def load(self) -> Kept | None:
        """Gives what is kept, or None.

        Raises:
            StoreError: if it is there and cannot be used.
        """

    def save(self, kept: Kept) -> None:
        """Replaces what is kept.

        Raises:
            StoreError: if it cannot be written; what was there is as it was.
        """

    def delete(self) -> None:
        """Forgets it; harmless where there is nothing.

        Raises:
            StoreError: if it cannot be removed.
        """

    def stamp(self) -> object:
        """Gives something that differs whenever somebody has changed what is kept; cheap."""

    def renewing(self, *, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
        """Holds the right to ask the provider; gives False where another one holds it, without `wait`."""

    def changing(self) -> contextlib.AbstractContextManager[None]:
        """Holds the right to compare and replace what is kept."""

    def place(self) -> str:
        """Says in words where the secret lies."""


class MemoryStore:
    """Keeps it in this process, and for this process: a child that was forked off must not use up the tokens."""

    kind: StoreName = "memory"

    def __init__(self) -> None:
        self._kept: Kept | None = None
        self._version = 0
        self._renewing = threading.RLock()
        self._changing = threading.RLock()
        self.process = os.getpid()

    def load(self) -> Kept | None:
        """Gives what is kept, or None."""
        return self._kept

    def save(self, kept: Kept) -> None:
        """Replaces what is kept."""
        self._kept = kept
        self._version += 1

    def delete(self) -> None:
        """Forgets it."""
        self._kept = None
        self._version += 1

    def stamp(self) -> object:
        """Gives the number of the last change."""
        return self._version

    @contextlib.contextmanager
    def renewing(self, *, wait: bool = True) -> Iterator[bool]:
        """Holds the right to ask the provider."""
        held = self._renewing.acquire(blocking=wait)
        try:
            yield held
        finally:
            if held:
                self._renewing.release()

    def changing(self) -> contextlib.AbstractContextManager[Any]:
        """Holds the right to compare and replace."""
        return self._changing

    def place(self) -> str:
        """Says in words where the secret lies."""
        return text("store.memory")

    def after_fork(self) -> None:
        """Makes locks that another thread may have held at the fork usable in the child."""
        self._renewing, self._changing = threading.RLock(), threading.RLock()


def accounts_folder() -> Path:
    """Gives the folder of the accounts, there or not."""
    from platformdirs import user_data_path

    return Path(user_data_path("lexoffice_nb"), "accounts")


class FileStore:
    """Keeps it in a file of mode 0600, in a folder of mode 0700 below the platform's data directory."""

    kind: StoreName = "file"

    def __init__(self, name: AccountName, folder: Path | None = None) -> None:
        self.name = name
        self.folder = folder or accounts_folder()
        self.path = self.folder / f"{name.key}.json"

    @shielded
    def load(self) -> Kept | None:
        """Gives what is kept, or None; owner and mode are checked first."""
        entry = entry_at(self.path)
        return None if entry is None or place_of(entry) != self.kind else self._complete(entry)

    def _complete(self, entry: Mapping[str, Any]) -> Kept:
        return kept_of(entry, entry.get("tokens"), self.name, self.path)

    @shielded
    def kept_in(self) -> StoreName:
        """Tells which kind of store has written the file: file or keyring.

        Raises:
            StoreError: if it cannot be read.
        """
        entry = entry_at(self.path)
        return "file" if entry is None else place_of(entry)

    @shielded
    def kept_who(self) -> Account | None:
        """Tells whose account is kept, or None where there is none; no keyring is asked.

        Raises:
            StoreError: if it cannot be read.
        """
        entry = entry_at(self.path)
        return None if entry is None else description_of(entry, self.name, self.path).who

    @shielded
    def save(self, kept: Kept) -> None:
        """Replaces the file as one step, and has it written to the disk before it returns.

        Damaged content is replaced. What is not this user's alone, or of a newer version, is left as it is.
        """
        entry = self._entry_there()
        self._write(described(kept) | {"tokens": plain(kept.tokens)})
        if entry is not None and place_of(entry) == "keyring":
            from lexoffice_nb.oauth import keyring_store  # that one builds on this module

            with contextlib.suppress(StoreError):
                keyring_store.forget_tokens(self.name)

    def _entry_there(self) -> Mapping[str, Any] | None:
        """Gives what lies where the file will, unless it is damaged."""
        self._make_folder()
        try:
            return entry_at(self.path)
        except StoreError as error:
            if error.code != "store_damaged":
                raise
        return None

    def _write(self, entry: Mapping[str, Any]) -> None:
        content = json.dumps(entry).encode("ascii")
        if len(content) > ENTRY_LIMIT:
            raise StoreError("store_too_large", path=self.path)
        reason, code = "", "store_unwritable"
        try:
            private_file.write(self.path, content)
        except private_file.NotPrivateError as error:
            code = "store_no_modes" if error.reason == "mode" else f"store_{error.reason}"
        except OSError as error:
            reason = error.strerror or type(error).__name__
            code = "store_full" if error.errno in _FULL else code
        else:
            return
        raise StoreError(code, path=self.folder, reason=reason)

    @shielded
    def delete(self) -> None:
        """Removes the file; harmless where there is none, or that of another kind of store."""
        self._remove()

    def _remove(self) -> None:
        """Removes the file, unless the other kind of store has replaced it: the account was moved there."""
        reason, code = "", "store_unwritable"
        entry = None
        with contextlib.suppress(StoreError):  # what cannot be read is nobody's
            entry = entry_at(self.path)
        try:
            private_file.check_folder(self.folder)
            if entry is None or place_of(entry) == self.kind:
                private_file.remove(self.path)
            else:
                private_file.remove_asides(self.path, older_than=None)
        except FileNotFoundError:
            return
        except private_file.NotPrivateError as error:
            code = f"store_{error.reason}"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            return
        raise StoreError(code, path=self.path, reason=reason)

    def stamp(self) -> object:
        """Gives what the file system says of the file; see `private_file.write` why that differs after each change."""
        try:
            state = self.path.lstat()
        except OSError:
            return None
        return state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_mode, state.st_uid

    @contextlib.contextmanager
    def renewing(self, *, wait: bool = True) -> Iterator[bool]:
        """Holds the right to ask the provider, over all processes of this machine."""
        with self._lock("renew", LOCK_SECONDS if wait else 0.0) as held:
            if wait and not held:
                raise StoreError("store_busy", path=self.folder)
            yield held

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Holds the right to compare and replace, over all processes of this machine."""
        with self._lock("change", LOCK_SECONDS) as held:
            if not held:
                raise StoreError("store_busy", path=self.folder)
            yield

    @contextlib.contextmanager
    def _lock(self, what: str, seconds: float) -> Iterator[bool]:
        import filelock

        self._make_folder()
        path = self.folder / f"{self.name.key}.{what}.lock"
        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        reason, code = "", ""
        held = False
        try:
            private_file.prepare_lock(path)
            lock.acquire(timeout=seconds, poll_interval=0.02)
            held = True
        except filelock.Timeout:
            pass
        except private_file.NotPrivateError as error:
            code = self._code_of(error)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            code = "store_full" if error.errno in _FULL else "store_unwritable"
        if code:
            raise StoreError(code, path=path, reason=reason)
        try:
            yield held
        finally:
            if held:
                lock.release()

    def _make_folder(self) -> None:
        reason, code = "", "store_unwritable"
        try:
            private_file.make_folder(self.folder)
        except private_file.NotPrivateError as error:
            code = self._code_of(error)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            code = "store_full" if error.errno in _FULL else code
        else:
            return
        raise StoreError(code, path=self.folder, reason=reason)

    def _code_of(self, error: private_file.NotPrivateError) -> str:
        """Tells modes that somebody has changed from a file system that has none: there chmod is no help."""
        with contextlib.suppress(OSError):
            if error.reason == "mode" and not private_file.keeps_modes(self.folder):
                return "store_no_modes"
        return f"store_{error.reason}"

    def place(self) -> str:
        """Says in words where the secret lies."""
        return text("store.file", path=self.path)


def open_store(kind: StoreName, name: AccountName) -> TokenStore:
    """Gives the store of an account.

    Args:
        kind: memory, file or keyring.
        name: whose; its profile is checked.

    Raises:
        StoreError: `profile_name`.
    """
    check_profile(name.profile)
    if kind == "keyring":
        from lexoffice_nb.oauth.keyring_store import KeyringStore  # that one builds on this module

        return KeyringStore(name)
    return FileStore(name) if kind == "file" else MemoryStore()


# --- what is written ---


def plain(tokens: TokenSet) -> dict[str, Any]:
    """Gives tokens as they are written. Whoever calls this takes care where they go."""
    return {
        "access_token": tokens.access_token.reveal(),
        "expires_at": moment_text(tokens.expires_at),
        "scope": list(tokens.scope),
        "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else None,
        "id_token": tokens.id_token.reveal() if tokens.id_token else None,
        "claims": dict(tokens.claims),
    }


def described(kept: Kept) -> dict[str, Any]:
    """Gives what is no secret as it is written."""
    return {
        "format": FORMAT,
        "name": asdict(kept.name),
        "binding": asdict(kept.binding),
        "kind": kept.kind,
        "family": kept.family,
        "asked": list(kept.asked),
        "stale_at": moment_text(kept.stale_at),
        "generation": kept.generation,
        "renewing_since": moment_text(kept.renewing_since),
        "remembered_until": moment_text(kept.remembered_until),
        "who": asdict(kept.who),
        "adoptions": [{"at": moment_text(one.at), "where": one.where} for one in kept.adoptions],
    }


def moment_text(moment: datetime | None) -> str | None:
    """Gives a moment as it is written."""
    return moment.astimezone(UTC).isoformat() if moment else None


# --- what is read ---


def entry_at(path: Path) -> Mapping[str, Any] | None:
    """Reads a file of an account, after owner and mode of it and its folder were checked; None where there is none.

    Raises:
        StoreError: if it is there and cannot be used.
    """
    reason, code, where = "", "store_unreadable", path.parent
    try:
        private_file.check_folder(path.parent)
        where = path
        return _entry_of(private_file.read(path, ENTRY_LIMIT), path)
    except FileNotFoundError:
        return None
    except private_file.NotPrivateError as error:
        code = f"store_{error.reason}"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise StoreError(code, path=where, reason=reason)


def place_of(entry: Mapping[str, Any]) -> StoreName:
    """Tells which kind of store has written a file: that of the keyring leaves the tokens out."""
    return "keyring" if "tokens" in entry and entry["tokens"] is None else "file"


def _entry_of(content: bytes, path: Path) -> Mapping[str, Any]:
    entry: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        entry = json.loads(content.decode("utf-8"))
    if not isinstance(entry, dict) or type(entry.get("format")) is not int or entry["format"] < 1:
        raise StoreError("store_damaged", path=path)
    if entry["format"] > FORMAT:
        raise StoreError("store_newer", path=path)
    return entry


def kept_of(entry: Mapping[str, Any], tokens: Any, name: AccountName, path: Path) -> Kept:
    """Makes what was read into what is kept; members that are unknown are passed over.

    Raises:
        StoreError: `store_damaged`.
    """
    kept = None
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
        kept = Kept(
            name=AccountName(*_texts(entry["name"], "provider", "profile")),
            binding=Binding(*_texts(entry["binding"], *_BINDING)),
            kind=_text(entry["kind"]),
            tokens=tokens_of(tokens),
            family=_text(entry["family"]),
            asked=_names(entry["asked"]),
            stale_at=time_of(entry["stale_at"]),
            generation=whole(entry["generation"]),
            renewing_since=time_of(entry["renewing_since"]),
            remembered_until=time_of(entry["remembered_until"]),
            who=Account(*_texts(entry["who"], "company", "person", "email", "organisation", "subject")),
            adoptions=tuple(Adoption(_needed(time_of(one["at"])), _text(one["where"])) for one in entry["adoptions"]),
        )
    if kept is None or kept.name != name:  # a file that was copied from another account's
        raise StoreError("store_damaged", path=path)
    return kept


def description_of(entry: Mapping[str, Any], name: AccountName, path: Path) -> Kept:
    """Makes what was read into what is kept, with no token in it.

    Raises:
        StoreError: `store_damaged`.
    """
    if place_of(entry) == "file":
        return replace(kept_of(entry, entry.get("tokens"), name, path), tokens=_NO_TOKENS)
    return kept_of(entry, plain(_NO_TOKENS), name, path)


def tokens_of(entry: Any) -> TokenSet:
    """Makes what was read into tokens.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: if it is damaged.
    """
    refresh_token, id_token = entry["refresh_token"], entry["id_token"]
    claims = entry["claims"]
    if not isinstance(claims, dict):
        raise TypeError("claims")
    return TokenSet(
        access_token=Secret(_token(entry["access_token"])),
        expires_at=time_of(entry["expires_at"]),
        scope=_names(entry["scope"]),
        refresh_token=None if refresh_token is None else Secret(_token(refresh_token)),
        id_token=None if id_token is None else Secret(_token(id_token)),
        claims=MappingProxyType(claims),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _token(value: Any) -> str:
    token = _text(value)
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("no token")
    return token


def _texts(entry: Any, *members: str) -> list[str]:
    return [_text(entry[member]) for member in members]


def _names(entry: Any) -> tuple[str, ...]:
    if not isinstance(entry, list):
        raise TypeError("no list")
    return tuple(_text(name) for name in entry)


def whole(value: Any) -> int:
    """Gives a whole number back.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("no number")
    return value


def time_of(value: Any) -> datetime | None:
    """Gives the moment that was written, in UTC.

    Raises:
        TypeError, ValueError, OverflowError: if it is none.
    """
    if value is None:
        return None
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


def _needed(moment: datetime | None) -> datetime:
    if moment is None:
        raise ValueError("no time")
    return moment
