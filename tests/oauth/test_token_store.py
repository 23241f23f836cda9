"""Where tokens are kept: what is read is what was kept, and whatever was tampered with is refused and left alone."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import pickle
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import InternalError, StoreError
from lexoffice_nb.oauth.token_store import (
    MOST_ADOPTIONS,
    Account,
    AccountName,
    Binding,
    FileStore,
    Kept,
    MemoryStore,
    accounts_folder,
    check_profile,
    open_store,
)
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from tests.modeless import ModelessFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
NOBODY = 65534
as_root = pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs a second user, or a mount")
NAME = AccountName("sandbox", "kanzlei-a")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECRETS = ("access-not-for-any-eye", "refresh-not-for-any-eye", "id-not-for-any-eye")


def kept(name: AccountName = NAME, **changes: Any) -> Kept:
    """What there is to keep, with a value in each member."""
    values = {
        "name": name,
        "binding": Binding("https://issuer.example", "client", "https://token.example", "https://api.example"),
        "kind": "oauth",
        "tokens": TokenSet(
            Secret(SECRETS[0]),
            NOON,
            ("openid", "profile"),
            Secret(SECRETS[1]),
            Secret(SECRETS[2]),
            MappingProxyType({"sub": "1", "nested": {"list": [1, None]}}),
        ),
        "family": "abc",
        "asked": ("openid",),
        "stale_at": NOON - timedelta(minutes=5),
        "generation": 7,
        "renewing_since": NOON - timedelta(minutes=1),
        "remembered_until": NOON + timedelta(days=30),
        "who": Account("Büro & Söhne", "Ä", "a@example.com", "o\ud800"),
        **changes,
    }
    return Kept(**values).adopted_by("notebook.ipynb")


def same(one: Kept | None, other: Kept) -> bool:
    return one is not None and dataclasses.replace(one, tokens=other.tokens) == other and one.tokens == other.tokens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "accounts"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(NAME, folder)


@pytest.fixture
def saved(store: FileStore) -> FileStore:
    store.save(kept())
    return store


def refused(code: str, act: Callable[[], object]) -> StoreError:
    """Asserts that it is refused for this reason, and that nothing of it shows a secret."""
    with pytest.raises(StoreError) as caught:
        act()
    assert caught.value.code == code, caught.value
    shows_nothing(caught.value)
    return caught.value


def code_of(act: Callable[[], object]) -> str:
    try:
        act()
    except StoreError as error:
        return error.code
    return ""


def shows_nothing(error: BaseException) -> None:
    from IPython.core.ultratb import VerboseTB

    ours = error.__traceback__
    while ours is not None and not str(ours.tb_frame.f_globals.get("__name__")).startswith("lexoffice_nb"):
        ours = ours.tb_next  # the frames of the test itself have the secrets
    assert ours is not None
    shown = [str(error), repr(error), *VerboseTB(theme_name="nocolor").structured_traceback(type(error), error, ours)]
    if isinstance(error, StoreError):
        shown += [error.what(language) + error.next(language) for language in ("en", "de")]
    for secret in SECRETS:
        assert secret not in "".join(shown)


class TestEveryStore:
    @pytest.fixture(params=["memory", "file"])
    def any_store(self, request: pytest.FixtureRequest, store: FileStore) -> MemoryStore | FileStore:
        return MemoryStore() if request.param == "memory" else store

    def test_gives_what_was_kept(self, any_store: FileStore) -> None:
        before = kept()
        any_store.save(before)
        assert same(any_store.load(), before)

    def test_has_nothing_at_first_and_after_the_end(self, any_store: FileStore) -> None:
        assert any_store.load() is None
        any_store.delete()
        any_store.save(kept())
        any_store.delete()
        assert any_store.load() is None

    def test_has_another_stamp_after_each_change(self, any_store: FileStore) -> None:
        stamps = [any_store.stamp()]
        for _ in range(20):
            any_store.save(kept())
            stamps.append(any_store.stamp())
            assert any_store.stamp() == stamps[-1]
        any_store.delete()
        assert any_store.stamp() != stamps[-1]
        assert len(set(stamps)) == 21

    def test_names_its_place(self, any_store: FileStore) -> None:
        assert any_store.place()

    def test_gives_the_right_to_renew_to_one_at_a_time(self, any_store: FileStore) -> None:
        with any_store.renewing() as held, any_store.changing():
            assert held
        with any_store.renewing(wait=False) as held:
            assert held


class TestAFile:
    def test_gives_back_each_member(self, store: FileStore) -> None:
        before = kept()
        store.save(before)
        after = FileStore(NAME, store.folder).load()
        assert same(after, before)

    def test_gives_back_what_has_no_optional_member(self, store: FileStore) -> None:
        before = Kept(NAME, Binding("", "", "", ""), "key", TokenSet(Secret("k")))
        store.save(before)
        assert same(store.load(), before)

    @pytest.mark.case("statement/26-token-file")
    def test_threat_30_is_private_like_its_folder_and_its_locks(self, saved: FileStore) -> None:
        with saved.renewing(), saved.changing():
            pass
        assert stat.S_IMODE(saved.folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in saved.folder.iterdir()} == {0o600}

    def test_lies_under_the_platforms_data_directory(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        if sys.platform == "linux":
            assert accounts_folder() == tmp_path / "lexoffice_nb" / "accounts"
        assert FileStore(NAME).folder == accounts_folder()

    def test_keeps_a_list_of_uses_that_ends(self, store: FileStore) -> None:
        many = kept()
        for number in range(50):
            many = many.adopted_by(str(number))
        store.save(many)
        read = store.load()
        assert read is not None
        assert [one.where for one in read.adoptions] == [str(n) for n in range(50 - MOST_ADOPTIONS, 50)]

    def test_is_removed_with_what_a_killed_writer_left(self, saved: FileStore) -> None:
        saved.path.with_name(f".{saved.path.name}.0123").write_text(SECRETS[1])
        saved.delete()
        assert list(saved.folder.iterdir()) == []

    def test_says_whose_account_and_which_kind_it_is(self, saved: FileStore) -> None:
        assert saved.kept_who() == kept().who
        assert saved.kept_in() == "file"

    def test_that_would_be_longer_than_what_is_read_is_not_written(self, saved: FileStore) -> None:
        before = saved.path.read_bytes()
        refused("store_too_large", lambda: saved.save(kept(tokens=TokenSet(Secret("x" * 300_000)))))
        assert saved.path.read_bytes() == before


def cut(store: FileStore) -> None:
    store.path.write_bytes(store.path.read_bytes()[:100])


def rewrite(change: Callable[[dict[str, Any]], None]) -> Callable[[FileStore], None]:
    def tamper(store: FileStore) -> None:
        entry = json.loads(store.path.read_bytes())
        change(entry)
        store.path.write_text(json.dumps(entry))

    return tamper


def aside(store: FileStore) -> Path:
    return store.folder / "elsewhere"


def replace_by_link(store: FileStore) -> None:
    store.path.rename(aside(store))
    store.path.symlink_to(aside(store))


def replace_by_pipe(store: FileStore) -> None:
    store.path.unlink()
    os.mkfifo(store.path, 0o600)


def replace_by_folder(store: FileStore) -> None:
    store.path.unlink()
    store.path.mkdir(0o700)


def replace_folder_by_link(store: FileStore) -> None:
    store.folder.rename(store.folder.with_name("real"))
    store.folder.symlink_to("real")


def copy_from_another(store: FileStore) -> None:
    other = FileStore(AccountName("sandbox", "kanzlei-b"), store.folder)
    other.save(kept(other.name))
    shutil.copy2(other.path, store.path)


TAMPERED: dict[str, tuple[str, Callable[[FileStore], object]]] = {
    "file open to the group": ("store_mode", lambda store: store.path.chmod(0o640)),
    "file open to all": ("store_mode", lambda store: store.path.chmod(0o604)),
    "folder open to all": ("store_mode", lambda store: store.folder.chmod(0o755)),
    "link": ("store_kind", replace_by_link),
    "second name": ("store_kind", lambda store: aside(store).hardlink_to(store.path)),
    "pipe": ("store_kind", replace_by_pipe),
    "folder": ("store_kind", replace_by_folder),
    "folder is a link": ("store_kind", replace_folder_by_link),
    "300 KiB": ("store_size", lambda store: store.path.write_bytes(b" " * 300 * 1024)),
    "newer format": ("store_newer", rewrite(lambda entry: entry.update(format=2))),
}
DAMAGED: dict[str, Callable[[FileStore], object]] = {
    "empty": lambda store: store.path.write_bytes(b""),
    "cut": cut,
    "no UTF-8": lambda store: store.path.write_bytes(b'{"format": 1, "\xff": 1}'),
    "deep": lambda store: store.path.write_bytes(b"[" * 200_000),
    "long number": lambda store: store.path.write_bytes(b'{"format": ' + b"9" * 5000 + b"}"),
    "list": lambda store: store.path.write_bytes(b"[1]"),
    "format is true": rewrite(lambda entry: entry.update(format=True)),
    "format is 0": rewrite(lambda entry: entry.update(format=0)),
    "another account's": copy_from_another,
    "claims are a list": rewrite(lambda entry: entry["tokens"].update(claims=[])),
    "token of two lines": rewrite(lambda entry: entry["tokens"].update(access_token="a\nb: c")),
    "empty token": rewrite(lambda entry: entry["tokens"].update(refresh_token="")),
    "time without a zone": rewrite(lambda entry: entry.update(stale_at="2030-01-01T00:00:00")),
    "time beyond all": rewrite(lambda entry: entry.update(stale_at="9999-12-31T23:59:59-23:59")),
    "generation is a text": rewrite(lambda entry: entry.update(generation="7")),
    "binding without an issuer": rewrite(lambda entry: entry["binding"].pop("issuer")),
    "name is a list": rewrite(lambda entry: entry.update(name=["sandbox"])),
    "uses are a number": rewrite(lambda entry: entry.update(adoptions=1)),
}


def snapshot(folder: Path) -> list[tuple[object, ...]]:
    """Everything there is, to the time of the last change."""
    found = []
    for each in sorted(folder.rglob("*")):
        state = each.lstat()
        content = (state.st_mtime_ns, each.read_bytes()) if stat.S_ISREG(state.st_mode) else None
        found.append((each.name, state.st_mode, state.st_uid, state.st_ino, content))
    return found


class TestWhatWasTamperedWith:
    @pytest.mark.parametrize(("code", "tamper"), TAMPERED.values(), ids=TAMPERED)
    def test_is_neither_read_nor_overwritten(
        self, saved: FileStore, code: str, tamper: Callable[[FileStore], object], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        tamper(saved)
        before = snapshot(saved.folder.parent)
        refused(code, saved.load)
        refused(code, lambda: saved.save(kept()))
        assert snapshot(saved.folder.parent) == before
        assert all(secret not in caplog.text for secret in SECRETS)

    @as_root
    @pytest.mark.parametrize("what", ["file", "folder", "link"])
    def test_is_refused_where_it_is_another_users(self, saved: FileStore, what: str) -> None:
        if what == "link":
            replace_by_link(saved)
            os.chown(saved.path, NOBODY, NOBODY, follow_symlinks=False)
        else:
            os.chown(saved.path if what == "file" else saved.folder, NOBODY, NOBODY)
        before = snapshot(saved.folder.parent)
        code = "store_kind" if what == "link" else "store_owner"
        refused(code, saved.load)
        refused(code, lambda: saved.save(kept()))
        assert snapshot(saved.folder.parent) == before

    @pytest.mark.parametrize("tamper", DAMAGED.values(), ids=DAMAGED)
    def test_is_not_used_where_it_is_damaged_but_a_new_sign_in_replaces_it(
        self, saved: FileStore, tamper: Callable[[FileStore], object]
    ) -> None:
        tamper(saved)
        before = snapshot(saved.folder)
        refused("store_damaged", saved.load)
        assert snapshot(saved.folder) == before
        saved.save(kept())
        assert saved.load() is not None

    def test_is_damaged_wherever_it_was_cut(self, saved: FileStore) -> None:
        whole = saved.path.read_bytes()
        for length in range(len(whole)):
            saved.path.write_bytes(whole[:length])
            with pytest.raises(StoreError, match="damaged"):
                saved.load()

    def test_gives_an_error_or_something_to_use_whichever_bit_is_flipped(self, saved: FileStore) -> None:
        whole, codes = saved.path.read_bytes(), set()
        for at in range(len(whole)):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << at % 8
            saved.path.write_bytes(flipped)
            codes.add(code_of(saved.load))
        assert codes == {"", "store_damaged", "store_newer"}

    def test_is_read_where_members_are_unknown(self, saved: FileStore) -> None:
        before = saved.load()
        assert before is not None
        rewrite(lambda entry: entry.update(later=1) or entry["who"].update(later=2) or entry["tokens"].update(x=3))(
            saved
        )
        assert same(saved.load(), before)

    @pytest.mark.parametrize("what", ["renew", "change"])
    def test_threat_30_is_refused_where_a_lock_is_a_link(self, saved: FileStore, tmp_path: Path, what: str) -> None:
        target = tmp_path / "target"
        target.write_text("precious")
        target.chmod(0o600)
        (saved.folder / f"{NAME.key}.{what}.lock").symlink_to(target)
        refused("store_kind", lambda: (saved.renewing() if what == "renew" else saved.changing()).__enter__())
        assert target.read_text() == "precious"

    def test_is_no_place_for_locks(self, saved: FileStore) -> None:
        saved.folder.chmod(0o777)
        refused("store_mode", lambda: saved.changing().__enter__())
        assert [each.name for each in saved.folder.iterdir()] == [saved.path.name]

    def test_is_not_removed_through_a_link_in_place_of_the_folder(self, saved: FileStore) -> None:
        replace_folder_by_link(saved)
        refused("store_kind", saved.delete)
        assert saved.path.exists()


AS_NOBODY = """
import filelock, os, sys
from lexoffice_nb.oauth import keyring_store  # whatever is imported later may be out of that user's reach
from lexoffice_nb.texts import de, en
from pathlib import Path
from lexoffice_nb.errors import StoreError
from lexoffice_nb.oauth.token_store import *
from lexoffice_nb.oauth.tokens import Secret, TokenSet
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
store = FileStore(AccountName("sandbox", "kanzlei-a"), Path(sys.argv[1]))
for act in (store.load, lambda: store.save(Kept(store.name, Binding("", "", "", ""), "key", TokenSet(Secret("k")))),
            lambda: store.changing().__enter__(), store.delete):
    try:
        act()
        print("done")
    except StoreError as error:
        print(error.code)
"""


def as_nobody(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), str(folder)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@as_root
class TestAnotherUser:
    """Really another one: root itself may do everything."""

    @pytest.fixture
    def open_above(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        top = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
        top.chmod(0o755)
        yield top
        shutil.rmtree(top)

    def test_can_use_neither_anothers_folder_nor_their_file(self, open_above: Path) -> None:
        store = FileStore(NAME, open_above / "accounts")
        store.save(kept())
        assert as_nobody(store.folder) == ["store_owner"] * 4
        assert store.load() is not None

    def test_is_told_that_the_folder_above_cannot_be_written(self, open_above: Path) -> None:
        assert as_nobody(open_above / "accounts") == ["done", "store_unwritable", "store_unwritable", "done"]

    def test_is_told_that_the_folder_cannot_be_written(self, open_above: Path) -> None:
        folder = open_above / "accounts"
        folder.mkdir(0o500)
        os.chown(folder, NOBODY, NOBODY)
        assert as_nobody(folder) == ["done", "store_unwritable", "store_unwritable", "done"]

    def test_is_told_that_the_folder_above_cannot_be_searched(self, open_above: Path) -> None:
        FileStore(NAME, open_above / "accounts").save(kept())
        open_above.chmod(0o700)
        assert as_nobody(open_above / "accounts") == [
            "store_unreadable", "store_unwritable", "store_unwritable", "store_unwritable",
        ]  # fmt: skip


def fill(filler: Any) -> None:
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system as Linux does")
class TestAFullDisk:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[FileStore]:
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False).returncode:
            pytest.skip("no mount is allowed here")
        try:
            yield FileStore(NAME, disk / "accounts")
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_is_told_and_leaves_the_old_one(self, small: FileStore) -> None:
        small.save(kept())
        before = small.path.read_bytes()
        with (small.folder / "filler").open("wb", buffering=0) as filler:
            fill(filler)
        refused("store_full", lambda: small.save(kept(generation=8)))
        assert small.path.read_bytes() == before
        assert not list(small.folder.glob(".*"))
        small.delete()
        assert small.load() is None


@as_root
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="mounts a file system as Linux does")  # noqa: PTH110
@pytest.mark.parametrize("folders", [0o755, 0o700], ids=["nor folders", "but folders"])
def test_threat_30_a_file_system_that_keeps_nobody_out_gets_no_token(tmp_path: Path, folders: int) -> None:
    place = tmp_path / "stick"
    place.mkdir()
    try:
        mounted = ModelessFileSystem(place, folders=folders).__enter__()
    except OSError:
        pytest.skip("no mount is allowed here")
    try:
        store = FileStore(NAME, place / "data" / "accounts")
        refused("store_no_modes", lambda: store.save(kept()))
        refused("store_no_modes", lambda: store.changing().__enter__())
        assert not store.path.exists()
        assert mounted.written == b""
    finally:
        mounted.__exit__()


def test_a_limit_on_the_size_of_files_leaves_the_old_one(saved: FileStore) -> None:
    before, limits = saved.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(StoreError) as caught:
            saved.save(kept(generation=8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "store_full"
    assert saved.path.read_bytes() == before
    assert [each.name for each in saved.folder.iterdir()] == [saved.path.name]


WORKER = """
import sys, time
from pathlib import Path
from lexoffice_nb.oauth.token_store import *
from lexoffice_nb.oauth.tokens import Secret, TokenSet
store = FileStore(AccountName("sandbox", "kanzlei-a"), Path(sys.argv[1]))
for _ in range(40):
    with store.changing():
        kept = store.load()
        number = kept.generation + 1 if kept else 1
        tokens = TokenSet(Secret(f"a{number}" * 500), refresh_token=Secret(f"r{number}" * 500))
        store.save(Kept(store.name, Binding("i", "c", "t", "a"), "oauth", tokens, generation=number))
    seen = store.load()
    assert seen.tokens.access_token.reveal() == f"a{seen.generation}" * 500
    assert seen.tokens.refresh_token.reveal() == f"r{seen.generation}" * 500
    assert seen.generation >= number
"""


def test_four_processes_at_once_lose_no_change_and_never_read_a_half(store: FileStore) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(store.folder)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    read = store.load()
    assert read is not None
    assert read.generation == 160


HOLDER = """
import sys, time
from pathlib import Path
from lexoffice_nb.oauth.token_store import *
store = FileStore(AccountName("sandbox", "kanzlei-a"), Path(sys.argv[1]))
with store.renewing():
    print("held", flush=True)
    time.sleep(30)
"""


def test_a_lock_that_another_process_holds_is_waited_for_and_free_when_that_one_is_killed(
    saved: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", HOLDER, str(saved.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder, contextlib.ExitStack() as stack:
        assert holder.stdout is not None
        stack.callback(holder.kill)
        holder.stdout.readline()
        with saved.renewing(wait=False) as held:
            assert not held
        monkeypatch.setattr("lexoffice_nb.oauth.token_store.LOCK_SECONDS", 0.1)
        began = time.monotonic()
        refused("store_busy", lambda: saved.renewing().__enter__())
        assert time.monotonic() - began < 2
        with saved.changing():  # a log-out waits for nobody
            pass
    with saved.renewing() as held:
        assert held


class TestANameForAProfile:
    @pytest.mark.parametrize("name", ["default", "kanzlei-a", "Büro 2", "a@b.de", "x" * 64, "CON"])
    def test_is_what_people_write(self, name: str) -> None:
        assert check_profile(name) == name

    def test_is_one_however_its_letters_are_typed(self) -> None:
        assert check_profile("Bu\u0308ro") == "Büro"

    @pytest.mark.parametrize(
        "name",
        ["", "../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "C:x", "a\0b", "x" * 300, " a", "a ", "a\n", "~", "-a"],
    )
    def test_is_no_path_and_not_longer_than_64(self, name: str) -> None:
        refused("profile_name", lambda: check_profile(name))
        refused("profile_name", lambda: open_store("file", AccountName("sandbox", name)))

    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", "a\0b", "x" * 300, "CON", "\ud800"])
    def test_never_gets_out_of_the_folder_even_unchecked(self, folder: Path, name: str) -> None:
        path = FileStore(AccountName(name, name), folder).path
        assert path.parent == folder
        assert len(path.stem) == 32
        assert path.stem.isalnum()


def test_what_is_kept_is_neither_pickled_nor_shown(saved: FileStore) -> None:
    read = saved.load()
    assert all(secret not in f"{read!r}{read}" for secret in SECRETS)
    with pytest.raises(TypeError):
        pickle.dumps(read)


def test_a_mistake_while_writing_shows_no_token(saved: FileStore) -> None:
    with pytest.raises(InternalError) as caught:
        saved.save(kept(asked=(object(),)))
    shows_nothing(caught.value)
