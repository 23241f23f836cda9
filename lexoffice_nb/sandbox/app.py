"""The sandbox as a web application, and as a server in a thread."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections import deque
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import platformdirs
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from lexoffice_nb.sandbox import addons, api, endpoints, identity, openid, pages, paper, partner
from lexoffice_nb.sandbox.api_keys import ApiKeys
from lexoffice_nb.sandbox.authorization import Issuer
from lexoffice_nb.sandbox.authorization_header import basic_credentials, bearer_token
from lexoffice_nb.sandbox.browser import Browser, WaitingRequests
from lexoffice_nb.sandbox.database import Database
from lexoffice_nb.sandbox.faults import Cut, Faults
from lexoffice_nb.sandbox.grants import Grants
from lexoffice_nb.sandbox.ledger import Ledger, build_ledgers
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.private_files import make_private_folder
from lexoffice_nb.sandbox.sessions import Sessions
from lexoffice_nb.sandbox.settings import RequestRecord, SandboxSettings
from lexoffice_nb.sandbox.signing import keep_tokens_out_of_logs, signing_key
from lexoffice_nb.sandbox.throttle import Throttle
from lexoffice_nb.sandbox.voucher_rows import VoucherRows
from lexoffice_nb.sandbox.written import all_books

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from werkzeug.serving import BaseWSGIServer

    from lexoffice_nb.sandbox.workshop.world import World

BERLIN = ZoneInfo("Europe/Berlin")
_MOST_RECORDS = 10_000
_MOST_BODY_OCTETS = 1 << 20
_BOOKS_LIFE_DAYS = 35
_CLIENTS = {paper.CLIENT_ID, partner.CLIENT_ID}
_PREFIXES = tuple(f"{contract.prefix}/" for contract in (paper.PAPER, partner.PARTNER))
_TOKEN_PATHS = tuple(f"{prefix}token" for prefix in _PREFIXES)
_GRANT_TYPES = {AuthorizationCodeGrant.GRANT_TYPE, RefreshTokenGrant.GRANT_TYPE}


class QuietHandler(WSGIRequestHandler):
    """Serves one request for each connection, and writes nothing down."""

    # One request per connection, so that a stopped sandbox answers nobody over a connection that was kept open.
    protocol_version = "HTTP/1.0"
    timeout = 30  # an idle or dripping connection frees its thread

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name is Werkzeug's
        """Nothing: request lines carry codes and states."""

    def version_string(self) -> str:
        """What the header `Server` says."""
        return "lexoffice-sandbox"


class Sandbox:
    """A lexoffice on this machine.

    Args:
        port: Port on 127.0.0.1; 0 takes the one of the last time again if it is free, else any.
        data_dir: Where signing key and grants are kept (0700); the user's data folder by default.
        settings: In-process switches.
    """

    def __init__(self, port: int = 0, data_dir: Path | None = None, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self._wanted_port = port
        self._data_dir = data_dir or default_data_dir()
        self._records: deque[RequestRecord] = deque(maxlen=_MOST_RECORDS)
        self._server: BaseWSGIServer | None = None
        self.voucher_rows: dict[str, VoucherRows] = {}
        self.last_request = time.monotonic()
        self.workshop: World | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bind, open the stored grants, and serve in a thread.

        Raises:
            ValueError: It is a sandbox of the workshop, in the folder of the usual one.
            OSError: The port is taken.
            NotPrivate: The folder or a file in it is somebody else's.
        """
        if self.settings.workshop and self._data_dir.resolve() == default_data_dir().resolve():
            # Each exercise ends all tokens, and switches checks off: not those of the person's usual sandbox.
            raise ValueError("a sandbox of the workshop needs a folder of its own: its checks can be switched off")
        keep_tokens_out_of_logs()
        make_private_folder(self._data_dir)
        self._database = Database(self._data_dir / "grants.sqlite3")
        try:
            self._start()
        except BaseException:
            if self._server is not None:
                self._server.server_close()
                self._server = None
            self._close()
            raise

    def _start(self) -> None:
        self.grants = Grants(self._database)
        self.api_keys = ApiKeys(self._database)
        self.instance = self._database.note("instance") or str(uuid.uuid4())
        self._database.remember("instance", self.instance)
        self.identity_secret = identity.make_secret(self._data_dir)
        self.ledgers = build_ledgers(self.settings.seed, self._day_of_the_books(), self.settings.extra_vouchers)
        self.voucher_rows = {key: VoucherRows.of(ledger) for key, ledger in self.ledgers.items()}
        self._server = self._bind()
        self.port = int(self._server.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._database.remember("port", str(self.port))
        self.key = signing_key(self._data_dir / "signing-key.json")
        self.partner_client = partner.partner_client(self._data_dir / "partner-secret", self.settings)
        self.sessions = Sessions(self._database)
        if self.settings.workshop:
            # Nobody else loads it: without it there is no class in this process that could leave a check out.
            from lexoffice_nb.sandbox.workshop.world import World

            self.workshop = World(self, self._database, self._data_dir)
            self.workshop.start()
        self._server.app = self.application()
        # The socket listens since it was bound: who connects before this line waits a moment and is served.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="lexoffice-sandbox", daemon=True
        )
        self._thread.start()

    def application(self) -> Flask:
        """What it serves."""
        return _application(self)

    def stop(self) -> None:
        """Stop serving and close the files."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join(5)
            self._server.server_close()
            self._server = None
            self._close()

    def _close(self) -> None:
        if self.workshop is not None:
            self.workshop.stop()
        self._database.close()
        for rows in self.voucher_rows.values():
            rows.close()

    @property
    def requests(self) -> list[RequestRecord]:
        """The last requests, oldest first."""
        return list(self._records)

    @property
    def ledger(self) -> Ledger:
        """The books of the demo organisation."""
        return self.ledgers["demo"]

    @property
    def faults(self) -> Faults:
        """What goes wrong between a client and the API."""
        return self.settings.faults

    def make_api_key(self, person: str = "demo", label: str = "") -> str:
        """An API key of a person, as the page would make it."""
        return self.api_keys.make(PEOPLE[person].id, label)

    def revoke_everything(self) -> None:
        """End every token and every API key, as when a person withdraws what they allowed."""
        self.grants.revoke_all()
        self.api_keys.revoke_all()

    def expire_access_tokens(self) -> None:
        """Let every access token be past its life; refresh tokens live on."""
        self.grants.expire_access_tokens()

    def _day_of_the_books(self) -> date:
        # The books keep the day they were opened on, so that tomorrow's notebook meets the same invoices and a local
        # copy of them stays right. After some weeks they are opened anew, or nothing recent would be in them.
        today = datetime.now(BERLIN).date()
        noted = self._database.note("books")
        if noted and 0 <= (today - date.fromisoformat(noted)).days <= _BOOKS_LIFE_DAYS:
            return date.fromisoformat(noted)
        self._database.remember("books", today.isoformat())
        return today

    def _bind(self) -> BaseWSGIServer:
        last = int(self._database.note("port") or 0)
        ports = [self._wanted_port] if self._wanted_port else [last, 0] if last else [0]
        for port in ports[:-1]:
            try:
                return self._bind_to(port)
            except OSError:
                continue
        return self._bind_to(ports[-1])

    @staticmethod
    def _bind_to(port: int) -> BaseWSGIServer:
        # Bound here and not by Werkzeug, which ends the process when a port is taken.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
            if os.name == "posix":  # elsewhere this option lets a second server take a port that is in use
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("127.0.0.1", port))
            bound.listen(128)
            return make_server(
                "127.0.0.1", port, Flask(__name__), threaded=True, request_handler=QuietHandler, fd=bound.fileno()
            )

    def record(self, response: Response) -> None:
        """Remember the current request, without anything secret."""
        self.last_request = time.monotonic()
        try:
            asked: Mapping[str, str] = request.values
        except HTTPException:  # a body that was too large to be read is not read now either
            asked = request.args
        credentials = basic_credentials(request.headers.get("Authorization", ""), self.settings.partner_basic_raw)
        self._records.append(
            RequestRecord(
                time=time.time(),
                method=request.method,
                path=request.path,
                status=0 if isinstance(response, Cut) else response.status_code,
                grant_type=_known(asked.get("grant_type"), _GRANT_TYPES) if request.path in _TOKEN_PATHS else None,
                client_id=_known(credentials[0] if credentials else asked.get("client_id"), _CLIENTS)
                if request.path.startswith(_PREFIXES)
                else None,
                authorised_as=g.get("authorised_as"),
            )
        )


def _known(value: str | None, known: set[str]) -> str | None:
    # A client's mistake may put a secret anywhere, so only names that are ours are written down.
    return value if value is None or value in known else "unknown"


def default_data_dir() -> Path:
    """Where this user's sandbox keeps its things."""
    return platformdirs.user_data_path("lexoffice_nb") / "sandbox"


def _application(box: Sandbox) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_OCTETS
    app.jinja_env.trim_blocks = True
    browser = Browser(box.sessions, f"lexoffice_sandbox_{box.instance.replace('-', '')[:16]}")
    waiting = WaitingRequests()
    views = pages.Pages(box.settings, browser)
    hosts = {f"{name}:{box.port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    @app.before_request
    def only_our_own_host() -> Response | None:
        # A page anywhere may point its own name at 127.0.0.1 (DNS rebinding); its requests carry that name.
        return None if request.host in hosts else Response("Misdirected request\n", 421, content_type="text/plain")

    @app.before_request
    def go_wrong() -> Response | None:
        token = bearer_token(request.headers.get("Authorization", ""))
        g.met = box.faults.meet(request.method, request.path, token, lambda text: box.grants.bearer(text) is not None)
        return g.met.instead() if g.met else None

    @app.after_request
    def finish(response: Response) -> Response:
        if met := g.get("met"):  # not there for a request that another check has ended before
            response = met.spoil(response)
        for name, value in pages.SECURITY_HEADERS.items():
            response.headers[name] = value
        browser.attach_cookie(response)
        box.record(response)
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if request.path.startswith("/v1/"):
            return api.unknown_route(status)
        if request.path.startswith(_PREFIXES):
            response = jsonify({"error": "invalid_request"})
            response.status_code = status
            return response
        return views.error("not_found" if status in (404, 405) else "trouble", status)

    @app.get("/sandbox/identity")
    def prove_identity() -> Response:
        nonce = request.args.get("nonce", "")
        if not identity.is_nonce(nonce):
            return Response("A nonce is needed\n", 400, content_type="text/plain")
        return jsonify({"proof": identity.proof(box.identity_secret, nonce, box.url)})

    issuer_by_paper = Issuer if box.workshop is None else box.workshop.issuer
    by_paper = issuer_by_paper(
        *(box.url, paper.PAPER, paper.notebook_client(), box.grants, box.settings),
        extensions=[openid.IdTokens(box.url, box.key, box.settings)],
    )
    for_partners = Issuer(
        *(box.url, partner.PARTNER, partner.registered(box.partner_client, box.settings), box.grants, box.settings)
    )
    app.register_blueprint(openid.blueprint(box.url, box.key, box.grants))
    app.register_blueprint(endpoints.blueprint(by_paper, browser, waiting, views))
    app.register_blueprint(endpoints.blueprint(for_partners, browser, waiting, views, Throttle(box.settings)))
    app.register_blueprint(pages.blueprint(browser, waiting, views))
    app.register_blueprint(addons.blueprint(browser, views, box.api_keys, box.partner_client, box.url))
    books = all_books(box.ledgers, box.voucher_rows, box._database)
    app.register_blueprint(api.blueprint(box.grants, box.api_keys, books, box.settings))
    if box.workshop is not None:
        box.workshop.attach(app)
    return app
