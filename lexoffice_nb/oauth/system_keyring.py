"""The operating system's keyring: where a person may keep a client secret instead of in the environment.

    keyring set lexoffice_nb/lexware CLIENT_ID

keyring's own command line stores it: the service is `lexoffice_nb/` and the provider's name, the user name is the
client id. `keyring` is an extra (`pip install lexoffice_nb[keyring]`) and is imported where it is first needed.

Reading never unlocks a keyring and never waits longer than `LIMIT_SECONDS`. Where there is no keyring, or a broken one,
there is no secret in it: that is no error.
"""

from __future__ import annotations

import importlib
import queue
import re
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lexoffice_nb.errors import StoreError, shielded
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """

    title: str
    read: Callable[[Any, str, str], Secret | None]
    may_prompt: bool


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


_KINDS = {
    "keyring.backends.SecretService.Keyring": _Kind("keyring.secret_service", _from_secret_service, may_prompt=False),
    "keyring.backends.libsecret.Keyring": _Kind("keyring.secret_service", _from_secret_service, may_prompt=False),
    # Opening a wallet asks for its password, or whether this program may have it.
    "keyring.backends.kwallet.DBusKeyring": _Kind("keyring.kwallet", _through_keyring, may_prompt=True),
    "keyring.backends.kwallet.DBusKeyringKWallet4": _Kind("keyring.kwallet", _through_keyring, may_prompt=True),
    # Asks where the keychain is locked, or where another Python than this one stored the secret.
    "keyring.backends.macOS.Keyring": _Kind("keyring.macos", _through_keyring, may_prompt=True),
    # Open as long as the person is logged in; there is nothing to ask.
    "keyring.backends.Windows.WinVaultKeyring": _Kind("keyring.windows", _through_keyring, may_prompt=False),
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
