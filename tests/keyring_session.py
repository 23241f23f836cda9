"""A keyring of its own: gnome-keyring on a private session bus, with a home that is thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import keyring.backend
import keyring.core
from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

LIFE_SECONDS = "120"  # of each program, if nobody ends it
_BUS_ITSELF = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_PASSWORD = "of this test alone"

# Nothing is started over this bus but a stand-in for the window that asks for the password: it leaves a mark.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={home}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{home}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
_PROMPTER = """[D-BUS Service]
Name=org.gnome.keyring.SystemPrompter
Exec={touch} {home}/prompted
"""
_LOCK = """
import secretstorage
from contextlib import closing
with closing(secretstorage.dbus_init()) as connection:
    secretstorage.Collection(connection).lock()
"""


def forget_the_choice() -> None:
    """Has keyring choose anew: it chooses once in a process, among what was there to choose from at that moment."""
    keyring.core._keyring_backend = None
    if hasattr(keyring.backend.get_all_keyring, "saved_result"):
        keyring.backend.get_all_keyring.reset()


class KeyringSession:
    """The bus, the keyring (unlocked), and the environment in which programs find both.

    Args:
        keyring: whether there is a keyring at all.

    Attributes:
        environment: variables to set; everything that a keyring looks at, and nothing of the person's own.
    """

    def __init__(self, *, keyring: bool = True) -> None:
        self._with_keyring = keyring

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="keyring-"))  # not pytest's: a socket's path must be short
        self._programs: list[subprocess.Popen[str]] = []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._programs):
            program.terminate()  # `timeout` hands it on to the program that it started
        for program in self._programs:
            program.communicate(timeout=10)
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self) -> None:
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._home}/bus", "HOME": str(self._home)}
        for kind in ("CONFIG_HOME", "DATA_HOME", "CACHE_HOME", "STATE_HOME", "RUNTIME_DIR"):
            folder = self._home / kind.lower()
            folder.mkdir(mode=0o700)
            self.environment[f"XDG_{kind}"] = str(folder)
        services = self._home / "services"
        services.mkdir()
        (services / "prompter.service").write_text(_PROMPTER.format(touch=shutil.which("touch"), home=self._home))
        (self._home / "bus.conf").write_text(_BUS.format(home=self._home))
        bus = self._run("dbus-daemon", f"--config-file={self._home}/bus.conf", "--nofork", "--print-address")
        assert bus.stdout is not None
        bus.stdout.readline()  # comes when it listens
        if self._with_keyring:
            command = ("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
            self._wait_for(self._run(*command, given=_PASSWORD))

    def _wait_for(self, keyring: subprocess.Popen[str]) -> None:
        """Waits until the bus knows the keyring, which comes after the unlocking."""
        ask = new_method_call(_BUS_ITSELF, "NameHasOwner", "s", ("org.freedesktop.secrets",))
        with open_dbus_connection(self.environment["DBUS_SESSION_BUS_ADDRESS"]) as connection:
            for _ in range(500):
                if connection.send_and_get_reply(ask, timeout=5).body == (True,):
                    return
                if keyring.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"gnome-keyring-daemon is not there ({keyring.poll()}); is `make setup` done?")

    def _run(self, *command: str, given: str = "") -> subprocess.Popen[str]:
        program = subprocess.Popen(
            ["timeout", LIFE_SECONDS, *command],
            env=self._whole_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._programs.append(program)
        assert program.stdin is not None
        program.stdin.write(given)
        program.stdin.close()
        program.stdin = None  # `communicate` would write to it
        return program

    def _whole_environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("KEYRING_", "PYTHON_KEYRING"))
        }
        return {**kept, **self.environment}

    def python(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Runs Python in this session, bounded."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self._whole_environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def store(self, service: str, user: str, secret: str) -> None:
        """Stores a secret as a person does: `keyring set`."""
        done = self.python("-m", "keyring", "set", service, user, given=secret)
        assert done.returncode == 0, done.stderr

    def configure(self, settings: str) -> Path:
        """Writes keyring's own settings file (keyringrc.cfg); whoever calls this removes it."""
        folder = Path(self.environment["XDG_CONFIG_HOME"]) / "python_keyring"
        folder.mkdir(exist_ok=True)
        file = folder / "keyringrc.cfg"
        file.write_text(settings)
        return file

    def lock(self) -> None:
        """Locks the keyring, as a screen lock may do."""
        done = self.python("-c", _LOCK)
        assert done.returncode == 0, done.stderr

    def has_prompted(self) -> bool:
        """Tells whether anything asked for the keyring's password since the last time."""
        mark = self._home / "prompted"
        prompted = mark.exists()
        mark.unlink(missing_ok=True)
        return prompted
