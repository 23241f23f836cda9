"""Starts JupyterLab with `jupyter_lab_config.py`; does what no setting can: keeps it at `localhost`, ends it well."""

import signal
import sys
from pathlib import Path

from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import LabApp
from tornado.web import RedirectHandler

CONFIG = Path(__file__).with_name("jupyter_lab_config.py")


class LocalhostServer(ServerApp):
    """A Jupyter server that is met under one name, so that its cookie never belongs to 127.0.0.1."""

    @property
    def local_url(self) -> str:
        """The address at 127.0.0.1 that Jupyter would print beside the first one: here the same."""
        return self.public_url

    def init_webapp(self) -> None:
        """Sends a browser that comes by another loopback name to `localhost`, before it gets a cookie."""
        super().init_webapp()
        if self.ip == "localhost":
            to_localhost = {"url": f"http://localhost:{self.port}{{0}}", "permanent": False}
            self.web_app.add_handlers(r"(127(\.\d+){3}|\[?::1\]?)", [(r"(/.*)", RedirectHandler, to_localhost)])

    def init_signal(self) -> None:
        """Ends kernels and removes the file with the token at the first Ctrl-C, and when the terminal is closed.

        Jupyter asks first, and where its input is no terminal it just dies.
        """
        super().init_signal()
        for name in ("SIGINT", "SIGHUP"):
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), self._signal_stop)


if __name__ == "__main__":
    LabApp.serverapp_class = LocalhostServer
    LabApp.launch_instance([f"--config={CONFIG}", *sys.argv[1:]])
