"""The operating system's keyring: where a person may keep a client secret, and this package the tokens.

    keyring set lexoffice_nb/lexware CLIENT_ID

keyring's own command line stores it: the service is `lexoffice_nb/` and the provider's name, the user name is the
client id. `keyring` is an extra (`pip install lexoffice_nb[keyring]`) and is imported where it is first needed.

Reading never unlocks a keyring and never waits longer than `LIMIT_SECONDS`. Where there is no keyring, or a broken one,
there is no client secret in it: that is no error.

What the package keeps itself (`find`, `keep`, `forget`) must be kept for certain, from any thread and without a window,
so there every one of these is an error, and a keyring that cannot promise it (KWallet) is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import queue
import re
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from lexoffice_nb.errors import StoreError, shielded
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

LIMIT_SECONDS = 5.0
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")  # RFC 6749 appendix A.1
_CHAINER = "keyring.backends.chainer.ChainerBackend"


class _Kind(NamedTuple):
    """What is known of one kind of keyring.

    Attributes:
        title: the key of its name in words.
        read: how one secret is read from it.
        may_prompt: whether reading may open a window, since no call tells beforehand whether it is locked.
        open: how it is opened to keep secrets in it without ever opening a window; None where that cannot be had.
        longest: the most characters of one secret in it; None where there is no such limit.
    """

    title: str
    read: Callable[[Any, str, str], Secret | None]
    may_prompt: bool
    open: Callable[[Any, str], contextlib.AbstractContextManager[_Vault]] | None
    longest: int | None = None


class _Vault(Protocol):
    """The secrets of one service in an open keyring."""

    def get(self, user: str) -> str | None: ...
    def put(self, user: str, value: str) -> None: ...
    def remove(self, user: str) -> None: ...
    def users(self) -> list[str]:
        """Gives the users that have one, where the keyring can tell."""


@shielded
def client_secret(provider_name: str, client_id: str) -> Secret | None:
    """Gives the client secret that the person stored for this client.

    KWallet and the macOS Keychain may open a window, so they are read only when the main thread asks; another thread
    gets None. The keyrings behind the Secret Service and the Windows Credential Locker are read in any thread.

    Args:
        provider_name: the provider's short name, such as `lexware`.
        client_id: the client id, printable ASCII.

    Returns:
        The secret; None where none is stored, there is no keyring of the operating system, it is broken or does not
        answer in time, or the names are none that a secret could be stored under.

    Raises:
        StoreError: `keyring_locked`. What is in a locked keyring cannot be known.
    """
    if not (_PROVIDER_NAME.fullmatch(provider_name) and _CLIENT_ID.fullmatch(client_id)):
        return None
    service = f"lexoffice_nb/{provider_name}"
    may_prompt = threading.current_thread() is threading.main_thread()

    def read() -> Secret | None:
        for keyring, kind in _named_keyrings():
            if (may_prompt or not kind.may_prompt) and (found := kind.read(keyring, service, client_id)):
                return found
        return None

    return _in_time(read)


def backend_title() -> str | None:
    """Names the keyring of the operating system that is in use, in the person's language; None where there is none."""

    def title() -> str | None:
        return next((kind.title for _, kind in _named_keyrings()), None)

    found = _in_time(title)
    return text(found) if found else None


@shielded
def find(service: str, user: str) -> Secret | None:
    """Gives a secret that `keep` has kept, or None.

    Raises:
        StoreError: `keyring_locked`, `keyring_none` where there is no keyring that could have it, or `keyring_broken`.
    """
    return _with_vault(service, lambda vault, _: _whole(vault, user))


@shielded
def keep(service: str, user: str, secret: Secret) -> None:
    """Keeps a secret; replaces the one before as one step, where the keyring can do that.

    What is too long for the keyring is kept in numbered parts, `user/a/0`, `user/a/1` and so on, or with b: those that
    are not in use are written first, and the item of the user itself, which says which ones are, comes last.

    Raises:
        StoreError: as `find`.
    """

    def put(vault: _Vault, longest: int | None) -> None:
        value = secret.reveal()
        before = _parts_in(vault.get(user))
        if longest is None or len(value) <= longest:
            vault.put(user, value)
            free = None
        else:
            free = "b" if before is not None and before[0] == "a" else "a"
            parts = [value[at : at + longest] for at in range(0, len(value), longest)]
            for number, part in enumerate(parts):
                vault.put(f"{user}/{free}/{number}", part)
            vault.put(user, f"{_IN_PARTS}{free}:{len(parts)}:{_digest(value)}")
        for letter in {"a", "b"} - {free}:
            _remove_parts(vault, user, letter)

    _with_vault(service, put)


@shielded
def forget(service: str, user: str) -> None:
    """Removes a secret and all its parts; harmless where there is none.

    Raises:
        StoreError: as `find`.
    """
    _with_vault(service, lambda vault, _: _remove(vault, user))


@shielded
def forget_all(service: str, users: Iterable[str]) -> None:
    """Removes the secrets of these users, and of all others of the service where the keyring can tell them.

    Raises:
        StoreError: as `find`.
    """
    named = tuple(users)

    def remove(vault: _Vault, _: int | None) -> None:
        for user in named:
            _remove(vault, user)
        for user in vault.users():
            vault.remove(user)

    _with_vault(service, remove)


def safe_title() -> str | None:
    """Names the keyring in which secrets can be kept, in the person's language; None where there is none."""

    def title() -> str | None:
        return next((kind.title for _, kind in _named_keyrings() if kind.open), None)

    found = _in_time(title)
    return text(found) if found else None


def _with_vault(service: str, act: Callable[[_Vault, int | None], T]) -> T:
    def ask() -> tuple[T]:
        for keyring, kind in _named_keyrings():
            if kind.open is not None:
                with kind.open(keyring, service) as vault:
                    return (act(vault, kind.longest),)
        raise StoreError("keyring_none")

    answer = _in_time(ask)
    if answer is None:
        raise StoreError("keyring_none" if safe_title() is None else "keyring_broken")
    return answer[0]


_IN_PARTS = "parts:"


def _parts_in(value: str | None) -> tuple[str, int, str] | None:
    found = _PARTS.fullmatch(value or "")
    return (found[1], int(found[2]), found[3]) if found else None


_PARTS = re.compile(_IN_PARTS + r"([ab]):([0-9]{1,4}):([0-9a-f]{64})")


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _whole(vault: _Vault, user: str) -> Secret | None:
    value = vault.get(user)
    if (parts := _parts_in(value)) is None:
        return _secret(value)
    letter, count, digest = parts
    value = "".join(vault.get(f"{user}/{letter}/{number}") or "" for number in range(count))
    if _digest(value) != digest:
        raise StoreError("keyring_broken")
    return Secret(value)


def _remove(vault: _Vault, user: str) -> None:
    vault.remove(user)
    for letter in ("a", "b"):
        _remove_parts(vault, user, letter)


def _remove_parts(vault: _Vault, user: str, letter: str) -> None:
    """Removes the last one first: whenever it is cut short, the rest is found again."""
    count = 0
    while vault.get(f"{user}/{letter}/{count}") is not None:
        count += 1
    for number in reversed(range(count)):
        vault.remove(f"{user}/{letter}/{number}")


class _SecretServiceVault:
    """Over D-Bus, in an unlocked collection. Attributes and labels can be read by anybody: no secret is in them."""

    def __init__(self, collection: Any, names: dict[str, str], service: str) -> None:
        self._collection, self._names, self._service = collection, names, service

    def _items(self, user: str | None = None) -> Iterator[Any]:
        wanted = {self._names["service"]: self._service}
        if user is not None:
            wanted[self._names["username"]] = user
        for item in self._collection.search_items(wanted):
            if item.is_locked():  # KeePassXC locks single items
                raise StoreError("keyring_locked")
            yield item

    def get(self, user: str) -> str | None:
        return next((item.get_secret().decode() for item in self._items(user)), None)

    def put(self, user: str, value: str) -> None:
        if self._collection.is_locked():
            raise StoreError("keyring_locked")
        attributes = {self._names["service"]: self._service, self._names["username"]: user}
        attributes["application"] = "lexoffice_nb"
        former = list(self._items(user))
        label = f"lexoffice_nb {user[:8]}"
        made = self._collection.create_item(label, attributes, value.encode(), replace=True)
        for item in former:  # whatever the keyring did not take for the same
            if item.item_path != made.item_path:
                item.delete()

    def remove(self, user: str) -> None:
        for item in list(self._items(user)):
            item.delete()

    def users(self) -> list[str]:
        return [item.get_attributes().get(self._names["username"], "") for item in self._items()]


@contextlib.contextmanager
def _open_secret_service(keyring: Any, service: str) -> Iterator[_Vault]:
    secretstorage = importlib.import_module("secretstorage")
    names = keyring.schemes[keyring.scheme]
    preferred = getattr(keyring, "preferred_collection", None)
    problem = None
    with closing(secretstorage.dbus_init()) as connection:
        try:
            collection = secretstorage.Collection(connection, *([preferred] if preferred else []))
        except secretstorage.exceptions.SecretStorageException:  # to make one would open a window
            raise StoreError("keyring_none") from None
        if collection.is_locked():
            raise StoreError("keyring_locked")
        try:
            yield _SecretServiceVault(collection, names, service)
        except (secretstorage.exceptions.LockedException, secretstorage.exceptions.PromptDismissedException):
            problem = StoreError("keyring_locked")
        if problem:
            raise problem


class _KeyringVault:
    def __init__(self, keyring: Any, service: str) -> None:
        self._keyring, self._service = keyring, service

    def get(self, user: str) -> str | None:
        value = self._keyring.get_password(self._service, user)
        return None if value is None else str(value)

    def put(self, user: str, value: str) -> None:
        self._keyring.set_password(self._service, user, value)

    def remove(self, user: str) -> None:
        if self.get(user) is not None:
            self._keyring.delete_password(self._service, user)

    def users(self) -> list[str]:
        return []


@contextlib.contextmanager
def _open_through_keyring(keyring: Any, service: str) -> Iterator[_Vault]:
    problem = None
    try:
        yield _KeyringVault(keyring, service)
    except importlib.import_module("keyring.errors").KeyringLocked:
        problem = StoreError("keyring_locked")
    if problem:
        raise problem


@contextlib.contextmanager
def _open_without_windows(keyring: Any, service: str) -> Iterator[_Vault]:
    """The macOS Keychain, told for that moment not to ask (SecKeychainSetUserInteractionAllowed)."""
    import ctypes

    security = ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security")
    if security.SecKeychainSetUserInteractionAllowed(ctypes.c_ubyte(0)) != 0:
        raise StoreError("keyring_none")
    problem = None
    try:
        with _open_through_keyring(keyring, service) as vault:
            yield vault
    except StoreError:
        raise
    except Exception as error:  # keyring wraps the number of the system in several of its own
        if not _refused_to_ask(error):
            raise
        problem = StoreError("keyring_locked")
    finally:
        security.SecKeychainSetUserInteractionAllowed(ctypes.c_ubyte(1))
    if problem:
        raise problem


def _refused_to_ask(error: BaseException | None) -> bool:
    while error is not None:
        if any(str(number) in str(error.args) for number in (-25308, -25293, -128)):  # errSecInteractionNotAllowed, …
            return True
        error = error.__cause__ or error.__context__
    return False


def _named_keyrings() -> Iterator[tuple[Any, _Kind]]:
    """Gives the keyring that keyring itself would use, if it is the operating system's; of a chain, those that are.

    PYTHON_KEYRING_BACKEND and keyringrc.cfg can name any class: one that forgets, or that writes plain text. So what
    counts is a list of names, not whether a keyring works.
    """
    chosen = importlib.import_module("keyring").get_keyring()
    for keyring in chosen.backends if _class_name(chosen) == _CHAINER else (chosen,):
        if kind := _KINDS.get(_class_name(keyring)):
            yield keyring, kind


def _class_name(keyring: object) -> str:
    kind = type(keyring)
    return f"{kind.__module__}.{kind.__qualname__}"


def _from_secret_service(keyring: Any, service: str, user: str) -> Secret | None:
    """Reads over D-Bus without keyring, whose own reading unlocks, and makes a collection where there is none.

    libsecret's backend of keyring stores with the same attributes in the same place.
    """
    secretstorage = importlib.import_module("secretstorage")
    names = keyring.schemes[keyring.scheme]
    # A collection of the person's choice, from KEYRING_PROPERTY_PREFERRED_COLLECTION.
    preferred = getattr(keyring, "preferred_collection", None)
    with closing(secretstorage.dbus_init()) as connection:
        # This constructor only looks: where there is no such collection it raises.
        collection = secretstorage.Collection(connection, *([preferred] if preferred else []))
        if collection.is_locked():
            raise StoreError("keyring_locked")
        for item in collection.search_items({names["service"]: service, names["username"]: user}):
            if item.is_locked():  # KeePassXC locks single items
                raise StoreError("keyring_locked")
            return _secret(item.get_secret().decode())
    return None


def _through_keyring(keyring: Any, service: str, user: str) -> Secret | None:
    try:
        return _secret(keyring.get_password(service, user))
    except importlib.import_module("keyring.errors").KeyringLocked:
        raise StoreError("keyring_locked") from None


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None


_SECRET_SERVICE = _Kind("keyring.secret_service", _from_secret_service, may_prompt=False, open=_open_secret_service)
# Opening a wallet asks for its password, or whether this program may have it.
_KWALLET = _Kind("keyring.kwallet", _through_keyring, may_prompt=True, open=None)

_KINDS = {
    "keyring.backends.SecretService.Keyring": _SECRET_SERVICE,
    "keyring.backends.libsecret.Keyring": _SECRET_SERVICE,
    "keyring.backends.kwallet.DBusKeyring": _KWALLET,
    "keyring.backends.kwallet.DBusKeyringKWallet4": _KWALLET,
    # Asks where the keychain is locked, or where another Python than this one stored the secret.
    "keyring.backends.macOS.Keyring": _Kind(
        "keyring.macos", _through_keyring, may_prompt=True, open=_open_without_windows
    ),
    # Open as long as the person is logged in; there is nothing to ask. It holds 2560 octets, two for a character.
    "keyring.backends.Windows.WinVaultKeyring": _Kind(
        "keyring.windows", _through_keyring, may_prompt=False, open=_open_through_keyring, longest=1200
    ),
}

_one_at_a_time = threading.Lock()


def _in_time(ask: Callable[[], T | None]) -> T | None:
    """Asks in a thread of its own, since calls over D-Bus have no time-out, and gives up when the time is over.

    A thread that hangs is left behind, once: those after it wait for the lock and end.

    Raises:
        StoreError: whatever `ask` raised of it. Any other error means that there is no keyring to use.
    """
    ends = time.monotonic() + LIMIT_SECONDS
    answers: queue.SimpleQueue[T | StoreError | None] = queue.SimpleQueue()

    def work() -> None:
        if not _one_at_a_time.acquire(timeout=max(0.0, ends - time.monotonic())):
            return
        try:
            answers.put(_answer(ask))
        finally:
            _one_at_a_time.release()

    threading.Thread(target=work, name="lexoffice-nb keyring", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, ends - time.monotonic()))
    except queue.Empty:
        return None
    if isinstance(answer, StoreError):
        raise answer
    return answer


def _answer(ask: Callable[[], T | None]) -> T | StoreError | None:
    """Gives the error instead of raising it: its frames, which hold the secret, end here."""
    try:
        return ask()
    except StoreError as error:
        return StoreError(error.code, **error.values)
    except Exception:  # noqa: BLE001 - keyrings are anybody's code, and raise what their libraries raise
        return None
