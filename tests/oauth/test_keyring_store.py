"""Tokens in the operating system's keyring: a real one, gnome-keyring in a session of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from lexoffice_nb.errors import StoreError
from lexoffice_nb.oauth import system_keyring
from lexoffice_nb.oauth.keyring_store import SERVICE, KeyringStore, all_kept, forget_everything
from lexoffice_nb.oauth.token_store import Account, AccountName, Binding, FileStore, Kept, open_store
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from tests.keyring_session import KeyringSession, forget_the_choice
from tests.oauth.test_token_store import SECRETS, kept, refused, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gnome-keyring is Linux's")
NAME = AccountName("sandbox", "kanzlei-a")
OTHER = AccountName("sandbox", "kanzlei-b")


@pytest.fixture(scope="module")
def unlocked() -> Iterator[KeyringSession]:
    with KeyringSession() as session:
        yield session


@pytest.fixture(autouse=True)
def _fresh_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_choice()
    for name in ("PYTHON_KEYRING_BACKEND", "KEYRING_PROPERTY_SCHEME", "KEYRING_PROPERTY_PREFERRED_COLLECTION"):
        monkeypatch.delenv(name, raising=False)


def enter(session: KeyringSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in session.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def inside(unlocked: KeyringSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringSession]:
    enter(unlocked, monkeypatch)
    yield unlocked
    forget_the_choice()  # a test may have chosen another
    system_keyring.forget_all(SERVICE, ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "accounts"


@pytest.fixture
def store(folder: Path) -> KeyringStore:
    return KeyringStore(NAME, folder)


@pytest.fixture
def saved(inside: KeyringSession, store: KeyringStore) -> KeyringStore:
    store.save(kept())
    return store


def item() -> Any:
    secret = system_keyring.find(SERVICE, NAME.key)
    return None if secret is None else json.loads(secret.reveal())


def in_background(call: Callable[[], object]) -> object:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return results[0]


class TestTokensInTheKeyring:
    def test_come_back_with_all_else(self, inside: KeyringSession, store: KeyringStore) -> None:
        before = kept()
        store.save(before)
        assert same(KeyringStore(NAME, store.folder).load(), before)

    def test_come_back_in_a_background_thread(self, saved: KeyringStore) -> None:
        assert isinstance(in_background(saved.load), Kept)

    def test_are_not_in_the_file(self, saved: KeyringStore) -> None:
        content = saved.path.read_text()
        assert json.loads(content)["tokens"] is None
        assert all(secret not in content for secret in SECRETS)
        assert saved.path.stat().st_mode & 0o777 == 0o600

    def test_are_in_no_label_and_no_attribute(self, saved: KeyringStore, inside: KeyringSession) -> None:
        program = (
            "import secretstorage; c = secretstorage.dbus_init()\n"
            "for i in secretstorage.Collection(c).get_all_items(): print(i.get_label(), i.get_attributes())\nc.close()"
        )
        shown = inside.python("-c", program).stdout
        assert NAME.key in shown
        assert all(word not in shown for word in (*SECRETS, "client", "example"))

    def test_are_one_item_however_often_they_change(self, saved: KeyringStore) -> None:
        for generation in range(8, 12):
            saved.save(kept(generation=generation))
        assert len(list(users())) == 1
        assert item()["generation"] == 11

    def test_replace_an_item_of_the_same_name_that_another_program_made(
        self, inside: KeyringSession, store: KeyringStore
    ) -> None:
        inside.store(SERVICE, NAME.key, "of keyring's own command line")
        store.save(kept())
        assert len(users()) == 1
        assert store.load() is not None

    @pytest.mark.case("statement/30-stores")
    def test_go_with_the_log_out(self, saved: KeyringStore) -> None:
        saved.delete()
        assert item() is None
        assert not saved.path.exists()
        assert saved.load() is None
        saved.delete()

    def test_name_the_keyring(self, saved: KeyringStore) -> None:
        assert "Secret Service" in saved.place()

    def test_are_another_stamp_after_each_change(self, saved: KeyringStore) -> None:
        before = saved.stamp()
        saved.save(kept())
        assert saved.stamp() != before


def users() -> list[str]:
    return system_keyring._with_vault(SERVICE, lambda vault, _: vault.users())


class TestAfterACrashBetweenTheKeyringAndTheFile:
    def test_the_newer_refresh_token_is_used(self, saved: KeyringStore) -> None:
        file = saved.path.read_bytes()
        saved.save(kept(generation=8, tokens=TokenSet(Secret("a8"), refresh_token=Secret("r8")), stale_at=None))
        saved.path.write_bytes(file)  # the file was not written any more
        read = saved.load()
        assert read is not None
        assert (read.generation, read.tokens.refresh_token) == (8, Secret("r8"))
        assert (read.renewing_since, read.stale_at) == (None, None)

    def test_an_older_one_is_not(self, saved: KeyringStore) -> None:
        secret = system_keyring.find(SERVICE, NAME.key)
        assert secret is not None
        saved.save(kept(generation=8))
        system_keyring.keep(SERVICE, NAME.key, secret)
        refused("store_damaged", saved.load)

    @pytest.mark.parametrize(
        "change", [{"family": "other"}, {"binding": Binding("https://evil.example", "client", "", "")}]
    )
    def test_tokens_of_another_sign_in_or_client_are_not_used(self, saved: KeyringStore, change: Any) -> None:
        file = saved.path.read_bytes()
        saved.save(kept(generation=8, **change))
        saved.path.write_bytes(file)
        refused("store_damaged", saved.load)

    def test_that_kills_the_process_there_is_always_a_whole_sign_in(self, saved: KeyringStore) -> None:
        saved.save(kept(generation=1, tokens=TokenSet(Secret("a1"), refresh_token=Secret("r1"))))
        for number in range(6):
            with subprocess.Popen(
                [sys.executable, "-c", WRITER, str(saved.folder)], stdout=subprocess.PIPE, text=True
            ) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                time.sleep(0.013 * number)
                writer.kill()
                said = [int(line) for line in writer.stdout.read().split("\n")[:-1]]
            read = saved.load()
            assert read is not None
            assert read.tokens.refresh_token == Secret(f"r{read.generation}")
            assert read.generation >= max(said, default=1)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from lexoffice_nb.oauth.keyring_store import KeyringStore
from lexoffice_nb.oauth.token_store import AccountName
from lexoffice_nb.oauth.tokens import Secret, TokenSet
store = KeyringStore(AccountName("sandbox", "kanzlei-a"), Path(sys.argv[1]))
kept = store.load()
print(0, flush=True)
while True:
    n = kept.generation + 1
    kept = replace(kept, generation=n, tokens=TokenSet(Secret(f"a{n}"), refresh_token=Secret(f"r{n}")))
    store.save(kept)
    print(n, flush=True)
"""


class TestWhatCannotBeUsed:
    def test_is_an_item_that_is_gone(self, saved: KeyringStore) -> None:
        system_keyring.forget(SERVICE, NAME.key)
        refused("keyring_missing", saved.load)
        saved.save(kept())
        assert saved.load() is not None

    @pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"generation": 7, "family": "abc"}', "[" * 100_000])
    def test_is_an_item_that_is_damaged(self, saved: KeyringStore, content: str) -> None:
        system_keyring.keep(SERVICE, NAME.key, Secret(content))
        refused("store_damaged", saved.load)

    def test_is_a_place_that_was_tampered_with_so_the_keyring_stays_as_it_was(self, saved: KeyringStore) -> None:
        saved.path.chmod(0o644)
        refused("store_mode", lambda: saved.save(kept(generation=8)))
        assert item()["generation"] == 7

    def test_leaves_no_new_sign_in_behind_where_the_file_cannot_be_written(
        self, inside: KeyringSession, store: KeyringStore
    ) -> None:
        tokens = kept().tokens
        refused("store_too_large", lambda: store.save(kept(tokens=tokens, family="x" * 300_000)))
        assert item() is None


class TestAnAccountThatMoves:
    def test_to_the_keyring_leaves_no_token_in_the_file(self, inside: KeyringSession, folder: Path) -> None:
        before, after = FileStore(NAME, folder), KeyringStore(NAME, folder)
        before.save(kept())
        after.save(kept())
        before.delete()  # what it kept has been replaced
        assert before.load() is None
        assert after.load() is not None
        assert after.kept_in() == "keyring"

    def test_to_a_file_leaves_no_token_in_the_keyring(self, saved: KeyringStore, folder: Path) -> None:
        after = FileStore(NAME, folder)
        after.save(kept())
        assert item() is None
        saved.delete()
        assert saved.load() is None
        assert after.load() is not None


class TestTokensThatAreTooLongForOneItem:
    """As the Windows Credential Locker has it, tried out in a real keyring."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kinds = {name: kind._replace(longest=100) for name, kind in system_keyring._KINDS.items()}
        monkeypatch.setattr(system_keyring, "_KINDS", kinds)

    def test_are_kept_in_parts(self, saved: KeyringStore) -> None:
        assert len(users()) > 5
        assert saved.load() is not None

    def test_take_the_place_of_those_before(self, saved: KeyringStore) -> None:
        for generation in range(8, 11):
            saved.save(kept(generation=generation))
            read = saved.load()
            assert read is not None
            assert read.generation == generation
        assert len({user.split("/")[1] for user in users() if "/" in user}) == 1

    def test_are_the_old_ones_until_the_last_part_is_written(self, saved: KeyringStore) -> None:
        for number in range(3):  # a writer that was killed
            system_keyring._with_vault(SERVICE, lambda vault, _, n=number: vault.put(f"{NAME.key}/b/{n}", "new"))
        assert saved.load() is not None
        saved.delete()
        assert users() == []

    def test_are_not_used_where_a_part_is_gone_or_another(self, saved: KeyringStore) -> None:
        system_keyring._with_vault(SERVICE, lambda vault, _: vault.put(f"{NAME.key}/a/1", "x" * 100))
        refused("keyring_broken", saved.load)

    def test_go_with_the_log_out(self, saved: KeyringStore) -> None:
        saved.delete()
        assert users() == []


class TestALockedKeyring:
    def test_threat_29_is_an_error_from_any_thread_and_opens_no_window(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with KeyringSession() as session:
            enter(session, monkeypatch)
            store = KeyringStore(NAME, folder)
            store.save(kept())
            session.lock()
            session.has_prompted()
            before = store.path.read_bytes()
            for act in (store.load, lambda: store.save(kept(generation=8)), store.delete):
                refused("keyring_locked", act)
                error = in_background(act)
                assert isinstance(error, StoreError)
                assert error.code == "keyring_locked"
            refused("keyring_locked", KeyringStore(OTHER, folder).delete)  # of which nothing is in it
            assert store.path.read_bytes() == before
            assert [each.problem for each in all_kept(folder)] == [None]
            assert [each.code for each in forget_everything(folder)] == ["keyring_locked"]
            assert store.path.exists()
            time.sleep(0.2)
            assert not session.has_prompted()


class TestWithoutAKeyring:
    @pytest.mark.parametrize("backend", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"])
    def test_threat_29_nothing_is_kept_and_the_person_is_told_what_else_there_is(
        self, backend: str, store: KeyringStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
        error = refused("keyring_none", lambda: store.save(kept()))
        assert "store='file'" in error.next()
        assert "store='memory'" in error.next()
        assert store.load() is None

    def test_of_which_no_package_is_installed_nothing_is_kept(
        self, store: KeyringStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)
        refused("keyring_none", lambda: store.save(kept()))

    @pytest.mark.usefixtures("swept")
    def test_on_a_bus_without_one_nothing_is_kept(self, store: KeyringStore, monkeypatch: pytest.MonkeyPatch) -> None:
        with KeyringSession(keyring=False) as session:
            enter(session, monkeypatch)
            refused("keyring_none", lambda: store.save(kept()))

    def test_that_never_opens_a_window_nothing_is_kept(self, store: KeyringStore) -> None:
        keyring.set_keyring(Windows.named("keyring.backends.kwallet.DBusKeyring"))
        refused("keyring_none", lambda: store.save(kept()))

    def test_files_are_forgotten_all_the_same(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        FileStore(NAME, folder).save(kept())
        assert forget_everything(folder) == []
        assert list(folder.iterdir()) == []


class Windows(KeyringBackend):
    """Goes by the name of the Windows Credential Locker and has its limit."""

    priority = -1  # type: ignore[assignment]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None
        self.left = 1000  # writes until it fails

    @classmethod
    def named(cls, name: str) -> Windows:
        module, _, class_name = name.rpartition(".")
        made: Windows = type(class_name, (cls,), {"__module__": module, "priority": -1})()
        return made

    def get_password(self, service: str, username: str) -> str | None:
        if self.error:
            raise self.error
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password.encode("utf-16-le")) > 2560:
            raise ValueError(password)
        self.left -= 1
        if self.left < 0:
            raise OSError(password)
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError
        del self.kept[service, username]


class TestTheWindowsCredentialLocker:
    """A stand-in that goes by its name: there is no Windows here."""

    @pytest.fixture
    def locker(self) -> Windows:
        locker = Windows.named("keyring.backends.Windows.WinVaultKeyring")
        keyring.set_keyring(locker)
        return locker

    def test_keeps_long_tokens_in_parts_and_forgets_them_all(self, locker: Windows, store: KeyringStore) -> None:
        long = kept(tokens=TokenSet(Secret("a" * 5000), refresh_token=Secret("r" * 3000)))
        store.save(long)
        assert same(store.load(), long)
        assert len(locker.kept) > 7
        assert {service for service, _ in locker.kept} == {SERVICE}
        store.save(kept())
        store.delete()
        assert locker.kept == {}

    @pytest.mark.parametrize("writes", range(7))
    def test_has_the_old_tokens_until_all_of_the_new_ones_are_there(
        self, locker: Windows, store: KeyringStore, writes: int
    ) -> None:
        long = kept(tokens=TokenSet(Secret("a" * 5000), refresh_token=Secret("r" * 1000)))
        for _ in range(2):
            store.save(long)
            locker.left = writes
            newer = kept(generation=8, tokens=TokenSet(Secret("b" * 5000), refresh_token=Secret("s" * 1000)))
            refused("keyring_broken", lambda newer=newer: store.save(newer))
            assert same(store.load(), long)
            locker.left = 1000

    @pytest.mark.parametrize(
        ("error", "code"), [(KeyringLocked(SECRETS[1]), "keyring_locked"), (OSError(SECRETS[1]), "keyring_broken")]
    )
    def test_that_fails_is_an_error_without_its_words(
        self, locker: Windows, store: KeyringStore, error: Exception, code: str
    ) -> None:
        store.save(kept())
        locker.error = error
        refused(code, store.load)
        refused(code, lambda: store.save(kept(generation=8)))
        refused(code, store.delete)


def test_the_macos_keychain_is_not_asked_at_all_where_it_cannot_be_told_to_open_no_window(store: KeyringStore) -> None:
    """On another system than its own; a stand-in goes by its name."""
    keychain = Windows.named("keyring.backends.macOS.Keyring")
    keyring.set_keyring(keychain)
    refused("keyring_broken", lambda: store.save(kept()))
    assert keychain.kept == {}


class TestTheListOfAccounts:
    def test_has_all_with_no_token_and_asks_no_keyring(self, saved: KeyringStore, folder: Path) -> None:
        FileStore(OTHER, folder).save(kept(OTHER, who=Account("B")))
        keyring.set_keyring(Windows.named("somebodys.Keyring"))
        listed = {each.name: each for each in all_kept(folder)}
        assert {name: (each.store, each.problem) for name, each in listed.items()} == {
            NAME: ("keyring", None),
            OTHER: ("file", None),
        }
        assert listed[OTHER].who == Account("B")
        assert listed[NAME].binding == kept().binding
        assert listed[NAME].adoptions[0].where == "notebook.ipynb"
        assert listed[NAME].remembered_until == kept().remembered_until
        assert all(secret not in repr(listed) for secret in SECRETS)
        assert all(each.place() for each in listed.values())

    def test_has_the_damaged_ones_by_file(self, folder: Path) -> None:
        good, bad = FileStore(NAME, folder), FileStore(OTHER, folder)
        good.save(kept())
        bad.save(kept(OTHER))
        bad.path.write_bytes(bad.path.read_bytes()[:-9])
        (folder / f"{'0' * 32}.json").symlink_to("/etc/passwd")
        copied = folder / f"{'1' * 32}.json"
        shutil.copy2(good.path, copied)
        (folder / "notes.txt").write_text("mine")
        found = {each.path: each.problem and each.problem.code for each in all_kept(folder)}
        damaged = dict.fromkeys((bad.path, copied), "store_damaged")
        assert found == {good.path: None, **damaged, folder / f"{'0' * 32}.json": "store_kind"}

    def test_is_empty_where_there_is_nothing(self, folder: Path) -> None:
        assert all_kept(folder) == []
        assert not folder.exists()

    def test_is_refused_where_the_folder_is_open_to_others(self, folder: Path) -> None:
        FileStore(NAME, folder).save(kept())
        folder.chmod(0o755)
        refused("store_mode", lambda: all_kept(folder))


class TestForgettingEverything:
    def test_removes_files_locks_leftovers_and_items_and_nothing_else(
        self, saved: KeyringStore, folder: Path, inside: KeyringSession
    ) -> None:
        FileStore(OTHER, folder).save(kept(OTHER))
        with saved.renewing(), saved.changing():
            pass
        saved.path.with_name(f".{saved.path.name}.{'0' * 16}").write_text(SECRETS[0])
        system_keyring.keep(SERVICE, "of an account whose file is gone", Secret("x"))
        inside.store("lexoffice_nb/lexware", "client", "the person's own")
        (folder / "notes.txt").write_text("mine")
        assert forget_everything(folder) == []
        assert [each.name for each in folder.iterdir()] == ["notes.txt"]
        assert users() == []
        assert system_keyring.client_secret("lexware", "client") == Secret("the person's own")

    def test_says_what_it_could_not_remove(self, folder: Path, inside: KeyringSession) -> None:
        store = FileStore(NAME, folder)
        store.save(kept())
        store.path.unlink()
        store.path.mkdir()
        left = forget_everything(folder)
        assert [error.code for error in left] == ["store_unwritable"]
        assert str(store.path) in left[0].what()

    def test_is_harmless_where_there_is_nothing(self, folder: Path, inside: KeyringSession) -> None:
        assert forget_everything(folder) == []


@pytest.mark.parametrize("kind", ["memory", "file", "keyring"])
def test_a_store_is_opened_by_its_kind(kind: Any) -> None:
    assert open_store(kind, NAME).kind == kind


def test_what_is_listed_has_no_place_for_tokens() -> None:
    from lexoffice_nb.oauth.keyring_store import Listed

    assert "tokens" not in {each.name for each in dataclasses.fields(Listed)}
