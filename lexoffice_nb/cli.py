"""`lexoffice-nb`: the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

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
        "--port", type=int, default=None, help="port to listen on (default: its old one, or a free one)"
    )
    chosen = parser.parse_args(arguments)
    return _sandbox(chosen.port)


def _sandbox(port: int | None) -> int:
    from lexoffice_nb.sandbox.__main__ import main as run

    return run([] if port is None else ["--port", str(port)])
