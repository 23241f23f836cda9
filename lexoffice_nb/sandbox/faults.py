"""Faults on demand: what goes wrong between a client and the API, so that a client can be tried against it.

Only `/v1` is touched, and only this process can ask for a fault: through `Sandbox.faults` or `SandboxSettings.faults`.
No request can.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from flask import Response, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = "/v1/"
_PAGE = "<!doctype html>\n<title>Maintenance</title>\n<h1>We are back soon</h1>\n<script>document.title = 1</script>\n"


class Fault(StrEnum):
    """A kind of fault; says whether the request has been carried out when it is met.

    Attributes:
        INTERNAL: 500 with the gateway's message; not carried out.
        UNAVAILABLE: 503 with free text; not carried out.
        TOO_MANY: 429 as from the rate limit; not carried out.
        DEAD_TOKEN: The access token is dead before its time, and stays dead: 401. API keys live on.
        HTML: 200 with a page where JSON should be; not carried out.
        CUT_EARLY: The connection is closed without an answer; not carried out.
        TIMEOUT: 504 from the gateway; carried out, so that a write is in the books.
        CUT: The connection is closed without an answer; carried out.
        CUT_BODY: The connection is closed in the middle of the body; carried out.
        MALFORMED: 200 with half of the JSON, as if that were all of it; carried out.
        WRONG_TYPE: The right answer with a Content-Type that it has not; carried out.
        SLOW: The right answer, late; carried out at once.
    """

    INTERNAL = "500"
    UNAVAILABLE = "503"
    TOO_MANY = "429"
    DEAD_TOKEN = "dead_token"
    HTML = "html"
    CUT_EARLY = "cut_early"
    TIMEOUT = "504"
    CUT = "cut"
    CUT_BODY = "cut_body"
    MALFORMED = "malformed"
    WRONG_TYPE = "wrong_type"
    SLOW = "slow"


class Cut(Response):
    """An answer that never comes: the connection is closed where its first octet would be sent."""

    def __init__(self) -> None:
        # The server sends the headers with the first piece of the body, and never comes to have one.
        super().__init__(_broken(request.environ["werkzeug.socket"]))


def _broken(connection: socket.socket) -> Iterator[bytes]:
    # Closed here and not only left to the server, which first reads what the client has not sent yet.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError
    yield b""  # makes this a generator, which runs when the server asks for the body


@dataclass(frozen=True)
class Met:
    """What happens to one request: a fault or none, and seconds that its answer waits."""

    fault: Fault | None
    wait: float = 0.0

    def instead(self) -> Response | None:
        """The answer to a request that is not carried out, or None for one that is."""
        match self.fault:
            case Fault.INTERNAL:
                return _message(500, "Internal server error or rate limit exceeded")
            case Fault.UNAVAILABLE:
                return Response("The service is not available at the moment.\n", 503, content_type="text/plain")
            case Fault.TOO_MANY:
                return _message(429, "Rate limit exceeded")
            case Fault.DEAD_TOKEN:
                return _message(401, "Unauthorized")
            case Fault.HTML:
                return Response(_PAGE, 200, content_type="text/html; charset=utf-8")
            case Fault.CUT_EARLY:
                return Cut()
        return None

    def spoil(self, response: Response) -> Response:
        """What is sent in place of an answer, after the wait."""
        if self.wait:
            time.sleep(self.wait)
        match self.fault:
            case Fault.TIMEOUT:
                return _message(504, "Endpoint request timed out")
            case Fault.CUT:
                return Cut()
            case Fault.CUT_BODY:
                return _cut_body(response)
            case Fault.MALFORMED:
                half = _half(response)
                # The beginning of an object or array is never JSON; what is too short for a half becomes one.
                return Response(half or b"{", 200, content_type="application/json")
            case Fault.WRONG_TYPE:
                response.content_type = "text/plain; charset=utf-8"
        return response


def _cut_body(response: Response) -> Response:
    half = _half(response)
    if not half:
        return Cut()
    whole = len(response.get_data())
    response.response = [half]
    response.content_length = whole  # the connection ends after each answer, so the client waits for what never comes
    return response


def _half(response: Response) -> bytes:
    response.direct_passthrough = False
    octets = response.get_data()
    return octets[: len(octets) // 2]


def _message(status: int, text: str) -> Response:
    return Response(json.dumps({"message": text}), status, content_type="application/json")


@dataclass
class _Planned:
    fault: Fault
    left: int | None
    until: float | None
    path: str
    method: str
    wait: float

    def is_over(self, now: float) -> bool:
        return self.left == 0 or (self.until is not None and now >= self.until)

    def concerns(self, method: str, path: str) -> bool:
        return fnmatchcase(path, self.path) and fnmatchcase(method, self.method)


@dataclass
class Faults:
    """Which requests to the API go wrong: shares of all of them, drawn from a seed, and exact ones.

    One number is drawn for each request, in the order in which they come, so that the same requests one after the other
    meet the same faults. Each share is from 0 to 1, and all but `share_slow` together are 1 at most. They may be
    changed while the sandbox runs. HEAD is left alone.

    Attributes:
        seed: What is drawn from.
        share_500: Share of `Fault.INTERNAL`; the others are named after their faults in the same way.
        slow: Seconds that a slow answer waits.
        share_slow: Share of answers that are slow, whatever else befalls them.
        done: How often each fault was met, by its name.
    """

    seed: int = 1
    share_500: float = 0.0
    share_503: float = 0.0
    share_504: float = 0.0
    share_429: float = 0.0
    share_cut: float = 0.0
    share_cut_early: float = 0.0
    share_cut_body: float = 0.0
    share_malformed: float = 0.0
    share_html: float = 0.0
    share_wrong_type: float = 0.0
    share_dead_token: float = 0.0
    slow: float = 0.0
    share_slow: float = 1.0
    done: Counter[str] = field(default_factory=Counter, compare=False)
    _planned: list[_Planned] = field(default_factory=list, compare=False, repr=False)
    _dead: set[bytes] = field(default_factory=set, compare=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def __post_init__(self) -> None:
        shares = [getattr(self, each.name) for each in fields(self) if each.name.startswith("share_")]
        if not all(0 <= share <= 1 for share in shares) or sum(shares) - self.share_slow > 1 + 1e-9:
            raise ValueError("each share is from 0 to 1, and together they are 1 at most")
        # Two streams, so that neither slowness nor a planned fault shifts which other requests fail. No secrets.
        self._draw = random.Random(f"{self.seed}/faults")  # noqa: S311
        self._draw_slow = random.Random(f"{self.seed}/slow")  # noqa: S311

    @classmethod
    def storm(cls, share: float, seed: int = 1) -> Self:
        """Gives a mix in which that share of all requests goes wrong.

        Of five, two meet a 500, and one each a 504, a cut connection and a 429: with 0.25 that is 10, 5, 5 and 5
        percent of all requests.

        Raises:
            ValueError: The share is not from 0 to 1.
        """
        fifth = share / 5
        return cls(seed, share_500=2 * fifth, share_504=fifth, share_cut=fifth, share_429=fifth)

    def next(
        self,
        fault: Fault | str,
        times: int | None = 1,
        *,
        path: str = "*",
        method: str = "*",
        seconds: float | None = None,
        wait: float = 0.0,
    ) -> None:
        """Plan a fault for the next requests that fit. What was planned first is met first.

        Args:
            fault: Which one, or its name.
            times: For how many requests; None for as many as come.
            path: Which paths, such as `/v1/invoices/*`; a star stands for anything.
            method: Which methods.
            seconds: For how long from now on; None for no end.
            wait: Seconds that the answer waits in addition.

        Raises:
            ValueError: There is no such fault.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self._lock:
            self._planned.append(_Planned(Fault(fault), times, until, path, method, wait))

    def clear(self) -> None:
        """Take back what was planned and all shares; dead tokens stay dead."""
        with self._lock:
            self._planned.clear()
        for each in fields(self):
            if each.name.startswith("share_"):
                setattr(self, each.name, each.default)
        self.slow = 0.0

    def meet(self, method: str, path: str, token: str, lives: Callable[[str], bool]) -> Met | None:
        """What happens to a request, or None for one that is not touched.

        Args:
            method: Its method.
            path: Its path.
            token: The bearer token that it carries, or nothing.
            lives: Whether a text is an access token that is good until now.
        """
        if not path.startswith(_PREFIX) or method == "HEAD":  # a HEAD has no body that could break off
            return None
        known = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        with self._lock:
            if known in self._dead:
                self.done[Fault.DEAD_TOKEN.value] += 1
                return Met(Fault.DEAD_TOKEN)
            fault, wait = self._planned_for(method, path) or (self._drawn(), 0.0)
            if self._draw_slow.random() < self.share_slow:
                wait += self.slow
            if fault is Fault.DEAD_TOKEN:
                if lives(token):
                    self._dead.add(known)
                else:
                    fault = None
            if fault is not None:
                self.done[fault.value] += 1
        return Met(fault, wait) if fault is not None or wait else None

    def _planned_for(self, method: str, path: str) -> tuple[Fault, float] | None:
        now = time.monotonic()
        self._planned = [each for each in self._planned if not each.is_over(now)]
        for each in self._planned:
            if each.concerns(method, path):
                if each.left is not None:
                    each.left -= 1
                return each.fault, each.wait
        return None

    def _drawn(self) -> Fault | None:
        left = self._draw.random()
        for fault in Fault:
            if fault is Fault.SLOW:
                continue
            left -= getattr(self, f"share_{fault.value}")
            if left < 0:
                return fault
        return None
