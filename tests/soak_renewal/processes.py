"""The processes that share one account, as programs of their own.

    python -m tests.soak_renewal.processes load|renew|look '{"issuer": …}'

Each says on stdout, as lines of JSON, what came of it: codes and numbers, never a token. Each ends when its stdin does,
and after `_LONGEST` seconds in any case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

from lexoffice_nb.api.client import ApiSession
from lexoffice_nb.errors import ApiError, LexofficeError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_source import SignIn, TokenSource
from lexoffice_nb.oauth.token_store import AccountName, Binding, FileStore

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CLIENT_ID, CALLBACK = "lexoffice-nb", "http://127.0.0.1:51234/callback"
NAME = AccountName("soak")
MODULE = "tests.soak_renewal.processes"
_LONGEST = 180


@dataclass(frozen=True)
class Place:
    """An account, and where it is used.

    Attributes:
        issuer: the provider.
        folder: where its tokens are kept.
        path: what is asked for, below the API.
        api: the API, where the provider does not name it.
        token_endpoint: the proxy's, in place of the provider's own.
        scopes: what is signed in for.
    """

    issuer: str
    folder: str
    path: str
    api: str = ""
    token_endpoint: str = ""
    scopes: tuple[str, ...] = ("openid", "profile")

    def attempt(self) -> LexofficeLogin:
        given = {"api_base": self.api, "token_endpoint": self.token_endpoint}
        provider = replace(Provider.discover(self.issuer), **{name: url for name, url in given.items() if url})
        return LexofficeLogin(CLIENT_ID, CALLBACK, tuple(self.scopes), provider)

    def store(self) -> FileStore:
        return FileStore(NAME, Path(self.folder))

    def sign_in(self, person: Callable[[str], str]) -> TokenSource:
        """Signs in and keeps the tokens; `person` opens a link and gives the callback."""
        attempt = self.attempt()
        attempt.handle_callback(person(attempt.get_login_url()))
        source = TokenSource(self.store())
        source.adopt(attempt, NAME)
        return source

    def adopted(self) -> TokenSource:
        """The account as another process has kept it."""
        attempt = self.attempt()
        source = TokenSource(self.store())
        sign_in = SignIn(attempt.endpoint, attempt.keys)
        if source.adopt_kept(sign_in, Binding.of(attempt.provider, CLIENT_ID), "a process") is None:
            raise LookupError("nothing is kept")
        return source

    def session(self, source: TokenSource) -> ApiSession:
        endpoint = source.sign_in.endpoint
        assert endpoint is not None
        return ApiSession(source, endpoint.provider.api_base)


class Process:
    """One of the programs below, started with the account.

    Args:
        what: which of them.
        place: the account.
        python: the interpreter, which may be another environment's.
        module: another program that talks in the same way.
        options: what else it is given.
    """

    def __init__(
        self, what: str, place: Place, python: str = sys.executable, module: str = MODULE, **options: Any
    ) -> None:
        given = json.dumps({**asdict(place), **options})
        self._process = subprocess.Popen(
            [python, "-m", module, what, given],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def says(self) -> dict[str, Any]:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process has ended with {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def tell(self, line: str = "") -> None:
        """Lets it go on, with what it waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: it has no chance to end anything."""
        self._process.kill()
        self._process.wait()


def ask(what: str, place: Place, **options: Any) -> dict[str, Any]:
    """Runs a process to its end and gives the one thing that it says."""
    with Process(what, place, **options) as process:
        return process.says()


# --- the programs ---


def _say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


def _ending(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, LexofficeError) else type(error).__name__
    if isinstance(error, ApiError) and error.status:
        code = f"HTTP {error.status}"
    elif isinstance(error, requests.HTTPError) and error.response is not None:
        code = f"HTTP {error.response.status_code}"
    return {"code": code, "kind": type(error).__name__, "says": str(error)}


def request_until(seconds: float, threads: int, pause: float, request: Callable[[], None]) -> dict[str, Any]:
    """Sends requests from all threads for that long; gives how many were good, and what the others ended with."""
    good, bad = [0] * threads, Counter[str]()
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        while time.monotonic() < end:
            try:
                request()
            except Exception as error:
                bad[_ending(error)["code"]] += 1
            else:
                good[number] += 1
            time.sleep(pause)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"ok": sum(good), "errors": dict(bad)}


def load_in_steps(request: Callable[[], None], *, seconds: float, threads: int, pause: float) -> None:
    """The load: says when it is ready, waits, sends, says how it was, waits, says whether one more request is good."""
    _say(ready=True)
    sys.stdin.readline()
    _say(**request_until(seconds, threads, pause, request))
    sys.stdin.readline()
    code = ""
    try:
        request()
    except Exception as error:
        code = _ending(error)["code"]
    _say(signed_in=not code, code=code)


def load(place: Place, **options: Any) -> None:
    """Requests from many threads that share a session."""
    session = place.session(place.adopted())
    load_in_steps(lambda: session.get(place.path).close(), **options)


def renew(place: Place) -> None:
    """Renews again and again, until it is killed."""
    source = place.adopted()
    _say(ready=True)
    while True:
        source.renew(source.access_token())


def look(place: Place) -> None:
    """Takes what is kept, uses it, and renews it."""
    said: dict[str, Any] = {"status": None, "code": ""}
    try:
        source = place.adopted()
        token = source.access_token()
        with place.session(source) as session:
            said["status"] = session.get(place.path).status_code
            source.renew(token)
            session.get(place.path)
    except Exception as error:
        said |= _ending(error)
    _say(**said)


def end_in_time() -> None:
    """Ends this process when nobody else does."""
    timer = threading.Timer(_LONGEST, os._exit, (3,))
    timer.daemon = True
    timer.start()


def asked_for() -> tuple[str, Place, dict[str, Any]]:
    """Which program, for which account, with which options."""
    what, given = sys.argv[1], json.loads(sys.argv[2])
    fields = Place.__dataclass_fields__
    place = Place(**{name: value for name, value in given.items() if name in fields})
    return what, place, {name: value for name, value in given.items() if name not in fields}


def main() -> None:
    end_in_time()
    what, place, options = asked_for()
    {"load": load, "renew": renew, "look": look}[what](place, **options)


if __name__ == "__main__":
    main()
