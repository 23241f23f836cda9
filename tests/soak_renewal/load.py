"""A load of several processes on one account, and what the server says about it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.soak_renewal.processes import Place, Process

if TYPE_CHECKING:
    from lexoffice_nb.sandbox import Sandbox
    from tests.certified.server import Certified

PAUSE_SECONDS = 0.05  # of each thread between two requests


@dataclass
class Outcome:
    """How a load was.

    Attributes:
        ok: the requests that got their answer.
        errors: what the others ended with, and how often.
        renewals: the refresh requests that the server has counted.
        reused: those of them whose refresh token it had seen before.
        ends: what one more request of each process ends with when the last access token has ended; "" is good.
    """

    seconds: float
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    renewals: int = 0
    reused: int = 0
    ends: list[str] = field(default_factory=list)

    @property
    def signed_in(self) -> bool:
        """Whether all processes still are."""
        return not any(self.ends)

    def most_renewals(self, life: float) -> float:
        """The goal for the renewals of tokens that live so many seconds: one in three quarters of a life, and two."""
        return self.seconds / (0.75 * life) + 2


class Count(Protocol):
    """What a server has counted since it was asked to."""

    def __enter__(self) -> Count: ...
    def __exit__(self, *_: object) -> None: ...
    def renewals(self) -> tuple[int, int]:
        """The refresh requests, and those of them with a token that was seen before."""


class CountAtCertified:
    """The certified provider's own journal."""

    def __init__(self, certified: Certified) -> None:
        self._certified = certified

    def __enter__(self) -> CountAtCertified:
        self._before = len(self._certified.journal())
        return self

    def __exit__(self, *_: object) -> None: ...

    def renewals(self) -> tuple[int, int]:
        asked = [r for r in self._certified.journal()[self._before :] if r.grant_type == "refresh_token"]
        return len(asked), sum(request.refresh_token_seen_before for request in asked)


class CountAtSandbox:
    """The sandbox's records, of which it keeps the last only; a refresh token that comes again is refused with 400."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._records: dict[int, int] = {}
        self._kept: list[object] = []
        self._over = threading.Event()

    def __enter__(self) -> CountAtSandbox:
        self._collect()
        self._before = len(self._records)
        self._thread = threading.Thread(target=self._go_on_collecting)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on_collecting(self) -> None:
        while not self._over.wait(1):
            self._collect()

    def _collect(self) -> None:
        for record in self._box.requests:
            if record.grant_type == "refresh_token" and id(record) not in self._records:
                self._kept.append(record)  # so that no other record gets its id
                self._records[id(record)] = record.status

    def renewals(self) -> tuple[int, int]:
        self._collect()
        statuses = list(self._records.values())[self._before :]
        return len(statuses), sum(status != 200 for status in statuses)


def run_load(
    place: Place,
    count: Count,
    *,
    processes: int,
    threads: int,
    seconds: float,
    life: float,
    python: str = sys.executable,
    pause: float = PAUSE_SECONDS,
) -> Outcome:
    """Runs the load on an account that is signed in, from its processes at the same moment."""
    options = {"python": python, "threads": threads, "seconds": seconds, "pause": pause}
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Process("load", place, **options)) for _ in range(processes)]
        return measure(running, count, seconds, life)


def measure(running: list[Process], count: Count, seconds: float, life: float) -> Outcome:
    """Has processes that are ready send their load, and adds up what they say."""
    outcome = Outcome(seconds)
    for process in running:
        assert process.says() == {"ready": True}
    with count:
        for process in running:
            process.tell()
        for said in [process.says() for process in running]:
            outcome.ok += said["ok"]
            outcome.errors.update(said["errors"])
        outcome.renewals, outcome.reused = count.renewals()
    time.sleep(life + 0.2)
    for process in running:
        process.tell()
    outcome.ends = [process.says()["code"] for process in running]
    return outcome
