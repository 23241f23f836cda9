"""What several processes do with one account, as programs of their own.

    python -m tests.api.pacing_processes ask|turns|refused|hold '{"folder": …}'

Each says lines of JSON on stdout. Each ends when its stdin does, and after `_LONGEST` seconds in any case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_LONGEST = 400.0


class Process:
    """One of the programs below."""

    def __init__(self, what: str, **given: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.api.pacing_processes", what, json.dumps(given, default=str)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def says(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def go(self) -> None:
        """Lets it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def _say(said: Any = None) -> None:
    print(json.dumps(said), flush=True)


def _step(said: Any = None) -> None:
    _say(said)
    if not sys.stdin.readline():
        sys.exit()


def ask(issuer: str, key: str, interval: float, number: int) -> None:
    """Sends requests one after the other, each once at most; says what they ended with."""
    from lexoffice_nb import LexofficeSession, Provider
    from lexoffice_nb.errors import ApiError

    session = LexofficeSession.from_api_key(key, replace(Provider.discover(issuer), request_interval=interval))
    session.max_attempts = 1
    _step()
    endings: list[int | None] = []
    for _ in range(number):
        try:
            endings.append(session.get("/v1/profile").status_code)
        except ApiError as error:
            endings.append(error.status)
    _say(endings)


def turns(folder: str, interval: float, threads: int, seconds: float) -> None:
    """Takes turns from several threads; says how many."""
    from lexoffice_nb.api.pacing import Pace

    pace = Pace("account", interval, Path(folder))
    _step()
    ends, taken = time.monotonic() + seconds, [0] * threads

    def run(number: int) -> None:
        while pace.wait(ends - time.monotonic()):
            taken[number] += 1

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    _say(sum(taken))


def refused(folder: str, interval: float, retry_after: float) -> None:
    """Is refused by the API."""
    from lexoffice_nb.api.pacing import Pace

    Pace("account", interval, Path(folder)).refused(retry_after)
    _say()


def hold(folder: str) -> None:
    """Changes what is shared, and does not get to the end of it."""
    from lexoffice_nb.api.pacing import Pace

    Pace("account", 0.01, Path(folder))._lane.change(lambda state, _: _step() or state)


def main() -> None:
    timer = threading.Timer(_LONGEST, os._exit, (3,))
    timer.daemon = True
    timer.start()
    {"ask": ask, "turns": turns, "refused": refused, "hold": hold}[sys.argv[1]](**json.loads(sys.argv[2]))


if __name__ == "__main__":
    main()
