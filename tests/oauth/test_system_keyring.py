"""A client secret in the operating system's keyring, read from a real one: gnome-keyring in a session of its own."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
import traceback
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import SecretService
from keyring.errors import KeyringLocked

from lexoffice_nb.errors import StoreError
from lexoffice_nb.oauth import system_keyring
from lexoffice_nb.oauth.system_keyring import backend_title, client_secret
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import use_language
from tests.keyring_session import KeyringSession, forget_the_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gnome-keyring is Linux's")

STORED = "not-for-any-eye-ä"
CLIENT_ID = "an id/with @ and :"
UNLOCK = """
import secretstorage
from contextlib import closing
with closing(secretstorage.dbus_init()) as connection:
    secretstorage.Collection(connection).unlock(timeout=1)
"""


@pytest.fixture(scope="module")
def unlocked() -> Iterator[KeyringSession]:
    with KeyringSession() as session:
        session.store("lexoffice_nb/lexware", CLIENT_ID, STORED)
        yield session


@pytest.fixture(scope="module")
def locked() -> Iterator[KeyringSession]:
    with KeyringSession() as session:
        session.store("lexoffice_nb/lexware", CLIENT_ID, STORED)
        session.lock()
        yield session


@pytest.fixture
def _fresh_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """keyring chooses once in a process; and nothing of the person who runs the tests takes part."""
    forget_the_choice()
    for name in ("PYTHON_KEYRING_BACKEND", "KEYRING_PROPERTY_SCHEME", "KEYRING_PROPERTY_PREFERRED_COLLECTION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def inside(unlocked: KeyringSession, _fresh_keyring: None, monkeypatch: pytest.MonkeyPatch) -> KeyringSession:
    return enter(unlocked, monkeypatch)


@pytest.fixture
def inside_locked(locked: KeyringSession, _fresh_keyring: None, monkeypatch: pytest.MonkeyPatch) -> KeyringSession:
    return enter(locked, monkeypatch)


def enter(session: KeyringSession, monkeypatch: pytest.MonkeyPatch) -> KeyringSession:
    for name, value in session.environment.items():
        monkeypatch.setenv(name, value)
    return session


def in_background(call: Callable[[], object]) -> object:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return results[0]


def stand_in(name: str, answer: Callable[[], str | None]) -> KeyringBackend:
    """A keyring that goes by the name of one which is not on this machine."""
    module, _, class_name = name.rpartition(".")

    def get_password(self: object, service: str, username: str) -> str | None:
        return answer()

    # A priority of 0 and less: no other test's keyring ever chooses it.
    members = {"__module__": module, "priority": -1, "get_password": get_password, "set_password": None}
    return type(class_name, (KeyringBackend,), members)()


class TestAStoredSecret:
    pytestmark = pytest.mark.usefixtures("inside")

    def test_is_read(self) -> None:
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)

    def test_is_read_from_a_background_thread(self) -> None:
        assert in_background(lambda: client_secret("lexware", CLIENT_ID)) == Secret(STORED)

    def test_is_that_of_this_client_only(self) -> None:
        assert client_secret("lexware", "another") is None

    def test_is_that_of_this_provider_only(self) -> None:
        assert client_secret("sandbox", CLIENT_ID) is None

    def test_is_read_where_keyring_is_told_which_keyring_to_use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring")
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)

    def test_is_read_through_keyrings_chain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.chainer.ChainerBackend")
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)

    @pytest.mark.parametrize(("language", "words"), [("en", "the desktop's keyring"), ("de", "der Schlüsselbund")])
    def test_comes_from_a_keyring_with_a_name(self, language: str, words: str) -> None:
        use_language(language)
        assert str(backend_title()).startswith(words)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("provider", ["", "Lexware", "lex/ware", "lexware\x00", "lexware\n", "-x", "x" * 41, "x" * 300])
def test_a_name_that_is_no_providers_finds_nothing(provider: str, inside: KeyringSession) -> None:
    if "\x00" not in provider:
        inside.store(f"lexoffice_nb/{provider}", CLIENT_ID, STORED)
    assert client_secret(provider, CLIENT_ID) is None


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("client_id", ["", "a\x00b", "a\nb", "ä", "x" * 300])
def test_a_name_that_is_no_client_id_finds_nothing(client_id: str, inside: KeyringSession) -> None:
    if "\x00" not in client_id:
        inside.store("lexoffice_nb/lexware", client_id, STORED)
    assert client_secret("lexware", client_id) is None


class TestAKeyringThatIsNotTheOperatingSystems:
    pytestmark = pytest.mark.usefixtures("inside")

    PLAIN = """
from keyring.backend import KeyringBackend
class Keyring(KeyringBackend):
    priority = -1
    def get_password(self, service, username):
        return "from a plain file"
    def set_password(self, service, username, password):
        raise NotImplementedError
"""

    @pytest.mark.parametrize(
        "name", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "no.such.Keyring", "", "Keyring"]
    )
    def test_counts_as_none(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
        assert client_secret("lexware", CLIENT_ID) is None
        assert backend_title() is None

    def test_counts_as_none_though_it_has_a_secret(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "plain_text_keyring.py").write_text(self.PLAIN)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "plain_text_keyring.Keyring")
        assert keyring.get_password("lexoffice_nb/lexware", CLIENT_ID) == "from a plain file"
        assert client_secret("lexware", CLIENT_ID) is None
        assert backend_title() is None

    def test_counts_as_none_where_keyrings_own_file_chooses_it(self, inside: KeyringSession) -> None:
        settings = inside.configure("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")
        try:
            assert client_secret("lexware", CLIENT_ID) is None
        finally:
            settings.unlink()

    def test_is_passed_over_in_keyrings_chain(self) -> None:
        plain = stand_in("somebodys.PlainText", lambda: "from a plain file")
        keyring.set_keyring(chain_of(plain))
        assert client_secret("lexware", CLIENT_ID) is None
        assert backend_title() is None
        keyring.set_keyring(chain_of(plain, SecretService.Keyring()))
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)


def chain_of(*members: KeyringBackend) -> KeyringBackend:
    """keyring's own chain finds its members by itself; so this one only goes by its name."""
    chain = stand_in("keyring.backends.chainer.ChainerBackend", lambda: None)
    chain.backends = members
    return chain


class TestALockedKeyring:
    pytestmark = pytest.mark.usefixtures("inside_locked")

    @pytest.mark.parametrize("backend", ["", "SecretService.Keyring", "chainer.ChainerBackend"])
    @pytest.mark.parametrize("background", [True, False])
    def test_is_an_error_at_once_and_asks_for_nothing(
        self, background: bool, backend: str, inside_locked: KeyringSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if backend:
            monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"keyring.backends.{backend}")
        inside_locked.has_prompted()
        began = time.monotonic()
        error = (in_background if background else caught)(lambda: client_secret("lexware", CLIENT_ID))
        assert time.monotonic() - began < 1
        assert isinstance(error, StoreError)
        assert error.code == "keyring_locked"
        time.sleep(0.1)  # a prompt is begun by the keyring's daemon, which answers before
        assert not inside_locked.has_prompted()

    def test_would_have_been_seen_to_ask(self, inside_locked: KeyringSession) -> None:
        """The proof of the test before: what unlocks does ask."""
        inside_locked.has_prompted()
        inside_locked.python("-c", UNLOCK)
        assert inside_locked.has_prompted()

    def test_still_has_a_name(self) -> None:
        assert backend_title() is not None

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_says_how_to_go_on(self, language: str) -> None:
        error = caught(lambda: client_secret("lexware", CLIENT_ID))
        assert isinstance(error, StoreError)
        assert "LEXOFFICE_CLIENT_SECRET" in error.next(language)

    def test_leaves_nothing_in_a_traceback_but_the_shield(self) -> None:
        error = caught(lambda: client_secret("lexware", CLIENT_ID))
        assert isinstance(error, StoreError)
        names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert names == ["caught", "<lambda>", "shield"]
        assert error.__context__ is None


def caught(call: Callable[[], object]) -> object:
    try:
        return call()
    except Exception as error:
        return error


# The libraries leave the socket of a bus that broke off to the garbage collector.
@pytest.mark.usefixtures("_fresh_keyring", "swept")
class TestThereIsNoSecret:
    def test_without_a_session_bus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
        assert seconds_to_find_nothing() < 1

    @pytest.mark.parametrize("address", ["", "nonsense", "unix:path=/nowhere/bus", "tcp:host=127.0.0.1,port=1"])
    def test_with_a_broken_address(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        assert seconds_to_find_nothing() < 1

    def test_on_a_bus_without_a_keyring(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with KeyringSession(keyring=False) as session:
            enter(session, monkeypatch)
            assert seconds_to_find_nothing() < 1

    @pytest.mark.usefixtures("inside")
    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)
        assert seconds_to_find_nothing() < 1

    @pytest.mark.usefixtures("inside")
    def test_without_the_package_that_speaks_to_the_secret_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "secretstorage", None)
        assert client_secret("lexware", CLIENT_ID) is None

    @pytest.mark.parametrize("greeting", [b"", b"OK 0123456789abcdef0123456789abcdef\r\n"], ids=["mute", "greets"])
    def test_on_a_bus_that_never_answers(self, greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_keyring, "LIMIT_SECONDS", 0.3)
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as bus:
            bus.bind(f"{folder}/bus")
            bus.listen()
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={folder}/bus")
            held: list[socket.socket] = []
            greeter = threading.Thread(target=greet, args=(bus, greeting, held), daemon=True)
            greeter.start()
            assert seconds_to_find_nothing() < 1
            # With the bus ends who waits for it, before another test asks.
            bus.shutdown(socket.SHUT_RDWR)
            greeter.join(5)
            for connection in held:
                connection.close()
        for thread in threading.enumerate():
            if thread.name == "lexoffice-nb keyring":
                thread.join(5)
                assert not thread.is_alive()


def seconds_to_find_nothing() -> float:
    """Asks both questions; gives how long that took."""
    began = time.monotonic()
    assert client_secret("lexware", CLIENT_ID) is None
    assert backend_title() is None
    return time.monotonic() - began


def greet(bus: socket.socket, greeting: bytes, held: list[socket.socket]) -> None:
    while True:
        try:
            held.append(bus.accept()[0])
        except OSError:
            return
        held[-1].sendall(greeting)


@pytest.mark.usefixtures("_fresh_keyring")
class TestTheKeyringsOfOtherSystems:
    """They are not on this machine: stand-ins go by their names."""

    MAY_PROMPT = ("keyring.backends.kwallet.DBusKeyring", "keyring.backends.macOS.Keyring")
    NEVER_PROMPTS = "keyring.backends.Windows.WinVaultKeyring"

    @pytest.mark.parametrize("name", MAY_PROMPT)
    def test_that_may_prompt_are_asked_for_the_main_thread_alone(self, name: str) -> None:
        asked: list[str] = []
        keyring.set_keyring(stand_in(name, lambda: asked.append(name) or STORED))
        assert in_background(lambda: client_secret("lexware", CLIENT_ID)) is None
        assert asked == []
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)

    def test_that_never_prompt_are_asked_for_any_thread(self) -> None:
        keyring.set_keyring(stand_in(self.NEVER_PROMPTS, lambda: STORED))
        assert in_background(lambda: client_secret("lexware", CLIENT_ID)) == Secret(STORED)

    def test_give_no_empty_secret(self) -> None:
        keyring.set_keyring(stand_in(self.NEVER_PROMPTS, lambda: ""))
        assert client_secret("lexware", CLIENT_ID) is None

    def test_that_say_they_are_locked_are_an_error_without_their_words(self) -> None:
        keyring.set_keyring(stand_in(self.MAY_PROMPT[0], lambda: fail(KeyringLocked(STORED))))
        error = caught(lambda: client_secret("lexware", CLIENT_ID))
        assert isinstance(error, StoreError)
        assert error.code == "keyring_locked"
        assert STORED not in "".join(traceback.format_exception(error))

    def test_that_fail_give_none_and_say_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        keyring.set_keyring(stand_in(self.NEVER_PROMPTS, lambda: fail(ValueError(STORED))))
        assert client_secret("lexware", CLIENT_ID) is None
        assert "".join(capfd.readouterr()) == ""

    def test_that_hang_are_given_up_until_they_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_keyring, "LIMIT_SECONDS", 0.2)
        end = threading.Event()
        keyring.set_keyring(stand_in(self.NEVER_PROMPTS, lambda: STORED if end.wait(10) else None))
        began = time.monotonic()
        assert client_secret("lexware", CLIENT_ID) is None
        assert client_secret("lexware", CLIENT_ID) is None
        assert time.monotonic() - began < 1
        end.set()
        monkeypatch.setattr(system_keyring, "LIMIT_SECONDS", 5.0)
        assert client_secret("lexware", CLIENT_ID) == Secret(STORED)

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_have_names(self, language: str) -> None:
        use_language(language)
        for name in (*self.MAY_PROMPT, self.NEVER_PROMPTS):
            keyring.set_keyring(stand_in(name, lambda: None))
            assert str(backend_title()).startswith("the " if language == "en" else ("der ", "die "))


def fail(error: Exception) -> str:
    raise error


def test_nobody_waits_longer_than_five_seconds() -> None:
    assert system_keyring.LIMIT_SECONDS <= 5
