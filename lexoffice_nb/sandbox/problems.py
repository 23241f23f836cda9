"""Errors of the API in the two shapes the vendor uses."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.shapes import timestamp

if TYPE_CHECKING:
    from datetime import datetime

REGULAR = "regular"
LEGACY = "legacy"


class ApiProblem(Exception):
    """The API refuses a call.

    Args:
        status: HTTP status.
        message: What is wrong; in the legacy shape its key.
        source: What it is about, in the legacy shape.
    """

    def __init__(self, status: int, message: str, source: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.source = source

    def body(self, shape: str, path: str, now: datetime) -> dict[str, Any]:
        """The error body."""
        request_id = str(uuid.uuid4())
        if shape == LEGACY:
            issue = {"i18nKey": self.message, "source": self.source, "type": "validation_failure"}
            return {"requestId": request_id, "IssueList": [issue]}
        return {
            "timestamp": timestamp(now),
            "status": self.status,
            "error": HTTPStatus(self.status).phrase,
            "path": path,
            "traceId": request_id.replace("-", "")[:12],
            "requestId": request_id,
            "message": self.message,
        }
