"""The world of the exercises from outside: its control routes, and an attacker who has nothing but `requests`."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

if TYPE_CHECKING:
    from lexoffice_nb.sandbox import Sandbox


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def changed(url: str, **changes: str | None) -> str:
    kept = {name: value for name, value in {**query(url), **changes}.items() if value is not None}
    return urlsplit(url)._replace(query=urlencode(kept)).geturl()


@dataclass
class World:
    """The control routes, as the notebook uses them, and an attacker who has nothing but `requests`."""

    box: Sandbox

    def __post_init__(self) -> None:
        key = hmac.new(self.box.identity_secret.encode(), b"workshop-control", hashlib.sha256).hexdigest()
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **params: Any) -> Any:
        response = requests.get(f"{self.box.url}/workshop/{path}", params=params, headers=self.headers, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, **body: Any) -> Any:
        response = requests.post(f"{self.box.url}/workshop/{path}", json=body, headers=self.headers, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    def begin(self, exercise: int, defence: bool) -> None:
        state = self.post("exercise", exercise=exercise, defence=defence)
        assert (state["exercise"], state["defence"]) == (exercise, defence)
        self.issuer, self.app, self.second = state["issuer"], state["app"], state["second"]
        self.since = state["since"]

    def victim(self, do: str, **more: str) -> Any:
        return self.post("victim", do=do, **more)

    def leak(self, what: str) -> str:
        return [leak["value"] for leak in self.get("leaks") if leak["what"] == what][-1]

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        events = self.get("journal", since=self.since)
        return [event for event in events if all(event[name] == value for name, value in wanted.items())]

    def only(self, **wanted: Any) -> dict[str, Any]:
        found = self.events(**wanted)
        assert len(found) == 1, (wanted, self.events())
        return found[0]

    # -- the attacker

    def exchange(self, code: str, redirect_uri: str, /, **more: str) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "client_id": "lexoffice-nb",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        return requests.post(f"{self.issuer}/connect/token", data=form | more, timeout=10)

    def exchange_callback(self, callback: str, /, **more: str) -> requests.Response:
        return self.exchange(query(callback)["code"], callback.partition("?")[0], **more)

    def call_api(self, tokens: requests.Response) -> requests.Response:
        bearer = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        return requests.get(f"{self.issuer}/v1/profile", headers=bearer, timeout=10)

    def link(self, http: Any = requests) -> str:
        """The authorization request that the app gives to whoever asks."""
        location: str = http.get(f"{self.app}/login", allow_redirects=False, timeout=10).headers["Location"]
        return location

    def attacker_got_in_as_the_victim(self) -> None:
        token = self.only(by="attacker", at="issuer", what="token", status=200)
        assert (token["person"], token["grant_type"], token["error"]) == ("demo", "authorization_code", None)
        assert self.only(by="attacker", at="issuer", what="api", status=200)["grant"] == token["grant"]

    def attacker_was_refused(self, *errors: str) -> dict[str, Any]:
        token = self.only(by="attacker", at="issuer", what="token")
        assert (token["status"], token["person"]) == (400, "demo")
        assert token["error"] in errors
        assert not self.events(by="attacker", what="api", status=200)
        return token


class Listener:
    """A server of the attacker: remembers the paths it was asked for."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

        self._server: HTTPServer = Server((host, port), Handler)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
