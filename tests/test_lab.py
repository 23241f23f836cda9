"""`make lab`, started as a person starts it, in a home directory of its own."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
import zmq
from jupyter_client import BlockingKernelClient, KernelManager

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.timeout(240)  # `make lab` may have to wait for a set-up that runs beside it


@dataclass(frozen=True)
class Lab:
    """A running `make lab`."""

    process: subprocess.Popen[str]
    url: str  # as it was printed, token included
    home: Path
    log: Path

    @property
    def origin(self) -> str:
        return self.url.partition("/lab")[0]

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]

    def get(self, path: str, *, token: str = "", origin: str = "") -> requests.Response:
        return self._call("GET", path, token, origin)

    def post(self, path: str, body: object) -> requests.Response:
        return self._call("POST", path, self.token, "", body)

    def _call(self, method: str, path: str, token: str, origin: str, body: object = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"token {token}"} if token else {}
            return session.request(
                method, (origin or self.origin) + path, json=body, headers=headers, allow_redirects=False, timeout=30
            )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@contextmanager
def running_lab(base: Path, **more_environment: str) -> Iterator[Lab]:
    """Starts `make lab` as a process group of its own, which is what a terminal gives it."""
    home, log = base / "home", base / "output.txt"
    home.mkdir()
    foreign = ("LEXOFFICE_", "JUPYTER", "XDG_", "IPYTHON", "MAKE", "MFLAGS", "DISPLAY", "WAYLAND", "BROWSER")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", "lab", f"LAB_ARGS=--no-browser --ServerApp.port={free_port()} --ServerApp.port_retries=0"],
            cwd=ROOT,
            env={**inherited, "HOME": str(home), **more_environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
    try:
        yield Lab(process, wait_for_url(process, log), home, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_url(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"^\s*(http://\S+)$", log.read_text(), re.MULTILINE):
            return found[1]
        time.sleep(0.1)
    pytest.fail(f"make lab printed no address:\n{log.read_text()}")


def test_the_address_is_printed_once_for_localhost_with_notebook_and_token(lab):
    assert re.fullmatch(r"http://localhost:\d+/lab/tree/notebooks/01_first_login\.ipynb\?token=[0-9a-f]{48}", lab.url)
    assert re.findall(r"http://\S+", lab.log.read_text()) == [lab.url]


def test_without_the_token_nothing_is_given(lab):
    assert lab.get("/api/contents").status_code == 403
    assert lab.get("/lab").headers["Location"].startswith("/login")
    assert lab.get("/api/contents", token=lab.token).status_code == 200


def test_threat_12_a_browser_at_127_0_0_1_is_sent_to_localhost_and_gets_no_cookie(lab):
    path = lab.url.removeprefix(lab.origin)
    answer = lab.get(path, origin=lab.origin.replace("localhost", "127.0.0.1"))
    assert answer.status_code == 302
    assert answer.headers["Location"] == lab.url
    assert "Set-Cookie" not in answer.headers
    assert "Set-Cookie" in lab.get(path).headers  # so the test would see one


def test_news_updates_and_extensions_ask_nobody(lab):
    page = lab.get("/lab", token=lab.token).text
    config = json.loads(re.search(r'<script id="jupyter-config-data" type="application/json">(.+?)</script>', page)[1])
    assert config["news"] == {"disabled": True}
    assert lab.get("/lab/api/news", token=lab.token).json() == {"news": []}
    assert lab.get("/lab/api/update", token=lab.token).json()["notification"] is None
    assert config["extensionManager"]["can_install"] is False


def test_the_kernel_is_the_one_of_this_environment_even_if_the_home_has_another(tmp_path):
    other = tmp_path / "home/.local/share/jupyter/kernels/python3"
    spec = json.dumps({"argv": ["false", "{connection_file}"], "display_name": "another", "language": "python"})
    with running_lab(tmp_path, JUPYTER_PATH=str(other.parents[1]), JUPYTER_PREFER_ENV_PATH="0") as lab:
        other.mkdir(parents=True)
        (other / "kernel.json").write_text(spec)
        kernels = lab.get("/api/kernelspecs", token=lab.token).json()["kernelspecs"]
        with kernel_of(lab) as client:
            prefix = stream_of(client, "import sys; print(sys.prefix, end='')")
    assert kernels["python3"]["spec"]["display_name"] != "another"
    assert prefix == str(ROOT / ".venv")


def test_one_ctrl_c_ends_everything_without_noise(tmp_path):
    with running_lab(tmp_path) as lab:
        with kernel_of(lab) as client:
            stream_of(client, "1")
        processes = psutil.Process(lab.process.pid).children(recursive=True)
        assert any("ipykernel" in " ".join(p.cmdline()) for p in processes)
        os.killpg(lab.process.pid, signal.SIGINT)
        lab.process.wait(20)
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    ending = lab.log.read_text().partition(lab.token)[2]
    assert "Traceback" not in ending
    assert "***" not in ending
    assert "?" not in ending  # nothing is asked
    assert list(lab.home.rglob("jpserver-*")) == []  # the file that holds the token


# --- threat 11 --------------------------------------------------------------------------------------------------------


def test_threat_11_a_subscriber_without_keys_on_the_iopub_port_receives_nothing(lab):
    secret = secrets.token_hex(16)
    with kernel_of(lab) as client:
        port = client.iopub_port
        assert overheard(client, port, secret) == b""


def test_threat_11_a_restarted_kernel_keeps_its_keys(lab):
    secret = secrets.token_hex(16)
    with kernel_of(lab) as client:
        kernel = Path(client.connection_file).stem.removeprefix("kernel-")
        assert lab.post(f"/api/kernels/{kernel}/restart", {}).status_code == 200
        client.wait_for_ready(timeout=30)
        assert overheard(client, client.iopub_port, secret) == b""


def test_threat_11_the_same_subscriber_hears_a_kernel_without_keys(tmp_path):
    secret = secrets.token_hex(16)
    manager = KernelManager(connection_file=str(tmp_path / "kernel.json"))
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        assert secret.encode() in overheard(client, client.iopub_port, secret)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def kernel_of(lab: Lab) -> Iterator[BlockingKernelClient]:
    """Starts a kernel as JupyterLab does, and gives a client that has its connection file, keys included."""
    kernel = lab.post("/api/kernels", {"name": "python3"}).json()["id"]
    file = lab.home / f".local/share/jupyter/runtime/kernel-{kernel}.json"
    assert file.stat().st_mode & 0o077 == 0
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels(hb=False)  # on a busy machine a kernel's first heartbeat comes late, and it counts as dead
    try:
        client.wait_for_ready(timeout=30)
        yield client
    finally:
        client.stop_channels()


def stream_of(client: BlockingKernelClient, code: str) -> str:
    """Runs code and gives what it printed."""
    text: list[str] = []

    def collect(message: dict) -> None:
        if message["msg_type"] == "stream":
            text.append(message["content"]["text"])

    client.execute_interactive(code, output_hook=collect, timeout=30)
    return "".join(text)


def overheard(client: BlockingKernelClient, port: int, secret: str) -> bytes:
    """What a local user without the connection file receives on the IOPub port while the kernel prints a secret."""
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.subscribe(b"")
        subscriber.connect(f"tcp://127.0.0.1:{port}")
        received = b""
        for _ in range(10):  # a subscription takes a moment to arrive
            assert secret in stream_of(client, f"print({secret!r})")
            while subscriber.poll(100):
                received += b"".join(subscriber.recv_multipart())
        return received
