"""Belegheft: the victim's app, with its pages, its cookies and its ports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from flask import Flask, Response, g, jsonify, redirect, request

from lexoffice_nb.sandbox.wording import LANGUAGES
from lexoffice_nb.sandbox.workshop.app_client import AppClient, Refused, Session, equal
from lexoffice_nb.sandbox.workshop.observer import note, recognise_senders, sender
from lexoffice_nb.sandbox.workshop.serving import TwoAddresses
from lexoffice_nb.sandbox.workshop.untrusted import plain_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.workshop.defences import Defences, Setting
    from lexoffice_nb.sandbox.workshop.journal import Journal, Marks, Trace

COOKIE = "belegheft"
_MOST_SESSIONS = 1000
_MOST_BODY_OCTETS = 1 << 16
_WHAT = {"/login": "start", "/callback": "callback", "/me": "me", "/go": "redirector"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_WORDS = {
    "en": {
        "somebody": "You are signed in.",
        "nobody": "Nobody is signed in.",
        "sign_in": "Sign in",
        "second": "Sign in at the second server",
    },
    "de": {
        "somebody": "Sie sind angemeldet.",
        "nobody": "Niemand ist angemeldet.",
        "sign_in": "Anmelden",
        "second": "Am zweiten Server anmelden",
    },
}


class Belegheft:
    """The app with its servers.

    Args:
        issuer: Base URL of the server that it trusts.
        second: Base URL of the other server that people may choose.
        journal: Where its requests are written down.
        marks: Mark its own requests to the servers.
        trace: Finds the consent behind a code or token.
        rules: What it checks at the moment, and what surrounds it.
    """

    def __init__(
        self,
        issuer: str,
        second: str,
        journal: Journal,
        marks: Marks,
        trace: Callable[[str], Trace | None],
        rules: Callable[[], tuple[Defences, Setting]],
    ) -> None:
        self._rules = rules
        self.client = AppClient(issuer, second, marks, lambda: rules()[0], lambda: self.redirect_uri)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._servers = TwoAddresses(_application(self, journal, marks, trace))

    # -- its servers

    def listen(self, *, hold_ipv6: bool) -> None:
        """Listen on 127.0.0.1, and on ::1 or not.

        Raises:
            OSError: No port is free.
        """
        self._servers.listen(hold_ipv6=hold_ipv6)

    def stop(self) -> None:
        """Stop serving."""
        self._servers.stop()

    @property
    def port(self) -> int:
        """Its port."""
        return self._servers.port

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def holds_ipv6(self) -> bool:
        """Whether it listens on ::1 as well."""
        return self._servers.holds_ipv6

    @property
    def redirect_uri(self) -> str:
        """Where answers to its logins are sent."""
        host = "127.0.0.1" if self._defences.literal_redirect else "localhost"
        return f"http://{host}:{self.port}/callback"

    @property
    def _defences(self) -> Defences:
        return self._rules()[0]

    @property
    def setting(self) -> Setting:
        """What surrounds it."""
        return self._rules()[1]

    # -- its sessions

    def forget_everybody(self) -> None:
        """End all sessions."""
        with self._lock:
            self._sessions.clear()

    def session(self) -> Session:
        """The session of the current request; a new one if there is none."""
        found = self._find_session()
        if found is None:
            found = Session("victim" if sender().by == "browser" else "attacker")
            with self._lock:
                while len(self._sessions) >= _MOST_SESSIONS:
                    del self._sessions[next(iter(self._sessions))]
                self._sessions[found.cookie] = found
            g.new_cookie = found.cookie
        g.session = found
        return found

    def session_of_callback(self) -> Session:
        """The session that an answer belongs to."""
        found = None if self._defences.literal_redirect else self._find_session_by_state()
        if found is None:
            return self.session()
        # Without its cookie: whoever has seen a callback's state would be handed the session with it.
        g.session = found
        return found

    def _find_session(self) -> Session | None:
        with self._lock:
            return self._sessions.get(request.cookies.get(COOKIE, ""))

    def _find_session_by_state(self) -> Session | None:
        # The app's own name is then another one than the callback's, and cookies do not go from one to the other: what
        # is left is the state.
        state = request.args.get("state", "")
        with self._lock:
            return next((s for s in self._sessions.values() if s.login and equal(s.login.state, state)), None)


def _application(app: Belegheft, journal: Journal, marks: Marks, trace: Callable[[str], Trace | None]) -> Flask:
    flask = Flask(__name__)
    flask.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_OCTETS

    @flask.before_request
    def only_our_own_host() -> Response | None:
        hosts = {f"{name}:{app.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        return None if request.host in hosts else Response("Misdirected request\n", 421, content_type="text/plain")

    recognise_senders(flask, marks)

    @flask.after_request
    def finish(response: Response) -> Response:
        session: Session | None = g.get("session")
        if new_cookie := g.get("new_cookie"):
            response.set_cookie(COOKIE, new_cookie, httponly=True, samesite="Lax", path="/")
        response.headers.update(_HEADERS)
        found = trace(g.get("traced", ""))
        note(
            *(journal, "app", _WHAT.get(request.path, "other"), response),
            error=g.get("reason"),
            grant=found.grant if found else None,
            person=found.person if found else None,
            session=session.owner if session else None,
            met=request.environ["SERVER_NAME"],  # of the socket; what the request calls it is the attacker's choice
        )
        return response

    @flask.errorhandler(Refused)
    def refuse(refused: Refused) -> Response:
        g.reason = refused.reason
        return _json({"error": refused.reason}, refused.status)

    @flask.errorhandler(requests.RequestException)
    def unreachable(_error: requests.RequestException) -> Response:
        g.reason = "server_unreachable"
        return _json({"error": g.reason}, 502)

    @flask.get("/")
    def home() -> str:
        session = app.session()
        language = request.accept_languages.best_match(LANGUAGES) or "en"
        words = _WORDS[language]
        second = f'<p><a href="/login?server=second">{words["second"]}</a></p>' if app.setting.second_server else ""
        return (
            f'<!doctype html><html lang="{language}"><title>Belegheft</title><h1>Belegheft</h1>'
            f'<p>{words["somebody" if session.tokens else "nobody"]}</p><p><a href="/login">{words["sign_in"]}</a></p>'
            f"{second}</html>"
        )

    @flask.get("/login")
    def login() -> AnyResponse:
        at_second = app.setting.second_server and request.args.get("server") == "second"
        return redirect(app.client.begin_login(app.session(), at_second), 303)

    @flask.get("/callback")
    def callback() -> AnyResponse:
        g.traced = request.args.get("code", "")
        app.client.finish_login(app.session_of_callback(), request.args)
        return redirect(f"{app.url}/", 303)

    @flask.get("/me")
    def me() -> AnyResponse:
        session = app.session()
        tokens = session.tokens  # once: another thread may take them away
        if tokens is not None:
            g.traced = tokens.access
        return _json(app.client.call_api(session), 200)

    @flask.get("/go")
    def go() -> AnyResponse:
        """Where the app's advertisements lead: anywhere, with all that came along."""
        if not app.setting.redirector:
            return Response("Not found\n", 404, content_type="text/plain")
        # Open to every program of this machine, which is open enough: nothing of the workshop leaves it.
        parts = plain_loopback(request.args.get("to", ""))
        if parts is None:
            raise Refused("not_loopback")
        along = urlencode([(name, value) for name, value in request.args.items() if name != "to"])
        joined = "&".join(filter(None, [parts.query, along]))
        return redirect(parts._replace(query=joined).geturl(), 303)

    return flask


def _json(body: dict[str, Any], status: int) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
