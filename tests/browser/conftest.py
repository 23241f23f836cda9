"""A real JupyterLab, started as `make lab` starts it, and a real Chromium in front of it.

    def test_a_slider_is_shown(notebook):
        notebook.open(["import ipywidgets; ipywidgets.IntSlider()"])
        notebook.run(0)
        notebook.output(0).locator(".widget-slider").wait_for()

`notebook` is a light, English one; `new_notebook(theme="dark", locale="de-DE")` makes others, each in a browser
profile that no other notebook of the test has. Server and browser live as long as this package's tests: Playwright
keeps an event loop in the main thread, where `asyncio.run` would fail in everybody else's.

To load JupyterLab's page costs more than most tests do in it. So profiles with that page are used again: what a test
left there is closed and removed, and after a failure nothing is. A kernel is always a new one.
"""

import ast
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
import requests
from jupyter_client import BlockingKernelClient
from nbformat.v4 import new_code_cell
from nbformat.v4 import new_notebook as empty_notebook
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}
CHROMIUM_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# --- JupyterLab -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Jupyter:
    """A running JupyterLab: its address, its token, and the folders it lives in."""

    url: str  # http://localhost:PORT, without a slash at the end
    token: str = field(repr=False)
    root: Path  # the notebooks
    home: Path
    data: Path  # XDG_DATA_HOME
    runtime: Path  # the kernels' connection files
    log: Path

    def rest(self, method: str, path: str, body: object = None) -> requests.Response:
        """One call of the server's REST API, signed with the token."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business on this machine
            headers = {"Authorization": f"token {self.token}"}
            response = session.request(method, self.url + path, json=body, headers=headers, timeout=30)
        response.raise_for_status()
        return response

    def set_setting(self, plugin: str, **values: object) -> None:
        """Writes the user's settings of one JupyterLab plug-in; a page that is opened afterwards has them."""
        self.rest("PUT", f"/lab/api/settings/{plugin}", {"raw": json.dumps(values)})


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """JupyterLab with the settings of `make lab`, in a home of its own."""
    base = tmp_path_factory.mktemp("jupyter")
    folders = {
        "HOME": base / "home",
        "XDG_DATA_HOME": base / "data",
        "XDG_CONFIG_HOME": base / "config",
        "XDG_CACHE_HOME": base / "cache",
        "XDG_STATE_HOME": base / "state",
        "XDG_RUNTIME_DIR": base / "run",
        "IPYTHONDIR": base / "ipython",
        "JUPYTER_CONFIG_DIR": base / "jupyter-config",
        "JUPYTER_DATA_DIR": base / "jupyter-data",
        "JUPYTER_RUNTIME_DIR": base / "jupyter-runtime",
    }
    root = base / "notebooks"
    for folder in (root, *folders.values()):
        folder.mkdir(mode=0o700)
    server = Jupyter(
        url=f"http://localhost:{_free_port()}",
        token=secrets.token_hex(16),
        root=root,
        home=folders["HOME"],
        data=folders["XDG_DATA_HOME"],
        runtime=folders["JUPYTER_RUNTIME_DIR"],
        log=base / "jupyterlab.log",
    )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "JUPYTER", "XDG_", "IPYTHON"))}
    options = [
        "--no-browser",
        f"--ServerApp.port={server.url.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--LabApp.default_url=/lab",
        "--LabApp.expose_app_in_browser=True",  # so that the tests can wait for what JupyterLab itself waits for
        # Should the tests be killed, nothing stays for long.
        "--ServerApp.shutdown_no_activity_timeout=900",
        "--MappingKernelManager.cull_idle_timeout=900",
        "--MappingKernelManager.cull_connected=True",
        "--MappingKernelManager.cull_busy=True",
    ]
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "lab.py"), *options],
            cwd=root,
            env={
                **inherited,
                **{k: str(v) for k, v in folders.items()},
                "JUPYTER_TOKEN": server.token,
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path={base}/no-bus",  # no keyring of whoever runs the tests
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # ends its kernels too
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end_sandbox(server.data / "lexoffice_nb" / "sandbox" / "address.json")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(server: Jupyter, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(requests.RequestException):
            server.rest("GET", "/api/status")
            return
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{server.log.read_text()}")


def _end_sandbox(address_file: Path) -> None:
    """Ends the sandbox that a kernel started: it outlives its kernel on purpose."""
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(json.loads(address_file.read_text())["pid"], signal.SIGTERM)


# --- Chromium ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The system's Chromium, without a window, in a home of its own."""
    as_root = os.geteuid() == 0  # Chromium's sandbox refuses root
    home = tmp_path_factory.mktemp("chromium")
    expect.set_options(timeout=20_000)  # ms; other tests run beside these, and a kernel may have to wait for its turn
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            headless=True,
            chromium_sandbox=not as_root,
            args=CHROMIUM_FLAGS,
            env={**os.environ, "HOME": str(home)},
        )
        yield browser
        browser.close()


# --- a notebook in it -------------------------------------------------------------------------------------------------


@dataclass
class Profile:
    """A browser profile with one tab for JupyterLab."""

    context: BrowserContext
    page: Page
    settings: tuple[str, bool] | None = None  # with which JupyterLab was loaded in the tab: theme, widget state saved


class Notebook:
    """One notebook in one tab of a browser profile. Cells are counted from 0; time-outs are seconds."""

    def __init__(self, jupyter: Jupyter, profile: Profile, theme: str, tmp_path: Path) -> None:
        self.jupyter = jupyter
        self.profile = profile
        self.context = profile.context
        self.page = profile.page
        self.theme = theme
        self.path = jupyter.root / f"notebook-{secrets.token_hex(4)}.ipynb"
        self.urls: list[str] = []  # every address that any page of this profile asked for
        self.page_errors: list[str] = []  # uncaught exceptions in JupyterLab's page
        self._tmp_path = tmp_path
        self._keep_url = lambda request: self.urls.append(request.url)
        self._keep_error = lambda error: self.page_errors.append(str(error))
        self.context.on("request", self._keep_url)
        self.page.on("pageerror", self._keep_error)

    def open(
        self, cells: list[str] | Path, *, save_widget_state: bool = False, new_page: bool = False, timeout: float = 60
    ) -> None:
        """Writes the cells (or copies a notebook), opens it in JupyterLab and waits until its kernel is idle.

        Args:
            cells: the sources, or the file of a notebook.
            save_widget_state: whether the file gets the state of the widgets.
            new_page: for tests of the loading itself: JupyterLab is loaded anew, address and all.
            timeout: of each thing that is waited for.
        """
        if isinstance(cells, Path):
            shutil.copyfile(cells, self.path)
        else:
            document = empty_notebook(cells=[new_code_cell(source) for source in cells])
            document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(document, self.path)
        settings = (self.theme, save_widget_state)
        if new_page or self.profile.settings != settings:
            # Settings belong to the server, which all tests share: so each loading sets both.
            self.jupyter.set_setting("@jupyterlab/apputils-extension:themes", theme=THEMES[self.theme])
            self.jupyter.set_setting("@jupyter-widgets/jupyterlab-manager:plugin", saveState=save_widget_state)
            self._go_to(f"{self.jupyter.url}/lab/tree/{self.path.name}?reset&token={self.jupyter.token}")
            self.profile.settings = settings
        else:
            self.page.evaluate("path => { jupyterapp.commands.execute('docmanager:open', { path }); }", self.path.name)
        self.page.wait_for_function(
            """name => {
                const panel = window.jupyterapp?.shell.currentWidget;
                return panel?.context?.path === name && panel.context.isReady && panel.content?.activeCell;
            }""",
            arg=self.path.name,
            timeout=timeout * 1000,
        )
        self.page.evaluate("() => { window.panel = jupyterapp.shell.currentWidget; window.runs = []; }")
        self.wait_until_idle(timeout)

    def _go_to(self, url: str) -> None:
        """Opens an address; in a new tab where the former page holds on to its own, with a question perhaps."""
        try:
            self.page.goto(url)
        except PlaywrightError as error:
            if "ERR_ABORTED" not in error.message:
                raise
            former, self.page = self.page, self.context.new_page()
            self.page.on("pageerror", self._keep_error)
            self.profile.page = self.page
            former.close()
            self.page.goto(url)

    def wait_until_idle(self, timeout: float = 60) -> None:
        """Waits until the kernel is connected and has nothing to do."""
        self.page.wait_for_function(
            """() => {
                const kernel = panel.sessionContext.session?.kernel;
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=timeout * 1000,
        )

    def run(self, i: int, *, wait: bool = True, timeout: float = 60) -> None:
        """Runs one cell; returns when it has ended, well or badly (at once without `wait`)."""
        self.page.evaluate("i => { panel.content.activeCellIndex = i; }", i)
        self._run("notebook:run-cell", wait, timeout)

    def run_all(self, *, wait: bool = True, timeout: float = 120) -> None:
        """*Run All Cells* of the menu: stops at the first error."""
        self._run("notebook:run-all-cells", wait, timeout)

    def _run(self, command: str, wait: bool, timeout: float) -> None:
        number = self.page.evaluate(
            """command => {
                const run = { ended: false };
                const end = () => { run.ended = true; };
                jupyterapp.commands.execute(command).then(end, end);
                return runs.push(run) - 1;
            }""",
            command,
        )
        if wait:
            self.page.wait_for_function("number => runs[number].ended", arg=number, timeout=timeout * 1000)

    def cell(self, i: int) -> Locator:
        """The whole cell: input, prompt and output."""
        return self.page.locator(".jp-Notebook-cell").nth(i)

    def output(self, i: int) -> Locator:
        """What the cell shows beneath its input, prompts included."""
        return self.cell(i).locator(".jp-Cell-outputArea")

    def output_text(self, i: int) -> str:
        """The text of the cell's outputs, as a person sees it, one beneath the other."""
        self.cell(i).scroll_into_view_if_needed()  # JupyterLab leaves what is out of sight unrendered
        return "\n".join(text.strip() for text in self.output(i).locator(".jp-OutputArea-output").all_inner_texts())

    def popup(self, link: Locator) -> Page:
        """Clicks a link that opens a new page, and gives that page when it is loaded."""
        with self.context.expect_page() as opened:
            link.click()
        opened.value.wait_for_load_state()
        return opened.value

    def restart_kernel(self, timeout: float = 60) -> None:
        """*Restart Kernel*, without the question; outputs stay."""
        self.page.evaluate("() => { panel.sessionContext.restartKernel(); }")  # sets the status before it returns
        self.wait_until_idle(timeout)

    def interrupt_kernel(self) -> None:
        """*Interrupt Kernel*: what Ctrl-C is in a terminal."""
        self.page.evaluate("() => panel.sessionContext.session.kernel.interrupt()")

    def save(self) -> None:
        """*Save*; returns when the file is written."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")

    def file_bytes(self) -> bytes:
        """The .ipynb as it lies on the disk."""
        return self.path.read_bytes()

    def file_text(self) -> str:
        """The .ipynb as text."""
        return self.path.read_text(encoding="utf-8")

    @property
    def connection_file(self) -> Path:
        """The file with ports and keys of this notebook's kernel."""
        kernel = self.page.evaluate("() => panel.sessionContext.session.kernel.id")
        return self.jupyter.runtime / f"kernel-{kernel}.json"

    @contextmanager
    def kernel_client(self) -> Iterator[BlockingKernelClient]:
        """A second client of this notebook's kernel, as another window or program would be."""
        client = BlockingKernelClient(connection_file=str(self.connection_file))
        client.load_connection_file()
        client.start_channels(hb=False)  # a heart that beats late on a busy machine counts as dead
        try:
            client.wait_for_ready(timeout=30)
            yield client
        finally:
            client.stop_channels()

    def execute(self, code: str, timeout: float = 30) -> str:
        """Runs Python in the kernel beside the notebook and gives what it printed and its last value (or its error).

        It waits for a running cell, and leaves no trace in the history nor in `Out`: so the value is printed here.
        """
        program = ast.parse(code)
        if program.body and isinstance(last := program.body[-1], ast.Expr):
            shown = f"(lambda value: None if value is None else print(repr(value)))({ast.unparse(last.value)})"
            program.body[-1:] = ast.parse(shown).body
        text: list[str] = []

        def collect(message: dict) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                text.append(content["text"])
            elif message["msg_type"] == "error":
                text.append("\n".join(content["traceback"]))

        with self.kernel_client() as client:
            client.execute_interactive(
                ast.unparse(program), silent=True, allow_stdin=False, output_hook=collect, timeout=timeout
            )
        return "".join(text).strip()

    def screenshot(self, name: str, target: Locator | Page | None = None) -> Path:
        """A picture of the page (or of one element, or another page), kept in artifacts/ and in the test's folder."""
        ARTIFACTS.mkdir(exist_ok=True)
        picture = ARTIFACTS / f"{name}.png"
        shown = target or self.page
        try:
            shown.screenshot(path=picture, animations="disabled")
        except PlaywrightError:  # Chromium cannot draw a page in the moment in which the next one takes its place
            (shown if isinstance(shown, Page) else shown.page).wait_for_load_state()
            shown.screenshot(path=picture, animations="disabled")
        return Path(shutil.copy(picture, self._tmp_path))

    def close(self) -> None:
        """Closes the notebook, without a question, and ends the kernel."""
        self.context.remove_listener("request", self._keep_url)
        self.page.remove_listener("pageerror", self._keep_error)
        if self.profile.settings:
            self.page.evaluate("() => { window.panel?.dispose(); window.panel = undefined; }")
        for session in self.jupyter.rest("GET", "/api/sessions").json():
            if session["path"] == self.path.name:
                self.jupyter.rest("DELETE", f"/api/sessions/{session['id']}")


class Profiles:
    """The browser's profiles: one that no test uses any more is cleaned and used again."""

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._free: dict[tuple[str, str], list[Profile]] = {}

    def take(self, theme: str, locale: str) -> Profile:
        """Gives a profile without cookies, permissions and other tabs; JupyterLab's own cookie may be there."""
        if free := self._free.get((theme, locale)):
            return free.pop()
        context = self._chromium.new_context(
            locale=locale,
            viewport={"width": 1280, "height": 1000},
            color_scheme="light" if theme == "light" else "dark",
        )
        return Profile(context, context.new_page())

    def give_back(self, theme: str, locale: str, profile: Profile, *, after_failure: bool) -> None:
        """Cleans it. One in which a test failed is closed: nobody knows what is left in it."""
        if after_failure or profile.page.is_closed() or profile.page.locator(".jp-Dialog").count():
            profile.context.close()
            return
        for page in profile.context.pages:
            if page != profile.page:
                page.close()
        profile.context.clear_cookies(domain="127.0.0.1")  # the sandboxes'; JupyterLab is at localhost
        profile.context.clear_permissions()
        profile.page.mouse.move(0, 0)
        self._free.setdefault((theme, locale), []).append(profile)


@pytest.fixture(scope="package")
def profiles(chromium: Browser) -> Profiles:
    """The profiles that tests have left."""
    return Profiles(chromium)


@pytest.fixture
def new_notebook(
    request: pytest.FixtureRequest, jupyter: Jupyter, profiles: Profiles, tmp_path: Path
) -> Iterator[Callable[..., Notebook]]:
    """Makes notebooks: `new_notebook(theme="dark", locale="de-DE")`; themes are light, dark and contrast."""
    with ExitStack() as opened:

        def make(*, theme: str = "light", locale: str = "en-US") -> Notebook:
            profile = profiles.take(theme, locale)
            notebook = Notebook(jupyter, profile, theme, tmp_path)

            def close() -> None:
                failed = request.node.stash.get(FAILED, False)
                try:
                    notebook.close()
                except PlaywrightError:
                    failed = True
                    raise
                finally:
                    profiles.give_back(theme, locale, profile, after_failure=failed)

            opened.callback(close)
            opened.callback(_picture_of_a_failure, request.node, notebook)
            return notebook

        yield make


@pytest.fixture
def notebook(new_notebook: Callable[..., Notebook]) -> Notebook:
    """A light notebook in English, not open yet."""
    return new_notebook()


# --- when a test fails ------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Lets the fixtures know how the test ended."""
    report = yield
    item.stash.setdefault(FAILED, False)
    item.stash[FAILED] |= report.when == "call" and report.failed
    return report


FAILED = pytest.StashKey[bool]()


def _picture_of_a_failure(test: pytest.Item, notebook: Notebook) -> None:
    if test.stash.get(FAILED, False):
        with suppress(Exception):  # the picture must not hide why the test failed
            notebook.screenshot(f"failed-{test.name}")
