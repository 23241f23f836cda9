"""The second server: a sandbox that the attacker operates."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, redirect, request

from lexoffice_nb.sandbox.app import Sandbox
from lexoffice_nb.sandbox.workshop.journal import Trace, Traces
from lexoffice_nb.sandbox.workshop.observer import observe
from lexoffice_nb.sandbox.workshop.untrusted import plain_loopback, sent_json, short_form

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.workshop.journal import GrantNames, Journal, Marks

_MOST_RECEIVED = 20


class SecondServer(Sandbox):
    """A sandbox whose authorization endpoint can forward, and whose token endpoint shows what it received.

    Args:
        data_dir: Where it keeps its things.
        journal: Where its requests are written down.
        marks: By which victim's browser and app are recognised.
        trace: Finds the consent behind a code or token, of whichever server it is.
        is_operated: Whether the exercise of the moment has an operator's page.
    """

    def __init__(
        self,
        data_dir: Path,
        journal: Journal,
        marks: Marks,
        trace: Callable[[str], Trace | None],
        is_operated: Callable[[], bool],
    ) -> None:
        super().__init__(data_dir=data_dir)
        self._journal = journal
        self._marks = marks
        self._trace = trace
        self._is_operated = is_operated
        self._lock = threading.Lock()
        self._received: list[dict[str, str]] = []
        self._forward_to: str | None = None

    def traces(self, names: GrantNames) -> Traces:
        """What finds the consent behind its own codes and tokens."""
        return Traces(self._database, names)

    @property
    def received(self) -> list[dict[str, str]]:
        """The forms that its token endpoint received, oldest first."""
        with self._lock:
            return list(self._received)

    def forget_everything(self) -> None:
        """Behave, with nobody signed in and nothing received."""
        with self._lock:
            self._received, self._forward_to = [], None
        self.revoke_everything()
        self._database.write("UPDATE codes SET expires = 0")
        self._database.write("DELETE FROM sessions")

    def application(self) -> Flask:
        """A sandbox with its operator."""
        app = super().application()
        observe(app, "second", self._journal, self._marks, self._trace)

        @app.before_request
        def misbehave() -> AnyResponse | None:
            if not self._is_operated():
                return None
            # An app sends no Origin; the form of a page, which any page anywhere can have sent here, comes with one.
            if request.path == "/connect/token" and request.method == "POST" and "Origin" not in request.headers:
                with self._lock:
                    self._received = [*self._received, short_form()][-_MOST_RECEIVED:]
            if request.path == "/connect/authorize" and self._forward_to is not None:
                return redirect(f"{self._forward_to}?{request.query_string.decode('ascii', 'replace')}", 303)
            return None

        @app.route("/operator", methods=["GET", "POST"])
        def operator() -> Response:
            """Without a key: whoever does the exercise is the operator, and JSON keeps other pages' forms out."""
            if not self._is_operated():
                return Response("Not found\n", 404, content_type="text/plain")
            if request.method == "POST":
                asked = sent_json()
                to: object = asked.get("forward_to") if isinstance(asked, dict) else 0
                if not (to is None or (isinstance(to, str) and _is_loopback(to))):
                    return Response("forward_to has to be a URL of this machine\n", 400, content_type="text/plain")
                self._forward_to = to
            return jsonify({"forward_to": self._forward_to, "received": self.received})

        return app


def _is_loopback(url: str) -> bool:
    parts = plain_loopback(url)
    return parts is not None and not parts.query
