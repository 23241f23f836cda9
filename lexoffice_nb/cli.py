"""`lexoffice-nb`: the command line."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="lexoffice-nb", description="Sign in to a financial API from a notebook; a sandbox of it on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sandbox = commands.add_parser("sandbox", help="run the sandbox in this terminal until Ctrl-C")
    sandbox.add_argument(
        "--port", type=_port, default=0, help="port to listen on, 1 to 65535 (default: its old one, or a free one)"
    )
    chosen = parser.parse_args(arguments)
    try:
        return _sandbox(chosen.port)
    except KeyboardInterrupt:  # before the sandbox minds signals itself
        return 0


def _port(value: str) -> int:
    if value.isascii() and value.isdigit() and 0 < int(value[:6]) < 65536:
        return int(value)
    raise argparse.ArgumentTypeError(f"{value[:20]!r} is no port: choose a number from 1 to 65535")


def _sandbox(port: int) -> int:
    from lexoffice_nb.sandbox.__main__ import main as run

    status = run(["--port", str(port)])
    if status:
        sys.stderr.write(f"→ {text('cli.sandbox.remedy')}\n")
    return status
