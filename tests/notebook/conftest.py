"""A sandbox over real HTTP that stands for the user's own one, real shells and real kernels in front of it."""

from __future__ import annotations

import atexit
import http.client
import logging
import os
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from lexoffice_nb.notebook.environment import forget_secrets
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.sign_in_request import GivenSecrets, SignInRequest
from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.texts import use_language
from tests.keyring_session import forget_the_choice
from tests.notebook.kernels import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOMES = {
    "HOME": "home",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "XDG_STATE_HOME": "state",
    "XDG_RUNTIME_DIR": "run",
    "IPYTHONDIR": "ipython",
    "JUPYTER_DATA_DIR": "jupyter-data",
    "JUPYTER_CONFIG_DIR": "jupyter-config",
    "JUPYTER_RUNTIME_DIR": "jupyter-runtime",
}


def eventually(what: Callable[[], object], seconds: float = 10) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"it did not become so; threads: {our_threads()}"
        time.sleep(0.02)


def browse(url: str, seconds: float = 20) -> tuple[int, str]:
    """Fetches a page as a browser would; without a library that logs addresses."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def our_threads() -> list[str]:
    """The threads that this test has begun. Those that interrupt at any instant may leave some behind."""
    mine = (t for t in threading.enumerate() if t not in _before)
    return [t.name for t in mine if t.name.startswith(("lexoffice-nb", "loopback"))]


_before: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@pytest.fixture(autouse=True)
def _threads_before() -> None:
    _before.clear()
    _before.update(threading.enumerate())


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folders of a user who has nothing yet, as environment variables."""
    base = tmp_path_factory.mktemp("user")
    folders = {variable: base / name for variable, name in HOMES.items()}
    for folder in folders.values():
        folder.mkdir(mode=0o700)
    return {variable: str(folder) for variable, folder in folders.items()}


@pytest.fixture(scope="session")
def one_box(homes: dict[str, str]) -> Iterator[Sandbox]:
    """A sandbox in a thread, announced as the one process of this user."""
    folder = Path(homes["XDG_DATA_HOME"]) / "lexoffice_nb" / "sandbox"
    with Sandbox(data_dir=folder) as box:
        address = process.SandboxAddress(box.url, os.getpid(), box.instance)
        process.write_address(folder, address)
        yield box
        process.remove_address(folder, address)


@pytest.fixture
def box(one_box: Sandbox) -> Iterator[Sandbox]:
    """The user's sandbox. What a test switches is switched back."""
    yield one_box
    vars(one_box.settings).update(vars(SandboxSettings()))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, homes: dict[str, str]) -> Iterator[None]:
    for variable in [v for v in os.environ if v.startswith("LEXOFFICE_") or v.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    for variable, folder in homes.items():
        monkeypatch.setenv(variable, folder)
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    # No keyring, neither that of whoever runs the tests nor one that another test had for itself.
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={homes['HOME']}/no-bus")
    forget_the_choice()
    use_language(None)
    yield
    use_language(None)
    forget_the_choice()
    forget_secrets()  # those of the environment, which are taken out of it


@pytest.fixture
def ip(tmp_path: Path) -> Iterator[InteractiveShell]:
    """A shell in this process, without history."""
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    yield shell
    if "lexoffice_nb" in shell.extension_manager.loaded:
        shell.extension_manager.unload_extension("lexoffice_nb")
    shell.history_manager.end_session()
    atexit.unregister(shell.atexit_operations)  # else it lives, and is reset at the end like hundreds of others
    InteractiveShell.clear_instance()


@pytest.fixture
def loaded(ip: InteractiveShell) -> InteractiveShell:
    """A shell with the extension."""
    ip.run_line_magic("load_ext", "lexoffice_nb")
    return ip


@pytest.fixture
def as_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted person signs in where nobody is there."""
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "demo")


@pytest.fixture
def new_flow(box: Sandbox) -> Iterator[Callable[..., LoginFlow]]:
    """Makes flows at the sandbox; they are closed afterwards."""
    flows: list[LoginFlow] = []

    def make(secrets: GivenSecrets | None = None, **asked: object) -> LoginFlow:
        flows.append(LoginFlow(SignInRequest(**asked), secrets))  # type: ignore[arg-type]
        return flows[-1]

    yield make
    for flow in flows:
        flow.close()
        flow.session.forget()


@pytest.fixture(scope="module")
def new_kernel(homes: dict[str, str], one_box: Sandbox) -> Iterator[Callable[..., Kernel]]:
    """Starts kernels in the user's folders; they end with the module."""
    kernels: list[Kernel] = []

    def start(*arguments: str, **environment: str) -> Kernel:
        kernels.append(Kernel(homes, arguments, environment))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.stop()


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, from DEBUG on."""
    with caplog.at_level(logging.DEBUG):
        yield caplog
