"""The world of the exercises as the notebook reaches it: a sandbox process of its own, asked over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from lexoffice_nb.errors import shielded
from lexoffice_nb.oauth.quiet import QuietAdapter
from lexoffice_nb.sandbox import process
from lexoffice_nb.sandbox.identity import read_secret
from lexoffice_nb.sandbox.private_files import NotPrivate
from lexoffice_nb.texts import from_server
from lexoffice_nb.workshop.checks import Event
from lexoffice_nb.workshop.words import WorkshopError

if TYPE_CHECKING:
    from pathlib import Path

_CONTROL = b"workshop-control"
_SECONDS = 30
# What may be asked again of a sandbox that was just started: in a new one no victim knows of the exercise.
_REPEATED = ("exercise", "state")


@dataclass(frozen=True)
class State:
    """What the sandbox says of the exercise that goes on.

    Attributes:
        exercise: Its number; None if none was begun.
        defence: Whether its defence is on.
        issuer: The authorization server and API.
        second: The second server, which the attacker operates.
        app: The victim's app.
        client_id: Under which name the app is registered.
        since: The number of the first entry of the log that belongs to it.
        process: Which process said so: a log ends with its process.
        unavailable: The exercises that this machine cannot do.
    """

    exercise: int | None
    defence: bool
    issuer: str
    second: str
    app: str
    client_id: str
    since: int
    process: int
    unavailable: tuple[int, ...] = ()

    def is_the_same_round(self, other: State) -> bool:
        """Whether it is still the exercise of that other moment, not begun anew since."""
        return (self.process, self.exercise, self.defence, self.since) == (
            *(other.process, other.exercise, other.defence, other.since),
        )


class World:
    """Finds or starts the workshop's sandbox, and asks it.

    Args:
        folder: Where that sandbox keeps its things. It is never the folder of the person's usual sandbox.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._starting = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the sandbox keeps its things."""
        return self._folder or process.workshop_dir()

    def begin(self, exercise: int, defence: bool) -> State:
        """Sets the world up for an exercise; what was before it is over."""
        return self._state(*self._ask("POST", "exercise", {"exercise": exercise, "defence": defence}))

    def state(self) -> State:
        """Which exercise goes on."""
        return self._state(*self._ask("GET", "state"))

    @shielded
    def victim(self, **order: str) -> dict[str, Any]:
        """Lets the victim act; gives where the browser ended."""
        answer: dict[str, Any] = self._ask("POST", "victim", order)[0]
        return answer

    @shielded
    def leaks(self) -> list[dict[str, str]]:
        """What the attacker of this exercise has got to see. It is secret."""
        answer: list[dict[str, str]] = self._ask("GET", "leaks")[0]
        return answer

    def journal(self, since: int) -> list[Event]:
        """The log from an entry on, oldest first."""
        return [Event.of(entry) for entry in self._ask("GET", f"journal?since={since:d}")[0]]

    @shielded
    def running(self) -> int | None:
        """The process of the sandbox, if there is one."""
        found = process.find(folder=self.folder)
        return found.pid if found else None

    @shielded
    def _ask(self, method: str, route: str, body: dict[str, Any] | None = None) -> tuple[Any, int]:
        # The key goes only to a server that has just proved itself: whoever takes a dead one's port learns nothing.
        for last in (False, True) if route in _REPEATED else (True,):
            address = self._address()
            try:
                with requests.Session() as http:
                    http.trust_env = False  # no proxy and no netrc between us and our own machine
                    http.mount("http://", QuietAdapter())
                    answer = http.request(
                        method,
                        f"{address.url}/workshop/{route}",
                        json=body,
                        headers={"Authorization": f"Bearer {self._key()}"},
                        timeout=_SECONDS,
                        allow_redirects=False,
                    )
                    return self._read(answer), address.pid
            except requests.RequestException as error:
                if last or self.running() == address.pid:
                    raise WorkshopError("no_answer", reason=type(error).__name__) from None
        raise AssertionError("unreachable")

    def _read(self, answer: requests.Response) -> Any:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.status_code == 200 and content is not None:
            return content
        said = content.get("error") if isinstance(content, dict) else None
        status = answer.status_code
        if status == requests.codes.not_found:
            raise WorkshopError("not_workshop")
        if status == requests.codes.insufficient_storage:
            raise WorkshopError("no_room", folder=self.folder)
        if said == "no_port":
            raise WorkshopError("no_port")
        if status >= 500:
            raise WorkshopError("broken", status=status, folder=self.folder)
        raise WorkshopError("refused", reason=from_server(said or answer.status_code, 80))

    def _address(self) -> process.SandboxAddress:
        with self._starting:
            try:
                return process.find_or_start(folder=self.folder, arguments=("--workshop",))
            except process.SandboxError as error:
                raise WorkshopError("no_start", reason=from_server(str(error))) from None

    def _key(self) -> str:
        try:
            secret = read_secret(self.folder)
        except (OSError, NotPrivate, ValueError) as error:
            raise WorkshopError("no_start", reason=type(error).__name__) from None
        return hmac.new(secret.encode("ascii"), _CONTROL, hashlib.sha256).hexdigest()

    @staticmethod
    def _state(answer: dict[str, Any], pid: int) -> State:
        names = ("exercise", "defence", "issuer", "second", "app", "client_id", "since")
        return State(
            **{name: answer[name] for name in names}, process=pid, unavailable=tuple(answer.get("unavailable", ()))
        )
