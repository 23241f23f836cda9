"""Who listens at a port, in words, with real programs listening."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from lexoffice_nb.notebook.port_holder import who_listens
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTEN = """
import os, pathlib, socket, sys, time
host, user, name = sys.argv[1:4]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listener = socket.create_server((host, 0), family=family)
if name:
    pathlib.Path("/proc/self/comm").write_text(name)
if user:
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
print(listener.getsockname()[1], flush=True)
time.sleep(30)
"""
# Everything is imported before the change of user, who may not be allowed to read this folder.
# A process that changes its user may not read its own /proc, where /proc/net is, until prctl(PR_SET_DUMPABLE, 1).
ASK_AS = """
import ctypes, os, sys
import psutil
import lexoffice_nb.texts.en
from lexoffice_nb.notebook.port_holder import who_listens
user, port, with_psutil = map(int, sys.argv[1:4])
if not with_psutil:
    sys.modules["psutil"] = None
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
    ctypes.CDLL(None).prctl(4, 1)
print(who_listens(port))
"""
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can start a program of another user"
)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads or writes Linux's /proc")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


@contextmanager
def listening(
    host: str = "127.0.0.1", *more: str, user: str = "", name: str = "", module: str = ""
) -> Iterator[tuple[int, int]]:
    """Another program that listens; gives its port and its process's number."""
    program = ["-m", module] if module else ["-c", LISTEN]
    with subprocess.Popen(
        [sys.executable, *program, host, user, name, *more], stdout=subprocess.PIPE, text=True, env=without_locale()
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def without_locale() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def asked_as(user: int, port: int, *, with_psutil: bool = True) -> str:
    return subprocess.run(
        [sys.executable, "-c", ASK_AS, str(user), str(port), str(int(with_psutil))],
        env=without_locale(),
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.strip()


def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def a_free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_another_program_is_named_with_its_process(host: str) -> None:
    with listening(host) as (port, pid):
        assert who_listens(port) == f"{psutil.Process(pid).name()} (process {pid})"


def test_it_is_said_in_german_too() -> None:
    use_language("de")
    with listening() as (port, pid):
        assert who_listens(port).endswith(f" (Prozess {pid})")


def test_this_very_process_is_named_as_this_notebook() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        assert who_listens(listener.getsockname()[1]) == f"this notebook itself (process {os.getpid()})"


def test_nobody_is_named_at_a_free_port() -> None:
    assert who_listens(a_free_port()) == ""


@pytest.mark.parametrize("platform", [sys.platform, "one without such tables"])
def test_a_connection_to_this_port_is_no_listener(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with closing(socket.create_connection(("127.0.0.1", port))), closing(listener.accept()[0]):
        listener.close()
        assert who_listens(port) == ""


@on_linux
@pytest.mark.parametrize("platform", ["linux", "one without such tables"])
def test_who_listens_at_another_address_of_this_machine_is_not_meant(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for _ in range(5):  # some other program may have this very port at 127.0.0.1
        with listening("127.0.0.2") as (port, pid), contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            named = who_listens(port)
            assert str(pid) not in named
            if named == "":
                return
    pytest.fail("somebody listens everywhere")


def test_two_programs_at_one_port_are_both_named() -> None:
    with listening("127.0.0.1") as (port, pid), closing(socket.create_server(("::1", port), family=socket.AF_INET6)):
        named = who_listens(port)
        assert f"(process {pid})" in named
        assert f"this notebook itself (process {os.getpid()})" in named


def test_one_program_at_both_addresses_is_named_once() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as first:
        port = first.getsockname()[1]
        with closing(socket.create_server(("::1", port), family=socket.AF_INET6)):
            assert who_listens(port) == f"this notebook itself (process {os.getpid()})"


def test_arguments_are_never_shown() -> None:
    with listening("127.0.0.1", "--client-secret=hunter2") as (port, pid):
        assert "--client-secret=hunter2" in psutil.Process(pid).cmdline()
        assert "hunter2" not in who_listens(port)


@on_linux
def test_arguments_in_a_title_that_a_program_gave_itself_are_never_shown() -> None:
    """psutil makes a long name from the first argument, which such a program has overwritten with its whole title."""
    name = "a-long-program-n"[:15]
    with subprocess.Popen(
        [f"{name}ame --token=hunter2", "-c", LISTEN, "127.0.0.1", "", name],
        executable=sys.executable,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            assert "hunter2" in psutil.Process(process.pid).name()
            assert who_listens(port) == f"{name} (process {process.pid})"
        finally:
            process.kill()


@on_linux
def test_a_name_with_escapes_is_made_harmless() -> None:
    with listening(name="a\x1b[31m\n\u202eb") as (port, pid):
        assert who_listens(port) == f"a [31m b (process {pid})"


@on_linux
def test_a_name_of_nothing_printable_is_no_name() -> None:
    with listening(name="\x1b\x07") as (port, _):
        assert who_listens(port) == "another program"


def test_another_kernel_of_this_person_is_another_notebook(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jupyter starts each as `python -m ipykernel_launcher`; here a module of that name that listens."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with open(os.path.join(tmp_path, "ipykernel_launcher.py"), "w") as file:  # noqa: PTH118, PTH123
        file.write(LISTEN)
    with listening(module="ipykernel_launcher") as (port, pid):
        assert who_listens(port) == f"another notebook of yours (process {pid})"
    if os.getuid() == 0:
        with listening(module="ipykernel_launcher", user=str(nobody())) as (port, pid):
            assert "notebook of yours" not in who_listens(port)


@needs_root
def test_root_sees_which_program_of_another_user_listens() -> None:
    with listening(user=str(nobody())) as (port, pid):
        assert who_listens(port).endswith(f"(process {pid})")


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_process_that_cannot_be_seen_is_a_program_of_another_user(host: str) -> None:
    with listening(host) as (port, _):
        assert asked_as(nobody(), port) == "a program of another user of this machine"


@on_linux
@needs_root
def test_without_psutil_linux_still_tells_another_users_program() -> None:
    with listening() as (port, _):
        assert asked_as(nobody(), port, with_psutil=False) == "a program of another user of this machine"


@on_linux
def test_without_psutil_a_program_of_ones_own_is_another_program_and_nobody_is_nobody() -> None:
    with listening() as (port, _):
        assert asked_as(0, port, with_psutil=False) == "another program"
    assert asked_as(0, port, with_psutil=False) == ""


@pytest.mark.parametrize(("host", "said"), [("127.0.0.1", "another program"), ("::1", "another program"), ("", "")])
def test_where_no_table_can_be_read_a_connection_tells(host: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "none that is known")

    def refuse(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    if not host:
        assert who_listens(a_free_port()) == said
        return
    with listening(host) as (port, _):
        assert who_listens(port) == said


def test_it_is_quick() -> None:
    took = []
    with listening() as (port, _):
        for _attempt in range(3):  # one may have to wait for its turn on a busy machine, and is not slow by itself
            began = time.monotonic()
            who_listens(port)
            took.append(time.monotonic() - began)
    assert min(took) < 0.5


@pytest.mark.parametrize("port", [-1, 0, 70_000])
def test_a_number_that_is_no_port_raises_nothing(port: int) -> None:
    assert who_listens(port) == ""
