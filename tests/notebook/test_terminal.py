"""The sign-in in a real terminal: a script, and IPython itself."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import fcntl
import pty
import struct
import termios

from lexoffice_nb.errors import SignedOut
from lexoffice_nb.notebook.terminal import read_kernel, sign_in_terminal
from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import browse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.notebook.terminal_reader import Wake
    from lexoffice_nb.sandbox import Sandbox

SCRIPT = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
import lexoffice_nb
before = termios.tcgetattr(0)
try:
    session = lexoffice_nb.login(OPTIONS)
    print("COMPANY", session.get("/v1/profile").json()["companyName"])
except BaseException as error:
    print("ENDED", type(error).__name__, getattr(error, "code", ""))
import threading
from lexoffice_nb.notebook import sign_in
print("RESTORED", termios.tcgetattr(0) == before, "THREADS", threading.active_count())
"""
LINK = re.compile(rb"http://127\.0\.0\.1:\d+/connect/authorize\?[^\s\x1b]+")
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *command: str, folder: Path) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 2000, 0, 0))
        self.child = subprocess.Popen(
            [sys.executable, *command],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            cwd=folder,
            env={**os.environ, "TERM": "dumb", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self.shown = b""
        self.transcript = b""

    def until(self, what: bytes | re.Pattern[bytes], seconds: float = 20) -> bytes:
        """Reads until something is shown, and gives it; what was shown before it is done with."""
        pattern = what if isinstance(what, re.Pattern) else re.compile(re.escape(what))
        end = time.monotonic() + seconds
        while not (found := pattern.search(self.shown)):
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{pattern.pattern!r} was not shown, but {self.shown!r}"
            read = os.read(self.master, 65536)
            self.transcript += read
            self.shown += ESCAPES.sub(b"", read)
        self.shown = self.shown[found.end() :]
        return found[0]

    def type(self, data: str) -> None:
        left = data.encode()
        while left:
            left = left[os.write(self.master, left[:512]) :]
            time.sleep(0.001)

    def paste(self, text: str) -> None:
        """As terminals paste: in brackets, then Enter."""
        self.type(f"\x1b[200~{text}\x1b[201~\r")

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(box: Sandbox, tmp_path: Path) -> Iterator[object]:
    with contextlib.ExitStack() as opened:

        def run(*command: str) -> Terminal:
            started = Terminal(*command, folder=tmp_path)
            opened.callback(started.close)
            return started

        yield run


def script(terminal, options: str = "") -> Terminal:
    return terminal("-c", SCRIPT.replace("OPTIONS", options))


def link_in(shown: Terminal) -> str:
    return shown.until(LINK).decode()


def port_of(link: str) -> int:
    return int(urlsplit(parse_qs(urlsplit(link).query)["redirect_uri"][0]).port or 0)


def test_a_caught_callback_ends_the_prompt_by_itself(terminal) -> None:
    shown = script(terminal)
    shown.until(b"it leads to 127.0.0.1:")
    link = link_in(shown)
    shown.until(b"paste its address here: ")
    assert browse(sign_in(link))[0] == 200
    shown.until("Signed in: Muster & Söhne GmbH at Sandbox on this machine".encode())
    shown.until("COMPANY Muster & Söhne GmbH".encode())
    shown.until(b"RESTORED True")


def test_a_pasted_callback_of_16000_characters_signs_in(terminal) -> None:
    shown = script(terminal, "loopback=False")
    callback = sign_in(link_in(shown))
    shown.until(b"that cannot be reached here: ")
    padded = f"{callback}&padding="
    padded += "x" * (16_000 - len(padded))
    shown.paste(padded)
    shown.until(b"COMPANY")
    shown.until(b"RESTORED True")


def test_a_wrong_paste_is_explained_and_asked_again_without_a_new_link(terminal) -> None:
    shown = script(terminal, "loopback=False")
    link = link_in(shown)
    for pasted, said in (
        ("hello there", "That is no address of a web page."),
        ("x" * 16_001, "That is longer than any callback URL (16000 characters)."),
        (link, "That is the address of the login page"),
        ("http://127.0.0.1:1/callback?code=a&state=b", "Invalid state parameter"),
    ):
        shown.until(b"that cannot be reached here: ")
        shown.paste(pasted)
        shown.until(said.encode())
    shown.until(b"that cannot be reached here: ")
    shown.paste(sign_in(link))
    shown.until(b"COMPANY")


def test_nothing_that_is_pasted_is_shown(terminal) -> None:
    shown = script(terminal, "loopback=False")
    callback = sign_in(link_in(shown))
    shown.until(b"that cannot be reached here: ")
    code = callback.partition("code=")[2].partition("&")[0].encode()
    shown.paste(callback)
    shown.until(b"RESTORED True")
    assert b"COMPANY" in shown.transcript
    assert code not in shown.transcript


def test_a_refusal_that_is_caught_is_explained_and_the_new_link_is_shown(terminal) -> None:
    shown = script(terminal)
    first = link_in(shown)
    shown.until(b"paste its address here: ")
    assert browse(sign_in(first, allow=False))[0] == 400
    shown.until(b"The permission was refused at the provider")
    second = link_in(shown)
    assert second != first
    assert browse(sign_in(second))[0] == 200
    shown.until(b"COMPANY")


def test_ctrl_c_gives_the_port_back_and_restores_the_terminal(terminal) -> None:
    shown = script(terminal)
    link = link_in(shown)
    shown.until(b"paste its address here: ")
    shown.type("\x03")
    shown.until(b"ENDED KeyboardInterrupt")
    shown.until(b"RESTORED True THREADS 1")
    with pytest.raises(ConnectionRefusedError):
        browse(f"http://127.0.0.1:{port_of(link)}/callback?code=1&state=2")


def test_the_end_of_the_input_ends_the_sign_in(terminal) -> None:
    shown = script(terminal)
    shown.until(b"paste its address here: ")
    shown.type("\x04")
    shown.until(b"ENDED SignedOut signed_out_no_person")
    shown.until(b"RESTORED True THREADS 1")


def test_a_provider_that_is_unknown_ends_it_with_its_error(terminal) -> None:
    shown = script(terminal, "provider='nobody'")
    shown.until(b"ENDED DiscoveryError unknown_provider")


def test_an_api_key_is_asked_for_and_a_wrong_one_explained(terminal, box: Sandbox) -> None:
    shown = script(terminal, "api_key=True")
    shown.until(f"You make a key here: {box.url}/addons/public-api".encode())
    shown.until(b"Paste the API key: ")
    shown.paste("wrong")
    shown.until(b"does not know this API key")
    shown.until(b"Paste the API key: ")
    shown.paste(box.make_api_key())
    shown.until(b"COMPANY")


def test_login_from_a_pipe_fails_at_once_and_says_what_to_set(box: Sandbox, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lexoffice_nb; lexoffice_nb.login()"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "LEXOFFICE_SANDBOX_PERSON=demo" in done.stderr


def test_in_ipython_the_magic_signs_in_and_ctrl_c_comes_back_to_the_prompt(terminal) -> None:
    shown = terminal("-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor", "--no-confirm-exit")
    shown.until(b"In [1]: ")
    shown.type("%load_ext lexoffice_nb\r")
    shown.until(b"In [2]: ")
    shown.type("%lexoffice_login\r")
    link = link_in(shown)
    shown.until(b"paste its address here: ")
    os.killpg(shown.child.pid, signal.SIGINT)  # what Ctrl-C sends to a program that leads its terminal
    before = len(shown.transcript)
    shown.until(b"KeyboardInterrupt: the sign-in was stopped; nobody was signed in.")
    shown.until(b"In [3]: ")
    said = shown.transcript[before:]
    assert b"Traceback" not in said
    assert len(said.split(b"\n")) < 8
    with pytest.raises(ConnectionRefusedError):
        browse(f"http://127.0.0.1:{port_of(link)}/callback?code=1&state=2")
    shown.type("%lexoffice_login\r")
    link = link_in(shown)
    shown.until(b"paste its address here: ")
    assert browse(sign_in(link))[0] == 200
    shown.until("Signed in: Muster & Söhne GmbH".encode())
    shown.until(b"In [4]: ")
    shown.type("lexoffice.get('/v1/profile').json()['companyName']\r")
    shown.until("'Muster & Söhne GmbH'".encode())


def test_in_a_kernel_enter_before_the_answer_is_answered_so(
    new_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, prompts = new_flow(), []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        if len(prompts) == 2:
            browse(sign_in(flow.link))
        return ""

    monkeypatch.setattr("getpass.getpass", answer)
    assert sign_in_terminal(flow, read_kernel).signed_in
    shown = capsys.readouterr().out
    assert "No answer has come yet. Finish the sign-in in the browser, then press Enter." in shown
    assert "Nothing was pasted" not in shown
    assert (len(prompts), shown.count(" sign in to ")) == (2, 1)


def refuse_to_go_on(_: str, __: Wake) -> None:
    """Whoever is asked for the address goes away."""
    raise SignedOut("signed_out_waiting")


OWN_ENTRY = """
[my-bank]
authorization_endpoint = "https://login.bank.example/authorize"
token_endpoint = "https://token.bank.example/token"
api_base = "https://api.bank.example"
client_id = "me"
"""


@pytest.fixture
def own_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path)
    (tmp_path / "providers.toml").write_text(OWN_ENTRY)
    (tmp_path / "providers.toml").chmod(0o600)


@pytest.mark.usefixtures("own_entry")
def test_it_names_where_the_code_goes_and_what_an_error_page_means(
    new_flow: Callable[..., LoginFlow], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SignedOut):
        sign_in_terminal(new_flow(provider="my-bank"), refuse_to_go_on)
    shown = capsys.readouterr().out
    assert "sign in to my-bank (from your own file); it leads to login.bank.example:\n" in shown
    assert "The code goes to token.bank.example.\n" in shown
    assert "If the login page shows an error: check client ID and redirect URI" in shown
    assert "It asks to" not in shown


def test_of_the_sandbox_it_says_neither(new_flow: Callable[..., LoginFlow], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SignedOut):
        sign_in_terminal(new_flow(), refuse_to_go_on)
    shown = capsys.readouterr().out
    assert "The code goes to" not in shown
    assert "shows an error" not in shown


@pytest.mark.usefixtures("own_entry")
@pytest.mark.parametrize(
    ("redirect_uri", "asked"),
    [
        ("https://www.example.com/callback", "Then paste the address that the browser ends at here: "),
        (None, "Then paste the address of the page that cannot be reached here: "),
    ],
)
def test_it_asks_for_the_page_that_the_browser_will_really_show(
    new_flow: Callable[..., LoginFlow], redirect_uri: str | None, asked: str
) -> None:
    prompts = []

    def read(prompt: str, wake: Wake) -> None:
        prompts.append(prompt)
        refuse_to_go_on(prompt, wake)

    with pytest.raises(SignedOut):
        sign_in_terminal(new_flow(provider="my-bank", redirect_uri=redirect_uri, loopback=False), read)
    assert prompts == [asked]


def test_in_a_kernel_the_prompt_asks_for_enter_and_promises_nothing_else(
    new_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel's input cannot be ended from outside, so that nothing goes on by itself there."""
    flow, prompts = new_flow(), []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        browse(sign_in(flow.link))
        return ""

    monkeypatch.setattr("getpass.getpass", answer)
    sign_in_terminal(flow, read_kernel)
    assert flow.state == "signed_in"
    assert len(prompts) == 1
    assert "press Enter" in prompts[0]
    assert "by itself" not in prompts[0]
