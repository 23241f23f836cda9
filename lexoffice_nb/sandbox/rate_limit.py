"""The API's own rate limit: a token bucket for each organisation, over all endpoints and all credentials."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox.settings import SandboxSettings


class RateLimit:
    """The buckets, as the settings have them at each request: `rate_limit` tokens a second, `burst` at most.

    Args:
        settings: Where both are set; without a `rate_limit` everything is let in.
        clock: Seconds that never go back.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, organisation: str) -> bool:
        """Whether a request for this organisation is served. One that is not takes nothing."""
        rate, burst = self._settings.rate_limit, float(self._settings.burst)
        if rate is None:
            return True
        with self._lock:
            now = self._clock()  # read inside: a time from before the lock could be earlier than the one that is noted
            level, then = self._levels.get(organisation, (burst, now))
            level = min(burst, level + (now - then) * rate)
            allowed = level >= 1
            self._levels[organisation] = (level - 1 if allowed else level, now)
        return allowed
