"""`lexoffice-nb`: the command line."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.options import USAGE, add_options, arguments_of, described
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.progress import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="lexoffice-nb", description="Sign in to a financial API from a notebook; a sandbox of it on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sandbox = commands.add_parser("sandbox", usage=USAGE, help="run the sandbox in this terminal until Ctrl-C")
    add_options(sandbox)
    sync = commands.add_parser("sync", help="bring the local copy of the books up to date")
    sync.add_argument("--provider", metavar="P", help="whose API it is: sandbox (default), lexware, or one of your own")
    sync.add_argument("--profile", metavar="P", default="default", help="account that is remembered on this machine")
    sync.add_argument("--full", action="store_true", help="read the whole list again, to find what was deleted")
    sync.add_argument("--payments", action="store_true", help="read payments too: one more request for each voucher")
    forget = commands.add_parser("forget", help="remove what this package has written on this machine")
    forget.add_argument("--all", action="store_true", required=True, help="all accounts, copies of books, sandboxes")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    chosen = parser.parse_args(arguments)
    try:
        return _COMMANDS[chosen.command](chosen)
    except KeyboardInterrupt:
        return _INTERRUPTED[chosen.command]


def _forget(chosen: argparse.Namespace) -> int:
    """Removes the accounts from files and keyring, the copies of books, and all of the sandboxes, which end first."""
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
    if not chosen.yes and _asked(text("cli.forget.ask")) not in ("yes", "y", "ja", "j"):
        sys.stdout.write(text("cli.forget.nothing") + "\n")
        return 1
    failures: list[str] = []
    for sandbox in (process.data_dir(), process.workshop_dir()):
        try:
            process.stop(folder=sandbox)
        except process.SandboxError as error:
            failures.append(str(error))
    try:
        failures += [error.what() for error in forget_everything()]
    except StoreError as error:
        failures.append(error.what())
    if not failures:
        # Only what is ours: on some systems the person's own settings lie in the same folder.
        for part in (folder / name for name in ("accounts", "books", "sandbox", "workshop")):
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


def _sync(chosen: argparse.Namespace) -> int:
    """Syncs the books of whoever is remembered, or whose key the environment has. Asks nobody: it may be a cron job."""
    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.notebook.sign_in import login

    try:
        books = login(provider=chosen.provider, profile=chosen.profile, interactive=False).books
        with _progress_line():
            run = books.sync(full=chosen.full, payments=chosen.payments or None, wait=True)
    except LexofficeError as error:
        sys.stderr.write("{}\n→ {}\n".format(*_told(error, chosen)))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(text("cli.sync.stopped") + "\n")
        raise
    if run.problem is not None:  # another notebook is at it
        sys.stderr.write("{}\n→ {}\n".format(*run.problem))
        return 1
    sys.stdout.write(f"{run!r}\n")
    return 0


def _told(error: LexofficeError, chosen: argparse.Namespace) -> tuple[str, str]:
    """What went wrong, and what to do now; of a profile that nobody knows, its name, which may have been mistyped."""
    from lexoffice_nb.texts import from_server

    if error.code != "signed_out_no_person" or chosen.profile == "default":
        return error.what(), error.next()
    provider = chosen.provider or os.environ.get("LEXOFFICE_PROVIDER") or "sandbox"
    named = {"profile": from_server(chosen.profile, 40), "provider": from_server(provider, 40)}
    return text("cli.sync.profile", **named), text("cli.sync.profile.next", **named)


@contextlib.contextmanager
def _progress_line() -> Iterator[None]:
    """Shows on one line of the terminal how far it is; nothing where the output is no terminal."""
    from lexoffice_nb.notebook.progress_line import EVERY_SECONDS, sentence
    from lexoffice_nb.progress import watch

    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    shown_at = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown_at
        if progress.finished or time.monotonic() - shown_at >= EVERY_SECONDS:
            shown_at = time.monotonic()
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{sentence(progress)[:width]}" + ("\n" if progress.finished else ""))
            sys.stderr.flush()

    stop = watch(show)
    try:
        yield
    except BaseException:
        sys.stderr.write("\n")  # what is said now has a line of its own
        raise
    finally:
        stop()


_COMMANDS = {"sandbox": _sandbox, "sync": _sync, "forget": _forget}
# Of the sandbox, before it minds signals itself, an interrupt is its usual end. 130 is what shells say of one.
_INTERRUPTED = {"sandbox": 0, "sync": 130, "forget": 1}
