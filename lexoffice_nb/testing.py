"""Fixtures for pytest, with which you test your own notebooks and exercises against a sandbox of the test's own.

    # conftest.py, beside your tests
    pytest_plugins = ["lexoffice_nb.testing"]

    # test_mine.py
    def test_my_notebook_finds_the_open_invoices(lexoffice_notebook):
        run = lexoffice_notebook("my_notebook.ipynb")
        assert "open invoices" in run.text

    def test_my_function(lexoffice_session):
        assert turnover(lexoffice_session) > 0

    def test_my_attack(lexoffice_workshop):
        my_attack(lexoffice_workshop.exercise(1))
        assert lexoffice_workshop.check(1).off.done

Everything runs on this machine: real servers on loopback, real HTTP, a real kernel. It ends with the test. Your own
sandbox, settings, tokens, proxies and keyring are not touched: each test is a user who has nothing yet.

It needs pytest, and for `lexoffice_notebook` also nbclient and ipykernel. It is tried on Linux.
"""

from __future__ import annotations

import hashlib
import html
import importlib.util
import json
import os
import re
import site
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.metadata import forget_metadata
from lexoffice_nb.oauth.presets import preset
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.sandbox import Sandbox, process
from lexoffice_nb.sandbox import person as scripted
from lexoffice_nb.sandbox.private_files import make_private_folder, read_private_file, write_private_file
from lexoffice_nb.sandbox.signing import signing_key
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import use_language
from lexoffice_nb.workshop.workshop import Workshop
from lexoffice_nb.workshop.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "NotebookFailed",
    "NotebookRun",
    "NotebookRunner",
    "Person",
    "SecretFound",
    "assert_no_secrets",
    "lexoffice_home",
    "lexoffice_notebook",
    "lexoffice_person",
    "lexoffice_sandbox",
    "lexoffice_session",
    "lexoffice_workshop",
    "sign_in",
]

REDIRECT_URI = "http://127.0.0.1:51234/callback"  # nothing listens there: the scripted person does not follow it
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_FOLDERS = {
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
_OTHER_KERNELS = ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
_LANGUAGE = ("LC_ALL", "LC_MESSAGES", "LANGUAGE")


class NotebookFailed(AssertionError):
    """A notebook did not run to its end; the message has the cell, its source and its error."""


class SecretFound(AssertionError):
    """A notebook holds a secret; the message says which one and where, and not its value."""


# --- the person -------------------------------------------------------------------------------------------------------


class Person:
    """A scripted person who signs in at a sandbox, over HTTP, with the clicks of a real one."""

    def __call__(self, login_url: str | Secret, *, person: str = "demo", allow: bool = True) -> Secret:
        """Opens a login URL, signs in, and allows what it asks for, or refuses.

            login.handle_callback(lexoffice_person(login.get_login_url()))

        Args:
            login_url: The authorization request (RFC 6749 section 4.1.1); it has to lead to this machine.
            person: `demo` (Erika Muster) or `kanzlei`.
            allow: Whether to allow.

        Returns:
            The callback URL, with a code or an error. It is not fetched. `reveal()` gives it as a string.

        Raises:
            ValueError: The login URL leads to another machine.
            lexoffice_nb.sandbox.person.SignInFailed: The pages led nowhere; the message says where it ended.
        """
        __tracebackhide__ = True
        url = login_url if isinstance(login_url, Secret) else Secret(login_url)
        if urlsplit(url.reveal()).hostname not in _LOOPBACK:
            raise ValueError("the scripted person signs in at a sandbox on this machine only")
        try:
            return Secret(scripted.sign_in(url.reveal(), person, allow))
        except scripted.SignInFailed as error:
            failed = scripted.SignInFailed(str(error))
        raise failed  # out here: the frames of the other one hold the callback

    def __repr__(self) -> str:
        return "lexoffice_person(login_url, person='demo', allow=True)"


def sign_in(sandbox: Sandbox, person: str = "demo", scopes: Iterable[str] | str | None = None) -> LexofficeSession:
    """Signs a person in at a running sandbox; use the session in a `with`, or call its `logout()`.

    Args:
        sandbox: Where.
        person: `demo` or `kanzlei`.
        scopes: What is asked for; what `%lexoffice_login` asks for unless something is given.
    """
    provider = Provider.discover(sandbox.url, name="sandbox")
    asked = preset("sandbox").values["scopes"] if scopes is None else scopes
    login = LexofficeLogin("lexoffice-nb", REDIRECT_URI, asked, provider)
    login.handle_callback(Person()(login.get_login_url(), person=person))
    return LexofficeSession.from_login(login)


# --- notebooks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NotebookRun:
    """A notebook after it ran to its end.

    Attributes:
        path: The file, which is as it was.
        notebook: The notebook with its outputs (an `nbformat.NotebookNode`).
        cells: What each code cell shows, as plain text, in order.
        solved: The workshop's exercises of which both halves are done, as `{1, 2}`, whatever language it was in. The
            notebook's own kernel says so, so it is as honest as the code in it.
        failures: The cells that failed, in words, where `keep_going` was asked for.
    """

    path: Path
    notebook: Any = field(repr=False)
    cells: tuple[str, ...] = field(repr=False)
    solved: frozenset[int] = frozenset()
    failures: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What all code cells show, as plain text."""
        return "\n".join(shown for shown in self.cells if shown)


class NotebookRunner:
    """Runs notebooks from top to bottom, as `Run All` does, against the test's own sandbox.

    Args:
        home: The folders of the test's user.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        person: str | None = "demo",
        folder: Path | None = None,
        seconds: float = 60.0,
        environment: Mapping[str, str] | None = None,
        keep_going: bool = False,
    ) -> NotebookRun:
        """Runs a notebook in a kernel of its own, and searches what it shows for secrets. The file is not changed.

        Args:
            path: The .ipynb file.
            person: Who signs in where it says `%lexoffice_login`: `demo`, `kanzlei`, or None for nobody.
            folder: Where its relative paths begin. A fresh folder unless one is given, so that nothing is written
                beside your notebook; give `path.parent` if it reads files from there.
            seconds: How long one cell may take.
            environment: More variables for the kernel.
            keep_going: Whether the cells after one that failed run all the same, as in `Run All` with errors allowed;
                then `failures` names those that did. One that takes too long ends the run in any case.

        Raises:
            NotebookFailed: A cell raised an error (unless `keep_going`), or took too long.
            SecretFound: A code, token or API key that the sandbox issued is in the notebook.
            RuntimeError: nbclient or ipykernel is not installed.
        """
        __tracebackhide__ = True
        _require("nbclient", "ipykernel", "nbformat")
        import nbformat

        path = Path(path)
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        place = folder or make_private_folder(self._home / "here")
        variables = {**os.environ, **({"LEXOFFICE_SANDBOX_PERSON": person} if person else {}), **(environment or {})}
        question = nbformat.v4.new_code_cell(_ASK_SOLVED, metadata={"tags": ["raises-exception"]})  # type: ignore[no-untyped-call]
        notebook.cells.append(question)
        try:
            problem = _execute(notebook, place, seconds, variables, keep_going)
        finally:
            notebook.cells.remove(question)
        assert_no_secrets(notebook, self._home)
        if problem is not None:
            raise NotebookFailed(f"{path.name}: {problem}")
        shown = tuple(_shown(cell) for cell in notebook.cells if cell.cell_type == "code")
        solved = frozenset(int(number) for number in _shown(question).split() if number.isdecimal())
        return NotebookRun(path, notebook, shown, solved, tuple(said for said, _, _ in _failures(notebook)))

    def __repr__(self) -> str:
        return "lexoffice_notebook(path, person='demo', folder=None, seconds=60, keep_going=False)"


# Asked in the notebook's kernel, after its own cells. It fails where the workshop was not used.
_ASK_SOLVED = 'print(*__import__("sys").modules["lexoffice_nb.workshop"].progress().solved)'


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"to run notebooks it takes {' and '.join(missing)}: pip install {' '.join(missing)}")


def _execute(
    notebook: Any, folder: Path, seconds: float, environment: Mapping[str, str], keep_going: bool
) -> str | None:
    """Runs all cells; gives what went wrong."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    client = NotebookClient(
        notebook,
        timeout=seconds,
        allow_errors=keep_going,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        # What a kernel shows goes over TCP, where others on this machine can listen. Where it can encrypt, it does.
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    )
    try:
        client.execute(env=dict(environment))
    except CellExecutionError:
        return _failure(notebook)
    except CellTimeoutError:
        return f"more than {seconds:g} s have passed in {_last(notebook)}"
    except DeadKernelError:
        return f"the kernel ended in {_last(notebook)}"
    return None


def _failure(notebook: Any) -> str:
    for said, source, traceback in _failures(notebook):
        return f"{said}\n\n{_indented(source)}\n\n{traceback}"
    return "a cell failed"


def _failures(notebook: Any) -> Iterator[tuple[str, str, str]]:
    """Of each cell that failed what it failed with, its source and the traceback."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                yield f"cell {number} failed with {output.ename}: {output.evalue}", cell.source, traceback


def _last(notebook: Any) -> str:
    """Names the cell that was run last, with its source."""
    times = [cell.metadata.get("execution", {}) for cell in notebook.cells]
    begun = [number for number, time in enumerate(times, 1) if "iopub.execute_input" in time]
    if not begun:
        return "the first cell"
    return f"cell {begun[-1]}:\n\n{_indented(notebook.cells[begun[-1] - 1].source)}"


def _indented(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.splitlines())


def _shown(cell: Any) -> str:
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(part.rstrip("\n") for part in parts if part)


# --- secrets ----------------------------------------------------------------------------------------------------------

_RUN = re.compile(r"[A-Za-z0-9_-]{43,}")  # all codes and tokens of the sandbox are at least so long
_LENGTHS = (43, 64, 128)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
_TABLES = {
    "codes": "an authorization code",
    "access_tokens": "an access token",
    "refresh_tokens": "a refresh token",
    "api_keys": "an API key",
}


def assert_no_secrets(
    notebook: str | os.PathLike[str] | NotebookRun | Mapping[str, Any],
    *known: LexofficeSession | TokenSet | Secret | Path,
) -> None:
    """Asserts that no secret is in a notebook: neither in its sources nor in its outputs, widgets and metadata.

        assert_no_secrets("my_notebook.ipynb", lexoffice_session)

    Signed tokens (JWT) are found in any case.

    Args:
        notebook: A file, what `lexoffice_notebook` gave, or a notebook in memory.
        known: What must not be in it: the tokens of a session that is signed in, one secret, or all that was ever
            issued by the sandboxes whose data lie below a folder (`lexoffice_home`, say).

    Raises:
        SecretFound: One is; the message says which and where, and not its value.
    """
    __tracebackhide__ = True
    content = _content(notebook)
    values: dict[str, str] = {}
    digests: dict[str, str] = {}
    for each in known:
        if isinstance(each, Path):
            issued, nonces = _issued(each)
            digests |= issued
            values |= nonces
        else:
            values |= _values(each)
    places = [(f"cell {number}", cell) for number, cell in enumerate(content.get("cells", ()), 1)]
    for where, part in [*places, ("the metadata", content.get("metadata", {}))]:
        for text in _strings(part):
            if (found := _found(text, values, digests)) is not None:
                raise SecretFound(f"{found} is in {where} of the notebook")


def _content(notebook: Any) -> Mapping[str, Any]:
    if isinstance(notebook, NotebookRun):
        return _content(notebook.notebook)
    if isinstance(notebook, str | os.PathLike):
        content: Mapping[str, Any] = json.loads(Path(notebook).read_text("utf-8"))
        return content
    return dict(notebook)


def _strings(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(part, list):
        if part and all(isinstance(line, str) for line in part):
            yield "".join(part)  # how a file keeps a text of many lines
        else:
            for each in part:
                yield from _strings(each)


def _values(known: LexofficeSession | TokenSet | Secret) -> dict[str, str]:
    """Gives what to look for, in the forms that it could have, and what it is."""
    if isinstance(known, Secret):
        return _forms(known.reveal(), "the secret")
    tokens = known.tokens if isinstance(known, LexofficeSession) else known
    found = _forms(tokens.access_token.reveal(), "the access token")
    if tokens.refresh_token:
        found |= _forms(tokens.refresh_token.reveal(), "the refresh token")
    if tokens.id_token:
        found |= dict.fromkeys(tokens.id_token.reveal().split(".")[1:], "the ID token")
    return found


def _forms(value: str, what: str) -> dict[str, str]:
    if not value:
        return {}
    return dict.fromkeys((value, quote(value, safe=""), html.escape(value), json.dumps(value)[1:-1]), what)


def _issued(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Gives what all sandboxes below a folder have issued: the digests that they keep, and the nonces as they are."""
    digests: dict[str, str] = {}
    nonces: dict[str, str] = {}
    for path in folder.rglob("grants.sqlite3"):
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for table, what in _TABLES.items():
                rows = database.execute(f"SELECT digest FROM {table}")  # noqa: S608 - one of ours
                digests |= {str(digest): what for (digest,) in rows}
            rows = database.execute("SELECT nonce FROM families WHERE length(nonce) >= 16")
            nonces |= {str(nonce): "a nonce" for (nonce,) in rows}
    return digests, nonces


def _found(text: str, values: Mapping[str, str], digests: Mapping[str, str]) -> str | None:
    for value, what in values.items():
        if value in text:
            return what
    if _JWT.search(text):
        return "a signed token (JWT)"
    if not digests:
        return None
    for run in _RUN.findall(text):
        # Something may stand right before or behind it: the end of a colour, say.
        for length in (*_LENGTHS, len(run)):
            for begin in range(len(run) - length + 1):
                digest = hashlib.sha256(run[begin : begin + length].encode("ascii")).hexdigest()
                if digest in digests:
                    return digests[digest]
    return None


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lexoffice_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folders of a user who has nothing yet, for this process and for those that it starts; no proxy, English.

    What was started in them, the workshop's sandbox say, is ended after the test.
    """
    home = make_private_folder(tmp_path / "lexoffice-home")
    if site.ENABLE_USER_SITE:
        monkeypatch.setenv("PYTHONUSERBASE", site.getuserbase())  # packages stay where they are
    for name in list(os.environ):
        if name.startswith("LEXOFFICE_") or name.lower().endswith("_proxy") or name in (*_LANGUAGE, *_OTHER_KERNELS):
            monkeypatch.delenv(name)
    for name, folder in _FOLDERS.items():
        monkeypatch.setenv(name, str(make_private_folder(home / folder)))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("NO_PROXY", "*")  # nor one of the system's settings
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/no-bus")  # no keyring
    places = (process.workshop_dir(), process.data_dir())
    if not all(place.is_relative_to(home) for place in places):
        raise RuntimeError("on this system the data folder does not follow the environment: this would use yours")
    use_language("en")
    yield home
    use_language(None)
    for place in places:
        found = process.find(place)
        if found is not None and found.pid != os.getpid():
            process.stop(folder=place)


@pytest.fixture(scope="session")
def _lexoffice_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One signing key for the sandboxes of all tests: making one takes longer than all the rest."""
    path = make_private_folder(tmp_path_factory.mktemp("lexoffice") / "key") / "signing-key.json"
    signing_key(path)
    return read_private_file(path)


@pytest.fixture
def lexoffice_sandbox(lexoffice_home: Path, _lexoffice_key: str) -> Iterator[Sandbox]:
    """A running sandbox of the test's own: `.url`, `.requests`, `.settings`, `.faults`, `.make_api_key()`.

    It runs in this process and is the one that `lexoffice_nb.login()` and `%lexoffice_login` find. Do not run
    `lexoffice-nb forget` in a test: that ends the process of the sandbox, which is your test.
    """
    folder = make_private_folder(process.data_dir())
    write_private_file(folder / "signing-key.json", _lexoffice_key)
    with Sandbox(data_dir=folder) as sandbox:
        address = process.SandboxAddress(sandbox.url, os.getpid(), sandbox.instance)
        process.write_address(folder, address)
        yield sandbox
        process.remove_address(folder, address)
    forget_metadata()  # its port may be another test's next time


@pytest.fixture
def lexoffice_person() -> Person:
    """Signs a login URL in: `lexoffice_person(url)`, `(url, person="kanzlei")`, `(url, allow=False)`."""
    return Person()


@pytest.fixture
def lexoffice_session(lexoffice_sandbox: Sandbox) -> Iterator[LexofficeSession]:
    """A session that the scripted person (`demo`) has signed in, over HTTP, at `lexoffice_sandbox`."""
    session = sign_in(lexoffice_sandbox)
    yield session
    for books in session._books.values():
        books.stop()
        if books.latest is not None:
            books.latest.join(10)
    session.forget()


@pytest.fixture
def lexoffice_notebook(lexoffice_home: Path, lexoffice_sandbox: Sandbox) -> NotebookRunner:
    """Runs a notebook from top to bottom against `lexoffice_sandbox`; see `NotebookRunner.__call__`."""
    return NotebookRunner(lexoffice_home)


@pytest.fixture
def lexoffice_workshop(lexoffice_home: Path) -> Iterator[Workshop]:
    """The workshop with a sandbox process of the test's own: `.exercise(n)`, `.defence(n)`, `.check(n)` and so on."""
    workshop = Workshop(World(process.workshop_dir()))
    yield workshop
    workshop._forget_run()
