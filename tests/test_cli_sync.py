"""`lexoffice-nb sync`, as a process of its own: unattended, in a terminal, interrupted."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.sandbox.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from lexoffice_nb.cli import main; sys.exit(main())", "sync"]
IN_FULL = re.compile(r"^/v1/(?!voucherlist|profile|contacts)[a-z-]+/[0-9a-f-]{36}$")
SECONDS = 60


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox, announced as the one of the user whose data is in `tmp_path`."""
    folder = tmp_path / "data" / "lexoffice_nb" / "sandbox"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    with Sandbox(data_dir=folder, settings=SandboxSettings(faults=Faults())) as box:
        address = process.SandboxAddress(box.url, os.getpid(), box.instance)
        process.write_address(folder, address)
        yield box
        process.remove_address(folder, address)


@pytest.fixture
def environment(box: Sandbox, tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "XDG_", "LC_", "LANG"))}
    folders = {f"XDG_{name.upper()}_HOME": str(tmp_path / name) for name in ("data", "state", "config", "cache")}
    bus = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/no-bus"}
    return {
        **kept,
        **folders,
        **bus,
        "HOME": str(tmp_path),
        "LEXOFFICE_API_KEY": box.make_api_key("kanzlei"),
        "TERM": "xterm",
    }


def sync(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=SECONDS, check=False
    )


def fetched(box: Sandbox) -> list[str]:
    return [each.path for each in box.requests if IN_FULL.match(each.path)]


def eventually(what: object) -> None:
    end = time.monotonic() + SECONDS / 2
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.05)


def test_a_key_of_the_environment_syncs_and_the_next_time_fetches_nothing(
    environment: dict[str, str], box: Sandbox
) -> None:
    first = sync(environment)
    assert (first.returncode, first.stderr) == (0, "")
    assert "66 vouchers, 65 documents, 6 contacts; 0 missing" in first.stdout
    assert len(fetched(box)) == len(set(fetched(box))) == 65
    again = sync(environment)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert len(fetched(box)) == 65
    assert environment["LEXOFFICE_API_KEY"] not in first.stdout + again.stdout


def test_a_remembered_profile_syncs_without_anybody_there(environment: dict[str, str], box: Sandbox) -> None:
    remember = "from lexoffice_nb.notebook.sign_in import login; login(profile='tax', store='file', api_key=True)"
    plain = {k: v for k, v in environment.items() if k != "LEXOFFICE_API_KEY"}
    told = {**plain, "LEXOFFICE_SANDBOX_PERSON": "kanzlei"}
    code = remember.replace(", api_key=True", "")
    subprocess.run([sys.executable, "-c", code], env=told, timeout=SECONDS, check=True, capture_output=True)
    done = sync(plain, "--profile", "tax")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(fetched(box)) == 65


@pytest.mark.usefixtures("box")
def test_nobody_signed_in_is_said_in_two_lines_and_nobody_is_asked(environment: dict[str, str]) -> None:
    del environment["LEXOFFICE_API_KEY"]
    began = time.monotonic()
    done = sync(environment)
    assert done.returncode == 1
    assert time.monotonic() - began < SECONDS / 4
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "LEXOFFICE_API_KEY" in done.stderr
    assert lines[1].startswith("→ ")


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("locale", "what", "then"),
    [
        ("C", "nobody is remembered as profile kanzlei-a at the provider sandbox", "tick on the card"),
        ("de_DE.UTF-8", "niemand als Profil kanzlei-a beim Anbieter sandbox gemerkt", "Haken zum Merken"),
    ],
)
def test_a_profile_that_nobody_knows_is_named_with_how_to_remember_it(
    environment: dict[str, str], locale: str, what: str, then: str
) -> None:
    del environment["LEXOFFICE_API_KEY"]
    done = sync({**environment, "LC_ALL": locale}, "--profile", "kanzlei-a")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 2)
    assert what in lines[0]
    assert "%lexoffice_login --provider sandbox --profile kanzlei-a" in lines[1]
    assert then in lines[1]


def test_payments_are_read_when_they_are_asked_for(environment: dict[str, str], box: Sandbox) -> None:
    assert sync(environment, "--payments").returncode == 0
    assert any(path.startswith("/v1/payments/") for path in fetched(box))


def test_full_reads_the_list_again(environment: dict[str, str], box: Sandbox) -> None:
    sync(environment)

    def rows() -> int:
        return sum(each.path == "/v1/voucherlist" for each in box.requests)

    before = rows()
    sync(environment)
    increment, before = rows() - before, rows()
    assert sync(environment, "--full").returncode == 0
    assert rows() - before > increment or increment <= 2


def in_terminal(environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Starts it with a terminal for its output, as a session leader that Ctrl-C reaches."""
    near, far = pty.openpty()
    run = subprocess.Popen(COMMAND, stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True)
    os.close(far)
    return run, near


def read_all(near: int) -> str:
    said = b""
    with suppress(OSError):  # a terminal whose other side is closed
        while more := os.read(near, 65536):
            said += more
    os.close(near)
    return said.decode()


def test_in_a_terminal_one_line_says_how_far_it_is(environment: dict[str, str], box: Sandbox) -> None:
    box.faults.slow = 0.03
    run, near = in_terminal(environment)
    said = read_all(near)
    assert run.wait(SECONDS) == 0
    assert re.search(r"\r\x1b\[K\d+ of 65 documents · about \d+ s left", said)
    assert re.search(r"\r\x1b\[K65 documents · read in \d+ s\r\n", said)
    assert "0 missing" in said.splitlines()[-2] + said.splitlines()[-1]


@pytest.mark.parametrize("after", [3, 30])
def test_ctrl_c_stops_it_cleanly_and_the_next_time_goes_on(
    environment: dict[str, str], box: Sandbox, after: int
) -> None:
    """The third request is still of the list; the thirtieth is for a document."""
    box.faults.slow = 0.05
    run, near = in_terminal(environment)
    eventually(lambda: len(box.requests) >= after)
    run.send_signal(signal.SIGINT)
    said = read_all(near)
    assert run.wait(SECONDS) == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "Stopped. What is here stays, and the next sync goes on from here."
    box.faults.slow = 0.0
    done = sync(environment)
    assert (done.returncode, "0 missing" in done.stdout) == (0, True)
    assert len(set(fetched(box))) == 65
    assert len(fetched(box)) <= 66  # the one that was on its way


def test_it_speaks_german(environment: dict[str, str], box: Sandbox) -> None:
    box.faults.slow = 0.05
    with subprocess.Popen(
        COMMAND, stderr=subprocess.PIPE, text=True, env={**environment, "LC_ALL": "de_DE.UTF-8"}
    ) as run:
        eventually(lambda: len(box.requests) >= 20)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=SECONDS)
    assert (run.returncode, said) == (
        130,
        "Beendet. Was da ist, bleibt, und der nächste Abgleich geht hier weiter.\n",
    )


def test_where_another_one_is_at_it_nothing_is_done_and_said_so(environment: dict[str, str], box: Sandbox) -> None:
    box.faults.slow = 0.5
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as first:
        eventually(lambda: any(IN_FULL.match(each.path) for each in box.requests))
        second = sync(environment)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=SECONDS)
    lines = second.stderr.splitlines()
    assert (second.returncode, second.stdout, len(lines)) == (1, "", 2)
    assert lines[1].startswith("→ ")
    assert len(fetched(box)) == len(set(fetched(box)))
