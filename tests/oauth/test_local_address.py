"""The sandbox on this machine is believed only when it is certainly this user's own."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import requests

from lexoffice_nb.errors import DiscoveryError
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.sandbox import Sandbox
from tests.oauth.signing_in import refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's sandbox."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path)
    return tmp_path / "sandbox"


def announce(folder: Path, issuer: object) -> None:
    """Writes the address as the sandbox's process does."""
    path = folder / "address.json"
    path.touch(0o600)
    path.write_text(json.dumps({"issuer": issuer, "pid": os.getpid(), "instance": "x"}))


def not_found() -> None:
    refused(DiscoveryError, "discovery", "sandbox_not_running", lambda: Provider.named("sandbox"))


class Stranger:
    """Another user's server, which answers everything as the function says and remembers what it was asked."""

    def __init__(self, port: int, answer: Callable[[str], bytes]) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path.split("?")[0])
                body = answer(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def ended(folder: Path) -> tuple[int, bytes]:
    """The port of a sandbox that has ended, and what it once said of itself."""
    with Sandbox(data_dir=folder) as box:
        announce(folder, box.url)
        assert Provider.named("sandbox").issuer == box.url
        said = requests.get(f"{box.url}/sandbox/identity?nonce={'n' * 43}", timeout=5).content
    return box.port, said


def test_a_running_sandbox_is_found(box: Sandbox, folder: Path) -> None:
    announce(folder, box.url)
    assert Provider.named("sandbox").issuer == box.url


def test_an_impostor_who_repeats_the_old_identity_is_refused_and_asked_nothing_more(ended: tuple[int, bytes]) -> None:
    port, said = ended
    with Stranger(port, lambda _: said) as impostor:
        not_found()
        assert impostor.asked == ["/sandbox/identity"]


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"[]", b'{"proof": null}', b'{"proof": "\\ud800"}', b"[" * 4000, b"x" * 5000]
)
def test_an_impostor_who_says_anything_else_is_refused_too(ended: tuple[int, bytes], said: bytes) -> None:
    with Stranger(ended[0], lambda _: said) as impostor:
        not_found()
        assert impostor.asked == ["/sandbox/identity"]


def test_an_impostor_who_passes_the_challenge_on_to_the_real_sandbox_is_refused(box: Sandbox, folder: Path) -> None:
    with Stranger(0, lambda path: requests.get(box.url + path, timeout=5).content) as relay:
        announce(folder, relay.url)
        not_found()
        assert relay.asked == ["/sandbox/identity"]


def test_each_challenge_is_a_new_one(ended: tuple[int, bytes]) -> None:
    challenges: list[str] = []
    with Stranger(ended[0], lambda path: challenges.append(path) or b"{}"):  # type: ignore[func-returns-value]
        not_found()
        not_found()
    assert len(set(challenges)) == 2


def test_a_sandbox_that_has_ended_is_not_found(ended: tuple[int, bytes]) -> None:
    not_found()


@pytest.mark.parametrize(
    "issuer",
    [
        "https://sandbox.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\n",
        "http://127.0.0.1:0{port}",
        "http://127.0.0.1:99999",
        "http://localhost:{port}",
        "http://127.0.0.2:{port}",
        "http://127.0.0.1:80@evil.example:{port}",
        "",
        None,
        1,
    ],
)
def test_no_other_form_of_issuer_is_taken_from_the_file(box: Sandbox, folder: Path, issuer: object) -> None:
    announce(folder, issuer.format(port=box.port) if isinstance(issuer, str) else issuer)
    not_found()
    assert box.requests == []


def _linked(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("name", ["address.json", "identity-secret"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_linked, id="a planted link"),
        pytest.param(_pipe, id="a pipe"),
        pytest.param(lambda path: path.chmod(0o666), id="mode 0666"),
        pytest.param(lambda path: path.chmod(0o620), id="mode 0620"),
        pytest.param(lambda path: os.chown(path, NOBODY, NOBODY), id="another owner", marks=as_root),
        pytest.param(lambda path: path.write_bytes(b"\xff"), id="no text"),
        pytest.param(lambda path: path.write_text("[" * 4000), id="nested"),
        pytest.param(lambda path: path.write_text(path.read_text() + " " * 4096), id="too long"),
        pytest.param(lambda path: path.unlink(), id="missing"),
    ],
)
def test_a_file_that_is_not_certainly_ones_own_is_not_believed(
    box: Sandbox, folder: Path, name: str, spoil: Callable[[Path], object]
) -> None:
    announce(folder, box.url)
    spoil(folder / name)
    not_found()
    assert box.requests == []


def test_a_secret_that_others_can_read_proves_nothing(box: Sandbox, folder: Path) -> None:
    announce(folder, box.url)
    (folder / "identity-secret").chmod(0o604)
    not_found()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: folder.chmod(0o777), id="mode 0777"),
        pytest.param(lambda folder: folder.chmod(0o750), id="mode 0750"),
        pytest.param(lambda folder: os.chown(folder, NOBODY, NOBODY), id="another owner", marks=as_root),
        pytest.param(_linked, id="a planted link"),
    ],
)
def test_a_folder_that_is_not_certainly_ones_own_is_not_believed(
    box: Sandbox, folder: Path, spoil: Callable[[Path], object]
) -> None:
    announce(folder, box.url)
    spoil(folder)
    not_found()
    assert box.requests == []


def test_the_secret_is_in_no_frame_of_the_error(box: Sandbox, folder: Path) -> None:
    announce(folder, "http://127.0.0.1:1")
    secret = (folder / "identity-secret").read_text()
    with pytest.raises(DiscoveryError) as caught:
        Provider.named("sandbox")
    error: BaseException | None = caught.value
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            # pytest's own and this test's frames hold the secret for the comparison
            if frame.tb_frame.f_code.co_name != "test_the_secret_is_in_no_frame_of_the_error":
                assert secret not in repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        error = error.__context__
