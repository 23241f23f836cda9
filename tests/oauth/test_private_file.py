"""Files that only their owner can read: what is refused, and that a file is always the old or the new one."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.oauth import private_file
from lexoffice_nb.oauth.private_file import NotPrivateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
NOBODY = 65534
as_root = pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give a file away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    private_file.make_folder(folder)
    private_file.write(folder / "file", b"content")
    return folder / "file"


def refused(reason: str, act: Callable[[], object]) -> None:
    with pytest.raises(NotPrivateError) as caught:
        act()
    assert caught.value.reason == reason


class TestWriting:
    def test_gives_a_file_of_mode_0600_in_a_folder_of_mode_0700_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            private_file.make_folder(tmp_path / "above" / "own")
            private_file.write(tmp_path / "above" / "own" / "file", b"x")
        finally:
            os.umask(before)
        modes = [stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("above", "above/own", "above/own/file")]
        assert modes == [0o700, 0o700, 0o600]

    def test_leaves_nothing_beside_it(self, path: Path) -> None:
        private_file.write(path, b"new")
        assert [each.name for each in path.parent.iterdir()] == ["file"]

    def test_removes_what_a_writer_that_was_killed_left_a_minute_ago(self, path: Path) -> None:
        old, new, other = (path.with_name(name) for name in (".file.1", ".file.2", ".other.1"))
        for each in (old, new, other):
            each.touch(0o600)
        for each in (old, other):
            os.utime(each, (time.time() - 61, time.time() - 61))
        private_file.write(path, b"new")
        assert (old.exists(), new.exists(), other.exists()) == (False, True, True)

    def test_gives_another_time_each_time_though_the_clock_stands_still(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: 1_900_000_000 * 10**9)
        seen = []
        for _ in range(200):
            private_file.write(path, b"always the same")
            seen.append(path.stat().st_mtime_ns)
        assert {moment // 10**9 for moment in seen} == {1_899_999_999}
        assert len(set(seen)) == 200

    def test_that_fails_leaves_the_old_one_and_nothing_else(self, path: Path) -> None:
        with pytest.raises(TypeError):
            private_file.write(path, "no octets")  # type: ignore[arg-type]
        assert path.read_bytes() == b"content"
        assert len(list(path.parent.iterdir())) == 1


class TestReading:
    def test_gives_the_content(self, path: Path) -> None:
        assert private_file.read(path, 7) == b"content"

    def test_refuses_what_is_longer(self, path: Path) -> None:
        refused("size", lambda: private_file.read(path, 6))

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o611, 0o666])
    def test_refuses_what_others_can_use(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        refused("mode", lambda: private_file.read(path, 100))

    @as_root
    def test_refuses_what_is_another_users(self, path: Path) -> None:
        os.chown(path, NOBODY, NOBODY)
        refused("owner", lambda: private_file.read(path, 100))

    def test_refuses_a_link(self, path: Path) -> None:
        path.rename(path.with_name("real"))
        path.symlink_to("real")
        refused("kind", lambda: private_file.read(path, 100))

    def test_refuses_a_second_name(self, path: Path) -> None:
        path.with_name("second").hardlink_to(path)
        refused("kind", lambda: private_file.read(path, 100))

    @pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
    def test_refuses_what_is_no_file_at_once_and_leaves_none_open(self, path: Path, kind: str) -> None:
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path, 0o600)
        elif kind == "folder":
            path.mkdir(0o700)
        else:
            with socket.socket(socket.AF_UNIX) as bound:
                before = os.getcwd()  # noqa: PTH109 - a socket's path must be short
                os.chdir(path.parent)
                bound.bind(path.name)
                os.chdir(before)
        open_before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
        refused("kind", lambda: private_file.read(path, 100))
        if sys.platform == "linux":
            assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208

    def test_never_meets_a_half_while_another_thread_replaces(self, path: Path) -> None:
        end = threading.Event()
        contents = {b"content"} | {bytes([65 + n]) * 3000 for n in range(3)}

        def replace() -> None:
            while not end.is_set():
                for content in contents:
                    private_file.write(path, content)

        writer = threading.Thread(target=replace)
        writer.start()
        try:
            read = {private_file.read(path, 3000) for _ in range(2000)}
        finally:
            end.set()
            writer.join()
        assert read <= contents


class TestALock:
    def test_is_an_empty_private_file(self, tmp_path: Path) -> None:
        private_file.prepare_lock(tmp_path / "lock")
        state = (tmp_path / "lock").stat()
        assert (stat.S_IMODE(state.st_mode), state.st_size) == (0o600, 0)

    @pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
    def test_is_refused_where_it_is_a_link_and_what_it_points_to_stays(self, path: Path, make: str) -> None:
        lock = path.with_name("lock")
        getattr(lock, make)(path)
        refused("kind", lambda: private_file.prepare_lock(lock))
        assert path.read_bytes() == b"content"

    def test_is_refused_where_it_is_a_link_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to(tmp_path / "nothing")
        refused("kind", lambda: private_file.prepare_lock(tmp_path / "lock"))
        assert not (tmp_path / "nothing").exists()

    def test_is_refused_where_it_is_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "lock").mkdir(0o700)
        refused("kind", lambda: private_file.prepare_lock(tmp_path / "lock"))


class TestAFolder:
    def test_is_refused_where_it_is_a_link(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(path.parent)
        refused("kind", lambda: private_file.make_folder(tmp_path / "link"))

    @pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
    def test_is_refused_where_others_can_use_it_and_is_not_changed(self, path: Path, mode: int) -> None:
        path.parent.chmod(mode)
        refused("mode", lambda: private_file.make_folder(path.parent))
        assert stat.S_IMODE(path.parent.stat().st_mode) == mode

    @as_root
    def test_is_refused_where_it_is_another_users(self, path: Path) -> None:
        os.chown(path.parent, NOBODY, NOBODY)
        refused("owner", lambda: private_file.make_folder(path.parent))

    def test_tells_that_its_file_system_keeps_others_out(self, path: Path) -> None:
        assert private_file.keeps_modes(path.parent)
        assert len(list(path.parent.iterdir())) == 1


KILLED = """
import sys
from pathlib import Path
from lexoffice_nb.oauth import private_file
print("begins", flush=True)
n = 0
while True:
    n += 1
    private_file.write(Path(sys.argv[1]), (str(n % 10) * 20000).encode())
"""


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.soak)])
def test_a_writer_that_is_killed_at_any_instant_leaves_the_old_or_the_new_one(path: Path, times: int) -> None:
    private_file.write(path, b"0" * 20000)
    for number in range(times):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(number * 0.0037 % 0.05)
            writer.kill()
        content = private_file.read(path, 20000)
        assert len(content) == 20000
        assert len(set(content)) == 1
    for left in path.parent.glob(".file.*"):
        assert stat.S_IMODE(left.stat().st_mode) == 0o600
        os.utime(left, (time.time() - 61, time.time() - 61))
    private_file.write(path, b"the end")
    assert [each.name for each in path.parent.iterdir()] == ["file"]
