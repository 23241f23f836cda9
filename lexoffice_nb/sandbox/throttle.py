"""The authorization server's own rate limit: too many requests within a minute, and it answers nobody for a while."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.settings import SandboxSettings

_WINDOW = 60


class Throttle:
    """Counts requests, as long as the settings set a limit."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._served: deque[float] = deque()
        self._closed_until = 0.0

    def lets_in(self) -> bool:
        """Whether the current request is served. One that is not is not counted either."""
        limit = self._settings.partner_rate_limit
        if limit is None:
            return True
        now = time.monotonic()
        with self._lock:
            if now < self._closed_until:
                return False
            while self._served and self._served[0] <= now - _WINDOW:
                self._served.popleft()
            if len(self._served) >= limit:
                self._closed_until = now + self._settings.partner_rate_pause
                self._served.clear()
                return False
            self._served.append(now)
            return True
