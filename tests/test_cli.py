"""The command line, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.request import ProxyHandler, build_opener

import pytest

from lexoffice_nb.cli import main

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
    assert lines[0] == "usage: lexoffice-nb sandbox [-h] [--port PORT]"
    assert "choose a number from 1 to 65535" in lines[1]


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
