"""The settings of the JupyterLab that `make lab` opens; the browser tests start theirs with this same file."""

import os
import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # Jupyter puts it there

# Cookies ignore ports: on 127.0.0.1 Jupyter's cookie would be sent to the login's callback too, which listens there.
# A browser keeps the two names apart.
c.ServerApp.ip = "localhost"

# IOPub carries every output of a kernel over TCP, and without keys every user of this machine can read it.
# "auto" would start a kernel that knows no encryption without a word; "required" refuses it.
c.MappingKernelManager.transport_encryption = "required"


class KernelsOfThisEnvironment(KernelSpecManager):
    """Finds the kernels of `.venv` only: a `python3` of the home directory or $JUPYTER_PATH lacks the package."""

    def _kernel_dirs_default(self) -> list[str]:
        return [str(Path(sys.prefix, "share", "jupyter", "kernels"))]


c.ServerApp.kernel_spec_manager_class = KernelsOfThisEnvironment

# No question about news at the first start, and no call to the internet: for news, new versions or extensions.
# The page asks whatever the server says, unless its own default setting is another (overrides.json).
c.LabApp.news_url = None
c.LabApp.app_settings_dir = str(Path(__file__).with_name("lab_settings"))
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"

c.ServerApp.root_dir = str(Path(__file__).parent.parent)
c.LabApp.default_url = "/lab/tree/notebooks/01_first_login.ipynb"

# Without a display the only "browser" may be one for the terminal, which would cover the address.
c.ServerApp.open_browser = (
    sys.platform in ("win32", "darwin")
    or "DISPLAY" in os.environ
    or "WAYLAND_DISPLAY" in os.environ
    or "BROWSER" in os.environ
)

# The terminal shows the address and what goes wrong, not every request.
c.Application.log_level = "WARN"

# Jupyter refuses to run as root; in a container there may be nobody else.
c.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0
