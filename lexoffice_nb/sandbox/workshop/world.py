"""The world of the exercises: issuer, second server, the victim's app and browser, and who sees what of them."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from lexoffice_nb.sandbox import paper
from lexoffice_nb.sandbox.workshop import control
from lexoffice_nb.sandbox.workshop.belegheft import Belegheft
from lexoffice_nb.sandbox.workshop.browser import VictimBrowser
from lexoffice_nb.sandbox.workshop.defences import NO_EXERCISE, SETTINGS, Defences, Setting
from lexoffice_nb.sandbox.workshop.journal import GrantNames, Journal, Marks, Trace, Traces
from lexoffice_nb.sandbox.workshop.observer import observe
from lexoffice_nb.sandbox.workshop.second import SecondServer
from lexoffice_nb.sandbox.workshop.serving import IPV4, IPV6, has_ipv6
from lexoffice_nb.sandbox.workshop.switches import SwitchedIssuer

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from lexoffice_nb.sandbox.app import Sandbox
    from lexoffice_nb.sandbox.clients import Client
    from lexoffice_nb.sandbox.contract import Contract
    from lexoffice_nb.sandbox.database import Database
    from lexoffice_nb.sandbox.grants import Grants

_SQUATTING = 8
_MOST_LEAKS = 100


@dataclass(frozen=True)
class Leak:
    """What the attacker of an exercise has seen.

    Attributes:
        what: `callback_url`, `authorization_url` or `token_request`.
        where: Where it was seen.
        value: It, as a URL.
    """

    what: str
    where: str
    value: str


class World:
    """What lives in a sandbox of the workshop.

    Args:
        box: The sandbox, whose address is known and which does not serve yet.
        database: Its database.
        data_dir: Its folder.
    """

    def __init__(self, box: Sandbox, database: Database, data_dir: Path) -> None:
        self._box = box
        self._database = database
        self._usual = (box.settings.access_token_life, box.settings.slow)
        self._ipv6 = has_ipv6()
        self._app: Belegheft | None = None
        self._lock = threading.RLock()
        self._exercise: int | None = None
        self._defence = True
        self._rules: tuple[Defences, Setting] = (Defences(), NO_EXERCISE)
        self._leaks: list[Leak] = []
        self._since = 1
        self._marks = Marks()
        self.journal = Journal()
        self._names = GrantNames()
        self._traces = [Traces(database, self._names)]
        self._second = SecondServer(
            data_dir / "second", self.journal, self._marks, self._trace, lambda: self._rules[1].second_server
        )
        self.browser = VictimBrowser(self._marks, self._addresses, self._origins, self._sees)

    def start(self) -> None:
        """Start the second server and the app.

        Raises:
            OSError: No port is free.
        """
        self._second.start()
        self._traces.append(self._second.traces(self._names))
        self._app = Belegheft(
            self._box.url, self._second.url, self.journal, self._marks, self._trace, lambda: self._rules
        )
        self.app.listen(hold_ipv6=self._ipv6)

    def stop(self) -> None:
        """End all of it."""
        self.journal.close()
        if self._app is not None:
            self._app.stop()
        self._second.stop()

    @property
    def app(self) -> Belegheft:
        """The victim's app, once it was started."""
        assert self._app is not None, "it was not started"  # noqa: S101 - a slip of ours, not of who asks
        return self._app

    # -- what the sandbox is made with

    def issuer(
        self, url: str, contract: Contract, client: Client, grants: Grants, settings: Any, extensions: Any
    ) -> SwitchedIssuer:
        """The issuer whose checks are switched, in place of the usual one."""

        def accepts(redirect_uri: str) -> bool:
            if self._exercise is None:
                return client.check_redirect_uri(redirect_uri)
            # The app has a port of its own: a free one, as the notebook's login needs it, would be the attacker's too.
            registered = self.app.redirect_uri
            loosely = not self._rules[0].exact_redirect and redirect_uri.startswith(f"{registered}/")
            return redirect_uri == registered or loosely

        return SwitchedIssuer(
            *(url, contract, paper.notebook_client(accepts), grants, settings, extensions),
            defences=lambda: self._rules[0],
            registered=lambda: self.app.redirect_uri,
            database=self._database,
        )

    def attach(self, app: Flask) -> None:
        """Add the control routes and the journal to the sandbox."""
        app.register_blueprint(control.blueprint(self, control.control_key(self._box.identity_secret)))
        observe(app, "issuer", self.journal, self._marks, self._trace)

    # -- steering

    def set_up(self, exercise: int | None, defence: bool) -> None:
        """Begin an exercise anew, with its defence on or off; None is no exercise, and every check is on.

        Raises:
            sqlite3.Error: It cannot be written down; the exercise before it is still set up.
            OSError: No port is free; likewise.
        """
        with self._lock:
            setting = NO_EXERCISE if exercise is None else SETTINGS[exercise]
            defences = setting.on if defence else setting.off
            # First what may fail, so that the state never says that something is set up which is not.
            self._end_what_was()
            self.app.listen(hold_ipv6=self._ipv6 and defences.literal_redirect)
            settings, (life, slow) = self._box.settings, self._usual
            settings.access_token_life, settings.slow = setting.access_token_life or life, setting.slow or slow
            self._rules, self._exercise, self._defence = (defences, setting), exercise, defence
            self._end_what_was()  # again, for what began between the first time and the switch
            self.app.forget_everybody()
            self.browser.forget_cookies()
            self._leaks = []
            self._since = self.journal.next

    def _end_what_was(self) -> None:
        self._box.revoke_everything()
        # A code of an earlier round would still be exchanged, for tokens that are dead, and look like a success.
        self._database.write("UPDATE codes SET expires = 0")
        self._database.write("DELETE FROM sessions")
        self._second.forget_everything()

    def state(self) -> dict[str, Any]:
        """What is set up, and where everything is."""
        with self._lock:
            return {
                "exercise": self._exercise,
                "defence": self._defence,
                "issuer": self._box.url,
                "second": self._second.url,
                "app": self.app.url,
                "client_id": paper.CLIENT_ID,
                "since": self._since,
                "unavailable": [] if self._ipv6 else [_SQUATTING],
            }

    def leaks(self) -> list[dict[str, str]]:
        """What the attacker of this exercise has seen, oldest first."""
        received = [
            Leak("token_request", "second server", f"{self._second.url}/connect/token?{urlencode(form)}")
            for form in self._second.received
        ]
        return [asdict(leak) for leak in [*self._leaks, *received]]

    # -- what happens in it

    def _trace(self, secret: str) -> Trace | None:
        return next(filter(None, (traces.of(secret) for traces in self._traces)), None) if secret else None

    def _addresses(self) -> set[tuple[str, int]]:
        at_ipv6 = {(IPV6, self.app.port)} if self.app.holds_ipv6 else set()
        return {(IPV4, self._box.port), (IPV4, self._second.port), (IPV4, self.app.port)} | at_ipv6

    def _origins(self) -> set[str]:
        return {self._box.url, self._second.url}

    def _sees(self, url: str) -> bool:
        """Note what the attacker sees of the browser's way; False if the request never arrives."""
        setting, parts = self._rules[1], urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}{parts.path}"
        if where.endswith("/connect/authorize") and setting.link_leaks:
            self._leak("authorization_url", setting.link_leaks, url)
        if where != self.app.redirect_uri or "code" not in parse_qs(parts.query):
            return True
        if setting.callback_leaks:
            self._leak("callback_url", setting.callback_leaks, url)
        return not setting.callback_taken

    def _leak(self, what: str, where: str, value: str) -> None:
        self._leaks = [*self._leaks, Leak(what, where, value)][-_MOST_LEAKS:]
