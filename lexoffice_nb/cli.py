"""`lexoffice-nb`: the command line."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.options import USAGE, add_options, arguments_of, described
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="lexoffice-nb", description="Sign in to a financial API from a notebook; a sandbox of it on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sandbox = commands.add_parser("sandbox", usage=USAGE, help="run the sandbox in this terminal until Ctrl-C")
    add_options(sandbox)
    forget = commands.add_parser("forget", help="remove what this package has written on this machine")
    forget.add_argument("--all", action="store_true", required=True, help="all accounts, and the sandbox's books")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    chosen = parser.parse_args(arguments)
    try:
        return _forget(ask=not chosen.yes) if chosen.command == "forget" else _sandbox(chosen)
    except KeyboardInterrupt:
        # Of the sandbox, before it minds signals itself, that is its usual end.
        return 1 if chosen.command == "forget" else 0


def _forget(*, ask: bool) -> int:
    """Removes the accounts from files and keyring, and everything of the sandbox, which is ended first."""
    import shutil

    from platformdirs import user_config_path, user_data_path

    from lexoffice_nb.errors import StoreError
    from lexoffice_nb.oauth.keyring_store import all_kept, forget_everything
    from lexoffice_nb.sandbox import process

    folder = user_data_path("lexoffice_nb")
    own = user_config_path("lexoffice_nb") / "providers.toml"
    kept: list[object] = []
    with contextlib.suppress(StoreError):
        kept = list(all_kept())
    sys.stdout.write(text("cli.forget.what", folder=folder, number=len(kept)) + "\n")
    if kept:
        sys.stdout.write(text("cli.forget.revoke") + "\n")
    if ask and _asked(text("cli.forget.ask")) not in ("yes", "y", "ja", "j"):
        sys.stdout.write(text("cli.forget.nothing") + "\n")
        return 1
    failures: list[str] = []
    try:
        process.stop()
    except process.SandboxError as error:
        failures.append(str(error))
    try:
        failures += [error.what() for error in forget_everything()]
    except StoreError as error:
        failures.append(error.what())
    if not failures:
        # Only what is ours: on some systems the person's own settings lie in the same folder.
        for part in (folder / "accounts", folder / "sandbox"):
            shutil.rmtree(part, ignore_errors=True)
            failures += [str(part)] if os.path.lexists(part) else []
        with contextlib.suppress(OSError):  # not there, or something else is in it
            folder.rmdir()
    for failure in failures:
        sys.stderr.write(text("cli.forget.failed", what=failure) + "\n")
    if not failures:
        sys.stdout.write(text("cli.forget.done") + "\n")
    if own.exists():
        sys.stdout.write(text("cli.forget.own", path=own) + "\n")
    return 1 if failures else 0


def _asked(question: str) -> str:
    """Gives the answer in small letters; an empty one where nobody can answer."""
    try:
        return input(question).strip().lower()
    except EOFError:
        return ""


def _sandbox(chosen: argparse.Namespace) -> int:
    from lexoffice_nb.sandbox.__main__ import main as run

    status = run(arguments_of(chosen))
    if status:
        from lexoffice_nb.sandbox.process import find

        running = find()
        remedy = "cli.sandbox.running" if running else "cli.sandbox.remedy"
        if running and running.options != described(chosen):
            remedy = "cli.sandbox.other"
        sys.stderr.write(f"→ {text(remedy)}\n")
    return status
