"""Errors of the API in the shapes the vendor uses: regular, legacy, and one that is neither."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.shapes import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

REGULAR = "regular"
LEGACY = "legacy"
ODD = "odd"
_INVALID = "Validation failed for request. Please see details list for specific causes."
# Partly German at the vendor too; a client must not show them as they are.
_SAID = {
    "NOTNULL": "darf nicht leer sein",
    "SIZE": "die Länge ist nicht zulässig",
    "DIGITS": "numerischer Wert außerhalb erlaubter Grenzen",
    "PATTERN": "muss auf Ausdruck passen",
}
_DEFAULT_SAID = "must be valid"


@dataclass(frozen=True)
class Issue:
    """What is wrong with a field of a request's body.

    Attributes:
        field: Where, as `lineItems[0].unitPrice.taxRatePercentage`.
        violation: Its name in the regular shape; NOTNULL is `missing_entity` in the legacy one.
        key: Its name in the legacy shape.
    """

    field: str
    violation: str = "VALUE"
    key: str = ""

    def regular(self) -> dict[str, str]:
        """As an entry of `details`."""
        message = _SAID.get(self.violation, _DEFAULT_SAID)
        return {"violation": self.violation, "field": self.field, "message": message}

    def legacy(self) -> dict[str, str]:
        """As an entry of `IssueList`."""
        key = self.key or ("missing_entity" if self.violation == "NOTNULL" else "invalid_value")
        return {"i18nKey": key, "source": self.field, "type": "validation_failure"}


class ApiProblem(Exception):
    """The API refuses a call.

    Args:
        status: HTTP status.
        message: What is wrong; in the legacy shape its key.
        source: What it is about, in the legacy shape.
        issues: The fields that are wrong; they take the place of the message.
        shape: The shape of the body, where it is not that of the endpoint.
    """

    def __init__(
        self, status: int, message: str, source: str = "", *, issues: Sequence[Issue] = (), shape: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.source = source
        self.issues = tuple(issues)
        self.shape = shape

    def body(self, shape: str, path: str, now: datetime, request_id: str | None = None) -> dict[str, Any]:
        """The error body."""
        request_id = request_id or str(uuid.uuid4())
        match self.shape or shape:
            case "legacy":
                return {"requestId": request_id, "IssueList": self._issue_list()}
            case "odd":
                return {"i18nKey": self.message, "source": self.source}
        return {
            "timestamp": timestamp(now),
            "status": self.status,
            "error": HTTPStatus(self.status).phrase,
            "path": path,
            "traceId": request_id.replace("-", "")[:12],
            "requestId": request_id,
            "message": self.message,
            "details": [issue.regular() for issue in self.issues] or None,
        }

    def _issue_list(self) -> list[dict[str, str]]:
        if self.issues:
            return [issue.legacy() for issue in self.issues]
        if " " not in self.message:
            return [{"i18nKey": self.message, "source": self.source, "type": "validation_failure"}]
        # A refusal in words, by something that all endpoints share: the legacy shape has keys only.
        key = "missing_entity" if self.status == 404 else "bad_request_error" if self.status == 400 else "invalid_value"
        return [{"i18nKey": key, "source": self.source or self.message, "type": "validation_failure"}]


def not_valid(*issues: Issue) -> ApiProblem:
    """406: the body can be read and must not be taken."""
    return ApiProblem(406, _INVALID, issues=issues)


def not_found(what: str, key: str) -> ApiProblem:
    """404: there is no such thing."""
    return ApiProblem(404, f"{what} with id '{key[:64]}' not found.", "id")
