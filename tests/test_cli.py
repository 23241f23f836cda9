"""The command line, as a process of its own."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from lexoffice_nb.cli import main
from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.sandbox.faults import Faults
from lexoffice_nb.sandbox.options import add_options, arguments_of, described, settings_of
from tests.keyring_session import KeyringSession

COMMAND = [sys.executable, "-c", "import sys; from lexoffice_nb.cli import main; sys.exit(main())"]


@pytest.fixture
def environment(tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "LC_ALL": "C.UTF-8"}


def run(environment, *arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_says_where_it_is_serves_and_ends_on_a_signal(environment, ending):
    port = free_port()
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"sandbox at http://127.0.0.1:{port}\n"
            with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=5) as page:
                assert page.status == 200
            process.send_signal(ending)
            said, complained = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, said, complained) == (0, "", "")


def test_an_interrupt_while_it_starts_shows_no_traceback(environment):
    with subprocess.Popen(
        [*COMMAND, "sandbox"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            time.sleep(0.25)
            process.send_signal(signal.SIGINT)
            _, complained = process.communicate(timeout=10)
        finally:
            process.kill()
    assert "lexoffice_nb" not in complained


@pytest.mark.parametrize("port", ["abc", "-1", "0", "65536", "1e3", "", "8" * 5000, "٣"])
def test_a_bad_port_is_refused_in_two_clear_lines(environment, port):
    done = run(environment, "sandbox", f"--port={port}")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 2)
    assert lines[0] == "usage: lexoffice-nb sandbox [options]"
    assert "choose a number from 1 to 65535" in lines[1]


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        *((f"--rate-limit={value}", "from 0.001 to 10000") for value in ("0", "-1", "fast", "nan", "inf", "1e9", "")),
        *((f"--vouchers={value}", "from 0 to 5000000") for value in ("-1", "1.5", "5000001", "٣", "9" * 5000)),
        *((f"--seed={value}", "a whole number") for value in ("-1", "x", "1.0", "9" * 19)),
        *((f"--faults={value}", "from 0 to 1") for value in ("1.1", "-0.1", "25%", "nan", ".5")),
    ],
)
def test_a_bad_option_of_the_sandbox_is_refused_in_two_clear_lines(option, remedy, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sandbox", option])
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert (ended.value.code, said.out, len(lines)) == (2, "", 2)
    assert lines[0] == "usage: lexoffice-nb sandbox [options]"
    assert remedy in lines[1]
    assert len(lines[1]) < 160


def test_the_options_of_the_sandbox_are_in_force_and_another_one_is_told_of_them(environment, tmp_path):
    options = ["--rate-limit", "0.01", "--seed", "7", "--faults", "0.5", "--vouchers", "0"]
    with subprocess.Popen(
        [*COMMAND, "sandbox", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            statuses = met_at(address, 40)
            plain, same = run(environment, "sandbox"), run(environment, "sandbox", *options)
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert {0, 500, 504} <= set(statuses)
    with Sandbox(data_dir=tmp_path / "box", settings=SandboxSettings(faults=Faults.storm(0.5, 7))) as box:
        assert statuses == met_at(box.url, 40)
    assert (plain.returncode, plain.stderr.splitlines()) == (
        1,
        [
            f"a sandbox runs already: {address}, with --rate-limit 0.01 --seed 7 --faults 0.5",
            "→ Its options are not the ones you asked for: end it first, then run this again; or use it as it is.",
        ],
    )
    assert (same.returncode, same.stderr.splitlines()) == (
        1,
        [f"a sandbox runs already: {address}", "→ Use that one, or end it first."],
    )


def met_at(address: str, times: int) -> list[int]:
    """The statuses that a client without a token meets; 0 where no answer came."""
    return [status_of(address) for _ in range(times)]


def status_of(address: str) -> int:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/v1/profile")
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


def test_a_limit_and_vouchers_from_the_command_line_reach_the_settings():
    parser = argparse.ArgumentParser()
    add_options(parser)
    chosen = parser.parse_args(["--rate-limit", "2", "--vouchers", "12345", "--seed", "3", "--faults", "0.25"])
    assert settings_of(chosen) == SandboxSettings(
        rate_limit=2.0, extra_vouchers=12345, seed=3, faults=Faults.storm(0.25, 3)
    )
    assert settings_of(parser.parse_args(["--port", "81"])) == SandboxSettings()
    again = parser.parse_args(arguments_of(chosen))
    assert (again, described(again)) == (chosen, "--rate-limit 2 --vouchers 12345 --seed 3 --faults 0.25")


def test_a_port_in_use_is_said_in_two_clear_lines(environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(environment, "sandbox", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert re.search("in use|cannot serve", lines[0])
    assert lines[1].startswith("→ ")
    assert "--port" in lines[1]


def test_a_second_sandbox_is_told_to_use_the_first_and_not_another_port(environment):
    with subprocess.Popen(
        [*COMMAND, "sandbox"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            done = run(environment, "sandbox", "--port", str(free_port()))
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"a sandbox runs already: {address}",
        "→ Use that one, or end it first.",
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["sandbox", "--help"]])
def test_help_names_what_there_is(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "sandbox" in capsys.readouterr().out


def test_no_command_is_no_traceback(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "command" in capsys.readouterr().err


# --- forget --all -----------------------------------------------------------------------------------------------------

REMEMBER = """
import json, sys
from lexoffice_nb.notebook.sign_in import login
session = login(profile=sys.argv[1], store=sys.argv[2])
print(json.dumps([session.tokens.access_token.reveal(), session.tokens.refresh_token.reveal()]))
"""


def answer(environment, said, *arguments):
    """Runs `forget` with an answer at its input; None is a closed input."""
    given = {"stdin": subprocess.DEVNULL} if said is None else {"input": said}
    return subprocess.run(
        [*COMMAND, "forget", *arguments], capture_output=True, text=True, env=environment, timeout=60, **given
    )


def remember(environment, profile, store):
    done = subprocess.run(
        [sys.executable, "-c", REMEMBER, profile, store],
        capture_output=True,
        text=True,
        env={**environment, "LEXOFFICE_SANDBOX_PERSON": "demo"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def sandbox_of(environment):
    return json.loads(Path(environment["XDG_DATA_HOME"], "lexoffice_nb", "sandbox", "address.json").read_text())["pid"]


def ended(pid: int) -> bool:
    """Whether a process is gone; one that has ended and that nobody has waited for counts."""
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


@pytest.fixture
def used(environment):
    """A user with remembered accounts, a sandbox that runs, and an own file of providers."""
    environment["XDG_CONFIG_HOME"] = str(Path(environment["HOME"]) / "config")
    own = Path(environment["XDG_CONFIG_HOME"], "lexoffice_nb", "providers.toml")
    own.parent.mkdir(parents=True)
    own.write_text('[mine]\nissuer = "https://login.example"\n')
    secrets = remember(environment, "one", "file") + remember(environment, "two", "file")
    yield environment, secrets, own
    answer(environment, None, "--all", "--yes")


def files_with(environment, secrets):
    files = [path for path in Path(environment["HOME"]).rglob("*") if path.is_file()]
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def test_forget_removes_accounts_and_sandbox_after_a_yes_and_leaves_the_persons_own_file(used):
    environment, secrets, own = used
    data, pid = Path(environment["XDG_DATA_HOME"]), sandbox_of(environment)
    assert len(files_with(environment, secrets)) == 2
    done = answer(environment, "yes\n", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 remembered accounts" in done.stdout
    assert "stay good at the provider" in done.stdout
    assert str(own) in done.stdout
    assert files_with(environment, secrets) == []
    assert not (data / "lexoffice_nb").exists()
    assert ended(pid)
    assert own.read_text().startswith("[mine]")
    again = answer(environment, None, "--all", "--yes")
    assert (again.returncode, again.stderr) == (0, ""), "there is nothing any more, which is no failure"


def test_forget_removes_copies_of_books_and_ends_the_workshops_sandbox(environment):
    data = Path(environment["XDG_DATA_HOME"], "lexoffice_nb")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = data / "books" / "a-copy" / "rows-1.parquet"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"an invoice")
    workshop = process.find_or_start(folder=data / "workshop", arguments=("--workshop",))
    done = answer(environment, None, "--all", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert not data.exists()
    assert ended(workshop.pid)


@pytest.mark.parametrize("said", ["no\n", "\n", "maybe\n", None])
def test_forget_without_a_yes_removes_nothing(used, said):
    environment, secrets, _ = used
    done = answer(environment, said, "--all")
    assert done.returncode == 1
    assert "Nothing was removed." in done.stdout
    assert "Traceback" not in done.stderr
    assert len(files_with(environment, secrets)) == 2
    assert not ended(sandbox_of(environment))


def test_forget_asks_and_understands_in_german(used):
    environment, secrets, _ = used
    done = answer({**environment, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}, "ja\n", "--all")
    assert done.returncode == 0, done.stderr
    assert "Konten" in done.stdout
    assert files_with(environment, secrets) == []


def test_forget_needs_all(environment):
    done = answer(environment, None)
    assert done.returncode == 2
    assert "--all" in done.stderr


def test_forget_of_an_interrupt_is_a_failure_and_no_traceback(used):
    environment, secrets, _ = used
    with subprocess.Popen(
        [*COMMAND, "forget", "--all"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, complained = process.communicate(timeout=20)
    assert process.returncode == 1
    assert complained == ""
    assert len(files_with(environment, secrets)) == 2


def test_forget_says_what_it_could_not_remove_and_fails(used):
    environment, secrets, _ = used
    folder = Path(environment["XDG_DATA_HOME"], "lexoffice_nb", "accounts")
    folder.chmod(0o777)  # somebody else could write there: nothing in it is touched
    try:
        done = answer(environment, None, "--all", "--yes")
    finally:
        folder.chmod(0o700)
    assert done.returncode == 1
    assert "Not removed: " in done.stderr
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(files_with(environment, secrets)) == 2


def test_forget_removes_what_is_in_the_keyring():
    with KeyringSession() as session:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "KEYRING_", "PYTHON_KEYR"))}
        environment = {**inherited, **session.environment, "LC_ALL": "C.UTF-8"}
        look = ["-c", "import keyring, sys; print(keyring.get_password('lexoffice_nb/accounts', sys.argv[1]))"]
        try:
            secrets = remember(environment, "one", "keyring")
            file = next(Path(environment["XDG_DATA_HOME"], "lexoffice_nb", "accounts").glob("*.json"))
            assert secrets[0] in session.python(*look, file.stem).stdout
        finally:
            done = answer(environment, "yes\n", "--all")
        assert (done.returncode, done.stderr) == (0, "")
        assert session.python(*look, file.stem).stdout.strip() == "None"
        assert not Path(environment["XDG_DATA_HOME"], "lexoffice_nb").exists()
        assert not session.has_prompted()
