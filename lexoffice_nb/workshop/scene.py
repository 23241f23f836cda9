"""An exercise as the learner holds it: what there is to read, the victim who acts, and the attacker's tools."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.utils import get_environ_proxies, select_proxy

from lexoffice_nb.errors import shielded
from lexoffice_nb.texts import from_server
from lexoffice_nb.workshop.checks import ATTACKER
from lexoffice_nb.workshop.exercises import EXERCISES
from lexoffice_nb.workshop.leaks import Leak, Leaks
from lexoffice_nb.workshop.listener import Listener
from lexoffice_nb.workshop.page import Block, Line, Page
from lexoffice_nb.workshop.words import WorkshopError, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from lexoffice_nb.workshop.world import State, World

# What is not the learner's own code.
_OTHERS = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))
# What a defence may lead to, of our own errors. All others are about the sandbox.
_OF_A_DEFENCE = {"no_leak", "no_leak_on", "no_parameter", "nothing_came", "port_taken"}
# What Erika does after an attack that has ended early, since the check looks at it; and the words for it.
_GOES_ON = {6: "ended.6", 8: "ended.8"}


class Exercise(Page):
    """One exercise, with its defence off or on. It is over when the next one begins.

    Attributes:
        number: 1 to 10.
        defence: Whether the defence is on.
        issuer: URL of the authorization server, which is the API too.
        app: URL of Belegheft, the app that the victim uses.
        second: URL of the second authorization server, which the attacker operates.
        client_id: The client ID of Belegheft.
        victim: Lets the victim act.
        attacker: The attacker's tools.
    """

    def __init__(self, world: World, state: State) -> None:
        self._world = world
        self._began = state
        self.number = int(state.exercise or 0)
        self.defence = state.defence
        self.issuer = state.issuer
        self.app = state.app
        self.second = state.second
        self.client_id = state.client_id
        self.victim = Victim(self)
        self.attacker = Attacker(self)

    def __enter__(self) -> Self:
        """For an attack that the defence may end early: with it on, that is one line and no traceback."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> bool:
        # An unknown name is a mistake of the learner's own, with the defence off as well.
        if error is None or not self._began.defence or not isinstance(error, Exception) or isinstance(error, NameError):
            return False
        if isinstance(error, WorkshopError) and error.code not in _OF_A_DEFENCE:
            return False
        # Of others' errors the kind only: their text may have a URL in it, and that one a code.
        what = error.what() if isinstance(error, WorkshopError) else type(error).__name__
        _say_in_cell(say("ended", line=_own_line(frames), what=what))
        if self.number in _GOES_ON:
            _say_in_cell(say(_GOES_ON[self.number]))
            _ = self.victim.uses_app() if self.number == 6 else self.victim.signs_in()
        return True

    @shielded
    def leaks(self) -> Leaks:
        """What you have got to see, oldest first."""
        found = self._asked(self._world.leaks)
        leaks = [Leak(str(each["what"]), str(each["where"]), str(each["value"])) for each in found]
        return _LeaksDespiteDefence(leaks, self.number) if self._began.defence else Leaks(leaks)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        self._still_on()
        try:
            return ask()
        except WorkshopError:
            self._still_on()  # says so if the sandbox ended meanwhile
            raise

    def _still_on(self) -> None:
        state = self._world.state()
        if state.process != self._began.process:
            raise WorkshopError("restarted", number=self.number)
        if not state.is_the_same_round(self._began):
            raise WorkshopError("moved_on", number=self.number)

    def _close(self) -> None:
        self.attacker._close()

    def _title(self) -> str:
        return say("exercise", number=self.number, name=say(f"name.{self.number}"))

    def _blocks(self) -> list[Block]:
        n = self.number
        servers = [Line(say(f"server.{name}"), mono=getattr(self, name)) for name in ("issuer", "app")]
        if n == 9:
            servers.append(Line(say("server.second"), mono=self.second))
        servers.append(Line(say("server.client_id"), mono=self.client_id))
        return [
            Block(say("label.story"), say(f"story.{n}")),
            Block(say("label.have"), say(f"have.{n}")),
            Block(say("label.goal"), say(f"goal.{n}")),
            Block(say("label.defence"), say("defence.on" if self.defence else "defence.off", what=say(f"defence.{n}"))),
            Block(say("label.servers"), lines=servers),
            Block(
                f"{say('label.tools')} ({say('tools.title', number=n)})",
                lines=[Line(tool.strip()) for tool in say("tools").split(";")],
            ),
            Block(
                say("label.read"),
                lines=[Line(place.replace("section", say("section"), 1)) for place in EXERCISES[n].reads],
            ),
            Block(say("label.next"), say("next.on" if self.defence else "next.off", number=n)),
            *self._proxy_block(),
        ]

    def _proxy_block(self) -> list[Block]:
        # requests sends even loopback to a proxy of the environment; a learner would look for the mistake elsewhere.
        if select_proxy(self.issuer, get_environ_proxies(self.issuer)) is None:
            return []
        return [Block(text=say("proxy"))]


class _LeaksDespiteDefence(Leaks):
    """With the defence on it may be its work that something has not leaked; then other advice is needed."""

    def __init__(self, leaks: Sequence[Leak], number: int = 0) -> None:
        super().__init__(leaks)
        self._number = number

    def __getitem__(self, which: Any) -> Any:
        try:
            return super().__getitem__(which)
        except WorkshopError as error:
            what = error.values["what"]
        raise WorkshopError("no_leak_on", what=what, number=self._number)


def _say_in_cell(words: str) -> None:
    print(words)  # noqa: T201 - it is a cell's output, as what the attack itself prints is


def _own_line(frames: TracebackType | None) -> str:
    """The line of the learner's own code at which an error came up."""
    own = [each for each in traceback.extract_tb(frames) if not each.filename.startswith(_OTHERS)]
    return (own[-1].line or own[-1].name) if own else "?"


@dataclass(frozen=True)
class Visit:
    """Where the victim's browser ended.

    Attributes:
        ended_at: Origin and path of the last page.
        status: Its HTTP status; None if nothing answered there, or somebody else was first.
    """

    ended_at: str
    status: int | None

    def __repr__(self) -> str:
        return say("visit.none" if self.status is None else "visit", ended_at=self.ended_at, status=self.status)


class Victim:
    """Erika (`demo`), who does what she is told, in a browser with cookies."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise

    def signs_in(self) -> Visit:
        """She signs in to Belegheft."""
        return self._does(do="sign_in")

    @shielded
    def opens(self, url: str | Leak) -> Visit:
        """She opens a link of this machine, signs in where she is asked to, and allows what she is asked for."""
        return self._does(do="open", url=_link(url))

    def uses_app(self) -> Visit:
        """She looks at her account in Belegheft."""
        return self._does(do="use")

    @shielded
    def _does(self, **order: str) -> Visit:
        answer = self._exercise._asked(lambda: self._exercise._world.victim(**order))
        return Visit(answer["ended_at"], answer["status"])

    def __repr__(self) -> str:
        return "signs_in(), opens(url), uses_app()"


class Attacker:
    """You, with an account of your own (`kanzlei`)."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise
        self._listeners: list[Listener] = []

    @shielded
    def sign_in(self, url: str | Leak) -> Leak:
        """Signs you in at an authorization request, and allows it; gives the callback without following it."""
        from lexoffice_nb.sandbox.person import SignInFailed, sign_in

        self._exercise._still_on()
        link = _link(url)
        reason = ""
        try:
            return Leak("callback_url", "where.own_browser", sign_in(link, person=ATTACKER))
        except SignInFailed as error:
            reason = from_server(str(error), 120)
        except (requests.RequestException, ValueError) as error:  # ValueError: what is not even a URL
            reason = type(error).__name__
        raise WorkshopError("no_sign_in", reason=reason)

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> Listener:
        """Opens a listener on this machine; it closes by itself.

        Raises:
            PortTaken: Somebody else listens there (also an OSError).
        """
        self._exercise._still_on()
        self._listeners = [each for each in self._listeners if not each.closed]
        self._listeners.append(Listener(host, port))
        return self._listeners[-1]

    def _close(self) -> None:
        while self._listeners:
            self._listeners.pop().close()

    def __repr__(self) -> str:
        return "sign_in(url), listen(host, port)"


def _link(url: object) -> str:
    """A link as text.

    Raises:
        WorkshopError: It is neither text nor a leak.
    """
    if isinstance(url, Leak):
        return url.value
    if isinstance(url, str):
        return url
    raise WorkshopError("no_link", kind=type(url).__name__)
