"""A call of the API, an endpoint, and what an endpoint answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import partner
from lexoffice_nb.sandbox.ledger import BERLIN
from lexoffice_nb.sandbox.problems import REGULAR, ApiProblem
from lexoffice_nb.sandbox.request_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Request
    from werkzeug.datastructures import MultiDict

    from lexoffice_nb.sandbox.grants import Bearer
    from lexoffice_nb.sandbox.people import Person
    from lexoffice_nb.sandbox.settings import SandboxSettings
    from lexoffice_nb.sandbox.written import Books


@dataclass(frozen=True)
class Call:
    """An API call that the gateway let through.

    Attributes:
        books: The books of the organisation.
        person: Who asks.
        bearer: By which token or key.
        settings: The sandbox's switches.
        request: The HTTP request.
        path: What the placeholders of the path stand for.
    """

    books: Books
    person: Person
    bearer: Bearer
    settings: SandboxSettings
    request: Request
    path: Mapping[str, str]

    @property
    def arguments(self) -> MultiDict[str, str]:
        """The parameters of the query."""
        return self.request.args

    @property
    def kind(self) -> str:
        """The first part of the path below `/v1`, as `invoices`."""
        return self.request.path.split("/")[2]

    @property
    def id(self) -> str:
        """The ID in the path."""
        return self.path["id"]

    @property
    def now(self) -> datetime:
        """The time in Berlin, where the vendor's days begin."""
        return datetime.now(BERLIN)

    @property
    def company(self) -> str:
        """The name of the organisation."""
        return self.settings.company_name or self.books.ledger.organisation.name

    def json(self) -> Any:
        """The request's body.

        Raises:
            ApiProblem: 415 if it is no JSON by its content type, 400 if it cannot be read.
        """
        if self.request.mimetype != "application/json":
            raise ApiProblem(415, f"Content type '{self.request.mimetype[:64]}' not supported")
        return read_json(self.request.get_data())

    def address(self, *parts: str) -> str:
        """The URL of something below `/v1`."""
        return "/".join((self.request.host_url.rstrip("/"), "v1", *parts))


@dataclass(frozen=True)
class Reply:
    """What an endpoint answers: a body that becomes JSON, or octets with a content type."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Route:
    """An endpoint.

    Attributes:
        method: HTTP method.
        path: Below `/v1`, with Flask's placeholders.
        scopes: Any one of them is needed, of an entry with blanks all its words. If there are none, any token will do.
        answer: Makes the answer; what is no `Reply` is the body of a 200.
        errors: The shape of its error bodies.
        partner: Whether only tokens of the partner's client are taken.
        octets: How many octets the body of a request may have.
    """

    method: str
    path: str
    scopes: tuple[str, ...]
    answer: Callable[[Call], Any]
    errors: str = REGULAR
    partner: bool = False
    octets: int = 1 << 20

    def allows(self, bearer: Bearer) -> bool:
        """Whether a token or key is enough. An API key may do everything that is not for partners only."""
        if self.partner and bearer.client_id != partner.CLIENT_ID:
            return False
        if bearer.scope is None or not self.scopes:
            return True
        return any(bearer.scope.issuperset(each.split()) for each in self.scopes)


def action(call: Call, status: int, *path: str, created: str, updated: str, version: int) -> Reply:
    """The vendor's answer to a write: what was written, when, and which version it has now.

    Args:
        call: The call.
        status: HTTP status.
        path: Where it is now, below `/v1`; its last part is the ID.
        created: When it was first written.
        updated: When it was last written.
        version: What the next change must name.
    """
    address = call.address(*path)
    body = {"id": path[-1], "resourceUri": address, "createdDate": created, "updatedDate": updated, "version": version}
    return Reply(body, status, {"Location": address})
