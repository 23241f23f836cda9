"""One account used by several processes, and what the sandbox saw of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.api.pacing_processes import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexoffice_nb.sandbox import Sandbox

INTERVAL = 0.55
RATE = 2.0  # requests a second, as the vendor allows


@dataclass(frozen=True)
class Run:
    """What came of it.

    Attributes:
        endings: what the processes' requests ended with.
        statuses: what the server answered to them.
        share: the part of the pace that was reached: 1 for a request each 0.55 s.
        overflows: how many of the requests a bucket would have refused that holds two, and gets two a second.
    """

    endings: list[int | None]
    statuses: list[int]
    share: float
    overflows: int


def start(stack: ExitStack, box: Sandbox, processes: int, number: int) -> list[Process]:
    """Starts processes that share one account, which have signed in and wait."""
    key = box.make_api_key()
    asking = [
        stack.enter_context(Process("ask", issuer=box.url, key=key, interval=INTERVAL, number=number))
        for _ in range(processes)
    ]
    for process in asking:
        process.says()
    return asking


def outcome(box: Sandbox, asking: Sequence[Process], before: int) -> Run:
    """Waits for the processes' ends, and looks at what the server has recorded since."""
    endings = [ending for process in asking for ending in process.says()]
    records = [record for record in box.requests[before:] if record.path == "/v1/profile"]
    times = sorted(record.time for record in records)
    share = (len(times) - 1) * INTERVAL / (times[-1] - times[0])
    return Run(endings, [record.status for record in records], share, _overflows(times))


def _overflows(times: Sequence[float], burst: float = 2.0) -> int:
    level, then, refused = burst, times[0], 0
    for time in times:
        level, then = min(burst, level + (time - then) * RATE), time
        if level >= 1:
            level -= 1
        else:
            refused += 1
    return refused


def run_both(alone: Sandbox, shared: Sandbox, number: int) -> tuple[Run, Run]:
    """One process at one sandbox and two at another, at the same time, each with that many requests."""
    with ExitStack() as stack:
        one, two = start(stack, alone, 1, number), start(stack, shared, 2, number)
        before = len(alone.requests), len(shared.requests)
        for process in (*one, *two):
            process.go()
        return outcome(alone, one, before[0]), outcome(shared, two, before[1])


def check(run: Run, requests: int, share: float = 0.9) -> None:
    """No refusal, and at least that share of the pace."""
    assert run.endings == [200] * requests
    assert run.statuses == [200] * requests
    assert run.overflows == 0
    # Twenty requests beside other tests are no measure of speed: the soak says 0.97 of the pace.
    assert share <= run.share < 1.03, run.share
