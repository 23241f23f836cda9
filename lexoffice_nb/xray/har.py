"""A trace as HAR 1.2, the file that the network tools of browsers read. It says nothing that the trace does not.

The format: Jan Odvarko, "HTTP Archive 1.2". Times are in milliseconds; -1 stands for what is not known.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lexoffice_nb.oauth.trace import NOTEBOOK
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lexoffice_nb.oauth.trace import Parameter, Step

UNKNOWN = -1
FORM = "application/x-www-form-urlencoded"
NO_ANSWER = 0
_REDACTED = "Secrets were replaced when they were recorded: what they are and their length is all there is."


def har(steps: Iterable[Step], version: str) -> dict[str, Any]:
    """Gives the HTTP requests of a trace as HAR; what was only checked has no place in it. Its words are English.

    Args:
        steps: the steps.
        version: of this package.
    """
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "lexoffice_nb", "version": version},
            "entries": [_entry(step) for step in steps if step.method],
            "comment": _REDACTED,
        }
    }


def _entry(step: Step) -> dict[str, Any]:
    passed = round(step.seconds * 1000, 1) if step.seconds is not None else 0
    return {
        "startedDateTime": step.at.isoformat(timespec="milliseconds"),
        "time": passed,
        "request": _request(step),
        "response": _response(step),
        "cache": {},
        "timings": {"send": 0, "wait": passed, "receive": 0},
        "comment": _comment(step),
    }


def _comment(step: Step) -> str:
    ways = [text(f"trace.step.{step.title}", "en")]
    if step.sender != NOTEBOOK or not step.seen:
        ways.append("sent by the browser: its answer was not seen here")
    elif step.status is None and not step.error:
        ways.append("handed to the browser, not sent by this program")
    if step.error:
        ways.append(f"ended with: {step.error}")
    return "; ".join(ways)


def _request(step: Step) -> dict[str, Any]:
    headers = [each for each in step.sent if each[0] == "Authorization"]
    given = _pairs(each for each in step.sent if each[0] != "Authorization")
    is_post = step.method == "POST"
    request = {
        "method": step.method,
        "url": step.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(headers),
        "queryString": [] if is_post else given,
        "headersSize": UNKNOWN,
        "bodySize": step.sent_octets if step.sent_octets is not None else 0,
    }
    if is_post:
        form = urlencode([(each["name"], each["value"]) for each in given], errors="replace")
        request["postData"] = {"mimeType": FORM, "params": given, "text": form}
    return request


def _response(step: Step) -> dict[str, Any]:
    size = step.received_octets
    content: dict[str, Any] = {"size": size if size is not None else 0, "mimeType": step.content_type or "x-unknown"}
    if step.received:
        content["comment"] = "; ".join(f"{each['name']}: {each['value']}" for each in _pairs(step.received))
    return {
        "status": step.status if step.status is not None else NO_ANSWER,
        "statusText": phrase(step.status),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [{"name": "Content-Type", "value": step.content_type}] if step.content_type else [],
        "content": content,
        "redirectURL": "",
        "headersSize": UNKNOWN,
        "bodySize": size if size is not None else UNKNOWN,
    }


def phrase(status: int | None) -> str:
    """Gives the words of a status (RFC 9110 section 15), or nothing for one that has none."""
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def _pairs(parameters: Iterable[Parameter]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in parameters]
