"""The one process per user: found, started once, survived, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest
import requests

from lexoffice_nb.sandbox import Sandbox, process
from lexoffice_nb.sandbox.process import SandboxAddress, SandboxError, find, find_or_start, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(process.__file__).resolve().parents[2]
FIND_OR_START = "from lexoffice_nb.sandbox.process import find_or_start as f; a = f(); print(a.url, a.pid, a.instance)"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    yield platformdirs.user_data_path("lexoffice_nb") / "sandbox"
    stop()


def run_child(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=40, check=True
    ).stdout.strip()


def serve(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lexoffice_nb.sandbox", "--data-dir", str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while process._alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_start_find_and_stop(folder):
    assert find() is None
    assert stop() is False
    address = find_or_start()
    assert address == find() == find_or_start()
    assert run_child(FIND_OR_START).split() == [address.url, str(address.pid), address.instance]
    assert json.loads((folder / "address.json").read_text()) == {
        "issuer": address.url,
        "pid": address.pid,
        "instance": address.instance,
    }
    assert private(folder)
    assert all(private(path) for path in folder.iterdir())
    assert os.getsid(address.pid) != os.getsid(0)
    assert stop() is True
    assert find() is None
    assert not (folder / "address.json").exists()


def test_looking_for_it_imports_no_web_server():
    program = "import sys, lexoffice_nb.sandbox.process; print({'flask', 'authlib', 'werkzeug'} & set(sys.modules))"
    assert run_child(program) == "set()"


def test_a_killed_one_is_survived_and_port_instance_and_key_come_again(folder):
    first = find_or_start()
    key = (folder / "signing-key.json").read_bytes()
    os.kill(first.pid, signal.SIGKILL)
    wait_until_gone(first.pid)
    assert (folder / "address.json").exists()
    assert find() is None
    second = find_or_start()
    assert (second.url, second.instance) == (first.url, first.instance)
    assert second.pid != first.pid
    assert (folder / "signing-key.json").read_bytes() == key


def test_another_port_is_taken_when_the_old_one_is_held(folder):
    first = find_or_start()
    stop()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", int(first.url.rsplit(":", 1)[1])))
        holder.listen()
        second = find_or_start()
        assert second.url != first.url
        assert second.instance == first.instance


def test_processes_that_start_it_at_once_get_the_same_one(folder):
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(run_child, [FIND_OR_START] * 4))
    assert len(found) == 1


def test_it_ends_when_nobody_asks_and_takes_its_address_back(folder):
    begun = time.monotonic()
    assert serve(folder, "--idle-minutes", "0.005").returncode == 0
    assert 0.3 <= time.monotonic() - begun < 10
    assert not (folder / "address.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal(folder, number):
    address = find_or_start()
    os.kill(address.pid, number)
    wait_until_gone(address.pid)
    assert not (folder / "address.json").exists()


def test_an_address_that_is_no_longer_its_own_is_left_alone(folder):
    address = find_or_start()
    other = SandboxAddress("http://127.0.0.1:9", address.pid, "another")
    process.write_address(folder, other)
    assert find() is None
    os.kill(address.pid, signal.SIGTERM)
    wait_until_gone(address.pid)
    assert json.loads((folder / "address.json").read_text())["instance"] == "another"


def test_a_second_server_on_the_same_folder_is_refused_with_the_address_of_the_first(folder):
    address = find_or_start()
    second = serve(folder)
    assert second.returncode == 1
    assert address.url in second.stderr


def test_a_taken_port_and_a_folder_that_cannot_be_are_one_line_errors(folder, tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        refused = serve(folder, "--port", str(holder.getsockname()[1]))
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match=r"^the sandbox cannot be started: .*file"):
        find_or_start(folder=tmp_path / "file")


def test_a_server_that_ends_at_once_is_an_error_with_its_reason(folder):
    folder.mkdir(parents=True)
    (folder / "signing-key.json").write_text("{}")
    (folder / "signing-key.json").chmod(0o644)
    with pytest.raises(SandboxError, match=r"^the sandbox did not start: .*not private"):
        find_or_start()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--rate-limit 2 --seed 7", "--rate-limit 2 --seed 7"),
        ("--faults 0.25", "--faults 0.25"),
        ("", ""),
        ("\x1b[31m --seed 7", ""),
        ("--seed 7\n", ""),
        ("--seed 7 ", ""),
        ("--seed 7 and some words of a stranger", ""),
        ("--seed 7 " * 4000, ""),
        (7, ""),
    ],
)
def test_the_options_of_a_running_sandbox_are_known_if_they_can_be_its_own(box, tmp_path, written, read):
    folder = tmp_path / "data"
    process.write_address(folder, SandboxAddress(box.url, os.getpid(), box.instance, written))
    found = find(folder)
    assert found is not None
    assert found.options == read


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.chmod(0o644),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(path.read_text().replace("127.0.0.1", "evil.example")),
        lambda path: path.write_text(path.read_text().replace("127.0.0.1:", "127.0.0.1:80@evil.example:")),
        lambda path: path.write_text(path.read_text().replace('"pid": ', '"pid": -')),
        lambda path: path.write_text(path.read_text().replace('"pid": ', '"pid": 99999')),
        lambda path: path.write_text("[" * 60000),
        lambda path: (path.parent / "identity-secret").chmod(0o644),
        lambda path: (path.parent / "identity-secret").write_text("0" * 64),
        lambda path: (path.parent / "identity-secret").write_text("ä"),
        lambda path: (path.parent / "identity-secret").unlink(),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text(path.read_text() + " " * 70000),
        lambda path: path.rename(path.with_suffix(".real")) and path.symlink_to(path.with_suffix(".real")),
    ],
)
def test_an_address_file_that_is_not_certainly_ours_is_not_believed(box, tmp_path, spoil):
    folder = tmp_path / "data"
    process.write_address(folder, SandboxAddress(box.url, os.getpid(), box.instance))
    assert find(folder) is not None
    spoil(folder / "address.json")
    assert find(folder) is None


def test_a_stranger_on_the_port_is_not_believed(tmp_path):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        process.write_address(
            tmp_path, SandboxAddress(f"http://127.0.0.1:{stranger.getsockname()[1]}", os.getpid(), "x")
        )
        assert find(tmp_path) is None  # it accepts and says nothing
    assert find(tmp_path) is None


@pytest.fixture
def impostor(tmp_path) -> Iterator[Impostor]:
    """A stranger's server at the port of a sandbox that has ended, who kept what that one once said."""
    folder = tmp_path / "data"
    with Sandbox(data_dir=folder) as box:
        old = requests.get(f"{box.url}/sandbox/identity?nonce={'n' * 43}", timeout=5).json()
        port, instance = box.port, box.instance
        process.write_address(folder, SandboxAddress(box.url, os.getpid(), instance))
        assert find(folder) is not None
    with Impostor(port, {**old, "instance": instance}) as server:
        yield server


class Impostor:
    """A server that gives one answer to everything."""

    def __init__(self, port: int, answer: dict[str, str]) -> None:
        self.asked: list[str] = []
        body, asked = json.dumps(answer).encode(), self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path.split("?")[0])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_an_impostor_on_the_same_port_who_repeats_the_old_identity_is_not_found(impostor, tmp_path):
    assert find(tmp_path / "data") is None
    assert impostor.asked == ["/sandbox/identity"]


def test_no_process_is_signalled_whose_server_does_not_prove_itself(impostor, tmp_path, monkeypatch):
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(number))
    assert stop(folder=tmp_path / "data") is False
    assert set(signals) <= {0}


def test_a_sandbox_that_answers_for_another_port_is_not_found(tmp_path):
    with Sandbox(data_dir=tmp_path / "data") as box:
        relay = Relay(box.url)
        with relay as url:
            process.write_address(tmp_path / "data", SandboxAddress(url, os.getpid(), box.instance))
            assert find(tmp_path / "data") is None
    assert relay.answers == [200]


class Relay:
    """A server that asks another one and gives its answer as its own."""

    def __init__(self, behind: str) -> None:
        self.answers: list[int] = []
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = requests.get(behind + self.path, timeout=5)
                answers.append(answer.status_code)
                self.send_response(answer.status_code)
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_zombie_counts_as_dead():
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked for it
        os.kill(child, 0)
        assert not process._alive(child)
        assert process._alive(os.getpid())
    finally:
        os.waitpid(child, 0)


def test_the_clients_environment_is_not_handed_to_the_server(folder, monkeypatch):
    monkeypatch.setenv("LEXOFFICE_API_KEY", "planted-secret")
    address = find_or_start()
    assert b"planted-secret" not in Path(f"/proc/{address.pid}/environ").read_bytes()
