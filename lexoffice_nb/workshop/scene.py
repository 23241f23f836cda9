"""An exercise as the learner holds it: what there is to read, the victim who acts, and the attacker's tools."""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Callable

    from lexoffice_nb.workshop.world import State, World


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

    def leaks(self) -> Leaks:
        """What you have got to see, oldest first."""
        found = self._asked(self._world.leaks)
        return Leaks([Leak(str(each["what"]), str(each["where"]), str(each["value"])) for each in found])

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
            Block(say("label.read"), lines=[Line(place) for place in EXERCISES[n].reads]),
            Block(say("label.next"), say("next.on" if self.defence else "next.off", number=n)),
            *self._proxy_block(),
        ]

    def _proxy_block(self) -> list[Block]:
        # requests sends even loopback to a proxy of the environment; a learner would look for the mistake elsewhere.
        if select_proxy(self.issuer, get_environ_proxies(self.issuer)) is None:
            return []
        return [Block(text=say("proxy"))]


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

    def opens(self, url: str | Leak) -> Visit:
        """She opens a link of this machine, signs in where she is asked to, and allows what she is asked for."""
        return self._does(do="open", url=url.value if isinstance(url, Leak) else url)

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
        link = url.value if isinstance(url, Leak) else url
        reason = ""
        try:
            return Leak("callback_url", "where.own_browser", sign_in(link, person=ATTACKER))
        except SignInFailed as error:
            reason = from_server(str(error), 120)
        except requests.RequestException as error:
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
