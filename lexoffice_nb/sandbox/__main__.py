"""`python -m lexoffice_nb.sandbox`: the sandbox as this user's one process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lexoffice_nb.sandbox.options import USAGE, WORKSHOP, add_options, described, settings_of
from lexoffice_nb.sandbox.private_files import NotPrivate, make_private_folder
from lexoffice_nb.sandbox.process import SandboxAddress, data_dir, find, remove_address, workshop_dir, write_address

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes or nobody has asked for a while; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="lexoffice-nb sandbox", usage=USAGE, description="A lexoffice on this machine."
    )
    add_options(parser)
    parser.add_argument("--data-dir", type=Path, default=None, help="where key, grants and address are kept")
    parser.add_argument("--idle-minutes", type=float, default=60, help="end after so long without a request")
    parser.add_argument(
        WORKSHOP,
        action="store_true",
        help="with the workshop's victims, and with checks that its exercises switch off; in a folder of its own",
    )
    chosen = parser.parse_args(arguments)
    folder: Path = chosen.data_dir or (workshop_dir() if chosen.workshop else data_dir())
    if chosen.workshop and folder.resolve() == data_dir().resolve():
        parser.error(f"{WORKSHOP} needs a folder of its own: its checks can be switched off")
    try:
        make_private_folder(folder)
        # Held as long as the process lives, however it ends: two servers on one set of grants would be two truths. One
        # that is just ending has taken its address back already, and is waited for.
        patience = 0 if find(folder) else 10
        with FileLock(folder / "serving.lock", timeout=patience, mode=0o600):
            return _serve(folder, chosen)
    except Timeout:
        running = find(folder)
        where = running.url if running else "another process"
        # A person who asked for a limit and reads only the address would think that it is in force.
        asked, runs = _options(chosen), running.options if running else ""
        how = f", with {runs or 'no options'}" if asked != runs else ""
        print(f"a sandbox runs already: {where}{how}", file=sys.stderr)  # noqa: T201 - a program's last word
    except (OSError, NotPrivate) as error:
        print(f"cannot serve: {error}", file=sys.stderr)  # noqa: T201 - a program's last word
    return 1


def _serve(folder: Path, chosen: argparse.Namespace) -> int:
    from lexoffice_nb.sandbox.app import Sandbox

    idle_seconds = chosen.idle_minutes * 60
    end = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: end.set())
    settings = settings_of(chosen)
    settings.workshop = chosen.workshop
    with Sandbox(port=chosen.port, data_dir=folder, settings=settings) as box:
        address = SandboxAddress(box.url, os.getpid(), box.instance, _options(chosen))
        write_address(folder, address)
        print(f"sandbox at {box.url}", flush=True)  # noqa: T201 - where to go
        try:
            while not end.wait(min(1.0, idle_seconds / 4)):
                if time.monotonic() - box.last_request > idle_seconds:
                    break
        finally:
            remove_address(folder, address)
    return 0


def _options(chosen: argparse.Namespace) -> str:
    return " ".join(filter(None, [WORKSHOP if chosen.workshop else "", described(chosen)]))


if __name__ == "__main__":
    sys.exit(main())
