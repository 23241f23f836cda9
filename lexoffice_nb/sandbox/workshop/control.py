"""The control routes: how the notebook of whoever does the exercises steers this world."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from lexoffice_nb.sandbox.authorization_header import bearer_token
from lexoffice_nb.sandbox.workshop.browser import NotLoopback
from lexoffice_nb.sandbox.workshop.defences import SETTINGS
from lexoffice_nb.sandbox.workshop.untrusted import sent_json

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.workshop.world import World

_LONGEST_WAIT = 20.0


def control_key(identity_secret: str) -> str:
    """What only a process of the same user can send: it follows from the secret in the sandbox's folder."""
    return hmac.new(identity_secret.encode("ascii"), b"workshop-control", hashlib.sha256).hexdigest()


def blueprint(world: World, key: str) -> Blueprint:
    """The routes below `/workshop`."""
    routes = Blueprint("workshop", __name__, url_prefix="/workshop")

    @routes.before_request
    def only_with_the_key() -> Response | None:
        sent = bearer_token(request.headers.get("Authorization", ""))
        if hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), key.encode("ascii")):
            return None
        return _refused("forbidden", 403)

    @routes.errorhandler(sqlite3.Error)
    def cannot_write(_error: sqlite3.Error) -> Response:
        """No room, or the folder has become read-only."""
        return _refused("cannot_write", 507)

    @routes.errorhandler(OSError)
    def cannot_listen(_error: OSError) -> Response:
        return _refused("no_port", 503)

    @routes.get("/state")
    def state() -> Response:
        return jsonify(world.state())

    @routes.post("/exercise")
    def exercise() -> Response:
        match sent_json():
            case {"exercise": None}:
                world.set_up(None, True)
            case {"exercise": int(number), "defence": bool(defence)} if number in SETTINGS and number is not True:
                world.set_up(number, defence)
            case _:
                return _refused("no_such_exercise", 400)
        return jsonify(world.state())

    @routes.post("/victim")
    def victim() -> Response:
        match sent_json():
            case {"do": "sign_in"}:
                visit = world.browser.open(f"{world.app.url}/login")
            case {"do": "use"}:
                visit = world.browser.open(f"{world.app.url}/me")
            case {"do": "open", "url": str(url)}:
                try:
                    visit = world.browser.open(url)
                except NotLoopback:
                    return _refused("not_loopback", 400)
            case _:
                return _refused("cannot_do_that", 400)
        return jsonify(asdict(visit))

    @routes.get("/leaks")
    def leaks() -> Response:
        return jsonify(world.leaks())

    @routes.get("/journal")
    def journal() -> Response:
        since, wait = _number(request.args.get("since", "1")), _number(request.args.get("wait", "0"))
        if since is None or wait is None:
            return _refused("no_number", 400)
        events: list[dict[str, Any]] = [
            asdict(event) for event in world.journal.since(int(since), min(wait, _LONGEST_WAIT))
        ]
        return jsonify(events)

    return routes


def _number(text: str) -> float | None:
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or len(text) > 12:
        return None
    return float(text)


def _refused(error: str, status: int) -> Response:
    response = jsonify({"error": error})
    response.status_code = status
    return response
