"""The one sandbox process of a user: find it, start it, stop it.

Light on purpose: a notebook imports this to look for a running sandbox, and needs no web server for that.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock, Timeout

from lexoffice_nb.sandbox.identity import proves, read_secret
from lexoffice_nb.sandbox.options import is_described
from lexoffice_nb.sandbox.private_files import (
    NotPrivate,
    create_private_file,
    make_private_folder,
    read_private_file,
    write_private_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_ISSUER = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]{0,4})")
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# The child must find this very package without putting the notebook's folder first, whose files could shadow modules.
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); import runpy;"
    " runpy.run_module('lexoffice_nb.sandbox', None, '__main__')"
)
# Kept so that a child is reaped when it ends, and is not complained about while it lives.
_children: list[subprocess.Popen[bytes]] = []


class SandboxError(RuntimeError):
    """The sandbox could not be started or stopped; the message is one line that says why."""


@dataclass(frozen=True)
class SandboxAddress:
    """Where the running sandbox answers.

    Attributes:
        url: Its base URL, which is the issuer.
        pid: Its process.
        instance: Its name, which stays the same over restarts.
        options: The options it was started with, as they are typed; empty for a sandbox as usual.
    """

    url: str
    pid: int
    instance: str
    options: str = ""


def data_dir() -> Path:
    """Where this user's sandbox keeps its things."""
    return platformdirs.user_data_path("lexoffice_nb") / "sandbox"


def workshop_dir() -> Path:
    """Where this user's sandbox of the workshop keeps its things: it never meets the usual one."""
    return platformdirs.user_data_path("lexoffice_nb") / "workshop"


def find(folder: Path | None = None) -> SandboxAddress | None:
    """The running sandbox, if there is one and it is ours.

    The address file must be private to this user, its process alive, and the server at the address must prove that it
    knows the secret of this user's sandbox.
    """
    folder = folder or data_dir()
    address = _read_address(folder)
    if address is None or not _alive(address.pid) or not _is_ours(address.url, folder):
        return None
    return address


def find_or_start(timeout: float = 20, folder: Path | None = None, arguments: Sequence[str] = ()) -> SandboxAddress:
    """The running sandbox, started if there is none. Two processes that call this at once get the same one.

    Args:
        timeout: Seconds that it may take.
        folder: Where it keeps its things.
        arguments: Options on the command line of a sandbox that has to be started.

    Raises:
        SandboxError: It did not start in time, or ended at once.
    """
    folder = folder or data_dir()
    if (found := find(folder)) is not None:
        return found
    deadline = time.monotonic() + timeout
    try:
        make_private_folder(folder)
        with FileLock(folder / "start.lock", timeout=timeout, mode=0o600):
            return find(folder) or _start(folder, deadline, arguments)
    except Timeout:
        raise SandboxError(f"another process is starting the sandbox and did not finish in {timeout:g} s") from None
    except (OSError, NotPrivate) as error:
        raise SandboxError(f"the sandbox cannot be started: {error}") from None


def stop(timeout: float = 10, folder: Path | None = None) -> bool:
    """End the running sandbox; False if there was none.

    Raises:
        SandboxError: It did not end in time.
    """
    folder = folder or data_dir()
    address = find(folder)  # no signal to a process whose server has not just proved itself
    if address is None:
        return False
    os.kill(address.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while _alive(address.pid):
        if time.monotonic() > deadline:
            raise SandboxError(f"the sandbox (process {address.pid}) did not end in {timeout:g} s")
        time.sleep(0.05)
    remove_address(folder, address)
    return True


def write_address(folder: Path, address: SandboxAddress) -> None:
    """Tell this user's other processes where the sandbox answers."""
    content = {"issuer": address.url, "pid": address.pid, "instance": address.instance}
    text = json.dumps({**content, "options": address.options} if address.options else content)
    write_private_file(folder / "address.json", text + "\n")


def remove_address(folder: Path, address: SandboxAddress) -> None:
    """Take the address back, unless another sandbox has written its own since."""
    if _read_address(folder) == address:
        (folder / "address.json").unlink(missing_ok=True)


def _read_address(folder: Path) -> SandboxAddress | None:
    try:
        content = json.loads(read_private_file(folder / "address.json"))
    except (OSError, NotPrivate, ValueError, RecursionError):
        return None
    match content:
        case {"issuer": str(url), "pid": int(pid), "instance": str(instance)} if _ISSUER.fullmatch(url) and pid > 0:
            options = content.get("options")
            known = isinstance(options, str) and is_described(options)
            return SandboxAddress(url, pid, instance, options if known else "")
    return None


def _alive(pid: int) -> bool:
    for child in _children:
        if child.pid == pid and child.poll() is not None:
            return False
    if os.name != "posix":
        return True  # a signal would end the process there; that it answers has to do
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):  # gone, another user's, or no process number at all
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    # It takes signals as long as its parent does not ask for it, but nothing serves any more.
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone just now, or a system without /proc, where the server's proof has to do
        return False
    return state.rpartition(")")[2].split()[:1] in (["Z"], ["X"])  # the name before it may hold spaces and brackets


def _is_ours(url: str, folder: Path) -> bool:
    nonce = secrets.token_urlsafe(32)
    try:
        secret = read_secret(folder)
    except (OSError, NotPrivate, ValueError):
        return False
    answer = _proof_from(url, nonce)
    return answer is not None and proves(answer, secret, nonce, url)


def _proof_from(url: str, nonce: str) -> str | None:
    port = int(url.rsplit(":", 1)[1])
    # http.client knows nothing of proxies, netrc or redirects, and nothing of those is wanted here.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", f"/sandbox/identity?nonce={nonce}")
        response = connection.getresponse()
        content = json.loads(response.read(4096)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError, OverflowError):
        return None
    finally:
        connection.close()
    match content:
        case {"proof": str(proof)}:
            return proof
    return None


def _start(folder: Path, deadline: float, arguments: Sequence[str]) -> SandboxAddress:
    log_file = folder / "sandbox.log"
    create_private_file(log_file)
    # Nothing of the client's configuration, some of which is secret, has any business in the server's environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEXOFFICE_")}
    with log_file.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-c", _START, str(_PACKAGE_ROOT), "--data-dir", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    _children.append(child)
    while time.monotonic() < deadline:
        address = find(folder)
        if address is not None:
            return address
        if child.poll() is not None:
            lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with status {child.returncode}"
            raise SandboxError(f"the sandbox did not start: {reason}")
        time.sleep(0.05)
    child.terminate()
    raise SandboxError(f"the sandbox did not answer in time; see {log_file}")
