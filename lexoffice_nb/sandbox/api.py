"""The REST API in the vendor's shapes: one gateway before all the routes of `routes`."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from lexoffice_nb.sandbox import shapes
from lexoffice_nb.sandbox.authorization_header import bearer_token
from lexoffice_nb.sandbox.calls import Call, Reply, Route
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.rate_limit import RateLimit
from lexoffice_nb.sandbox.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.sandbox.api_keys import ApiKeys
    from lexoffice_nb.sandbox.grants import Grants
    from lexoffice_nb.sandbox.settings import SandboxSettings
    from lexoffice_nb.sandbox.written import Books

_REQUEST_ID = "x-amzn-RequestId"


def blueprint(grants: Grants, keys: ApiKeys, books: Mapping[str, Books], settings: SandboxSettings) -> Blueprint:
    """The routes of the API."""
    routes, limit = Blueprint("api", __name__, url_prefix="/v1"), RateLimit(settings)

    def serve(route: Route, path: Mapping[str, str]) -> Response:
        request.max_content_length = route.octets  # what is beyond it, Werkzeug reads and throws away
        token = bearer_token(request.headers.get("Authorization", ""))
        bearer = grants.bearer(token) or keys.bearer(token)
        if bearer is None:
            return message(401, "Unauthorized")
        person = PEOPLE[bearer.person]
        g.authorised_as = person.id
        if not limit.take(person.organisation.key):
            return message(429, "Rate limit exceeded")
        if not route.allows(bearer):
            return message(403, "Forbidden")
        call = Call(books[person.organisation.key], person, bearer, settings, request, path)
        try:
            with nullcontext() if route.method == "GET" else call.books.lock:
                return _answer(route.answer(call))
        except ApiProblem as problem:
            request_id = str(uuid.uuid4())
            body = problem.body(route.errors, request.path, call.now, request_id)
            return _with_id(_json(problem.status, body), request_id)
        except RequestEntityTooLarge:
            return message(413, "Request Too Long")

    for route in ROUTES:

        def view(route: Route = route, **path: str) -> Response:
            return serve(route, path)

        name = f"{route.method} {route.path}"
        routes.add_url_rule(route.path, endpoint=name.replace(".", "-"), view_func=view, methods=[route.method])
    return routes


def message(status: int, text: str) -> Response:
    """An answer of the gateway before the API."""
    return _with_id(_json(status, {"message": text}), str(uuid.uuid4()))


def unknown_route(status: int) -> Response:
    """What the gateway says where there is no route."""
    # Nearly every path that can be read at all takes GET: where that is not allowed, there is nothing to read.
    if status == 404 or (status == 405 and request.method in ("GET", "HEAD")):
        return message(403, "Bearer not a valid key=value pair (missing equal-sign) in Authorization header")
    return message(status, "Method Not Allowed" if status == 405 else "Internal server error or rate limit exceeded")


def _answer(value: Any) -> Response:
    reply = value if isinstance(value, Reply) else Reply(value)
    if reply.status == 204:
        response = Response(status=204)
        del response.headers["Content-Type"]
    elif isinstance(reply.body, bytes):
        response = Response(reply.body, reply.status, content_type=reply.content_type)
    else:
        response = _json(reply.status, reply.body)
    response.headers.update(reply.headers)
    return _with_id(response, str(uuid.uuid4()))


def _json(status: int, body: Any) -> Response:
    return Response(shapes.to_json(body), status, content_type="application/json")


def _with_id(response: Response, request_id: str) -> Response:
    response.headers[_REQUEST_ID] = request_id
    return response
